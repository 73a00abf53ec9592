//! One slot's rows as slices of Rust types.

use super::{ReadRows, WriteRows};
use crate::item::dtype::Element;
use crate::item::leaf::{self, LeafError, LeafIndex};
use crate::item::schema::Schema;

impl<'l> WriteRows<'l> {
    /// One leaf's elements, to be filled.
    pub(crate) fn leaf_mut<T: Element>(self, which: impl LeafIndex) -> Result<&'l mut [T], LeafError> {
        let leaf = leaf::find_of::<T>(self.schema(), which)?;
        Ok(leaf::elements_mut(self.leaf_bytes_mut(leaf)))
    }

    /// Copies bools into a leaf of them.
    pub(crate) fn set_bools(self, which: impl LeafIndex, values: &[bool]) -> Result<(), LeafError> {
        let leaf = leaf::find_bools(self.schema(), which)?;
        check_len(self.schema(), leaf, values.len())?;
        write_bools(self.leaf_bytes_mut(leaf), values);
        Ok(())
    }
}

impl<'l> ReadRows<'l> {
    /// One leaf's elements.
    pub(crate) fn leaf<T: Element>(&self, which: impl LeafIndex) -> Result<&'l [T], LeafError> {
        let leaf = leaf::find_of::<T>(self.schema(), which)?;
        Ok(leaf::elements(self.leaf_bytes(leaf)))
    }

    /// The elements of a leaf of bools, each byte looked at.
    pub(crate) fn bools(&self, which: impl LeafIndex) -> Result<&'l [bool], LeafError> {
        let leaf = leaf::find_bools(self.schema(), which)?;
        read_bools(self.schema(), leaf, self.leaf_bytes(leaf))
    }
}

pub(crate) fn check_len(schema: &Schema, leaf: usize, got: usize) -> Result<(), LeafError> {
    let leaf = &schema.leaves()[leaf];
    // A bool is a byte.
    let there = leaf.nbytes();
    if there == got { Ok(()) } else { Err(LeafError::Length { path: leaf.path.clone(), there, got }) }
}

pub(crate) fn write_bools(row: &mut [u8], values: &[bool]) {
    row.iter_mut().zip(values).for_each(|(byte, value)| *byte = u8::from(*value));
}

pub(crate) fn read_bools<'r>(schema: &Schema, leaf: usize, row: &'r [u8]) -> Result<&'r [bool], LeafError> {
    leaf::bools(row).map_err(|element| LeafError::not_bool(schema, leaf, element, row[element]))
}
