//! Whole topics: who gets what, who waits for whom, and what the dead leave.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::sync::abandon_after;
use crate::{
    CreateError, GetError, PublishError, Queue, Schema, Start, SubscribeError, Topic, TopicReadLoan,
    TypedTopic, Wait,
};

/// No test waits for as long, unless something is wrong.
const WATCHDOG: Duration = Duration::from_secs(60);
const ELEMENTS: usize = 2000;

fn schema() -> Schema {
    Schema::builder().array::<u64>("values", [ELEMENTS]).scalar::<u64>("version").build().expect("two leaves")
}

fn topic(capacity: u64) -> Topic {
    Topic::create_crowded(schema(), capacity, 8)
}

fn put(topic: &Topic, number: u64) -> Result<u64, PublishError> {
    let mut loan = topic.reserve_with(Wait::at_most(WATCHDOG))?;
    loan.leaf_mut::<u64>("values").expect("of that type").fill(number);
    loan.leaf_mut::<u64>("version").expect("of that type")[0] = number;
    Ok(loan.commit()?)
}

/// The item's number, which all of it must have.
fn number(loan: &TopicReadLoan<'_>) -> u64 {
    let number = loan.leaf::<u64>("version").expect("of that type")[0];
    assert!(loan.leaf::<u64>("values").expect("of that type").iter().all(|&value| value == number), "torn");
    number
}

fn watched() -> Wait<'static> {
    Wait::at_most(WATCHDOG)
}

#[test]
fn every_subscriber_gets_or_misses_each_item_while_publishers_go_on() {
    const ITEMS: u64 = 3000;
    let topic = topic(6);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for publisher in 0..2 {
            let topic = topic.join().expect("a place");
            scope.spawn(move || (0..ITEMS / 2).for_each(|n| assert!(put(&topic, n * 2 + publisher).is_ok())));
        }
        let newest = topic.join().expect("a place");
        scope.spawn({
            let is_over = &is_over;
            move || {
                let mut last = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let loan = newest.borrow_latest_with(watched()).expect("an item");
                    number(&loan);
                    assert!(loan.ticket() >= last, "the newest went back");
                    last = loan.ticket();
                }
            }
        });
        let subscribers: Vec<_> = [Start::New, Start::Oldest, Start::Latest]
            .into_iter()
            .map(|start| {
                let subscriber = topic.join().expect("a place").subscribe(start).expect("sound");
                scope.spawn(move || {
                    let (mut got, mut first, mut last) = (0, None, 0);
                    loop {
                        let loan = match start {
                            Start::Latest => subscriber.borrow_latest_with(watched()),
                            _ => subscriber.borrow_with(watched()),
                        };
                        let loan = match loan {
                            Ok(loan) => loan,
                            Err(SubscribeError::ShutDown(_)) => break,
                            Err(error) => panic!("{error}"),
                        };
                        number(&loan);
                        assert!(loan.ticket() > last, "in order, each once");
                        last = loan.ticket();
                        first.get_or_insert(last - loan.info().missed);
                        got += 1;
                    }
                    assert_eq!(last, ITEMS, "the last one is not missed");
                    assert_eq!(got + subscriber.missed(), last - first.expect("some") + 1);
                })
            })
            .collect();
        while topic.version().expect("attached") < ITEMS {
            thread::sleep(Duration::from_millis(1));
        }
        topic.shutdown(false).expect("attached");
        subscribers.into_iter().for_each(|subscriber| subscriber.join().expect("no panic"));
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(matches!(put(&topic, 0), Err(PublishError::ShutDown(_))));
    assert_eq!(topic.borrow_latest().expect("the newest stays").ticket(), ITEMS);
}

#[test]
fn subscribers_that_hold_nothing_hold_nobody_up() {
    let topic = topic(2);
    let slow = topic.join().expect("a place").subscribe(Start::Oldest).expect("sound");
    for n in 1..=100 {
        assert_eq!(put(&topic, n).expect("open"), n);
    }
    let loan = slow.try_borrow().expect("the last two are there");
    assert_eq!((loan.ticket(), loan.info().missed, number(&loan)), (99, 98, 99));
    drop(loan);
    assert_eq!(slow.try_borrow().expect("the newest").ticket(), 100);
    assert!(matches!(slow.try_borrow(), Err(SubscribeError::Empty)));
    assert_eq!(slow.missed(), 98);
}

