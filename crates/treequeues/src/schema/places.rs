//! Places: where leaves are in their trees, to compare.
//!
//! A path is text for people, and a long one loses its middle. A place is the whole list of steps that lead to a leaf, kept as a
//! tree of numbers: what leaves have in common on their way is there once, however deep they are.
//!
//! P1. Two leaves have the same number if, and only if, equal steps lead to them.
//! P2. A structure's leaves have different numbers: the names in a container are different.

use std::collections::HashMap;

use super::{Key, Step, Structure};

/// The place of the whole tree.
const ROOT: usize = 0;

/// A step, whatever the kind of the container: a field is worth as much as a `str` key, and an index as an `int` key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PlaceStep<'s> {
    Name(&'s str),
    Number(i128),
    Other(&'s Key),
}

/// The places of some structures, by number.
#[derive(Debug, Default)]
pub(crate) struct Places<'s> {
    /// Where each step leads to, from each place.
    numbers: HashMap<(usize, PlaceStep<'s>), usize>,
}

impl<'s> Places<'s> {
    /// The places of a structure's leaves, in their order.
    pub(crate) fn of_leaves(&mut self, structure: &'s Structure) -> Vec<usize> {
        let mut places = Vec::with_capacity(structure.leaf_count());
        // By depth, of what is open; a node's way ends in the container before it.
        let mut way: Vec<usize> = Vec::new();
        structure.for_each_step(|node, depth, step| {
            way.truncate(depth);
            let place = match (way.last(), step) {
                (Some(&parent), Some(step)) => self.number(parent, step),
                _ => ROOT,
            };
            way.push(place);
            if structure.is_leaf(node) {
                places.push(place);
            }
        });
        places
    }

    fn number(&mut self, parent: usize, step: Step<'s>) -> usize {
        let next = self.numbers.len() + 1;
        let step = match step {
            Step::Key(Key::Str(name)) => PlaceStep::Name(name),
            Step::Field(name) => PlaceStep::Name(name),
            Step::Key(Key::Int(number)) => PlaceStep::Number(*number),
            Step::Index(index) => PlaceStep::Number(index as i128),
            Step::Key(key) => PlaceStep::Other(key),
        };
        *self.numbers.entry((parent, step)).or_insert(next)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::schema::{ClassPath, Node};

    fn structure(nodes: Vec<Node>) -> Structure {
        Structure::new(nodes).expect("one tree")
    }

    fn dict(keys: &[&str]) -> Node {
        Node::Dict(keys.iter().map(|key| Key::Str((*key).to_owned())).collect())
    }

    #[test]
    fn the_same_steps_lead_to_the_same_place_in_any_order_and_container() {
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
        let mut places = Places::default();
        let (ours, theirs) = (places.of_leaves(&ours), places.of_leaves(&theirs));
        assert_eq!([ours[2], ours[1], ours[0]], theirs[..]);
    }

    #[test]
    fn keys_that_only_look_alike_are_different_places() {
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
        let mut numbers = Places::default().of_leaves(&structure(nodes));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }

    #[test]
    fn a_million_leaves_a_hundred_levels_down_take_a_step_each() {
        let levels = crate::schema::MAX_DEPTH - 1;
        let leaves = crate::schema::MAX_LEAVES;
        let mut nodes = vec![Node::List(1); levels];
        nodes.push(Node::Tuple(leaves));
        nodes.extend(vec![Node::Leaf; leaves]);
        let structure = structure(nodes);
        let mut places = Places::default();
        assert_eq!(places.of_leaves(&structure).len(), leaves);
        assert_eq!(places.numbers.len(), levels + leaves);
    }
}
