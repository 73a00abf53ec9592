"""reserve_batch and borrow_batch in one process: loans of slots that lie side by side.

What holds for loans of one slot is in test_loans.py, and holds here too.

S1. The leaves of a batch loan are the slots' own memory, stacked, without a copy.
S2. A batch loan is as long as slots lie side by side: it ends where the ring does.
S3. It ends as a whole: all of its items are put, or none; all come again, in order, or none.
"""

import gc
import os
import warnings
from queue import Empty, Full

import numpy as np
import pytest
from batch_cases import everything, make_item, make_stacked, number_of, numbers_of, stack
from escapes import every_escape, fill, numbers_in
from escapes import make_item as make_escaping_item
from helpers import Worker, drain, wait_until_asleep
from tree_cases import assert_same_tree

from treequeues import ArrayQueue, HeldViewWarning, ReadLoan, SchemaError, TreeQueue, WriteLoan

MAXSIZE = 4


@pytest.fixture
def queue():
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        yield queue


@pytest.fixture
def escaping_queue():
    with TreeQueue(make_escaping_item(0), maxsize=MAXSIZE) as queue:
        yield queue
    gc.enable()


def put(queue, numbers):
    for number in numbers:
        queue.put_nowait(make_item(number))


def get_numbers(queue):
    return [number_of(item) for item in drain(queue, 0)]


def turn(queue, slots):
    """Move the place of the next item in the ring on by some slots."""
    for _ in range(slots):
        put(queue, [0])
        queue.get_nowait()


def write(tree, numbers):
    for path, leaf in make_stacked(numbers).items():
        tree[path][...] = leaf


def assert_capacity(queue):
    put(queue, range(MAXSIZE))
    with pytest.raises(Full):
        put(queue, [99])
    assert get_numbers(queue) == list(range(MAXSIZE))


# What is in a batch loan.


def test_reserved_slots_filled_in_place_come_out_as_items_in_order(queue):
    with queue.reserve_batch(3) as loan:
        assert isinstance(loan, WriteLoan) and len(loan) == 3
        assert loan.tree["frame"].shape == (3, 3, 5) and loan.tree["reward"].shape == (3,)
        write(loan.tree, [7, 8, 9])
        assert queue.qsize() == 0 and queue.stats().writing == 3
    assert get_numbers(queue) == [7, 8, 9]
    assert_capacity(queue)


def test_borrowed_items_are_read_in_place_as_one_stacked_tree(queue):
    put(queue, [7, 8, 9])
    with queue.borrow_batch(3) as loan:
        assert isinstance(loan, ReadLoan) and len(loan) == 3
        assert numbers_of(loan.tree) == [7, 8, 9]
        assert not any(leaf.flags.writeable for leaf in loan.tree.values())
        assert queue.qsize() == 0 and queue.stats().reading == 3
    assert queue.empty()
    assert_capacity(queue)


def test_batch_loans_of_everything_are_what_numpy_would_stack():
    items = [everything(number) for number in range(1, 4)]
    with TreeQueue(everything(0), maxsize=3) as queue:
        with queue.reserve_batch(3) as loan:
            loan.write(stack(items))
            assert_same_tree(loan.tree, stack(items))
        for item in items:
            assert_same_tree(queue.get_nowait(), item)
        for item in items:
            queue.put(item)
        with queue.borrow_batch(3) as loan:
            assert_same_tree(loan.tree, stack(items))


def test_a_batch_loan_of_one_slot_is_stacked_too(queue):
    put(queue, [7])
    with queue.borrow_batch(1) as loan:
        assert numbers_of(loan.tree) == [7]
    with queue.reserve_batch(1) as loan:
        assert loan.tree["reward"].shape == (1,)


def test_readers_see_the_very_memory_that_the_writer_filled():
    with ArrayQueue(np.zeros(100), maxsize=3) as queue:
        with queue.reserve_batch(3) as loan:
            loan.tree[...] = 1
            written, row_nbytes = loan.tree.ctypes.data, loan.tree.strides[0]
        with queue.borrow_batch(3) as loan:
            assert loan.tree.ctypes.data == written and loan.tree.strides[0] == row_nbytes
        # Row by row, it is the memory of the single slots.
        for row in range(3):
            with queue.reserve() as loan:
                assert loan.tree.ctypes.data == written + row * row_nbytes


def test_write_copies_a_stacked_tree_of_the_loans_length(queue):
    with queue.reserve_batch(3) as loan:
        loan.write(make_stacked([1, 2, 3]))
        for wrong in (make_stacked([1, 2]), make_stacked(range(4)), make_item(1)):
            with pytest.raises(SchemaError):
                loan.write(wrong)
    assert get_numbers(queue) == [1, 2, 3]