#[test]
fn a_full_topic_says_who_reads_what() {
    let topic = topic(3);
    let reader = topic.join().expect("a place");
    let all = reader.subscribe(Start::Oldest).expect("sound");
    (1..=2).for_each(|n| drop(put(&topic, n)));
    let loans = [all.borrow().expect("an item"), all.borrow().expect("an item")];
    put(&topic, 3).expect("a slot is free");
    let said = topic.try_reserve().expect_err("two are read, and one is the newest").to_string();
    let me = std::process::id();
    assert!(
        said.contains(&format!("of its 3 slots one has the newest item, process {me} reads items 1, 2;")),
        "{said}"
    );
    let said = topic.reserve_with(Wait::at_most(Duration::from_millis(1))).expect_err("still").to_string();
    assert!(said.contains("reads items 1, 2"), "{said}");
    let [first, second] = loans;
    drop(first);
    let writing = topic.try_reserve().expect("one is done");
    let said = topic.try_reserve().expect_err("full again").to_string();
    assert!(said.contains(&format!("reads item 2, process {me} writes to one; ")), "{said}");
    drop((writing, second));
    assert!(topic.try_reserve().is_ok());
}

#[test]
fn a_put_waits_for_a_reader_and_is_woken() {
    let topic = topic(2);
    put(&topic, 1).expect("free");
    let held = topic.borrow_latest().expect("an item");
    put(&topic, 2).expect("free");
    thread::scope(|scope| {
        let other = topic.join().expect("a place");
        let waits = scope.spawn(move || put(&other, 3));
        thread::sleep(Duration::from_millis(20));
        assert!(!waits.is_finished());
        held.release().expect("sound");
        assert_eq!(waits.join().expect("no panic").expect("woken"), 3);
    });
}

#[test]
fn all_who_wait_for_the_first_item_get_it() {
    let topic = topic(2);
    let waiting = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..6 {
            let topic = topic.join().expect("a place");
            let waiting = &waiting;
            scope.spawn(move || {
                waiting.fetch_add(1, Ordering::Relaxed);
                assert_eq!(topic.borrow_latest_with(watched()).expect("it comes").ticket(), 1);
            });
        }
        while waiting.load(Ordering::Relaxed) < 6 {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(20));
        put(&topic, 1).expect("free");
    });
}

#[test]
fn the_end_comes_after_what_is_left() {
    let topic = topic(4);
    let all = topic.subscribe(Start::Oldest).expect("sound");
    (1..=2).for_each(|n| drop(put(&topic, n)));
    let other = topic.join().expect("a place");
    let writing = other.reserve().expect("free");
    topic.shutdown(false).expect("attached");
    assert!(matches!(topic.try_reserve(), Err(PublishError::ShutDown(_))));
    assert_eq!([(); 2].map(|()| all.try_borrow().expect("it is left").ticket()), [1, 2]);
    assert!(matches!(all.try_borrow(), Err(SubscribeError::Empty)), "one is being written");
    writing.commit().expect("sound");
    assert_eq!(all.try_borrow().expect("it came before the end").ticket(), 3);
    let said = all.borrow_with(watched()).expect_err("the end").to_string();
    assert!(said.contains("nothing more comes"), "{said}");
    assert_eq!(topic.borrow_latest().expect("it stays").ticket(), 3);
    topic.shutdown(true).expect("attached");
    assert!(matches!(topic.borrow_latest(), Err(SubscribeError::ShutDown(_))));
}

#[test]
fn a_wait_ends_with_the_topic() {
    let topic = topic(2);
    thread::scope(|scope| {
        let waits = [Start::New, Start::Oldest].map(|start| {
            let subscriber = topic.join().expect("a place").subscribe(start).expect("sound");
            scope.spawn(move || subscriber.borrow_with(watched()).map(|loan| loan.ticket()))
        });
        let newest = topic.join().expect("a place");
        let latest = scope.spawn(move || newest.borrow_latest_with(watched()).map(|loan| loan.ticket()));
        thread::sleep(Duration::from_millis(20));
        topic.shutdown(false).expect("attached");
        for wait in waits.into_iter().chain([latest]) {
            assert!(matches!(wait.join().expect("no panic"), Err(SubscribeError::ShutDown(_))));
        }
    });
}

