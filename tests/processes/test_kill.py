"""SIGKILL and SIGSTOP at random moments while others go on.

Two lasting processes, one that puts and one that gets, work all the time; victims beside them are
started, killed and replaced. Everybody keeps a receipt in a file of its own, appended by one
`write` right after the call returned, so that a kill leaves whole receipts only. Afterwards the
receipts and the items still in the queue are held against each other:

K1. After every kill the lasting processes go on: more items than the queue has slots come through.
K2. Of each producer there came the numbers 0, 1, 2, ... without a gap, every receipted one and at
    most one more: the put that the kill cut off between its commit and its receipt.
K3. Nothing came twice. A killed consumer may have been given an item without a receipt for it
    (`get` lets go of the slot before it returns). Consumers to be killed therefore get into memory
    that they share with the test: such an item is found there, and nothing else may be missing.
K4. One producer's items come to each consumer in order, but for items taken back from the dead.
K5. In the end the capacity is all there: `maxsize` puts without waiting, and not one more.
"""

import functools
import itertools
import mmap
import multiprocessing
import os
import signal
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full

import numpy as np
import pytest
from helpers import WATCHDOG_S, drain, in_forked_child, marked, read_mark, wait_until

from treequeues import TreeQueue

# `TREEQUEUES_KILLS=200` kills more than some (`make soak`).
KILLS = int(os.environ.get("TREEQUEUES_KILLS") or 80)
STOPS = 20
ROUNDS = 15
CAPACITY = 4
LASTING = 0
NOBODY = 2**31 - 1

# Several times the bound of a sleep, within which the dead are found.
DRAIN_S = 0.3

# Items of 128 KiB: a good part of the time goes into their copies, where a kill does most harm.
ROWS = 512

RECEIPT = struct.Struct("<qq")  # producer, sequence


def open_receipts(path):
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def produce(queue, producer, path, stop, pause_s=0, once_joined=None):
    """Put numbered items until told to stop, or killed. The first put makes this a participant."""
    receipts = open_receipts(path)
    for sequence in itertools.count():
        item = marked(producer, sequence, ROWS)
        time.sleep(pause_s)
        while True:
            if stop.value:
                return
            try:
                queue.put(item, timeout=0.5)
                break
            except Full:
                continue
        os.write(receipts, RECEIPT.pack(producer, sequence))
        if sequence == 0 and once_joined is not None:
            once_joined()


def consume(queue, path, stop, out=None):
    """Get items until told to stop and nothing came for a while, or killed."""
    receipts = open_receipts(path)
    while True:
        try:
            mark = read_mark(queue.get(timeout=0.5, out=out))
        except Empty:
            if stop.value:
                return
            continue
        os.write(receipts, RECEIPT.pack(*mark))


def shared_item():
    """An item whose arrays lie in memory that forked children write to and the test reads."""
    example = marked(0, 0, ROWS)

    def share(array):
        memory = mmap.mmap(-1, array.nbytes)
        return np.frombuffer(memory, array.dtype).reshape(array.shape)

    item = {
        "producer": share(example["producer"]),
        "frame": share(example["frame"]),
        "nested": {"sequence": share(example["nested"]["sequence"])},
    }
    # No producer has this number, so that an untouched place is told from an item.
    item["producer"][...] = NOBODY
    return item


def read_receipts(path):
    """The receipts in a file as an array [n, 2] of producers and sequences, oldest first."""
    data = Path(path).read_bytes() if Path(path).exists() else b""
    assert len(data) % RECEIPT.size == 0, "a receipt was cut: the test's own premise is broken"
    return np.frombuffer(data, np.int64).reshape(-1, 2)


def count_out_of_order(receipts):
    """How many receipts come after a later one of the same producer."""
    count = 0
    for producer in np.unique(receipts[:, 0]):
        sequences = receipts[receipts[:, 0] == producer, 1]
        count += int((sequences < np.maximum.accumulate(sequences)).sum())
    return count


