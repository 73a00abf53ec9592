//! Structures: trees without their leaves, as a flat list of nodes in preorder.
//!
//! A flat list needs no recursion to check, to walk or to write as JSON, so no input can overflow the stack.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::SchemaError;
use super::key::{ClassPath, Key, MAX_KEY_DEPTH, MAX_SHOWN_CHARS, elide_middle};

/// How many containers may stand around a leaf: more than people write by hand, few enough to walk by recursion.
pub const MAX_DEPTH: usize = 100;

/// How many leaves a tree may have: a hundred times what the largest models have.
pub const MAX_LEAVES: usize = 1 << 20;

/// How many nodes a tree may have, so that empty containers are bounded too.
pub const MAX_NODES: usize = 1 << 21;

/// How many characters of a path are kept: a longer one loses its middle.
pub const MAX_PATH_CHARS: usize = 400;

/// The path of a tree that is itself a leaf or the container in question.
const ROOT_PATH: &str = "(root)";

/// One node of a structure; its children are the nodes that follow it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Node {
    /// An array or a scalar.
    Leaf,
    /// Python's `None`, which is structure and takes no bytes.
    None,
    /// A `dict`, by its keys in insertion order.
    Dict(Vec<Key>),
    /// A `collections.OrderedDict`.
    OrderedDict(Vec<Key>),
    /// A `collections.defaultdict`.
    DefaultDict {
        /// The class that makes the defaults, if it can be imported.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        factory: Option<ClassPath>,
        /// The keys in insertion order.
        keys: Vec<Key>,
    },
    /// A `list` of so many children.
    List(usize),
    /// A `tuple` of so many children.
    Tuple(usize),
    /// A named tuple.
    NamedTuple {
        /// Its class.
        class: ClassPath,
        /// Its fields in order.
        fields: Vec<String>,
    },
    /// A dataclass.
    Dataclass {
        /// Its class.
        class: ClassPath,
        /// Its fields in order.
        fields: Vec<String>,
    },
    /// A class made by `attrs`.
    Attrs {
        /// Its class.
        class: ClassPath,
        /// Its fields in order.
        fields: Vec<String>,
    },
    /// An object of a registered class.
    Custom {
        /// Its class.
        class: ClassPath,
        /// What flattening it gave beside the children.
        aux: Key,
        /// How many children flattening it gave.
        children: usize,
    },
}

impl Node {
    /// How many of the nodes that follow are its children.
    #[must_use]
    pub fn child_count(&self) -> usize {
        match self {
            Node::Leaf | Node::None => 0,
            Node::Dict(keys) | Node::OrderedDict(keys) | Node::DefaultDict { keys, .. } => keys.len(),
            Node::List(children) | Node::Tuple(children) | Node::Custom { children, .. } => *children,
            Node::NamedTuple { fields, .. } | Node::Dataclass { fields, .. } | Node::Attrs { fields, .. } => {
                fields.len()
            }
        }
    }

    /// The step to this child.
    fn step(&self, child: usize) -> Step<'_> {
        match self {
            Node::Dict(keys) | Node::OrderedDict(keys) | Node::DefaultDict { keys, .. } => {
                Step::Key(&keys[child])
            }
            Node::NamedTuple { fields, .. } | Node::Dataclass { fields, .. } | Node::Attrs { fields, .. } => {
                Step::Field(&fields[child])
            }
            _ => Step::Index(child),
        }
    }

    /// Refuses names that come twice, and keys nested too deeply.
    fn check_names(&self, path: impl FnOnce() -> String) -> Result<(), SchemaError> {
        let mut keys: &[Key] = &[];
        let mut fields: &[String] = &[];
        match self {
            Node::Dict(names) | Node::OrderedDict(names) | Node::DefaultDict { keys: names, .. } => {
                keys = names
            }
            Node::NamedTuple { fields: names, .. }
            | Node::Dataclass { fields: names, .. }
            | Node::Attrs { fields: names, .. } => fields = names,
            Node::Custom { aux, .. } => keys = std::slice::from_ref(aux),
            Node::Leaf | Node::None | Node::List(_) | Node::Tuple(_) => {}
        }
        if keys.iter().any(|key| key.depth() > MAX_KEY_DEPTH) {
            return Err(SchemaError::KeyTooDeep { path: path() });
        }
        let twice = first_twice(keys)
            .map(Key::to_string)
            .or_else(|| first_twice(fields).map(|name| elide_middle(name, MAX_SHOWN_CHARS).into_owned()));
        twice.map_or(Ok(()), |name| Err(SchemaError::DuplicateName { path: path(), name }))
    }
}

/// One step down a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Into a dict.
    Key(&'a Key),
    /// Into a class's field.
    Field(&'a str),
    /// Into a list, a tuple or a custom node.
    Index(usize),
}

impl Step<'_> {
    fn write(self, path: &mut String) {
        use std::fmt::Write;
        let name = match self {
            Step::Key(key) => key.as_identifier(),
            Step::Field(name) => Some(name),
            Step::Index(_) => None,
        };
        // Writing to a String cannot fail.
        let _ = match (name, self) {
            // Shortened, because each leaf below has it in its path. A key this long is none to stand behind a dot.
            (Some(name), _) => {
                let dot = if path.is_empty() { "" } else { "." };
                write!(path, "{dot}{}", elide_middle(name, MAX_SHOWN_CHARS))
            }
            (None, Step::Key(key)) => write!(path, "[{key}]"),
            (None, Step::Index(index)) => write!(path, "[{index}]"),
            (None, Step::Field(_)) => Ok(()),
        };
    }
}

