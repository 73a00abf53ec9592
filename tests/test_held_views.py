"""What becomes of an item, and what people are told, where a view outlives its loan.

That such a view does no harm, in whatever way it got out, is in test_escaping_views.py.
"""

import gc
import threading
import time
import warnings
import weakref
from queue import Empty, Full
from random import Random

import numpy as np
import pytest
from escapes import assert_capacity, carry, fill, get_number, make_item, numbers_in
from helpers import Worker, drain

from treequeues import HeldViewWarning, ShutDown, TreeQueue

MAXSIZE = 3

# Every slot is used again by then, several times.
LAPS = 10 * MAXSIZE

# Long enough for a call to block, and for a sleeper to look up.
SHORT_S = 0.3


@pytest.fixture
def queue():
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        yield queue


# Reserve.


def test_the_common_way_of_filling_a_leaf_publishes_and_says_what_it_costs(queue):
    with pytest.warns(HeldViewWarning, match="frame") as seen, queue.reserve() as loan:
        fill(loan.tree, 1)
        frame = loan.tree["frame"]
        frame[...] = 1
    assert len(seen) == 1
    assert "record" not in str(seen[0].message), "that leaf was not kept"
    # The warning points to where the block is, not into the library.
    assert seen[0].filename == __file__
    assert get_number(queue) == 1
    del frame
    assert_capacity(queue)


def test_the_warning_names_leaves_by_their_paths():
    with TreeQueue({"obs": {"left": np.zeros(3), "right": np.zeros(3)}}, maxsize=2) as queue:
        with pytest.warns(HeldViewWarning, match=r"obs\.left") as seen, queue.reserve() as loan:
            left = loan.tree["obs"]["left"]
        assert "obs.right" not in str(seen[0].message)
        del left


def test_the_warning_is_given_once_for_each_queue_object(queue):
    def let_escape(queue):
        with queue.reserve() as loan:
            frame = loan.tree["frame"]
            fill(loan.tree, 1)
        del frame
        assert get_number(queue) == 1

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(5):
            let_escape(queue)
        assert [warning.category for warning in seen] == [HeldViewWarning]
        with TreeQueue(make_item(0), maxsize=2) as other:
            for _ in range(5):
                let_escape(other)
        assert [warning.category for warning in seen] == [HeldViewWarning] * 2


def test_where_the_warning_is_an_error_nothing_is_put(queue):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(HeldViewWarning), queue.reserve() as loan:
            frame = loan.tree["frame"]
            fill(loan.tree, 7)
    with pytest.raises(Empty):
        queue.get_nowait()
    del frame
    gc.collect()
    assert_capacity(queue)


def test_a_thread_that_goes_on_writing_changes_nothing_that_was_published(queue):
    stop = threading.Event()

    def scribble(frame):
        number = 0
        while not stop.is_set():
            number += 1
            frame[...] = number

    with pytest.warns(HeldViewWarning), queue.reserve() as loan:
        fill(loan.tree, 7)
        worker = Worker(scribble, loan.tree["frame"])
    with queue.borrow() as loan:
        before = loan.tree["frame"].copy()
        for _ in range(2000):
            assert (loan.tree["frame"] == before).all()
        assert (loan.tree["other"] == 7).all()
    carry(queue, range(100, 100 + LAPS))
    stop.set()
    worker.join()
    del worker
    gc.collect()
    assert_capacity(queue)


# NumPy 2.5 begins to refuse it.
@pytest.mark.filterwarnings("ignore:Setting the (shape|dtype) on a NumPy array:DeprecationWarning")
def test_a_leaf_that_was_reshaped_in_place_is_published_like_any_other(queue):
    with pytest.warns(HeldViewWarning), queue.reserve() as loan:
        fill(loan.tree, 7)
        frame = loan.tree["frame"]
        frame.shape = (-1,)
        frame.dtype = np.uint8
    assert get_number(queue) == 7
    frame[...] = 0xFF
    del frame
    assert_capacity(queue)


