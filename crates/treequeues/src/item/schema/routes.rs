//! Routes: where leaves are in their trees, to compare.
//!
//! A path is text for people, and a long one loses its middle. A route is the whole list of steps that lead to a leaf, kept as a
//! tree of numbers: what leaves have in common on their way is there once, however deep they are.
//!
//! R1. Two leaves have the same number if, and only if, equal steps lead to them.
//! R2. A structure's leaves have different numbers: the names in a container are different.

use std::collections::HashMap;

use super::{Key, Step, Structure};

/// The route to the whole tree: no step.
const ROOT: usize = 0;

/// A step, whatever the kind of the container: a field is worth as much as a `str` key, and an index as an `int` key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RouteStep<'s> {
    Name(&'s str),
    Number(i128),
    Other(&'s Key),
}

/// The routes of some structures, by number.
#[derive(Debug, Default)]
pub(crate) struct Routes<'s> {
    /// Where each step leads to, from each node.
    numbers: HashMap<(usize, RouteStep<'s>), usize>,
}

impl<'s> Routes<'s> {
    /// The routes of a structure's leaves, in their order.
    pub(crate) fn of_leaves(&mut self, structure: &'s Structure) -> Vec<usize> {
        let mut routes = Vec::with_capacity(structure.leaf_count());
        // By depth, of what is open; a node's way ends in the container before it.
        let mut way: Vec<usize> = Vec::new();
        structure.for_each_step(|node, depth, step| {
            way.truncate(depth);
            let route = match (way.last(), step) {
                (Some(&parent), Some(step)) => self.number(parent, step),
                _ => ROOT,
            };
            way.push(route);
            if structure.is_leaf(node) {
                routes.push(route);
            }
        });
        routes
    }

    fn number(&mut self, parent: usize, step: Step<'s>) -> usize {
        let next = self.numbers.len() + 1;
        let step = match step {
            Step::Key(Key::Str(name)) => RouteStep::Name(name),
            Step::Field(name) => RouteStep::Name(name),
            Step::Key(Key::Int(number)) => RouteStep::Number(*number),
            Step::Index(index) => RouteStep::Number(index as i128),
            Step::Key(key) => RouteStep::Other(key),
        };
        *self.numbers.entry((parent, step)).or_insert(next)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::item::schema::{ClassPath, Node};

    fn structure(nodes: Vec<Node>) -> Structure {
        Structure::new(nodes).expect("one tree")
    }

    fn dict(keys: &[&str]) -> Node {
        Node::Dict(keys.iter().map(|key| Key::Str((*key).to_owned())).collect())
    }

    #[test]
    fn the_same_steps_are_one_route_in_any_order_and_container() {
        let ours = structure(vec![dict(&["a", "b"]), Node::List(2), Node::Leaf, Node::Leaf, Node::Leaf]);
        let class = ClassPath::new("game", "State");
        let fields = vec!["b".to_owned(), "a".to_owned()];
        let theirs = structure(vec![
            Node::Dataclass { class, fields },
            Node::Leaf,
            Node::Dict(vec![Key::Int(1), Key::Int(0)]),
            Node::Leaf,
            Node::Leaf,
        ]);
        let mut routes = Routes::default();
        let (ours, theirs) = (routes.of_leaves(&ours), routes.of_leaves(&theirs));
        assert_eq!([ours[2], ours[1], ours[0]], theirs[..]);
    }

    #[test]
    fn keys_that_only_look_alike_are_different_routes() {
        let keys = vec![
            Key::Int(1),
            Key::Bool(true),
            Key::from_f64(1.0),
            Key::Str("1".to_owned()),
            Key::Bytes(b"1".to_vec()),
            Key::Tuple(vec![Key::Int(1)]),
        ];
        let count = keys.len();
        let nodes = std::iter::once(Node::Dict(keys)).chain(vec![Node::Leaf; count]).collect();
        let mut numbers = Routes::default().of_leaves(&structure(nodes));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }

    #[test]
    fn a_million_leaves_a_hundred_levels_down_take_a_step_each() {
        let levels = crate::item::schema::MAX_DEPTH - 1;
        let leaves = crate::item::schema::MAX_LEAVES;
        let mut nodes = vec![Node::List(1); levels];
        nodes.push(Node::Tuple(leaves));
        nodes.extend(vec![Node::Leaf; leaves]);
        let structure = structure(nodes);
        let mut routes = Routes::default();
        assert_eq!(routes.of_leaves(&structure).len(), leaves);
        assert_eq!(routes.numbers.len(), levels + leaves);
    }
}
