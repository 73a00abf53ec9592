"""Topics between processes: every way to come to one, who waits for whom, the stopped and the dead.

T1. An item is whole, and each reader sees versions that go up by what it has missed and one.
T2. Publishers wait for nobody who holds nothing. Whoever reads an item keeps its slot alone.
T3. The dead keep nothing, and the newest item stays.
"""

import multiprocessing
import os
import signal
import time
from queue import Empty, Full

import numpy as np
import pytest
from helpers import (
    WATCHDOG_S,
    Worker,
    in_forked_child,
    marked,
    read_mark,
    reap,
    wait_until,
    wait_until_asleep,
)

from treequeues import ArrayTopic, ShutDown, TreeTopic

ITEMS = 200


def publish(topic, count, first=0):
    for number in range(first, first + count):
        topic.put(marked(1, number), timeout=WATCHDOG_S)


def follow(subscription, latest=False):
    """All numbers that come until the end, and what was missed, which must be the rest (T1)."""
    numbers, missed = [], 0
    while True:
        try:
            item, info = subscription.get(timeout=WATCHDOG_S, info=True, latest=latest)
        except ShutDown:
            assert subscription.missed == missed
            return numbers, missed
        _, number = read_mark(item)
        assert info.ticket == number + 1
        missed += info.missed
        assert number == len(numbers) + missed
        numbers.append(number)


def follow_from_the_start(topic, latest=False):
    return follow(topic.subscribe("oldest"), latest)


def attach_and_follow(name):
    with TreeTopic.attach(name) as topic:
        return follow_from_the_start(topic)


def test_every_subscriber_gets_each_item_or_misses_it(nursery, start_method):
    with TreeTopic(marked(0, 0), 8) as topic:
        readers = [
            nursery.ask(start_method, follow_from_the_start, topic, latest)
            for latest in (False, True)
        ]
        wait_until(lambda: len(topic.stats().subscriptions) == 2, "both have subscribed")
        nursery.finish(nursery.start(start_method, publish, topic, ITEMS))
        assert topic.version == ITEMS
        topic.shutdown()
        for reader in readers:
            numbers, missed = nursery.answer(reader)
            assert numbers[-1] == ITEMS - 1
            assert len(numbers) + missed == ITEMS
        assert read_mark(topic.latest()) == (1, ITEMS - 1)


def test_a_subscription_that_travels_begins_where_the_original_stood(nursery, start_method):
    with TreeTopic(marked(0, 0), ITEMS + 1) as topic:
        subscription = topic.subscribe("new")
        publish(topic, 10)
        for number in range(4):
            assert read_mark(subscription.get()) == (1, number)
        topic.shutdown()
        numbers = nursery.call(start_method, take_the_rest, subscription)
        assert numbers == [4, 5, 6, 7, 8, 9]
        assert take_the_rest(subscription) == numbers


def take_the_rest(subscription):
    assert subscription.missed == 0
    return [read_mark(item)[1] for item in subscription]


def test_a_topic_is_found_by_its_name_in_a_process_that_inherited_nothing(nursery, queue_folder):
    with TreeTopic(marked(0, 0), name="weights") as topic:
        by_name = nursery.ask("spawn", attach_and_follow, "weights")
        wait_until(lambda: topic.stats().subscriptions, "it has subscribed")
        publish(topic, 3)
        topic.shutdown()
        numbers, missed = nursery.answer(by_name)
        assert len(numbers) + missed == 3
        assert os.listdir(queue_folder)
    assert not os.listdir(queue_folder)


def test_a_forked_child_is_a_reader_of_its_own(nursery):
    with TreeTopic(marked(0, 0), 16) as topic:
        subscription = topic.subscribe("new")
        publish(topic, 20)
        assert read_mark(subscription.get()) == (1, 4)
        assert subscription.missed == 4
        loan = topic.borrow_latest()
        view = loan.tree["frame"]

        def child():
            # It counts anew, and goes on from where the parent's stood.
            assert subscription.missed == 0
            assert read_mark(subscription.get())[1] == 5
            assert (subscription.missed, subscription.next_ticket) == (0, 7)
            pids = [of.pid for of in topic.stats().subscriptions]
            assert sorted(pids) == sorted([os.getpid(), os.getppid()])
            # What the parent borrowed is the parent's: nothing here ends it.
            loan.release()

        reap(in_forked_child(child))
        assert subscription.missed == 4
        assert read_mark(subscription.get()) == (1, 5)
        with pytest.raises(Empty):
            topic.subscribe("new").get(block=False)  # It looks for the dead.
        assert topic.stats().reading == 1
        publish(topic, 100, first=20)
        assert (view == np.uint64((1 << 32) | 19)).all()
        loan.release()


def borrow_and_say(topic, sender):
    loan = topic.borrow_latest(timeout=WATCHDOG_S)
    tree = loan.tree
    sender.send(read_mark(tree)[1])
    time.sleep(WATCHDOG_S)