def test_a_commit_past_a_view_waits_for_another_slot_as_the_reserve_was_told_to(queue):
    for number in range(MAXSIZE - 1):
        queue.put(make_item(number))

    def fill_and_let_escape(**waiting):
        with queue.reserve(**waiting) as loan:
            frame = loan.tree["frame"]
            fill(loan.tree, 7)
        return frame

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeldViewWarning)
        for waiting in ({"block": False}, {"timeout": 0.05}):
            with pytest.raises(Full):
                fill_and_let_escape(**waiting)
            gc.collect()
            assert queue.qsize() == MAXSIZE - 1
        worker = Worker(fill_and_let_escape)
        time.sleep(SHORT_S)
        assert [get_number(queue) for _ in range(MAXSIZE)] == [*range(MAXSIZE - 1), 7]
        view = worker.join()
    view[...] = 99
    del view, worker
    gc.collect()
    assert_capacity(queue)


def test_a_weak_reference_to_a_leaf_is_dead_after_the_block(queue):
    queue.put(make_item(7))
    with queue.borrow() as loan:
        reference = weakref.ref(loan.tree["frame"])
    assert reference() is None
    with queue.reserve() as loan:
        reference = weakref.ref(loan.tree["frame"])
    assert reference() is None


# Loans that died without an end.


def test_a_view_of_a_reserve_that_was_dropped_is_nobody_elses(queue):
    view = queue.reserve().tree["frame"]
    for number in range(LAPS):
        view[...] = 99
        carry(queue, [number])
    assert (view == 99).all()
    assert_capacity(queue, MAXSIZE - 1)
    del view
    assert_capacity(queue)


def test_a_view_of_a_borrow_that_was_dropped_is_readable_and_then_the_item_comes_again(queue):
    queue.put(make_item(7))
    with pytest.warns(ResourceWarning):
        view = queue.borrow().tree["frame"]
        gc.collect()
    carry(queue, range(100, 100 + LAPS))
    assert (view == 7).all()
    queue.put(make_item(8))
    del view
    assert [numbers_in(item) for item in drain(queue, 0)] == [{7}, {8}]
    assert_capacity(queue)


def test_an_item_given_back_comes_again_when_its_last_view_has_died(queue):
    queue.put(make_item(7))
    queue.put(make_item(8))
    with pytest.raises(ZeroDivisionError), queue.borrow() as loan:
        view = loan.tree["frame"]
        raise ZeroDivisionError
    assert get_number(queue) == 8
    with pytest.raises(Empty):
        queue.get_nowait()
    assert (view == 7).all()
    del view
    assert get_number(queue) == 7
    assert_capacity(queue)


# Waiting for oneself.


def hold_every_slot(queue, path):
    """Views of every slot of the queue."""
    views = []
    for number in range(queue.maxsize):
        queue.put(make_item(number))
        with queue.borrow() as loan:
            views.append(loan.tree[path])
    return views


@pytest.mark.parametrize("call", ["put", "reserve", "get", "borrow", "put_batch", "get_batch"])
def test_a_call_that_waits_for_its_own_views_says_so_and_names_them(queue, call):
    views = hold_every_slot(queue, "wave")
    stacked = {path: leaf[None] for path, leaf in make_item(1).items()}
    arguments = {"put": [make_item(1)], "put_batch": [stacked], "get_batch": [1]}
    with (
        pytest.warns(HeldViewWarning, match="wave") as seen,
        pytest.raises((Full, Empty)),
    ):
        getattr(queue, call)(*arguments.get(call, []), timeout=2)
    assert len(seen) == 1
    assert "frame" not in str(seen[0].message), "that leaf was not kept"
    views.clear()
    assert_capacity(queue)


def test_a_put_that_waits_for_its_own_views_goes_on_when_one_of_them_dies(queue):
    views = hold_every_slot(queue, "frame")
    with pytest.warns(HeldViewWarning, match="frame"):
        worker = Worker(queue.put, make_item(5))
        time.sleep(SHORT_S)
        assert queue.qsize() == 0
        views.pop()
        worker.join()
    assert get_number(queue) == 5
    views.clear()
    assert_capacity(queue)