@dataclass
class Scene:
    """A queue, its lasting producer and consumer, and the receipts of everybody who ever worked."""

    nursery: object
    queue: TreeQueue
    folder: Path
    rng: object
    # A lasting producer that takes its time leaves room for the victims: who waits writes nothing.
    pause_s: float = 0

    def __post_init__(self):
        context = multiprocessing.get_context("fork")
        # Bare shared bytes: no lock in them that a victim could take into its grave.
        self.stop_putting, self.stop_getting = context.RawValue("b"), context.RawValue("b")
        self.putting = self.start_producer(LASTING, self.pause_s)
        self.getting = self.start_consumer(LASTING)
        self.killed_producers, self.killed_consumers, self.places = [], [], []

    def start_producer(self, number, pause_s=0):
        path = self.folder / f"put.{number}"
        return self.nursery.start(
            "fork", produce, self.queue, number, path, self.stop_putting, pause_s
        )

    def start_consumer(self, number, out=None):
        path = self.folder / f"got.{number}"
        return self.nursery.start("fork", consume, self.queue, path, self.stop_getting, out)

    def wait_at_random(self, path):
        """Up to a random moment, on every second call one at which the victim works for sure."""
        if self.rng.random() < 0.5:
            wait_until(lambda: path.exists() and path.stat().st_size, f"{path.name} begins")
            time.sleep(self.rng.random() * 0.003)
        else:
            time.sleep(self.rng.random() * 0.02)

    def kill_a_producer(self, number):
        victim = self.start_producer(number)
        self.wait_at_random(self.folder / f"put.{number}")
        self.nursery.kill(victim)
        self.killed_producers.append(number)

    def kill_a_consumer(self, number, out=None):
        victim = self.start_consumer(number, out)
        self.wait_at_random(self.folder / f"got.{number}")
        self.nursery.kill(victim)
        self.killed_consumers.append(number)
        self.places.append(out)

    def see_the_others_go_on(self):
        """K1: the lasting consumer gets more items than there are slots, from now on."""
        path = self.folder / f"got.{LASTING}"
        size = path.stat().st_size if path.exists() else 0
        more = size + (CAPACITY + 1) * RECEIPT.size

        def have_gone_on():
            # A lasting process only ends before its time where it met a torn item, or an error.
            assert self.putting.is_alive() and self.getting.is_alive(), "a lasting process failed"
            return path.exists() and path.stat().st_size >= more

        wait_until(have_gone_on, "the others go on")

    def end(self):
        """Let the lasting processes end by themselves; what is left in the queue, by its marks."""
        self.stop_putting.value = 1
        self.nursery.finish(self.putting)
        self.stop_getting.value = 1
        self.nursery.finish(self.getting)
        return [read_mark(item) for item in drain(self.queue)]

    def put_receipts(self, number):
        return read_receipts(self.folder / f"put.{number}")

    def got_receipts(self, number):
        return read_receipts(self.folder / f"got.{number}")

    def check_nothing_twice(self, left):
        """K3, first half; every item that is known to have come, as a set of marks."""
        files = [read_receipts(path) for path in self.folder.glob("got.*")]
        came = np.concatenate([*files, np.array(left, np.int64).reshape(-1, 2)])
        marks = set(map(tuple, came.tolist()))
        assert len(marks) == len(came), "an item came twice"
        return marks

    def missing(self, came):
        """K2: the receipted items that did not come, after a look for gaps and for strangers."""
        missing = set()
        by_producer = {}
        for producer, sequence in came:
            by_producer.setdefault(producer, set()).add(sequence)
        for producer in [LASTING, *self.killed_producers]:
            receipts = self.put_receipts(producer)
            assert receipts[:, 1].tolist() == list(range(len(receipts)))
            receipted = set(range(len(receipts)))
            # A put that was cut off may have committed, and that of a living process may not.
            unreceipted = {len(receipts)} if producer in self.killed_producers else set()
            numbers = by_producer.get(producer, set())
            strangers = numbers - receipted - unreceipted
            assert not strangers, f"producer {producer} never put {strangers}"
            missing |= {(producer, sequence) for sequence in receipted - numbers}
        return missing

    def check_capacity(self):
        """K5."""
        for sequence in range(CAPACITY):
            self.queue.put_nowait(marked(1, sequence, ROWS))
        with pytest.raises(Full):
            self.queue.put_nowait(marked(1, CAPACITY, ROWS))
        assert [read_mark(item)[1] for item in drain(self.queue, DRAIN_S)] == list(range(CAPACITY))
        assert self.queue.qsize() == 0

    def given_to_the_dead(self):
        """What the killed consumers had been given: it lies in their memory, whole, because `get`
        first copies and then lets go. (A torn one had not been let go, and went to somebody else.)
        """
        given = set()
        for out in self.places:
            try:
                given.add(read_mark(out))
            except AssertionError:
                continue
        return given


@pytest.fixture
def scene_of(nursery, tmp_path, rng):
    with TreeQueue(marked(0, 0, ROWS), maxsize=CAPACITY) as queue:
        yield lambda pause_s=0: Scene(nursery, queue, tmp_path, rng, pause_s)


def test_producers_killed_at_random_moments_lose_nothing_and_stop_nobody(scene_of, figure):
    scene = scene_of(pause_s=0.001)
    for number in range(1, KILLS + 1):
        scene.kill_a_producer(number)
        scene.see_the_others_go_on()
    left = scene.end()

    assert scene.missing(scene.check_nothing_twice(left)) == set()
    # K4, without any exception: no consumer died.
    assert count_out_of_order(scene.got_receipts(LASTING)) == 0
    scene.check_capacity()
    figure(f"{KILLS} kills, {len(scene.got_receipts(LASTING))} items came through")


