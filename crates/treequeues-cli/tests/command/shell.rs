//! Exit codes, closed pipes, completions, help.

use std::process::Stdio;

use crate::folder::{Folder, answer_of};

const COMMANDS: [&str; 8] = ["ls", "inspect", "top", "clean", "peek", "bench", "demo", "completions"];

#[test]
fn what_is_not_understood_is_told_with_code_2() {
    let folder = Folder::new();
    let wrong: [&[&str]; 7] = [
        &["frobnicate"],
        &["ls", "--nope"],
        &["inspect"],
        &["inspect", "../etc"],
        &["inspect", "a", "--json", "--prometheus"],
        &["top", "--interval", "0"],
        &["completions", "abacus"],
    ];
    for args in wrong {
        let answer = folder.run(args);
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(answer.stderr.starts_with("treequeues: "), "{args:?}: {answer:?}");
    }
    let answer = folder.run(&[]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("Usage: treequeues"), "{answer:?}");
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let folder = Folder::new();
    folder.put_file("notes", b"no queue");
    for args in
        [&["ls"][..], &["ls", "--json"], &["--help"], &["completions", "bash"], &["inspect", "--prometheus"]]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let child = folder.command(args).stdout(writer).stderr(Stdio::piped()).spawn().expect("it starts");
        let answer = answer_of(child);
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let folder = Folder::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let child = folder.command(&["ls"]).stdout(full).stderr(Stdio::piped()).spawn().expect("it starts");
    let answer = answer_of(child);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.starts_with("treequeues: could not write"), "{answer:?}");
}

#[test]
fn every_shell_has_completions() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = folder.text(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{command} in the script for {shell}");
        }
    }
}

#[test]
fn help_has_examples_and_the_version_a_number() {
    let folder = Folder::new();
    for command in COMMANDS {
        let help = folder.text(&[command, "--help"]);
        assert!(help.contains("Examples:") && help.contains("Usage: treequeues"), "{help}");
    }
    let help = folder.text(&["--help"]);
    assert!(!help.contains("helper"), "what the command starts itself as is not for people: {help}");
    assert_eq!(folder.text(&["--version"]), format!("treequeues {}\n", env!("CARGO_PKG_VERSION")));
}
