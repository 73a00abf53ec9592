"""How much memory a consumer needs for what it keeps, and nothing for what it does not.

M1. Anonymous memory alone is counted: the queue's own is shared, and as large as it was made.
M2. The figures are of a process of its own, from a moment on at which everything has been used.
"""

import functools
import gc
import os
import warnings

import numpy as np
import pytest
from helpers import WATCHDOG_S, drain

from treequeues import HeldViewWarning, TreeQueue

FRAME_NBYTES = 1 << 20
COUNT = 10_000
BATCH = 8
MAXSIZE = 2 * BATCH

# Items or batches until every buffer has been used, and recycled.
WARM_UP = 100

# Between two looks at the memory.
LOOK_EVERY = 20

# Far below one item in a hundred, far above an allocator's moods.
SLACK_NBYTES = 8 << 20

# What a queue keeps at hand of arrays that died, for the next ones. Batches that differ in length
# each need memory of their own size, and come to that bound.
IDLE_NBYTES = 64 << 20

# A small object, its header and its place in a list, for each of the scalars that are kept.
SMALL_NBYTES = 200


def make_item(number):
    return {
        "frame": np.full(FRAME_NBYTES, number % 251, np.uint8),
        "float": float(number),
        "scalar": np.float32(number),
        "array": np.array(number),
        "action": np.full(3, number),
    }


def anonymous_nbytes():
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024


# Ways to take items: each generator ends after `count` items, and gives a chance to keep something.


def by_get(queue, count):
    for _ in range(count):
        yield queue.get(timeout=WATCHDOG_S)


def by_get_many(queue, count):
    while count:
        items = queue.get_many(min(BATCH, count), timeout=WATCHDOG_S)
        count -= len(items)
        yield from items


def by_get_batch(queue, count):
    for _ in range(0, count, BATCH):
        yield queue.get_batch(BATCH, timeout=WATCHDOG_S)


def by_get_batch_with_min(queue, count):
    while count:
        batch = queue.get_batch(min(BATCH, count), min=1, timeout=WATCHDOG_S)
        count -= len(batch["float"])
        yield batch


def by_borrow(queue, count):
    for _ in range(count):
        with queue.borrow(timeout=WATCHDOG_S) as loan:
            yield loan.tree


def by_borrow_batch(queue, count):
    while count:
        with queue.borrow_batch(min(BATCH, count), min=1, timeout=WATCHDOG_S) as loan:
            count -= len(loan)
            yield loan.tree


# What to keep of each.


def keep_nothing(tree):
    return None


def keep_scalars(item):
    """Each kind of scalar, a small array, and one element of the frame."""
    return [item["float"], item["scalar"], item["array"], item["action"], item["frame"][0]]


def keep_of_the_first_row(batch):
    """Copies of one row's scalars, as indexing makes them, and the column of one of them."""
    first = [batch[path][0] for path in ("float", "scalar", "array")]
    return [*first, batch["float"], batch["frame"][0, 0]]


def keep_copies(tree):
    return [np.array(tree["float"]), tree["scalar"].ravel()[0], tree["action"].copy()]


def take_and_measure(queue, take, keep, count):
    """How much the memory grew at most while items were taken, and how many things were kept."""
    kept, start, most, trees, number = [], 0, 0, take(queue, count), 0
    while (tree := next(trees, None)) is not None:
        kept.append(keep(tree))
        # It must not live on until the next one has come.
        del tree
        number += 1
        if number <= WARM_UP:
            start = anonymous_nbytes()
        elif number % LOOK_EVERY == 0:
            most = max(most, anonymous_nbytes() - start)
    assert number > 2 * WARM_UP
    most = max(most, anonymous_nbytes() - start)
    return most, sum(len(one or ()) for one in kept)


@pytest.mark.parametrize(
    ("take", "keep", "idle_nbytes"),
    [
        (by_get, keep_nothing, 0),
        (by_get, keep_scalars, 0),
        (by_get_many, keep_scalars, 0),
        (by_get_batch, keep_nothing, 0),
        (by_get_batch, keep_of_the_first_row, 0),
        (by_get_batch_with_min, keep_of_the_first_row, IDLE_NBYTES),
        (by_borrow, keep_copies, 0),
        (by_borrow_batch, keep_copies, 0),
    ],
    ids=lambda value: getattr(value, "__name__", None) or f"{value >> 20} MB idle",
)
def test_a_consumer_needs_memory_for_what_it_keeps_alone(nursery, figure, take, keep, idle_nbytes):
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        asked = nursery.ask("spawn", take_and_measure, queue, take, keep, COUNT)
        item = make_item(1)
        for _ in range(COUNT):
            queue.put(item, timeout=WATCHDOG_S)
        most, kept = nursery.answer(asked)
    figure(f"{COUNT} items, {kept} things kept, {most / 1e6:.1f} MB more at most")
    assert most <= SLACK_NBYTES + SMALL_NBYTES * kept + idle_nbytes


def read_into_one_place(queue, count):
    out = {
        path: np.empty((BATCH, *np.shape(leaf)), np.asarray(leaf).dtype)
        for path, leaf in make_item(0).items()
    }
    for _ in range(0, count, BATCH):
        assert queue.get_batch(BATCH, timeout=WATCHDOG_S, out=out) is out
        yield out


