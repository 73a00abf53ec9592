"""`max_deliveries` and `on_drop`: what is given, what is told, and what is handed over.

M1. An item that has killed `max_deliveries` takers is not delivered any more, by whatever call.
M2. It is counted, and handed to `on_drop` before its slot is free. If that fails, so does the call,
    and the item is there as before.
M3. Giving back is no death.

Takers here are forked children that end with an item in hand; processes that are killed, other
start methods and queues beside others are in processes/test_poison_items.py.
"""

import gc
import json
import os
import pickle
import queue as standard
import subprocess
import sys
import weakref
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from helpers import WATCHDOG_S, in_forked_child, open_descriptors, reap, wait_until_asleep

from treequeues import ArrayQueue, SchemaError, ShutDown, TreeQueue

EXAMPLE = {"obs": np.zeros(4, np.uint8), "step": 0}
MAXSIZE = 4


def item(step):
    return {"obs": np.full(4, step, np.uint8), "step": step}


def queue_of(steps, max_deliveries=1, on_drop=None, maxsize=MAXSIZE):
    queue = TreeQueue(EXAMPLE, maxsize, max_deliveries=max_deliveries, on_drop=on_drop)
    for step in steps:
        queue.put(item(step))
    return queue


def die_with_an_item(queue):
    """A taker of the oldest item that ends without a word to anybody."""

    def take_and_die():
        loan = queue.borrow(timeout=WATCHDOG_S)
        os._exit(len(loan) - 1)

    reap(in_forked_child(take_and_die))
    find_the_dead(queue)


def find_the_dead(queue):
    """Nobody looks for the dead while there are items; whoever attaches does."""
    reap(in_forked_child(queue.qsize))


def steps_left(queue):
    steps = []
    while True:
        try:
            tree = queue.get(block=False)
        except standard.Empty:
            return steps
        assert (tree["obs"] == tree["step"]).all()
        steps.append(tree["step"])


def counts(queue):
    stats = queue.stats()
    return stats.counters.dropped, stats.most_deaths, stats.qsize


def assert_whole(queue):
    """All capacity is there, in order."""
    for step in range(queue.maxsize):
        queue.put(item(step), block=False)
    assert steps_left(queue) == list(range(queue.maxsize))


# Every call that takes drops, and goes on.

TAKES = {
    "get": lambda queue: [queue.get(timeout=WATCHDOG_S)["step"]],
    "get_nowait": lambda queue: [queue.get_nowait()["step"]],
    "get with out": lambda queue: [queue.get(out=item(99), timeout=WATCHDOG_S)["step"]],
    "get with info": lambda queue: [queue.get(info=True, timeout=WATCHDOG_S)[0]["step"]],
    "get_batch": lambda queue: queue.get_batch(3, timeout=WATCHDOG_S)["step"].tolist(),
    "get_batch with min": lambda queue: queue.get_batch(4, min=1, block=False)["step"].tolist(),
    "get_many": lambda queue: [tree["step"] for tree in queue.get_many(9, timeout=WATCHDOG_S)],
    "borrow": lambda queue: borrowed(queue.borrow(timeout=WATCHDOG_S)),
    "borrow without waiting": lambda queue: borrowed(queue.borrow(block=False)),
    "borrow_batch": lambda queue: borrowed(queue.borrow_batch(3, timeout=WATCHDOG_S)),
    "iteration": lambda queue: [next(iter(queue))["step"]],
}


def borrowed(loan):
    with loan:
        return np.atleast_1d(loan.tree["step"]).tolist()


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES.keys())
def test_whatever_takes_drops_the_item_and_takes_the_next(take):
    handed = []
    with queue_of([0, 1, 2, 3], 2, lambda tree, info: handed.append((tree, info))) as queue:
        die_with_an_item(queue)
        die_with_an_item(queue)
        assert counts(queue) == (0, 2, 4)
        taken = take(queue)
        assert taken == [1, 2, 3][: len(taken)]
        ((tree, info),) = handed
        assert (tree["obs"] == 0).all() and tree["step"] == 0
        assert (info.ticket, info.delivery_count, info.producer_pid) == (0, 3, os.getpid())
        assert steps_left(queue) == [1, 2, 3][len(taken) :]
        assert counts(queue) == (1, 0, 0)
        assert queue.stats().counters.gets == 3
        assert_whole(queue)


