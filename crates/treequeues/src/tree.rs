//! Trees as Rust types: what a struct is as an item, how it gets into a slot's rows, and out of them.
//!
//! A type describes its leaves, and writes and reads them in the same order. Rows are found by what the type's owner says
//! of each leaf, so the order of the leaves in the segment may be another.
//!
//! T1. What a type writes and reads are the leaves that it describes, each once, in order. A type that breaks this is
//!     found out at its first item, before that is published.
//! T2. A leaf goes between a value and its row in one copy: nested arrays are one slice.

use std::collections::HashMap;
use std::sync::Arc;

use crate::format::Kind;
use crate::item::dtype::{Dtype, Element};
use crate::item::leaf::{LeafError, bools, elements, elements_mut};
use crate::item::schema::{LeafKind, LeafSpec, Routes, Schema, SchemaDifference, Subtree};
use crate::loan::{ReadRows, WriteRows};

/// A Rust type whose values are items of a queue: see [`TypedQueue`](crate::TypedQueue).
///
/// Numbers, `bool` and fixed arrays of them, nested or not, are leaves; structs that derive it are dicts of their fields:
///
/// ```
/// use treequeues::Tree;
///
/// #[derive(Tree)]
/// struct State {
///     position: [f64; 3],
///     mass: f64,
/// }
///
/// #[derive(Tree)]
/// struct Transition {
///     frame: [[u8; 84]; 84],
///     state: State,
///     #[tree(rename = "terminal")]
///     done: bool,
///     r#type: u32,
/// }
///
/// let schema = Transition::schema();
/// let leaves: Vec<String> = schema.leaves().iter().map(|leaf| format!("{}: {leaf}", leaf.path)).collect();
/// assert_eq!(
///     leaves,
///     [
///         "frame: uint8 (84, 84)",
///         "state.position: float64 (3,)",
///         "state.mass: a float",
///         "terminal: a bool",
///         "type: a uint32 scalar",
///     ]
/// );
/// ```
///
/// Python sees `{"frame": ..., "state": {"position": ..., "mass": ...}, "terminal": ..., "type": ...}`.
///
/// # By hand
///
/// A type that is more than its fields can say in which leaves it lies:
///
/// ```
/// use treequeues::schema::Subtree;
/// use treequeues::{LeafError, LeafReader, LeafWriter, Tree};
///
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// enum Action {
///     Left,
///     Right,
/// }
///
/// impl Tree for Action {
///     const ZERO: Self = Action::Left;
///
///     fn subtree() -> Subtree {
///         u8::subtree()
///     }
///
///     fn write_to(&self, leaves: &mut LeafWriter<'_>) {
///         leaves.write(&(*self as u8));
///     }
///
///     fn read_from(&mut self, leaves: &mut LeafReader<'_>) -> Result<(), LeafError> {
///         let mut number = 0_u8;
///         leaves.read(&mut number)?;
///         *self = match number {
///             0 => Action::Left,
///             1 => Action::Right,
///             number => return Err(leaves.refuse(format!("no action has the number {number}"))),
///         };
///         Ok(())
///     }
/// }
///
/// let queue = treequeues::TypedQueue::<Action>::create(8)?;
/// queue.push(&Action::Right)?;
/// assert_eq!(queue.pop()?, Action::Right);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tree of arrays",
    label = "neither a number, a `bool`, a fixed array of these, nor a struct that derives `Tree`",
    note = "a queue's items have one size: `Vec`, `String`, references, enums and `Option` have none in shared memory"
)]
pub trait Tree: Sized {
    /// What items are read into: numbers are 0, and bools `false`.
    const ZERO: Self;

    /// The leaves, and the dicts around them.
    fn subtree() -> Subtree;

    /// Writes the leaves, in the order of `subtree`.
    fn write_to(&self, leaves: &mut LeafWriter<'_>);

    /// Reads the leaves, in the order of `subtree`.
    ///
    /// # Errors
    /// If the bytes are no value of this type. A part of it may have been read already.
    fn read_from(&mut self, leaves: &mut LeafReader<'_>) -> Result<(), LeafError>;

    /// The schema of a queue of such items.
    ///
    /// # Panics
    /// If the tree is beyond the limits of [`Schema`], or names a key twice: no derived tree that is less than
    /// [`MAX_DEPTH`](crate::schema::MAX_DEPTH) structs deep is or does.
    #[must_use]
    fn schema() -> Schema {
        match Self::subtree().build() {
            Ok(schema) => schema,
            Err(error) => panic!("the type's tree has no schema: {error}"),
        }
    }
}

/// A Rust type that is one leaf: a [`Scalar`](crate::Scalar), or a fixed array of such types, a dimension a level.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no element of an array in a queue",
    label = "neither a number, a `bool`, nor a fixed array of these",
    note = "for an array of structs, use a struct of arrays"
)]
pub trait LeafType: sealed::Sealed + Copy + Send + Sync + 'static {
    /// What items are read into.
    #[doc(hidden)]
    const ZEROS: Self;

    #[doc(hidden)]
    fn spec() -> LeafSpec;

    /// Whether a leaf of `dtype` consists of these.
    #[doc(hidden)]
    fn is_of(dtype: &Dtype) -> bool;

    /// Copies values that lie side by side into as many bytes.
    #[doc(hidden)]
    fn copy_in(values: &[Self], row: &mut [u8]);

    /// Copies bytes into as many values, or gives the number of the first element that is none.
    #[doc(hidden)]
    fn copy_out(row: &[u8], values: &mut [Self]) -> Result<(), usize>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! impl_element {
    ($($element:ty = $zero:literal),* $(,)?) => {
        $(
            impl sealed::Sealed for $element {}
            impl LeafType for $element {
                const ZEROS: Self = $zero;

                fn spec() -> LeafSpec {
                    LeafSpec::scalar_of::<$element>()
                }

                fn is_of(dtype: &Dtype) -> bool {
                    <$element as Element>::stands_for(dtype)
                }

                #[inline]
                fn copy_in(values: &[Self], row: &mut [u8]) {
                    elements_mut(row).copy_from_slice(values);
                }

                #[inline]
                fn copy_out(row: &[u8], values: &mut [Self]) -> Result<(), usize> {
                    values.copy_from_slice(elements(row));
                    Ok(())
                }
            }
            impl_leaf_tree!($element);
        )*
    };
}

