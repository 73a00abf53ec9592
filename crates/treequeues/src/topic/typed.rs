//! Topics of one Rust type.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::{AttachError, CreateError, OpenError, PublishError, SubscribeError};
use crate::format::Kind;
use crate::item::leaf::LeafError;
use crate::topic::api::{Subscriber, Topic, TopicOptions};
use crate::topic::board::Start;
use crate::topic::loan::{TopicReadLoan, TopicWriteLoan};
use crate::tree::{OtherItems, Tree, order_of, read, write};
use crate::wait::Wait;

/// A topic whose items are values of one Rust type.
///
/// ```
/// use treequeues::{Start, Tree, TypedTopic};
///
/// #[derive(Tree, Debug, PartialEq)]
/// struct Pose {
///     position: [f32; 3],
///     valid: bool,
/// }
///
/// let poses = TypedTopic::<Pose>::create(4)?;
/// let all = poses.subscribe(Start::New)?;
/// poses.put(&Pose { position: [0.0, 0.5, 1.0], valid: true })?;
/// assert_eq!(poses.put(&Pose { position: [1.0; 3], valid: false })?, 2);
/// assert_eq!(poses.latest()?, Pose { position: [1.0; 3], valid: false });
/// assert_eq!(all.get()?, Pose { position: [0.0, 0.5, 1.0], valid: true });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It cannot misread: what has to be the same is what [`TypedQueue`](crate::TypedQueue) says of a queue.
pub struct TypedTopic<T> {
    topic: Topic,
    /// For each leaf of the type, its number in the topic's schema.
    order: Arc<[usize]>,
    /// Values go in and out, and none is inside.
    items: PhantomData<fn(T) -> T>,
}

/// A subscription to a topic of one Rust type.
pub struct TypedSubscriber<T> {
    subscriber: Subscriber,
    order: Arc<[usize]>,
    items: PhantomData<fn() -> T>,
}

/// Why no item of a topic was got.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// There was none to be had.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The item's bytes are no value of the type. A subscription has passed it.
    #[error(transparent)]
    Leaf(#[from] LeafError),
}

impl<T: Tree> TypedTopic<T> {
    /// Creates an anonymous topic of `capacity` slots, all its memory reserved.
    ///
    /// # Errors
    /// As [`Topic::create`].
    ///
    /// # Panics
    /// As [`Tree::schema`].
    pub fn create(capacity: u64) -> Result<Self, CreateError> {
        Ok(Self::over(Topic::create(T::schema(), capacity)?).expect("made for the type"))
    }

    /// Creates a topic that any process of this user finds by its name.
    ///
    /// # Errors
    /// As [`Topic::create_named`].
    ///
    /// # Panics
    /// As [`Tree::schema`].
    pub fn create_named(name: &str, capacity: u64, options: TopicOptions) -> Result<Self, CreateError> {
        let topic = Topic::create_named(name, T::schema(), capacity, options)?;
        Ok(Self::over(topic).expect("made for the type"))
    }

    /// Attaches to the topic of this name, if its items are of the type.
    ///
    /// # Errors
    /// As [`Topic::attach`], and `Misfit`, with both sides, if the leaves of its items are others.
    ///
    /// # Panics
    /// As [`Tree::schema`].
    pub fn attach(name: &str) -> Result<Self, OpenError> {
        let topic = Topic::attach(name)?;
        let name = topic.name().cloned();
        Self::over(topic).map_err(|OtherItems { difference, .. }| OpenError::Misfit {
            name: name.expect("found by its name"),
            difference: Box::new(difference),
        })
    }

    /// The same topic, with items of this type.
    ///
    /// # Errors
    /// If the leaves of its items are others, in path, dtype or shape.
    ///
    /// # Panics
    /// As [`Tree::schema`].
    pub fn over(topic: Topic) -> Result<Self, OtherItems> {
        let order = order_of::<T>(topic.schema(), Kind::Topic)?;
        Ok(Self { topic, order, items: PhantomData })
    }

    /// Copies an item in, and returns its ticket. It waits only while every slot is read, or written, or has the newest item.
    ///
    /// # Errors
    /// As [`TypedTopic::put_with`], but neither `Full` nor `Interrupted`.
    pub fn put(&self, item: &T) -> Result<u64, PublishError> {
        self.write(self.topic.reserve()?, item)
    }

    /// Copies an item in, if there is a slot for it now, and returns its ticket.
    ///
    /// # Errors
    /// As [`TypedTopic::put_with`], but not `Interrupted`.
    pub fn try_put(&self, item: &T) -> Result<u64, PublishError> {
        self.write(self.topic.try_reserve()?, item)
    }

    /// Copies an item in, once there is a slot for it within the time that `wait` says, and returns its ticket.
    ///
    /// # Errors
    /// `Full` when there was none in time, `ShutDown`, `Interrupted`, or a damaged segment. Then the topic is as it was.
    pub fn put_with(&self, item: &T, wait: Wait<'_>) -> Result<u64, PublishError> {
        self.write(self.topic.reserve_with(wait)?, item)
    }

