"""TreeQueue as its users meet it in one process: order, waiting, sizes, and its looks.

How it ends is in test_shutdown.py, what several processes do to it in processes/, what is refused
in test_exceptions.py, and the trees themselves in test_trees.py.
"""

import collections
import resource
import time
from queue import Empty, Full
from typing import NamedTuple

import numpy as np
import pytest
from helpers import Worker, drain, marked, read_mark

import treequeues
from treequeues import SimpleTreeQueue, TreeQueue

# Long enough to tell waiting from not waiting on a loaded machine.
SHORT_S = 0.1


class Observation(NamedTuple):
    image: np.ndarray
    speed: np.ndarray


def make_observation(value):
    return Observation(np.full((4, 3), value, np.uint8), np.full(2, value, np.float32))


# Order and contents.


def test_items_come_out_in_the_order_they_went_in():
    with TreeQueue(marked(0, 0), maxsize=16) as queue:
        for sequence in range(16):
            queue.put(marked(1, sequence))
        assert [read_mark(queue.get()) for _ in range(16)] == [(1, n) for n in range(16)]


def test_order_holds_over_many_laps_of_the_ring():
    with TreeQueue(marked(0, 0), maxsize=3) as queue:
        queue.put(marked(1, 0))
        for sequence in range(1, 500):
            queue.put(marked(1, sequence))
            assert read_mark(queue.get()) == (1, sequence - 1)


def test_the_example_gives_the_shape_and_is_no_item():
    with TreeQueue(marked(0, 0), maxsize=2) as queue:
        assert queue.empty()
        with pytest.raises(Empty):
            queue.get_nowait()


def test_an_item_comes_back_equal_in_type_dtype_shape_and_value():
    item = make_observation(7)
    with TreeQueue(make_observation(0), maxsize=2) as queue:
        queue.put(item)
        got = queue.get()
    assert type(got) is Observation
    for came, went in zip(got, item, strict=True):
        assert came.dtype == went.dtype
        np.testing.assert_array_equal(came, went)


def test_a_put_copies_so_the_putter_may_change_its_arrays_afterwards():
    item = make_observation(7)
    with TreeQueue(item, maxsize=2) as queue:
        queue.put(item)
        item.image[...] = 99
        assert (queue.get().image == 7).all()


def test_arrays_that_come_out_are_writable_and_share_nothing_with_the_queue():
    with TreeQueue(marked(0, 0), maxsize=1) as queue:
        queue.put(marked(1, 1))
        mine = queue.get()
        queue.put(marked(2, 2))
        mine["frame"][...] = 0
        assert read_mark(queue.get()) == (2, 2)
        assert (mine["frame"] == 0).all()


def test_arrays_that_came_out_live_on_after_the_queue_is_closed_and_gone():
    queue = TreeQueue(marked(0, 0), maxsize=2)
    queue.put(marked(3, 4))
    item = queue.get()
    queue.close()
    del queue
    assert read_mark(item) == (3, 4)


@pytest.mark.parametrize("maxsize", [1, 2, 3, 7, 64])
def test_random_puts_and_gets_do_as_a_deque_does(rng, maxsize):
    oracle = collections.deque()
    with TreeQueue(marked(0, 0), maxsize=maxsize) as queue:
        for step in range(2000):
            if rng.random() < 0.5:
                if len(oracle) < maxsize:
                    queue.put_nowait(marked(maxsize, step))
                    oracle.append((maxsize, step))
                else:
                    with pytest.raises(Full):
                        queue.put_nowait(marked(maxsize, step))
            elif oracle:
                assert read_mark(queue.get_nowait()) == oracle.popleft()
            else:
                with pytest.raises(Empty):
                    queue.get_nowait()
            assert queue.qsize() == len(oracle)
            assert queue.empty() == (not oracle)
            assert queue.full() == (len(oracle) == maxsize)
        assert [read_mark(item) for item in drain(queue)] == list(oracle)


# Calling conventions and waiting.