def test_infos_tell_of_each_item_and_info_of_the_first(queue):
    put(queue, range(3))
    queue.borrow().give_back()
    with queue.borrow_batch(2) as loan:
        infos = loan.infos
        assert loan.info == infos[0]
    assert [info.ticket for info in infos] == list(range(len(infos)))
    assert infos[0].delivery_count == 2
    assert all(info.delivery_count == 1 for info in infos[1:])
    rest = [queue.get(info=True)[1] for _ in range(3 - len(infos))]
    assert [info.ticket for info in infos + rest] == [0, 1, 2]
    assert loan.infos == infos


# How long a batch loan is.


@pytest.mark.parametrize("turned", range(MAXSIZE))
@pytest.mark.parametrize("n", range(1, MAXSIZE + 1))
def test_a_batch_loan_ends_where_the_ring_does_and_the_next_one_has_the_rest(queue, n, turned):
    turn(queue, turned)
    first = min(n, MAXSIZE - turned)
    lengths, numbers = [], iter(range(n))
    while sum(lengths) < n:
        with queue.reserve_batch(n - sum(lengths)) as loan:
            lengths.append(len(loan))
            write(loan.tree, [next(numbers) for _ in range(len(loan))])
    assert lengths == [first] + [n - first] * (n > first)

    lengths, came = [], []
    while len(came) < n:
        with queue.borrow_batch(n - len(came)) as loan:
            lengths.append(len(loan))
            came += numbers_of(loan.tree)
    assert came == list(range(n))
    assert lengths == [first] + [n - first] * (n > first)
    assert_capacity(queue)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_size_that_divides_maxsize_is_always_had_whole(queue, n):
    for number in range(0, 20 * n, n):
        with queue.reserve_batch(n) as loan:
            write(loan.tree, range(number, number + n))
        with queue.borrow_batch(n) as loan:
            assert numbers_of(loan.tree) == list(range(number, number + n))


def test_a_batch_loan_ends_before_a_slot_that_is_held(queue):
    put(queue, range(4))
    # The second item is being read: only the first lies free before it.
    loans = [queue.borrow(), queue.borrow()]
    loans[0].give_back()
    with queue.borrow_batch(3, block=False) as loan:
        assert numbers_of(loan.tree) == [0]
    with queue.borrow_batch(2, block=False) as loan:
        assert numbers_of(loan.tree) == [2, 3]
    # Three slots are free, the first of them alone before the one that is held.
    with queue.reserve_batch(3, block=False) as loan:
        assert len(loan) == 1
        write(loan.tree, [10])
    with queue.reserve_batch(2, block=False) as loan:
        assert len(loan) == 2
        write(loan.tree, [11, 12])
    loans[1].give_back()
    assert get_numbers(queue) == [1, 10, 11, 12]


def test_with_min_a_loan_is_content_with_less_and_without_it_waits(queue):
    put(queue, range(2))
    with pytest.raises(Empty):
        queue.borrow_batch(3, block=False)
    with queue.borrow_batch(3, min=1, block=False) as loan:
        assert numbers_of(loan.tree) == [0, 1]
        with pytest.raises(Full):
            queue.reserve_batch(3, block=False)
        with queue.reserve_batch(3, 2, block=False) as reserved:
            assert len(reserved) == 2
            write(reserved.tree, [2, 3])
    assert get_numbers(queue) == [2, 3]


def test_waiting_loans_hold_nothing_and_come_when_there_is_enough(queue):
    put(queue, range(2))
    worker = Worker(queue.borrow_batch, 3)
    wait_until_asleep(os.getpid(), worker.native_id)
    assert queue.stats().reading == 0
    put(queue, [2])
    with worker.join() as loan:
        assert numbers_of(loan.tree) == [0, 1, 2]
        worker = Worker(queue.reserve_batch, 2)
        wait_until_asleep(os.getpid(), worker.native_id)
        assert queue.stats().writing == 0
    worker.join().abort()
    assert_capacity(queue)


# How a batch loan ends.


def test_an_abort_frees_all_slots(queue):
    with pytest.raises(ZeroDivisionError), queue.reserve_batch(3) as loan:
        write(loan.tree, [7, 8, 9])
        raise ZeroDivisionError
    queue.reserve_batch(4, min=1).abort()
    assert queue.empty()
    assert_capacity(queue)