#[test]
fn the_dead_keep_neither_slots_nor_items() {
    let topic = topic(3);
    put(&topic, 1).expect("free");
    let victim = topic.join().expect("a place");
    let subscriber = victim.subscribe(Start::Oldest).expect("sound");
    std::mem::forget(subscriber.borrow().expect("an item"));
    std::mem::forget(victim.reserve().expect("free"));
    put(&topic, 2).expect("the third");
    assert_eq!(topic.attachment().subscriptions().list().count(), 1);
    std::mem::forget(subscriber);
    victim.die();
    // A call that finds nothing sweeps.
    for n in 3..=20 {
        assert_eq!(put(&topic, n).expect("what the dead held comes back"), n);
    }
    assert_eq!(topic.attachment().subscriptions().list().count(), 0);
    assert_eq!(topic.sweep().expect("sound"), 0);
}

#[test]
fn a_publisher_that_dies_at_any_access_of_a_commit_leaves_the_topic_whole() {
    let mut was_linked = [0, 0];
    for steps in 0..100 {
        let topic = topic(3);
        put(&topic, 1).expect("free");
        let all = topic.subscribe(Start::Oldest).expect("sound");
        let victim = topic.join().expect("a place");
        let died = abandon_after(steps, || put(&victim, 2)).is_none();
        victim.die();
        let version = topic.version().expect("attached");
        was_linked[version as usize - 1] += 1;
        let got: Vec<_> = (1..=version).map(|_| number(&all.try_borrow().expect("it is there"))).collect();
        assert_eq!(got, [1, 2][..version as usize]);
        for n in 1..=10 {
            assert_eq!(put(&topic, n).expect("whole"), version + n);
        }
        if !died {
            assert!(was_linked[0] > 5 && was_linked[1] > 1, "{was_linked:?}");
            return;
        }
    }
    panic!("a put never gets through");
}

#[test]
fn subscriptions_say_where_they_are() {
    let topic = topic(4);
    let [first, second] = [(); 2].map(|()| topic.subscribe(Start::Oldest).expect("sound"));
    (1..=6).for_each(|n| drop(put(&topic, n)));
    assert_eq!(first.try_borrow().expect("an item").ticket(), 3);
    let list: Vec<_> = topic.attachment().subscriptions().list().map(|it| (it.cursor, it.missed)).collect();
    assert_eq!(list, [(4, 2), (1, 0)]);
    drop(first);
    assert_eq!(topic.attachment().subscriptions().list().count(), 1);
    // More than a participant has records for: they work, and are not listed; those of others are.
    let many: Vec<_> = (0..40).map(|_| topic.subscribe(Start::Latest).expect("sound")).collect();
    assert_eq!(topic.attachment().subscriptions().list().count(), 4);
    let other = topic.join().expect("a place");
    let listed = other.subscribe(Start::Latest).expect("sound");
    assert_eq!(topic.attachment().subscriptions().list().count(), 5);
    drop((listed, other));
    assert!(many.iter().all(|subscriber| subscriber.try_borrow().expect("the newest").ticket() == 6));
    drop(second);
}

#[test]
fn threads_that_share_a_subscription_share_its_items() {
    const ITEMS: u64 = 2000;
    let topic = topic(16);
    let subscriber = topic.subscribe(Start::New).expect("sound");
    let publisher = topic.join().expect("a place");
    let (got, seen) = thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut tickets = Vec::new();
                    loop {
                        match subscriber.borrow_with(watched()) {
                            Ok(loan) => tickets.push(loan.ticket()),
                            Err(SubscribeError::ShutDown(_)) => return tickets,
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        (1..=ITEMS).for_each(|n| drop(put(&publisher, n)));
        publisher.shutdown(false).expect("sound");
        let mut all = Vec::new();
        for reader in readers {
            let tickets = reader.join().expect("no panic");
            assert!(tickets.is_sorted(), "each thread's own are in order");
            all.extend(tickets);
        }
        let got = all.len() as u64;
        all.sort_unstable();
        all.dedup();
        (got, all.len() as u64)
    });
    assert_eq!(got, seen, "an item came twice");
    assert_eq!(got + subscriber.missed(), ITEMS);
    assert_eq!(subscriber.next_ticket(), ITEMS + 1);
    assert_eq!(
        topic.subscribe_from(ITEMS - 1).expect("sound").try_borrow().expect("kept").ticket(),
        ITEMS - 1
    );
}

