"""Batches in one process: stacked trees in and out.

Lists of trees are in test_many.py, loans of several slots in test_batch_loans.py; what several
processes do, and what deaths do to batches, is in processes/.

B1. A batch is what `numpy.stack` would make of its items, oldest first, wherever the ring ends.
B2. A call takes, or puts, all that it says or nothing, and holds nothing while it waits.
"""

import os
import time
from queue import Empty, Full

import ml_dtypes
import numpy as np
import pytest
from batch_cases import everything, make_item, make_stacked, number_of, numbers_of, stack
from helpers import WATCHDOG_S, Worker, drain, wait_until_asleep
from tree_cases import assert_same_tree

from treequeues import ArrayQueue, SchemaError, TreeQueue, register_node

# Long enough to tell waiting from not waiting on a loaded machine.
SHORT_S = 0.1

MAXSIZE = 5


@pytest.fixture
def queue():
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        yield queue


def put(queue, numbers):
    for number in numbers:
        queue.put(make_item(number), timeout=WATCHDOG_S)


def get_numbers(queue):
    return [number_of(item) for item in drain(queue, 0)]


def assert_untouched(queue, numbers):
    """These items are there, never taken before, and all other slots are free; afterwards none."""
    numbers = list(numbers)
    stats = queue.stats()
    assert stats.qsize == len(numbers)
    assert stats.free == queue.maxsize - len(numbers)
    got = [queue.get_nowait(), *drain(queue, 0)] if numbers else []
    assert [number_of(item) for item in got] == numbers
    put(queue, range(queue.maxsize))
    with pytest.raises(Full):
        queue.put_nowait(make_item(99))
    assert get_numbers(queue) == list(range(queue.maxsize))


def turn(queue, slots):
    """Move the place of the next item in the ring on by some slots."""
    for _ in range(slots):
        queue.put_nowait(make_item(0))
        queue.get_nowait()


# get_batch.


@pytest.mark.parametrize("turned", range(4))
def test_a_batch_of_everything_is_what_numpy_would_stack(turned):
    with TreeQueue(everything(0), maxsize=4) as queue:
        for number in range(turned):
            queue.put(everything(number))
            queue.get()
        items = [everything(number) for number in range(1, 4)]
        for item in items:
            queue.put(item)
        assert_same_tree(queue.get_batch(3), stack(items))
        assert queue.empty()


@pytest.mark.parametrize("turned", range(4))
def test_a_stacked_tree_of_everything_comes_out_as_the_items(turned):
    with TreeQueue(everything(0), maxsize=4) as queue:
        for number in range(turned):
            queue.put(everything(number))
            queue.get()
        items = [everything(number) for number in range(1, 4)]
        queue.put_batch(stack(items))
        for item in items:
            assert_same_tree(queue.get_nowait(), item)


@pytest.mark.parametrize(
    "value", [True, 7, -0.0, 1 - 2j, np.float32(0.5), np.datetime64(5, "s"), np.bool_(True)]
)
def test_scalars_become_arrays_with_one_element_an_item(value):
    with TreeQueue(value, maxsize=3) as queue:
        for _ in range(3):
            queue.put(value)
        batch = queue.get_batch(3)
        assert_same_tree(batch, np.array([value] * 3))
        queue.put_batch(batch)
        assert_same_tree(queue.get(), value)


def test_arrays_without_elements_and_trees_without_leaves_make_batches_too():
    with ArrayQueue(np.zeros((2, 0, 3), np.int16), maxsize=3) as queue:
        queue.put_batch(np.zeros((3, 2, 0, 3), np.int16))
        batch = queue.get_batch(3)
        assert batch.shape == (3, 2, 0, 3) and batch.dtype == np.int16
    with TreeQueue({"nothing": None}, maxsize=3) as queue:
        for _ in range(3):
            queue.put({"nothing": None})
        assert queue.get_batch(2) == {"nothing": None}
        assert queue.qsize() == 1
        with pytest.raises(ValueError):
            queue.put_batch({"nothing": None})


def test_bfloat16_batches_have_the_dtype_of_the_items():
    with ArrayQueue(np.zeros(4, ml_dtypes.bfloat16), maxsize=2) as queue:
        queue.put(np.full(4, 1.5, ml_dtypes.bfloat16))
        queue.put(np.full(4, 2.5, ml_dtypes.bfloat16))
        batch = queue.get_batch(2)
        assert batch.dtype == ml_dtypes.bfloat16
        assert batch.astype(float)[:, 0].tolist() == [1.5, 2.5]


