//! Items that were brought from another host: what they say of their origin, and the table of hosts.

use std::time::{Duration, SystemTime};

use super::bytes::{local, put, schema};
use crate::error::ArrivalError;
use crate::{BatchSize, BorrowError, ItemOrigin, Queue, Wait};

fn origin(seconds: u64, producer_pid: u32, delivery_count: u32) -> ItemOrigin {
    let put_time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    ItemOrigin { put_time, producer_pid, delivery_count }
}

/// Brings one item, and returns its ticket.
fn bring(queue: &Queue, host: &str) -> Result<u64, ArrivalError> {
    let batch = queue.try_reserve_batch(BatchSize::exactly(1)).expect("a free slot");
    let ticket = batch.tickets().next().expect("one");
    batch.commit_from(host, &[origin(1, 2, 0)]).map(|()| ticket)
}

fn host_of_next(queue: &Queue) -> Option<String> {
    let item = queue.try_borrow().expect("an item");
    item.info().host.map(|host| host.to_string())
}

#[test]
fn items_say_where_they_came_from() {
    let queue = local(8);
    put(&queue, 0);
    let batch = queue.try_reserve_batch(BatchSize::exactly(3)).expect("free");
    let first = batch.tickets().next().expect("three");
    let origins = [origin(10, 100, 0), origin(20, 200, 3), origin(30, 300, 1 << 20)];
    batch.commit_from("actors-1", &origins).expect("sound");
    assert_eq!(queue.has_arrived(first).expect("sound"), Some(true));

    let here = queue.try_borrow().expect("the first").info();
    assert_eq!((here.host, here.producer_pid), (None, std::process::id()));
    let infos: Vec<_> = queue.try_borrow_batch(BatchSize::exactly(3)).expect("three").infos().collect();
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs();
    let told: Vec<_> = infos
        .iter()
        .map(|it| (it.host.as_deref(), seconds(it.put_time), it.producer_pid, it.delivery_count))
        .collect();
    let host = Some("actors-1");
    assert_eq!(told, [(host, 10, 100, 1), (host, 20, 200, 4), (host, 30, 300, 1 + 0xffff)]);

    put(&queue, 1);
    assert_eq!(host_of_next(&queue), None, "a slot does not keep the host of the item before");
}

#[test]
fn a_give_back_keeps_the_host_and_its_deaths_are_those_here() {
    let queue = local(2);
    bring(&queue, "a").expect("room");
    queue.try_borrow().expect("an item").give_back().expect("sound");
    let info = queue.try_borrow().expect("again").info();
    assert_eq!((info.host.as_deref(), info.delivery_count), (Some("a"), 2));
}

#[test]
fn what_is_no_name_of_a_host_puts_nothing() {
    let queue = local(2);
    let longest = "h".repeat(64);
    for name in ["", "a\0b", &"h".repeat(65), &"ä".repeat(33)] {
        let refused = bring(&queue, name).expect_err(name);
        assert!(matches!(&refused, ArrivalError::HostName(it) if it == name), "{refused}");
        assert_eq!(queue.len().expect("sound"), 0);
    }
    bring(&queue, &longest).expect("as long as it may be");
    bring(&queue, "ä").expect("not all names are ASCII; both slots are free");
    assert_eq!([host_of_next(&queue), host_of_next(&queue)], [Some(longest), Some("ä".into())]);
}

#[test]
fn a_name_is_given_up_when_no_item_says_it_any_more() {
    let hosts = crate::format::HOSTS;
    let queue = local(2 * hosts as u64);
    for number in 0..hosts {
        bring(&queue, &format!("host-{number}")).expect("room in the table");
    }
    assert!(matches!(bring(&queue, "one-more"), Err(ArrivalError::TooManyHosts)));
    bring(&queue, "host-7").expect("it is known");
    // What is read still has its name; what was given back, too.
    let held = queue.try_borrow().expect("host-0");
    queue.try_borrow().expect("host-1").give_back().expect("sound");
    assert!(matches!(bring(&queue, "one-more"), Err(ArrivalError::TooManyHosts)));
    assert_eq!(held.info().host.as_deref(), Some("host-0"));
    held.release().expect("sound");
    bring(&queue, "one-more").expect("nothing says host-0 any more");
    assert_eq!(host_of_next(&queue).as_deref(), Some("host-1"));
    let mut last = None;
    while let Ok(item) = queue.try_borrow() {
        last = item.info().host;
    }
    assert_eq!(last.as_deref(), Some("one-more"));
}

#[test]
fn there_are_as_many_names_as_items() {
    let queue = local(2);
    for number in 0..9 {
        bring(&queue, &format!("host-{number}")).expect("a slot, and so a name");
        bring(&queue, &format!("host-{}", number + 1)).expect("another one");
        assert_eq!(host_of_next(&queue), Some(format!("host-{number}")));
        assert_eq!(host_of_next(&queue), Some(format!("host-{}", number + 1)));
    }
}

#[test]
fn an_arrival_is_told_of_the_last_batch_alone() {
    let queue = local(4);
    assert_eq!(queue.has_arrived(0).expect("sound"), Some(false));
    let batch = queue.try_reserve_batch(BatchSize::exactly(2)).expect("free");
    let first = batch.tickets().next().expect("two");
    assert_eq!(queue.has_arrived(first).expect("sound"), None, "it is being written");
    batch.abort().expect("sound");
    assert_eq!(queue.has_arrived(first).expect("sound"), Some(false));

    let came = bring(&queue, "a").expect("room");
    // What others put, take and put again leaves the note alone.
    for number in 0..9 {
        put(&queue, number);
        queue.try_borrow().expect("an item").release().expect("sound");
    }
    assert_eq!(queue.has_arrived(came).expect("sound"), Some(true));
    let aborted = queue.try_reserve_batch(BatchSize::exactly(1)).expect("free");
    let ticket = aborted.tickets().next().expect("one");
    aborted.abort().expect("sound");
    assert_eq!(queue.has_arrived(ticket).expect("sound"), Some(false));
    let batch = queue.reserve_batch_with(BatchSize::exactly(2), Wait::not_at_all(None)).expect("free");
    assert_eq!(batch.tickets().count(), 2);
}

#[test]
fn too_few_origins_are_a_mistake_and_leave_no_slot_held() {
    let queue = Queue::create_local(schema(), 2).expect("small");
    let bring = || {
        let batch = queue.try_reserve_batch(BatchSize::exactly(2)).expect("free");
        let _ = batch.commit_from("a", &[origin(1, 2, 0)]);
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(bring)).is_err());
    assert!(matches!(queue.try_borrow(), Err(BorrowError::Empty)));
    assert_eq!(queue.try_reserve_batch(BatchSize::exactly(2)).expect("both are free").len(), 2);
}
