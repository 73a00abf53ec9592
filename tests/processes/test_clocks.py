"""Clocks that are set back, and clocks that are others' than those of the rest of the machine.

The time of day is for people: it says when an item was put, and nothing depends on it. What is
measured by the other clock, which is never set, is one process's own; all that they share of it is
when somebody last looked for the dead, and until when somebody spins.
"""

import os
import signal
import time
from queue import Empty, Full

import pytest
from clocks import TimeOfDay
from helpers import WATCHDOG_S, Worker, in_forked_child, reap
from namespaces import TIMES, in_namespaces

from treequeues import TreeQueue

DAY_S = 86_400

# Far longer than it takes to find the dead, far shorter than the shifts.
FOUND_S = 20


@pytest.fixture
def queue():
    with TreeQueue(0, maxsize=2) as queue:
        queue.put(0)
        queue.get()
        yield queue


def assert_in_time(call, error, timeout):
    start = time.monotonic()
    with pytest.raises(error):
        call(timeout=timeout)
    assert timeout <= time.monotonic() - start < WATCHDOG_S


@pytest.mark.parametrize("shift_s", [-DAY_S, -1_000_000_000, DAY_S, 2_000_000_000])
def test_nothing_but_the_put_time_depends_on_the_time_of_day(queue, shift_s):
    def work():
        time_of_day = TimeOfDay()
        queue.put(1)
        before = time.time()
        time_of_day.shift(shift_s)
        # What was put last says that it was put first, or much later; it comes second either way.
        queue.put(2)
        assert_in_time(lambda timeout: queue.put(3, timeout=timeout), Full, 0.2)
        (one, first), (two, second) = queue.get(info=True), queue.get(info=True)
        assert (one, two) == (1, 2)
        assert first.ticket < second.ticket
        assert abs(second.put_time - first.put_time - shift_s) < WATCHDOG_S
        assert abs(first.put_time - before) < WATCHDOG_S
        assert_in_time(queue.get, Empty, 0.2)
        # The dead are found, and those who wait are woken.
        queue.put(4)
        waiter = Worker(lambda: [queue.get(timeout=FOUND_S) for _ in range(2)])
        time_of_day.shift(0)
        queue.put(5)
        assert waiter.join() == [4, 5]
        # A hold that began before the clock was set is as long as it is.
        with queue.reserve() as loan:
            time_of_day.shift(shift_s)
            (me,) = [each for each in queue.stats().by_participant if each.pid == os.getpid()]
            assert 0 <= me.longest_hold_seconds < WATCHDOG_S
            loan.tree[...] = 6
        assert queue.get() == 6

    reap(in_forked_child(work))
    queue.put(1)
    assert queue.get() == 1


SHIFTS_S = {"ahead": lambda: 1000 * DAY_S, "behind": lambda: -int(time.monotonic() / 2)}


@pytest.fixture(params=SHIFTS_S)
def shift_s(request):
    return SHIFTS_S[request.param]()


@pytest.fixture
def elsewhere(shift_s):
    """Does a function in a process of another time namespace, whose clock is another one."""

    def run(function):
        start = time.monotonic()

        def check_and_work():
            assert abs(time.monotonic() - start - shift_s) < WATCHDOG_S
            function()

        def work():
            with open("/proc/self/timens_offsets", "w") as offsets:
                offsets.write(f"monotonic {shift_s} 0")
            reap(in_forked_child(check_and_work))

        return in_namespaces(TIMES, work)

    return run


def hold_and_die(queue):
    loans = queue.borrow(), queue.reserve()
    os.kill(os.getpid(), signal.SIGKILL)
    del loans


def let_one_die(queue, item):
    queue.put(item)
    os.waitpid(in_forked_child(lambda: hold_and_die(queue)), 0)


def look_for_the_dead(queue):
    """Find nothing, and so look for the dead, again and again."""
    for _ in range(20):
        with pytest.raises(Empty):
            queue.get_nowait()
        time.sleep(0.001)


def test_a_look_for_the_dead_that_says_it_is_of_the_future_delays_none(queue, elsewhere):
    for number in range(3):
        # The time that this leaves behind is of a clock that is another one's.
        reap(elsewhere(lambda: look_for_the_dead(queue)))
        let_one_die(queue, number)
        assert queue.get(timeout=FOUND_S) == number
        # One who does not wait finds the dead too, if not at once.
        reap(elsewhere(lambda: look_for_the_dead(queue)))
        let_one_die(queue, number)
        deadline = time.monotonic() + FOUND_S
        while (came := try_to_get(queue)) is None:
            assert time.monotonic() < deadline, "the dead are not found"
        assert came == number


def try_to_get(queue):
    try:
        return queue.get_nowait()
    except Empty:
        return None


def test_who_has_another_clock_finds_the_dead_and_keeps_its_timeouts(queue, elsewhere):
    def work():
        for number in range(3):
            reap(in_forked_child(lambda: look_for_the_dead(queue)))
            let_one_die(queue, number)
            assert queue.get(timeout=FOUND_S) == number
            assert_in_time(queue.get, Empty, 0.15)
        let_one_die(queue, 1)
        queue.put(2, timeout=FOUND_S)
        assert_in_time(lambda timeout: queue.put(3, timeout=timeout), Full, 0.15)
        assert sorted(queue.get(timeout=FOUND_S) for _ in range(2)) == [1, 2]

    # The last look before this is one of the test's own clock.
    look_for_the_dead(queue)
    reap(elsewhere(work))


def test_processes_with_different_clocks_wake_each_other(queue, elsewhere):
    with TreeQueue(0, maxsize=1) as answers:

        def answer():
            for _ in range(50):
                answers.put(-queue.get(timeout=FOUND_S), timeout=FOUND_S)

        child = elsewhere(answer)
        for number in range(50):
            queue.put(number, timeout=FOUND_S)
            assert answers.get(timeout=FOUND_S) == -number
        reap(child)


def test_a_hold_of_another_clock_is_told_without_nonsense(queue, elsewhere):
    ready, tell = os.pipe()
    end, go = os.pipe()

    def hold():
        with queue.reserve() as loan:
            os.write(tell, b".")
            os.read(end, 1)
            loan.tree[...] = 3

    child = elsewhere(hold)
    os.read(ready, 1)
    stats = queue.stats()
    assert stats.writing == 1
    (held,) = [each for each in stats.by_participant if each.writing]
    assert held.longest_hold_seconds is None or held.longest_hold_seconds >= 0
    os.write(go, b".")
    reap(child)
    assert queue.get(timeout=FOUND_S) == 3
