//! From bytes to rows. The bytes come from anywhere, so all that they say is compared with what the reader knows (R1, R2).

use safetensors::SafeTensors;
use treequeues::LeafSpec;
use treequeues::dtype::Dtype;

use crate::Wire;
use crate::note::{self, ItemNote, Metadata, Origin};
use crate::refused::{Refused, shortened};

/// Some items, as a message has them: every one fits the reader's schema.
#[derive(Debug)]
pub struct Message<'b> {
    origin: Origin,
    items: Vec<ItemNote>,
    /// Of each leaf, the rows of all items.
    rows: Vec<&'b [u8]>,
}

impl Wire {
    /// The items of a message.
    ///
    /// # Errors
    ///
    /// [`Refused`], which says what is wrong with it. Whatever the bytes are, it never panics.
    pub fn decode<'b>(&self, bytes: &'b [u8]) -> Result<Message<'b>, Refused> {
        let (header_nbytes, header) = SafeTensors::read_metadata(bytes).map_err(Refused::Format)?;
        let data = &bytes[size_of::<u64>() + header_nbytes..];
        let nothing = Metadata::new();
        let metadata = header.metadata().as_ref().unwrap_or(&nothing);
        let (origin, items) = note::read(self, metadata)?;

        let tensors = header.tensors();
        let others = |name: &str| Refused::Tensors { name: shortened(name), leaves: self.leaves.len() };
        if let Some(name) = tensors.keys().find(|name| !self.by_name.contains_key(*name)) {
            return Err(others(name));
        }
        let mut rows = Vec::with_capacity(self.leaves.len());
        for (tensor, leaf) in self.leaves.iter().zip(self.schema.leaves()) {
            let found = tensors.get(&tensor.name).ok_or_else(|| others(&tensor.name))?;
            let shape = tensor.stacked(items.len());
            if found.dtype != tensor.dtype || found.shape != shape {
                return Err(Refused::Tensor {
                    name: shortened(&tensor.name),
                    expected: format!("{:?} {shape:?}", tensor.dtype),
                    got: shortened(&format!("{:?} {:?}", found.dtype, found.shape)),
                });
            }
            let (begin, end) = found.data_offsets;
            // The header's own check: dtype and shape have so many bytes, and the file as many as all tensors.
            let of_leaf = &data[begin..end];
            if let Some(what) = bad_element(leaf, of_leaf) {
                return Err(Refused::Element { name: shortened(&tensor.name), what });
            }
            rows.push(of_leaf);
        }
        Ok(Message { origin, items, rows })
    }
}

impl<'b> Message<'b> {
    /// Where the items were put first.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What is known of each item beside its leaves; at least one.
    #[must_use]
    pub fn items(&self) -> &[ItemNote] {
        &self.items
    }

    /// All rows of one leaf, by its number in the schema, one after the other.
    ///
    /// # Panics
    ///
    /// If the schema has no such leaf.
    #[must_use]
    pub fn rows(&self, leaf: usize) -> &'b [u8] {
        self.rows[leaf]
    }

    /// The row of one leaf of one item.
    ///
    /// # Panics
    ///
    /// If there is no such leaf or item.
    #[must_use]
    pub fn row(&self, item: usize, leaf: usize) -> &'b [u8] {
        let row_nbytes = self.rows[leaf].len() / self.items.len();
        &self.rows[leaf][item * row_nbytes..(item + 1) * row_nbytes]
    }
}

/// What an element of a leaf should be, if one of them is none: readers in shared memory rely on it.
fn bad_element(leaf: &LeafSpec, rows: &[u8]) -> Option<&'static str> {
    if leaf.dtype.is_bool() {
        return rows.iter().any(|&byte| byte > 1).then_some("bool");
    }
    let Dtype::Text(_, order) = &leaf.dtype else { return None };
    let number = |bytes: &[u8; 4]| match order {
        treequeues::dtype::ByteOrder::Little => u32::from_le_bytes(*bytes),
        treequeues::dtype::ByteOrder::Big => u32::from_be_bytes(*bytes),
    };
    // As NumPy has it: lone surrogates are characters of Python's.
    let is_bad = |bytes| number(bytes) > u32::from(char::MAX);
    rows.as_chunks().0.iter().any(is_bad).then_some("character")
}
