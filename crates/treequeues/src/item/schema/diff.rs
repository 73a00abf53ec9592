//! The difference of two schemas, for people: a table of what is on either side.
//!
//! Leaves are matched by their whole path, wherever they stand in the order. The containers are compared only where both sides have
//! leaves at the same paths: else the leaves say more about what differs.
//!
//! D1. There is a row if, and only if, the schemas differ.
//! D2. What is shown is bounded, whatever the schemas are: rows by [`MAX_SHOWN_ROWS`], cells by [`MAX_CELL_CHARS`].

use std::collections::HashMap;
use std::fmt;

use super::key::elide_middle;
use super::{Key, LeafSpec, Node, Routes, Schema};

/// How many rows of a difference are shown: a screen of an ordinary terminal, with room for what stands around it.
pub const MAX_SHOWN_ROWS: usize = 20;

/// How many characters of a cell are shown: three columns of it and their gaps fit into the width of most terminals.
pub const MAX_CELL_CHARS: usize = 48;

/// How many characters that both sides have in common stay in front of the first that differs.
const SHOWN_IN_COMMON: usize = 8;

/// What is written where a side has nothing.
const NOTHING: &str = "-";

/// One thing that differs, and how each side has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferenceRow {
    /// What it is: a leaf by its path, or another property by its name.
    pub what: String,
    /// How the left side has it, if it does.
    pub left: Option<String>,
    /// How the right side has it, if it does.
    pub right: Option<String>,
}

impl DifferenceRow {
    /// A row of something that both sides have.
    #[must_use]
    pub fn new(what: impl Into<String>, left: impl fmt::Display, right: impl fmt::Display) -> DifferenceRow {
        DifferenceRow { what: what.into(), left: Some(left.to_string()), right: Some(right.to_string()) }
    }

    fn of_leaf(path: &str, left: Option<&LeafSpec>, right: Option<&LeafSpec>) -> DifferenceRow {
        let text = |leaf: Option<&LeafSpec>| leaf.map(LeafSpec::to_string);
        let mut row = DifferenceRow { what: path.to_owned(), left: text(left), right: text(right) };
        if row.left == row.right {
            // Structured dtypes that read the same: they differ in offsets, titles or sizes, which the JSON has.
            let json =
                |leaf: Option<&LeafSpec>| leaf.and_then(|leaf| serde_json::to_string(&leaf.dtype).ok());
            (row.left, row.right) = (json(left), json(right));
        }
        row
    }
}

/// How two schemas differ, written as a table with one row for each thing that does.
///
/// ```
/// use treequeues::Schema;
///
/// let asked = Schema::from_json(
///     r#"{"version":1,"nodes":[{"dict":["obs","done"]},"leaf","leaf"],
///     "leaves":[{"dtype":"uint8","shape":[84,84]},{"dtype":"bool","kind":"bool"}]}"#,
/// )?;
/// let there = Schema::from_json(
///     r#"{"version":1,"nodes":[{"dict":["obs","done"]},"leaf","leaf"],
///     "leaves":[{"dtype":"uint8","shape":[84,84,3]},{"dtype":"bool","kind":"bool"}]}"#,
/// )?;
/// let difference = asked.difference(&there).expect("obs has three dimensions there");
/// assert_eq!(
///     difference.to_string(),
///     "       asked for       there
///   obs  uint8 (84, 84)  uint8 (84, 84, 3)
///   (1 leaf is the same)"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaDifference {
    rows: Vec<DifferenceRow>,
    equal_leaves: usize,
}

impl Schema {
    /// How this schema, the left side, differs from another; `None` if they are equal.
    #[must_use]
    pub fn difference(&self, other: &Schema) -> Option<SchemaDifference> {
        // Comparing is cheaper than finding out what differs, and the schemas are mostly equal.
        if self == other { None } else { Some(SchemaDifference::between(self, other)) }
    }
}

impl SchemaDifference {
    /// The difference of two schemas, without rows if they are equal: for callers that add rows of their own.
    #[must_use]
    pub fn between(left: &Schema, right: &Schema) -> SchemaDifference {
        let Matched { mut rows, equal_leaves, same_paths } =
            match_leaves(left, right, |ours, theirs| ours == theirs);
        if same_paths {
            rows.extend(structure_row(left, right));
        }
        SchemaDifference { rows, equal_leaves }
    }

