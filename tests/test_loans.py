"""reserve and borrow in one process: how a loan is had, and what is in it.

How a loan ends is in test_loan_ends.py, what happens to views that outlive it in
test_escaping_views.py, loans of several slots are in test_batch_loans.py, and what deaths, forks
and exits do to loans is in processes/.
"""

import copy
import gc
import os
import pickle
import time
from queue import Empty, Full

import numpy as np
import pytest
from helpers import Worker, drain, open_descriptors, shared_mappings, wait_until_asleep
from loan_cases import assert_capacity, fill, get_numbers, make_item, number_in, take_one
from tree_cases import FrozenState, Point, State, Transition

from treequeues import ArrayQueue, ReadLoan, SchemaError, ShutDown, TreeQueue, WriteLoan

# Long enough to tell waiting from not waiting on a loaded machine.
SHORT_S = 0.1

MAXSIZE = 3


@pytest.fixture
def queue():
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        yield queue


# What is in a loan.


def test_a_reserved_slot_filled_in_place_comes_out_as_an_item(queue):
    with queue.reserve() as loan:
        fill(loan.tree, 7)
    item = queue.get_nowait()
    assert number_in(item) == 7
    assert type(item["reward"]) is float and type(item["done"]) is bool
    assert_capacity(queue)


def test_a_borrowed_item_is_read_in_place(queue):
    queue.put(make_item(7))
    with queue.borrow() as loan:
        assert number_in(loan.tree) == 7
    assert queue.empty()
    assert_capacity(queue)


@pytest.mark.parametrize("take", ["reserve", "borrow"])
def test_a_loans_leaves_are_arrays_and_those_of_scalars_have_no_dimensions(queue, take):
    queue.put(make_item(1))
    with getattr(queue, take)() as loan:
        tree = loan.tree
        leaves = [tree["obs"]["left"], tree["obs"]["right"]]
        leaves += [tree["reward"], tree["step"], tree["done"]]
        assert all(type(leaf) is np.ndarray for leaf in leaves)
        assert [leaf.shape for leaf in leaves] == [(4, 5), (3,), (), (), ()]
        assert [leaf.dtype for leaf in leaves] == [np.uint8, np.float32, float, np.int64, bool]
        assert all(leaf.flags.c_contiguous and leaf.flags.aligned for leaf in leaves)
        assert [leaf.flags.writeable for leaf in leaves] == [take == "reserve"] * len(leaves)
        assert not any(leaf.flags.owndata for leaf in leaves)
        del tree, leaves


@pytest.mark.parametrize("take", ["reserve", "borrow"])
def test_a_loans_tree_has_the_containers_of_the_example(take):
    example = Transition([State(np.zeros(2), None), ()], Point(np.zeros((0, 3)), FrozenState(1.5)))
    with TreeQueue(example, maxsize=1) as queue:
        queue.put(example)
        if take == "reserve":
            queue.get()
        with getattr(queue, take)() as loan:
            assert type(loan.tree) is Transition and type(loan.tree.action) is Point
            assert type(loan.tree.obs) is list and type(loan.tree.obs[0]) is State
            assert loan.tree.obs[0].velocity is None and loan.tree.obs[1] == ()
            assert loan.tree.action.x.shape == (0, 3)
            assert type(loan.tree.action.y) is FrozenState
            assert loan.tree.action.y.position.shape == ()
            assert take == "reserve" or loan.tree.action.y.position == 1.5


def test_a_loan_of_an_array_queue_has_one_array_for_a_tree():
    with ArrayQueue(np.zeros(5), maxsize=1) as queue:
        with queue.reserve() as loan:
            loan.tree[...] = 3
        with queue.borrow() as loan:
            assert (loan.tree == 3).all()


@pytest.mark.parametrize("value", [True, 7, 2.5, 1 - 2j, np.float32(0.5)])
def test_a_queue_of_one_scalar_has_loans_too(value):
    with TreeQueue(type(value)(), maxsize=1) as queue:
        with queue.reserve() as loan:
            loan.tree[...] = value
        with queue.borrow() as loan:
            assert loan.tree.shape == () and loan.tree == value
        with queue.reserve() as loan:
            loan.write(value)
        assert repr(queue.get()) == repr(value)


def test_a_tree_without_leaves_has_loans_too():
    with TreeQueue({"nothing": None}, maxsize=1) as queue:
        with queue.reserve() as loan:
            assert loan.tree == {"nothing": None}
        with queue.borrow() as loan:
            assert loan.tree == {"nothing": None}