/// The path that these steps make, as people read it.
#[must_use]
pub fn render_path<'a>(steps: impl IntoIterator<Item = Step<'a>>) -> String {
    let mut path = String::new();
    steps.into_iter().for_each(|step| step.write(&mut path));
    finish_path(&path)
}

/// A tree without its leaves: nodes in preorder, dict keys in the example's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    nodes: Vec<Node>,
    leaf_count: usize,
}

impl Structure {
    /// The structure of these nodes in preorder.
    ///
    /// # Errors
    ///
    /// [`SchemaError`], where they are not one tree, or larger or deeper than the limits.
    pub fn new(nodes: Vec<Node>) -> Result<Structure, SchemaError> {
        if nodes.len() > MAX_NODES {
            return Err(SchemaError::TooManyNodes);
        }
        let leaf_count = nodes.iter().filter(|node| matches!(node, Node::Leaf)).count();
        if leaf_count > MAX_LEAVES {
            return Err(SchemaError::TooManyLeaves);
        }
        check_one_tree(&nodes)?;
        let structure = Structure { nodes, leaf_count };
        for (index, node) in structure.nodes.iter().enumerate() {
            node.check_names(|| structure.path_of(index))?;
        }
        Ok(structure)
    }

    /// The structure of a tree that is a leaf.
    #[must_use]
    pub fn leaf() -> Structure {
        Structure { nodes: vec![Node::Leaf], leaf_count: 1 }
    }

    /// The nodes, in preorder.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How many of the nodes are leaves.
    #[must_use]
    pub fn leaf_count(&self) -> usize {
        self.leaf_count
    }

    /// Where the node with this index in preorder is, for people.
    #[must_use]
    pub fn path_of(&self, index: usize) -> String {
        let mut found = String::new();
        self.for_each_path(|node, path| {
            if node == index {
                found = finish_path(path);
            }
        });
        found
    }

    /// The paths of all leaves, in order.
    pub(super) fn leaf_paths(&self) -> Vec<String> {
        let mut paths = Vec::with_capacity(self.leaf_count);
        self.for_each_path(|node, path| {
            if self.is_leaf(node) {
                paths.push(finish_path(path));
            }
        });
        paths
    }

    /// Whether the node with this index is a leaf.
    pub(super) fn is_leaf(&self, index: usize) -> bool {
        self.nodes[index] == Node::Leaf
    }

    fn for_each_path(&self, mut visit: impl FnMut(usize, &str)) {
        let mut path = String::new();
        // The length of each open container's own path.
        let mut lengths: Vec<usize> = Vec::new();
        self.for_each_step(|index, depth, step| {
            lengths.truncate(depth);
            path.truncate(lengths.last().copied().unwrap_or(0));
            if let Some(step) = step {
                step.write(&mut path);
            }
            lengths.push(path.len());
            visit(index, &path);
        });
    }

    /// Visits each node with the number of containers around it, and the step that leads to it from the innermost.
    pub fn for_each_step<'s>(&'s self, mut visit: impl FnMut(usize, usize, Option<Step<'s>>)) {
        // Each open container: its node, and the child that comes next.
        let mut open: Vec<(&'s Node, usize)> = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            while open.last().is_some_and(|&(parent, next)| next == parent.child_count()) {
                open.pop();
            }
            let depth = open.len();
            let step = open.last_mut().map(|(parent, next)| {
                *next += 1;
                parent.step(*next - 1)
            });
            visit(index, depth, step);
            if node.child_count() > 0 {
                open.push((node, 0));
            }
        }
    }
}

/// Checks that the nodes are one tree in preorder, not too deep.
fn check_one_tree(nodes: &[Node]) -> Result<(), SchemaError> {
    // How many children each open container still misses.
    let mut missing: Vec<usize> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        match missing.last_mut() {
            Some(count) => *count -= 1,
            None if index == 0 => {}
            None => return Err(SchemaError::NotOneTree),
        }
        // No container misses more nodes than there are, so a huge count is found out here and not by counting.
        if node.child_count() > nodes.len() {
            return Err(SchemaError::NotOneTree);
        }
        if node.child_count() > 0 {
            missing.push(node.child_count());
        }
        if missing.len() > MAX_DEPTH {
            return Err(SchemaError::TooDeep);
        }
        while missing.last() == Some(&0) {
            missing.pop();
        }
    }
    if nodes.is_empty() || !missing.is_empty() { Err(SchemaError::NotOneTree) } else { Ok(()) }
}

fn first_twice<T: Eq + std::hash::Hash>(names: &[T]) -> Option<&T> {
    let mut seen = HashSet::with_capacity(names.len());
    names.iter().find(|name| !seen.insert(*name))
}

fn finish_path(path: &str) -> String {
    if path.is_empty() { ROOT_PATH.to_owned() } else { elide_middle(path, MAX_PATH_CHARS).into_owned() }
}