def test_what_is_handed_over_is_owned_by_the_function():
    kept = []
    with queue_of([7], on_drop=lambda tree, info: kept.append(tree)) as queue:
        die_with_an_item(queue)
        assert steps_left(queue) == []
        assert_whole(queue)
        kept[0]["obs"][...] += 1
        assert kept[0]["obs"].tolist() == [8] * 4


def keep(kept, tree, info):
    kept.append(tree)


@dataclass
class Local:
    """A class that only this module knows how to find, as `get` does."""

    obs: np.ndarray


def test_a_tree_comes_as_get_would_give_it():
    @dataclass
    class Hidden:
        obs: np.ndarray

    for cls in (Local, Hidden):
        kept = []
        example = cls(np.zeros(2))
        with TreeQueue(example, 2, max_deliveries=1, on_drop=partial(keep, kept)) as queue:
            queue.put(cls(np.ones(2)))
            die_with_an_item(queue)
            with pytest.raises(standard.Empty):
                queue.get(block=False)
        assert type(kept[0]) is cls and kept[0].obs.tolist() == [1, 1]


def test_without_a_limit_the_worst_item_is_told():
    with queue_of([0, 1], None) as queue:
        assert (queue.max_deliveries, queue.on_drop) == (None, None)
        for deaths in range(1, 4):
            die_with_an_item(queue)
            assert counts(queue) == (0, deaths, 2)
        with queue.borrow() as loan:
            assert loan.info.delivery_count == 4
            assert queue.stats().most_deaths == 3
        assert counts(queue) == (0, 0, 1)


def test_giving_back_is_no_death():
    with queue_of([0, 1]) as queue:
        for _ in range(20):
            queue.borrow().give_back()
            queue.borrow_batch(2).give_back()
            with pytest.raises(KeyError), queue.borrow():
                raise KeyError
            with pytest.raises(SchemaError):
                queue.get(out={"obs": np.zeros(5)})
        assert counts(queue) == (0, 0, 2)
        assert steps_left(queue) == [0, 1]


def test_the_death_of_a_taker_counts_for_each_item_of_its_batch():
    with queue_of([0, 1, 2, 3]) as queue:

        def take_three_and_die():
            loan = queue.borrow_batch(3)
            os._exit(len(loan) - 3)

        reap(in_forked_child(take_three_and_die))
        find_the_dead(queue)
        assert steps_left(queue) == [3]
        assert counts(queue) == (3, 0, 0)
        assert_whole(queue)


def test_a_call_in_vain_drops_all_the_same():
    with queue_of([0]) as queue:
        die_with_an_item(queue)
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.01)
        assert counts(queue) == (1, 0, 0)


# on_drop.


class Angry(Exception):
    pass


def test_what_on_drop_raises_comes_out_and_the_item_stays():
    mood = [Angry("no")]

    def on_drop(tree, info):
        if mood:
            raise mood[0]

    with queue_of([0, 1, 2, 3], on_drop=on_drop) as queue:
        die_with_an_item(queue)
        for take in TAKES.values():
            with pytest.raises(Angry, match="no"):
                take(queue)
            assert counts(queue) == (0, 1, 4)
        mood.clear()
        assert steps_left(queue) == [1, 2, 3]
        assert counts(queue) == (1, 0, 0)
        assert_whole(queue)


