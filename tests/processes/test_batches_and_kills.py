"""SIGKILL at random moments of batches and of batch loans, while others go on.

A lasting producer and a lasting consumer work all the time; victims beside them are started, killed
and replaced. Everybody keeps a receipt of each item in a file of its own, appended by one `write` a
batch right after the call returned, so that a kill leaves whole receipts only.

C1. After every kill the lasting processes go on.
C2. Of each producer there came the numbers 0, 1, 2, ... without a gap: every receipted one, and at
    most one batch more, whole, which the kill cut off between its first commit and its receipt.
C3. What a killed consumer got by get_batch and has no receipt for lies in memory that it shares
    with the test; nothing else may be missing, and nothing came twice.
C4. What a killed consumer had by borrow_batch and did not release came again. Twice came only what
    such a one had, and the count of deliveries says so.
C5. In the end the capacity is all there.
"""

import itertools
import mmap
import multiprocessing
import os
import struct
import time
from pathlib import Path
from queue import Empty, Full

import numpy as np
import pytest
from helpers import WATCHDOG_S, drain, marked, read_mark, wait_until

from treequeues import TreeQueue

KILLS = 100
CAPACITY = 8
BATCH = 3
LASTING = 0
NOBODY = 2**31 - 1

# Items of 64 KiB: a good part of the time goes into their copies, where a kill does most harm.
ROWS = 256

# Several times the bound of a sleep, within which the dead are found.
DRAIN_S = 0.5

RECEIPT = struct.Struct("<qqq")  # Producer, sequence, delivery count.


def stacked(producer, sequences):
    items = [marked(producer, sequence, ROWS) for sequence in sequences]
    return {
        "producer": np.stack([item["producer"] for item in items]),
        "frame": np.stack([item["frame"] for item in items]),
        "nested": {"sequence": np.stack([item["nested"]["sequence"] for item in items])},
    }


def row_of(batch, row):
    return {
        "producer": batch["producer"][row],
        "frame": batch["frame"][row],
        "nested": {"sequence": batch["nested"]["sequence"][row]},
    }


def marks_of(batch):
    return [read_mark(row_of(batch, row)) for row in range(len(batch["producer"]))]


def shared_batch():
    """A batch whose arrays lie in memory that forked children write to and the test reads."""

    def share(array):
        memory = mmap.mmap(-1, array.nbytes)
        return np.frombuffer(memory, array.dtype).reshape(array.shape)

    example = stacked(0, range(BATCH))
    batch = {
        "producer": share(example["producer"]),
        "frame": share(example["frame"]),
        "nested": {"sequence": share(example["nested"]["sequence"])},
    }
    # No producer has this number, so that an untouched place is told from an item.
    batch["producer"][...] = NOBODY
    return batch


class Receipts:
    """A file to which whole receipts are appended."""

    def __init__(self, path):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, marks, counts=None):
        counts = counts or [1] * len(marks)
        os.write(
            self._file,
            b"".join(RECEIPT.pack(*mark, count) for mark, count in zip(marks, counts, strict=True)),
        )


def read_receipts(path):
    data = Path(path).read_bytes() if Path(path).exists() else b""
    assert len(data) % RECEIPT.size == 0, "a receipt was cut: the test's own premise is broken"
    return [tuple(receipt) for receipt in RECEIPT.iter_unpack(data)]


# Producers.


def by_put_batch(queue, producer, first):
    queue.put_batch(stacked(producer, range(first, first + BATCH)), timeout=0.5)
    return BATCH


def by_put_many(queue, producer, first):
    items = [marked(producer, sequence, ROWS) for sequence in range(first, first + BATCH)]
    queue.put_many(items, timeout=0.5)
    return BATCH


def by_reserve_batch(queue, producer, first):
    with queue.reserve_batch(BATCH, min=1, timeout=0.5) as loan:
        loan.write(stacked(producer, range(first, first + len(loan))))
        return len(loan)


