"""How a loan ends: by its block or by a call, by dropping it, by an exception; once, and for good.

L1. A reserve's item is seen by nobody before its commit, and by nobody ever if there is none.
L2. A loan ends once: whatever is asked of it afterwards is a ValueError, or nothing at all at the
    end of its block.
L3. No end of a loan takes the place of the user's own exception.
"""

import gc
import os
import sys
import threading
import warnings
from contextlib import suppress
from queue import Empty, Full

import pytest
from helpers import (
    WATCHDOG_S,
    Worker,
    in_forked_child,
    open_descriptors,
    reap,
    shared_mappings,
)
from loan_cases import assert_capacity, fill, get_numbers, make_item, number_in, take_one

from treequeues import TreeQueue

MAXSIZE = 3


@pytest.fixture
def queue():
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        yield queue


def test_nobody_sees_a_reserved_item_before_its_commit(queue):
    with queue.reserve() as loan:
        fill(loan.tree, 7)
        assert queue.qsize() == 0 and queue.stats().writing == 1
        with pytest.raises(Empty):
            queue.get_nowait()
    assert queue.qsize() == 1 and queue.stats().writing == 0


def test_nobody_else_gets_a_borrowed_item(queue):
    queue.put(make_item(7))
    with queue.borrow():
        assert queue.qsize() == 0 and queue.stats().reading == 1
        with pytest.raises(Empty):
            queue.get_nowait()
    assert queue.stats().reading == 0 and queue.stats().free == MAXSIZE


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_in_the_block_aborts_a_reserve_and_comes_out(queue, error):
    with pytest.raises(error, match="mine"), queue.reserve() as loan:
        fill(loan.tree, 7)
        raise error("mine")
    assert queue.empty()
    assert_capacity(queue)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_in_the_block_gives_a_borrow_back_and_comes_out(queue, error):
    queue.put(make_item(7))
    queue.put(make_item(8))
    with pytest.raises(error, match="mine"), queue.borrow() as loan:
        assert number_in(loan.tree) == 7
        raise error("mine")
    assert get_numbers(queue) == [7, 8]
    assert_capacity(queue)


def test_leaving_the_block_early_is_a_clean_end(queue):
    def fill_one():
        with queue.reserve() as loan:
            fill(loan.tree, 7)
            return

    fill_one()
    for _ in range(3):
        with queue.borrow() as loan:
            assert number_in(loan.tree) == 7
            break
    assert_capacity(queue)


def test_a_generator_that_is_dropped_in_its_block_gives_the_item_back(queue):
    def items():
        while True:
            with queue.borrow() as loan:
                yield number_in(loan.tree)

    for number in (1, 2, 3):
        queue.put(make_item(number))
    generator = items()
    assert [next(generator), next(generator)] == [1, 2]
    del generator
    gc.collect()
    assert get_numbers(queue) == [2, 3]


def test_explicit_ends_do_what_the_block_would_do(queue):
    loan = queue.reserve()
    fill(loan.tree, 1)
    assert loan.commit() is None
    loan = queue.reserve()
    fill(loan.tree, 2)
    assert loan.abort() is None
    loan = queue.reserve()
    fill(loan.tree, 3)
    loan.commit()
    assert queue.qsize() == 2

    loan = queue.borrow()
    assert number_in(loan.tree) == 1
    assert loan.give_back() is None
    loan = queue.borrow()
    assert number_in(loan.tree) == 1
    assert loan.release() is None
    assert get_numbers(queue) == [3]
    assert_capacity(queue)


ENDS = {"reserve": ("commit", "abort"), "borrow": ("release", "give_back")}
every_end = pytest.mark.parametrize(
    ("take", "end"), [(take, end) for take, ends in ENDS.items() for end in ends]
)


def items_after(end):
    """How many items are there after the only item's loan has ended so."""
    return int(end in ("commit", "give_back"))


@every_end
def test_after_an_explicit_end_the_end_of_the_block_does_nothing(queue, take, end):
    with take_one(queue, take) as loan:
        getattr(loan, end)()
        assert queue.qsize() == items_after(end)
    assert get_numbers(queue) == [7] * items_after(end)
    assert_capacity(queue)


@every_end
def test_after_an_explicit_end_an_exception_in_the_block_does_nothing_but_come_out(
    queue, take, end
):
    with pytest.raises(ZeroDivisionError), take_one(queue, take) as loan:
        getattr(loan, end)()
        raise ZeroDivisionError
    assert get_numbers(queue) == [7] * items_after(end)
    assert_capacity(queue)