def test_consumers_killed_at_random_moments_lose_nothing_and_stop_nobody(scene_of, figure):
    scene = scene_of()
    for number in range(1, KILLS + 1):
        scene.kill_a_consumer(number, shared_item())
        scene.see_the_others_go_on()
    left = scene.end()

    missing = scene.missing(scene.check_nothing_twice(left))
    lost = missing - scene.given_to_the_dead()
    assert not lost, f"lost: {sorted(lost)}"
    for number in (LASTING, *scene.killed_consumers):
        assert count_out_of_order(scene.got_receipts(number)) <= KILLS
    scene.check_capacity()
    figure(f"{KILLS} kills, {len(missing)} items were given to a consumer that then died")


def test_producers_and_consumers_killed_together_lose_nothing_and_stop_nobody(scene_of, figure):
    scene = scene_of(pause_s=0.001)
    for number in range(1, KILLS // 2 + 1):
        out = shared_item()
        producer, consumer = scene.start_producer(number), scene.start_consumer(number, out)
        first, second = (producer, consumer) if scene.rng.random() < 0.5 else (consumer, producer)
        scene.wait_at_random(scene.folder / f"put.{number}")
        scene.nursery.kill(first)
        time.sleep(scene.rng.random() * 0.003)
        scene.nursery.kill(second)
        scene.killed_producers.append(number)
        scene.killed_consumers.append(number)
        scene.places.append(out)
        scene.see_the_others_go_on()
    left = scene.end()

    missing = scene.missing(scene.check_nothing_twice(left))
    lost = missing - scene.given_to_the_dead()
    assert not lost, f"lost: {sorted(lost)}"
    scene.check_capacity()
    figure(f"{KILLS // 2} kills of each, {len(missing)} given to a consumer that then died")


def fork_an_idle_child(lifeline):
    """A child that does nothing, outlives its parent, and ends when the lifeline does."""
    listening, holding = lifeline
    if os.fork() == 0:
        signal.alarm(int(2 * WATCHDOG_S))
        os.close(holding)
        os.read(listening, 1)
        os._exit(0)


def test_the_dead_hold_nothing_though_their_forked_children_live_on(scene_of):
    scene = scene_of(pause_s=0.001)
    lifeline = os.pipe()
    for number in range(1, KILLS + 1):
        path = scene.folder / f"put.{number}"

        def produce_beside_a_child(number=number, path=path):
            # The child inherits the descriptor with its parent's lock, and must not keep it alive.
            fork = functools.partial(fork_an_idle_child, lifeline)
            produce(scene.queue, number, path, scene.stop_putting, once_joined=fork)

        victim = in_forked_child(produce_beside_a_child)
        scene.wait_at_random(path)
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        scene.killed_producers.append(number)
        scene.see_the_others_go_on()
    left = scene.end()

    assert scene.missing(scene.check_nothing_twice(left)) == set()
    scene.check_capacity()
    # Only now do the children end.
    for end in lifeline:
        os.close(end)


def test_everybody_killed_at_once_leaves_a_queue_that_a_newcomer_can_use(scene_of):
    scene = scene_of()
    for number in range(1, ROUNDS + 1):
        victims = [scene.start_producer(100 * number + one) for one in range(2)]
        victims += [scene.start_consumer(100 * number + one) for one in range(2)]
        if number == 1:
            # From the first round on nobody else works on the queue.
            scene.nursery.kill(scene.putting)
            scene.nursery.kill(scene.getting)
        time.sleep(0.02 + scene.rng.random() * 0.01)
        for victim in victims:
            os.kill(victim.pid, signal.SIGKILL)
        for victim in victims:
            victim.join(WATCHDOG_S)
        for item in drain(scene.queue, DRAIN_S):
            read_mark(item)
        scene.check_capacity()


def test_processes_stopped_at_random_moments_hold_up_nobody_and_lose_nothing(scene_of, figure):
    scene = scene_of()
    producer, consumer = scene.start_producer(1), scene.start_consumer(1)
    held_up = []
    for _ in range(STOPS):
        time.sleep(scene.rng.random() * 0.02)
        for victim in (producer, consumer):
            os.kill(victim.pid, signal.SIGSTOP)
        start = time.monotonic()
        scene.see_the_others_go_on()
        held_up.append(time.monotonic() - start)
        for victim in (producer, consumer):
            os.kill(victim.pid, signal.SIGCONT)
    scene.stop_putting.value = 1
    scene.nursery.finish(producer)
    left = scene.end()
    scene.nursery.finish(consumer)
    left += [read_mark(item) for item in drain(scene.queue)]

    came = scene.check_nothing_twice(left)
    for number in (LASTING, 1):
        receipts = scene.put_receipts(number)
        assert {n for p, n in came if p == number} == set(range(len(receipts)))
    for number in (LASTING, 1):
        assert count_out_of_order(scene.got_receipts(number)) == 0
    scene.check_capacity()
    figure(f"{STOPS} stops, the others went on after {max(held_up):.3f} s at most")