def test_the_constructor_takes_its_arguments_by_place_and_by_name():
    for queue in (
        TreeQueue(0, 3),
        TreeQueue(0, maxsize=3),
        TreeQueue(nested_array=0, maxsize=3),
    ):
        with queue:
            assert queue.maxsize == 3


def test_put_and_get_take_block_and_timeout_like_the_standard_queues():
    with TreeQueue(0, maxsize=8) as queue:
        queue.put(1)
        queue.put(2, True)
        queue.put(3, True, 0.1)
        queue.put(4, False)
        queue.put(5, block=True, timeout=None)
        queue.put_nowait(6)
        assert queue.get() == 1
        assert queue.get(True) == 2
        assert queue.get(True, 0.1) == 3
        assert queue.get(False) == 4
        assert queue.get(block=True, timeout=None) == 5
        assert queue.get_nowait() == 6


def test_put_returns_none():
    with TreeQueue(0, maxsize=2) as queue:
        assert queue.put(1) is None
        assert queue.put_nowait(2) is None


def test_a_timeout_is_waited_for_and_then_reported():
    with TreeQueue(0, maxsize=1) as queue:
        start = time.monotonic()
        with pytest.raises(Empty):
            queue.get(timeout=SHORT_S)
        assert time.monotonic() - start >= SHORT_S
        queue.put(1)
        start = time.monotonic()
        with pytest.raises(Full):
            queue.put(2, timeout=SHORT_S)
        assert time.monotonic() - start >= SHORT_S


def test_without_block_a_timeout_is_not_waited_for():
    # Waiting would be seen by the watchdog: an hour is past any.
    with TreeQueue(0, maxsize=1) as queue:
        with pytest.raises(Empty):
            queue.get(False, 3600)
        queue.put(1)
        with pytest.raises(Full):
            queue.put(2, False, 3600)


@pytest.mark.parametrize("block", [None, 0, "", False, np.False_])
def test_block_is_read_by_its_truth_and_none_is_false(block):
    with TreeQueue({"x": 0}, maxsize=1) as queue:
        for call in (queue.get, queue.borrow):
            with pytest.raises(Empty):
                call(block)
        for call in (queue.get_batch, queue.borrow_batch, queue.get_many):
            with pytest.raises(Empty):
                call(1, block=block)
        queue.put({"x": 1}, block)
        with pytest.raises(Full):
            queue.put({"x": 1}, block)
        with pytest.raises(Full):
            queue.reserve(block)
        with pytest.raises(Full):
            queue.reserve_batch(1, block=block)
        with pytest.raises(Full):
            queue.put_batch({"x": np.zeros(1, int)}, block)
        with pytest.raises(Full):
            queue.put_many([{"x": 1}], block)


def test_a_timeout_may_be_any_real_number():
    with TreeQueue(0, maxsize=1) as queue:
        for timeout in (0, 0.0, False, np.float32(0.01), np.int64(0)):
            with pytest.raises(Empty):
                queue.get(timeout=timeout)


def test_a_timeout_of_years_is_as_good_as_none():
    with TreeQueue(0, maxsize=1) as queue:
        worker = Worker(queue.get, True, 1e9)
        time.sleep(SHORT_S)
        queue.put(5, timeout=1e9)
        assert worker.join() == 5


def test_a_blocked_get_wakes_when_an_item_comes():
    with TreeQueue(0, maxsize=1) as queue:
        worker = Worker(queue.get)
        time.sleep(SHORT_S)
        queue.put(42)
        assert worker.join() == 42


def test_a_blocked_put_wakes_when_there_is_room():
    with TreeQueue(0, maxsize=1) as queue:
        queue.put(1)
        worker = Worker(queue.put, 2)
        time.sleep(SHORT_S)
        assert queue.get() == 1
        worker.join()
        assert queue.get() == 2


# Getting into arrays that the caller keeps.