macro_rules! impl_leaf_tree {
    ($leaf:ty $(, $length:ident $cell:ident)?) => {
        impl $(<$cell: LeafType, const $length: usize>)? Tree for $leaf {
            const ZERO: Self = <Self as LeafType>::ZEROS;

            fn subtree() -> Subtree {
                Subtree::leaf(<Self as LeafType>::spec())
            }

            #[inline]
            fn write_to(&self, leaves: &mut LeafWriter<'_>) {
                leaves.write(self);
            }

            #[inline]
            fn read_from(&mut self, leaves: &mut LeafReader<'_>) -> Result<(), LeafError> {
                leaves.read(self)
            }
        }
    };
}

impl_element! {
    u8 = 0, u16 = 0, u32 = 0, u64 = 0, i8 = 0, i16 = 0, i32 = 0, i64 = 0, f32 = 0.0, f64 = 0.0,
}

impl sealed::Sealed for bool {}
impl LeafType for bool {
    const ZEROS: Self = false;

    fn spec() -> LeafSpec {
        LeafSpec::scalar_of::<bool>()
    }

    fn is_of(dtype: &Dtype) -> bool {
        dtype.is_bool()
    }

    fn copy_in(values: &[Self], row: &mut [u8]) {
        row.iter_mut().zip(values).for_each(|(byte, value)| *byte = u8::from(*value));
    }

    fn copy_out(row: &[u8], values: &mut [Self]) -> Result<(), usize> {
        values.copy_from_slice(bools(row)?);
        Ok(())
    }
}
impl_leaf_tree!(bool);

impl<T: LeafType, const N: usize> sealed::Sealed for [T; N] {}
impl<T: LeafType, const N: usize> LeafType for [T; N] {
    const ZEROS: Self = [T::ZEROS; N];

    fn spec() -> LeafSpec {
        let mut spec = T::spec();
        spec.kind = LeafKind::Array;
        spec.shape.insert(0, N);
        spec
    }

    fn is_of(dtype: &Dtype) -> bool {
        T::is_of(dtype)
    }

    #[inline]
    fn copy_in(values: &[Self], row: &mut [u8]) {
        T::copy_in(values.as_flattened(), row);
    }

    #[inline]
    fn copy_out(row: &[u8], values: &mut [Self]) -> Result<(), usize> {
        T::copy_out(row, values.as_flattened_mut())
    }
}
impl_leaf_tree!([T; N], N T);

/// The rows of a slot that an item is written into, leaf by leaf.
#[derive(Debug)]
pub struct LeafWriter<'l> {
    rows: WriteRows<'l>,
    rest: std::slice::Iter<'l, usize>,
}

impl<'l> LeafWriter<'l> {
    /// Writes into the rows that `order` names: for each leaf of the type, its number in the schema.
    fn new(rows: WriteRows<'l>, order: &'l [usize]) -> Self {
        Self { rows, rest: order.iter() }
    }

    /// Writes the next leaf.
    ///
    /// # Panics
    /// If the leaf that comes next in the type's [`Tree::subtree`] is another.
    #[inline]
    pub fn write<L: LeafType>(&mut self, value: &L) {
        let leaf = *self.rest.next().expect("T1: no more leaves are written than described");
        assert!(
            L::is_of(&self.rows.schema().leaves()[leaf].dtype),
            "T1: leaves have the dtype that was described"
        );
        let row = self.rows.reborrow().leaf_bytes_mut(leaf);
        assert_eq!(row.len(), size_of::<L>(), "T1: leaves have the shape that was described");
        L::copy_in(std::slice::from_ref(value), row);
    }

    /// Checks that all leaves were written.
    fn finish(self) {
        assert!(self.rest.as_slice().is_empty(), "T1: no fewer leaves are written than described");
    }
}

