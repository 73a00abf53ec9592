//! The end of an item that has killed as many takers as the queue allows: handed to a hook, if there is one, and dropped.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::Queue;
use crate::error::BorrowError;
use crate::queue::here::Attached;
use crate::queue::loan::ReadLoan;
use crate::queue::ring::Claim;

type Hook = dyn Fn(&ReadLoan<'_>) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync;

/// What items that are dropped are handed to.
#[derive(Clone)]
pub(super) struct OnDrop(Arc<Hook>);

impl Queue {
    /// The same queue, whose borrows hand each item that they drop to `hook` first: see
    /// [`CreateOptions::max_deliveries`](crate::CreateOptions::max_deliveries). A queue without a hook drops such items without a
    /// word, and counts them.
    ///
    /// The hook is that of this object and its clones, in forked children too; other processes have theirs. It is called by the
    /// thread whose borrow found the item, which holds that one slot meanwhile. It may use the queue; a wait for a free slot may
    /// be one for the slot that it keeps.
    ///
    /// If the hook fails, so does the borrow, by [`BorrowError::OnDrop`], and the item is given back: the next borrow finds it
    /// again. If it panics, the item is given back too. If the process dies in it, whoever finds the item after that drops it
    /// without calling a hook, so an item is handed over at most once.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use treequeues::{CreateOptions, Queue, Schema};
    ///
    /// let options = CreateOptions { max_deliveries: NonZeroU32::new(3), ..CreateOptions::default() };
    /// let queue = Queue::create_with(Schema::array::<f32>([2])?, 8, options)?.on_drop(|item| {
    ///     eprintln!("item {} is dropped: {:?}", item.ticket(), item.leaf::<f32>(0)?);
    ///     Ok(())
    /// });
    /// assert_eq!(queue.max_deliveries(), NonZeroU32::new(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_drop(
        self,
        hook: impl Fn(&ReadLoan<'_>) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        Self { on_drop: Some(OnDrop(Arc::new(hook))), ..self }
    }

    /// Drops an item over the limit, whose delivery was counted (`queue::deliveries` K2).
    #[cold]
    pub(super) fn drop_item(&self, attached: &Arc<Attached>, claim: Claim) -> Result<(), BorrowError> {
        let hook = self.on_drop.as_ref().filter(|_| attached.is_at_limit(&claim));
        let loan = ReadLoan::new(attached, claim);
        if let Some(OnDrop(hook)) = hook {
            if let Err(error) = hook(&loan) {
                loan.give_back()?;
                return Err(BorrowError::OnDrop(error));
            }
            if !attached.is_this_process() {
                // The hook forked, and returned in the child too: the call, and the item, are the parent's.
                return Err(BorrowError::OnDrop(
                    "this process was forked by the hook, in the middle of a call".into(),
                ));
            }
        }
        Ok(loan.drop_item()?)
    }
}

impl fmt::Debug for OnDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnDrop")
    }
}
