"""What a topic does for one process: the newest item, subscriptions, ends, and what is refused."""

import copy
import gc
import os
import pickle
import time
import warnings
import weakref
from queue import Empty, Full

import numpy as np
import pytest
from helpers import WATCHDOG_S, Worker, wait_until_asleep

import treequeues
from treequeues import (
    ArrayTopic,
    ItemInfo,
    SchemaError,
    ShutDown,
    TreeQueue,
    TreeTopic,
    UnsharedQueueWarning,
)

EXAMPLE = {"w": np.zeros(300), "n": 0}


def item(number):
    return {"w": np.full(300, float(number)), "n": number}


def number_of(tree):
    """The one number that an item is made of."""
    (number,) = set(tree["w"].tolist()) | {float(tree["n"])}
    return int(number)


def put_numbers(topic, numbers):
    for number in numbers:
        topic.put(item(number))


@pytest.fixture
def topic():
    with TreeTopic(EXAMPLE) as topic:
        yield topic


# The newest item.


def test_a_topic_without_items_has_version_0_and_is_empty(topic):
    assert topic.version == 0
    for take in (topic.latest, topic.borrow_latest, topic.subscribe().get):
        with pytest.raises(Empty):
            take(block=False)
        began = time.monotonic()
        with pytest.raises(Empty):
            take(timeout=0.05)
        assert time.monotonic() - began >= 0.05


def test_latest_is_a_copy_of_the_newest_item_which_stays(topic):
    put_numbers(topic, range(10))
    assert topic.version == 10
    one, other = topic.latest(), topic.latest()
    assert number_of(one) == number_of(other) == 9
    one["w"][...] = 77
    assert number_of(other) == number_of(topic.latest()) == 9
    assert type(one["n"]) is int
    out = {"w": np.empty(300), "n": 0}
    assert topic.latest(out=out) is out
    assert number_of(out) == 9


def test_latest_waits_for_the_first_item(topic):
    waiting = Worker(topic.latest)
    wait_until_asleep(os.getpid(), waiting.native_id)
    topic.put(item(1))
    assert number_of(waiting.join()) == 1


def test_any_number_of_readers_have_one_item_at_once(topic):
    put_numbers(topic, range(3))
    loans = [topic.borrow_latest() for _ in range(20)]
    trees = [loan.tree for loan in loans]
    assert {number_of(tree) for tree in trees} == {2}
    assert len({tree["w"].ctypes.data for tree in trees}) == 1
    put_numbers(topic, range(3, 30))
    assert {number_of(tree) for tree in trees} == {2}
    assert topic.stats().reading == 1
    del trees, loans[10:]
    for loan in loans:
        loan.release()
    gc.collect()
    assert topic.stats().reading == 0


def test_a_reserve_is_the_newest_item_at_its_clean_end_alone(topic):
    with topic.reserve() as loan:
        loan.tree["w"][...] = 5
        loan.tree["n"] = 5
        assert topic.version == 0
    assert (topic.version, number_of(topic.latest())) == (1, 5)
    with pytest.raises(KeyError), topic.reserve() as loan:
        loan.tree["w"][...] = 6
        raise KeyError
    assert (topic.version, number_of(topic.latest())) == (1, 5)
    loan = topic.reserve()
    loan.write(item(7))
    loan.commit()
    assert (topic.version, number_of(topic.latest())) == (2, 7)


def test_an_exception_in_a_borrow_releases_and_nothing_comes_again(topic):
    subscription = topic.subscribe("new")
    put_numbers(topic, range(2))
    with pytest.raises(KeyError), subscription.borrow() as loan:
        assert number_of(loan.tree) == 0
        raise KeyError
    assert number_of(subscription.get()) == 1
    assert topic.stats().reading == 0
    loan = topic.borrow_latest()
    with pytest.raises(ValueError, match=r"does not come again: release\(\) it"):
        loan.give_back()
    loan.release()
    with pytest.raises(ValueError, match="released already"):
        loan.release()
    with pytest.warns(ResourceWarning, match="kept a slot of the topic"):
        del loan
        loan = topic.borrow_latest()
        del loan
    assert topic.stats().reading == 0


def test_a_topic_of_two_slots_is_full_while_the_other_item_is_read():
    with TreeTopic(EXAMPLE, 2) as topic:
        topic.put(item(1))
        with topic.borrow_latest():
            topic.put(item(2))
            with pytest.raises(Full, match=r"process \d+ reads item 1; a slot for each item"):
                topic.put_nowait(item(3))
            with topic.borrow_latest(), pytest.raises(Full, match="one has the newest item"):
                topic.put(item(3), timeout=0.05)
        topic.put_nowait(item(3))
        # A publisher that waits is woken by the release.
        loan = topic.borrow_latest()
        topic.put(item(4))
        waiting = Worker(topic.put, item(5))
        wait_until_asleep(os.getpid(), waiting.native_id)
        loan.release()
        waiting.join()
        assert number_of(topic.latest()) == 5


