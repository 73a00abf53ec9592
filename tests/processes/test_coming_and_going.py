"""Processes that come and go: that live on after `close`, that attach and leave a thousand times,
and that are more than there are places.
"""

import gc
import os
import pickle
import signal
from queue import Empty, Full

import numpy as np
import pytest
from helpers import (
    WATCHDOG_S,
    drain,
    in_forked_child,
    open_descriptors,
    reap,
    shared_mappings,
)

from treequeues import TreeQueue

CAPACITY = 3
CYCLES = 1000

# A page, the smallest that a leak of anything could be seen as, for every tenth cycle.
LEAK_NBYTES = CYCLES // 10 * 4096


def item(number):
    return {"frame": np.full(64, number), "number": number}


def number_in(tree):
    assert (tree["frame"] == int(tree["number"])).all(), "a torn or mixed item"
    return int(tree["number"])


@pytest.fixture(params=["anonymous", "named"])
def queue(request, queue_folder):
    named = {"name": "a"} if request.param == "named" else {}
    with TreeQueue(item(0), maxsize=CAPACITY, participants=2, **named) as queue:
        queue.put(item(0))
        queue.get()
        yield queue


def assert_capacity(queue):
    queue.put_many([item(number) for number in range(CAPACITY)], block=False)
    with pytest.raises(Full):
        queue.put_nowait(item(9))
    assert [number_in(tree) for tree in queue.get_many(CAPACITY)] == list(range(CAPACITY))


# Living on after close.


class Child:
    """A forked child that does one thing, says so, and lives on until it is told to go on."""

    def __init__(self, first, then=lambda held: None):
        ready, tell = os.pipe()
        end, self._go = os.pipe()

        def work():
            held = first()
            os.write(tell, b".")
            os.read(end, 1)
            then(held)
            os.write(tell, b".")
            os.read(end, 1)

        self.pid = in_forked_child(work)
        self._ready = ready
        for descriptor in (tell, end):
            os.close(descriptor)
        self._wait()

    def go_on(self):
        os.write(self._go, b".")
        self._wait()

    def end(self, by_kill):
        if by_kill:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        else:
            os.write(self._go, b".")
            reap(self.pid)
        os.close(self._go)
        os.close(self._ready)

    def _wait(self):
        assert os.read(self._ready, 1) == b".", "the child failed"


@pytest.mark.parametrize("by_kill", [False, True], ids=["ends", "is killed"])
def test_a_process_that_lives_on_after_close_holds_nothing(queue, by_kill):
    def use_and_close():
        queue.put(item(1))
        # Nothing of these is held when the queue is closed.
        with queue.borrow() as loan:
            number_in(loan.tree)
        queue.reserve().abort()
        queue.close()

    def use_again(_):
        with pytest.raises(ValueError, match="is closed"):
            queue.put(item(1))
        with pytest.raises(ValueError, match="is closed"):
            queue.get()

    child = Child(use_and_close, use_again)
    assert queue.stats().participants == 1
    assert_capacity(queue)
    # Its place is free for somebody else, while it lives.
    reap(in_forked_child(lambda: queue.put(item(5))))
    assert number_in(queue.get()) == 5
    child.go_on()
    assert_capacity(queue)
    queue.put(item(6))
    child.end(by_kill)
    # Its end takes nothing and brings nothing.
    assert [number_in(tree) for tree in drain(queue, 0.2)] == [6]
    assert_capacity(queue)


@pytest.mark.parametrize("by_kill", [False, True], ids=["ends", "is killed"])
@pytest.mark.parametrize("views_die", [False, True], ids=["with views", "after its views"])
def test_views_that_live_on_after_close_keep_a_slot_and_never_change(queue, by_kill, views_die):
    queue.put(item(1))

    def keep_a_view():
        with queue.borrow() as loan:
            view = loan.tree["frame"][3:]
        queue.close()
        return [view]

    def look(held):
        assert (held[0] == 1).all(), "what was under the view has changed"
        if views_die:
            held.clear()
            gc.collect()

    child = Child(keep_a_view, look)
    # It is a participant for as long as the view lives, and has one slot.
    assert queue.stats().participants == 2
    assert queue.stats().lingering == 1
    for number in range(4 * CAPACITY):
        queue.put_many([item(number), item(number)], timeout=WATCHDOG_S)
        with pytest.raises(Full):
            queue.put_nowait(item(9))
        assert [number_in(tree) for tree in queue.get_many(2)] == [number, number]
    child.go_on()
    if views_die:
        assert queue.stats().participants == 1
        assert_capacity(queue)
    child.end(by_kill)
    # It was released, so it does not come again.
    assert drain(queue, 0.2) == []
    assert_capacity(queue)
    assert queue.stats().participants == 1


