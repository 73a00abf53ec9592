//! Waiting: a short adaptive spin, then a futex that processes share.
//!
//! An event is one word: bit 0 says that somebody may sleep on it, the rest is a sequence. A bit and not a counter: a
//! counter stays up when a waiter is killed, and then every later call pays a system call.
//!
//! E1. A waiter sets the bit, looks once more, and only then sleeps. A waker makes its slot available, and only then
//!     looks at the bit. The waker's compare-and-swap and load are SeqCst, and so are the setting of the bit and a fence
//!     after it: the waker sees the bit, or the waiter sees the slot.
//! E2. A waker that sees the bit clears it, moves the sequence, and wakes one. Whoever was woken sets the bit again for the
//!     others, and passes the wake-up on if there is more to take, or if it cannot use what there is. If the kernel then
//!     wakes it for the same again, it passes that on too, and stays off the event for a nap, so that others are found.
//! E3. No sleep that begins while any slot is held, somebody spins (E6), or producers are counted whose deaths end the stream, is longer
//!     than `MAX_SLEEP`, nor is any other longer than `MAX_IDLE_SLEEP`: a lost wake-up and a peer that died after its commit and before its
//!     wake cost that much at most. A signal ends a sleep.
//! E4. Nobody waiting: no system call and no store, but for one waker after each wait: the bit stays set behind it.
//! E5. Between E2's clearing and setting of the bit, others sleep while it is clear. So a waker that means everybody does
//!     not look at it: it clears the bit, moves the sequence, and wakes all that sleep.
//! E6. Few spin, and while one does, wakers leave the wake-ups to it. A spinner holds one of its side's marks: the time until which
//!     it spins at most. A waiter that finds none free, and none whose time is over, goes to sleep at once. A waker that sees the bit
//!     wakes nobody if a mark is valid; it looks at the marks after its slot is available. So a spinner owes what others may have
//!     left to it: it clears its mark first, and only then goes to sleep (E1) or, if it has got something, looks for more
//!     and passes a wake-up on. It does the latter too if it gets something after a spin in vain. The clearing and the wakers' loads
//!     are SeqCst, and there is a fence between the clearing and the look: a waker sees the mark cleared, or the spinner sees the slot.
//! E7. A waiter that was woken does not spin again: it sets the bit first (E2), and who is awake and has its bit set needs no mark.
//! E8. The mark of a spinner that is killed or stopped is heeded for `MAX_MARK` at most. A wake-up that was left to it meanwhile is
//!     made up for by the next one, or by the end of the sleep (E3).
//! E9. A call whose long look came to less than it waits for need not look again while the word is the one that it set the bit in before
//!     that look: nobody was woken since, so nothing has come that anybody was told of. It rests so for a bounded time (E3), and no longer
//!     than until somebody dead is found.
//! E10. Where all are woken each time, nobody sleeps beside a clear bit, nobody passes anything on, and no wake-up is left to a spinner:
//!     its mark only says that enough spin. A call gives up only if the word has not moved since it set the bit and looked, for what it looks
//!     for may move about; or after so many looks that the others have all the progress.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::{NanosleepRelativeResult, futex, nanosleep};

use crate::clock::monotonic_ns;
use crate::format::Marks;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence, futex_word, local, spin_loop};

/// The longest uninterrupted sleep while somebody, who may die, holds a slot or spins (E3).
pub(crate) const MAX_SLEEP: Duration = Duration::from_millis(100);
/// The longest one while nobody does (E3): nothing can come back, and hundreds of threads that wait cost next to nothing.
pub(crate) const MAX_IDLE_SLEEP: Duration = Duration::from_millis(500);
/// The most that the kernel takes: it reads the number as signed.
const EVERYBODY: u32 = i32::MAX as u32;
/// Looks of a call whose time is over, while others make progress (E10).
pub(crate) const MAX_LATE_LOOKS: u32 = 64;
const WAITERS: u32 = 1;
const SEQUENCE: u32 = 2;