@every_end
@pytest.mark.parametrize("within", [False, True], ids=["alone", "by its block"])
def test_a_loan_ends_once_and_what_is_asked_afterwards_is_a_value_error(queue, take, end, within):
    loan = take_one(queue, take)
    if within:
        # The block ends it: cleanly, or by the exception.
        try:
            with loan:
                if end in ("abort", "give_back"):
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    else:
        getattr(loan, end)()
    done = {
        "commit": "committed",
        "abort": "aborted",
        "release": "released",
        "give_back": "given back",
    }
    for again in ENDS[take]:
        with pytest.raises(ValueError, match=f"the loan has been {done[end]} already"):
            getattr(loan, again)()
    with pytest.raises(ValueError, match="ended"):
        _ = loan.tree
    if take == "reserve":
        with pytest.raises(ValueError, match="use it inside its block"):
            loan.write(make_item(1))
    assert get_numbers(queue) == [7] * items_after(end)
    assert_capacity(queue)


@every_end
def test_of_many_threads_that_end_a_loan_one_does_and_the_others_are_told(take, end):
    threads = 4
    with TreeQueue(make_item(0), maxsize=2) as queue:
        for _ in range(50):
            loan = take_one(queue, take)
            barrier = threading.Barrier(threads)

            def end_it(loan=loan, barrier=barrier):
                barrier.wait(WATCHDOG_S)
                try:
                    getattr(loan, end)()
                except ValueError:
                    return False
                return True

            workers = [Worker(end_it) for _ in range(threads)]
            assert sum(worker.join() for worker in workers) == 1
            assert get_numbers(queue) == [7] * items_after(end)
        assert_capacity(queue)


def test_a_loan_may_end_in_another_thread_than_it_began_in(queue):
    loan = queue.reserve()
    Worker(lambda: fill(loan.tree, 7)).join()
    Worker(loan.commit).join()
    loan = Worker(queue.borrow).join()
    assert number_in(loan.tree) == 7
    Worker(loan.release).join()
    assert_capacity(queue)


@pytest.mark.parametrize("reserve", [TreeQueue.reserve, lambda queue: queue.reserve_batch(2)])
def test_a_reserve_that_is_dropped_aborts_and_says_so(queue, reserve):
    for _ in range(2 * MAXSIZE):
        loan = reserve(queue)
        fill(loan.tree, 7)
        with pytest.warns(ResourceWarning, match=r"WriteLoan .* commit\(\)") as seen:
            del loan
            gc.collect()
        assert len(seen) == 1
        assert seen[0].filename == __file__
    assert queue.empty()
    assert_capacity(queue)


def test_a_dropped_reserve_aborts_also_where_warnings_are_errors(queue):
    raised = []
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("error")
        patch.setattr(sys, "unraisablehook", lambda found: raised.append(found.exc_type))
        loan = queue.reserve()
        del loan
        gc.collect()
    assert raised == [ResourceWarning]
    assert_capacity(queue)


@pytest.mark.parametrize("end", ["commit", "abort", "a block", "an exception", "a misfit"])
def test_a_reserve_that_has_ended_dies_without_a_word(queue, recwarn, end):
    loan = queue.reserve()
    with suppress(ZeroDivisionError, ValueError):
        if end in ("commit", "abort"):
            getattr(loan, end)()
        elif end == "a misfit":
            loan.tree["number"] = "what is no number"
            loan.commit()
        else:
            with loan:
                if end == "an exception":
                    raise ZeroDivisionError
    del loan
    gc.collect()
    assert not recwarn.list
    get_numbers(queue)
    assert_capacity(queue)


def test_a_reserve_that_a_forked_child_inherits_dies_there_without_a_word(queue):
    loan = queue.reserve()

    def drop():
        nonlocal loan
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sys.unraisablehook = lambda found: os._exit(3)
            del loan
            gc.collect()

    reap(in_forked_child(drop))
    loan.abort()
    assert_capacity(queue)


def test_a_borrow_that_is_dropped_gives_the_item_back_and_says_so(queue):
    queue.put(make_item(7))
    queue.put(make_item(8))
    for _ in range(2 * MAXSIZE):
        loan = queue.borrow()
        with pytest.warns(ResourceWarning):
            del loan
            gc.collect()
    assert get_numbers(queue) == [7, 8]
    assert_capacity(queue)


def test_a_loan_in_a_reference_cycle_ends_when_it_is_collected(queue):
    queue.put(make_item(7))
    with pytest.warns(ResourceWarning):
        cycle = [queue.borrow(), queue.reserve()]
        cycle.append(cycle)
        del cycle
        gc.collect()
    assert get_numbers(queue) == [7]
    assert_capacity(queue)


