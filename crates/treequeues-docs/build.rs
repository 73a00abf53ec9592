//! Makes a documented module of each block of Rust in the documentation's pages and the README, so that `cargo test` compiles and runs
//! it as it does any example.
//!
//! An HTML comment in the line before a block says more: `continues` makes it the next part of the block before it, and
//! `not run` leaves it out. `tests/test_docs.py` lists those that are left out.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A block, and the line of its page in which it begins.
struct Block {
    line: usize,
    code: String,
}

fn main() {
    let root = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("set by Cargo")).join("../..");
    let (docs, readme) = (root.join("docs"), root.join("README.md"));
    println!("cargo::rerun-if-changed={}", docs.display());
    println!("cargo::rerun-if-changed={}", readme.display());
    let mut pages = vec![readme];
    find_pages(&docs, &mut pages);
    pages.sort();
    let mut modules = String::new();
    for page in pages {
        let name = page.strip_prefix(&root).expect("found there").with_extension("");
        let name = name.to_str().expect("UTF-8").replace(|c: char| !c.is_alphanumeric(), "_");
        for Block { line, code } in blocks(&fs::read_to_string(&page).expect("readable")) {
            let doc = format!("```\n{code}```");
            writeln!(modules, "#[doc = {doc:?}]\nmod {name}_line_{line} {{}}").expect("a string grows");
        }
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by Cargo")).join("pages.rs");
    fs::write(out, modules).expect("writable");
}

fn find_pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            find_pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut lines = page.lines().enumerate();
    let mut before = "";
    while let Some((at, line)) = lines.next() {
        if line.trim_start().starts_with("```rust") {
            let code: String = (&mut lines)
                .map(|(_, line)| line)
                .take_while(|line| line.trim() != "```")
                .flat_map(|line| [line, "\n"])
                .collect();
            if before.contains("<!-- continues -->") {
                let last = found.last_mut().expect("a block that can be continued");
                last.code.push('\n');
                last.code.push_str(&code);
            } else if !before.contains("<!-- not run: ") {
                found.push(Block { line: at + 1, code });
            }
            before = "";
        } else {
            before = line;
        }
    }
    found
}