def test_a_reader_sees_the_very_memory_that_the_writer_filled():
    with TreeQueue(np.zeros(1000), maxsize=1) as queue:
        with queue.reserve() as loan:
            written = loan.tree.ctypes.data
        with queue.borrow() as loan:
            assert loan.tree.ctypes.data == written


def test_the_same_leaves_are_there_however_often_the_tree_is_asked_for(queue):
    with queue.reserve() as loan:
        fill(loan.tree, 1)
        fill(loan.tree, 2)
        assert number_in(loan.tree) == 2
    assert get_numbers(queue) == [2]


def test_a_loan_is_one_slot_long(queue):
    with queue.reserve() as loan:
        assert len(loan) == 1
    with queue.borrow() as loan:
        assert len(loan) == 1


def test_a_loan_is_what_its_block_gets(queue):
    loan = queue.reserve()
    assert isinstance(loan, WriteLoan)
    with loan as entered:
        assert entered is loan
    loan = queue.borrow()
    assert isinstance(loan, ReadLoan)
    with loan as entered:
        assert entered is loan


@pytest.mark.parametrize("kind", [WriteLoan, ReadLoan])
def test_a_loan_is_had_from_a_queue_alone(kind):
    with pytest.raises(TypeError):
        kind()


def test_an_item_goes_from_queue_to_queue_with_one_copy():
    example = {"obs": np.zeros(100)}
    with TreeQueue(example, maxsize=2) as source, TreeQueue(example, maxsize=2) as sink:
        source.put({"obs": np.full(100, 1.0)})
        source.put({"obs": np.full(100, 2.0)})
        with source.borrow() as loan:
            sink.put(loan.tree)
        with sink.reserve() as loan:
            source.get(out=loan.tree)
        assert [item["obs"][0] for item in drain(sink, 0)] == [1, 2]


# write.


def test_write_copies_a_tree_into_the_slot(queue):
    with queue.reserve() as loan:
        loan.write(make_item(5))
        loan.write(make_item(6))
        assert number_in(loan.tree) == 6
    assert get_numbers(queue) == [6]


def test_a_tree_that_does_not_fit_is_not_written_and_the_loan_goes_on(queue):
    with queue.reserve() as loan:
        loan.write(make_item(5))
        bad = make_item(6)
        bad["obs"]["right"] = np.zeros(4, "f4")
        with pytest.raises(SchemaError, match=r"obs\.right: expected float32 \(3,\)"):
            loan.write(bad)
        assert number_in(loan.tree) == 5
    assert get_numbers(queue) == [5]


def test_the_own_tree_of_a_loan_may_be_written_into_it():
    with ArrayQueue(np.zeros(10), maxsize=1) as queue:
        with queue.reserve() as loan:
            loan.tree[...] = np.arange(10)
            loan.write(loan.tree[::-1])
        assert (queue.get() == np.arange(10)[::-1]).all()


# Waiting, and the end of the queue.


def test_without_block_a_loan_that_is_not_to_be_had_is_reported_at_once(queue):
    for waiting in ({"block": False}, {"block": False, "timeout": 3600}, {"timeout": 0}):
        with pytest.raises(Empty):
            queue.borrow(**waiting)
    for number in range(MAXSIZE):
        queue.put(make_item(number))
    for waiting in ({"block": False}, {"block": False, "timeout": 3600}, {"timeout": 0}):
        with pytest.raises(Full):
            queue.reserve(**waiting)


def test_a_timeout_is_waited_for_and_then_reported(queue):
    start = time.monotonic()
    with pytest.raises(Empty):
        queue.borrow(timeout=SHORT_S)
    assert time.monotonic() - start >= SHORT_S
    for number in range(MAXSIZE):
        queue.put(make_item(number))
    start = time.monotonic()
    with pytest.raises(Full):
        queue.reserve(True, SHORT_S)
    assert time.monotonic() - start >= SHORT_S


def test_a_blocked_borrow_wakes_when_an_item_comes(queue):
    worker = Worker(queue.borrow)
    wait_until_asleep(os.getpid(), worker.native_id)
    queue.put(make_item(7))
    with worker.join() as loan:
        assert number_in(loan.tree) == 7


@pytest.mark.parametrize("end", ["abort", "release", "get"])
def test_a_blocked_reserve_wakes_when_a_slot_becomes_free(queue, end):
    held = queue.reserve()
    for number in range(MAXSIZE - 1):
        queue.put(make_item(number))
    reading = queue.borrow()
    worker = Worker(queue.reserve)
    wait_until_asleep(os.getpid(), worker.native_id)
    {"abort": held.abort, "release": reading.release, "get": queue.get_nowait}[end]()
    worker.join().abort()
    for loan, call in ((held, "abort"), (reading, "release")):
        if call != end:
            getattr(loan, call)()