# Subscriptions.


def test_subscriptions_get_each_item_in_order_or_count_it_as_missed(topic):
    put_numbers(topic, range(6))
    starts = {start: topic.subscribe(start) for start in ("oldest", "latest", "new")}
    assert number_of(starts["oldest"].get()) == 2
    assert number_of(starts["latest"].get()) == 5
    with pytest.raises(Empty):
        starts["new"].get_nowait()
    put_numbers(topic, range(6, 8))
    assert [number_of(starts["new"].get()) for _ in range(2)] == [6, 7]
    # The oldest that is kept comes next, and what went is counted.
    tree, info = starts["oldest"].get(info=True)
    assert (number_of(tree), info.ticket, info.missed) == (4, 5, 1)
    assert [subscription.missed for subscription in starts.values()] == [1, 0, 0]
    assert [number_of(starts["oldest"].get()) for _ in range(3)] == [5, 6, 7]
    assert topic.stats().counters.missed == 1


def test_the_newest_of_a_subscription_comes_once_and_what_is_skipped_is_missed(topic):
    subscription = topic.subscribe("new")
    put_numbers(topic, range(3))
    assert number_of(subscription.get(latest=True)) == 2
    with pytest.raises(Empty):
        subscription.get(block=False, latest=True)
    put_numbers(topic, range(3, 5))
    with subscription.borrow(latest=True) as loan:
        assert (number_of(loan.tree), loan.info.missed) == (4, 1)
    assert (subscription.missed, subscription.next_ticket) == (3, 6)


def test_an_info_of_a_topic_unpacks_as_one_of_a_queue(topic):
    subscription = topic.subscribe("new")
    put_numbers(topic, range(7))
    _, info = subscription.get(info=True)
    ticket, put_time, producer_pid, delivery_count = info
    assert (ticket, producer_pid, delivery_count) == (4, os.getpid(), 1)
    assert abs(put_time - time.time()) < WATCHDOG_S
    assert info.missed == 3 and "missed=3" in repr(info)
    # It travels whole, and one of a queue has missed nothing.
    assert pickle.loads(pickle.dumps(info)).missed == 3
    assert info._replace(ticket=9).missed == 3
    assert ItemInfo(1, 2.0, 3, 4).missed == 0
    assert "missed" not in repr(ItemInfo(1, 2.0, 3, 4))


def test_iteration_ends_when_the_topic_is_shut_down_and_all_was_had(topic):
    subscription = topic.subscribe("new")
    put_numbers(topic, range(3))
    topic.shutdown()
    assert [number_of(tree) for tree in subscription] == [0, 1, 2]
    with pytest.raises(ShutDown, match=r"the topic was shut down by process \d+ .*no item is left"):
        subscription.get()
    with pytest.raises(ShutDown, match="nothing more can be put"):
        topic.put(item(3))
    assert number_of(topic.latest()) == 2
    assert [number_of(tree) for tree in topic.subscribe("oldest")] == [0, 1, 2]
    topic.shutdown(immediate=True)
    for take in (topic.latest, subscription.get, topic.borrow_latest):
        with pytest.raises(ShutDown, match="nothing can be read"):
            take()


def test_a_thread_that_writes_itself_comes_to_the_end(topic):
    subscription = topic.subscribe("new")
    put_numbers(topic, range(2))
    with topic.reserve() as loan:
        topic.shutdown()
        assert [number_of(tree) for tree in subscription] == [0, 1]
        loan.write(item(2))
    assert number_of(topic.latest()) == 2


def test_a_shutdown_wakes_those_who_wait(topic):
    subscription = topic.subscribe()

    def wait(take):
        with pytest.raises(ShutDown):
            take()

    waiting = [Worker(wait, take) for take in (topic.latest, subscription.get, topic.borrow_latest)]
    for worker in waiting:
        wait_until_asleep(os.getpid(), worker.native_id)
    topic.shutdown()
    for worker in waiting:
        worker.join()


def test_threads_that_share_a_subscription_get_each_item_once():
    with TreeTopic(EXAMPLE, 300) as topic, topic.subscribe("new") as subscription:

        def take():
            return [number_of(tree) for tree in subscription]

        workers = [Worker(take) for _ in range(3)]
        put_numbers(topic, range(200))
        topic.shutdown()
        got = [worker.join() for worker in workers]
        assert all(numbers == sorted(numbers) for numbers in got)
        assert sorted(number for numbers in got for number in numbers) == list(range(200))


