//! From rows to bytes. Rows that lie side by side are copied once, into the message; a batch that goes past the ring's end is two runs,
//! which are joined first.

use std::borrow::Cow;

use safetensors::tensor::{Dtype as TensorDtype, SafeTensorError, View};
use treequeues::{ReadBatch, ReadLoan, Schema, SchemaDifference, TopicReadLoan};

use crate::note::{self, ItemNote, Origin};
use crate::{Tensor, Wire};

/// The rows of some items, side by side.
pub trait Rows {
    /// The schema that the rows are of, where they know it.
    fn schema(&self) -> Option<&Schema>;

    /// How many leaves there are rows of.
    fn leaves(&self) -> usize {
        self.schema().map_or(0, |schema| schema.leaves().len())
    }

    /// All rows of one leaf, by its number in the schema, one after the other.
    fn rows(&self, leaf: usize) -> Cow<'_, [u8]>;
}

/// By leaf: the rows of all items, one after the other.
impl Rows for &[&[u8]] {
    fn schema(&self) -> Option<&Schema> {
        None
    }

    fn leaves(&self) -> usize {
        self.len()
    }

    fn rows(&self, leaf: usize) -> Cow<'_, [u8]> {
        self[leaf].into()
    }
}

impl Rows for ReadLoan<'_> {
    fn schema(&self) -> Option<&Schema> {
        Some(self.schema())
    }

    fn rows(&self, leaf: usize) -> Cow<'_, [u8]> {
        self.leaf_bytes(leaf).into()
    }
}

impl Rows for TopicReadLoan<'_> {
    fn schema(&self) -> Option<&Schema> {
        Some(self.schema())
    }

    fn rows(&self, leaf: usize) -> Cow<'_, [u8]> {
        self.leaf_bytes(leaf).into()
    }
}

impl Rows for ReadBatch<'_> {
    fn schema(&self) -> Option<&Schema> {
        Some(self.schema())
    }

    fn rows(&self, leaf: usize) -> Cow<'_, [u8]> {
        let runs: Vec<_> = self.runs(leaf).map(|(_, rows)| rows).collect();
        if let [only] = &*runs { Cow::Borrowed(only) } else { Cow::Owned(runs.concat()) }
    }
}

/// Why items cannot be a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unsendable {
    /// They are items of another schema.
    #[error("the items are others than this format's:\n{0}")]
    OtherItems(Box<SchemaDifference>),
    /// There are rows of more or fewer leaves than the schema has.
    #[error("rows of {got} leaves, and the schema has {expected}")]
    Leaves {
        /// The schema's leaves.
        expected: usize,
        /// Those that there are rows of.
        got: usize,
    },
    /// The rows of a leaf are not those of so many items.
    #[error("{name:?}: {items} items have {expected} bytes there, got {got}")]
    Rows {
        /// The tensor's name.
        name: String,
        /// How many items there are notes of.
        items: usize,
        /// Bytes of their rows.
        expected: usize,
        /// Bytes that were handed over.
        got: usize,
    },
    /// No note, no item.
    #[error("a message has at least one item")]
    NoItems,
    /// The format has no room for them.
    #[error("safetensors cannot hold them: {0}")]
    Format(SafeTensorError),
}

impl Wire {
    /// A message of the items that these notes and rows are of.
    ///
    /// # Errors
    ///
    /// [`Unsendable`]: the rows are of other items, or of another number of them; or the format has no room for them. A header of safetensors,
    /// with the schema, a line for each leaf and four numbers for each item, has at most 100 MB. And the lengths of a leaf without elements,
    /// such as `(2**62, 0)`, are multiplied with the number of items from the left, which must not overflow.
    pub fn encode(
        &self,
        origin: &Origin,
        items: &[ItemNote],
        rows: &impl Rows,
    ) -> Result<Vec<u8>, Unsendable> {
        if items.is_empty() {
            return Err(Unsendable::NoItems);
        }
        if let Some(difference) = rows.schema().and_then(|theirs| self.schema.difference(theirs)) {
            return Err(Unsendable::OtherItems(Box::new(difference)));
        }
        if rows.leaves() != self.leaves.len() {
            return Err(Unsendable::Leaves { expected: self.leaves.len(), got: rows.leaves() });
        }
        let stacks = self.leaves.iter().enumerate().map(|(leaf, tensor)| {
            let stack = Stack::new(tensor, items.len(), rows.rows(leaf))?;
            Ok((&*tensor.name, stack))
        });
        let stacks = stacks.collect::<Result<Vec<_>, Unsendable>>()?;
        let metadata = note::write(self, origin, items);
        safetensors::serialize(stacks, Some(metadata)).map_err(Unsendable::Format)
    }
}

/// The rows of one leaf as a tensor.
struct Stack<'r> {
    dtype: TensorDtype,
    shape: Vec<usize>,
    rows: Cow<'r, [u8]>,
}

impl<'r> Stack<'r> {
    fn new(tensor: &Tensor, items: usize, rows: Cow<'r, [u8]>) -> Result<Self, Unsendable> {
        let expected = tensor.row_nbytes.saturating_mul(items);
        if rows.len() != expected {
            let name = tensor.name.clone();
            return Err(Unsendable::Rows { name, items, expected, got: rows.len() });
        }
        Ok(Self { dtype: tensor.dtype, shape: tensor.stacked(items), rows })
    }
}

impl View for Stack<'_> {
    fn dtype(&self) -> TensorDtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.rows)
    }

    fn data_len(&self) -> usize {
        self.rows.len()
    }
}

impl Tensor {
    /// The dimensions of so many items.
    pub(crate) fn stacked(&self, items: usize) -> Vec<usize> {
        [&[items], &*self.shape].concat()
    }
}
