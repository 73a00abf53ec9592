//! From bytes to rows. The bytes come from anywhere, so all that they say is compared with what the reader knows (R1, R2).

use std::collections::HashMap;

use safetensors::SafeTensors;
use safetensors::tensor::SafeTensorError;
use serde::Deserialize;

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
        check_offsets(bytes)?;
        let (header_nbytes, header) = SafeTensors::read_metadata(bytes).map_err(|it| Refused::format(&it))?;
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
        for tensor in &self.leaves {
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
            rows.push(&data[begin..end]);
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
        assert!(item < self.items.len(), "item {item} of {}", self.items.len());
        let row_nbytes = self.rows[leaf].len() / self.items.len();
        &self.rows[leaf][item * row_nbytes..(item + 1) * row_nbytes]
    }
}

/// Where a tensor lies.
#[derive(Deserialize)]
struct Extent {
    #[serde(default)]
    data_offsets: Option<(u64, u64)>,
}

/// Refuses tensors that end behind the file: their sizes add up to more than numbers can hold, and the library adds them up unchecked.
fn check_offsets(bytes: &[u8]) -> Result<(), Refused> {
    let format = |error| Err(Refused::format(&error));
    let Some((header_nbytes, rest)) = bytes.split_first_chunk() else {
        return format(SafeTensorError::HeaderTooSmall);
    };
    let header_nbytes = usize::try_from(u64::from_le_bytes(*header_nbytes)).unwrap_or(usize::MAX);
    let Some((header, data)) = rest.split_at_checked(header_nbytes) else {
        return format(SafeTensorError::InvalidHeaderLength);
    };
    let extents: HashMap<String, Extent> = match serde_json::from_slice(header) {
        Ok(extents) => extents,
        Err(error) => return format(SafeTensorError::InvalidHeaderDeserialization(error)),
    };
    let ends = extents.values().filter_map(|extent| extent.data_offsets.map(|(_, end)| end));
    if ends.max().is_some_and(|end| end > data.len() as u64) {
        return format(SafeTensorError::MetadataIncompleteBuffer);
    }
    Ok(())
}
