//! Topics as a model: the newest item for everybody, and for each subscriber what it has not seen yet. Explored in every reachable
//! state.
//!
//! This is the protocol of `topic::board`, small enough to be explored whole. Between any two steps any other process may run, stop for ever, or die.
//!
//! One word, `newest`, says which ticket is the newest and in which slot its item is. Nothing else does: there is no list of
//! tickets, and no cursor but those of the subscribers. Each slot has a state word:
//!
//! | word | whose slot it is | next |
//! |---|---|---|
//! | FREE(x) | nobody's; x is the ticket of its last item, 0 if it had none | WRITING |
//! | WRITING(owner, x) | a publisher's; of x the low bits | READY, FREE |
//! | READY(t) | nobody's: the item of ticket t, for any number of readers | WRITING |
//!
//! An owner is a place and the whole generation of its tenant. Each place has a *pin* on each slot, which counts the threads of its
//! tenant that read there or are about to, and says the tenant's generation. The threads change it by compare-and-swap.
//!
//! Z1. *Claim.* A publisher loads the ticket T of `newest`, then looks at all words. It takes a FREE slot, else the oldest item
//!     before T: never the newest. It looks at all pins of the slot, also of a FREE one, moves the word to WRITING, and looks at the
//!     pins again. If one is set, the slot becomes FREE, not READY again, both events are notified, and the next slot is tried.
//! Z2. *Full.* A look at all slots that finds none proves nothing, because slots change during the look. A put sleeps, or says full,
//!     only after it has set the waiters bit, looked again, and found that the event has not moved since. Readers + writers + 1 slots are
//!     always enough.
//! Z3. *Commit.* The compare-and-swap of `newest` from (T, s) to (T + 1, mine) is the commit. It compares whole tickets. The word
//!     becomes READY(T + 1) after it, by compare-and-swap, since others may help. Then both events are notified.
//! Z4. *Help.* Before anyone goes on from a `newest` of (T, s), slot s is READY(T) or has gone further: if its word is WRITING with a last
//!     ticket *before* T, it is moved to READY(T). So all items up to T are READY or gone once T is known, and a publisher
//!     that stops or dies between its commit and the word delays nobody. A last ticket that merely differs from T is not enough: a
//!     helper may be slower than two laps. The low bits tell what is before, as long as no publisher holds a slot for half of
//!     all their values.
//! Z5. *Abort.* A slot that is not published becomes FREE(x), and both events are notified. Its old item has gone when it was claimed.
//! Z6. *Read.* A reader pins the slot, and only then looks at the word, which must be READY with just its ticket; a fence stands between
//!     the two. Else it unpins, notifies `slots`, and begins again. Z1 and Z6 make one of the two see the other.
//! Z7. *Latest.* A call for the newest loads `newest`, helps, and reads.
//! Z8. *Subscribe.* A subscription starts at T + 1 (new), at T (latest), or, after helping T, at the lowest READY ticket up to T (oldest).
//! Z9. *Next.* A subscription at c finds nothing while T < c. Else it helps T, and takes the lowest READY ticket from c to T. It moves
//!     to the next ticket when its look of Z6 succeeds; what it passes over then has gone for good, so that the count of missed items
//!     is exact.
//! Z10. *Release.* A reader unpins, and then notifies `slots`.
//! Z11. *Wait.* A waiter sets the bit, tries again, and sleeps if the event has not moved since. Notifying wakes all that sleep.
//! Z12. *Shutdown.* The flag is set, and both events are notified. A publisher looks at the flag before its claim and after it; if it is
//!     refused then, its slot becomes FREE and `items` is notified: whatever ends WRITING does that. A subscription that finds nothing
//!     looks at the flag, then at all words, and waits while one is WRITING; then it loads `newest` once more, and only then comes
//!     to the end.
//! Z13. *Sweep.* Of a dead tenant's slots, the one that `newest` names becomes READY, all others FREE; the last ticket is made whole by T,
//!     which it is not above. Before each such change the sweep asks whether the entry still is the dead tenant's. Its pins are taken
//!     away by compare-and-swap from its generation alone. Then both events are moved and all sleepers woken, whatever the bits say, since
//!     the dead may have cleared one and woken nobody. Only then the entry is freed, since the sweeper may die too.
//!     A sweeper that is a participant is swept itself then.
//! Z14. *Linger.* A publisher whose views can still write pins its slot, and makes it FREE then; both events are notified. When the last
//!     view has died it unpins, and notifies `slots`. Whoever claims the slot after it was FREE sees the pin, and nothing waits at the end for it.
//! Z15. One slot is too few: its second put would wait for ever.
//!
//! What holds then, in each state and from each state, is in `properties`. Before a sweep, a wake-up may be lost with the dead in
//! three windows, and the end of a bounded sleep makes up for it: the item is linked and nobody notified; something is changed and
//! the event not moved; the event is moved and the futex not called. A fourth is left by a sweeper that has no place yet, a newcomer: it
//! moves an event after another sweep of the same tenant has rung, and dies before it wakes anybody.
//!
//! - `memory`: what the participants share, and a ledger of what happened.
//! - `cast`: who takes part in a scenario, and what may happen in it; the mutations.
//! - `steps`: where a process stands.
//! - `put`, `get`, `sweep`, `wait`: the steps of publishers, readers, sweepers, and of whoever waits or notifies.
//! - `explore`: processes that run the steps, die and come again, for stateright.
//! - `rest`: who has ended, who goes on, who sleeps, and whether rightly so.
//! - `properties`: what holds in every state, and what is within reach of every state.
//! - `scenarios`, `waits`, `deaths`: small mixes, explored exhaustively by `exploration`, which other models share.
//! - `mutations`: the protocol with a step left out, and the property that then fails.
//!
//! What the model does not show: memory order (every access is sequentially consistent here; the pairs that need it are pin and word,
//! change and waiters bit, claim and flag), payload bytes, the records of subscribers in shared memory, forks, a thread that waits for an
//! item while it holds a slot, and fairness: nothing bounds how often a reader may lose against publishers.
//!
//! The long explorations are ignored: `cargo test --release --test topic -- --ignored` runs them.

mod cast;
mod deaths;
#[path = "../common/exploration.rs"]
mod exploration;
mod explore;
mod get;
mod memory;
mod mutations;
mod properties;
mod put;
mod rest;
mod scenarios;
mod steps;
mod sweep;
mod wait;
mod waits;