def test_where_the_warning_is_an_error_it_comes_out_of_the_waiting_put(queue):
    views = hold_every_slot(queue, "frame")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(HeldViewWarning):
            queue.put(make_item(5), timeout=2)
    assert queue.qsize() == 0
    views.clear()
    assert_capacity(queue)


def test_a_put_that_waits_for_others_warns_of_nothing(queue):
    for number in range(MAXSIZE):
        queue.put(make_item(number))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Full):
            queue.put(make_item(9), timeout=SHORT_S)


@pytest.mark.parametrize("take", ["get", "borrow"])
def test_a_get_that_waits_for_others_warns_of_nothing_while_there_are_slots_to_fill(queue, take):
    queue.put(make_item(7))
    with queue.borrow() as loan:
        view = loan.tree["frame"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Empty):
            getattr(queue, take)(timeout=SHORT_S)
    assert (view == 7).all()


# All at once.


@pytest.mark.filterwarnings("ignore::treequeues.HeldViewWarning")
def test_threads_that_lend_and_keep_views_at_random_mix_nothing_up(queue, rng):
    """Each thread reserves, writes on, borrows, keeps, and drops; what it sees is always whole."""
    end = time.monotonic() + 3

    def lend(seed):
        random, views, number = Random(seed), [], seed
        while time.monotonic() < end:
            number += 1
            try:
                with queue.reserve(timeout=0.05) as loan:
                    fill(loan.tree, number)
                    scribbled = loan.tree["frame"] if random.random() < 0.2 else None
                if scribbled is not None:
                    scribbled[...] = 10**9
                    del scribbled
            except (Full, BufferError, ZeroDivisionError):
                scribbled = None
            try:
                with queue.borrow(timeout=0.05) as loan:
                    (seen,) = numbers_in(loan.tree)
                    assert seen != 10**9
                    if random.random() < 0.3:
                        views.append((seen, random.choice([*loan.tree.values()][:2])[1:]))
                    if random.random() < 0.2:
                        raise ZeroDivisionError
            except (Empty, ZeroDivisionError):
                pass
            for seen, view in views:
                assert (view == seen).all()
            if len(views) > random.random() * 2:
                views.pop(0)

    workers = [Worker(lend, 10**6 * place + rng.randrange(1000)) for place in range(4)]
    for worker in workers:
        worker.join()
    workers.clear()
    gc.collect()
    drain(queue, 0)
    assert_capacity(queue)


# Loans that nobody ended.


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("lend", ["reserve", "borrow"])
def test_a_put_that_waits_for_a_view_of_a_dropped_loan_says_so(lend):
    queue = TreeQueue(make_item(0), maxsize=1)
    if lend == "borrow":
        queue.put(make_item(1))
    view = getattr(queue, lend)().tree["frame"]
    gc.collect()
    with pytest.warns(HeldViewWarning, match="frame"), pytest.raises(Full):
        queue.put(make_item(2), timeout=SHORT_S)
    del view


def test_a_drain_does_not_wait_for_a_view_of_a_reserve_that_nobody_can_commit(queue):
    view = queue.reserve().tree["frame"]
    gc.collect()
    queue.shutdown()
    raised = []

    def get():
        try:
            queue.get(timeout=20)
        except Exception as error:
            raised.append(type(error))

    other = threading.Thread(target=get)
    other.start()
    other.join(30)
    assert raised == [ShutDown]
    del view


def test_a_batch_that_its_own_process_leaves_no_room_for_says_so(queue):
    queue.put(make_item(1))
    with queue.borrow() as loan:
        view = loan.tree["frame"]
    for number in range(MAXSIZE - 1):
        queue.put(make_item(number))
    with pytest.warns(HeldViewWarning, match="frame"), pytest.raises(Empty):
        queue.get_batch(MAXSIZE, timeout=SHORT_S)
    del view


def test_where_the_warning_is_an_error_it_is_raised_each_time(queue):
    for _ in range(3):
        with (
            warnings.catch_warnings(),
            pytest.raises(HeldViewWarning),
            queue.reserve() as loan,
        ):
            warnings.simplefilter("error")
            view = loan.tree["frame"]
            fill(loan.tree, 1)
        del view
    assert queue.qsize() == 0