    /// The difference of what the bytes of items are: the leaves by path, dtype and shape, in whatever order and containers,
    /// whatever they are given back as. `None` if one schema's items can be read as the other's.
    pub(crate) fn of_bytes(left: &Schema, right: &Schema) -> Option<SchemaDifference> {
        let same =
            |ours: &LeafSpec, theirs: &LeafSpec| ours.dtype == theirs.dtype && ours.shape == theirs.shape;
        let Matched { rows, equal_leaves, .. } = match_leaves(left, right, same);
        if rows.is_empty() { None } else { Some(SchemaDifference { rows, equal_leaves }) }
    }

    /// What differs, in the left side's order, then what the right side alone has.
    #[must_use]
    pub fn rows(&self) -> &[DifferenceRow] {
        &self.rows
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many leaves are the same on both sides.
    #[must_use]
    pub fn equal_leaves(&self) -> usize {
        self.equal_leaves
    }

    /// Puts a row in front of the others, for a property beside the schema: `maxsize  64  32`.
    pub fn push_front(&mut self, row: DifferenceRow) {
        self.rows.insert(0, row);
    }

    /// Puts a row of the capacities in front, if they differ.
    pub(crate) fn compare_capacities(&mut self, left: u64, right: usize) {
        if left != right as u64 {
            self.push_front(DifferenceRow::new("maxsize", left, right));
        }
    }

    /// The table under headings of the caller's. [`Display`](fmt::Display) has "asked for" and "there".
    #[must_use]
    pub fn table<'a>(&'a self, left_heading: &'a str, right_heading: &'a str) -> DifferenceTable<'a> {
        DifferenceTable { difference: self, headings: [left_heading, right_heading] }
    }
}

impl fmt::Display for SchemaDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table("asked for", "there").fmt(f)
    }
}

/// Writes a difference as a table, lines without a newline at the end: see [`SchemaDifference::table`].
#[derive(Debug, Clone, Copy)]
pub struct DifferenceTable<'a> {
    difference: &'a SchemaDifference,
    headings: [&'a str; 2],
}

impl fmt::Display for DifferenceTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SchemaDifference { rows, equal_leaves } = self.difference;
        let mut lines = vec![["".to_owned(), self.headings[0].to_owned(), self.headings[1].to_owned()]];
        lines.extend(rows.iter().take(MAX_SHOWN_ROWS).map(shown_cells));
        let width =
            |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let (what_width, left_width) = (width(0), width(1));
        for (index, [what, left, right]) in lines.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}  {what:what_width$}  {left:left_width$}  {right}")?;
        }
        if let Some(more @ 1..) = rows.len().checked_sub(MAX_SHOWN_ROWS) {
            write!(f, "\n  ... and {more} more")?;
        }
        match equal_leaves {
            0 => Ok(()),
            1 => f.write_str("\n  (1 leaf is the same)"),
            count => write!(f, "\n  ({count} leaves are the same)"),
        }
    }
}

/// What comes of matching the leaves of two schemas by path.
struct Matched {
    rows: Vec<DifferenceRow>,
    equal_leaves: usize,
    /// Whether both have leaves at the same paths, in whatever order.
    same_paths: bool,
}

fn match_leaves(left: &Schema, right: &Schema, same: impl Fn(&LeafSpec, &LeafSpec) -> bool) -> Matched {
    let mut routes = Routes::default();
    let (ours, theirs) = (routes.of_leaves(left.structure()), routes.of_leaves(right.structure()));
    let theirs: HashMap<usize, usize> = theirs.into_iter().zip(0..).collect();
    let mut is_matched = vec![false; right.leaves().len()];
    let mut matched = Matched { rows: Vec::new(), equal_leaves: 0, same_paths: true };
    for (leaf, route) in left.leaves().iter().zip(ours) {
        let index = theirs.get(&route).copied();
        index.into_iter().for_each(|index| is_matched[index] = true);
        match index.map(|index| &right.leaves()[index]) {
            Some(other) if same(leaf, other) => matched.equal_leaves += 1,
            other => {
                matched.same_paths &= other.is_some();
                matched.rows.push(DifferenceRow::of_leaf(&leaf.path, Some(leaf), other));
            }
        }
    }
    for (leaf, _) in right.leaves().iter().zip(is_matched).filter(|(_, is_matched)| !is_matched) {
        matched.same_paths = false;
        matched.rows.push(DifferenceRow::of_leaf(&leaf.path, None, Some(leaf)));
    }
    matched
}

