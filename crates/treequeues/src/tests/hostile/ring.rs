//! The ring on words, cursors, trees and tickets that nobody wrote.
//!
//! Every operation runs under a bound of its accesses, so a loop without end is found without a clock.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{ID_BITS, Rig};
use super::{assert_says_where, config, hostile_u64};
use crate::error::Corrupted;
use crate::format::word::{Owner, Phase, Word};
use crate::queue::ring::{Claim, Kept};
use crate::sync::{AtomicU64, Ordering, abandon_after, local};

/// Far above what any operation takes on these small rings: a lone one ends after a few passes (`ring` R6).
const MAX_ACCESSES: u32 = 1 << 12;
const PARTICIPANTS: u32 = 3;

/// A number of the shared memory.
#[derive(Clone, Copy, Debug)]
enum Target {
    State(usize),
    Ticket(usize),
    Batch(usize),
    Publishing,
    Head,
    Tail,
    Root,
    /// A word of the tree below the root; the root where there is none.
    Tree(usize),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Damage(Target, u64),
    Reserve(u32),
    Commit(usize),
    Abort(usize),
    Borrow(u32),
    Release(usize),
    GiveBack(usize),
    Linger(usize),
    LetGo(usize),
    Recover(u32),
    Look(usize),
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        4 => any::<usize>().prop_map(Target::State),
        1 => any::<usize>().prop_map(Target::Ticket),
        1 => any::<usize>().prop_map(Target::Batch),
        1 => Just(Target::Publishing),
        2 => Just(Target::Head),
        2 => Just(Target::Tail),
        1 => Just(Target::Root),
        1 => any::<usize>().prop_map(Target::Tree),
    ]
}

/// Any number, or one that a ring of the first few laps could have here.
fn number() -> impl Strategy<Value = u64> {
    let plausible_word = (0_u64..8, 0..PARTICIPANTS, 0_u64..4)
        .prop_map(|(phase, id, reach)| reach << 24 | u64::from(id) << 3 | phase);
    prop_oneof![2 => hostile_u64(), 3 => plausible_word, 2 => 0_u64..24]
}

fn verb() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..PARTICIPANTS).prop_map(Step::Reserve),
        3 => any::<usize>().prop_map(Step::Commit),
        1 => any::<usize>().prop_map(Step::Abort),
        4 => (0..PARTICIPANTS).prop_map(Step::Borrow),
        2 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Linger),
        1 => any::<usize>().prop_map(Step::LetGo),
        1 => (0..PARTICIPANTS).prop_map(Step::Recover),
        1 => any::<usize>().prop_map(Step::Look),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let damage = (target(), number()).prop_map(|(target, value)| Step::Damage(target, value));
    prop::collection::vec(prop_oneof![1 => damage, 3 => verb()], 1..40)
}

fn owner(id: u32) -> Owner {
    Owner::new(id, 0, ID_BITS)
}

/// A ring, the claims that are open on it, and what is in it.
struct Play {
    rig: Rig,
    kept: Kept,
    writes: Vec<Claim>,
    reads: Vec<Claim>,
    lingering: Vec<Claim>,
    /// Tickets that were committed and not released.
    items: BTreeSet<u64>,
}

fn pick(claims: &mut Vec<Claim>, number: usize) -> Option<Claim> {
    if claims.is_empty() { None } else { Some(claims.swap_remove(number % claims.len())) }
}

fn bounded<T>(operation: impl FnOnce() -> Result<T, Corrupted>) -> Result<T, Corrupted> {
    let outcome = abandon_after(MAX_ACCESSES, operation).expect("a loop without end");
    outcome.inspect_err(assert_says_where)
}

impl Play {
    fn new(capacity: usize) -> Self {
        Self {
            rig: Rig::new(capacity),
            kept: Kept::default(),
            writes: vec![],
            reads: vec![],
            lingering: vec![],
            items: BTreeSet::new(),
        }
    }

    fn cell(&self, target: Target) -> &AtomicU64 {
        let slot = |slot: usize| &self.rig.slots[slot % self.rig.slots.len()];
        match target {
            Target::State(number) => &slot(number).state,
            Target::Ticket(number) => &slot(number).ticket,
            Target::Batch(number) => &slot(number).batch,
            Target::Publishing => &self.rig.publishing,
            Target::Head => &self.rig.control.head,
            Target::Tail => &self.rig.control.tail,
            Target::Tree(number) if !self.rig.tree.is_empty() => &self.rig.tree[number % self.rig.tree.len()],
            Target::Root | Target::Tree(_) => &self.rig.control.returned,
        }
    }

