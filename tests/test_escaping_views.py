"""No view without a hold: whatever a user keeps of a loan's tree, and however.

The ways out are in escapes.py; what people are told of it is in test_held_views.py. What holds
for each way:

E1. A view of a borrow shows the item as it was put for as long as the view lives: the slot is held.
E2. A view of a borrow cannot be written through.
E3. What is written through a view of a reserve after its end reaches no reader: the item that they
    get is that of the end of the block.
E4. When the last view dies, the slot is free. Nothing but capacity was lost meanwhile.
"""

import gc
import pickle
import warnings
from queue import Empty, Full

import numpy as np
import pytest
from escapes import (
    COPIES,
    assert_capacity,
    carry,
    every_escape,
    fill,
    get_number,
    make_item,
    numbers_in,
)
from helpers import WATCHDOG_S, Worker

from treequeues import ArrayQueue, HeldViewWarning, SchemaError, TreeQueue

MAXSIZE = 3

# Every slot is used again by then, several times.
LAPS = 10 * MAXSIZE


@pytest.fixture(autouse=True)
def collector():
    """A way out may switch the collector off, and may fail before it switches it on again."""
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
def queue():
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        yield queue


def keep_of_a_borrow(queue, escape):
    """What escapes from a borrow of the next item."""
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        try:
            return escape.keep(loan.tree)
        except BufferError as refusal:
            # An older NumPy cannot export read-only arrays by DLPack: that way out is none then.
            pytest.skip(str(refusal))


# Borrow.


@every_escape
def test_a_view_that_escapes_a_borrow_shows_the_item_as_it_was_put(queue, escape):
    queue.put(make_item(7))
    kept = keep_of_a_borrow(queue, escape)

    def look():
        assert escape.numbers(kept) == {7}

    look()
    carry(queue, range(100, 100 + LAPS), look)
    with pytest.raises(Empty):
        queue.get_nowait()
    look()


@every_escape
def test_a_view_that_escapes_a_borrow_costs_its_slot_until_it_dies(queue, escape):
    for _ in range(MAXSIZE + 1):
        queue.put(make_item(7))
        kept = keep_of_a_borrow(queue, escape)
        assert queue.stats().lingering == 1
        assert_capacity(queue, MAXSIZE - 1)
        escape.drop(kept)
        del kept
        gc.collect()
        assert queue.stats().lingering == 0
        assert_capacity(queue)


@every_escape
def test_a_view_of_a_borrow_cannot_be_written_through(queue, escape):
    if escape.is_address:
        pytest.skip("an address knows no read-only")
    queue.put(make_item(7))
    with queue.borrow() as loan:
        try:
            kept = escape.keep(loan.tree)
        except BufferError as refusal:
            pytest.skip(str(refusal))
        view = escape.look(kept)
        assert not view.flags.writeable
        with pytest.raises(ValueError):
            view.flags.writeable = True
        with pytest.raises(ValueError):
            view[...] = 1
        assert escape.numbers(kept) == {7}
    # Nor when the loan has ended.
    with pytest.raises(ValueError):
        view.flags.writeable = True
    assert escape.numbers(kept) == {7}


