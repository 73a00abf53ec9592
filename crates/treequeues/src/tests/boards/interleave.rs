//! The real board under `loom`: every interleaving of its accesses up to a bound of preemptions, with the weak memory orderings that the
//! code asks for. Rows are written and read with none, so a torn or an old item shows if an ordering is too weak.

use loom::sync::Arc;
use loom::thread;

use super::super::interleave::explore;
use super::{Rig, tenant};
use crate::sync::abandon_after;
use crate::topic::board::{Found, Start};

const PREEMPTIONS: usize = 3;
const PREEMPTIONS_OF_THREE: usize = 2;
const READER: u32 = 1;
const SURVIVOR: u32 = 3;

/// Puts so many items, each with its ticket as its number.
fn put_all(rig: &Rig, place: u32, n: u64) -> Vec<Option<u64>> {
    (0..n).map(|_| rig.put(&tenant(place), 10 + u64::from(place))).collect()
}

#[test]
fn a_reader_of_the_newest_never_sees_an_old_or_a_torn_one() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        rig.put(&tenant(0), 1).expect("free");
        let reader = thread::spawn({
            let rig = Arc::clone(&rig);
            move || [(); 2].map(|()| rig.latest(&tenant(READER)).expect("an item"))
        });
        // With one reader and one publisher, two slots may be full.
        for number in 2..=3 {
            if let Some(ticket) = rig.put(&tenant(0), number) {
                assert!(ticket <= number);
            }
        }
        let [first, second] = reader.join().expect("no panic");
        assert!(first.0 <= second.0, "never back");
        assert!(first.0 != second.0 || first.1 == second.1, "an item stays what it is");
        rig.assert_whole(&tenant(SURVIVOR));
    });
}

#[test]
fn a_put_beside_a_reader_finds_a_slot_in_three() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(3));
        rig.put(&tenant(0), 1).expect("free");
        let reader = thread::spawn({
            let rig = Arc::clone(&rig);
            move || rig.latest(&tenant(READER)).expect("an item")
        });
        let tickets = [2, 3].map(|number| rig.put(&tenant(0), number));
        assert_eq!(
            tickets.into_iter().flatten().collect::<Vec<_>>().len(),
            2,
            "one look is enough for one reader"
        );
        let (ticket, number) = reader.join().expect("no panic");
        assert_eq!(ticket, number, "a reader gets the rows of its ticket");
        rig.assert_whole(&tenant(SURVIVOR));
    });
}

#[test]
fn two_publishers_share_no_slot_and_no_ticket() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(3));
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || put_all(&rig, 1, 2)
        });
        let mut tickets = put_all(&rig, 0, 1);
        tickets.extend(other.join().expect("no panic"));
        tickets.sort_unstable();
        assert_eq!(tickets, [Some(1), Some(2), Some(3)]);
        rig.assert_whole(&tenant(SURVIVOR));
    });
}

#[test]
fn a_subscription_gets_or_misses_each_ticket() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(3));
        let reader = thread::spawn({
            let rig = Arc::clone(&rig);
            move || {
                let me = tenant(READER);
                let mut cursor = rig.board().subscribe(Start::Oldest).expect("sound");
                let mut got = Vec::new();
                for _ in 0..2 {
                    if let Some((ticket, number)) = rig.next(cursor, &me) {
                        assert!(ticket >= cursor);
                        assert_eq!(ticket, number, "a reader gets the rows of its ticket");
                        got.push(ticket);
                        cursor = ticket + 1;
                    }
                }
                (got, cursor)
            }
        });
        for number in 1..=3 {
            assert_eq!(rig.put(&tenant(0), number), Some(number));
        }
        let (got, cursor) = reader.join().expect("no panic");
        assert!(got.is_sorted());
        // What was passed over has gone.
        let rest = rig.next(cursor, &tenant(READER)).map(|(ticket, _)| ticket);
        assert_eq!(
            rest,
            (cursor <= 3).then_some(cursor.max(1)),
            "three slots, three items: nothing is missed"
        );
        rig.assert_whole(&tenant(SURVIVOR));
    });
}