/// Pauses of the first, busy part of a spin: about two microseconds, in which a peer on another processor commits.
const BUSY_PAUSES: u32 = 64;
/// The most pauses between two looks: each look takes the slot's cache line away from the peer that works on it.
const MAX_PAUSES: u32 = 16;
/// The longest second part of a spin, in which the processor is offered to others between looks: about what a sleep and
/// a wake-up cost.
const MAX_YIELDING: Duration = Duration::from_micros(50);
/// The shortest one: a single offer.
const MIN_YIELDING: Duration = Duration::from_micros(1);
/// The first part of a spin, on a slow processor, and what else there is between taking a mark and clearing it.
const MAX_BUSY: Duration = Duration::from_micros(20);
/// A mark whose time is further away than this is none: it comes from a clock of another time namespace, or is damaged (E8).
const MAX_MARK: Duration = Duration::from_nanos(MAX_YIELDING.as_nanos() as u64 + MAX_BUSY.as_nanos() as u64);
/// An offer that was taken for longer than this was taken by work that has nothing to do with the queue.
const LONG_OFFER: Duration = Duration::from_micros(500);
/// So many waits go without offers then: who sleeps is back sooner than who offered its turn to such work.
const WAITS_WITHOUT_OFFERS: u64 = 100;
/// A sleep shorter than this would have been better spent spinning.
const SHORT_SLEEP: Duration = Duration::from_micros(150);

/// A wake-up word in the segment, and the marks of those who spin instead of sleeping on it.
#[derive(Clone, Copy)]
pub(crate) struct Event<'s> {
    pub(crate) word: &'s AtomicU32,
    pub(crate) marks: &'s Marks,
    pub(crate) wakes: Wakes,
}

/// Whom a notification wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wakes {
    /// One, because one of them can have what has come (E2, E6).
    One,
    /// All that sleep, because what has come may be for each of them (E10).
    All,
}

/// A mark that this call has taken.
struct Mark<'s> {
    word: &'s AtomicU64,
    until: u64,
}

/// How long one call may wait, and what may end the wait early.
pub struct Wait<'w> {
    deadline: Option<Instant>,
    has_tried: bool,
    interrupted: Option<&'w mut dyn FnMut() -> bool>,
}

/// How long a spin is worth its while, learnt from the sleeps of this process. Never shared.
#[derive(Debug)]
pub(crate) struct Patience {
    yielding_ns: local::AtomicU64,
    /// Waits to go without offering the processor to others.
    without_offers: local::AtomicU64,
    is_alone: bool,
}

/// How a wait ended.
pub(crate) enum Waited<T> {
    Got(T),
    TimedOut,
    Interrupted,
}

impl<'w> Wait<'w> {
    /// For ever.
    pub fn forever() -> Self {
        Self { deadline: None, has_tried: false, interrupted: None }
    }

    /// Until `timeout` from now has passed; zero means not at all.
    pub fn at_most(timeout: Duration) -> Self {
        // A deadline that the clock cannot express is for ever.
        Self { deadline: Instant::now().checked_add(timeout), has_tried: false, interrupted: None }
    }

    /// Calls `interrupted` when a signal came, when a wake-up was in vain, and otherwise every 100 ms of the wait while any slot
    /// of the queue is held, and every 500 ms while none is; also in the middle of a batch of millions. The call holds nothing then. The
    /// wait ends when it returns true.
    /// [`Queue::wake_all`](crate::Queue::wake_all) makes the waits of a queue call it now.
    pub fn or_until<'i>(self, interrupted: &'i mut dyn FnMut() -> bool) -> Wait<'i> {
        Wait { interrupted: Some(interrupted), ..self }
    }

    /// Not at all; `interrupted` ends what takes long by itself.
    pub(crate) fn not_at_all(interrupted: Option<&'w mut dyn FnMut() -> bool>) -> Self {
        Self { deadline: None, has_tried: false, interrupted }
    }

    /// For a caller that has just tried without waiting, and found nothing: the call begins with the wait, and does not count
    /// a second time as one that came in vain.
    #[must_use]
    pub fn after_a_try(self) -> Self {
        Self { has_tried: true, ..self }
    }

    /// Whether the caller has tried already.
    #[inline]
    pub(crate) fn has_tried(&self) -> bool {
        self.has_tried
    }

    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether it is to end: for work in the middle of a wait that takes long itself.
    pub(crate) fn is_interrupted(&mut self) -> bool {
        self.interrupted.as_mut().is_some_and(|interrupted| interrupted())
    }
}

impl<'s> Event<'s> {
    /// Wakes one sleeper, or all, if there is any.
    #[inline]
    pub(crate) fn notify(self) {
        // SeqCst: E1, pairs with `set_waiters`.
        let seen = self.word.load(Ordering::SeqCst);
        if seen & WAITERS != 0 {
            self.wake_some_of(seen);
        }
    }