def test_an_item_that_is_still_borrowed_at_close_comes_again_when_its_process_dies(queue):
    queue.put(item(1))

    def borrow_and_close():
        loan = queue.borrow()
        queue.close()
        return loan

    child = Child(borrow_and_close)
    with pytest.raises(Empty):
        queue.get(timeout=0.2)
    child.end(by_kill=True)
    assert number_in(queue.get(timeout=WATCHDOG_S)) == 1
    assert_capacity(queue)


# A thousand times.


def anonymous_nbytes():
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024


def come_and_go(queue, attach):
    """What grew over so many attachments, each of which moves an item, or does nothing at all."""

    def cycle(number):
        other = attach()
        if number % 2:
            other.put(item(number))
            assert number_in(other.get()) == number
        # Some close, some just let go.
        if number % 3:
            other.close()

    def look():
        gc.collect()
        # Whoever was no participant of this queue becomes one.
        queue.stats()
        return open_descriptors(), len(shared_mappings()), queue.stats().participants

    for number in range(CYCLES // 10):
        cycle(number)
    before, memory = look(), anonymous_nbytes()
    for number in range(CYCLES):
        cycle(number)
    return before, look(), anonymous_nbytes() - memory


@pytest.mark.parametrize("kin", ["a stranger", "a participant"])
def test_a_thousand_attachments_leave_nothing_behind(nursery, queue, kin, figure):
    handle = pickle.dumps(queue)
    name = queue.name

    def attach():
        return pickle.loads(handle) if name is None else TreeQueue.attach(name)

    def work():
        if kin == "a participant":
            return come_and_go(queue, attach)
        # Each time the first and only attachment of this process.
        queue.close()
        with TreeQueue(0, maxsize=1) as other:
            return come_and_go(other, attach)

    before, after, grown = nursery.call("fork", work)
    figure(f"{CYCLES} attachments, {grown / 1024:.0f} KiB more")
    assert after == before
    assert grown < LEAK_NBYTES
    # The child itself ended without a word.
    assert drain(queue, 0.2) == []
    assert queue.stats().participants == 1
    assert_capacity(queue)


def test_a_hundred_processes_leave_nothing_behind(queue):
    before = open_descriptors(settled=True), shared_mappings(), queue.stats().participants
    for number in range(CYCLES // 10):
        # One at a time, each other one killed; there is one place for them all.
        pid = in_forked_child(
            lambda number=number: (
                queue.put(item(number)),
                queue.close() if number % 2 else signal.raise_signal(signal.SIGKILL),
            )
        )
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == (0 if number % 2 else -signal.SIGKILL)
        assert number_in(queue.get(timeout=WATCHDOG_S)) == number
    with pytest.raises(Empty):
        queue.get(timeout=0.2)
    assert (open_descriptors(), shared_mappings(), queue.stats().participants) == before
    assert_capacity(queue)


# More than there are places.


def test_who_found_no_place_is_told_why_and_gets_one_when_somebody_dies(queue):
    holder = Child(lambda: queue.qsize())
    assert queue.stats().participants == 2

    def be_refused():
        attach = (lambda: TreeQueue.attach("a")) if queue.name else (lambda: queue)
        for _ in range(3):
            with pytest.raises(OSError, match=r"all places .* are taken \(2\).*`participants=`"):
                attach().put(item(7))

    def be_let_in(_):
        # Nobody has looked for the dead: the newcomer does, by itself.
        queue.put(item(7))

    refused = Child(be_refused, be_let_in)
    # The others go on, and so does who has a place.
    assert_capacity(queue)
    holder.end(by_kill=True)
    refused.go_on()
    assert number_in(queue.get_nowait()) == 7
    refused.end(by_kill=False)
    assert drain(queue, 0.2) == []
    assert queue.stats().participants == 1
    assert_capacity(queue)


def test_the_places_of_many_dead_come_back_at_once(queue_folder):
    def be_refused():
        with pytest.raises(OSError, match=r"all places .* are taken \(20\)"):
            TreeQueue.attach("many")

    with TreeQueue(item(0), maxsize=CAPACITY, participants=20, name="many") as queue:
        for _ in range(3):
            children = [Child(lambda: TreeQueue.attach("many")) for _ in range(19)]
            reap(in_forked_child(be_refused))
            for child in children:
                child.end(by_kill=True)
        # Not even this process has looked for them.
        reap(in_forked_child(lambda: TreeQueue.attach("many").put(item(3))))
        assert number_in(queue.get()) == 3
        assert_capacity(queue)
