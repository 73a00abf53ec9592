"""No view of a topic's item without a hold, and none that could change what others read.

The ways out are in escapes.py. What holds for each way:

E1. A view of a borrow shows the item as it was put for as long as the view lives.
E2. A view of a borrow cannot be written through, and its memory cannot either: whoever gets around
    NumPy, as DLPack lets some libraries do, is killed, and nobody else's data have changed.
E3. What is written through a view of a reserve after its end reaches no reader.
E4. When the last view dies, the slot is free. Nothing but capacity was lost meanwhile.
"""

import contextlib
import ctypes
import gc
import os
import signal
import threading
import warnings
from queue import Empty, Full

import numpy as np
import pytest
from escapes import every_escape, fill, make_item, numbers_in
from helpers import WATCHDOG_S, in_forked_child, reap

from treequeues import HeldViewWarning, SchemaError, ShutDown, TreeTopic

MAXSIZE = 4
# Every slot is used again by then, several times.
LAPS = 10 * MAXSIZE


@pytest.fixture(autouse=True)
def collector():
    """A way out may switch the collector off, and may fail before it switches it on again."""
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
def topic():
    with TreeTopic(make_item(0), MAXSIZE) as topic:
        yield topic


def keep_of_a_borrow(topic, escape):
    """What escapes from a borrow of the newest item."""
    with topic.borrow_latest(timeout=WATCHDOG_S) as loan:
        try:
            return escape.keep(loan.tree)
        except BufferError as refusal:
            # An older NumPy cannot export read-only arrays by DLPack: that way out is none then.
            pytest.skip(str(refusal))


def publish(topic, numbers, meanwhile=lambda: None):
    """Put items; each must be the newest one then, and whole."""
    for number in numbers:
        topic.put(make_item(number), timeout=WATCHDOG_S)
        meanwhile()
        assert numbers_in(topic.latest()) == {number}
        with topic.borrow_latest() as loan:
            assert numbers_in(loan.tree) == {number}


def assert_nothing_is_held(topic):
    stats = topic.stats()
    assert (stats.reading, stats.writing, stats.lingering) == (0, 0, 0)
    publish(topic, range(LAPS))


@every_escape
def test_a_view_that_escapes_a_borrow_shows_the_item_as_it_was_put(topic, escape):
    for _ in range(2):
        topic.put(make_item(7))
        kept = keep_of_a_borrow(topic, escape)

        def look(kept=kept):
            assert escape.numbers(kept) == {7}

        look()
        publish(topic, range(100, 100 + LAPS), look)
        assert topic.stats().reading == 1
        escape.drop(kept)
        del kept, look
        gc.collect()
        assert_nothing_is_held(topic)


@every_escape
def test_a_view_of_a_borrow_cannot_be_written_through(topic, escape):
    if escape.is_address:
        pytest.skip("an address knows no read-only")
    topic.put(make_item(7))
    kept = keep_of_a_borrow(topic, escape)
    view = escape.look(kept)
    assert not view.flags.writeable
    with pytest.raises(ValueError):
        view.flags.writeable = True
    with pytest.raises(ValueError):
        view[...] = 1
    assert escape.numbers(kept) == {7}


def by_memset(leaf):
    ctypes.memset(leaf.ctypes.data, 1, leaf.nbytes)


def by_torch(leaf):
    # Its tensors know no read-only memory.
    import torch

    torch.from_dlpack(leaf).fill_(1)


