//! Which leaf is meant, as what its bytes can be read, and why not.
//!
//! V1. An [`Element`] has no padding, and every bit pattern is a value of it: any bytes can be read as elements, and what is
//!     written as elements is bytes.
//! V2. A leaf's array begins at a multiple of 64 bytes and its rows are whole elements, so each row is aligned for the
//!     type that stands for its dtype. It is checked where a reference is made of it.
//! V3. A byte that is 0 or 1 is a `bool`. Others may come from a peer, so all are looked at before they are called that.

mod error;

pub use error::LeafError;

use crate::item::dtype::{Dtype, Element};
use crate::item::schema::Schema;

/// How a leaf is named: by its number in the schema, or by its path (`obs.left`, `[0]`).
///
/// A number is found at once; a path is compared with those of all leaves.
pub trait LeafIndex: sealed::Sealed {
    /// The leaf's number.
    #[doc(hidden)]
    fn find_in(self, schema: &Schema) -> Result<usize, LeafError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for &str {}
    impl Sealed for &String {}
}

impl LeafIndex for usize {
    fn find_in(self, schema: &Schema) -> Result<usize, LeafError> {
        if self < schema.leaves().len() { Ok(self) } else { Err(LeafError::missing(self, schema)) }
    }
}

impl LeafIndex for &str {
    fn find_in(self, schema: &Schema) -> Result<usize, LeafError> {
        let mut found =
            schema.leaves().iter().enumerate().filter(|(_, leaf)| leaf.path == self).map(|(index, _)| index);
        match (found.next(), found.next()) {
            (Some(leaf), None) => Ok(leaf),
            (None, _) => Err(LeafError::missing(format_args!("{self:?}"), schema)),
            // Long paths lose their middle, and then two may read the same.
            (Some(_), Some(_)) => Err(LeafError::Ambiguous { path: self.to_owned() }),
        }
    }
}

impl LeafIndex for &String {
    fn find_in(self, schema: &Schema) -> Result<usize, LeafError> {
        self.as_str().find_in(schema)
    }
}

/// The number of a leaf whose elements are `T`.
pub(crate) fn find_of<T: Element>(schema: &Schema, which: impl LeafIndex) -> Result<usize, LeafError> {
    find_where(schema, which, T::NAME, T::stands_for)
}

/// The number of a leaf whose elements are bools.
pub(crate) fn find_bools(schema: &Schema, which: impl LeafIndex) -> Result<usize, LeafError> {
    find_where(schema, which, "bool", Dtype::is_bool)
}

/// The bytes as elements.
///
/// # Panics
/// If they are not whole, aligned elements: no row is like that (V2).
pub(crate) fn elements<T: Element>(bytes: &[u8]) -> &[T] {
    let count = count_of::<T>(bytes);
    // SAFETY: V1 for the values, and `count_of` has checked alignment and size (V2).
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), count) }
}

/// The same, to be written.
///
/// # Panics
/// If they are not whole, aligned elements: no row is like that (V2).
pub(crate) fn elements_mut<T: Element>(bytes: &mut [u8]) -> &mut [T] {
    let count = count_of::<T>(bytes);
    // SAFETY: V1 for the values in both directions, and `count_of` has checked alignment and size (V2).
    unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), count) }
}

/// The bytes as bools, or the number of the first that is none.
pub(crate) fn bools(bytes: &[u8]) -> Result<&[bool], usize> {
    // Without an early end, so that the compiler can look at many at a time.
    if bytes.iter().fold(0, |all, byte| all | byte) > 1 {
        return Err(bytes.iter().position(|&byte| byte > 1).expect("one has a bit beside the lowest"));
    }
    // SAFETY: V3: each was found to be 0 or 1, and nobody writes to them while they are borrowed.
    Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) })
}

fn count_of<T: Element>(bytes: &[u8]) -> usize {
    assert!(bytes.as_ptr().cast::<T>().is_aligned(), "V2: rows are aligned");
    assert!(bytes.len().is_multiple_of(size_of::<T>()), "V2: rows are whole elements");
    bytes.len() / size_of::<T>()
}

fn find_where(
    schema: &Schema,
    which: impl LeafIndex,
    asked: &'static str,
    fits: impl FnOnce(&Dtype) -> bool,
) -> Result<usize, LeafError> {
    let index = which.find_in(schema)?;
    let leaf = &schema.leaves()[index];
    if fits(&leaf.dtype) {
        return Ok(index);
    }
    Err(LeafError::Dtype { path: leaf.path.clone(), asked, there: leaf.dtype.to_string() })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[repr(align(8))]
    struct Aligned([u8; 16]);

    #[test]
    fn bytes_become_elements_and_back() {
        let mut bytes = Aligned([0; 16]);
        elements_mut::<f64>(&mut bytes.0).copy_from_slice(&[0.5, -1.0]);
        assert_eq!(elements::<f64>(&bytes.0), [0.5, -1.0]);
        assert_eq!(elements::<u64>(&bytes.0)[0], 0.5_f64.to_bits());
        assert_eq!(elements::<u32>(&bytes.0[..0]), [0_u32; 0]);
        assert_eq!(elements::<u8>(&bytes.0[3..5]).len(), 2);
    }

    #[test]
    #[should_panic(expected = "rows are aligned")]
    fn unaligned_bytes_are_no_elements() {
        elements::<f64>(&Aligned([0; 16]).0[4..12]);
    }

    #[test]
    #[should_panic(expected = "rows are whole elements")]
    fn a_part_of_an_element_is_none() {
        elements::<f64>(&Aligned([0; 16]).0[..12]);
    }

    #[test]
    fn only_zero_and_one_are_bools() {
        assert_eq!(bools(&[0, 1, 1]), Ok(&[false, true, true][..]));
        assert_eq!(bools(&[]), Ok(&[][..]));
        for byte in 2..=255 {
            assert_eq!(bools(&[0, 1, byte, byte]), Err(2));
        }
    }
}