def produce(queue, put, producer, path, stop, pause_s):
    receipts, sequence = Receipts(path), 0
    while not stop.value:
        try:
            count = put(queue, producer, sequence)
        except Full:
            continue
        receipts.write([(producer, number) for number in range(sequence, sequence + count)])
        sequence += count
        time.sleep(pause_s)


# Consumers.


def by_get_batch(queue, receipts, out):
    receipts.write(marks_of(queue.get_batch(BATCH, timeout=0.5, out=out)))


def by_some(queue, receipts, out):
    """What is there, so that the last items, too few for a batch, come as well."""
    receipts.write(marks_of(queue.get_batch(BATCH, min=1, timeout=0.5, out=out)))


def by_borrow_batch(queue, receipts, out):
    with queue.borrow_batch(BATCH, min=1, timeout=0.5) as loan:
        # Receipted before the release: what has no receipt was not released.
        receipts.write(marks_of(loan.tree), [info.delivery_count for info in loan.infos])
        # Here a kill is to hit as well: after the receipt, and before the release.
        time.sleep(0.001)


def by_borrow_batch_with_a_view(queue, receipts, out):
    with queue.borrow_batch(BATCH, min=1, timeout=0.5) as loan:
        view = loan.tree["frame"][-1]
        receipts.write(marks_of(loan.tree), [info.delivery_count for info in loan.infos])
    # The last row is held still, though the item was released.
    assert (view == view[0, 0]).all(), "a view of a released item changed"


def consume(queue, take, path, stop, out=None):
    receipts = Receipts(path)
    while True:
        try:
            take(queue, receipts, out)
        except Empty:
            if stop.value:
                return