#[test]
fn a_thread_that_writes_itself_comes_to_the_end() {
    let topic = topic(3);
    let all = topic.subscribe(Start::New).expect("sound");
    let own = topic.reserve().expect("free");
    put(&topic, 1).expect("another slot");
    topic.shutdown(false).expect("sound");
    assert_eq!(number(&all.borrow_with(watched()).expect("what is left")), 1);
    assert!(matches!(all.borrow_with(watched()), Err(SubscribeError::ShutDown(_))), "it waits for itself");
    // Other threads wait for it, and get what it puts.
    let others = topic.subscribe(Start::New).expect("sound");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| others.borrow_with(watched()).map(|loan| loan.ticket()));
        thread::sleep(Duration::from_millis(20));
        assert_eq!(own.commit().expect("sound"), 2);
        assert_eq!(waiting.join().expect("no panic").expect("an item"), 2);
    });
}

#[test]
fn what_views_keep_is_nobodys_and_ends_nothing() {
    let topic = topic(3);
    put(&topic, 1).expect("free");
    let mut kept = topic.reserve().expect("free").into_hold();
    let row = kept.first_row(1);
    kept.linger().expect("sound");
    // It is not written to, however often others put, and does not keep the end from coming.
    let row = row.as_ptr().cast_const();
    for n in 2..10 {
        let mut loan = topic.try_reserve().expect("the older of the other two");
        assert_ne!(loan.leaf_bytes_mut(1).as_ptr(), row);
        loan.leaf_mut::<u64>("values").expect("of that type").fill(n);
        loan.leaf_mut::<u64>("version").expect("of that type")[0] = n;
        loan.commit().expect("sound");
    }
    let mut read = topic.try_borrow_latest().expect("the newest").into_hold();
    read.linger().expect("sound");
    put(&topic, 10).expect("the third slot");
    // The newest, what is read, what is kept: none is left, and a put says so.
    let refused = topic.try_reserve().expect_err("full").to_string();
    assert!(refused.contains("keeps") && refused.contains("reads item 9"), "{refused}");
    let refused =
        topic.reserve_elsewhere_with(kept.elsewhere(), watched()).expect_err("nothing may become free");
    assert!(matches!(refused, PublishError::Kept), "{refused}");
    drop(read);
    drop(topic.reserve_elsewhere_with(kept.elsewhere(), watched()).expect("what was read"));
    let all = topic.subscribe(Start::New).expect("sound");
    topic.shutdown(false).expect("sound");
    assert!(matches!(all.try_borrow(), Err(SubscribeError::ShutDown(_))), "it waits for nothing");
    drop(kept);
}

#[test]
fn a_hold_of_a_topic_ends_by_its_verbs() {
    let topic = topic(2);
    let mut hold = topic.reserve().expect("free").into_hold();
    assert!(hold.is_in_segment(hold.first_row(0).as_ptr()) && hold.is_this_process());
    assert_eq!(hold.commit().expect("sound"), 1);
    let mut read = topic.borrow_latest().expect("an item").into_hold();
    assert!(read.is_in_segment(read.first_row(0).as_ptr()), "in its mapping to be read");
    read.release().expect("sound");
    topic.reserve().expect("free").into_hold().abort().expect("sound");
    // Dropped, they end as their loans do.
    drop(topic.borrow_latest().expect("an item").into_hold());
    drop(topic.reserve().expect("free").into_hold());
    (2..6).for_each(|ticket| assert_eq!(put(&topic, ticket).expect("nothing is held"), ticket));
}

