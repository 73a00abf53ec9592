//! The architecture, held by a test: who may import whom, where unsafe code may stand, where atomics come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module may import those of the rows above it, and its own row where `true` says so.
const LAYERS: &[(&[&str], bool)] = &[
    (&["clock", "dtype", "sync"], false),
    (&["word"], false),
    (&["schema"], false),
    (&["layout", "format"], true),
    (&["counters", "name"], false),
    (&["error"], false),
    (&["ring", "wait"], false),
    (&["fork"], false),
    (&["segment"], false),
    (&["liveness"], false),
    (&["names"], false),
    (&["sweep"], false),
    (&["participant"], false),
    (&["monitor"], false),
    (&["attached"], false),
    (&["batch"], false),
    (&["loan"], false),
    (&["tree"], false),
    (&["queue"], false),
    (&["typed"], false),
];

/// The modules that may hold unsafe code, by crate.
const UNSAFE: &[(&str, &[&str])] = &[
    ("treequeues", &["attached", "fork", "liveness", "loan", "segment"]),
    ("treequeues-cli", &[]),
    ("treequeues-derive", &[]),
    ("treequeues-py", &["attach", "hold", "loan", "state", "tree"]),
    ("../fuzz", &["system"]),
    ("../kill_points", &["children", "items", "tracer"]),
];

fn source_of(krate: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/").join(krate).join("src")
}

/// Every source file of a crate below `src`, with the name of the top module that it belongs to. Tests do not count.
fn modules(krate: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, top: Option<&str>, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8").to_owned();
            if stem == "tests" {
                continue;
            }
            let top = top.unwrap_or(&stem);
            if path.is_dir() {
                walk(&path, Some(top), found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((top.to_owned(), fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    let mut found = Vec::new();
    walk(&source_of(krate), None, &mut found);
    found.sort();
    found
}

/// A source without its comments and without what follows its test module.
fn code(source: &str) -> String {
    let code = source.split("#[cfg(all(test, not(loom)))]\nmod tests").next().unwrap_or(source);
    code.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn imports_run_strictly_downward() {
    let layer_of: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(layer, (names, _))| names.iter().map(move |name| (*name, layer)))
        .collect();
    let mut seen = BTreeSet::new();
    for (module, source) in modules("treequeues") {
        if module == "lib" {
            continue;
        }
        let own = *layer_of
            .get(module.as_str())
            .unwrap_or_else(|| panic!("{module} has no layer yet: give it one"));
        seen.insert(module.clone());
        for (at, _) in code(&source).match_indices("crate::") {
            let rest = &code(&source)[at + "crate::".len()..];
            let import: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let Some(&theirs) = layer_of.get(import.as_str()) else { continue };
            let allowed = theirs < own || import == module || (theirs == own && LAYERS[own].1);
            assert!(allowed, "{module} imports {import}, which is not below it");
        }
    }
    assert_eq!(seen.len(), layer_of.len(), "every layer's modules exist: {seen:?}");
}

#[test]
fn unsafe_code_stands_only_where_it_is_mapped() {
    for (krate, allowed) in UNSAFE {
        let mut found = BTreeSet::new();
        for (module, source) in modules(krate) {
            let words: Vec<String> =
                code(&source).split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect();
            if words.iter().any(|word| word == "unsafe") {
                found.insert(module);
            }
        }
        let allowed: BTreeSet<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(found, allowed, "the map of unsafe code of {krate}");
        let root = fs::read_to_string(source_of(krate).join("lib.rs")).expect("a crate root");
        let is_denied =
            ["deny", "forbid"].iter().any(|how| root.contains(&format!("#![{how}(unsafe_code)]")));
        assert!(is_denied, "{krate} denies unsafe code elsewhere");
    }
}

#[test]
fn atomics_come_from_sync_alone() {
    for krate in ["treequeues", "treequeues-derive", "treequeues-py"] {
        for (module, source) in modules(krate) {
            let code = code(&source);
            let foreign = ["std::sync::atomic", "core::sync::atomic", "loom::sync"];
            assert!(
                module == "sync" || !foreign.iter().any(|path| code.contains(path)),
                "{krate}/{module} goes past the door to the atomics"
            );
        }
    }
}
