"""What becomes of a loan whose process dies, ends or stops: in the block, after it, with views.

D1. An item that was borrowed and not released when its taker died comes again: once, before all
    others when somebody has looked for the dead, and with a delivery more on its count. One that
    was released never comes again, though views of it lived until the end.
D2. An item that was reserved and not committed when its producer died comes never.
D3. All capacity comes back. While the process lives, and be it stopped, it is short by what it
    holds, and by nothing else.
"""

import multiprocessing
import os
import signal
import sys
import time
import warnings
from queue import Empty, Full

import numpy as np
import pytest
from helpers import WATCHDOG_S, drain, wait_until_asleep
from loan_cases import assert_capacity, fill, get_numbers, make_item, number_in

from treequeues import HeldViewWarning, TreeQueue

MAXSIZE = 4

# The number of items that are put to fill the queue up.
FILLER = 200

# Longer than it takes to find the dead, so that what they held is back.
SWEEP_S = 0.5


@pytest.fixture
def queue():
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        yield queue


def put(queue, numbers):
    for number in numbers:
        queue.put(make_item(number), timeout=WATCHDOG_S)


def stay(ready, kept=None):
    """Say that it is time, and keep what is kept until killed."""
    ready.send("ready")
    time.sleep(2 * WATCHDOG_S)
    raise AssertionError(f"nobody killed this process, which kept {kept}")


class Victims:
    """Processes that say when they hold what they are to die with."""

    def __init__(self, nursery, method):
        self.nursery, self.method = nursery, method

    def start(self, function, queue):
        here, there = multiprocessing.get_context(self.method).Pipe(duplex=False)
        process = self.nursery.start(self.method, function, queue, there)
        there.close()
        assert here.poll(WATCHDOG_S), "the victim never held anything"
        try:
            assert here.recv() == "ready"
        except EOFError:
            pytest.fail("the victim died too early")
        here.close()
        return process

    def kill_in(self, function, queue):
        self.nursery.kill(self.start(function, queue))


@pytest.fixture
def victims(nursery, start_method):
    return Victims(nursery, start_method)


@pytest.fixture
def forked_victims(nursery):
    return Victims(nursery, "fork")


def find_the_dead(queue):
    """Who finds the queue full looks for the dead, and gives back what they held."""
    while True:
        try:
            queue.put(make_item(FILLER), timeout=SWEEP_S)
        except Full:
            return


def get_again(queue):
    """The numbers and delivery counts of all items that are left, oldest first."""
    find_the_dead(queue)
    seen = []
    for _ in range(queue.maxsize):
        try:
            item, info = queue.get(timeout=SWEEP_S, info=True)
        except Empty:
            break
        seen.append((number_in(item), info.delivery_count))
    assert drain(queue, 0) == []
    return [one for one in seen if one != (FILLER, 1)]


def assert_capacity_comes_back(queue):
    # The first put that finds the queue full looks for the dead.
    for number in range(queue.maxsize):
        queue.put(make_item(number), timeout=WATCHDOG_S)
    assert get_numbers(queue) == list(range(queue.maxsize))
    assert_capacity(queue)


# Killed in the block.


def borrow_and_stay(queue, ready):
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        assert loan.info.delivery_count == 1
        stay(ready)


def test_an_item_whose_borrower_is_killed_in_the_block_comes_again_once_and_first(queue, victims):
    put(queue, range(3))
    victims.kill_in(borrow_and_stay, queue)
    assert get_again(queue) == [(0, 2), (1, 1), (2, 1)]
    assert_capacity_comes_back(queue)


def borrow_views_and_stay(queue, ready):
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        tree = loan.tree
        stay(ready, tree)


def borrow_without_a_block_and_stay(queue, ready):
    loan = queue.borrow(timeout=WATCHDOG_S)
    stay(ready, loan)


def give_back_with_views_and_stay(queue, ready):
    loan = queue.borrow(timeout=WATCHDOG_S)
    tree = loan.tree
    loan.give_back()
    stay(ready, tree)