#[test]
fn stats_say_who_writes_reads_and_keeps() {
    let topic = topic(6);
    let other = topic.join().expect("a place");
    (1..=4).for_each(|n| drop(put(&topic, n)));
    let subscriber = other.subscribe(Start::Oldest).expect("sound");
    (5..=9).for_each(|n| drop(put(&topic, n)));
    let third_oldest = subscriber.try_borrow().expect("an item");
    assert_eq!((third_oldest.ticket(), subscriber.missed()), (4, 3));
    let newest = [topic.try_borrow_latest(), other.try_borrow_latest(), other.try_borrow_latest()];
    let writing = topic.try_reserve().expect("an old item's");
    let mut kept = other.try_reserve().expect("another one's").into_hold();
    kept.linger().expect("sound");
    let stats = topic.stats().expect("sound");
    assert_eq!((stats.version, stats.items, stats.reading), (9, 4, 2));
    assert_eq!((stats.free, stats.writing, stats.lingering), (0, 1, 1));
    let of = |id: usize| {
        let it = &stats.participants[id];
        (it.writing, it.reading, it.lingering, it.counters.puts, it.counters.missed)
    };
    assert_eq!((of(0), of(1)), ((1, 1, 0, 9, 0), (0, 2, 1, 0, 3)));
    let readers: Vec<_> =
        stats.held.iter().map(|held| (held.ticket, held.writer, held.readers.clone())).collect();
    assert!(readers.contains(&(Some(9), None, vec![(0, 1), (1, 2)])), "{readers:?}");
    assert!(readers.contains(&(Some(4), None, vec![(1, 1)])), "{readers:?}");
    assert!(readers.contains(&(None, Some(0), vec![])), "{readers:?}");
    assert!(readers.contains(&(None, None, vec![(1, 1)])), "{readers:?}");
    let subscription = stats.subscriptions[0];
    assert_eq!((subscription.participant, subscription.missed, subscription.lag(stats.version)), (1, 3, 5));
    drop((newest, third_oldest, writing, kept));
    let stats = topic.stats().expect("sound");
    assert_eq!((stats.free, stats.reading, stats.writing, stats.lingering), (2, 0, 0, 0));
    // The dead are listed with what they had until they are found, and not afterwards.
    drop(subscriber);
    std::mem::forget(other.try_borrow_latest().expect("the newest"));
    other.die();
    let stats = topic.stats().expect("sound");
    assert_eq!((stats.participants.len(), stats.reading), (2, 1));
    assert!(!stats.participants[1].is_alive);
    topic.sweep().expect("sound");
    let stats = topic.stats().expect("sound");
    assert_eq!((stats.participants.len(), stats.reading, stats.counters.deaths), (1, 0, 1));
}

#[test]
fn an_observer_sees_the_newest_item_and_takes_nothing() {
    let name = format!("topic-observed-{}", std::process::id());
    let topic = Topic::create_named(&name, schema(), 3, crate::TopicOptions::default()).expect("a free name");
    let name = name.parse().expect("a name");
    let observer = crate::TopicObserver::open(&name).expect("a topic");
    assert_eq!(observer.peek().expect("sound"), None);
    (1..=5).for_each(|n| drop(put(&topic, n)));
    let newest = topic.borrow_latest().expect("an item");
    let seen = observer.peek().expect("sound").expect("an item");
    assert_eq!((seen.ticket, seen.producer_pid), (5, std::process::id()));
    assert_eq!(seen.rows[0], newest.leaf_bytes(0));
    let look = observer.look().expect("sound");
    assert_eq!((look.version, look.items, look.reading, look.counters.puts), (5, 3, 1, 5));
    assert_eq!(look, topic.stats().expect("sound"));
    assert!(matches!(crate::AnyObserver::open(&name), Ok(crate::AnyObserver::Topic(_))));
    let refused = crate::Observer::open(&name).expect_err("no queue").to_string();
    assert!(refused.contains("it is a topic"), "{refused}");
}

#[test]
fn a_topic_is_no_queue_and_a_queue_is_no_topic() {
    let topic = Topic::create(schema(), 2).expect("small");
    let fd = |handle: crate::Handle| {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/self/fd/{}", handle.fd))
            .expect("open")
            .into()
    };
    let refused = Queue::attach_fd(fd(topic.handle().expect("open")), None).expect_err("a topic");
    assert_eq!(refused.to_string(), "it is a topic, and not a queue: attach to it as the topic that it is");
    let queue = Queue::create(schema(), 2).expect("small");
    let refused = Topic::attach_fd(fd(queue.handle().expect("open")), None).expect_err("a queue");
    assert_eq!(refused.to_string(), "it is a queue, and not a topic: attach to it as the queue that it is");
}