def test_get_into_out_fills_the_arrays_that_were_given():
    with TreeQueue(marked(0, 0), maxsize=2) as queue:
        out = marked(9, 9)
        leaves = out["producer"], out["frame"], out["nested"]["sequence"]
        for sequence in range(5):
            queue.put(marked(1, sequence))
            got = queue.get(out=out)
            assert read_mark(got) == read_mark(out) == (1, sequence)
            came = got["producer"], got["frame"], got["nested"]["sequence"]
            assert all(a is b for a, b in zip(came, leaves, strict=True))


def test_get_into_out_takes_strided_arrays():
    with TreeQueue(make_observation(0), maxsize=2) as queue:
        image = np.zeros((3, 4), np.uint8).T
        speed = np.zeros(6, np.float32)
        queue.put(make_observation(5))
        queue.get(out=Observation(image, speed[::3]))
        assert (image == 5).all()
        assert speed.tolist() == [5, 0, 0, 5, 0, 0]


def test_get_into_out_takes_a_place_inside_a_larger_batch():
    with TreeQueue(make_observation(0), maxsize=4) as queue:
        images, speeds = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 2), np.float32)
        for row in range(4):
            queue.put(make_observation(row + 1))
        for row in range(4):
            queue.get(out=Observation(images[row], speeds[row]))
        assert images[:, 0, 0].tolist() == speeds[:, 1].tolist() == [1, 2, 3, 4]


def test_get_into_out_waits_and_times_out_like_any_get():
    with TreeQueue(make_observation(0), maxsize=1) as queue:
        out = make_observation(3)
        with pytest.raises(Empty):
            queue.get(timeout=SHORT_S, out=out)
        with pytest.raises(Empty):
            queue.get(False, None, out)
        assert (out.image == 3).all(), "a get that took nothing must not write"


# Sizes.


def test_sizes_are_exact_when_nobody_else_works_on_the_queue():
    with TreeQueue(0, maxsize=3) as queue:
        seen = [(queue.qsize(), queue.empty(), queue.full())]
        for number in range(3):
            queue.put(number)
            seen.append((queue.qsize(), queue.empty(), queue.full()))
        for _ in range(3):
            queue.get()
            seen.append((queue.qsize(), queue.empty(), queue.full()))
    up = [(0, True, False), (1, False, False), (2, False, False), (3, False, True)]
    assert seen == up + up[-2::-1]


def test_maxsize_and_nbytes_are_read_only():
    with TreeQueue(0, maxsize=3) as queue:
        with pytest.raises(AttributeError):
            queue.maxsize = 4
        with pytest.raises(AttributeError):
            queue.nbytes = 4


def test_maxsize_may_be_a_numpy_integer():
    with TreeQueue(0, maxsize=np.int64(3)) as queue:
        assert queue.maxsize == 3
        assert type(queue.maxsize) is int


@pytest.mark.parametrize(
    ("example", "leaf_nbytes"),
    [
        (0, [8]),
        ({"a": np.zeros(3, np.uint8), "b": np.zeros((2, 2))}, [3, 32]),
        ([np.zeros(7, np.int16) for _ in range(100)], [14] * 100),
        ((np.zeros((210, 160, 3), np.uint8), np.zeros(5)), [210 * 160 * 3, 40]),
    ],
)
@pytest.mark.parametrize("maxsize", [1, 10, 1000])
def test_nbytes_is_the_items_and_a_bounded_rest(example, leaf_nbytes, maxsize):
    with TreeQueue(example, maxsize=maxsize) as queue:
        items = maxsize * sum(leaf_nbytes)
        rest = maxsize * 256 + 256 * 1024
        rest += sum(4096 if nbytes >= 64 * 1024 else 256 for nbytes in leaf_nbytes)
        # A participant table and the like are there too, so the items alone cannot be all of it.
        assert items < queue.nbytes <= items + rest