/// The first container that differs. All nodes before it are the same, so it is at the same place on both sides.
fn structure_row(left: &Schema, right: &Schema) -> Option<DifferenceRow> {
    let nodes = || left.structure().nodes().iter().zip(right.structure().nodes());
    let index = nodes().position(|(left, right)| left != right)?;
    let (ours, theirs) = nodes().nth(index)?;
    let what = if index == 0 { "structure".to_owned() } else { left.structure().path_of(index) };
    Some(DifferenceRow::new(what, describe(ours), describe(theirs)))
}

fn describe(node: &Node) -> String {
    let keys = |keys: &[Key]| {
        let names = keys.iter().map(|key| key.as_identifier().map_or_else(|| key.to_string(), str::to_owned));
        names.collect::<Vec<_>>().join(", ")
    };
    match node {
        Node::Leaf => "a leaf".to_owned(),
        Node::None => "None".to_owned(),
        Node::Dict(names) => format!("dict({})", keys(names)),
        Node::OrderedDict(names) => format!("OrderedDict({})", keys(names)),
        Node::DefaultDict { factory: Some(factory), keys: names } => {
            format!("defaultdict of {factory} ({})", keys(names))
        }
        Node::DefaultDict { factory: None, keys: names } => format!("defaultdict({})", keys(names)),
        Node::List(children) => format!("list of {children}"),
        Node::Tuple(children) => format!("tuple of {children}"),
        Node::NamedTuple { class, fields } => format!("namedtuple {class}({})", fields.join(", ")),
        Node::Dataclass { class, fields } => format!("dataclass {class}({})", fields.join(", ")),
        Node::Attrs { class, fields } => format!("attrs {class}({})", fields.join(", ")),
        Node::Custom { class, aux: Key::None, children } => format!("{class} of {children}"),
        Node::Custom { class, aux, children } => format!("{class} of {children}, aux {aux}"),
    }
}

/// A row's three cells, short enough to be shown, and such that what differs is still there.
fn shown_cells(row: &DifferenceRow) -> [String; 3] {
    let [left, right] = [&row.left, &row.right].map(|cell| one_line(cell.as_deref().unwrap_or(NOTHING)));
    let [shown_left, shown_right] = [&left, &right].map(|cell| elide_middle(cell, MAX_CELL_CHARS));
    let what = elide_middle(&one_line(&row.what), MAX_CELL_CHARS).into_owned();
    if shown_left != shown_right || left == right {
        return [what, shown_left.into_owned(), shown_right.into_owned()];
    }
    let in_common = left.chars().zip(right.chars()).take_while(|(left, right)| left == right).count();
    let from_there = |cell: &str| {
        let rest: String = cell.chars().skip(in_common.saturating_sub(SHOWN_IN_COMMON)).collect();
        elide_end(&format!("...{rest}"))
    };
    [what, from_there(&left), from_there(&right)]
}

fn elide_end(text: &str) -> String {
    if text.chars().count() <= MAX_CELL_CHARS {
        return text.to_owned();
    }
    text.chars().take(MAX_CELL_CHARS - 3).chain("...".chars()).collect()
}