#[test]
fn one_slot_is_too_few_and_too_many_are_too_many() {
    for capacity in [0, 1, (1 << 16) + 1] {
        let refused =
            Topic::create(Schema::array::<u8>([1]).expect("one leaf"), capacity).expect_err("refused");
        assert!(matches!(refused, CreateError::TopicCapacity { got } if got == capacity));
    }
    let topic = Topic::create(Schema::array::<u8>([1]).expect("one leaf"), 1 << 16).expect("80 MB");
    assert_eq!(topic.reserve().expect("free").commit().expect("sound"), 1);
}

/// What this process may do at an address, as the kernel says it: `rw-s` and the like.
fn access_to(address: *const u8) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
    let line = maps.lines().find(|line| {
        let (range, _) = line.split_once(' ').expect("a range comes first");
        let (first, end) = range.split_once('-').expect("from, to");
        let number = |text| usize::from_str_radix(text, 16).expect("hexadecimal");
        (number(first)..number(end)).contains(&(address as usize))
    });
    line.and_then(|line| line.split(' ').nth(1)).expect("it is mapped").to_owned()
}

#[test]
fn what_readers_share_cannot_be_written_to() {
    let topic = Topic::create(schema(), 2).expect("small");
    let mut loan = topic.reserve().expect("free");
    assert_eq!(access_to(loan.leaf_bytes_mut(0).as_ptr()), "rw-s");
    loan.leaf_mut::<u64>("values").expect("of that type").fill(7);
    loan.commit().expect("sound");
    let item = topic.borrow_latest().expect("an item");
    assert_eq!(access_to(item.leaf_bytes(0).as_ptr()), "r--s");
    assert!(item.leaf::<u64>("values").expect("of that type").iter().all(|value| *value == 7));
    // Another way to the same segment has the same attachment, and a queue's rows have one reader each.
    let same = Topic::attach_handle(topic.handle().expect("open")).expect("attached here");
    assert_eq!(same.borrow_latest().expect("an item").leaf_bytes(0).as_ptr(), item.leaf_bytes(0).as_ptr());
    let queue = Queue::create(schema(), 2).expect("small");
    queue.reserve().expect("free").commit().expect("sound");
    assert_eq!(access_to(queue.borrow().expect("an item").leaf_bytes(0).as_ptr()), "rw-s");
}

#[test]
fn a_typed_topic_carries_values_and_refuses_other_items() {
    let topic = TypedTopic::<[bool; 3]>::create(3).expect("small");
    assert!(matches!(topic.try_latest(), Err(GetError::Subscribe(SubscribeError::Empty))));
    let all = topic.subscribe(Start::New).expect("sound");
    assert_eq!([[true; 3], [false, true, false]].map(|item| topic.put(&item).expect("free")), [1, 2]);
    assert_eq!(
        (all.get().expect("the first"), all.get().expect("the second")),
        ([true; 3], [false, true, false])
    );
    // A byte that is no bool: the subscription passes it, and nothing is held.
    let mut loan = topic.topic().reserve().expect("free");
    loan.leaf_bytes_mut(0).copy_from_slice(&[0, 2, 0]);
    loan.commit().expect("sound");
    let refused = all.try_get().expect_err("no value").to_string();
    assert!(refused.contains('2'), "{refused}");
    assert!(matches!(all.try_get(), Err(GetError::Subscribe(SubscribeError::Empty))));
    for _ in 0..6 {
        topic.try_put(&[true; 3]).expect("nobody reads");
    }
    let mut newest = [false; 3];
    all.latest_into(&mut newest, watched()).expect("the newest");
    assert_eq!((newest, all.missed()), ([true; 3], 5));
    let refused = TypedTopic::<[u8; 3]>::over(topic.topic().clone()).expect_err("bools").to_string();
    assert!(refused.contains("the topic's items are not of this type:"), "{refused}");
    assert!(refused.contains("the topic"), "{refused}");
}