def test_it_comes_out_of_a_call_that_waits_too():
    with queue_of([0], on_drop=lambda tree, info: 1 / 0) as queue:

        def die_once_somebody_waits():
            loan = queue.borrow()
            os.write(taken, b"!")
            wait_until_asleep(os.getppid())
            os._exit(len(loan) - 1)

        is_taken, taken = os.pipe()
        pid = in_forked_child(die_once_somebody_waits)
        assert os.read(is_taken, 1) == b"!"
        with pytest.raises(ZeroDivisionError):
            queue.get(timeout=WATCHDOG_S)
        reap(pid)
        assert counts(queue) == (0, 1, 1)
        os.close(taken)
        os.close(is_taken)


@pytest.mark.parametrize("raised", [standard.Empty, standard.Full, ShutDown])
def test_what_would_read_as_the_queues_own_word_comes_as_a_cause(raised):
    def on_drop(tree, info):
        raise raised

    with queue_of([0, 1], on_drop=on_drop) as queue:
        die_with_an_item(queue)
        with pytest.raises(RuntimeError, match=f"on_drop raised {raised.__name__}") as caught:
            list(queue)
        assert type(caught.value.__cause__) is raised
        assert counts(queue) == (0, 1, 2)


def test_on_drop_may_use_the_queue():
    seen = []

    def on_drop(tree, info):
        seen.append(queue.get(timeout=WATCHDOG_S)["step"])
        queue.put(item(tree["step"] + 10), timeout=WATCHDOG_S)
        seen.append(queue.stats().reading)

    with queue_of([0, 1, 2, 3], on_drop=on_drop) as queue:
        die_with_an_item(queue)
        assert steps_left(queue) == [2, 3, 10]
        assert seen == [1, 1]
        assert_whole(queue)


def test_a_child_that_on_drop_forks_has_no_part_in_the_call():
    parent = os.getpid()

    def on_drop(tree, info):
        if os.fork() == 0:
            return
        _, status = os.wait()
        assert status == 0

    with queue_of([0, 1], on_drop=on_drop) as queue:
        die_with_an_item(queue)
        status = 1
        try:
            assert queue.get()["step"] == 1
        except RuntimeError as error:
            status = int("forked by the hook" not in str(error))
        finally:
            if os.getpid() != parent:
                os._exit(status)
        assert counts(queue) == (1, 0, 0)
        assert_whole(queue)


def test_on_drop_may_close_the_queue():
    with queue_of([0, 1], on_drop=lambda tree, info: queue.close()) as queue:
        die_with_an_item(queue)
        assert queue.get()["step"] == 1
        with pytest.raises(ValueError, match="is closed"):
            queue.get()


def test_a_queue_as_on_drop_gets_the_tree():
    with TreeQueue(EXAMPLE, 2) as second, queue_of([0, 1], on_drop=second) as queue:
        assert queue.on_drop is second
        die_with_an_item(queue)
        assert steps_left(queue) == [1]
        assert steps_left(second) == [0]
        assert counts(queue) == (1, 0, 0)


def test_a_full_queue_as_on_drop_is_told_and_the_item_is_gone():
    with TreeQueue(EXAMPLE, 1) as second, queue_of([5, 1, 2, 3], on_drop=second) as queue:
        second.put(item(9))
        die_with_an_item(queue)
        with pytest.warns(RuntimeWarning, match="item 0 killed too many.*on_drop, is full"):
            assert queue.get()["step"] == 1
        assert counts(queue) == (1, 0, 2)
        assert steps_left(second) == [9]


@pytest.mark.filterwarnings("error")
def test_where_warnings_are_errors_the_item_stays_instead():
    with TreeQueue(EXAMPLE, 1) as second, queue_of([5, 1], on_drop=second) as queue:
        second.put(item(9))
        die_with_an_item(queue)
        with pytest.raises(RuntimeWarning, match="as warnings are errors, it stays where it is"):
            queue.get()
        assert counts(queue) == (0, 1, 2)
        assert steps_left(second) == [9]
        assert steps_left(queue) == [1]
        assert steps_left(second) == [5]