    fn take(&mut self, step: Step) -> Result<(), Corrupted> {
        let Self { rig, kept, writes, reads, lingering, items } = self;
        let ring = rig.ring();
        match step {
            Step::Damage(target, value) => self.cell(target).store(value, Ordering::Relaxed),
            Step::Reserve(id) => writes.extend(bounded(|| ring.reserve(owner(id), |_| true))?),
            Step::Commit(number) => {
                if let Some(claim) = pick(writes, number) {
                    let ticket = claim.ticket;
                    bounded(|| ring.commit(claim))?;
                    items.insert(ticket);
                }
            }
            Step::Abort(number) => {
                if let Some(claim) = pick(writes, number) {
                    bounded(|| ring.abort(claim))?;
                }
            }
            Step::Borrow(id) => {
                reads.extend(bounded(|| ring.borrow(owner(id), kept, |_| true))?);
            }
            Step::Release(number) => {
                if let Some(claim) = pick(reads, number) {
                    let ticket = claim.ticket;
                    bounded(|| ring.release(claim))?;
                    items.remove(&ticket);
                }
            }
            Step::GiveBack(number) => {
                if let Some(claim) = pick(reads, number) {
                    bounded(|| ring.give_back(claim))?;
                }
            }
            Step::Linger(number) => {
                let was_read = number % 2 == 0;
                if let Some(claim) = pick(if was_read { reads } else { writes }, number / 2) {
                    let ticket = claim.ticket;
                    lingering.push(bounded(|| ring.linger(claim))?);
                    items.remove(&ticket);
                }
            }
            Step::LetGo(number) => {
                if let Some(claim) = pick(lingering, number) {
                    bounded(|| ring.let_go(claim))?;
                }
            }
            Step::Recover(id) => {
                bounded(|| ring.recover(owner(id), &rig.publishing, || true))?;
            }
            Step::Look(count) => {
                let count = 1 + count % rig.slots.len();
                bounded(|| {
                    let _ = (ring.may_reserve(), ring.may_borrow(kept), ring.movements());
                    let _ = (ring.may_reserve_many(count), ring.may_borrow_many(count, kept));
                    let _ = (ring.any_free(), ring.words().count());
                    assert!(ring.count_free(count)? <= count);
                    assert!(ring.count_items(count, kept)? <= count);
                    assert!(ring.free_at_most() <= rig.slots.len());
                    let _ = ring.items_at_most(kept)?;
                    ring.left_to_drain(|_| false, &local::AtomicU64::new(count as u64 - 1))
                })?;
            }
        }
        Ok(())
    }

    /// Everybody has died: every item comes exactly once, and all capacity is there.
    fn assert_sound(self) {
        for id in 0..PARTICIPANTS {
            self.rig.ring().recover(owner(id), &self.rig.publishing, || true).expect("sound");
        }
        let drained = self.rig.drain(owner(0));
        assert_eq!(drained.len(), self.items.len(), "lost, or twice: {drained:?} of {:?}", self.items);
        assert_eq!(drained.into_iter().collect::<BTreeSet<_>>(), self.items);
        self.rig.assert_whole(owner(0));
    }
}

proptest! {
    #![proptest_config(config(500))]

    /// Any numbers, and every verb on them, again and again.
    #[test]
    fn a_hostile_ring_is_an_error_that_says_where_or_works(capacity in prop_oneof![3 => 1_usize..6, 1 => 30_usize..100], steps in steps()) {
        let mut play = Play::new(capacity);
        for step in steps {
            // Whatever came of it, the next one is as well defended.
            let _ = play.take(step);
        }
    }

}

proptest! {
    #![proptest_config(config(500))]

    /// One number of a sound ring is damaged for one operation. If that reports it, the ring without the damage is as sound as
    /// before. (The cursors and the tree follow the state words wherever these lead; so they are mended with a word.)
    #[test]
    fn an_operation_that_reports_damage_does_none(
        capacity in 1_usize..6,
        before in prop::collection::vec(verb(), 0..30),
        target in target(),
        damage in number(),
        step in verb(),
    ) {
        let mut play = Play::new(capacity);
        for step in before {
            // A sweep of the living is no sound step.
            if !matches!(step, Step::Recover(_)) {
                play.take(step).expect("sound");
            }
        }
        let mended: &[Target] = match target {
            Target::State(_) => &[target, Target::Head, Target::Tail, Target::Root],
            _ => &[target],
        };
        let sound: Vec<u64> = mended.iter().map(|&it| play.cell(it).load(Ordering::Relaxed)).collect();
        play.cell(target).store(damage, Ordering::Relaxed);
        let reported = play.take(step).is_err();
        if matches!(target, Target::State(_)) && Word(damage).phase().is_none() {
            let left = play.cell(target).load(Ordering::Relaxed);
            prop_assert_eq!(left, damage, "a word without meaning is nobody's to change");
        }
        if reported {
            for (&it, sound) in mended.iter().zip(sound) {
                // Bits of the tree that were set since are right, too, and too many do no harm.
                let set_since = match it {
                    Target::Root if !matches!(target, Target::Root) => play.cell(it).load(Ordering::Relaxed),
                    _ => 0,
                };
                play.cell(it).store(sound | set_since, Ordering::Relaxed);
            }
            play.assert_sound();
        }
    }
}