WRITES = {
    "assignment": lambda leaf: leaf.__setitem__(..., 1),
    "in place": lambda leaf: leaf.__iadd__(1),
    "out=": lambda leaf: np.add(1, 1, out=leaf),
    "out= of a method": lambda leaf: np.ones_like(leaf).cumsum(axis=0, out=leaf),
    "copyto": lambda leaf: np.copyto(leaf, 1),
    "fill": lambda leaf: leaf.fill(1),
    "sort": lambda leaf: leaf.sort(),
    "put": lambda leaf: np.put(leaf, [0], [1]),
    "at": lambda leaf: np.add.at(leaf, 0, 1),
    "flat": lambda leaf: leaf.flat.__setitem__(slice(None), 1),
    "byteswap": lambda leaf: leaf.byteswap(inplace=True),
    "setflags": lambda leaf: leaf.setflags(write=True),
    "setflags of a view": lambda leaf: leaf[1:].setflags(write=True),
    "setflags of a subclass": lambda leaf: leaf.view(np.recarray).setflags(write=True),
    "writable strides": lambda leaf: np.lib.stride_tricks.as_strided(leaf).__setitem__(..., 1),
    "writable nditer": lambda leaf: np.nditer(leaf, op_flags=[["readwrite"]]),
    "memoryview": lambda leaf: memoryview(leaf).cast("B").__setitem__(0, 1),
    "DLPack": lambda leaf: np.from_dlpack(leaf).__setitem__(..., 1),
    "DLPack without a word on read-only": lambda leaf: leaf.__dlpack__(),
    "pickle buffer": lambda leaf: pickle.PickleBuffer(leaf).raw().__setitem__(0, 1),
    "out of band": lambda leaf: load_out_of_band(leaf).__setitem__(..., 1),
    "readinto": lambda leaf: open("/dev/zero", "rb").readinto(leaf),  # noqa: SIM115
    "resize": lambda leaf: leaf.resize(1000, refcheck=False),
}


def load_out_of_band(array):
    buffers = []
    data = pickle.dumps(array, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=buffers)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_writing_into_a_borrowed_leaf_is_refused(queue, write):
    queue.put(make_item(7))
    with queue.borrow() as loan:
        with pytest.raises((ValueError, TypeError, BufferError)):
            write(loan.tree["frame"])
        assert numbers_in(loan.tree) == {7}


def test_a_borrowed_tree_is_refused_as_the_destination_of_a_get(queue):
    queue.put(make_item(7))
    queue.put(make_item(8))
    with queue.borrow() as loan:
        with pytest.raises(SchemaError):
            queue.get(out=loan.tree)
        assert numbers_in(loan.tree) == {7}
    # The get that was refused has taken nothing.
    assert get_number(queue) == 8


@pytest.mark.parametrize("take", ["borrow", "reserve"])
def test_behind_a_leaf_there_is_no_more_memory_than_its_own(queue, take):
    queue.put(make_item(7))
    with getattr(queue, take)() as loan:
        for leaf in loan.tree.values():
            base = leaf.base
            while isinstance(base, np.ndarray):
                assert base.nbytes == leaf.nbytes
                assert base.flags.writeable == leaf.flags.writeable
                base = base.base
            assert base is not None, "somebody has to hold the slot"
            try:
                buffer = memoryview(base)
            except TypeError:
                continue
            assert buffer.nbytes <= leaf.nbytes
            assert take == "reserve" or buffer.readonly
            del buffer
        del leaf, base


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_of_a_leaf_holds_no_slot(queue, copy):
    queue.put(make_item(7))
    with queue.borrow() as loan:
        of_a_borrow = copy(loan.tree["frame"])
    assert_capacity(queue)
    with warnings.catch_warnings():
        warnings.simplefilter("error", HeldViewWarning)
        with queue.reserve() as loan:
            fill(loan.tree, 8)
            of_a_reserve = copy(loan.tree["frame"])
    assert get_number(queue) == 8
    assert_capacity(queue)
    del of_a_borrow, of_a_reserve


def test_a_loan_object_that_outlives_its_block_holds_no_slot(queue):
    queue.put(make_item(7))
    loans = []
    for _ in range(2 * MAXSIZE):
        with queue.borrow() as loan:
            assert numbers_in(loan.tree) == {7}
        loans.append(loan)
        with queue.reserve() as loan:
            fill(loan.tree, 7)
        loans.append(loan)
    assert get_number(queue) == 7
    assert_capacity(queue)


def test_views_of_all_slots_may_live_and_none_changes(queue):
    views = []
    for number in range(MAXSIZE):
        queue.put(make_item(number))
        with queue.borrow() as loan:
            views.append(loan.tree["frame"])
    assert queue.stats().lingering == MAXSIZE
    with pytest.raises(Full):
        queue.put_nowait(make_item(99))
    for number, view in enumerate(views):
        assert (view == number).all()
    # They die out of order.
    del view, views[1]
    assert_capacity(queue, 1)
    assert (views[0] == 0).all() and (views[1] == MAXSIZE - 1).all()
    views.clear()
    assert_capacity(queue)


