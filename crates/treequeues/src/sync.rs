//! The only door to the atomics.
//!
//! Everything that other processes can see goes through these types, so that the very same ring code runs on the
//! standard library's atomics, under `loom`, and in tests that abandon an operation between any two of its accesses.

#[cfg(not(any(loom, test)))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

#[cfg(any(loom, test))]
pub(crate) use stepped::{AtomicU32, AtomicU64, Ordering, abandon_after, fence};

#[cfg(all(test, not(loom)))]
pub(crate) use stepped::{Accesses, accesses_of, among_many};

/// Plain atomics for what only this process sees: how patient it is, when it last looked, how often it was forked.
pub(crate) mod local {
    pub(crate) use std::sync::atomic::AtomicU64;
    #[cfg(not(loom))]
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32};
}

/// A pause of a busy loop.
pub(crate) fn spin_loop() {
    #[cfg(all(test, not(loom)))]
    stepped::let_others_go_first();
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// What a word is, for a compare-and-swap that follows at once.
///
/// Of all accesses of a word before a compare-and-swap, loom considers the last one alone for another order. A load here would
/// hide those of other threads, so there it is a change.
pub(crate) fn load_to_swap(word: &AtomicU64, order: Ordering) -> u64 {
    #[cfg(not(loom))]
    return word.load(order);
    #[cfg(loom)]
    return word.fetch_add(0, order);
}

/// Pauses of one call between its attempts. They double: of many that want the same word, those that lost leave it to the others,
/// instead of taking its cache line away from them (Dice, Hendler, Mirsky: "Lightweight contention management").
pub(crate) struct Backoff {
    pauses: u32,
}

impl Backoff {
    /// Some two microseconds: about what an item takes.
    const MAX_PAUSES: u32 = 64;

    pub(crate) fn new() -> Self {
        Self { pauses: 1 }
    }

    /// After a lost compare-and-swap.
    pub(crate) fn pause(&mut self) {
        // Under loom a pause is a switch to another thread, and one is enough.
        for _ in 0..if cfg!(loom) { 1 } else { self.pauses } {
            spin_loop();
        }
        self.pauses = (self.pauses * 2).min(Self::MAX_PAUSES);
    }
}

/// The word as the kernel's futex calls take it.
#[cfg(not(loom))]
pub(crate) fn futex_word(word: &AtomicU32) -> &local::AtomicU32 {
    #[cfg(not(test))]
    return word;
    #[cfg(test)]
    {
        stepped::count_system_call();
        word.inner()
    }
}

/// Atomics that count their accesses, and that can "die": a thread may be told to unwind just before its n-th access from now.
///
/// What a killed process leaves behind is exactly the shared memory as it stood between two of its accesses. The ring
/// holds nothing that an unwinding would put in order, so unwinding out of it leaves the same.
#[cfg(any(loom, test))]
mod stepped {
    use std::cell::Cell;
    #[cfg(not(loom))]
    use std::cell::RefCell;
    #[cfg(not(loom))]
    use std::collections::BTreeSet;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    #[cfg(loom)]
    use loom::sync::atomic as inner;
    #[cfg(not(loom))]
    use std::sync::atomic as inner;

    pub(crate) use inner::{Ordering, fence};

    // Under loom all threads of a model run on one thread of the system, so it has thread locals of its own.
    #[cfg(loom)]
    loom::thread_local! {
        static STEPS_LEFT: Cell<Option<u32>> = Cell::new(None);
    }
    #[cfg(not(loom))]
    std::thread_local! {
        static STEPS_LEFT: Cell<Option<u32>> = const { Cell::new(None) };
        static IS_AMONG_MANY: Cell<bool> = const { Cell::new(false) };
        static ACCESSES: RefCell<Option<Accesses>> = const { RefCell::new(None) };
    }

    /// What an operation does to the memory that it shares.
    #[cfg(not(loom))]
    #[derive(Debug, Default)]
    pub(crate) struct Accesses {
        pub(crate) loads: u32,
        pub(crate) stores: u32,
        /// Compare-and-swaps and the like, lost ones too.
        pub(crate) locked: u32,
        /// The cache lines that these and the stores take.
        pub(crate) written_lines: BTreeSet<usize>,
        /// Futex calls.
        pub(crate) system_calls: u32,
    }

    #[cfg(not(loom))]
    const LINE_NBYTES: usize = 64;

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Kind {
        Load,
        Store,
        Locked,
    }

    /// Runs `operation`, and counts what this thread does in it.
    #[cfg(not(loom))]
    pub(crate) fn accesses_of<T>(operation: impl FnOnce() -> T) -> (T, Accesses) {
        ACCESSES.set(Some(Accesses::default()));
        let outcome = operation();
        (outcome, ACCESSES.take().expect("it counts"))
    }

    /// Runs `operation` as if on one of very many processors: at each access and pause this thread lets others go first.
    #[cfg(not(loom))]
    pub(crate) fn among_many<T>(operation: impl FnOnce() -> T) -> T {
        IS_AMONG_MANY.set(true);
        let outcome = operation();
        IS_AMONG_MANY.set(false);
        outcome
    }

    /// Among many.
    #[cfg(not(loom))]
    pub(super) fn let_others_go_first() {
        if IS_AMONG_MANY.get() {
            std::thread::yield_now();
        }
    }

    #[cfg(not(loom))]
    fn count(kind: Kind, address: usize) {
        let_others_go_first();
        ACCESSES.with_borrow_mut(|accesses| {
            let Some(accesses) = accesses else { return };
            match kind {
                Kind::Load => accesses.loads += 1,
                Kind::Store => accesses.stores += 1,
                Kind::Locked => accesses.locked += 1,
            }
            if kind != Kind::Load {
                accesses.written_lines.insert(address / LINE_NBYTES);
            }
        });
    }

    #[cfg(loom)]
    fn count(_: Kind, _: usize) {}

    #[cfg(not(loom))]
    pub(super) fn count_system_call() {
        ACCESSES.with_borrow_mut(|accesses| {
            accesses.iter_mut().for_each(|accesses| accesses.system_calls += 1);
        });
    }

    /// What the unwinding carries.
    struct Abandoned;

    /// Runs `operation` and abandons it just before its access number `steps` (counted from 0); `None` when it was.
    pub(crate) fn abandon_after<T>(steps: u32, operation: impl FnOnce() -> T) -> Option<T> {
        set_steps_left(Some(steps));
        let outcome = catch_unwind(AssertUnwindSafe(operation));
        set_steps_left(None);
        match outcome {
            Ok(value) => Some(value),
            Err(payload) if payload.is::<Abandoned>() => None,
            Err(payload) => resume_unwind(payload),
        }
    }

    fn set_steps_left(steps: Option<u32>) {
        STEPS_LEFT.with(|left| left.set(steps));
    }

    fn step(kind: Kind, address: *const impl Sized) {
        count(kind, address.addr());
        match STEPS_LEFT.with(Cell::get) {
            None => {}
            Some(0) => {
                set_steps_left(None);
                resume_unwind(Box::new(Abandoned))
            }
            Some(left) => set_steps_left(Some(left - 1)),
        }
    }

    macro_rules! stepped {
        ($name:ident, $value:ty, $($also:ident),+) => {
            /// The inner atomic, with a step before each access.
            #[derive(Debug)]
            #[repr(transparent)]
            pub(crate) struct $name(inner::$name);

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(inner::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    step(Kind::Load, self);
                    self.0.load(order)
                }

                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    step(Kind::Store, self);
                    self.0.store(value, order);
                }

                pub(crate) fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    step(Kind::Locked, self);
                    self.0.compare_exchange(current, new, success, failure)
                }

                $(pub(crate) fn $also(&self, operand: $value, order: Ordering) -> $value {
                    step(Kind::Locked, self);
                    self.0.$also(operand, order)
                })+
            }
        };
    }

    stepped!(AtomicU32, u32, fetch_or);

    #[cfg(not(loom))]
    impl AtomicU32 {
        pub(crate) fn inner(&self) -> &inner::AtomicU32 {
            &self.0
        }
    }

    stepped!(AtomicU64, u64, fetch_add, fetch_and, fetch_max);
}