def test_a_queue_as_on_drop_that_is_shut_down_fails_the_call():
    with TreeQueue(EXAMPLE, 1) as second, queue_of([5, 1], on_drop=second) as queue:
        second.shutdown()
        die_with_an_item(queue)
        with pytest.raises(RuntimeError, match="on_drop raised ShutDown"):
            queue.get()
        assert counts(queue) == (0, 1, 2)


def test_a_queue_as_on_drop_that_is_closed_fails_the_call_by_its_name():
    with TreeQueue(EXAMPLE, 1) as second, queue_of([5, 1], on_drop=second) as queue:
        die_with_an_item(queue)
        second.close()
        with pytest.raises(RuntimeError, match="on_drop raised ValueError: the queue is closed"):
            queue.get()
        assert counts(queue) == (0, 1, 2)


def test_an_on_drop_that_dies_is_not_called_again():
    called, parent = [], os.getpid()

    def on_drop(tree, info):
        if os.getpid() != parent:
            os._exit(0)
        called.append(tree)

    def die_in_on_drop():
        queue.get()
        raise AssertionError("on_drop was not called")

    with queue_of([0, 1], on_drop=on_drop) as queue:
        die_with_an_item(queue)
        reap(in_forked_child(die_in_on_drop))
        find_the_dead(queue)
        assert counts(queue) == (0, 2, 2)
        assert steps_left(queue) == [1]
        assert called == []
        assert counts(queue) == (1, 0, 0)
        assert_whole(queue)


# What is given.


def test_the_limit_is_told():
    with queue_of([], 3) as queue:
        assert (queue.max_deliveries, queue.on_drop) == (3, None)
    with ArrayQueue(np.zeros(2), 3, max_deliveries=2**32 - 1) as queue:
        assert queue.max_deliveries == 2**32 - 1


@pytest.mark.parametrize("number", [0, -1, 2**32, 2**70])
def test_a_number_out_of_range_is_refused(number):
    for make in (TreeQueue, ArrayQueue):
        with pytest.raises(ValueError, match="max_deliveries must be at"):
            make(np.zeros(2), 2, max_deliveries=number)


@pytest.mark.parametrize("number", [1.0, "3", True])
def test_what_is_no_number_is_refused(number):
    with pytest.raises(TypeError, match="max_deliveries must be an int"):
        TreeQueue(EXAMPLE, 2, max_deliveries=number)


def test_an_on_drop_that_cannot_be_one_is_refused():
    with pytest.raises(TypeError, match=r"on_drop must be a function .* or a queue, got list"):
        queue_of([], on_drop=[])
    with pytest.raises(ValueError, match="on_drop is never called without max_deliveries"):
        queue_of([], None, on_drop=print)
    with (
        TreeQueue({"obs": np.zeros(5, np.uint8), "step": 0}, 2) as misfit,
        pytest.raises(SchemaError, match=r"(?s)on_drop is a queue of other items.*\(4,\).*\(5,\)"),
    ):
        queue_of([], on_drop=misfit)
    closed = TreeQueue(EXAMPLE, 2)
    closed.close()
    with pytest.raises(ValueError, match="is closed"):
        queue_of([], on_drop=closed)


def test_a_name_that_an_on_drop_was_refused_for_is_free_again(queue_folder):
    with pytest.raises(TypeError):
        TreeQueue(EXAMPLE, 2, name="actors", max_deliveries=1, on_drop=3)
    assert os.listdir(queue_folder) == []


def test_named_queues_have_the_creators_limit_and_each_its_own_on_drop(queue_folder):
    def ours(tree, info):
        pass

    with TreeQueue.open("actors", EXAMPLE, 4, max_deliveries=2, on_drop=ours) as queue:
        assert (queue.max_deliveries, queue.on_drop) == (2, ours)
        with TreeQueue.open("actors", EXAMPLE, 4, max_deliveries=9) as other:
            assert (other.max_deliveries, other.on_drop) == (2, None)
        with TreeQueue.attach("actors", on_drop=print) as other:
            assert (other.max_deliveries, other.on_drop) == (2, print)
            with pytest.raises(ValueError, match="another queue"):
                TreeQueue.attach("actors", on_drop=other)
    with ArrayQueue.open("arrays", np.zeros(3), 4, max_deliveries=2, on_drop=ours) as queue:
        assert (queue.max_deliveries, queue.on_drop) == (2, ours)
        with ArrayQueue.attach("arrays", on_drop=print) as other:
            assert (other.max_deliveries, other.on_drop) == (2, print)