def borrow_again_and_stay(queue, ready):
    queue.borrow(timeout=WATCHDOG_S).give_back()
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        assert loan.info.delivery_count == 2
        stay(ready)


@pytest.mark.parametrize(
    ("take", "count"),
    [
        (borrow_views_and_stay, 2),
        (borrow_without_a_block_and_stay, 2),
        (give_back_with_views_and_stay, 2),
        (borrow_again_and_stay, 3),
    ],
)
def test_an_item_that_was_not_released_comes_again_however_it_was_held(
    queue, forked_victims, take, count
):
    put(queue, range(3))
    forked_victims.kill_in(take, queue)
    assert get_again(queue) == [(0, count), (1, 1), (2, 1)]
    assert_capacity_comes_back(queue)


def test_an_item_comes_again_to_who_waits_for_it(queue, forked_victims, nursery):
    put(queue, [7])
    victim = forked_victims.start(borrow_and_stay, queue)
    asked = nursery.ask("fork", get_with_count, queue)
    wait_until_asleep(asked[0].pid)
    nursery.kill(victim)
    assert nursery.answer(asked) == (7, 2)


def get_with_count(queue):
    item, info = queue.get(timeout=WATCHDOG_S, info=True)
    return number_in(item), info.delivery_count


def test_an_item_that_kills_every_taker_tells_by_its_count(queue, forked_victims):
    put(queue, [7])
    for count in range(1, 6):
        with queue.borrow(timeout=WATCHDOG_S) as loan:
            assert loan.info.delivery_count == 2 * count - 1
            loan.give_back()
        forked_victims.kill_in(borrow_without_a_block_and_stay, queue)
    assert get_again(queue) == [(7, 11)]
    assert_capacity_comes_back(queue)


def reserve_and_stay(queue, ready):
    with queue.reserve(timeout=WATCHDOG_S) as loan:
        fill(loan.tree, 9)
        stay(ready)


def reserve_views_and_stay(queue, ready):
    loan = queue.reserve(timeout=WATCHDOG_S)
    tree = loan.tree
    fill(tree, 9)
    stay(ready, (loan, tree))


@pytest.mark.parametrize("take", [reserve_and_stay, reserve_views_and_stay])
def test_an_item_whose_producer_is_killed_in_the_block_never_comes(queue, victims, take):
    put(queue, [0])
    victims.kill_in(take, queue)
    put(queue, [1])
    assert get_again(queue) == [(0, 1), (1, 1)]
    assert_capacity_comes_back(queue)


def test_a_put_that_waits_for_the_slot_of_the_dead_goes_on(forked_victims, nursery):
    with TreeQueue(make_item(0), maxsize=1) as queue:
        victim = forked_victims.start(reserve_and_stay, queue)
        putting = nursery.start("fork", put, queue, [5])
        wait_until_asleep(putting.pid)
        nursery.kill(victim)
        nursery.finish(putting)
        assert get_again(queue) == [(5, 1)]


# Batches.


def borrow_batch_and_stay(queue, ready):
    with queue.borrow_batch(3, min=1, timeout=WATCHDOG_S) as first:
        left = 3 - len(first)
        if left == 0:
            stay(ready)
        with queue.borrow_batch(left, timeout=WATCHDOG_S):
            stay(ready)


@pytest.mark.parametrize("turned", range(MAXSIZE))
def test_the_items_of_a_batch_whose_borrower_is_killed_all_come_again_in_order(
    queue, forked_victims, turned
):
    for _ in range(turned):
        put(queue, [0])
        queue.get()
    put(queue, range(4))
    forked_victims.kill_in(borrow_batch_and_stay, queue)
    assert get_again(queue) == [(0, 2), (1, 2), (2, 2), (3, 1)]
    assert_capacity_comes_back(queue)


def reserve_batch_and_stay(queue, ready):
    with queue.reserve_batch(3, timeout=WATCHDOG_S) as loan:
        loan.tree["step"][...] = 9
        stay(ready)


