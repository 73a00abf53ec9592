//! Copies between rows, which are contiguous, and arrays whose elements are not: slices, transposes, broadcasts.
//!
//! It needs no GIL, so a large non-contiguous array stops other threads no more than a contiguous one does.
//!
//! T1. The addresses `data + sum(index * stride)`, for all indices below the lengths, are elements of the array: the
//!     owner of the array, which the caller holds, keeps them alive.
//! T2. The row has exactly `product(lengths) * itemsize` bytes, and overlaps no array: a held slot is nobody else's.

/// Where the elements of an array are.
pub(super) struct Strided {
    data: *mut u8,
    /// Length and stride of each dimension that is walked, outermost first.
    dims: Vec<(usize, isize)>,
    /// Bytes that stand side by side in the array, so that they are copied in one piece.
    run_nbytes: usize,
    nbytes: usize,
}

// SAFETY: it is an address and lengths; who copies holds the owner of the memory (T1).
unsafe impl Send for Strided {}
// SAFETY: as above; copying through a shared reference changes nothing in it.
unsafe impl Sync for Strided {}

impl Strided {
    /// The elements at `data`, of `itemsize` bytes each.
    pub fn new(data: *mut u8, lengths: &[isize], strides: &[isize], itemsize: usize) -> Strided {
        let lengths = lengths.iter().map(|&length| length as usize);
        let nbytes = lengths.clone().product::<usize>() * itemsize;
        let mut dims: Vec<_> =
            lengths.zip(strides.iter().copied()).filter(|&(length, _)| length != 1).collect();
        let mut run_nbytes = itemsize;
        while let Some(&(length, stride)) = dims.last() {
            if stride != run_nbytes as isize {
                break;
            }
            run_nbytes *= length;
            dims.pop();
        }
        Strided { data, dims, run_nbytes, nbytes }
    }

    /// The address of the first element.
    pub fn data(&self) -> *const u8 {
        self.data
    }

    /// Length and stride of each dimension that is walked, outermost first.
    pub fn dims(&self) -> &[(usize, isize)] {
        &self.dims
    }

    /// Bytes that stand side by side.
    pub fn run_nbytes(&self) -> usize {
        self.run_nbytes
    }

    /// The lowest address of its bytes and the one behind the highest, which are the same where there are none.
    pub fn bounds(&self) -> (usize, usize) {
        let data = self.data.addr();
        if self.nbytes == 0 {
            return (data, data);
        }
        let reach = |(length, stride): (usize, isize)| stride * (length as isize - 1);
        let below: isize = self.dims.iter().copied().map(reach).filter(|&reach| reach < 0).sum();
        let above: isize = self.dims.iter().copied().map(reach).filter(|&reach| reach > 0).sum();
        (data.wrapping_add_signed(below), data.wrapping_add_signed(above) + self.run_nbytes)
    }

    /// Copies all elements to `row`, in C order.
    ///
    /// # Safety
    ///
    /// T1 and T2.
    pub unsafe fn copy_to(&self, row: &mut [u8]) {
        assert_eq!(row.len(), self.nbytes, "a row of another leaf");
        let row = row.as_mut_ptr();
        // SAFETY: the caller answers for T1 and T2, and `offset` stays inside the row.
        self.for_each_run(|array, offset| unsafe {
            copy_run(array, row.wrapping_add(offset), self.run_nbytes)
        });
    }

    /// Copies `row`, in C order, to all elements.
    ///
    /// # Safety
    ///
    /// T1 and T2, and the array may be written.
    pub unsafe fn copy_from(&self, row: &[u8]) {
        assert_eq!(row.len(), self.nbytes, "a row of another leaf");
        let row = row.as_ptr();
        // SAFETY: the caller answers for T1 and T2, and `offset` stays inside the row.
        self.for_each_run(|array, offset| unsafe {
            copy_run(row.wrapping_add(offset), array, self.run_nbytes)
        });
    }

    /// Calls `copy` with the address of each run in the array and its offset in the row.
    #[inline]
    fn for_each_run(&self, mut copy: impl FnMut(*mut u8, usize)) {
        if self.nbytes == 0 {
            return;
        }
        let Some((&(inner_length, inner_stride), outer)) = self.dims.split_last() else {
            return copy(self.data, 0);
        };
        let mut index = vec![0; outer.len()];
        let mut array = self.data;
        let mut offset = 0;
        loop {
            for i in 0..inner_length {
                copy(array.wrapping_offset(i as isize * inner_stride), offset);
                offset += self.run_nbytes;
            }
            // The next index of the outer dimensions, as an odometer counts.
            let mut dim = outer.len();
            loop {
                let Some(next) = dim.checked_sub(1) else { return };
                dim = next;
                let (length, stride) = outer[dim];
                index[dim] += 1;
                array = array.wrapping_offset(stride);
                if index[dim] < length {
                    break;
                }
                array = array.wrapping_offset(-stride * length as isize);
                index[dim] = 0;
            }
        }
    }
}

/// Copies one run; the usual sizes of single elements as one load and one store.
///
/// # Safety
///
/// `nbytes` bytes can be read at `from` and written at `to`, and they do not overlap.
#[inline(always)]
unsafe fn copy_run(from: *const u8, to: *mut u8, nbytes: usize) {
    match nbytes {
        // SAFETY: as the caller says, in each of these.
        1 => unsafe { std::ptr::copy_nonoverlapping(from, to, 1) },
        // SAFETY: as above.
        2 => unsafe { std::ptr::copy_nonoverlapping(from, to, 2) },
        // SAFETY: as above.
        4 => unsafe { std::ptr::copy_nonoverlapping(from, to, 4) },
        // SAFETY: as above.
        8 => unsafe { std::ptr::copy_nonoverlapping(from, to, 8) },
        // SAFETY: as above.
        _ => unsafe { std::ptr::copy_nonoverlapping(from, to, nbytes) },
    }
}