def test_a_blocked_get_wakes_at_a_commit_and_at_a_give_back(queue):
    loan = queue.reserve()
    fill(loan.tree, 7)
    worker = Worker(queue.get)
    wait_until_asleep(os.getpid(), worker.native_id)
    loan.commit()
    assert number_in(worker.join()) == 7
    queue.put(make_item(8))
    loan = queue.borrow()
    worker = Worker(queue.get)
    wait_until_asleep(os.getpid(), worker.native_id)
    loan.give_back()
    assert number_in(worker.join()) == 8


@pytest.mark.parametrize("take", ["reserve", "borrow"])
def test_shutdown_ends_a_call_that_waits_for_a_loan(queue, take):
    if take == "reserve":
        for number in range(MAXSIZE):
            queue.put(make_item(number))
    workers = [Worker(getattr(queue, take)) for _ in range(3)]
    for worker in workers:
        wait_until_asleep(os.getpid(), worker.native_id)
    queue.shutdown()
    for worker in workers:
        with pytest.raises(ShutDown):
            worker.join()


def test_after_shutdown_reserves_raise_and_borrows_drain_then_raise(queue):
    queue.put(make_item(1))
    queue.shutdown()
    with pytest.raises(ShutDown):
        queue.reserve()
    with queue.borrow() as loan:
        assert number_in(loan.tree) == 1
    with pytest.raises(ShutDown):
        queue.borrow(block=False)


def test_what_was_reserved_before_the_shutdown_is_drained_with_the_rest(queue):
    queue.put(make_item(1))
    with queue.reserve() as loan:
        fill(loan.tree, 2)
        queue.shutdown()
    assert [number_in(item) for item in queue] == [1, 2]


def test_an_item_given_back_after_the_shutdown_is_drained_with_the_rest(queue):
    queue.put(make_item(1))
    loan = queue.borrow()
    queue.shutdown()
    loan.give_back()
    assert [number_in(item) for item in queue] == [1]


@pytest.mark.parametrize("take", ["reserve", "borrow"])
def test_a_closed_queue_lends_nothing(take):
    queue = TreeQueue(0, maxsize=1)
    queue.close()
    with pytest.raises(ValueError, match="is closed"):
        getattr(queue, take)()


def test_a_loan_outlives_the_closing_of_its_queue():
    queue = TreeQueue(make_item(0), maxsize=MAXSIZE)
    # Another object for the same queue, which stays open.
    with pickle.loads(pickle.dumps(queue)) as other:
        other.put(make_item(7))
        reading, writing = queue.borrow(), queue.reserve()
        fill(writing.tree, 8)
        queue.close()
        del queue
        gc.collect()
        assert number_in(reading.tree) == 7 and number_in(writing.tree) == 8
        writing.commit()
        reading.release()
        assert get_numbers(other) == [8]
        assert_capacity(other)


def test_a_view_keeps_the_memory_of_a_queue_that_was_closed_and_is_gone():
    mappings = len(shared_mappings(settled=True))
    descriptors = open_descriptors()
    queue = TreeQueue(make_item(0), maxsize=MAXSIZE)
    queue.put(make_item(7))
    with queue.borrow() as loan:
        view = loan.tree["obs"]["left"]
        queue.close()
    del queue, loan
    gc.collect()
    assert (view == 7).all()
    assert len(shared_mappings()) > mappings
    del view
    gc.collect()
    assert len(shared_mappings()) == mappings
    assert open_descriptors() == descriptors


def test_views_die_well_in_any_order_after_their_queue(queue):
    queue.put(make_item(7))
    with queue.borrow() as loan:
        tree = loan.tree
    queue.close()
    del loan
    left = tree["obs"]["left"][1:]
    del tree
    gc.collect()
    assert (left == 7).all()


@pytest.mark.parametrize("take", ["reserve", "borrow"])
def test_a_loan_cannot_be_pickled_or_copied(queue, take):
    with take_one(queue, take) as loan:
        for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                duplicate(loan)
    assert queue.qsize() == (take == "reserve")


def test_a_queue_pickles_while_loans_live(queue):
    with queue.reserve() as loan:
        fill(loan.tree, 7)
        other = pickle.loads(pickle.dumps(queue))
    with other, other.borrow() as loan:
        assert number_in(loan.tree) == 7
