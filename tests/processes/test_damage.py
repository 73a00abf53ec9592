"""Damage: somebody wrote into the shared memory who does not run the queue's protocol.

Whoever meets it gets an exception. Nobody crashes, hangs, or harms another queue.
"""

import multiprocessing
import os
import pickle
import queue as standard
from random import Random

import pytest
from helpers import (
    WATCHDOG_S,
    in_forked_child,
    marked,
    open_descriptors,
    read_mark,
)

from treequeues import SchemaError, ShutDown, TreeQueue


def make_queue_and_segment():
    """A queue, and its memory opened a second time, so that a test can do damage to it."""
    before = open_descriptors(settled=True)
    queue = TreeQueue(marked(0, 0), maxsize=2)
    for number in open_descriptors() - before:
        if os.readlink(f"/proc/self/fd/{number}").startswith("/memfd:"):
            return queue, os.open(f"/proc/self/fd/{number}", os.O_RDWR)
    raise AssertionError("the queue has no memfd")


def serve_attaching(requests):
    """Attach to each handle in a fresh child that knows no queue; tell how that went."""
    while (handle := requests.recv()) is not None:
        receiver, sender = os.pipe()

        def attach(handle=handle, sender=sender):
            os.write(sender, describe(lambda: work_a_little(pickle.loads(handle))).encode())

        pid = in_forked_child(attach)
        os.close(sender)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(receiver, "rb") as file:
            requests.send((os.waitstatus_to_exitcode(status), file.read().decode()))


def work_a_little(queue):
    for call in (lambda: queue.put(marked(1, 1), timeout=0.2), lambda: queue.get(timeout=0.2)):
        try:
            call()
        except (standard.Full, standard.Empty):
            continue
    return queue.qsize()


def describe(call):
    try:
        call()
    except (OSError, SchemaError, ShutDown) as error:
        return f"{type(error).__name__} {error}"
    return "fine"


@pytest.fixture
def attach(nursery):
    """Attach to a handle in a process that never saw the queue: exit code and what happened."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    server = nursery.start("spawn", serve_attaching, there, daemon=False)
    there.close()

    def ask(handle):
        here.send(handle)
        assert here.poll(WATCHDOG_S), "attaching hangs"
        return here.recv()

    yield ask
    here.send(None)
    nursery.finish(server)


def test_a_damaged_segment_is_an_error_and_never_a_crash(attach, rng):
    outcomes = []
    for trial in range(100):
        queue, segment = make_queue_and_segment()
        handle = pickle.dumps(queue)
        # The header is hit on every second trial, what comes after it on the others.
        place = rng.randrange(512 if trial % 2 else min(os.fstat(segment).st_size - 8, 1 << 16))
        os.pwrite(segment, rng.randbytes(rng.choice([1, 2, 8])), place)
        code, outcome = attach(handle)
        assert code == 0, f"crashed after damage at byte {place}: {outcome}"
        outcomes.append(outcome)
        os.close(segment)
        queue.close()
    assert any(outcome.startswith("CorruptedError") for outcome in outcomes), set(outcomes)


def test_a_header_of_zeros_is_reported_to_who_attaches(attach):
    queue, segment = make_queue_and_segment()
    with queue:
        handle = pickle.dumps(queue)
        os.pwrite(segment, bytes(4096), 0)
        os.close(segment)
        code, outcome = attach(handle)
    assert code == 0
    # All zeros have no id either, so that nobody can tell whether it is this queue's segment.
    assert outcome.startswith(("CorruptedError", "ConnectionError")), outcome


def damage_in_use(seed):
    """Work on a queue while bytes of its memory change; what came of it."""
    random = Random(seed)
    queue, segment = make_queue_and_segment()
    size = os.fstat(segment).st_size

    def work():
        for _ in range(20):
            os.pwrite(segment, random.randbytes(8), random.randrange(size // 8) * 8)
            work_a_little(queue)

    return describe(work)


def test_damage_under_a_queue_in_use_is_an_error_and_never_a_crash(nursery, rng):
    for _ in range(50):
        # Each in a process of its own: a crash ends that one alone, and is told by its end.
        nursery.call("fork", damage_in_use, rng.randrange(2**32))


def use_a_broken_queue_beside_a_good_one():
    bad, segment = make_queue_and_segment()
    with TreeQueue(marked(0, 0), maxsize=2) as good:
        os.pwrite(segment, b"\xff" * os.fstat(segment).st_size, 0)
        outcome = describe(lambda: work_a_little(bad))
        good.put(marked(5, 6))
        return outcome, read_mark(good.get())


def test_a_queue_overwritten_whole_is_an_error_and_other_queues_go_on(nursery):
    outcome, mark = nursery.call("fork", use_a_broken_queue_beside_a_good_one)
    assert outcome.startswith("CorruptedError"), outcome
    assert mark == (5, 6)