def test_a_batch_is_owned_and_writable_and_shares_nothing_with_the_queue(queue):
    put(queue, range(3))
    batch = queue.get_batch(3)
    for leaf in batch.values():
        assert leaf.flags.c_contiguous and leaf.flags.aligned and leaf.flags.writeable
        leaf[...] = 77
    put(queue, range(MAXSIZE))
    assert numbers_of(batch) == [77] * 3
    assert get_numbers(queue) == list(range(MAXSIZE))


@pytest.mark.parametrize("n", range(1, MAXSIZE + 1))
def test_batches_of_every_size_come_in_order_at_every_place_of_the_ring(queue, n):
    sent = 0
    for taken in range(0, 20 * n, n):
        while queue.qsize() < n or (sent < taken + MAXSIZE and not queue.full()):
            put(queue, [sent])
            sent += 1
        assert numbers_of(queue.get_batch(n, block=False)) == list(range(taken, taken + n))


def test_exactly_n_are_taken_though_more_are_there(queue):
    put(queue, range(4))
    assert numbers_of(queue.get_batch(3)) == [0, 1, 2]
    assert get_numbers(queue) == [3]


def test_with_min_what_is_there_is_taken_up_to_n(queue):
    put(queue, range(2))
    assert numbers_of(queue.get_batch(4, min=1)) == [0, 1]
    put(queue, range(5))
    assert numbers_of(queue.get_batch(4, 1)) == [0, 1, 2, 3]
    put(queue, [5])
    assert numbers_of(queue.get_batch(4, min=2)) == [4, 5]
    put(queue, range(4))
    assert numbers_of(queue.get_batch(4, min=4)) == [0, 1, 2, 3]
    assert_untouched(queue, [])


@pytest.mark.parametrize("waiting", [{"block": False}, {"timeout": 0}, {"timeout": SHORT_S}])
@pytest.mark.parametrize("least", [None, 3])
def test_a_batch_that_does_not_come_together_takes_nothing(queue, waiting, least):
    put(queue, range(2))
    for _ in range(5):
        with pytest.raises(Empty):
            queue.get_batch(4, min=least, **waiting)
    infos = [queue.get(info=True)[1] for _ in range(2)]
    assert [info.delivery_count for info in infos] == [1, 1], "they were taken before"
    assert_untouched(queue, [])


def test_a_timeout_is_waited_for(queue):
    put(queue, range(2))
    start = time.monotonic()
    with pytest.raises(Empty):
        queue.get_batch(3, timeout=SHORT_S)
    assert time.monotonic() - start >= SHORT_S


def test_without_block_a_timeout_is_not_waited_for(queue):
    with pytest.raises(Empty):
        queue.get_batch(3, block=False, timeout=3600)
    with pytest.raises(Full):
        put(queue, range(3))
        queue.put_batch(make_stacked(range(3)), False, 3600)


def test_a_waiting_batch_leaves_the_items_to_others_and_comes_when_there_are_enough(queue):
    put(queue, range(2))
    worker = Worker(queue.get_batch, 3)
    wait_until_asleep(os.getpid(), worker.native_id)
    # It holds nothing: both can be had meanwhile.
    assert queue.stats().reading == 0
    assert number_of(queue.get_nowait()) == 0
    put(queue, [2])
    wait_until_asleep(os.getpid(), worker.native_id)
    put(queue, [3])
    assert numbers_of(worker.join()) == [1, 2, 3]
    assert_untouched(queue, [])


@pytest.mark.parametrize("n", [0, -1, MAXSIZE + 1, 2**70])
def test_a_size_that_can_never_be_had_is_refused_at_once(queue, n):
    put(queue, range(2))
    for call in (queue.get_batch, queue.borrow_batch, queue.reserve_batch):
        with pytest.raises(ValueError):
            call(n)
    assert_untouched(queue, range(2))


@pytest.mark.parametrize("least", [0, -1, 4, 2**70])
def test_a_min_that_is_not_between_1_and_n_is_refused(queue, least):
    put(queue, range(3))
    for call in (queue.get_batch, queue.borrow_batch, queue.reserve_batch):
        with pytest.raises(ValueError, match="min"):
            call(3, min=least)
    assert_untouched(queue, range(3))


@pytest.mark.parametrize("n", [2.0, "2", None])
def test_a_size_that_is_no_integer_is_refused(queue, n):
    put(queue, range(3))
    with pytest.raises(TypeError):
        queue.get_batch(n)
    assert_untouched(queue, range(3))


def test_a_numpy_integer_is_a_size_like_any_other(queue):
    put(queue, range(3))
    assert numbers_of(queue.get_batch(np.int64(2), min=np.uint8(1))) == [0, 1]


def test_an_item_given_back_comes_first_in_a_batch(queue):
    put(queue, range(4))
    loans = [queue.borrow() for _ in range(2)]
    for loan in loans:
        loan.give_back()
    assert numbers_of(queue.get_batch(4)) == [0, 1, 2, 3]