def test_the_slots_of_a_batch_whose_producer_is_killed_all_come_back(queue, forked_victims):
    forked_victims.kill_in(reserve_batch_and_stay, queue)
    assert get_again(queue) == []
    assert_capacity_comes_back(queue)


def release_batch_with_views_and_stay(queue, ready):
    with queue.borrow_batch(2, timeout=WATCHDOG_S) as loan:
        tree = loan.tree
    stay(ready, tree)


# After the block, with views that still live.


def release_with_views_and_stay(queue, ready):
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        tree = loan.tree
    stay(ready, tree)


def release_explicitly_with_a_view_and_stay(queue, ready):
    loan = queue.borrow(timeout=WATCHDOG_S)
    view = loan.tree["obs"]["left"][1:]
    loan.release()
    stay(ready, view)


@pytest.mark.parametrize(
    ("release", "count"),
    [
        (release_with_views_and_stay, 1),
        (release_explicitly_with_a_view_and_stay, 1),
        (release_batch_with_views_and_stay, 2),
    ],
)
def test_a_released_item_never_comes_again_though_its_taker_is_killed_with_views_of_it(
    queue, victims, release, count
):
    put(queue, range(3))
    victim = victims.start(release, queue)
    assert queue.stats().lingering == count
    victims.nursery.kill(victim)
    assert get_again(queue) == [(number, 1) for number in range(count, 3)]
    assert_capacity_comes_back(queue)


def commit_with_views_and_stay(queue, ready):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeldViewWarning)
        with queue.reserve(timeout=WATCHDOG_S) as loan:
            tree = loan.tree
            fill(tree, 7)
    fill(tree, 99)
    stay(ready, tree)


def test_a_published_item_comes_once_though_its_producer_is_killed_with_views_of_the_slot(
    queue, victims
):
    victim = victims.start(commit_with_views_and_stay, queue)
    assert queue.stats().free == MAXSIZE - 2
    victims.nursery.kill(victim)
    assert get_again(queue) == [(7, 1)]
    assert_capacity_comes_back(queue)


def commit_past_a_view_of_a_full_queue(queue, ready):
    loan = queue.reserve(timeout=WATCHDOG_S)
    view = loan.tree["obs"]["left"]
    ready.send("ready")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeldViewWarning)
        loan.commit()
    raise AssertionError(f"nobody killed this process, which had {view}")


def test_a_commit_that_is_killed_while_it_waits_for_another_slot_has_put_nothing(
    queue, forked_victims
):
    put(queue, range(3))
    victim = forked_victims.start(commit_past_a_view_of_a_full_queue, queue)
    wait_until_asleep(victim.pid)
    forked_victims.nursery.kill(victim)
    assert get_again(queue) == [(0, 1), (1, 1), (2, 1)]
    assert_capacity_comes_back(queue)


# Ends that the process chose itself.

KEPT = []


def return_from_main(queue):
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        KEPT.append(loan.tree)


def call_sys_exit(queue):
    return_from_main(queue)
    sys.exit(0)


def call_os_exit(queue):
    return_from_main(queue)
    os._exit(0)


def fail(queue):
    return_from_main(queue)
    sys.stderr = None
    raise ZeroDivisionError


def kill_itself(queue):
    return_from_main(queue)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(WATCHDOG_S)


@pytest.mark.parametrize(
    ("end", "exitcode"),
    [
        (return_from_main, 0),
        (call_sys_exit, 0),
        (call_os_exit, 0),
        (fail, 1),
        (kill_itself, -signal.SIGTERM),
    ],
)
def test_a_process_that_ends_with_views_of_a_released_item_does_not_make_it_come_again(
    queue, nursery, start_method, end, exitcode
):
    put(queue, range(3))
    nursery.finish(nursery.start(start_method, end, queue), exitcode)
    assert get_again(queue) == [(1, 1), (2, 1)]
    assert_capacity_comes_back(queue)


def sys_exit_in_the_block(queue):
    with queue.borrow(timeout=WATCHDOG_S), queue.reserve(timeout=WATCHDOG_S):
        sys.exit(0)


