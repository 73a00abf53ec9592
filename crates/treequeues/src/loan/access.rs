//! What every loan of a slot lets its user do with the rows, whatever structure the slot belongs to.
//!
//! The rows themselves are never handed out: whoever had those of two loans could exchange them, and write to a slot after its commit.

/// The access of a loan that has `rows_mut`, and a guard in this field.
macro_rules! write_access {
    ($loan:ident, $guard:tt) => {
        impl $loan<'_> {
            /// The schema of the items.
            pub fn schema(&self) -> &$crate::Schema {
                self.$guard.attached().schema()
            }

            /// The row of one leaf, by its number in the schema: its bytes in C order, aligned for its dtype.
            ///
            /// # Panics
            /// If the schema has no such leaf.
            pub fn leaf_bytes_mut(&mut self, leaf: usize) -> &mut [u8] {
                self.rows_mut().leaf_bytes_mut(leaf)
            }

            /// One leaf's elements in C order, to be filled. The schema has the shape.
            ///
            /// ```
            /// use treequeues::{Queue, Schema};
            ///
            /// let schema = Schema::builder().array::<f32>("position", [3]).scalar::<f64>("reward").build()?;
            /// let queue = Queue::create(schema, 8)?;
            ///
            /// let mut loan = queue.reserve()?;
            /// loan.leaf_mut("position")?.copy_from_slice(&[0.0_f32, 0.5, 1.0]);
            /// loan.leaf_mut::<f64>("reward")?[0] = 1.5;
            /// loan.commit()?;
            ///
            /// let item = queue.borrow()?;
            /// assert_eq!(item.leaf::<f32>("position")?, [0.0, 0.5, 1.0]);
            /// assert_eq!(
            ///     item.leaf::<f32>("reward").unwrap_err().to_string(),
            ///     "reward: asked for float32, but its elements are float64"
            /// );
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            ///
            /// # Errors
            /// If there is no such leaf, or its elements are not `T`.
            pub fn leaf_mut<T: $crate::Element>(
                &mut self,
                which: impl $crate::LeafIndex,
            ) -> Result<&mut [T], $crate::LeafError> {
                self.rows_mut().leaf_mut(which)
            }

            /// Copies bools into a leaf of them.
            ///
            /// There is no `&mut [bool]` to be had: a fresh row holds any bytes, and setting them to 0 first would be a second pass
            /// over what is about to be written. `leaf_mut::<u8>` fills bools in place.
            ///
            /// # Errors
            /// If there is no such leaf, its elements are not bools, or there are more or fewer of them.
            pub fn set_bools(
                &mut self,
                which: impl $crate::LeafIndex,
                values: &[bool],
            ) -> Result<(), $crate::LeafError> {
                self.rows_mut().set_bools(which, values)
            }

            /// One leaf as an array of its shape, to be filled.
            ///
            /// ```
            /// use treequeues::{Queue, Schema};
            ///
            /// let queue = Queue::create(Schema::builder().array::<u8>("frame", [84, 84]).build()?, 8)?;
            /// let mut loan = queue.reserve()?;
            /// let mut frame = loan.array_mut::<u8>("frame")?;
            /// frame.fill(0);
            /// frame[[83, 0]] = 255;
            /// loan.commit()?;
            ///
            /// let item = queue.borrow()?;
            /// let frame = item.array::<u8>("frame")?;
            /// assert_eq!(frame.shape(), [84, 84]);
            /// assert_eq!(frame[[83, 0]], 255);
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            ///
            /// # Errors
            /// If there is no such leaf, or its elements are not `T`.
            #[cfg(feature = "ndarray")]
            pub fn array_mut<T: $crate::Element>(
                &mut self,
                which: impl $crate::LeafIndex,
            ) -> Result<ndarray::ArrayViewMutD<'_, T>, $crate::LeafError> {
                self.rows_mut().array_mut(which)
            }
        }
    };
}

/// The access of a loan that has `rows`, and a guard in this field.
macro_rules! read_access {
    ($loan:ident, $guard:tt) => {
        impl $loan<'_> {
            /// The schema of the items.
            pub fn schema(&self) -> &$crate::Schema {
                self.$guard.attached().schema()
            }

            /// The row of one leaf, by its number in the schema: its bytes in C order, aligned for its dtype.
            ///
            /// # Panics
            /// If the schema has no such leaf.
            pub fn leaf_bytes(&self, leaf: usize) -> &[u8] {
                self.rows().leaf_bytes(leaf)
            }

            /// One leaf's elements in C order; [`WriteLoan::leaf_mut`](crate::WriteLoan::leaf_mut) has an example. The schema has the shape.
            ///
            /// # Errors
            /// If there is no such leaf, or its elements are not `T`.
            pub fn leaf<T: $crate::Element>(
                &self,
                which: impl $crate::LeafIndex,
            ) -> Result<&[T], $crate::LeafError> {
                self.rows().leaf(which)
            }

            /// The elements of a leaf of bools, each byte looked at: another process may have written any.
            ///
            /// ```
            /// use treequeues::{Queue, Schema};
            ///
            /// let queue = Queue::create(Schema::builder().array::<bool>("legal", [3]).build()?, 8)?;
            /// let mut loan = queue.reserve()?;
            /// loan.set_bools("legal", &[true, false, true])?;
            /// loan.commit()?;
            /// assert_eq!(queue.borrow()?.bools("legal")?, [true, false, true]);
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            ///
            /// # Errors
            /// If there is no such leaf, its elements are not bools, or one of its bytes is none.
            pub fn bools(&self, which: impl $crate::LeafIndex) -> Result<&[bool], $crate::LeafError> {
                self.rows().bools(which)
            }

            /// One leaf as an array of its shape; [`WriteLoan::array_mut`](crate::WriteLoan::array_mut) has an example.
            ///
            /// # Errors
            /// If there is no such leaf, or its elements are not `T`.
            #[cfg(feature = "ndarray")]
            pub fn array<T: $crate::Element>(
                &self,
                which: impl $crate::LeafIndex,
            ) -> Result<ndarray::ArrayViewD<'_, T>, $crate::LeafError> {
                self.rows().array(which)
            }
        }
    };
}

pub(crate) use {read_access, write_access};
