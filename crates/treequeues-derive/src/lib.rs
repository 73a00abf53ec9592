//! The derive macro of `treequeues`, which re-exports it: use it from there.
#![deny(unsafe_code)]

mod expand;

use proc_macro::TokenStream;

/// Makes a struct with named fields an item of a queue: a dict of its fields.
///
/// A field is a number (`u8` to `u64`, `i8` to `i64`, `f32`, `f64`), a `bool`, a fixed array of these, nested or not, or
/// a struct that derives this too. Its name is its key, `r#type` without the `r#`; `#[tree(rename = "...")]` gives it
/// another. Constant parameters are possible, and type parameters that are trees.
///
/// The trait `Tree` of `treequeues` has examples.
#[proc_macro_derive(Tree, attributes(tree))]
pub fn derive_tree(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::tree(input).unwrap_or_else(syn::Error::into_compile_error).into()
}