@pytest.mark.parametrize("write_into", [by_memset, by_torch])
@pytest.mark.parametrize("wants", ["latest", "next"])
def test_a_write_past_numpy_kills_its_process_alone_and_changes_nothing(topic, wants, write_into):
    if write_into is by_torch:
        pytest.importorskip("torch")
    subscription = topic.subscribe("new")
    topic.put(make_item(7))

    def write():
        loan = topic.borrow_latest() if wants == "latest" else subscription.borrow()
        with loan:
            leaf = loan.tree["frame"]
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)
            write_into(leaf)

    _, status = os.waitpid(in_forked_child(write), 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGSEGV
    assert numbers_in(topic.latest()) == {7}
    assert numbers_in(subscription.get()) == {7}
    topic.put(make_item(8))
    with pytest.raises(Empty):
        topic.subscribe("new").get(block=False)  # It looks for the dead.
    assert_nothing_is_held(topic)


def test_a_borrowed_tree_is_refused_as_a_destination_and_may_be_put(topic):
    topic.put(make_item(7))
    with topic.borrow_latest() as loan:
        with pytest.raises(SchemaError):
            topic.latest(out=loan.tree)
        topic.put(loan.tree)
        with topic.reserve() as other:
            other.write(loan.tree)
    assert (topic.version, numbers_in(topic.latest())) == (3, {7})


@every_escape
def test_what_is_written_through_a_view_after_a_reserve_reaches_no_reader(topic, escape):
    with pytest.warns(HeldViewWarning, match=escape.leaf), topic.reserve() as loan:
        kept = escape.keep(loan.tree)
        fill(loan.tree, 7)
    escape.scribble(kept, 99)
    with topic.borrow_latest(timeout=WATCHDOG_S) as loan:
        assert numbers_in(loan.tree) == {7}
        escape.scribble(kept, 98)
        assert numbers_in(loan.tree) == {7}
    publish(topic, range(100, 100 + LAPS), lambda kept=kept: escape.scribble(kept, 97))
    wrote = escape.scribble(kept, 96)
    assert topic.stats().lingering == 1
    if wrote:
        assert escape.numbers(kept) == {96}
    escape.drop(kept)
    del kept
    gc.collect()
    assert_nothing_is_held(topic)


@every_escape
def test_where_no_other_slot_exists_the_item_is_not_put_and_the_topic_goes_on(escape):
    with TreeTopic(make_item(0), 2) as topic:
        topic.put(make_item(1))
        loan = topic.reserve()
        fill(loan.tree, 7)
        kept = escape.keep(loan.tree)
        with pytest.raises(BufferError, match=escape.leaf):
            loan.commit()
        assert (topic.version, numbers_in(topic.latest())) == (1, {1})
        with pytest.raises(Full, match="keeps one by views of a loan that has ended"):
            topic.put_nowait(make_item(2))
        escape.scribble(kept, 99)
        escape.drop(kept)
        del kept
        gc.collect()
        assert_nothing_is_held(topic)


@pytest.mark.filterwarnings("ignore::treequeues.HeldViewWarning")
def test_views_of_writes_that_keep_all_slots_end_the_next_commit_with_an_error(topic):
    views = []
    for number in range(2):
        with topic.reserve() as loan:
            views.append(loan.tree["frame"])
            fill(loan.tree, number)
    # The newest item and two that views keep: what is written now has no other slot.
    loan = topic.reserve()
    views.append(loan.tree["frame"])
    with pytest.raises(BufferError, match="no other slot to copy the item into"):
        loan.commit()
    assert numbers_in(topic.latest()) == {1}
    views.pop()
    with topic.reserve() as loan:
        fill(loan.tree, 5)
    assert numbers_in(topic.latest()) == {5}
    views.clear()
    assert_nothing_is_held(topic)


@pytest.mark.filterwarnings("ignore::treequeues.HeldViewWarning")
def test_a_view_of_a_write_does_not_keep_the_end_from_coming(topic):
    subscription = topic.subscribe("new")
    with topic.reserve() as loan:
        view = loan.tree["frame"]
        fill(loan.tree, 7)
    topic.shutdown()
    assert numbers_in(subscription.get()) == {7}
    with pytest.raises(ShutDown):
        subscription.get(timeout=WATCHDOG_S)
    view[...] = 99
    assert numbers_in(topic.latest()) == {7}


def test_views_outlive_their_topic():
    topic = TreeTopic(make_item(0), MAXSIZE)
    topic.put(make_item(7))
    with topic.borrow_latest() as loan:
        view = loan.tree["frame"]
    subscription = topic.subscribe("oldest")
    topic.close()
    del topic, subscription, loan
    gc.collect()
    assert (view == 7).all()
    with pytest.raises(ValueError):
        view[...] = 1


def test_a_wait_of_a_process_that_keeps_slots_by_views_says_so():
    with TreeTopic(np.zeros(4), 2) as topic:
        topic.put(np.zeros(4))
        with topic.borrow_latest() as loan:
            view = loan.tree
        topic.put(np.ones(4))
        with (
            pytest.warns(HeldViewWarning, match="keeps 1 of the topic's 2 slots"),
            pytest.raises(Full),
        ):
            topic.put(np.ones(4), timeout=1)
        del view
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            topic.put(np.ones(4))
        with pytest.raises(Empty):
            topic.subscribe("new").get(block=False)


def test_views_of_one_item_keep_one_slot_however_many_there_are():
    with TreeTopic(np.zeros(4), MAXSIZE) as topic:
        topic.put(np.zeros(4))
        views = []
        for _ in range(2 * MAXSIZE):
            with topic.borrow_latest() as loan:
                views.append(loan.tree)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(Empty):
                topic.subscribe("new").get(timeout=1)
        assert (topic.stats().reading, len(views)) == (1, 2 * MAXSIZE)


def test_a_write_into_a_loan_that_another_thread_ends_meanwhile_harms_nobody():
    nbytes = 32 << 20
    with TreeTopic({"w": np.zeros(nbytes, np.uint8)}, 3) as topic:
        topic.put({"w": np.full(nbytes, 7, np.uint8)})

        def write():
            for _ in range(5):
                loan = topic.reserve()
                view = loan.tree["w"]
                # The copy of what lies in the slot itself takes a while, without the interpreter.
                ending = threading.Timer(0.002, loan.abort)
                ending.start()
                with contextlib.suppress(ValueError):
                    loan.write({"w": view[::-1]})
                ending.join()

        # Not here: a write to memory that may only be read would end this process.
        reap(in_forked_child(write))
        assert (topic.latest()["w"] == 7).all()