#[test]
fn a_state_word_without_meaning_is_named_with_its_slot_by_every_verb_that_meets_it() {
    let meets = |verb: &dyn Fn(&mut Play) -> Result<(), Corrupted>| {
        let mut play = Play::new(3);
        for _ in 0..2 {
            play.take(Step::Reserve(0)).expect("sound");
        }
        play.rig.slots[1].state.store(0xff_ffff_ff0f, Ordering::Relaxed);
        play.rig.slots[2].state.store(0xff_ffff_ff0f, Ordering::Relaxed);
        verb(&mut play).expect_err("phase 7").to_string()
    };
    let message = "the state word of slot 1 is 0x000000ffffffff0f, which has no meaning";
    for step in [Step::Borrow(1), Step::Recover(1)] {
        assert!(meets(&|play| play.take(step)).ends_with(message), "{step:?}");
    }
    let all_are_done =
        |play: &mut Play| play.rig.ring().left_to_drain(|_| true, &local::AtomicU64::new(0)).map(drop);
    assert!(meets(&all_are_done).ends_with(message));
    assert!(meets(&|play| play.take(Step::Reserve(1))).contains("slot 2"));
    for step in [Step::Commit(1), Step::Abort(1), Step::Linger(3)] {
        let said = meets(&|play| play.take(step));
        assert!(
            said.contains("slot 1, held here with state word Writing(owner 0x0, reach 0), was taken"),
            "{said}"
        );
    }
}

#[test]
fn a_cursor_that_the_words_contradict_is_named_with_its_value() {
    let mut play = Play::new(4);
    play.take(Step::Damage(Target::Head, 1 << 30)).expect("only a store");
    let said = play.take(Step::Reserve(0)).expect_err("nobody was there").to_string();
    let expected = "the cursor head is at ticket 1073741824, which the state words contradict: slot 0, to which that belongs, has \
                    Free(reach 0)";
    assert!(said.ends_with(expected), "{said}");
    let mut play = Play::new(4);
    for slot in 0..4 {
        // Every ticket up to a far one is used up, and nothing is in the way.
        play.take(Step::Damage(Target::State(slot), Word(1 << 60).0)).expect("only a store");
    }
    let said = play.take(Step::Borrow(0)).expect_err("nobody was there").to_string();
    assert!(said.contains("the cursor tail is at ticket "), "{said}");
}

#[test]
fn a_tree_that_the_words_contradict_is_named_with_the_slot() {
    for capacity in [4, 40, 2000] {
        let with_one_given_back = || {
            let mut play = Play::new(capacity);
            for step in [Step::Reserve(0), Step::Commit(0), Step::Borrow(0), Step::GiveBack(0)] {
                play.take(step).expect("sound");
            }
            play
        };
        let mut play = with_one_given_back();
        play.take(Step::Damage(Target::Root, u64::MAX)).expect("only a store");
        let said = play.take(Step::Borrow(1)).expect_err("slots beyond the last").to_string();
        assert!(said.contains("the tree of returned items names slot "), "{said}");
        // An item that came back, where only a walk over the tickets meets it: below a root without bits, and below one with.
        for root in [0, u64::from(capacity > 32)] {
            let mut play = Play::new(capacity);
            for step in [Step::Reserve(0), Step::Commit(0)] {
                play.take(step).expect("sound");
            }
            let returned = Word::new(Phase::Returned, Owner::NOBODY, 0);
            for (target, value) in [(Target::State(0), returned.0), (Target::Root, root)] {
                play.take(Step::Damage(target, value)).expect("only a store");
            }
            let said = play.take(Step::Borrow(1)).expect_err("a slot that no look finds").to_string();
            let expected = "slot 0 has Returned(reach 0), and the tree of returned items does not say so";
            assert!(said.ends_with(expected), "{said}");
        }
        let mut play = with_one_given_back();
        play.take(Step::Damage(Target::Ticket(0), 1)).expect("only a store");
        let said = play.take(Step::Borrow(1)).expect_err("a ticket of slot 1").to_string();
        assert!(said.ends_with("slot 0 has an item of ticket 1, which belongs to another slot"), "{said}");
    }
}
