//! What the macro refuses, and in which words; what it takes is tested where it is used.

use super::*;

fn errors_of(source: &str) -> Vec<String> {
    let input = syn::parse_str(source).expect("it parses");
    tree(input).expect_err("it is refused").into_iter().map(|error| error.to_string()).collect()
}

fn error_of(source: &str) -> String {
    let errors = errors_of(source);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

#[test]
fn what_is_no_struct_with_named_fields_is_refused() {
    assert!(error_of("struct S(f32, u8);").contains("name the fields"));
    assert!(error_of("struct S;").contains("fields in braces"));
    assert!(error_of("enum E { A, B }").contains("by hand"));
    assert!(error_of("union U { a: u8, b: i8 }").contains("unions"));
}

#[test]
fn fields_without_a_fixed_size_say_what_to_use_instead() {
    for (ty, hint) in [
        ("Vec<f32>", "[T; N]"),
        ("std::vec::Vec<f32>", "[T; N]"),
        ("Box<[f32; 3]>", "[T; N]"),
        ("String", "[u8; N]"),
        ("&'static str", "owns its leaves"),
        ("&'static [u8; 3]", "owns its leaves"),
        ("*const u8", "owns its leaves"),
        ("(f32, f32)", "use a struct"),
        ("()", "use a struct"),
        ("Option<f32>", "a value and a `bool`"),
        ("usize", "`u64`"),
        ("[[isize; 3]; 3]", "`i64`"),
        ("u128", "[u64; 2]"),
        ("char", "`u32`"),
        ("[(u8, u8); 4]", "use a struct"),
        ("((Vec<u8>))", "[T; N]"),
    ] {
        let error = error_of(&format!("struct S {{ good: f32, bad: {ty} }}"));
        assert!(error.contains(hint), "{ty}: {error}");
    }
}

#[test]
fn all_bad_fields_are_named_at_once() {
    assert_eq!(errors_of("struct S { a: String, b: f32, c: char, #[tree(rename = \"b\")] d: u8 }").len(), 3);
}

#[test]
fn keys_are_checked() {
    assert_eq!(
        error_of("struct S { a: u8, #[tree(rename = \"a\")] b: u8 }"),
        "two fields have the key \"a\""
    );
    assert_eq!(
        error_of("struct S { r#type: u8, #[tree(rename = \"type\")] b: u8 }"),
        "two fields have the key \"type\""
    );
    assert!(error_of("struct S { #[tree(skip)] a: u8 }").contains("alone"));
    assert!(error_of("struct S { #[tree(rename = \"a\", rename = \"b\")] a: u8 }").contains("one key"));
    assert!(error_of("#[tree(rename = \"a\")] struct S { a: u8 }").contains("belongs to fields"));
}

#[test]
fn lifetimes_are_refused_and_other_parameters_taken() {
    assert!(error_of("struct S<'a> { a: Of<'a> }").contains("no lifetime"));
    let input =
        syn::parse_str("struct S<T: Copy, const N: usize> where T: Send { a: T, b: [u8; N] }").unwrap();
    let code = tree(input).unwrap().to_string();
    let expected = "impl < T : Copy + :: treequeues :: Tree , const N : usize > :: treequeues :: Tree for S < T , N > \
                    where T : Send";
    assert!(code.contains(expected), "{code}");
}

#[test]
fn the_code_has_nothing_unsafe() {
    let input = syn::parse_str("struct S { a: [u8; 3], b: T, c: bool }").unwrap();
    assert!(!tree(input).unwrap().to_string().contains("unsafe"));
}