/// The text without what would break a table's lines: names may come from a damaged segment.
fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::item::dtype::{Dtype, Field, Structured};
    use crate::item::schema::{ClassPath, LeafKind, Structure};

    fn array(dtype: &str, shape: &[usize]) -> LeafSpec {
        LeafSpec::new(Dtype::from_name(dtype).unwrap(), shape.to_vec(), LeafKind::Array)
    }

    fn float() -> LeafSpec {
        LeafSpec::new(Dtype::from_name("float64").unwrap(), vec![], LeafKind::Float)
    }

    fn dict(leaves: Vec<(&str, LeafSpec)>) -> Schema {
        let keys = leaves.iter().map(|(name, _)| Key::Str((*name).to_owned())).collect();
        let nodes = std::iter::once(Node::Dict(keys)).chain(leaves.iter().map(|_| Node::Leaf)).collect();
        let leaves = leaves.into_iter().map(|(_, leaf)| leaf).collect();
        Schema::new(Structure::new(nodes).unwrap(), leaves).unwrap()
    }

    /// A tree of two leaves in a container.
    fn pair_in(container: Node) -> Schema {
        let structure = Structure::new(vec![container, Node::Leaf, Node::Leaf]).unwrap();
        Schema::new(structure, vec![float(), float()]).unwrap()
    }

    fn shown(left: &Schema, right: &Schema) -> String {
        left.difference(right).expect("they differ").to_string()
    }

    #[test]
    fn equal_schemas_have_no_difference() {
        let schema = dict(vec![("obs", array("uint8", &[84, 84])), ("reward", float())]);
        assert_eq!(schema.difference(&schema.clone()), None);
        let between = SchemaDifference::between(&schema, &schema);
        assert!(between.is_empty());
        assert_eq!(between.equal_leaves(), 2);
    }

    #[test]
    fn both_sides_stand_side_by_side_and_equal_leaves_are_counted() {
        let left = dict(vec![
            ("obs", array("uint8", &[84, 84])),
            ("reward", float()),
            ("done", array("bool", &[])),
            ("action", array("int64", &[])),
        ]);
        let right = dict(vec![
            ("obs", array("uint8", &[84, 84, 3])),
            ("done", array("bool", &[])),
            ("action", array("int64", &[])),
            ("extra", array("int64", &[3])),
        ]);
        let expected = "          asked for       there
  obs     uint8 (84, 84)  uint8 (84, 84, 3)
  reward  a float         -
  extra   -               int64 (3,)
  (2 leaves are the same)";
        assert_eq!(shown(&left, &right), expected);
    }

    #[test]
    fn headings_and_rows_in_front_are_the_callers() {
        let left = dict(vec![("x", float())]);
        let right = dict(vec![("x", array("float64", &[]))]);
        let mut difference = left.difference(&right).unwrap();
        difference.push_front(DifferenceRow::new("maxsize", 64, 32));
        let expected = "           mine     yours
  maxsize  64       32
  x        a float  float64 ()";
        assert_eq!(difference.table("mine", "yours").to_string(), expected);

        let mut capacity_alone = SchemaDifference::between(&left, &left);
        capacity_alone.push_front(DifferenceRow::new("maxsize", 64, 32));
        let expected = "           asked for  there
  maxsize  64         32
  (1 leaf is the same)";
        assert_eq!(capacity_alone.to_string(), expected);
    }

    #[test]
    fn containers_are_compared_where_the_paths_are_the_same() {
        let class = || ClassPath::new("game.state", "State");
        let fields = || vec!["x".to_owned(), "y".to_owned()];
        let names = |names: [&str; 2]| names.map(|name| Key::Str(name.to_owned())).to_vec();
        let containers = [
            (Node::List(2), "list of 2"),
            (Node::Tuple(2), "tuple of 2"),
            (Node::Dict(names(["x", "y"])), "dict(x, y)"),
            (Node::Dict(names(["y", "x"])), "dict(y, x)"),
            (Node::OrderedDict(names(["x", "y"])), "OrderedDict(x, y)"),
            (Node::DefaultDict { factory: None, keys: names(["x", "y"]) }, "defaultdict(x, y)"),
            (
                Node::DefaultDict {
                    factory: Some(ClassPath::new("builtins", "list")),
                    keys: names(["x", "y"]),
                },
                "defaultdict of builtins:list (x, y)",
            ),
            (Node::NamedTuple { class: class(), fields: fields() }, "namedtuple game.state:State(x, y)"),
            (Node::Dataclass { class: class(), fields: fields() }, "dataclass game.state:State(x, y)"),
            (Node::Attrs { class: class(), fields: fields() }, "attrs game.state:State(x, y)"),
            (Node::Custom { class: class(), aux: Key::None, children: 2 }, "game.state:State of 2"),
            (Node::Custom { class: class(), aux: Key::Int(1), children: 2 }, "game.state:State of 2, aux 1"),
        ];
        for (left, left_text) in &containers {
            for (right, right_text) in &containers {
                let (left, right) = (pair_in(left.clone()), pair_in(right.clone()));
                if left_text == right_text {
                    assert_eq!(left.difference(&right), None);
                    continue;
                }
                let difference = left.difference(&right).expect("they differ");
                let has_same_paths =
                    left.leaves()[0].path.starts_with('[') == right.leaves()[0].path.starts_with('[');
                if has_same_paths {
                    assert_eq!(difference.rows(), [DifferenceRow::new("structure", left_text, right_text)]);
                    assert_eq!(difference.equal_leaves(), 2);
                } else {
                    assert_eq!((difference.rows().len(), difference.equal_leaves()), (4, 0));
                }
            }
        }
    }

    #[test]
    fn a_container_inside_is_named_by_its_path() {
        let nested = |inner: Node| {
            let outer = Node::Dict(vec![Key::Str("obs".to_owned())]);
            let structure = Structure::new(vec![outer, inner, Node::Leaf]).unwrap();
            Schema::new(structure, vec![float()]).unwrap()
        };
        let expected = "       asked for  there
  obs  list of 1  tuple of 1
  (1 leaf is the same)";
        assert_eq!(shown(&nested(Node::List(1)), &nested(Node::Tuple(1))), expected);
    }

    #[test]
    fn rows_are_bounded_and_the_others_counted() {
        let names: Vec<String> = (0..57).map(|i| format!("leaf_{i}")).collect();
        let all = |leaf: LeafSpec| dict(names.iter().map(|name| (name.as_str(), leaf.clone())).collect());
        let text = shown(&all(float()), &all(array("int8", &[2])));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + MAX_SHOWN_ROWS + 1);
        assert_eq!(lines[MAX_SHOWN_ROWS], "  leaf_19  a float    int8 (2,)");
        assert_eq!(lines[MAX_SHOWN_ROWS + 1], "  ... and 37 more");
    }

    #[test]
    fn long_cells_lose_their_middle_but_not_what_differs() {
        let long = "k".repeat(200);
        let text = shown(&dict(vec![(&long, float())]), &dict(vec![("x", float())]));
        assert!(text.lines().all(|line| line.chars().count() <= 3 * MAX_CELL_CHARS + 6), "{text}");
        assert!(text.contains("kkk...kkk"), "{text}");

        let names: Vec<String> = (0..40).map(|i| format!("sensor_{i}")).collect();
        let keys: Vec<Key> = names.iter().map(|name| Key::Str(name.clone())).collect();
        let mut swapped = keys.clone();
        swapped.swap(20, 21);
        let of = |keys: Vec<Key>| {
            let nodes = std::iter::once(Node::Dict(keys)).chain(vec![Node::Leaf; 40]).collect();
            Schema::new(Structure::new(nodes).unwrap(), vec![float(); 40]).unwrap()
        };
        let text = shown(&of(keys), &of(swapped));
        assert!(
            text.contains("...sensor_20, sensor_21, ") && text.contains("...sensor_21, sensor_20, "),
            "{text}"
        );
    }

    #[test]
    fn structured_dtypes_that_read_the_same_show_where_they_differ() {
        let at = |offset| {
            let dtype = Dtype::from_name("int8").unwrap();
            let field = Field { name: "x".to_owned(), title: None, dtype, shape: vec![], offset };
            let dtype = Dtype::Structured(Structured::new(vec![field], 4, false).unwrap());
            Schema::new(Structure::leaf(), vec![LeafSpec::new(dtype, vec![], LeafKind::Array)]).unwrap()
        };
        let difference = at(0).difference(&at(2)).unwrap();
        let [row] = difference.rows() else { panic!("one leaf") };
        assert_eq!(row.what, "(root)");
        let text = difference.to_string();
        assert!(text.contains("set\":0}") && text.contains("set\":2}"), "{text}");
    }

    #[test]
    fn control_characters_do_not_break_the_table() {
        let class = |qualname: &str| ClassPath::new("a", qualname);
        let of = |qualname| {
            pair_in(Node::NamedTuple { class: class(qualname), fields: vec!["x\n".into(), "y".into()] })
        };
        let text = shown(&of("B\r\nC"), &of("D\u{1b}[31m"));
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\r'));
    }

    #[test]
    fn leaves_whose_paths_read_the_same_are_told_apart() {
        let deep = |last: [&str; 2]| {
            let key = |name: &str| Key::Str(name.to_owned());
            // Keys of 70 characters around one that falls into the middle, where paths are cut.
            let around = || (0..5).map(|_| Node::Dict(vec![key(&"k".repeat(70))]));
            let mut nodes: Vec<Node> = around().collect();
            nodes.push(Node::Dict(last.map(key).to_vec()));
            for _ in 0..2 {
                nodes.extend(around());
                nodes.push(Node::Leaf);
            }
            Schema::new(Structure::new(nodes).unwrap(), vec![float(), array("int8", &[])]).unwrap()
        };
        let (left, right) = (deep(["a", "b"]), deep(["a", "c"]));
        assert_eq!(left.leaves()[0].path, left.leaves()[1].path, "cut");
        let difference = left.difference(&right).unwrap();
        assert_eq!(difference.equal_leaves(), 1, "a");
        let sides: Vec<_> = difference.rows().iter().map(|row| (&row.left, &row.right)).collect();
        let int8 = Some("int8 ()".to_owned());
        assert_eq!(sides, [(&int8, &None), (&None, &int8)], "b, and c");
        assert_eq!(left.difference(&left), None);
    }
}