def test_a_subscription_ends_by_its_close_or_that_of_its_topic(topic):
    with topic.subscribe() as subscription:
        assert len(topic.stats().subscriptions) == 1
    assert not topic.stats().subscriptions
    for use in (subscription.get, subscription.borrow, subscription.get_nowait):
        with pytest.raises(ValueError, match="the subscription is closed"):
            use()
    assert (subscription.missed, subscription.next_ticket) == (0, 1)
    subscription.close()
    other = topic.subscribe()
    waiting = Worker(pytest.raises, ValueError, other.get)
    wait_until_asleep(os.getpid(), waiting.native_id)
    topic.close()
    assert "the topic is closed" in str(waiting.join().value)
    with pytest.raises(ValueError, match="the topic is closed"):
        other.get()
    assert repr(other) == "<Subscription closed, from item 1 on of <TreeTopic closed>>"
    with pytest.raises(ValueError, match="the topic is closed"):
        pickle.dumps(other)


def test_a_wait_ends_when_its_subscription_is_closed_and_the_topic_goes_on(topic):
    subscription = topic.subscribe()
    waiting = Worker(pytest.raises, ValueError, subscription.get)
    wait_until_asleep(os.getpid(), waiting.native_id)
    subscription.close()
    assert "the subscription is closed" in str(waiting.join().value)
    topic.put(item(1))
    assert number_of(topic.latest()) == 1


def test_a_subscription_keeps_its_topic_and_nothing_keeps_a_closed_one():
    subscription = TreeTopic(EXAMPLE).subscribe()
    subscription.topic.put(item(1))
    assert number_of(subscription.get()) == 1
    topic = subscription.topic
    kept = weakref.ref(topic)
    subscription.close()
    del subscription, topic
    gc.collect()
    assert kept() is None


def test_a_copy_of_a_subscription_is_another_one_that_begins_where_the_original_stood(topic):
    subscription = topic.subscribe("new")
    put_numbers(topic, range(6))
    assert number_of(subscription.get()) == 2
    for copied in (copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))):
        other = copied(subscription)
        assert (other.next_ticket, other.missed, subscription.missed) == (4, 0, 2)
        assert [number_of(other.get()) for _ in range(3)] == [3, 4, 5]
    assert number_of(subscription.get()) == 3


# What is refused.


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TreeTopic(EXAMPLE, 1), ValueError, "maxsize must be at least 2, got 1"),
        (lambda: TreeTopic(EXAMPLE, 1 << 17), ValueError, "at most 65536, got 131072"),
        (lambda: TreeTopic(EXAMPLE, 2.5), TypeError, "maxsize must be an int, got a float"),
        (lambda: TreeTopic(EXAMPLE, keep=True), ValueError, "name"),
        (lambda: TreeTopic(EXAMPLE, participants=0), ValueError, "participants"),
        (lambda: TreeTopic({"x": object()}), TypeError, "x"),
        (lambda: ArrayTopic(EXAMPLE), TypeError, "for trees of arrays use TreeTopic"),
        (lambda: ArrayTopic(np.float32(1)), TypeError, "or TreeTopic for scalars"),
    ],
)
def test_a_topic_that_cannot_be_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_does_not_fit_is_refused_and_changes_nothing(topic):
    put_numbers(topic, range(3))
    subscription = topic.subscribe("latest")
    with pytest.raises(SchemaError, match="w"):
        topic.put({"w": np.zeros(3), "n": 0})
    with pytest.raises(SchemaError, match="w"):
        subscription.get(out={"w": np.zeros(3), "n": 0})
    with pytest.raises(ValueError, match='"latest", "oldest" or "new", got \'now\''):
        topic.subscribe("now")
    with pytest.raises(TypeError, match="start must be a str, got an int"):
        topic.subscribe(1)
    with pytest.raises(TypeError, match="latest must be a bool"):
        subscription.get(latest=1)
    assert (topic.version, number_of(subscription.get()), subscription.missed) == (3, 2, 0)


def test_an_array_topic_is_one_of_single_arrays():
    with ArrayTopic(np.zeros(3, np.uint8), 3) as topic:
        topic.put(np.array([1, 2, 3], np.uint8))
        assert topic.latest().tolist() == [1, 2, 3]
        assert repr(topic) == "<ArrayTopic maxsize=3 of {(root): uint8 (3,)}>"


def test_a_topic_is_no_queue(topic, queue_folder):
    with TreeTopic(EXAMPLE, name="weights") as named:
        named.put(item(1))
        with pytest.raises(OSError, match="it is a topic, and not a queue"):
            TreeQueue.attach("weights")
        with pytest.raises(OSError, match="it is a topic, and not a queue"):
            TreeQueue.open("weights", EXAMPLE, 4)
        with pytest.raises(FileExistsError):
            TreeQueue(EXAMPLE, 4, name="weights")
    with TreeQueue(EXAMPLE, 4, name="weights"), pytest.raises(OSError, match="it is a queue"):
        TreeTopic.attach("weights")
    for verb in ("get", "get_batch", "qsize", "__iter__"):
        assert not hasattr(topic, verb)