class Scene:
    """A queue, its lasting producer and consumer, and the receipts of everybody."""

    def __init__(self, nursery, queue, folder, rng, consume_by, pause_s):
        self.nursery, self.queue, self.folder, self.rng = nursery, queue, folder, rng
        context = multiprocessing.get_context("fork")
        self.stop_putting, self.stop_getting = context.RawValue("b"), context.RawValue("b")
        self.puts = {}
        # A lasting producer that takes its time leaves room for producers that are to be killed.
        self.putting = self.start_producer(LASTING, by_put_batch, pause_s)
        self.getting = self.start_consumer(LASTING, consume_by)
        self.killed_producers, self.killed_consumers, self.places = [], [], []

    def start_producer(self, number, put, pause_s=0):
        path = self.folder / f"put.{number}"
        self.puts[number] = put
        return self.nursery.start(
            "fork", produce, self.queue, put, number, path, self.stop_putting, pause_s
        )

    def start_consumer(self, number, take, out=None):
        path = self.folder / f"got.{number}"
        return self.nursery.start("fork", consume, self.queue, take, path, self.stop_getting, out)

    def wait_at_random(self, path):
        """Up to a random moment, on every second call one at which the victim works for sure."""
        if self.rng.random() < 0.5:
            wait_until(lambda: path.exists() and path.stat().st_size, f"{path.name} begins")
            time.sleep(self.rng.random() * 0.003)
        else:
            time.sleep(self.rng.random() * 0.02)

    def kill_a_producer(self, number, put):
        victim = self.start_producer(number, put)
        self.wait_at_random(self.folder / f"put.{number}")
        self.nursery.kill(victim)
        self.killed_producers.append(number)

    def kill_a_consumer(self, number, take, out=None):
        victim = self.start_consumer(number, take, out)
        self.wait_at_random(self.folder / f"got.{number}")
        self.nursery.kill(victim)
        self.killed_consumers.append(number)
        if out is not None:
            self.places.append(out)

    def see_the_others_go_on(self):
        """C1: the lasting consumer gets more items than there are slots, from now on."""
        path = self.folder / f"got.{LASTING}"
        size = path.stat().st_size if path.exists() else 0
        more = size + (CAPACITY + 1) * RECEIPT.size

        def have_gone_on():
            # A lasting process only ends before its time where it met a torn item, or an error.
            assert self.putting.is_alive() and self.getting.is_alive(), "a lasting process failed"
            return path.exists() and path.stat().st_size >= more

        wait_until(have_gone_on, "the others go on")

    def end(self):
        """Let the lasting processes end by themselves; look for what is left."""
        self.stop_putting.value = 1
        self.nursery.finish(self.putting)
        self.stop_getting.value = 1
        self.nursery.finish(self.getting)
        receipts = Receipts(self.folder / "got.left")
        receipts.write([read_mark(item) for item in drain(self.queue, DRAIN_S)])

    def came(self):
        """Every receipt of an item that came, with who it came to."""
        return [
            (receipt[:2], receipt[2], path.name.removeprefix("got."))
            for path in self.folder.glob("got.*")
            for receipt in read_receipts(path)
        ]

    def missing(self, marks):
        """C2: receipted items that did not come, after a look for gaps and for strangers."""
        missing, by_producer = set(), {}
        for producer, sequence in marks:
            by_producer.setdefault(producer, set()).add(sequence)
        for producer in [LASTING, *self.killed_producers]:
            receipted = [receipt[1] for receipt in read_receipts(self.folder / f"put.{producer}")]
            assert receipted == list(range(len(receipted)))
            came = by_producer.pop(producer, set())
            # A batch that was cut off came whole. (One of reserve_batch may be smaller.)
            put = self.puts[producer]
            least = 1 if put is by_reserve_batch else BATCH
            extra = sorted(came - set(receipted))
            assert extra == list(range(len(receipted), len(receipted) + len(extra)))
            assert not extra or producer != LASTING
            assert not extra or least <= len(extra) <= BATCH
            missing |= {(producer, sequence) for sequence in set(receipted) - came}
        assert not by_producer, f"items of nobody: {by_producer}"
        return missing

    def given_to_the_dead(self):
        """What the killed consumers of get_batch had: it lies in their memory, row by row.

        A torn row had not been let go, and went to somebody else.
        """
        given = set()
        for place in self.places:
            for row in range(BATCH):
                try:
                    given.add(read_mark(row_of(place, row)))
                except AssertionError:
                    continue
        return given

    def check_capacity(self):
        for _ in range(2):
            self.queue.put_batch(stacked(1, range(CAPACITY)), timeout=WATCHDOG_S)
            with pytest.raises(Full):
                self.queue.put_nowait(marked(1, 1, ROWS))
            numbers = [number for _, number in marks_of(self.queue.get_batch(CAPACITY))]
            assert numbers == list(range(CAPACITY))
        assert self.queue.stats().free == CAPACITY


@pytest.fixture
def scene_of(nursery, tmp_path, rng):
    with TreeQueue(marked(0, 0, ROWS), maxsize=CAPACITY) as queue:
        yield lambda consume_by=by_some, pause_s=0.001: Scene(
            nursery, queue, tmp_path, rng, consume_by, pause_s
        )


def check_exactly_once(scene):
    """C2, C3 where everybody gets by get_batch; how many items went to the dead."""
    marks = [mark for mark, _, _ in scene.came()]
    assert len(set(marks)) == len(marks), "an item came twice"
    missing = scene.missing(marks)
    lost = missing - scene.given_to_the_dead()
    assert not lost, f"lost: {sorted(lost)}"
    return len(missing)


@pytest.mark.parametrize("put", [by_put_batch, by_put_many, by_reserve_batch])
def test_producers_killed_in_the_middle_of_batches_lose_nothing_and_stop_nobody(
    scene_of, figure, put
):
    scene = scene_of()
    for number in range(1, KILLS + 1):
        scene.kill_a_producer(number, put)
        scene.see_the_others_go_on()
    scene.end()
    assert check_exactly_once(scene) == 0
    scene.check_capacity()
    # One consumer, of whom nobody took anything: each producer's items came in order.
    sequences = {}
    for producer, sequence, _ in read_receipts(scene.folder / f"got.{LASTING}"):
        assert sequence == sequences.get(producer, -1) + 1
        sequences[producer] = sequence
    figure(f"{KILLS} kills, {sum(sequences.values())} items came through")