#[test]
fn a_publisher_that_dies_anywhere_delays_nobody_and_loses_nothing() {
    for steps in 0..20 {
        explore(PREEMPTIONS_OF_THREE, move || {
            let rig = Arc::new(Rig::new(3));
            rig.put(&tenant(0), 1).expect("free");
            let reader = thread::spawn({
                let rig = Arc::clone(&rig);
                move || [(); 2].map(|()| rig.latest(&tenant(READER)).expect("an item"))
            });
            rig.put(&tenant(2), 2).expect("free");
            abandon_after(steps, || rig.put(&tenant(0), 3));
            let version = rig.board().version();
            rig.recover(&tenant(0));
            let [first, second] = reader.join().expect("no panic");
            assert!(first.0 <= second.0 && second.0 <= version);
            assert!([first, second].iter().all(|(ticket, number)| ticket == number));
            let newest = rig.latest(&tenant(SURVIVOR)).expect("an item");
            assert_eq!(newest, (version, version));
            rig.assert_whole(&tenant(SURVIVOR));
        });
    }
}

#[test]
fn a_reader_that_dies_anywhere_leaves_no_pin() {
    for steps in 0..12 {
        explore(PREEMPTIONS_OF_THREE, move || {
            let rig = Arc::new(Rig::new(2));
            rig.put(&tenant(0), 1).expect("free");
            let publisher = thread::spawn({
                let rig = Arc::clone(&rig);
                move || rig.put(&tenant(0), 2)
            });
            abandon_after(steps, || rig.latest(&tenant(READER)));
            rig.recover(&tenant(READER));
            publisher.join().expect("no panic");
            rig.assert_whole(&tenant(SURVIVOR));
        });
    }
}

#[test]
fn two_sweepers_of_one_publisher_agree() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        rig.put(&tenant(0), 1).expect("free");
        std::mem::forget(rig.claim(&tenant(0)));
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || rig.recover(&tenant(0))
        });
        let moved = rig.recover(&tenant(0)) + other.join().expect("no panic");
        assert_eq!(moved, 1);
        rig.assert_whole(&tenant(SURVIVOR));
    });
}

#[test]
fn threads_of_one_process_share_a_pin() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        rig.put(&tenant(0), 1).expect("free");
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || rig.latest(&tenant(READER)).expect("an item")
        });
        assert_eq!(rig.latest(&tenant(READER)), Some((1, 1)));
        assert_eq!(other.join().expect("no panic"), (1, 1));
        rig.assert_whole(&tenant(SURVIVOR));
    });
}

#[test]
fn nothing_comes_after_the_end() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(3));
        let is_down = Arc::new(crate::sync::AtomicU32::new(0));
        let subscriber = thread::spawn({
            let (rig, is_down) = (Arc::clone(&rig), Arc::clone(&is_down));
            move || {
                // As a call does: it finds nothing, then looks at the flag, then at what is left.
                let found = rig.next(1, &tenant(READER));
                if found.is_some() || is_down.load(crate::sync::Ordering::SeqCst) == 0 {
                    return false;
                }
                rig.board().at_the_end(1, |_| false).expect("sound") == Found::End
            }
        });
        let closer = thread::spawn({
            let is_down = Arc::clone(&is_down);
            move || is_down.fetch_or(1, crate::sync::Ordering::SeqCst)
        });
        // As a publisher does: before its claim, and after it.
        let is_open = || is_down.load(crate::sync::Ordering::SeqCst) == 0;
        let mut has_put = false;
        if is_open() {
            let claim = rig.claim(&tenant(0)).expect("free");
            if is_open() {
                rig.write(&claim, 1);
                rig.board().commit(claim).expect("sound");
                has_put = true;
            } else {
                rig.board().abort(claim).expect("sound");
            }
        }
        closer.join().expect("no panic");
        let was_told_of_the_end = subscriber.join().expect("no panic");
        assert!(!(has_put && was_told_of_the_end), "an item after the end");
        rig.assert_whole(&tenant(SURVIVOR));
    });
}
