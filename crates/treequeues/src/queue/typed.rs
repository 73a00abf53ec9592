//! Queues of one Rust type.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::{BorrowError, Corrupted, CreateError, OpenError, ReserveError};
use crate::format::Kind;
use crate::item::leaf::LeafError;
use crate::memory::segment::CreateOptions;
use crate::queue::api::Queue;
use crate::queue::loan::{ItemInfo, ReadLoan, WriteLoan};
use crate::tree::{OtherItems, Tree, order_of, read, write};
use crate::wait::Wait;

/// A queue whose items are values of one Rust type.
///
/// ```
/// use treequeues::{Tree, TypedQueue};
///
/// #[derive(Tree, Debug, PartialEq)]
/// struct Sample {
///     position: [f32; 3],
///     valid: bool,
/// }
///
/// let queue = TypedQueue::<Sample>::create(8)?;
/// queue.push(&Sample { position: [0.0, 0.5, 1.0], valid: true })?;
/// assert_eq!(queue.pop()?, Sample { position: [0.0, 0.5, 1.0], valid: true });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It cannot misread: a queue of other items is refused when it is wrapped, by [`TypedQueue::over`]. What must be the same are
/// the leaves, by path, dtype and shape: those are what the bytes are. In which order they come, whether a leaf is a Python
/// `float` or an array without dimensions, and whether the container is a dict or a dataclass is the other side's
/// affair.
pub struct TypedQueue<T> {
    queue: Queue,
    /// For each leaf of the type, its number in the queue's schema.
    order: Arc<[usize]>,
    /// Values go in and out, and none is inside.
    items: PhantomData<fn(T) -> T>,
}