def test_an_array_queue_hands_over_an_array():
    kept = []
    with ArrayQueue(
        np.zeros(3), 2, max_deliveries=1, on_drop=lambda array, info: kept.append(array)
    ) as queue:
        queue.put(np.arange(3.0))
        die_with_an_item(queue)
        with pytest.raises(standard.Empty):
            queue.get(block=False)
    assert kept[0].tolist() == [0, 1, 2]


# Where it goes.


def test_on_drop_travels_with_a_pickled_queue():
    with queue_of([0], on_drop=print) as queue:
        with pickle.loads(pickle.dumps(queue)) as other:
            assert (other.on_drop, other.max_deliveries) == (print, 1)
        with TreeQueue(EXAMPLE, 2) as second, queue_of([0], on_drop=second) as queue:
            other = pickle.loads(pickle.dumps(queue))
            assert other.on_drop is not second
            other.on_drop.put(item(3))
            assert second.get()["step"] == 3


class Learner:
    """An object that has a queue, which hands what it drops back to the object."""

    def __init__(self):
        self.seen = []
        self.queue = queue_of([], on_drop=self.note)

    def note(self, tree, info):
        self.seen.append(tree["step"])


def test_a_method_of_an_object_that_has_the_queue_travels_too():
    learner = Learner()
    learner.queue.put(item(4))
    die_with_an_item(learner.queue)
    twin = pickle.loads(pickle.dumps(learner))
    assert twin.queue.on_drop.__self__ is twin
    assert steps_left(twin.queue) == []
    assert (twin.seen, learner.seen) == ([4], [])
    again = pickle.loads(pickle.dumps(learner.queue))
    assert again.on_drop.__self__.queue is again
    for queue in (learner.queue, twin.queue, again):
        queue.close()


def test_a_queue_whose_on_drop_leads_back_to_it_is_collected():
    before = open_descriptors(settled=True)
    learner = Learner()
    seen = weakref.ref(learner.queue)
    del learner
    gc.collect()
    assert seen() is None
    assert open_descriptors() == before


def test_an_open_queue_whose_on_drop_leads_back_to_it_is_not_collected():
    learner = Learner()
    queue = learner.queue
    del learner
    gc.collect()
    queue.put(item(1))
    die_with_an_item(queue)
    assert steps_left(queue) == []
    assert queue.on_drop.__self__.seen == [1]
    queue.close()


def test_the_command_tells(queue_folder):
    def inspect(*arguments):
        command = [sys.executable, "-m", "treequeues", "inspect", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG_S)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    with TreeQueue(EXAMPLE, 4, name="actors", max_deliveries=2) as queue:
        queue.put(item(0))
        queue.put(item(1))
        die_with_an_item(queue)
        told = json.loads(inspect("actors", "--json"))
        assert (told["max_deliveries"], told["most_deaths"]) == (2, 1)
        text = inspect("actors")
        assert "drops     items that killed 2 takers" in text
        assert "1 taker died with the worst item" in text
        die_with_an_item(queue)
        assert queue.get()["step"] == 1
        told = json.loads(inspect("actors", "--json"))
        assert (told["counters"]["dropped"], told["most_deaths"]) == (1, 0)
        assert "dropped" in inspect("actors")
        metrics = inspect("actors", "--prometheus")
        assert 'treequeues_dropped_total{name="actors"} 1' in metrics
        assert 'treequeues_most_deaths{name="actors"} 0' in metrics
