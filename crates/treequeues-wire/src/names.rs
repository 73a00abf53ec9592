//! What the tensor of each leaf is called: its path as a JSON pointer (<https://datatracker.ietf.org/doc/html/rfc6901>) without the first
//! slash, `obs/left`, `meta/0`.
//!
//! | a step of the path | is written |
//! |---|---|
//! | a `str` key, or a field | as it is, with `~0` for `~` and `~1` for `/` |
//! | an index, or an `int` key | in decimal digits |
//! | another key | as the schema's JSON writes it, likewise escaped: `{"bytes":"00ff"}` |
//!
//! Three cases need an escape of their own, `~2`, which no JSON pointer has:
//! - a name that would be empty (a tree that is a leaf, or a key of no characters at its root) is `~2`;
//! - `__metadata__`, which safetensors keeps for itself, is `~2__metadata__`;
//! - a name that an earlier leaf has, as with the keys `3` and `'3'` in one dict, ends with `~2` and a number from 2 on.

use std::collections::HashMap;

use treequeues::Structure;
use treequeues::schema::{Key, Node, Step};

const ESCAPE: &str = "~2";
const RESERVED: [&str; 2] = ["", "__metadata__"];

/// The names, in the order of the leaves. Each is there once.
pub(crate) fn of(structure: &Structure) -> Vec<String> {
    let mut names = Vec::with_capacity(structure.leaf_count());
    let mut taken = HashMap::with_capacity(structure.leaf_count());
    // By depth: how long the name of each open container is. `None` for the root, which no slash follows.
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut name = String::new();
    structure.for_each_step(|node, depth, step| {
        open.truncate(depth);
        match (open.last(), step) {
            (Some(parent), Some(step)) => {
                name.truncate(parent.unwrap_or(0));
                if parent.is_some() {
                    name.push('/');
                }
                write(step, &mut name);
                open.push(Some(name.len()));
            }
            _ => {
                name.clear();
                open.push(None);
            }
        }
        if structure.nodes()[node] == Node::Leaf {
            names.push(free_name(&name, &mut taken));
        }
    });
    names
}

fn write(step: Step<'_>, name: &mut String) {
    match step {
        Step::Key(Key::Str(text)) => escape(text, name),
        Step::Field(text) => escape(text, name),
        Step::Key(Key::Int(number)) => name.push_str(&number.to_string()),
        Step::Index(index) => name.push_str(&index.to_string()),
        Step::Key(key) => escape(&serde_json::to_string(key).expect("a key is JSON"), name),
    }
}

fn escape(text: &str, name: &mut String) {
    for char in text.chars() {
        match char {
            '~' => name.push_str("~0"),
            '/' => name.push_str("~1"),
            char => name.push(char),
        }
    }
}

/// `taken` has each name that is there, and the number that comes next behind it.
fn free_name(name: &str, taken: &mut HashMap<String, u32>) -> String {
    let name = if RESERVED.contains(&name) { format!("{ESCAPE}{name}") } else { name.to_owned() };
    let Some(next) = taken.get_mut(&name) else {
        taken.insert(name.clone(), 2);
        return name;
    };
    // No path has the escape in it, so nothing else has this name.
    let other = format!("{name}{ESCAPE}{next}");
    *next += 1;
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(nodes: Vec<Node>) -> Vec<String> {
        of(&Structure::new(nodes).expect("a tree"))
    }

    fn dict(keys: impl IntoIterator<Item = Key>) -> Node {
        Node::Dict(keys.into_iter().collect())
    }

    fn text(key: &str) -> Key {
        Key::Str(key.to_owned())
    }

    #[test]
    fn a_path_is_a_json_pointer_without_its_first_slash() {
        let nodes = vec![
            dict([text("meta"), text("a/b~c"), text("pair")]),
            dict([text("step")]),
            Node::Leaf,
            Node::Leaf,
            Node::Tuple(2),
            Node::Leaf,
            Node::Leaf,
        ];
        assert_eq!(names_of(nodes), ["meta/step", "a~1b~0c", "pair/0", "pair/1"]);
    }

    #[test]
    fn names_that_safetensors_has_no_room_for_are_escaped() {
        assert_eq!(names_of(vec![Node::Leaf]), ["~2"]);
        let keys = [text(""), text("__metadata__"), text("~2")];
        assert_eq!(
            names_of(vec![dict(keys), Node::Leaf, Node::Leaf, Node::Leaf]),
            ["~2", "~2__metadata__", "~02"]
        );
        // Deeper down an empty key is none: its name has slashes.
        let nodes = vec![dict([text("")]), dict([text("")]), Node::Leaf];
        assert_eq!(names_of(nodes), ["/"]);
    }

    #[test]
    fn keys_that_are_no_text_have_names_and_equal_ones_are_told_apart() {
        let keys = [Key::Int(3), text("3"), Key::Bool(true), Key::Tuple(vec![Key::None, text("/")])];
        let nodes = vec![dict(keys), Node::Leaf, Node::Leaf, Node::Leaf, Node::Leaf];
        assert_eq!(names_of(nodes), ["3", "3~22", r#"{"bool":true}"#, r#"{"tuple":[{"none":[]},"~1"]}"#]);
    }

    #[test]
    fn many_leaves_of_one_name_are_told_apart_in_no_time() {
        // In each of 12 dicts around a leaf, the keys 3 and '3': 4096 leaves that are all called the same.
        let mut nodes = vec![Node::Leaf];
        for _ in 0..12 {
            nodes = [vec![dict([Key::Int(3), text("3")])], nodes.clone(), nodes].concat();
        }
        let names = names_of(nodes);
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), 4096);
        assert!(names[4095].ends_with("/3~24096"), "{}", names[4095]);
    }

    #[test]
    fn a_container_after_another_begins_where_its_parent_ends() {
        let nodes = vec![
            Node::List(2),
            dict([text("x"), text("y")]),
            Node::Leaf,
            Node::None,
            dict([text("x")]),
            Node::Leaf,
        ];
        assert_eq!(names_of(nodes), ["0/x", "1/x"]);
    }
}