# Names, objects, looks.


def test_a_named_topic_is_found_and_kept_with_its_last_items(queue_folder):
    with TreeTopic(EXAMPLE, 3, name="weights", keep=True) as topic:
        put_numbers(topic, range(5))
        with TreeTopic.attach("weights") as same:
            assert (same.version, same.name, same.maxsize) == (5, "weights", 3)
    with TreeTopic.open("weights", EXAMPLE, 3) as topic:
        subscription = topic.subscribe("oldest")
        assert [number_of(subscription.get()) for _ in range(3)] == [2, 3, 4]
        topic.put(item(9))
        assert topic.version == 6
        with pytest.raises(SchemaError):
            TreeTopic.open("weights", EXAMPLE, 4)
        with pytest.raises(SchemaError, match="attach to it with TreeTopic"):
            ArrayTopic.attach("weights")
        topic.unlink()
    with pytest.raises(FileNotFoundError):
        TreeTopic.attach("weights")
    with TreeTopic(EXAMPLE) as anonymous, pytest.raises(ValueError, match="the topic has no name"):
        anonymous.unlink()


def test_stats_say_what_is_there_and_who_has_what(topic):
    put_numbers(topic, range(5))
    subscription = topic.subscribe("oldest")
    put_numbers(topic, range(5, 7))
    subscription.get()
    with topic.borrow_latest(), topic.reserve():
        stats = topic.stats()
    assert (stats.maxsize, stats.version, stats.items, stats.reading) == (4, 7, 3, 1)
    assert (stats.free, stats.writing, stats.lingering) == (0, 1, 0)
    assert (stats.counters.puts, stats.counters.gets, stats.counters.missed) == (7, 1, 2)
    assert (stats.item_nbytes, stats.nbytes) == (2408, topic.nbytes)
    (of,) = stats.subscriptions
    assert (of.pid, of.next_ticket, of.lag, of.missed) == (os.getpid(), 5, 3, 2)
    (participant,) = stats.by_participant
    assert (participant.pid, participant.reading, participant.writing) == (os.getpid(), 1, 1)
    assert not stats.is_shut_down
    topic.shutdown()
    assert topic.stats().shut_down_by == os.getpid()


def test_a_subclass_of_a_topic_is_one():
    class Weights(TreeTopic):
        def __init__(self, shape):
            super().__init__({"w": np.zeros(shape)}, 3)
            self.shape = shape

    with Weights(3) as topic:
        topic.put({"w": np.ones(3)})
        assert repr(topic) == "<Weights maxsize=3 of {w: float64 (3,)}>"
        assert topic.latest()["w"].tolist() == [1, 1, 1]
        with pytest.raises(RuntimeError, match="initialized already"):
            TreeTopic.__init__(topic, EXAMPLE)
    assert repr(topic) == "<Weights closed>"
    fresh = Weights.__new__(Weights)
    with pytest.raises(RuntimeError, match="__init__ was not called"):
        fresh.latest()
    assert repr(fresh) == "<Weights without a topic>"


def test_a_topic_that_ends_with_its_items_has_lost_nothing(queue_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with TreeTopic(EXAMPLE, name="weights") as topic:
            put_numbers(topic, range(9))


def test_a_put_that_waits_for_its_own_process_blames_nobody_else(monkeypatch):
    monkeypatch.setenv("TREEQUEUES_WARN_AFTER", "0.2")
    with TreeTopic(EXAMPLE, 2) as topic:
        topic.put(item(0))
        with topic.borrow_latest(), warnings.catch_warnings():
            warnings.simplefilter("error")
            topic.put(item(1))
            with pytest.raises(Full, match=f"process {os.getpid()} reads item 1"):
                topic.put(item(2), timeout=1)


def test_a_wait_for_nobody_warns(monkeypatch):
    monkeypatch.setenv("TREEQUEUES_WARN_AFTER", "0.2")
    with (
        TreeTopic(EXAMPLE) as topic,
        pytest.warns(UnsharedQueueWarning, match="nobody else has ever used the topic"),
        pytest.raises(Empty),
    ):
        topic.latest(timeout=1.5)


def test_what_a_topic_offers_has_the_names_of_a_queues_verbs():
    offered = {name for name in dir(TreeTopic) if not name.startswith("_")}
    assert offered == {
        *("attach", "open", "unlink", "name", "put", "put_nowait", "reserve", "latest"),
        *("borrow_latest", "subscribe", "version", "maxsize", "nbytes", "stats", "close"),
        "shutdown",
    }
    assert {"TreeTopic", "ArrayTopic", "Subscription"} <= set(treequeues.__all__)
