//! The architecture, held by a test: who may import whom, where unsafe code may stand, where atomics come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room may import those of the rows above it, and its own row where `true` says so. A room is a module, with what is below it
/// that is no room of its own.
const LAYERS: &[(&[&str], bool)] = &[
    (&["clock", "item::dtype", "long_look", "sync"], false),
    (&["item::schema"], false),
    (&["item::leaf"], false),
    (&["format", "format::layout", "format::name", "format::word"], true),
    (&["error"], false),
    (&["wait"], false),
    (&["memory::fork"], false),
    (&["memory::segment"], false),
    (&["presence::counters", "presence::liveness", "presence::structure"], false),
    (&["presence::values"], false),
    (&["presence::table"], false),
    (&["presence::names"], false),
    (&["presence::sweep"], false),
    (&["presence::participant"], false),
    (&["presence::attached"], false),
    (&["presence::door"], false),
    (&["loan"], false),
    (&["tree"], false),
    (&["queue::ring"], false),
    (&["queue::hosts", "queue::producers"], false),
    (&["queue::stats"], false),
    (&["queue::here"], false),
    (&["queue::calls", "queue::deliveries", "queue::overflow", "queue::publishing"], false),
    (&["queue::producing"], false),
    (&["queue::side"], false),
    (&["queue::attempts"], false),
    (&["queue::batch"], false),
    (&["queue::loan"], false),
    (&["queue::api"], false),
    (&["queue::typed"], false),
    (&["topic::word"], false),
    (&["topic::board", "topic::subscriptions"], false),
    (&["topic::stats"], false),
    (&["topic::here"], false),
    (&["topic::used"], false),
    (&["topic::calls"], false),
    (&["topic::loan"], false),
    (&["topic::api"], false),
    (&["topic::typed"], false),
    (&["observe"], false),
];

/// The modules that may hold unsafe code, by crate.
const UNSAFE: &[(&str, &[&str])] = &[
    (
        "treequeues",
        &[
            "item::leaf",
            "loan",
            "memory::fork",
            "memory::segment",
            "presence::attached",
            "presence::liveness",
            "presence::structure",
            "queue::here",
            "queue::loan",
            "topic::here",
            "topic::loan",
        ],
    ),
    ("treequeues-cli", &[]),
    ("treequeues-derive", &[]),
    ("treequeues-py", &["attach", "hold", "state", "tree"]),
    ("../fuzz", &["system"]),
    ("../kill_points", &["children", "ledger", "tracer"]),
];

fn source_of(krate: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/").join(krate).join("src")
}

/// Every source file of a crate below `src`, with the path of its module. Tests do not count.
fn modules(krate: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, path: &[String], found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("readable") {
            let file = entry.expect("readable").path();
            let stem = file.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8").to_owned();
            if stem == "tests" {
                continue;
            }
            let module = if stem == "mod" { path.to_vec() } else { [path, &[stem]].concat() };
            if file.is_dir() {
                walk(&file, &module, found);
            } else if file.extension().is_some_and(|extension| extension == "rs") {
                found.push((module.join("::"), fs::read_to_string(&file).expect("UTF-8")));
            }
        }
    }
    let mut found = Vec::new();
    walk(&source_of(krate), &[], &mut found);
    found.sort();
    found
}

/// The room of the table that a module, or what is named by a path, belongs to: the innermost one.
fn room_of<'r>(rooms: impl IntoIterator<Item = &'r &'r str>, path: &str) -> Option<&'r str> {
    let is_in =
        |room: &str| path == room || path.strip_prefix(room).is_some_and(|rest| rest.starts_with("::"));
    rooms.into_iter().copied().filter(|room| is_in(room)).max_by_key(|room| room.len())
}

/// A source without its comments and without what follows its test module.
fn code(source: &str) -> String {
    let code = source.split("#[cfg(all(test, not(loom)))]\nmod tests").next().unwrap_or(source);
    code.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// What a module names by a path from the crate's root, or from the module above it.
fn imports(module: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for prefix in ["crate::", "super::"] {
        for (at, _) in code.match_indices(prefix) {
            let begin = if prefix == "super::" { parent_of(module) } else { String::new() };
            let rest = &code[at + prefix.len()..];
            let is_path = |c: &char| c.is_alphanumeric() || "_:".contains(*c);
            let path = begin + &rest.chars().take_while(is_path).collect::<String>();
            // `use crate::format::{layout::Layout, word::Word}` names several.
            let list = rest
                .trim_start_matches(|c| is_path(&c))
                .strip_prefix('{')
                .and_then(|list| list.split_once('}'));
            match list {
                Some((names, _)) => found.extend(names.split(',').map(|name| path.clone() + name.trim())),
                None => found.push(path),
            }
        }
    }
    found
}

/// With `::` behind it, or nothing for the crate's root. What stands in a module within the file is one level further down, and so is
/// said of this module itself.
fn parent_of(module: &str) -> String {
    module.rsplit_once("::").map_or_else(String::new, |(parent, _)| format!("{parent}::"))
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
        let code = code(&source);
        let imports = imports(&module, &code);
        let Some(own) = room_of(layer_of.keys(), &module) else {
            assert!(imports.is_empty(), "{module} only says which rooms it has: give it a layer");
            assert!(!code.contains("fn "), "{module} only says which rooms it has: give it a layer");
            continue;
        };
        seen.insert(own);
        for import in imports {
            let Some(theirs) = room_of(layer_of.keys(), &import) else { continue };
            let (from, to) = (layer_of[own], layer_of[theirs]);
            let allowed = to < from || theirs == own || (to == from && LAYERS[from].1);
            assert!(allowed, "{module} imports {import}, which is not below it");
        }
    }
    assert_eq!(seen.len(), layer_of.len(), "every layer's rooms exist: {seen:?}");
}

#[test]
fn unsafe_code_stands_only_where_it_is_mapped() {
    for (krate, allowed) in UNSAFE {
        let mut found = BTreeSet::new();
        for (module, source) in modules(krate) {
            let words: Vec<String> =
                code(&source).split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect();
            if words.iter().any(|word| word == "unsafe") {
                found.insert(room_of(*allowed, &module).unwrap_or(&module).to_owned());
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

/// Of the crates beside the core no table says which file may import which, but none imports itself by way of others.
#[test]
fn no_files_of_the_tools_import_each_other_in_a_circle() {
    for krate in ["../fuzz", "../kill_points"] {
        let modules: Vec<_> = modules(krate).into_iter().filter(|(module, _)| module != "lib").collect();
        let names: Vec<&str> = modules.iter().map(|(module, _)| module.as_str()).collect();
        let mut below: BTreeMap<&str, BTreeSet<&str>> = modules
            .iter()
            .map(|(module, source)| {
                let code = code(source).replace("self::", &format!("crate::{module}::"));
                let others = imports(module, &code).into_iter().filter_map(|path| room_of(&names, &path));
                (module.as_str(), others.filter(|other| other != module).collect())
            })
            .collect();
        // Those that import nothing that is left go first.
        while let Some(lowest) = below.iter().find(|(_, others)| others.is_empty()).map(|(name, _)| *name) {
            below.remove(lowest);
            for others in below.values_mut() {
                others.remove(lowest);
            }
        }
        assert!(below.is_empty(), "{krate}: a circle among {below:#?}");
    }
}