def test_a_batch_reaches_past_slots_that_others_hold(queue):
    put(queue, range(3))
    held = queue.borrow()
    aborted, late = queue.reserve(), queue.reserve()
    aborted.abort()
    put(queue, [3])
    assert numbers_of(queue.get_batch(3, block=False)) == [1, 2, 3]
    late.write(make_item(9))
    late.commit()
    held.give_back()
    assert numbers_of(queue.get_batch(2, block=False)) == [0, 9]


def test_a_batch_whose_tree_cannot_be_made_takes_nothing():
    class Fussy:
        def __init__(self, child):
            self.child = child

    ready = []

    def unflatten(_, children):
        if not ready:
            raise ZeroDivisionError
        return Fussy(*children)

    register_node(Fussy, lambda fussy: ((fussy.child,), None), unflatten)
    with TreeQueue(Fussy(0), maxsize=3) as queue:
        for number in range(3):
            queue.put(Fussy(number))
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                queue.get_batch(2)
        ready.append(True)
        assert queue.get_batch(3, block=False).child.tolist() == [0, 1, 2]
        assert queue.stats().free == 3


# get_batch into memory of the caller's.


def test_out_is_filled_and_given_back(queue):
    put(queue, range(3))
    out = make_stacked([90] * 3)
    leaves = dict(out)
    assert queue.get_batch(3, out=out) is out
    assert all(out[path] is leaf for path, leaf in leaves.items())
    assert numbers_of(out) == [0, 1, 2]


def test_with_fewer_items_out_is_filled_in_part_and_views_of_that_part_come_back(queue):
    put(queue, range(2))
    out = make_stacked([90] * 4)
    batch = queue.get_batch(4, min=1, out=out)
    assert numbers_of(batch) == [0, 1]
    assert numbers_of(out) == [0, 1, 90, 90]
    for path, leaf in batch.items():
        assert np.shares_memory(leaf, out[path])
    put(queue, range(5))
    assert queue.get_batch(4, min=1, out=out) is out
    assert numbers_of(out) == [0, 1, 2, 3]


def test_out_of_everything_is_filled():
    items = [everything(number) for number in range(1, 4)]
    with TreeQueue(everything(0), maxsize=3) as queue:
        for item in items:
            queue.put(item)
        out = stack([everything(9)] * 3)
        assert_same_tree(queue.get_batch(3, out=out), stack(items))
        assert_same_tree(out, stack(items))


def test_out_need_not_be_contiguous(queue):
    put(queue, range(3))
    frames = np.zeros((5, 3, 6), np.uint16)
    out = {"frame": frames.T[::2], "reward": np.zeros(6)[::2]}
    queue.get_batch(3, out=out)
    assert numbers_of(out) == [0, 1, 2]


@pytest.mark.parametrize(
    ("path", "leaf"),
    [
        ("frame", np.zeros((2, 3, 5), np.uint16)),
        ("frame", np.zeros((4, 3, 5), np.uint16)),
        ("frame", np.zeros((3, 5), np.uint16)),
        ("frame", np.zeros((3, 3, 5), np.int16)),
        ("frame", np.broadcast_to(np.uint16(0), (3, 3, 5))),
        ("reward", np.zeros((3, 1))),
        ("reward", np.zeros(2)),
        ("reward", 0.0),
        ("reward", [0.0, 0.0, 0.0]),
    ],
)
def test_an_out_that_does_not_fit_is_refused_by_path_and_nothing_is_taken(queue, path, leaf):
    put(queue, range(3))
    out = make_stacked([90] * 3)
    out[path] = leaf
    with pytest.raises(SchemaError, match=f"^{path}: "):
        queue.get_batch(3, out=out)
    assert_untouched(queue, range(3))


def test_an_out_is_checked_before_there_is_anything_to_take(queue):
    with pytest.raises(SchemaError, match=r"^frame: "):
        queue.get_batch(3, out={"frame": np.zeros(3), "reward": np.zeros(3)})


# put_batch.


def test_a_stacked_tree_comes_out_item_by_item(queue):
    queue.put_batch(make_stacked(range(3)))
    assert queue.qsize() == 3
    item = queue.get()
    assert type(item["reward"]) is float and item["frame"].shape == (3, 5)
    assert [number_of(item), *get_numbers(queue)] == [0, 1, 2]


@pytest.mark.parametrize("n", range(1, MAXSIZE + 1))
@pytest.mark.parametrize("turned", range(MAXSIZE))
def test_a_batch_may_wrap_at_the_rings_end_anywhere(queue, n, turned):
    turn(queue, turned)
    queue.put_batch(make_stacked(range(n)))
    assert numbers_of(queue.get_batch(n)) == list(range(n))
    queue.put_batch(make_stacked(range(n)))
    assert_untouched(queue, range(n))