def os_exit_in_the_block(queue):
    with queue.borrow(timeout=WATCHDOG_S), queue.reserve(timeout=WATCHDOG_S):
        os._exit(0)


def leave_loans_open(queue):
    KEPT.extend([queue.borrow(timeout=WATCHDOG_S), queue.reserve(timeout=WATCHDOG_S)])


@pytest.mark.parametrize("end", [sys_exit_in_the_block, os_exit_in_the_block, leave_loans_open])
def test_a_process_that_ends_in_its_block_gives_its_item_back_and_puts_nothing(
    queue, nursery, start_method, end
):
    put(queue, range(3))
    nursery.finish(nursery.start(start_method, end, queue))
    assert get_again(queue) == [(0, 2), (1, 1), (2, 1)]
    assert_capacity_comes_back(queue)


# Stopped.


@pytest.mark.parametrize("hold", [borrow_and_stay, reserve_and_stay, release_with_views_and_stay])
def test_others_go_on_beside_a_loan_of_a_stopped_process(queue, forked_victims, hold):
    put(queue, [0])
    victim = forked_victims.start(hold, queue)
    os.kill(victim.pid, signal.SIGSTOP)
    if hold is reserve_and_stay:
        assert get_numbers(queue) == [0]
    for number in range(50):
        queue.put(make_item(number), timeout=WATCHDOG_S)
        assert number_in(queue.get(timeout=WATCHDOG_S)) == number
    put(queue, range(3))
    assert queue.full() and queue.qsize() == 3
    forked_victims.nursery.kill(victim)
    expected = [(number, 1) for number in range(3)]
    assert get_again(queue) == [(0, 2)] * (hold is borrow_and_stay) + expected
    assert_capacity_comes_back(queue)


def see_the_item_for_a_while(queue, ready, stop):
    """Look at a borrowed item, and at a view of another one, until told to stop."""
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        view = loan.tree["obs"]["left"]
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        ready.send("ready")
        while not stop.value:
            assert number_in(loan.tree) == 1
            assert (view == 0).all()


def test_what_a_process_reads_does_not_change_while_others_fill_the_ring(queue, nursery):
    context = multiprocessing.get_context("fork")
    stop = context.RawValue("b")
    here, there = context.Pipe(duplex=False)
    put(queue, [0, 1])
    reader = nursery.start("fork", see_the_item_for_a_while, queue, there, stop)
    assert here.poll(WATCHDOG_S) and here.recv() == "ready"
    for number in range(2000):
        put(queue, [number % 200])
        assert number_in(queue.get(timeout=WATCHDOG_S)) == number % 200
    stop.value = 1
    nursery.finish(reader)
    assert get_numbers(queue) == []
    assert_capacity_comes_back(queue)


def scribble_for_a_while(queue, ready, stop):
    """Write through views of items that were published or aborted, until told to stop."""
    views = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeldViewWarning)
        with queue.reserve(timeout=WATCHDOG_S) as loan:
            views.append(loan.tree["obs"]["left"])
            fill(loan.tree, 7)
        views.append(queue.reserve(timeout=WATCHDOG_S).tree["obs"]["left"])
    ready.send("ready")
    while not stop.value:
        for view in views:
            view[...] = np.random.randint(0, 255)


def test_what_a_process_writes_through_views_reaches_no_other(queue, nursery):
    context = multiprocessing.get_context("fork")
    stop = context.RawValue("b")
    here, there = context.Pipe(duplex=False)
    writer = nursery.start("fork", scribble_for_a_while, queue, there, stop)
    assert here.poll(WATCHDOG_S) and here.recv() == "ready"
    assert number_in(queue.get(timeout=WATCHDOG_S)) == 7
    for number in range(2000):
        put(queue, [number % 200])
        with queue.borrow(timeout=WATCHDOG_S) as loan:
            assert number_in(loan.tree) == number % 200
    stop.value = 1
    nursery.finish(writer)
    assert get_numbers(queue) == []
    assert_capacity_comes_back(queue)
