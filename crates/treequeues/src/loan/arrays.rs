//! One slot's rows as views of the crate `ndarray`: with the feature of that name.

use ndarray::{ArrayViewD, ArrayViewMutD, IxDyn};

use super::{ReadRows, WriteRows};
use crate::item::dtype::Element;
use crate::item::leaf::{LeafError, LeafIndex};
use crate::item::schema::Schema;

impl<'l> WriteRows<'l> {
    /// One leaf as an array of its shape, to be filled.
    pub(crate) fn array_mut<T: Element>(
        self,
        which: impl LeafIndex,
    ) -> Result<ArrayViewMutD<'l, T>, LeafError> {
        let leaf = which.find_in(self.schema())?;
        let shape = shape_of(self.schema(), leaf);
        view_mut(shape, self.leaf_mut(leaf)?)
    }
}

impl<'l> ReadRows<'l> {
    /// One leaf as an array of its shape.
    pub(crate) fn array<T: Element>(&self, which: impl LeafIndex) -> Result<ArrayViewD<'l, T>, LeafError> {
        let leaf = which.find_in(self.schema())?;
        view(shape_of(self.schema(), leaf), self.leaf(leaf)?)
    }
}

pub(crate) fn shape_of(schema: &Schema, leaf: usize) -> IxDyn {
    IxDyn(&schema.leaves()[leaf].shape)
}

pub(crate) fn view<T: Element>(shape: IxDyn, elements: &[T]) -> Result<ArrayViewD<'_, T>, LeafError> {
    ArrayViewD::from_shape(shape, elements).map_err(|_| LeafError::TooLarge)
}

pub(crate) fn view_mut<T: Element>(
    shape: IxDyn,
    elements: &mut [T],
) -> Result<ArrayViewMutD<'_, T>, LeafError> {
    ArrayViewMutD::from_shape(shape, elements).map_err(|_| LeafError::TooLarge)
}