    /// Whether anybody was woken since the bit was set.
    pub(crate) fn has_moved(self, seen: u32) -> bool {
        // SeqCst: E10, behind the look.
        self.word.load(Ordering::SeqCst) != seen
    }

    /// Whether anybody may sleep.
    fn has_waiters(self) -> bool {
        // SeqCst: E6, behind the clearing of a mark.
        self.word.load(Ordering::SeqCst) & WAITERS != 0
    }

    /// Wakes all sleepers, also those beside a clear bit (E5).
    pub(crate) fn notify_all(self) {
        let mut seen = self.word.load(Ordering::Relaxed);
        // Each failure is another participant's progress, and there are no more of them than waits and wake-ups under way.
        while let Err(newer) = self.move_on(seen) {
            seen = newer;
        }
        self.wake(EVERYBODY);
    }

    #[cold]
    fn wake_some_of(self, seen: u32) {
        if self.is_left_to_a_spinner() {
            return;
        }
        let count = match self.wakes {
            Wakes::One => 1,
            Wakes::All => EVERYBODY,
        };
        // If it fails, another waker has moved the sequence since, and wakes as many.
        if self.move_on(seen).is_ok() {
            self.wake(count);
        }
    }

    /// Clears the bit and moves the sequence, so that nobody who has not looked since falls asleep.
    fn move_on(self, seen: u32) -> Result<u32, u32> {
        let moved = seen.wrapping_add(SEQUENCE) & !WAITERS;
        // SeqCst: E1, pairs with `set_waiters`: orders the waker's slot before the moved sequence.
        self.word.compare_exchange(seen, moved, Ordering::SeqCst, Ordering::Relaxed)
    }

    /// Whether somebody spins who will pass the wake-up on (E6).
    fn is_left_to_a_spinner(self) -> bool {
        if self.wakes == Wakes::All {
            return false;
        }
        // SeqCst: E6, pairs with the clearing.
        let marks = self.marks.each_ref().map(|mark| mark.load(Ordering::SeqCst));
        if marks == [0; _] {
            return false;
        }
        let now = monotonic_ns();
        marks.into_iter().any(|until| is_valid(until, now))
    }

    /// Takes a mark that is free or whose time is over, until `at_most` from now.
    fn take_mark(self, at_most: Duration) -> Option<Mark<'s>> {
        let now = monotonic_ns();
        let until = now + at_most.as_nanos() as u64;
        let mut free = self.marks.iter().filter(|word| {
            // Relaxed, and below: whoever sees the mark late wakes somebody, which does no harm.
            let seen = word.load(Ordering::Relaxed);
            !is_valid(seen, now)
                && word.compare_exchange(seen, until, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        });
        free.next().map(|word| Mark { word, until })
    }

    fn wake(self, count: u32) {
        // The only error is a bad address, and the word is mapped.
        let _ = futex::wake(futex_word(self.word), futex::Flags::empty(), count);
    }

    /// Tells wakers that somebody may sleep, and returns the word to sleep on.
    pub(crate) fn set_waiters(self) -> u32 {
        // SeqCst: E1, pairs with the load in `notify`.
        let seen = self.word.fetch_or(WAITERS, Ordering::SeqCst) | WAITERS;
        // SeqCst: E1: the looks that follow are not older than the bit.
        fence(Ordering::SeqCst);
        seen
    }

    /// Sleeps while the word is `seen`; false when a signal or the time ended the sleep.
    fn sleep(self, seen: u32, at_most: Duration) -> bool {
        let timeout = at_most.try_into().expect("at most MAX_IDLE_SLEEP");
        match futex::wait(futex_word(self.word), futex::Flags::empty(), seen, Some(&timeout)) {
            Ok(()) | Err(Errno::AGAIN) => true,
            Err(_) => false,
        }
    }
}

impl Mark<'_> {
    /// Clears the mark, unless its time was over and somebody else has taken it.
    fn clear(self) {
        // SeqCst, also where it fails: E6, pairs with the wakers' loads.
        let _ = self.word.compare_exchange(self.until, 0, Ordering::SeqCst, Ordering::SeqCst);
    }
}