/// Why no item was popped.
#[derive(Debug, thiserror::Error)]
pub enum PopError {
    /// There was no item to be had.
    #[error(transparent)]
    Borrow(#[from] BorrowError),
    /// The item's bytes are no value of the type. It was given back, and comes again: [`TypedQueue::queue`] can take it.
    #[error(transparent)]
    Leaf(#[from] LeafError),
}

impl<T: Tree> TypedQueue<T> {
    /// Creates an anonymous queue of `capacity` slots, all its memory reserved.
    ///
    /// # Errors
    /// As [`Queue::create`].
    ///
    /// # Panics
    /// As [`Tree::schema`].
    pub fn create(capacity: u64) -> Result<Self, CreateError> {
        let queue = Queue::create(T::schema(), capacity)?;
        Ok(Self::over(queue).expect("made for the type"))
    }

    /// Creates a queue that any process of this user finds by its name.
    ///
    /// # Errors
    /// As [`Queue::create_named`].
    ///
    /// # Panics
    /// As [`Tree::schema`].
    pub fn create_named(name: &str, capacity: u64, options: CreateOptions) -> Result<Self, CreateError> {
        let queue = Queue::create_named(name, T::schema(), capacity, options)?;
        Ok(Self::over(queue).expect("made for the type"))
    }

    /// Attaches to the queue of this name, if its items are of the type.
    ///
    /// ```
    /// use treequeues::{CreateOptions, OpenError, Tree, TypedQueue};
    ///
    /// #[derive(Tree)]
    /// struct Sample {
    ///     position: [f32; 3],
    /// }
    ///
    /// #[derive(Tree)]
    /// struct NewSample {
    ///     position: [f64; 3],
    /// }
    ///
    /// # let name = &format!("attach-example-{}", std::process::id());
    /// let producer = TypedQueue::<Sample>::create_named(name, 8, CreateOptions::default())?;
    /// let consumer = TypedQueue::<Sample>::attach(name)?;
    /// assert!(matches!(TypedQueue::<NewSample>::attach(name), Err(OpenError::Misfit { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Queue::attach`], and `Misfit`, with both sides, if the leaves of its items are others.
    ///
    /// # Panics
    /// As [`Tree::schema`].
    pub fn attach(name: &str) -> Result<Self, OpenError> {
        Self::over_named(Queue::attach(name)?)
    }

    /// Attaches to the queue of this name, or creates it if there is none.
    ///
    /// # Errors
    /// As [`Queue::open`], but what has to fit is what [`TypedQueue::over`] says.
    ///
    /// # Panics
    /// As [`Tree::schema`].
    pub fn open(name: &str, capacity: u64, options: CreateOptions) -> Result<Self, OpenError> {
        let queue = Queue::open_with_any_items(name, &T::schema(), capacity, options)?;
        Self::over_named(queue)
    }

    fn over_named(queue: Queue) -> Result<Self, OpenError> {
        let name = queue.name().cloned();
        Self::over(queue).map_err(|OtherItems { difference, .. }| OpenError::Misfit {
            name: name.expect("found by its name"),
            difference: Box::new(difference),
        })
    }

    /// The same queue, with items of this type.
    ///
    /// ```
    /// use treequeues::{Queue, Schema, Tree, TypedQueue};
    ///
    /// #[derive(Tree)]
    /// struct Sample {
    ///     position: [f32; 3],
    ///     valid: bool,
    /// }
    ///
    /// let queue = Queue::create(Schema::builder().array::<f64>("position", [3]).build()?, 8)?;
    /// assert_eq!(
    ///     TypedQueue::<Sample>::over(queue).unwrap_err().to_string(),
    ///     "the queue's items are not of this type:
    ///             the type      the queue
    ///   position  float32 (3,)  float64 (3,)
    ///   valid     a bool        -"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the leaves of its items are others, in path, dtype or shape.
    ///
    /// # Panics
    /// As [`Tree::schema`].
    pub fn over(queue: Queue) -> Result<Self, OtherItems> {
        let order = order_of::<T>(queue.schema(), Kind::Queue)?;
        Ok(Self { queue, order, items: PhantomData })
    }

    /// The same queue, whose pops hand each item that they drop to `hook` first, as [`Queue::on_drop`] does: a copy of it, and
    /// what the queue knows about it.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use treequeues::{CreateOptions, Tree, TypedQueue};
    ///
    /// #[derive(Tree, Debug)]
    /// struct Sample {
    ///     position: [f32; 3],
    /// }
    ///
    /// # let name = &format!("on-drop-example-{}", std::process::id());
    /// let options = CreateOptions { max_deliveries: NonZeroU32::new(3), ..CreateOptions::default() };
    /// let samples = TypedQueue::<Sample>::create_named(name, 8, options)?.on_drop(|sample, info| {
    ///     eprintln!("{sample:?} of process {} killed three takers", info.producer_pid);
    ///     Ok(())
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// An item whose bytes are no value of the type is not dropped: the pop fails by [`BorrowError::OnDrop`], and it comes again.
    /// A type too large for the stack has [`Queue::on_drop`], before the queue is wrapped.
    #[must_use]
    pub fn on_drop(
        self,
        hook: impl Fn(T, ItemInfo) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        let order = Arc::clone(&self.order);
        let queue = self.queue.on_drop(move |loan| {
            let mut item = T::ZERO;
            read(&mut item, loan.rows(), &order)?;
            hook(item, loan.info())
        });
        Self { queue, ..self }
    }

    /// Copies an item in, once there is a free slot, however long that takes.
    ///
    /// # Errors
    /// As [`TypedQueue::push_with`], but neither `Full` nor `Interrupted`.
    pub fn push(&self, item: &T) -> Result<(), ReserveError> {
        self.push_with(item, Wait::forever())
    }

    /// Copies an item in, if there is a free slot now.
    ///
    /// # Errors
    /// As [`TypedQueue::push_with`], but not `Interrupted`.
    pub fn try_push(&self, item: &T) -> Result<(), ReserveError> {
        self.write(self.queue.try_reserve_briefly()?, item)
    }

    /// Copies an item in, once there is a free slot within the time that `wait` says.
    ///
    /// # Errors
    /// `Full` when none became free in time, `ShutDown`, `Interrupted`, or a damaged segment. Then the queue is as it was.
    pub fn push_with(&self, item: &T, wait: Wait<'_>) -> Result<(), ReserveError> {
        self.write(self.queue.reserve_briefly_with(wait)?, item)
    }

    /// Copies the oldest item out, once there is one, however long that takes.
    ///
    /// # Errors
    /// As [`TypedQueue::pop_into`], but neither `Empty` nor `Interrupted`.
    pub fn pop(&self) -> Result<T, PopError> {
        self.pop_with(Wait::forever())
    }

    /// Copies the oldest item out, if there is one now.
    ///
    /// # Errors
    /// As [`TypedQueue::pop_into`], but not `Interrupted`.
    pub fn try_pop(&self) -> Result<T, PopError> {
        let mut item = T::ZERO;
        self.read(self.queue.try_borrow_briefly()?, &mut item)?;
        Ok(item)
    }

    /// Copies the oldest item out, once there is one within the time that `wait` says.
    ///
    /// # Errors
    /// As [`TypedQueue::pop_into`].
    pub fn pop_with(&self, wait: Wait<'_>) -> Result<T, PopError> {
        let mut item = T::ZERO;
        self.pop_into(&mut item, wait)?;
        Ok(item)
    }

    /// Copies the oldest item out into a value that is there already: for types too large for the stack.
    ///
    /// ```
    /// use treequeues::{Tree, TypedQueue, Wait};
    ///
    /// let queue = TypedQueue::<[u8; 4096]>::create(8)?;
    /// let mut frame = Box::new([1; 4096]);
    /// queue.push(&frame)?;
    /// frame.fill(0);
    /// queue.pop_into(&mut frame, Wait::forever())?;
    /// assert_eq!(frame[4095], 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `Empty` when none came in time, `ShutDown` when the queue is shut down and drained, `Interrupted`, or a damaged
    /// segment; then neither queue nor value have changed. [`PopError::Leaf`] if the bytes are no value of the type, such as
    /// a bool that is neither 0 nor 1; then the item comes again, and a part of the value may be read.
    pub fn pop_into(&self, item: &mut T, wait: Wait<'_>) -> Result<(), PopError> {
        self.read(self.queue.borrow_briefly_with(wait)?, item)
    }

    /// The queue beneath, with all that it can do: batches, loans, shutting down.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The queue beneath.
    #[must_use]
    pub fn into_queue(self) -> Queue {
        self.queue
    }

    fn write(&self, mut loan: WriteLoan<'_>, item: &T) -> Result<(), ReserveError> {
        write(item, loan.rows_mut(), &self.order);
        Ok(loan.commit()?)
    }

    fn read(&self, loan: ReadLoan<'_>, item: &mut T) -> Result<(), PopError> {
        let unread = Unread(Some(loan));
        read(item, unread.loan().rows(), &self.order)?;
        Ok(unread.release().map_err(BorrowError::from)?)
    }
}

/// A loan that is given back, and not released, if reading it ends early: by an error, or by a panic of the type's.
struct Unread<'q>(Option<ReadLoan<'q>>);

impl<'q> Unread<'q> {
    fn loan(&self) -> &ReadLoan<'q> {
        self.0.as_ref().expect("only what consumes it takes the loan")
    }

    fn release(mut self) -> Result<(), Corrupted> {
        self.0.take().map_or(Ok(()), ReadLoan::release)
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        // A damaged word is reported by the next call that meets it.
        let _ = self.0.take().map_or(Ok(()), ReadLoan::give_back);
    }
}

impl<T> Clone for TypedQueue<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), order: Arc::clone(&self.order), items: PhantomData }
    }
}

impl<T> fmt::Debug for TypedQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedQueue").field("queue", &self.queue).field("order", &self.order).finish()
    }
}