def test_many_loans_may_be_held_at_once_and_end_in_any_order(queue):
    first, second, third = (queue.reserve() for _ in range(3))
    with pytest.raises(Full):
        queue.reserve(block=False)
    for number, loan in enumerate((first, second, third)):
        fill(loan.tree, number)
    third.commit()
    first.commit()
    second.commit()
    # In the order of their reserves, as their places in the ring are.
    assert get_numbers(queue) == [0, 1, 2]

    for number in range(3):
        queue.put(make_item(number))
    loans = [queue.borrow() for _ in range(3)]
    assert [number_in(loan.tree) for loan in loans] == [0, 1, 2]
    loans[2].give_back()
    loans[0].release()
    loans[1].give_back()
    assert get_numbers(queue) == [1, 2]
    assert_capacity(queue)


def test_a_slot_that_is_held_for_long_costs_itself_alone(queue):
    queue.put(make_item(7))
    reading, writing = queue.borrow(), queue.reserve()
    for number in range(100):
        queue.put_nowait(make_item(number))
        assert number_in(queue.get_nowait()) == number
    assert number_in(reading.tree) == 7
    fill(writing.tree, 9)
    queue.put_nowait(make_item(10))
    writing.commit()
    reading.give_back()
    # What the ring has passed meanwhile comes first, the oldest of it before the others.
    assert get_numbers(queue) == [7, 9, 10]
    assert_capacity(queue)


# The user's exception.


def close(queue, loan):
    queue.close()


def shut_down(queue, loan):
    queue.shutdown(immediate=True)


@pytest.mark.parametrize("take", ["reserve", "borrow"])
@pytest.mark.parametrize("spoil", [close, shut_down])
def test_the_users_exception_comes_out_whatever_became_of_the_queue(queue, take, spoil):
    with pytest.raises(ZeroDivisionError, match="mine"), take_one(queue, take) as loan:
        spoil(queue, loan)
        raise ZeroDivisionError("mine")


def damage_within_a_block(take, raises):
    """What comes out of a block in which the whole segment was overwritten."""
    before = open_descriptors(settled=True)
    queue = TreeQueue(make_item(0), maxsize=2)
    paths = [f"/proc/self/fd/{number}" for number in open_descriptors() - before]
    # One descriptor of the memory is as good as another.
    memory = next(path for path in paths if os.readlink(path).startswith("/memfd:"))
    segment = os.open(memory, os.O_RDWR)
    try:
        with take_one(queue, take):
            os.pwrite(segment, b"\xff" * os.fstat(segment).st_size, 0)
            if raises:
                raise ZeroDivisionError("mine")
    except Exception as error:
        return type(error).__name__, str(error)
    return "nothing"


@pytest.mark.parametrize("take", ["reserve", "borrow"])
def test_the_users_exception_comes_out_though_the_slot_cannot_be_given_back(nursery, take):
    outcome = nursery.call("fork", damage_within_a_block, take, True)
    assert outcome == ("ZeroDivisionError", "mine")


@pytest.mark.parametrize("take", ["reserve", "borrow"])
def test_a_clean_end_that_meets_damage_says_so(nursery, take):
    name, _ = nursery.call("fork", damage_within_a_block, take, False)
    assert name == "CorruptedError"


@pytest.mark.parametrize("end", ["commit", "abort", "release", "give_back", "block"])
@pytest.mark.parametrize("is_batch", [False, True])
def test_name_for_a_loan_that_has_ended_keeps_nothing_of_its_queue(queue_folder, end, is_batch):
    descriptors, mappings = open_descriptors(settled=True), shared_mappings()
    queue = TreeQueue(make_item(0), maxsize=MAXSIZE, name="again")
    queue.put_many([make_item(1), make_item(2)])
    is_reserve = end in ("commit", "abort")
    if is_batch:
        loan = queue.reserve_batch(1) if is_reserve else queue.borrow_batch(2)
    else:
        loan = queue.reserve() if is_reserve else queue.borrow()
    assert loan.tree is not None
    if end == "block":
        with loan:
            pass
    else:
        getattr(loan, end)()
    queue.close()
    assert os.listdir(queue_folder) == []
    assert open_descriptors() == descriptors
    assert shared_mappings() == mappings
    # Another queue of its name may have other items.
    TreeQueue(0, maxsize=1, name="again").close()
    with pytest.raises(ValueError, match="ended"):
        loan.tree  # noqa: B018