/// Whether the holder of a mark still spins.
fn is_valid(until: u64, now: u64) -> bool {
    until > now && until - now <= MAX_MARK.as_nanos() as u64
}

impl Patience {
    pub(crate) fn new() -> Self {
        // With one processor, spinning only keeps the peer from running.
        let is_alone = std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1);
        Self {
            yielding_ns: local::AtomicU64::new(MAX_YIELDING.as_nanos() as u64),
            without_offers: local::AtomicU64::new(0),
            is_alone,
        }
    }

    /// A mark for a spin as long as it was worth lately; `None` if enough others spin, or it is never worth it.
    fn mark<'s>(&self, event: Event<'s>) -> Option<Mark<'s>> {
        if self.is_alone {
            return None;
        }
        // Relaxed: as in `spin`.
        event.take_mark(MAX_BUSY + Duration::from_nanos(self.yielding_ns.load(Ordering::Relaxed)))
    }

    /// Looks until `ready`, for as long as it was worth lately.
    fn spin(&self, plenty: impl Fn() -> bool, ready: impl Fn() -> bool) -> bool {
        let (mut paused, mut pauses) = (0, 1);
        while paused < BUSY_PAUSES {
            for _ in 0..pauses {
                spin_loop();
            }
            if plenty() {
                return true;
            }
            paused += pauses;
            pauses = (pauses * 2).min(MAX_PAUSES);
        }
        // Relaxed, here and below: what was learnt is worth a guess, and lost updates cost no more than that.
        let without_offers = self.without_offers.load(Ordering::Relaxed);
        if without_offers > 0 {
            self.without_offers.store(without_offers - 1, Ordering::Relaxed);
            return false;
        }
        if ready() {
            return true;
        }
        let yielding = Duration::from_nanos(self.yielding_ns.load(Ordering::Relaxed));
        let began = Instant::now();
        let mut offered = began;
        loop {
            std::thread::yield_now();
            let now = Instant::now();
            if now - offered > LONG_OFFER {
                self.without_offers.store(WAITS_WITHOUT_OFFERS, Ordering::Relaxed);
            }
            offered = now;
            if ready() {
                return true;
            }
            if now - began >= yielding {
                return false;
            }
        }
    }

    /// A sleep ended by a wake-up after `slept`: if it was short, a longer spin would have saved it; if it was long, the
    /// spin before it was in vain.
    fn slept(&self, slept: Duration) {
        let yielding = Duration::from_nanos(self.yielding_ns.load(Ordering::Relaxed));
        let learnt = if slept < SHORT_SLEEP { yielding * 2 } else { yielding / 2 };
        self.yielding_ns.store(learnt.clamp(MIN_YIELDING, MAX_YIELDING).as_nanos() as u64, Ordering::Relaxed);
    }
}

/// What a call is after, and may have to wait for.
pub(crate) trait Attempt {
    type Got;
    type Error;

