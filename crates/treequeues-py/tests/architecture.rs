//! The architecture of the bindings, held by a test: the tables in the headers of `lib.rs` and of each folder's `mod.rs` are layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the crate's root: `["tree", "leaf"]` is `tree/leaf.rs`, and `["tree"]` is `tree/mod.rs`.
type Module = Vec<String>;

/// A row of a table: its number, and whether its modules may hold unsafe code.
#[derive(Clone, Copy)]
struct Row {
    number: usize,
    may_be_unsafe: bool,
}

struct House {
    /// The code of each module, without comments.
    code: BTreeMap<Module, String>,
    rows: BTreeMap<Module, Row>,
}

impl House {
    fn read() -> Self {
        let mut house = House { code: BTreeMap::new(), rows: BTreeMap::new() };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        house.read_folder(&source, &Vec::new(), &source.join("lib.rs"));
        house
    }

    /// Reads what is below a folder, and the table in the header of the file that stands for it.
    fn read_folder(&mut self, folder: &Path, module: &Module, header: &Path) {
        self.read_file(header, module);
        let in_table: BTreeSet<Module> = self.read_table(header, module);
        let mut there = BTreeSet::new();
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path == header {
                continue;
            }
            let child = child_of(module, path.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8"));
            there.insert(child.clone());
            if path.is_dir() {
                self.read_folder(&path, &child, &path.join("mod.rs"));
            } else {
                self.read_file(&path, &child);
            }
        }
        assert_eq!(there, in_table, "the files beside {} and the rows of its table", header.display());
    }

    fn read_file(&mut self, path: &Path, module: &Module) {
        let source = fs::read_to_string(path).expect("a source file in UTF-8");
        let code: Vec<&str> = source.lines().map(|line| line.split("//").next().unwrap_or(line)).collect();
        self.code.insert(module.clone(), code.join("\n"));
    }

    /// The modules of the table in a header: the first cell of a row has their names, the last one says "yes" for unsafe code.
    fn read_table(&mut self, header: &Path, folder: &Module) -> BTreeSet<Module> {
        let source = fs::read_to_string(header).expect("a source file in UTF-8");
        let rows = source.lines().filter_map(|line| line.strip_prefix("//! | `"));
        let mut found = BTreeSet::new();
        for (number, row) in rows.enumerate() {
            let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
            let may_be_unsafe = cells.last() == Some(&"yes");
            for name in cells[0].split('`').filter(|name| name.starts_with(char::is_alphabetic)) {
                let module = child_of(folder, name);
                assert!(found.insert(module.clone()), "{} has one row", name_of(&module));
                self.rows.insert(module, Row { number, may_be_unsafe });
            }
        }
        found
    }

    /// The module that a path leads into: as far down as there are files.
    fn module_of(&self, path: &[String]) -> Module {
        let known = (0..=path.len()).rev().map(|len| path[..len].to_vec());
        known.into_iter().find(|module| self.code.contains_key(module)).expect("the root at least")
    }

    /// Whether `importer` is above `imported`: at the folder where their ways part, in the later row; or it is that folder's.
    fn is_above(&self, importer: &Module, imported: &Module) -> bool {
        let common = importer.iter().zip(imported).take_while(|(one, other)| one == other).count();
        if importer.len() == common || imported.len() == common {
            return importer.len() == common;
        }
        let row = |module: &Module| self.rows[&module[..=common].to_vec()].number;
        row(importer) > row(imported)
    }
}

fn child_of(folder: &Module, name: &str) -> Module {
    folder.iter().cloned().chain([name.to_owned()]).collect()
}

fn name_of(module: &Module) -> String {
    if module.is_empty() { "the root".to_owned() } else { module.join("/") }
}

/// All paths within the crate that a module names, absolute: those in a `use` of braces are several.
fn paths_in(module: &Module, code: &str) -> Vec<Vec<String>> {
    let words = words_of(code);
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let is_first = at == 0 || words[at - 1] != "::";
        if is_first && (word == "crate" || word == "super" || word == "self") {
            let next_is_path = words.get(at + 1).is_some_and(|word| word == "::");
            if next_is_path {
                follow(module, &words[at..], Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Names, `::`, and all other signs one by one.
fn words_of(code: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut was_in_name = false;
    for sign in code.chars() {
        let is_in_name = sign.is_alphanumeric() || sign == '_';
        match words.last_mut() {
            Some(name) if is_in_name && was_in_name => name.push(sign),
            Some(colon) if sign == ':' && colon == ":" => colon.push(sign),
            _ if sign.is_whitespace() => {}
            _ => words.push(sign.to_string()),
        }
        was_in_name = is_in_name;
    }
    words
}

/// Follows one path, or each of several in braces, and returns how many words it has.
fn follow(module: &Module, words: &[String], mut path: Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let mut at = 0;
    loop {
        match words[at].as_str() {
            "{" => {
                at += 1;
                while words[at] != "}" {
                    at += follow(module, &words[at..], path.clone(), found);
                    at += usize::from(words[at] == ",");
                }
                return at + 1;
            }
            "crate" => path = Vec::new(),
            "self" if path.is_empty() => path = module.clone(),
            "self" => {}
            "super" => {
                if at == 0 {
                    path = module.clone();
                }
                path.pop().expect("the root has no parent");
            }
            name => path.push(name.to_owned()),
        }
        at += 1;
        if words.get(at).is_none_or(|word| word != "::") {
            found.push(path);
            // What it is called instead.
            return if words.get(at).is_some_and(|word| word == "as") { at + 2 } else { at };
        }
        at += 1;
    }
}

#[test]
fn imports_run_strictly_downward() {
    let house = House::read();
    let mut wrong = Vec::new();
    for (importer, code) in &house.code {
        for path in paths_in(importer, code) {
            let imported = house.module_of(&path);
            if &imported != importer && !house.is_above(importer, &imported) {
                wrong.push(format!("{} names {}", name_of(importer), path.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "these import what is not below them:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stands_only_where_the_tables_say_so() {
    let house = House::read();
    for (module, code) in &house.code {
        let holds = words_of(code).iter().any(|word| word == "unsafe");
        let has_own_table = house.rows.keys().any(|row| row.len() > module.len() && row.starts_with(module));
        if has_own_table {
            assert!(!holds, "{} has a table, and no unsafe code of its own", name_of(module));
        } else {
            assert_eq!(holds, house.rows[module].may_be_unsafe, "unsafe code in {}", name_of(module));
        }
    }
}

#[test]
fn paths_are_found_in_braces_and_in_the_middle_of_code() {
    let code = "use super::{a, b::{self, C as D}}; use crate::e::F; fn g() -> super::super::H { std::i() }";
    let module = ["tree", "mend", "scalar"].map(str::to_owned).to_vec();
    let found: Vec<String> = paths_in(&module, code).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["tree::mend::a", "tree::mend::b", "tree::mend::b::C", "e::F", "tree::H"]);
}