def test_stats_tell_what_is_in_the_queue():
    with TreeQueue(make_observation(0), maxsize=5) as queue:
        queue.put(make_observation(1))
        queue.put(make_observation(2))
        queue.get()
        stats = queue.stats()
        assert isinstance(stats, treequeues.QueueStats)
        assert (stats.maxsize, stats.qsize, stats.free) == (5, 1, 4)
        assert (stats.writing, stats.reading, stats.lingering) == (0, 0, 0)
        assert stats.participants == 1
        assert stats.item_nbytes == 4 * 3 + 2 * 4
        assert stats.nbytes == queue.nbytes
        assert stats.is_shut_down is False


def test_stats_are_a_snapshot_that_does_not_change_afterwards():
    with TreeQueue(0, maxsize=3) as queue:
        before = queue.stats()
        queue.put(1)
        queue.shutdown()
        assert (before.qsize, before.is_shut_down) == (0, False)
        after = queue.stats()
        assert (after.qsize, after.is_shut_down) == (1, True)
        with pytest.raises(AttributeError):
            after.qsize = 5


# The class itself.


def test_the_old_name_is_the_same_class():
    assert SimpleTreeQueue is TreeQueue


def test_the_repr_tells_class_maxsize_and_leaves():
    with TreeQueue(make_observation(0), maxsize=7) as queue:
        text = repr(queue)
        assert text.startswith("<TreeQueue ")
        assert "maxsize=7" in text
        assert "image: uint8 (4, 3)" in text
        assert "speed: float32 (2,)" in text


def test_the_repr_of_a_closed_queue_works():
    queue = TreeQueue(0, maxsize=7)
    queue.close()
    assert "TreeQueue" in repr(queue)
    assert "closed" in repr(queue)


def test_the_repr_stays_short_for_a_tree_of_many_leaves():
    with TreeQueue([np.zeros(1)] * 500, maxsize=2) as queue:
        assert len(repr(queue)) < 500


def test_the_class_can_be_subscripted_with_the_trees_type():
    alias = TreeQueue[Observation]
    with alias(make_observation(0), maxsize=2) as queue:
        assert isinstance(queue, TreeQueue)
        queue.put(make_observation(1))
        assert (queue.get().image == 1).all()


class FrameQueue(TreeQueue):
    """A subclass with a constructor of its own, as one writes it in an application."""

    def __init__(self, side, maxsize=4):
        super().__init__(np.zeros((side, side), np.uint8), maxsize)
        self.side = side

    def put_filled(self, value):
        self.put(np.full((self.side, self.side), value, np.uint8))


def test_a_subclass_adds_methods_attributes_and_its_own_constructor():
    with FrameQueue(3) as queue:
        assert (queue.maxsize, queue.side) == (4, 3)
        queue.put_filled(9)
        assert queue.get().tolist() == [[9, 9, 9]] * 3
        assert type(queue).__name__ in repr(queue)


def test_queues_are_compared_by_identity_and_can_be_dictionary_keys():
    with TreeQueue(0, maxsize=1) as one, TreeQueue(0, maxsize=1) as other:
        assert one == one
        assert one != other
        assert {one: 1, other: 2}[other] == 2


def test_two_queues_share_nothing():
    with TreeQueue(0, maxsize=1) as one, TreeQueue(0, maxsize=1) as other:
        one.put(1)
        assert other.empty()
        other.put(2)
        assert (one.get(), other.get()) == (1, 2)


def test_the_package_exports_what_its_users_need():
    for name in (
        "ArrayQueue",
        "CorruptedError",
        "SchemaError",
        "ShutDown",
        "SimpleTreeQueue",
        "TreeQueue",
        "register_node",
    ):
        assert hasattr(treequeues, name)
        assert name in treequeues.__all__
    assert treequeues.__version__


def first_pass_faults(queue, item):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(queue.maxsize):
        queue.put(item)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_a_populated_queue_meets_no_page_faults_in_its_first_pass():
    item = np.ones(1 << 20, np.uint8)
    pages = 8 * item.nbytes // resource.getpagesize()
    assert first_pass_faults(TreeQueue(item, 8), item) >= pages // 2
    assert first_pass_faults(TreeQueue(item, 8, populate=True), item) < pages // 10