    /// Takes it, if it is there. `wait` is that of the call, for what takes long. `seen` is the word in which the bit was just set, but
    /// where it has to look in any case (E9).
    fn attempt(&mut self, wait: &mut Wait<'_>, seen: Option<Seen>) -> Result<Option<Self::Got>, Self::Error>;

    /// A wait begins, after an attempt in vain.
    fn begin_waiting(&mut self) {}

    /// As `is_ready`, but for more than this call needs: what a busy wait looks for first.
    fn is_plenty(&self) -> bool;

    /// A cheap look that says whether an attempt is worth it.
    fn is_ready(&self) -> bool;

    /// A look at everything, for those who are waited for by nobody but this one.
    fn is_available(&self) -> bool;

    /// Whether a slot is held that may come back by a death, or a producer is awaited that may have died (E3).
    fn is_held(&self) -> bool;

    /// Fails if it would wait in vain. `Break` if there is reason to attempt it once more first.
    fn has_hope(&mut self) -> Result<ControlFlow<()>, Self::Error> {
        Ok(ControlFlow::Continue(()))
    }

    /// After an attempt in vain: what to do until the next one. It is told whether a wake-up came before the attempt.
    fn next(&mut self, _was_woken: bool) -> Next {
        Next::Sleep
    }
}

/// A word that a waiter has set the bit in: another one once anybody was woken (E9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(u32);

/// Sleeps for this time; false when a signal ended it.
fn nap(time: Duration) -> bool {
    let time = time.try_into().expect("at most MAX_IDLE_SLEEP");
    matches!(nanosleep(&time), NanosleepRelativeResult::Ok)
}

/// What a waiter does between two attempts.
pub(crate) enum Next {
    /// Sleeps until somebody wakes it.
    Sleep,
    /// Sleeps for this time whatever happens, because more than the next few commits are missing. Only the first of them pays
    /// for a wake-up, that wakes nobody; a sleeper would be woken by each.
    Nap(Duration),
    /// The wake-up was for something that this waiter cannot use: another one may. Then looks again, after a nap if there is one.
    PassOn(Option<Duration>),
}

/// Waits on `event` until the attempt succeeds. `before_sleep` looks for the dead, and is `Break` if it found any.
pub(crate) fn wait_for<A: Attempt>(
    event: Event<'_>,
    patience: &Patience,
    wait: &mut Wait<'_>,
    attempt: &mut A,
    mut before_sleep: impl FnMut(&mut A) -> Result<ControlFlow<()>, A::Error>,
) -> Result<Waited<A::Got>, A::Error> {
    let mark = patience.mark(event);
    let has_spun = mark.is_some();
    if let Some(mark) = mark {
        let is_worth_it = patience.spin(|| attempt.is_plenty(), || attempt.is_ready());
        let outcome = if is_worth_it { attempt.attempt(wait, None) } else { Ok(None) };
        mark.clear();
        if let Some(outcome) = outcome.map(|got| got.map(Waited::Got)).transpose() {
            // E6. Nobody who may sleep: nobody whose wake-up was left to this call.
            if event.wakes == Wakes::One && event.has_waiters() {
                fence(Ordering::SeqCst);
                if attempt.is_available() {
                    event.notify();
                }
            }
            return outcome;
        }
    }
    // Or as good as: it owes what others left to it while it had the mark (E6).
    let mut was_woken = has_spun;
    let mut late_looks = 0;
    let mut woken_in_vain = false;
    let mut asked = Instant::now();
    let mut has_found_dead = false;
    let outcome = loop {
        let seen = event.set_waiters();
        match attempt.attempt(wait, (!std::mem::take(&mut has_found_dead)).then_some(Seen(seen))) {
            Ok(Some(got)) => break Ok(Waited::Got(got)),
            Ok(None) => {}
            Err(error) => break Err(error),
        }
        // Whoever wakes everybody may mean this.
        if std::mem::take(&mut woken_in_vain) && wait.is_interrupted() {
            break Ok(Waited::Interrupted);
        }
        match before_sleep(attempt) {
            Ok(ControlFlow::Continue(())) => {}
            // Something came back: attempt again.
            Ok(ControlFlow::Break(())) => {
                has_found_dead = true;
                continue;
            }
            Err(error) => break Err(error),
        }
        let is_short = attempt.is_held() || event.is_left_to_a_spinner();
        let longest = if is_short { MAX_SLEEP } else { MAX_IDLE_SLEEP };
        let left = wait.left().unwrap_or(longest).min(longest);
        if left.is_zero() {
            if event.wakes == Wakes::All && event.has_moved(seen) && late_looks < MAX_LATE_LOOKS {
                late_looks += 1;
                continue;
            }
            break Ok(Waited::TimedOut);
        }
        let slept_well = match attempt.next(was_woken) {
            Next::PassOn(pause) => {
                was_woken = false;
                event.notify();
                match pause {
                    None => continue,
                    Some(time) => nap(time.min(left)),
                }
            }
            Next::Nap(time) => nap(time.min(left)),
            Next::Sleep => {
                let before = Instant::now();
                let was_woken_now = event.sleep(seen, left);
                woken_in_vain = was_woken_now;
                if was_woken_now {
                    was_woken = true;
                    if has_spun {
                        patience.slept(before.elapsed());
                    }
                }
                was_woken_now
            }
        };
        // Also when others are always faster: nobody's signal waits for longer than a sleep.
        if !slept_well || asked.elapsed() >= MAX_SLEEP {
            asked = Instant::now();
            if wait.is_interrupted() {
                break Ok(Waited::Interrupted);
            }
        }
    };
    if was_woken && event.wakes == Wakes::One {
        // E2. The wake-up may have been meant for what is still there, whatever this call comes back with.
        event.set_waiters();
        if attempt.is_available() {
            event.notify();
        }
    }
    outcome
}