def test_one_of_many_views_is_enough_to_hold_the_slot(queue):
    queue.put(make_item(7))
    with queue.borrow() as loan:
        views = [leaf[1:] for leaf in loan.tree.values() for _ in range(3)]
    while views:
        assert queue.stats().free == MAXSIZE - 1
        views.pop()
    assert queue.stats().free == MAXSIZE


def test_a_view_dies_in_another_thread_than_the_one_that_borrowed(queue):
    queue.put(make_item(7))
    with queue.borrow() as loan:
        views = [loan.tree["frame"]]
    Worker(views.clear).join()
    assert_capacity(queue)


def test_a_view_of_an_array_queue_is_held_like_any_other():
    with ArrayQueue(np.zeros(8), maxsize=2) as queue:
        queue.put(np.full(8, 7.0))
        with queue.borrow() as loan:
            view = loan.tree
        for number in range(10):
            queue.put(np.full(8, float(number)))
            assert (queue.get() == number).all()
        assert (view == 7).all()
        with pytest.warns(HeldViewWarning), queue.reserve(block=False) as loan:
            # This name is the only other one: it lets go of the borrowed item.
            view = loan.tree
            view[...] = 8
        view[...] = 9
        assert (queue.get() == 8).all()
        del view
        assert queue.stats().free == 2


# Reserve.


@every_escape
def test_what_is_written_through_a_view_after_a_reserve_reaches_no_reader(queue, escape):
    with pytest.warns(HeldViewWarning, match=escape.leaf), queue.reserve() as loan:
        kept = escape.keep(loan.tree)
        fill(loan.tree, 7)
    escape.scribble(kept, 99)
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        assert numbers_in(loan.tree) == {7}
        escape.scribble(kept, 98)
        assert numbers_in(loan.tree) == {7}
    carry(queue, range(100, 100 + LAPS), lambda: escape.scribble(kept, 97))
    with pytest.raises(Empty):
        queue.get_nowait()


@every_escape
@pytest.mark.filterwarnings("ignore::treequeues.HeldViewWarning")
def test_a_view_of_a_reserve_costs_a_slot_until_it_dies_and_is_nobody_elses(queue, escape):
    for _ in range(MAXSIZE + 1):
        with queue.reserve() as loan:
            kept = escape.keep(loan.tree)
            fill(loan.tree, 7)
        wrote = escape.scribble(kept, 99)
        assert get_number(queue) == 7
        assert_capacity(queue, MAXSIZE - 1)
        # Nor does anybody write where the view looks.
        assert escape.numbers(kept) == ({99} if wrote else {7})
        escape.drop(kept)
        del kept
        gc.collect()
        assert_capacity(queue)


@every_escape
def test_where_no_other_slot_exists_the_item_is_not_put_and_the_queue_goes_on(escape):
    with TreeQueue(make_item(0), maxsize=1) as queue:
        loan = queue.reserve()
        fill(loan.tree, 7)
        kept = escape.keep(loan.tree)
        with pytest.raises(BufferError, match=escape.leaf):
            loan.commit()
        with pytest.raises(Empty):
            queue.get_nowait()
        with pytest.raises(Full):
            queue.put_nowait(make_item(1))
        escape.scribble(kept, 99)
        escape.drop(kept)
        del kept
        gc.collect()
        carry(queue, range(10))
        assert_capacity(queue, 1)


@every_escape
def test_a_view_of_an_aborted_reserve_reaches_no_reader_either(queue, escape):
    with pytest.raises(ZeroDivisionError), queue.reserve() as loan:
        kept = escape.keep(loan.tree)
        fill(loan.tree, 7)
        raise ZeroDivisionError
    for number in range(LAPS):
        escape.scribble(kept, 99)
        carry(queue, [number])
    assert_capacity(queue, MAXSIZE - 1)
    escape.drop(kept)
    del kept
    gc.collect()
    assert_capacity(queue)