/// The rows that an item is read from, leaf by leaf.
#[derive(Debug)]
pub struct LeafReader<'l> {
    rows: ReadRows<'l>,
    order: &'l [usize],
    next: usize,
}

impl<'l> LeafReader<'l> {
    /// Reads the rows that `order` names: for each leaf of the type, its number in the schema.
    fn new(rows: ReadRows<'l>, order: &'l [usize]) -> Self {
        Self { rows, order, next: 0 }
    }

    /// Reads the next leaf.
    ///
    /// # Errors
    /// If a byte of a leaf of bools is none.
    ///
    /// # Panics
    /// If the leaf that comes next in the type's [`Tree::subtree`] is another.
    #[inline]
    pub fn read<L: LeafType>(&mut self, value: &mut L) -> Result<(), LeafError> {
        let leaf = *self.order.get(self.next).expect("T1: no more leaves are read than described");
        self.next += 1;
        assert!(
            L::is_of(&self.rows.schema().leaves()[leaf].dtype),
            "T1: leaves have the dtype that was described"
        );
        let row = self.rows.leaf_bytes(leaf);
        assert_eq!(row.len(), size_of::<L>(), "T1: leaves have the shape that was described");
        L::copy_out(row, std::slice::from_mut(value))
            .map_err(|element| LeafError::not_bool(self.rows.schema(), leaf, element, row[element]))
    }

    /// An error for a leaf whose number is none of the type's values: the one that was read last.
    #[must_use]
    pub fn refuse(&self, reason: impl Into<String>) -> LeafError {
        let leaf = self.next.checked_sub(1).map(|last| &self.rows.schema().leaves()[self.order[last]]);
        let path = leaf.map_or_else(|| "(root)".to_owned(), |leaf| leaf.path.clone());
        LeafError::Value { path, reason: reason.into() }
    }

    /// Checks that all leaves were read.
    fn finish(self) {
        assert_eq!(self.next, self.order.len(), "T1: no fewer leaves are read than described");
    }
}

/// The items of a queue or a topic are not of the type: their leaves are others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {structure}'s items are not of this type:\n{}", .difference.table("the type", &format!("the {structure}")))]
#[non_exhaustive]
pub struct OtherItems {
    /// Where they differ.
    pub difference: SchemaDifference,
    /// `queue` or `topic`.
    pub structure: &'static str,
}

/// For each leaf of the type, its number in the schema of a queue or a topic.
pub(crate) fn order_of<T: Tree>(schema: &Schema, kind: Kind) -> Result<Arc<[usize]>, OtherItems> {
    match_leaves(&T::schema(), schema).map_err(|difference| OtherItems { difference, structure: kind.name() })
}

/// Writes an item into the rows that `order` names.
#[inline]
pub(crate) fn write<T: Tree>(item: &T, rows: WriteRows<'_>, order: &[usize]) {
    let mut leaves = LeafWriter::new(rows, order);
    item.write_to(&mut leaves);
    leaves.finish();
}

/// Reads an item from the rows that `order` names.
#[inline]
pub(crate) fn read<T: Tree>(item: &mut T, rows: ReadRows<'_>, order: &[usize]) -> Result<(), LeafError> {
    let mut leaves = LeafReader::new(rows, order);
    item.read_from(&mut leaves)?;
    leaves.finish();
    Ok(())
}

/// For each leaf of `ours`, its number in `theirs`; or the difference, if the same bytes are not the same leaves.
fn match_leaves(ours: &Schema, theirs: &Schema) -> Result<Arc<[usize]>, SchemaDifference> {
    if let Some(difference) = SchemaDifference::of_bytes(ours, theirs) {
        return Err(difference);
    }
    if ours.structure() == theirs.structure() {
        return Ok((0..ours.leaves().len()).collect());
    }
    let mut routes = Routes::default();
    let (ours, theirs) = (routes.of_leaves(ours.structure()), routes.of_leaves(theirs.structure()));
    let numbers: HashMap<usize, usize> = theirs.into_iter().zip(0..).collect();
    Ok(ours.iter().map(|route| numbers[route]).collect())
}

/// What must not compile: types of no fixed size, and structs that are no dicts. What the macro itself says is tested where it
/// is written.
///
/// ```compile_fail,E0277
/// #[derive(treequeues::Tree)]
/// struct Item {
///     duration: std::time::Duration,
/// }
/// ```
///
/// ```compile_fail,E0277
/// #[derive(Clone, Copy, treequeues::Tree)]
/// struct Point {
///     x: f32,
/// }
///
/// #[derive(treequeues::Tree)]
/// struct Items {
///     points: [Point; 3],
/// }
/// ```
///
/// ```compile_fail
/// #[derive(treequeues::Tree)]
/// struct Item {
///     values: Vec<f32>,
/// }
/// ```
///
/// ```compile_fail
/// #[derive(treequeues::Tree)]
/// struct Item(f32);
/// ```
///
/// ```compile_fail
/// #[derive(treequeues::Tree)]
/// enum Item {
///     Left,
/// }
/// ```
#[cfg(all(doctest, feature = "derive"))]
mod refused {}
