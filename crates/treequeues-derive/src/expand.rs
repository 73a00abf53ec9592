//! From a struct to its `impl Tree`, or to errors at the places that are in the way.
//!
//! What can be seen in the source is refused here, in words that say what to do. What cannot (a field of a type that is no
//! tree) is left to the compiler, which names the field's type because each call stands at its span.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Error, Field, Fields, GenericParam, Generics, LitStr, Result, Type, parse_quote,
};

/// One leaf or subtree of the struct.
struct Child<'a> {
    field: &'a Field,
    key: String,
}

pub fn tree(input: DeriveInput) -> Result<TokenStream> {
    let children = children(&input)?;
    let generics = bounded(&input.generics)?;
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let fields: Vec<_> = children.iter().map(|child| &child.field.ident).collect();
    let types: Vec<_> = children.iter().map(|child| &child.field.ty).collect();
    let keys = children.iter().map(|child| &child.key);
    let as_trees: Vec<_> =
        types.iter().map(|ty| quote_spanned!(ty.span()=> <#ty as ::treequeues::Tree>)).collect();
    // The underscores: no constant of the user's is called `__leaves`, and a struct without fields may leave it unused.
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::treequeues::Tree for #name #type_generics #where_clause {
            const ZERO: Self = Self { #(#fields: #as_trees::ZERO,)* };

            fn subtree() -> ::treequeues::schema::Subtree {
                ::treequeues::Schema::builder()
                    #(.subtree(#keys, #as_trees::subtree()))*
                    .into_subtree()
            }

            fn write_to(&self, __leaves: &mut ::treequeues::LeafWriter<'_>) {
                #(#as_trees::write_to(&self.#fields, __leaves);)*
            }

            fn read_from(
                &mut self,
                __leaves: &mut ::treequeues::LeafReader<'_>,
            ) -> ::core::result::Result<(), ::treequeues::LeafError> {
                #(#as_trees::read_from(&mut self.#fields, __leaves)?;)*
                ::core::result::Result::Ok(())
            }
        }
    })
}

/// The struct's fields with their keys; all that is wrong with them at once.
fn children(input: &DeriveInput) -> Result<Vec<Child<'_>>> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            Fields::Unnamed(fields) => {
                return Err(Error::new(
                    fields.span(),
                    "`Tree` cannot be derived for tuple structs: name the fields, their names are the keys of the dict",
                ));
            }
            Fields::Unit => {
                return Err(Error::new(
                    input.ident.span(),
                    "`Tree` cannot be derived for structs without fields in braces: an item has leaves",
                ));
            }
        },
        Data::Enum(data) => {
            return Err(Error::new(
                data.enum_token.span,
                "`Tree` cannot be derived for enums: all items of a queue have the same leaves. Implement it by hand \
                 for an enum that is a number",
            ));
        }
        Data::Union(data) => {
            return Err(Error::new(
                data.union_token.span,
                "`Tree` cannot be derived for unions: which field is meant cannot be known",
            ));
        }
    };
    let mut errors = Errors::default();
    errors.check(refuse_attributes(input));
    let mut seen = HashSet::new();
    let mut children = Vec::new();
    for field in fields {
        errors.check(check_type(&field.ty));
        let Some(key) = errors.check(key_of(field)) else { continue };
        if !seen.insert(key.clone()) {
            errors.check::<()>(Err(Error::new(field.span(), format!("two fields have the key {key:?}"))));
        }
        children.push(Child { field, key });
    }
    errors.finish(children)
}

/// The field's key: its name, or what `#[tree(rename = "...")]` says.
fn key_of(field: &Field) -> Result<String> {
    let mut key = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("tree")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("unknown: there is `#[tree(rename = \"...\")]` alone"));
            }
            let name: LitStr = meta.value()?.parse()?;
            if key.replace(name.value()).is_some() {
                return Err(meta.error("a field has one key"));
            }
            Ok(())
        })?;
    }
    let name = field.ident.as_ref().map(|ident| ident.unraw().to_string());
    Ok(key.or(name).unwrap_or_default())
}

fn refuse_attributes(input: &DeriveInput) -> Result<()> {
    match input.attrs.iter().find(|attribute| attribute.path().is_ident("tree")) {
        Some(attribute) => Err(Error::new(attribute.span(), "`#[tree(...)]` belongs to fields")),
        None => Ok(()),
    }
}

/// Refuses the types that no leaf can have, as far as their names tell.
fn check_type(ty: &Type) -> Result<()> {
    let refuse = |reason: &str| Err(Error::new(ty.span(), reason));
    match ty {
        Type::Array(array) => check_type(&array.elem),
        Type::Group(group) => check_type(&group.elem),
        Type::Paren(paren) => check_type(&paren.elem),
        Type::Reference(_) | Type::Ptr(_) => refuse(
            "an item owns its leaves: another process cannot follow a reference. Use the value, or a fixed array",
        ),
        Type::Slice(_) => refuse("all items of a queue have the same shape: use a fixed array, `[T; N]`"),
        Type::Tuple(_) => {
            refuse("a tuple's fields have no names: use a struct, or for equal elements an array")
        }
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else { return Ok(()) };
            match last.ident.to_string().as_str() {
                "Vec" | "VecDeque" | "Box" | "Rc" | "Arc" => refuse(
                    "the elements are elsewhere in this process's memory, and as many as it likes: use a fixed array, \
                     `[T; N]`",
                ),
                "String" | "str" => refuse(
                    "text has no fixed length: use an array of bytes, `[u8; N]`, and a number for how many are used",
                ),
                "Option" => refuse("all items of a queue have the same leaves: use a value and a `bool`"),
                "usize" | "isize" => {
                    refuse("its size is the machine's, and a leaf's is the queue's: use `u64` or `i64`")
                }
                "u128" | "i128" => refuse("NumPy has no integers of 128 bits: use `[u64; 2]`"),
                "char" => refuse("not every number is a `char`: use `u32`"),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// The struct's parameters, each type of them a tree.
fn bounded(generics: &Generics) -> Result<Generics> {
    let mut generics = generics.clone();
    for param in &mut generics.params {
        match param {
            GenericParam::Type(param) => param.bounds.push(parse_quote!(::treequeues::Tree)),
            GenericParam::Const(_) => {}
            GenericParam::Lifetime(lifetime) => {
                return Err(Error::new(
                    lifetime.span(),
                    "an item owns its leaves, so it has no lifetime: another process cannot follow a reference",
                ));
            }
        }
    }
    Ok(generics)
}

/// Errors of several places, reported together.
#[derive(Default)]
struct Errors(Option<Error>);

impl Errors {
    fn check<T>(&mut self, result: Result<T>) -> Option<T> {
        match (result, &mut self.0) {
            (Ok(value), _) => return Some(value),
            (Err(error), Some(errors)) => errors.combine(error),
            (Err(error), none) => *none = Some(error),
        }
        None
    }

    fn finish<T>(self, value: T) -> Result<T> {
        self.0.map_or(Ok(value), Err)
    }
}

#[cfg(test)]
mod tests;