def test_consumers_killed_in_the_middle_of_get_batch_lose_nothing_and_stop_nobody(scene_of, figure):
    scene = scene_of(pause_s=0)
    for number in range(1, KILLS + 1):
        take = by_get_batch if number % 2 else by_some
        scene.kill_a_consumer(number, take, shared_batch())
        scene.see_the_others_go_on()
    scene.end()
    missing = check_exactly_once(scene)
    scene.check_capacity()
    figure(f"{KILLS} kills, {missing} items were given to a consumer that then died")


@pytest.mark.parametrize("take", [by_borrow_batch, by_borrow_batch_with_a_view])
def test_consumers_killed_in_the_middle_of_borrow_batch_have_their_items_come_again(
    scene_of, figure, take
):
    scene = scene_of(take, pause_s=0)
    for number in range(1, KILLS + 1):
        scene.kill_a_consumer(number, take)
        scene.see_the_others_go_on()
    scene.end()
    came = scene.came()
    assert scene.missing({mark for mark, _, _ in came}) == set(), "an item was lost"
    by_mark = {}
    for mark, count, who in came:
        by_mark.setdefault(mark, []).append((count, who))
    dead = {str(number) for number in scene.killed_consumers}
    repeated = 0
    for mark, deliveries in by_mark.items():
        # C4: all but the last delivery were to the dead, each counted. (The drain counts not.)
        counted = sorted(delivery for delivery in deliveries if delivery[1] != "left")
        counts = [count for count, _ in counted]
        assert len(set(counts)) == len(counts), f"{mark} was counted alike twice: {deliveries}"
        to_the_living = [who for _, who in deliveries if who not in dead]
        assert len(to_the_living) <= 1, f"{mark} came twice: {deliveries}"
        repeated += max(counts, default=1) > 1
    scene.check_capacity()
    figure(f"{KILLS} kills, {repeated} items came again")


def test_producers_and_consumers_of_batches_killed_together_lose_nothing(scene_of, figure):
    scene = scene_of()
    puts = itertools.cycle([by_put_batch, by_put_many, by_reserve_batch])
    for number in range(1, KILLS + 1):
        out = shared_batch()
        producer = scene.start_producer(number, next(puts))
        consumer = scene.start_consumer(number, by_get_batch, out)
        victims = [producer, consumer]
        scene.rng.shuffle(victims)
        scene.wait_at_random(scene.folder / f"put.{number}")
        scene.nursery.kill(victims[0])
        time.sleep(scene.rng.random() * 0.003)
        scene.nursery.kill(victims[1])
        scene.killed_producers.append(number)
        scene.killed_consumers.append(number)
        scene.places.append(out)
        scene.see_the_others_go_on()
    scene.end()
    missing = check_exactly_once(scene)
    scene.check_capacity()
    figure(f"{KILLS} kills of each, {missing} items were given to a consumer that then died")


def test_all_killed_at_once_leave_a_queue_that_a_newcomer_can_use(scene_of):
    scene = scene_of()
    for number in range(1, 16):
        victims = [scene.start_producer(10 * number, by_put_batch)]
        victims.append(scene.start_producer(10 * number + 1, by_reserve_batch))
        victims.append(scene.start_consumer(10 * number, by_get_batch))
        victims.append(scene.start_consumer(10 * number + 1, by_borrow_batch))
        if number == 1:
            # From the first round on nobody else works on the queue.
            scene.nursery.kill(scene.putting)
            scene.nursery.kill(scene.getting)
        time.sleep(0.02 + scene.rng.random() * 0.01)
        for victim in victims:
            scene.nursery.kill(victim)
        for item in drain(scene.queue, DRAIN_S):
            read_mark(item)
        scene.check_capacity()