def test_batches_read_into_one_place_need_no_more_memory(nursery):
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        asked = nursery.ask(
            "spawn", take_and_measure, queue, read_into_one_place, keep_nothing, COUNT
        )
        item = make_item(1)
        for _ in range(COUNT):
            queue.put(item, timeout=WATCHDOG_S)
        most, _ = nursery.answer(asked)
    assert most <= SLACK_NBYTES


def put_batches(queue, count):
    """How much the memory of a producer of batches grew, of all the ways to put them."""
    one = make_item(1)
    stacked = {path: np.stack([leaf] * BATCH) for path, leaf in one.items()}
    start = None
    for number in range(0, count, 3 * BATCH):
        queue.put_batch(stacked, timeout=WATCHDOG_S)
        queue.put_many([one] * BATCH, timeout=WATCHDOG_S)
        left = BATCH
        while left:
            with queue.reserve_batch(left, min=1, timeout=WATCHDOG_S) as loan:
                loan.write({path: leaf[: len(loan)] for path, leaf in stacked.items()})
                left -= len(loan)
        if number <= WARM_UP * BATCH:
            start = anonymous_nbytes()
    return anonymous_nbytes() - start


def test_a_producer_of_batches_needs_no_more_memory(nursery):
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        asked = nursery.ask("spawn", put_batches, queue, COUNT)
        for _ in range(0, COUNT, 3 * BATCH):
            for _ in range(3 * BATCH):
                queue.get(timeout=WATCHDOG_S)
        assert nursery.answer(asked) <= SLACK_NBYTES


def lend_and_measure(cycles):
    """How much the memory grew over so many loans of every end, with views that got out."""
    with (
        TreeQueue({"frame": np.zeros(16), "float": 0.0}, maxsize=4) as queue,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", HeldViewWarning)

        def cycle():
            with queue.reserve() as loan:
                frame = loan.tree["frame"]
                frame[...] = 1
            with queue.borrow() as loan:
                view = loan.tree["frame"][1:]
            del frame, view, loan
            with queue.reserve_batch(2, min=1) as loan:
                loan.tree["frame"][...] = 1
            queue.borrow().give_back()
            with queue.borrow_batch(2, min=1) as loan:
                _ = loan.infos
            drain(queue, 0)
            queue.reserve().abort()

        for _ in range(cycles // 10):
            cycle()
        gc.collect()
        start = anonymous_nbytes()
        for _ in range(cycles):
            cycle()
        gc.collect()
        return anonymous_nbytes() - start


def test_loans_leave_nothing_behind(nursery):
    # A hundred bytes a loan would be seen.
    assert nursery.call("spawn", lend_and_measure, 20_000) <= 2 << 20


# Whose the memory of a batch is.


@pytest.fixture
def queue():
    with TreeQueue(np.zeros(1 << 18, np.uint8), maxsize=4) as queue:
        yield queue


def carry_batch(queue, number):
    queue.put_batch(np.full((2, 1 << 18), number, np.uint8), timeout=WATCHDOG_S)
    return queue.get_batch(2, timeout=WATCHDOG_S)


def test_a_view_of_one_row_keeps_its_batchs_memory(queue):
    rows = [carry_batch(queue, number)[1] for number in range(20)]
    for number in range(100, 120):
        carry_batch(queue, number)
    for number, row in enumerate(rows):
        assert (row == number).all()


def test_memory_of_a_batch_that_died_is_used_again(queue):
    address = carry_batch(queue, 1).ctypes.data
    gc.collect()
    assert carry_batch(queue, 2).ctypes.data == address


def test_a_batch_outlives_its_queue(queue):
    batch = carry_batch(queue, 7)
    queue.close()
    gc.collect()
    assert batch.flags.owndata and batch.base is None
    assert (batch == 7).all()
    assert functools.reduce(np.maximum, batch).max() == 7


def flags_of_segments():
    """The kernel's flags of each mapping of a segment, private ones of forked children included."""
    flags, is_segment = [], False
    with open("/proc/self/smaps") as smaps:
        for line in smaps:
            first = line.split()[0]
            if "-" in first and not first.endswith(":"):
                is_segment = "memfd:treequeues" in line
            elif is_segment and first == "VmFlags:":
                flags.append(set(line.split()[1:]))
    return flags


def flags_here_and_in_a_child():
    queue = TreeQueue(np.zeros(1 << 20), maxsize=2)
    in_child, tell = os.pipe()
    if os.fork() == 0:
        os.write(tell, repr(flags_of_segments()).encode())
        os._exit(0)
    os.wait()
    flags = flags_of_segments() + eval(os.read(in_child, 1 << 16))
    queue.close()
    return flags


# "Do not include area into core dump", in the words of proc(5).
@pytest.mark.parametrize(("variable", "is_left_out"), [(None, True), ("0", True), ("1", False)])
def test_core_dumps_have_no_queue_in_them_unless_asked_to(
    nursery, monkeypatch, variable, is_left_out
):
    monkeypatch.delenv("TREEQUEUES_DUMP", raising=False)
    if variable is not None:
        monkeypatch.setenv("TREEQUEUES_DUMP", variable)
    # A process of its own, which has no queues that other tests left to the collector.
    flags = nursery.call("spawn", flags_here_and_in_a_child)
    assert len(flags) == 2, "one in the process, and one in the child"
    assert [("dd" in each) for each in flags] == [is_left_out, is_left_out]
