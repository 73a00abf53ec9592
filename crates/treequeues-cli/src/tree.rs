//! A schema as a tree of lines.

use treequeues::Schema;
use treequeues::schema::{Key, LeafKind, Node};

/// One node: where it hangs, what it is called, what it is.
#[derive(Debug, PartialEq)]
pub struct Line {
    /// Branches and name: `│  ├─ left`.
    pub name: String,
    /// `uint8 (84, 84)`, or `dict`.
    pub what: String,
    /// Of a leaf, in one item.
    pub bytes: Option<usize>,
}

/// An open container: its children to come.
struct Open<'s> {
    node: &'s Node,
    next: usize,
    /// What stands before the branches of its children.
    indent: String,
}

/// The nodes in preorder; at most `max` lines, and how many nodes were left out.
pub fn lines(schema: &Schema, max: usize) -> (Vec<Line>, usize) {
    let nodes = schema.structure().nodes();
    let mut leaves = schema.leaves().iter();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut lines = Vec::new();
    for node in nodes.iter().take(max) {
        while open.last().is_some_and(|parent| parent.next == parent.node.child_count()) {
            open.pop();
        }
        let (mut name, mut indent) = (String::new(), String::new());
        if let Some(parent) = open.last_mut() {
            let is_last = parent.next + 1 == parent.node.child_count();
            name = format!("{}{} {}", parent.indent, if is_last { "└─" } else { "├─" }, child_name(parent));
            indent = format!("{}{}", parent.indent, if is_last { "   " } else { "│  " });
            parent.next += 1;
        }
        let leaf = if *node == Node::Leaf { leaves.next() } else { None };
        let what = leaf.map_or_else(
            || container(node),
            |leaf| match leaf.kind {
                LeafKind::Array => leaf.to_string(),
                kind => format!("{} ({})", leaf.dtype, scalar(kind)),
            },
        );
        lines.push(Line { name, what, bytes: leaf.map(|leaf| leaf.nbytes()) });
        if node.child_count() > 0 {
            open.push(Open { node, next: 0, indent });
        }
    }
    let left_out = nodes.len() - lines.len();
    (lines, left_out)
}

fn child_name(parent: &Open<'_>) -> String {
    match parent.node {
        Node::Dict(keys) | Node::OrderedDict(keys) | Node::DefaultDict { keys, .. } => {
            match &keys[parent.next] {
                Key::Str(text) if is_plain(text) => text.clone(),
                key => key.to_string(),
            }
        }
        Node::NamedTuple { fields, .. } | Node::Dataclass { fields, .. } | Node::Attrs { fields, .. } => {
            fields[parent.next].clone()
        }
        _ => format!("[{}]", parent.next),
    }
}

/// Whether a key is readable without quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn container(node: &Node) -> String {
    match node {
        Node::Leaf => "leaf".to_owned(),
        Node::None => "None".to_owned(),
        Node::Dict(_) => "dict".to_owned(),
        Node::OrderedDict(_) => "OrderedDict".to_owned(),
        Node::DefaultDict { .. } => "defaultdict".to_owned(),
        Node::List(_) => "list".to_owned(),
        Node::Tuple(_) => "tuple".to_owned(),
        Node::NamedTuple { class, .. } => format!("namedtuple {class}"),
        Node::Dataclass { class, .. } => format!("dataclass {class}"),
        Node::Attrs { class, .. } => format!("attrs {class}"),
        Node::Custom { class, .. } => format!("custom {class}"),
    }
}

/// What Python gives back for such a leaf.
fn scalar(kind: LeafKind) -> &'static str {
    match kind {
        LeafKind::Array => "array",
        LeafKind::NumpyScalar => "NumPy scalar",
        LeafKind::Bool => "Python bool",
        LeafKind::Int => "Python int",
        LeafKind::Float => "Python float",
        LeafKind::Complex => "Python complex",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use treequeues::schema::ClassPath;
    use treequeues::{Dtype, LeafSpec, Structure};

    fn schema() -> Schema {
        let leaf = |dtype, shape, kind| LeafSpec::new(Dtype::from_name(dtype).expect("NumPy's"), shape, kind);
        let key = |name: &str| Key::Str(name.to_owned());
        let class = ClassPath::new("game", "Step");
        let structure = Structure::new(vec![
            Node::Dict(vec![key("obs"), key("a b"), Key::Int(3)]),
            Node::NamedTuple { class, fields: vec!["left".into(), "right".into()] },
            Node::Leaf,
            Node::Leaf,
            Node::List(1),
            Node::Leaf,
            Node::None,
        ]);
        let leaves = vec![
            leaf("uint8", vec![84, 84], LeafKind::Array),
            leaf("float32", vec![], LeafKind::NumpyScalar),
            leaf("float64", vec![], LeafKind::Float),
        ];
        Schema::new(structure.expect("one tree"), leaves).expect("three leaves")
    }

    #[test]
    fn a_schema_is_drawn_as_a_tree() {
        let (lines, left_out) = lines(&schema(), 100);
        let text: Vec<String> = lines.iter().map(|line| format!("{}|{}", line.name, line.what)).collect();
        assert_eq!(
            text,
            [
                "|dict",
                "├─ obs|namedtuple game:Step",
                "│  ├─ left|uint8 (84, 84)",
                "│  └─ right|float32 (NumPy scalar)",
                "├─ 'a b'|list",
                "│  └─ [0]|float64 (Python float)",
                "└─ 3|None",
            ]
        );
        assert_eq!(left_out, 0);
        assert_eq!(lines[2].bytes, Some(7056));
    }

    #[test]
    fn a_long_tree_is_cut_and_says_so() {
        let (lines, left_out) = lines(&schema(), 3);
        assert_eq!((lines.len(), left_out), (3, 4));
    }
}