def test_put_batch_copies_so_the_putter_may_change_its_arrays_afterwards(queue):
    stacked = make_stacked(range(3))
    queue.put_batch(stacked)
    for leaf in stacked.values():
        leaf[...] = 99
    assert numbers_of(queue.get_batch(3)) == [0, 1, 2]


def test_the_leaves_of_a_stacked_tree_need_not_be_contiguous(queue):
    fine = make_stacked(range(10))
    queue.put_batch({"frame": fine["frame"][::3], "reward": fine["reward"][::3]})
    queue.put_batch({"frame": np.asfortranarray(fine["frame"][:1]), "reward": np.zeros(1)})
    assert get_numbers(queue) == [0, 3, 6, 9, 0]
    by_place = np.moveaxis(np.ascontiguousarray(np.moveaxis(fine["frame"][:3], 0, -1)), -1, 0)
    queue.put_batch({"frame": by_place, "reward": fine["reward"][:3]})
    backwards = {path: leaf[1::-1] for path, leaf in fine.items()}
    queue.put_batch(backwards)
    assert get_numbers(queue) == [0, 1, 2, 1, 0]
    same = np.broadcast_to(np.uint16(4), (2, 3, 5))
    queue.put_batch({"frame": same, "reward": np.broadcast_to(4.0, 2)})
    assert get_numbers(queue) == [4, 4]


@pytest.mark.parametrize(
    ("path", "leaf", "says"),
    [
        ("frame", np.zeros((2, 3, 5), np.uint16), "2"),
        ("reward", np.zeros(4), "4"),
        ("frame", np.zeros((3, 3, 6), np.uint16), r"\(3, 3, 6\)"),
        ("frame", np.zeros((3, 5), np.uint16), r"\(3, 5\)"),
        ("frame", np.zeros((3, 3, 5), np.uint8), "uint8"),
        ("reward", np.zeros(3, np.float32), "float32"),
        ("reward", np.zeros((3, 1)), r"\(3, 1\)"),
        ("reward", np.array(1.0), ""),
        ("reward", 1.0, ""),
        ("reward", None, ""),
    ],
)
def test_a_stacked_tree_that_does_not_fit_is_refused_by_path_and_nothing_is_put(
    queue, path, leaf, says
):
    put(queue, [7])
    stacked = make_stacked(range(3))
    stacked[path] = leaf
    # Which of two leaves of different lengths is the wrong one, nobody can tell.
    named = "(frame|reward)" if says in ("2", "4") else path
    with pytest.raises(SchemaError, match=f"^{named}: .*{says}"):
        queue.put_batch(stacked)
    assert_untouched(queue, [7])


def test_a_stacked_tree_of_another_structure_is_refused(queue):
    stacked = make_stacked(range(3))
    for wrong in (
        {"frame": stacked["frame"]},
        {**stacked, "more": np.zeros(3)},
        [stacked["frame"], stacked["reward"]],
        [make_item(1), make_item(2)],
    ):
        with pytest.raises(SchemaError):
            queue.put_batch(wrong)
    assert_untouched(queue, [])


def test_a_batch_larger_than_the_queue_is_refused_at_once(queue):
    with pytest.raises(ValueError, match=str(MAXSIZE)):
        queue.put_batch(make_stacked(range(MAXSIZE + 1)))
    assert_untouched(queue, [])


@pytest.mark.parametrize("waiting", [{"block": False}, {"timeout": 0}, {"timeout": SHORT_S}])
def test_a_batch_for_which_there_is_no_room_puts_nothing(queue, waiting):
    put(queue, range(3))
    for _ in range(5):
        with pytest.raises(Full):
            queue.put_batch(make_stacked(range(10, 13)), **waiting)
    assert_untouched(queue, range(3))


def test_a_waiting_put_batch_leaves_the_room_to_others_and_goes_on_when_there_is_enough(queue):
    put(queue, range(3))
    worker = Worker(queue.put_batch, make_stacked(range(10, 13)))
    wait_until_asleep(os.getpid(), worker.native_id)
    # It holds nothing: both free slots can be had meanwhile.
    assert queue.stats().writing == 0
    put(queue, [3, 4])
    assert [number_of(queue.get_nowait()) for _ in range(2)] == [0, 1]
    wait_until_asleep(os.getpid(), worker.native_id)
    assert queue.qsize() == 3
    assert number_of(queue.get_nowait()) == 2
    worker.join()
    assert get_numbers(queue) == [3, 4, 10, 11, 12]