    /// Copies the newest item out; waits for the first one, for ever.
    ///
    /// # Errors
    /// As [`TypedTopic::latest_into`], but neither `Empty` nor `Interrupted`.
    pub fn latest(&self) -> Result<T, GetError> {
        let mut item = T::ZERO;
        self.latest_into(&mut item, Wait::forever())?;
        Ok(item)
    }

    /// Copies the newest item out, if there is one.
    ///
    /// # Errors
    /// As [`TypedTopic::latest_into`], but not `Interrupted`.
    pub fn try_latest(&self) -> Result<T, GetError> {
        let mut item = T::ZERO;
        copy_out(self.topic.try_borrow_latest()?, &mut item, &self.order)?;
        Ok(item)
    }

    /// Copies the newest item out into a value that is there already; waits for the first one as long as `wait` says.
    ///
    /// # Errors
    /// `Empty` when none came in time, `ShutDown` if none can come, `Interrupted`, or a damaged segment; then the value has not changed.
    /// [`GetError::Leaf`] if the bytes are no value of the type; then a part of it may be read.
    pub fn latest_into(&self, item: &mut T, wait: Wait<'_>) -> Result<(), GetError> {
        copy_out(self.topic.borrow_latest_with(wait)?, item, &self.order)
    }

    /// A subscription, which begins as `start` says.
    ///
    /// # Errors
    /// As [`Topic::subscribe`].
    pub fn subscribe(&self, start: Start) -> Result<TypedSubscriber<T>, AttachError> {
        let subscriber = self.topic.subscribe(start)?;
        Ok(TypedSubscriber { subscriber, order: Arc::clone(&self.order), items: PhantomData })
    }

    /// The topic beneath, with all that it can do: loans, its version, shutting down.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    fn write(&self, mut loan: TopicWriteLoan<'_>, item: &T) -> Result<u64, PublishError> {
        write(item, loan.rows_mut(), &self.order);
        Ok(loan.commit()?)
    }
}

impl<T: Tree> TypedSubscriber<T> {
    /// Copies the next item in order out; waits for it, for ever.
    ///
    /// # Errors
    /// As [`TypedSubscriber::get_into`], but neither `Empty` nor `Interrupted`.
    pub fn get(&self) -> Result<T, GetError> {
        let mut item = T::ZERO;
        self.get_into(&mut item, Wait::forever())?;
        Ok(item)
    }

    /// Copies the next item in order out, if it is there now.
    ///
    /// # Errors
    /// As [`TypedSubscriber::get_into`], but not `Interrupted`.
    pub fn try_get(&self) -> Result<T, GetError> {
        let mut item = T::ZERO;
        copy_out(self.subscriber.try_borrow()?, &mut item, &self.order)?;
        Ok(item)
    }

    /// Copies the next item in order out into a value that is there already; waits for it as long as `wait` says.
    ///
    /// # Errors
    /// As [`Subscriber::borrow_with`]; then neither value nor subscription have changed. [`GetError::Leaf`] if the bytes are no value of
    /// the type; then a part of it may be read, and the subscription goes on after it.
    pub fn get_into(&self, item: &mut T, wait: Wait<'_>) -> Result<(), GetError> {
        copy_out(self.subscriber.borrow_with(wait)?, item, &self.order)
    }

    /// Copies the newest item out, of those that this subscription has not had, into a value that is there already; waits for one as long
    /// as `wait` says. Those before it count as missed.
    ///
    /// # Errors
    /// As [`TypedSubscriber::get_into`].
    pub fn latest_into(&self, item: &mut T, wait: Wait<'_>) -> Result<(), GetError> {
        copy_out(self.subscriber.borrow_latest_with(wait)?, item, &self.order)
    }

    /// How many items it has passed over: see [`Subscriber::missed`].
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.subscriber.missed()
    }

    /// The subscription beneath.
    #[must_use]
    pub fn subscriber(&self) -> &Subscriber {
        &self.subscriber
    }
}

/// A loan ends with this, whatever becomes of the copy.
fn copy_out<T: Tree>(loan: TopicReadLoan<'_>, item: &mut T, order: &[usize]) -> Result<(), GetError> {
    read(item, loan.rows(), order)?;
    Ok(loan.release().map_err(SubscribeError::from)?)
}

impl<T> Clone for TypedTopic<T> {
    fn clone(&self) -> Self {
        Self { topic: self.topic.clone(), order: Arc::clone(&self.order), items: PhantomData }
    }
}

impl<T> fmt::Debug for TypedTopic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedTopic").field("topic", &self.topic).field("order", &self.order).finish()
    }
}

impl<T> fmt::Debug for TypedSubscriber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedSubscriber")
            .field("subscriber", &self.subscriber)
            .field("order", &self.order)
            .finish()
    }
}