def reserve_and_say(topic, sender):
    loan = topic.reserve(timeout=WATCHDOG_S)
    loan.tree["frame"][...] = 77
    sender.send("half")
    time.sleep(WATCHDOG_S)


def wait_for_news(topic, sender):
    subscription = topic.subscribe("new")
    sender.send("waiting")
    subscription.get(timeout=WATCHDOG_S)


def begin(nursery, function, topic):
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = nursery.start("fork", function, topic, sender)
    sender.close()
    assert receiver.poll(WATCHDOG_S)
    return process, receiver.recv()


def test_a_reader_that_is_stopped_in_a_borrow_keeps_one_slot_and_holds_nobody_up(nursery):
    with TreeTopic(marked(0, 0), 3) as topic:
        publish(topic, 1)
        reader, number = begin(nursery, borrow_and_say, topic)
        assert number == 0
        os.kill(reader.pid, signal.SIGSTOP)
        try:
            publish(topic, 2000, first=1)
            counters = topic.stats().counters
            assert (counters.full, counters.put_waits) == (0, 0)
            assert topic.stats().reading == 1
            # With one more that is read there is none left, and the error says who has which.
            with topic.borrow_latest():
                topic.put(marked(1, 2001))
                with pytest.raises(Full, match=rf"process {reader.pid} reads item 1[,;]"):
                    topic.put_nowait(marked(1, 2002))
        finally:
            os.kill(reader.pid, signal.SIGCONT)
        nursery.kill(reader)
        with topic.borrow_latest():
            topic.put(marked(1, 2002), timeout=WATCHDOG_S)
            topic.put(marked(1, 2003), timeout=WATCHDOG_S)


def test_the_slot_of_a_publisher_that_was_killed_comes_back_and_the_newest_item_stays(nursery):
    with TreeTopic(marked(0, 0), 3) as topic:
        publish(topic, 2)
        for _ in range(3):
            publisher, _ = begin(nursery, reserve_and_say, topic)
            assert topic.stats().writing == 1
            nursery.kill(publisher)
            assert read_mark(topic.latest()) == (1, 1)
        loan = topic.reserve(timeout=WATCHDOG_S)
        topic.put(marked(1, 2), timeout=WATCHDOG_S)
        loan.abort()
        assert (topic.version, read_mark(topic.latest())) == (3, (1, 2))


def test_a_shutdown_ends_subscribers_past_a_publisher_that_was_killed(nursery):
    with TreeTopic(marked(0, 0), 3) as topic:
        subscription = topic.subscribe("new")
        publisher, _ = begin(nursery, reserve_and_say, topic)
        topic.shutdown()
        waiting = Worker(pytest.raises, ShutDown, subscription.get)
        # Whoever writes may still put an item.
        wait_until_asleep(os.getpid(), waiting.native_id)
        nursery.kill(publisher)
        waiting.join()


def test_readers_that_wait_are_all_woken_by_one_put(nursery):
    with TreeTopic(marked(0, 0), 4) as topic:
        readers = [begin(nursery, wait_for_news, topic)[0] for _ in range(3)]
        for reader in readers:
            wait_until_asleep(reader.pid)
        publish(topic, 1)
        for reader in readers:
            nursery.finish(reader)


def test_readers_that_die_asleep_take_no_wake_up_with_them(nursery):
    with TreeTopic(marked(0, 0), 4) as topic:
        readers = [begin(nursery, wait_for_news, topic)[0] for _ in range(4)]
        for reader in readers:
            wait_until_asleep(reader.pid)
        for reader in readers[::2]:
            nursery.kill(reader)
        publish(topic, 1)
        for reader in readers[1::2]:
            nursery.finish(reader)
        publish(topic, 10, first=1)
        with pytest.raises(Empty):
            topic.subscribe("new").get(block=False)
        assert not topic.stats().subscriptions


def test_a_process_that_ends_with_everything_open_leaves_nothing(nursery, queue_folder):
    def child():
        topic = ArrayTopic.attach("frames")
        subscription = topic.subscribe("oldest")
        subscription.borrow()
        os._exit(0)

    with ArrayTopic(np.zeros(10), 3, name="frames") as topic:
        topic.put(np.ones(10))
        reap(in_forked_child(child))
        with pytest.raises(Empty):
            topic.subscribe("new").get(block=False)
        assert (topic.stats().participants, topic.stats().reading) == (1, 0)
        assert topic.latest().tolist() == [1] * 10
    assert not os.listdir(queue_folder)


def test_a_program_that_ends_with_a_subscription_open_takes_its_names_away(nursery, queue_folder):
    nursery.finish(nursery.start("spawn", leave_everything_open))
    assert not os.listdir(queue_folder)


def leave_everything_open():
    topic = TreeTopic(marked(0, 0), name="left")
    globals()["kept"] = [topic, topic.subscribe(), topic.subscribe()]
    publish(topic, 2)
    kept = globals()["kept"]
    kept.append(topic.borrow_latest())
    kept.append(kept[-1].tree)
