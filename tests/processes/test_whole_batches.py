"""Batches whose process is killed while it puts them are in the queue whole, or not at all.

A child puts one batch after the other, from one thread or from several, by `put_batch`, `put_many`
or `reserve_batch`, until it is killed; the test takes what comes. Each item says which
batch it is of, how many items that has, and which of them it is.

`TREEQUEUES_BATCH_KILLS=1000` kills a thousand of each kind instead of some (`make soak`).
"""

import os
import threading
import time
from queue import Empty

import numpy as np
import pytest
from helpers import WATCHDOG_S, wait_until

from treequeues import TreeQueue

EXAMPLE = {"batch": 0, "size": 0, "row": 0}
SMALL, LARGE = 32, 100_000


def kills_or(some):
    return int(os.environ.get("TREEQUEUES_BATCH_KILLS") or some)


def stacked(batch, size):
    return {
        "batch": np.full(size, batch),
        "size": np.full(size, size),
        "row": np.arange(size),
    }


def by_put_batch(queue, batch, size):
    queue.put_batch(stacked(batch, size))


def by_put_many(queue, batch, size):
    queue.put_many({"batch": batch, "size": size, "row": row} for row in range(size))


def by_reserve_batch(queue, batch, size):
    with queue.reserve_batch(size) as loan:
        loan.write(stacked(batch, len(loan)))


def put_for_ever(queue, put, first, size, threads):
    def put_by_one(thread):
        batch = first + thread
        while True:
            put(queue, batch, size)
            batch += threads

    workers = [threading.Thread(target=put_by_one, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


class Taken:
    """What came, batch by batch."""

    def __init__(self, queue, size):
        self._queue, self._size, self._rows = queue, size, {}
        self.whole = self.seen_in_part = 0

    def take(self):
        """Take what is there; whether that was anything."""
        try:
            items = self._queue.get_batch(self._size, min=1, block=False)
        except Empty:
            return False
        ends = np.flatnonzero(np.diff(items["batch"])) + 1
        for batch, size, rows in zip(
            *(np.split(items[name], ends) for name in ("batch", "size", "row")), strict=True
        ):
            came = self._rows.setdefault(int(batch[0]), (int(size[0]), []))[1]
            came.append(rows)
            if sum(map(len, came)) == size[0]:
                # Each of its items, once, and in order.
                np.testing.assert_array_equal(np.concatenate(came), np.arange(size[0]))
                del self._rows[int(batch[0])]
                self.whole += 1
        return True

    def in_part(self):
        """The batches that came in part so far: how many items of how many."""
        return {batch: (sum(map(len, came)), size) for batch, (size, came) in self._rows.items()}


def look(queue):
    """A newcomer's first use of the queue, which finds the dead."""
    return queue.qsize()


def kill_while_it_puts(nursery, rng, queue, puts, size, threads, kills, pause_s, beside):
    """`beside`: take what comes all the time, and not only what the dead has left."""
    taken = Taken(queue, size)
    for kill in range(kills):
        # Numbers of batches that no other child has.
        first = kill * 1_000_000
        child = nursery.start(
            "fork", put_for_ever, queue, puts[kill % len(puts)], first, size, threads
        )
        wait_until(taken.take if beside else queue.qsize, "it puts batches")
        end = time.monotonic() + rng.random() * pause_s
        while time.monotonic() < end:
            if beside:
                taken.take()
        nursery.kill(child)
        taken.seen_in_part += bool(taken.in_part()) if beside else queue.qsize() % size > 0
        nursery.call("fork", look, queue)
        assert child.pid not in [it.pid for it in queue.stats().by_participant], "it is swept"
        while taken.take():
            pass
        assert taken.in_part() == {}, f"after {kill + 1} kills"
    return taken


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_is_whole_or_not_at_all_when_its_process_is_killed(nursery, rng, figure, threads):
    kills = kills_or(100)
    puts = [by_put_batch, by_put_many, by_reserve_batch]
    with TreeQueue(EXAMPLE, maxsize=5 * SMALL) as queue:
        taken = kill_while_it_puts(nursery, rng, queue, puts, SMALL, threads, kills, 0.002, True)
        queue.put_batch(stacked(-1, 5 * SMALL), timeout=WATCHDOG_S)  # All capacity is there.
    figure(f"{kills} kills, {taken.whole} batches, {taken.seen_in_part} kills in the middle of one")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_large_batch_is_whole_or_not_at_all_when_its_process_is_killed(
    nursery, rng, figure, threads
):
    kills, puts = kills_or(5), [by_put_batch]
    with TreeQueue(EXAMPLE, maxsize=4 * LARGE) as queue:
        taken = kill_while_it_puts(nursery, rng, queue, puts, LARGE, threads, kills, 0.03, False)
        queue.put_batch(stacked(-1, 4 * LARGE), timeout=WATCHDOG_S)
    figure(f"{kills} kills, {taken.whole} batches, {taken.seen_in_part} kills in the middle of one")