@pytest.mark.parametrize("turned", range(MAXSIZE))
def test_given_back_items_all_come_again_in_order_and_first(queue, turned):
    turn(queue, turned)
    put(queue, range(4))
    with pytest.raises(ZeroDivisionError), queue.borrow_batch(3):
        raise ZeroDivisionError
    infos = []
    for number in range(4):
        item, info = queue.get(block=False, info=True)
        assert number_of(item) == number
        infos.append(info)
    assert [info.ticket for info in infos] == sorted(info.ticket for info in infos)
    assert infos[0].delivery_count == 2 and infos[3].delivery_count == 1
    assert_capacity(queue)


def test_batch_loans_that_are_dropped_abort_and_give_back(queue):
    put(queue, range(2))
    for _ in range(3):
        loan = queue.reserve_batch(2)
        del loan
        loan = queue.borrow_batch(2)
        with pytest.warns(ResourceWarning):
            del loan
            gc.collect()
    assert get_numbers(queue) == [0, 1]
    assert_capacity(queue)


def test_a_batch_loan_ends_once(queue):
    loan = queue.reserve_batch(2)
    write(loan.tree, [1, 2])
    loan.commit()
    with pytest.raises(ValueError, match="committed already"):
        loan.abort()
    loan = queue.borrow_batch(2)
    loan.give_back()
    for call in (loan.release, loan.give_back):
        with pytest.raises(ValueError, match="given back already"):
            call()
    with pytest.raises(ValueError, match="ended"):
        _ = loan.tree
    assert get_numbers(queue) == [1, 2]


# Views that outlive a batch loan.


def assert_all_escaping_capacity(queue, free=MAXSIZE):
    assert queue.stats().free == free
    for number in range(free):
        queue.put_nowait(make_escaping_item(number))
    with pytest.raises(Full):
        queue.put_nowait(make_escaping_item(99))
    assert [numbers_in(item) for item in drain(queue, 0)] == [{number} for number in range(free)]


@every_escape
def test_a_view_that_escapes_a_batch_borrow_keeps_its_contents_and_its_slots(
    escaping_queue, escape
):
    queue = escaping_queue
    for _ in range(3):
        for _ in range(2):
            queue.put(make_escaping_item(7))
        with queue.borrow_batch(2, min=2) as loan:
            length = len(loan)
            try:
                kept = escape.keep(loan.tree)
            except BufferError as refusal:
                pytest.skip(str(refusal))
            if not escape.is_address:
                with pytest.raises(ValueError):
                    escape.look(kept).flags.writeable = True
        assert queue.stats().lingering == length
        for number in range(100, 120):
            queue.put(make_escaping_item(number))
            queue.get()
            assert escape.numbers(kept) == {7}
        drain(queue, 0)
        assert_all_escaping_capacity(queue, MAXSIZE - length)
        assert escape.numbers(kept) == {7}
        escape.drop(kept)
        del kept
        gc.collect()
        assert_all_escaping_capacity(queue)


@every_escape
def test_a_view_that_escapes_a_batch_reserve_never_changes_what_readers_get(escaping_queue, escape):
    queue = escaping_queue
    with pytest.warns(HeldViewWarning, match=escape.leaf), queue.reserve_batch(2) as loan:
        kept = escape.keep(loan.tree)
        fill(loan.tree, 7)
        loan.tree["frame"][1] = 8
    escape.scribble(kept, 99)
    assert (queue.get()["frame"] == 7).all()
    assert (queue.get()["frame"] == 8).all()
    for number in range(100, 120):
        queue.put(make_escaping_item(number))
        escape.scribble(kept, 99)
        assert numbers_in(queue.get()) == {number}
    assert queue.stats().free == MAXSIZE - 2
    escape.drop(kept)
    del kept
    gc.collect()
    assert_all_escaping_capacity(queue)


@pytest.mark.parametrize(
    ("n", "refusal"), [(MAXSIZE, BufferError), (MAXSIZE - 1, (BufferError, Full))]
)
def test_where_there_are_not_enough_other_slots_nothing_is_put(queue, n, refusal):
    loan = queue.reserve_batch(n, timeout=1)
    write(loan.tree, range(n))
    frames = loan.tree["frame"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeldViewWarning)
        with pytest.raises(refusal):
            loan.commit()
    with pytest.raises(Empty):
        queue.get_nowait()
    frames[...] = 99
    del frames
    gc.collect()
    assert_capacity(queue)


def test_a_view_of_one_row_holds_and_dies_like_a_view_of_all(queue):
    put(queue, range(2))
    with queue.borrow_batch(2) as loan:
        row = loan.tree["frame"][1]
    for number in range(20):
        put(queue, [number])
        queue.get()
    assert (row == 1).all()
    assert queue.stats().free < MAXSIZE
    del row
    assert_capacity(queue)
