"""What `stats` tells: slots, counters, and who holds what."""

import os
import queue as standard
import threading

import numpy as np
import pytest
from helpers import WATCHDOG_S, in_forked_child, reap, wait_until

from treequeues import TreeQueue

EXAMPLE = {"obs": np.zeros(100, np.uint8), "step": 0}
ITEM_NBYTES = 108


def item(step=0):
    return {"obs": np.zeros(100, np.uint8), "step": step}


def test_a_new_queue_has_counted_nothing():
    with TreeQueue(EXAMPLE, 4) as queue:
        counters = queue.stats().counters
        # Whoever attaches looks for the dead, but not yet as a participant.
        assert all(not getattr(counters, name) for name in counters.__slots__), counters


def test_puts_and_gets_and_their_bytes_are_counted():
    with TreeQueue(EXAMPLE, 4) as queue:
        for _ in range(3):
            queue.put(item())
        queue.get()
        with queue.borrow() as loan:
            del loan
        with queue.reserve() as loan:
            loan.tree["step"][...] = 1
        counters = queue.stats().counters
        assert (counters.puts, counters.gets) == (4, 2)
        assert (counters.put_nbytes, counters.got_nbytes) == (4 * ITEM_NBYTES, 2 * ITEM_NBYTES)


def test_batches_count_their_items():
    with TreeQueue(EXAMPLE, 8) as queue:
        queue.put_many([item(), item(), item()])
        queue.put_batch({"obs": np.zeros((4, 100), np.uint8), "step": np.zeros(4, np.int64)})
        queue.get_batch(5)
        queue.get_many(10)
        counters = queue.stats().counters
        assert (counters.puts, counters.gets) == (7, 7)


def test_what_was_aborted_or_given_back_is_neither_put_nor_got():
    with TreeQueue(EXAMPLE, 4) as queue:
        queue.reserve().abort()
        queue.put(item())
        queue.borrow().give_back()
        queue.borrow().give_back()
        counters = queue.stats().counters
        assert (counters.puts, counters.gets) == (1, 0)
        assert (counters.give_backs, counters.redeliveries) == (2, 1)
        queue.get()
        assert queue.stats().counters.redeliveries == 2


def test_a_released_item_whose_view_lives_was_got():
    with TreeQueue(EXAMPLE, 4) as queue:
        queue.put(item())
        with queue.borrow() as loan:
            kept = loan.tree["obs"]
        assert queue.stats().counters.gets == 1
        del kept, loan
        assert queue.stats().counters.gets == 1


def test_calls_in_vain_are_counted_once():
    with TreeQueue(EXAMPLE, 1) as queue:
        with pytest.raises(standard.Empty):
            queue.get(block=False)
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.001)
        with pytest.raises(standard.Empty):
            queue.get_many(1, block=False)
        queue.put(item())
        with pytest.raises(standard.Full):
            queue.put(item(), block=False)
        with pytest.raises(standard.Full):
            queue.put(item(), timeout=0.001)
        with pytest.raises(standard.Full):
            queue.put_many([item()], timeout=0.001)
        counters = queue.stats().counters
        assert (counters.empty, counters.full) == (3, 3)
        assert (counters.get_waits, counters.put_waits) == (1, 2)
        assert 0.001 <= counters.get_wait_seconds < WATCHDOG_S
        assert 0.002 <= counters.put_wait_seconds < WATCHDOG_S


def test_threads_lose_no_count():
    with TreeQueue(EXAMPLE, 4) as queue:

        def work():
            for _ in range(2000):
                queue.put(item())
                queue.get()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        work()
        for thread in threads:
            thread.join(WATCHDOG_S)
        counters = queue.stats().counters
        assert (counters.puts, counters.gets) == (10_000, 10_000)


def test_each_participant_counts_for_itself_and_the_queue_for_all():
    with TreeQueue(EXAMPLE, 4) as queue:
        queue.put(item())

        def get_and_tell():
            queue.get()
            queue.put(item())
            queue.put(item())
            stats = queue.stats()
            mine = [each.counters for each in stats.by_participant if each.counters.gets]
            assert [(each.puts, each.gets) for each in mine] == [(2, 1)]
            queue.close()

        reap(in_forked_child(get_and_tell))
        stats = queue.stats()
        assert (stats.counters.puts, stats.counters.gets) == (3, 1)
        assert [(each.counters.puts, each.counters.gets) for each in stats.by_participant] == [
            (1, 0)
        ]
        # The next tenant of that place begins at nothing.
        reap(in_forked_child(get_and_tell))
        assert queue.stats().counters.puts == 5


def test_a_dead_participant_is_seen_and_counted():
    with TreeQueue(EXAMPLE, 4) as queue:
        queue.put(item())

        def die_with_an_item():
            loan = queue.borrow()
            stats = queue.stats()
            assert [each.reading for each in stats.by_participant] == [0, 1]
            assert loan.info.ticket == 0
            os._exit(0)

        # It ends without a word to anybody, as one that is killed.
        reap(in_forked_child(die_with_an_item))
        stats = queue.stats()
        assert [(each.is_alive, each.reading) for each in stats.by_participant] == [
            (True, 0),
            (False, 1),
        ]
        assert queue.get(timeout=WATCHDOG_S)["step"] == 0
        stats = queue.stats()
        assert [each.is_alive for each in stats.by_participant] == [True]
        assert (stats.counters.deaths, stats.counters.redeliveries) == (1, 1)
        assert stats.counters.sweeps >= 1


def test_a_held_slot_says_for_how_long():
    with TreeQueue(EXAMPLE, 4) as queue:
        assert queue.stats().by_participant[0].longest_hold_seconds is None
        loan = queue.reserve()

        def age():
            return queue.stats().by_participant[0].longest_hold_seconds

        assert 0 <= age() < WATCHDOG_S
        wait_until(lambda: age() > 0.05, "the hold gets older")
        assert queue.stats().by_participant[0].writing == 1
        loan.commit()
        assert age() is None


def test_a_view_that_outlives_its_loan_is_a_hold_too():
    with TreeQueue(EXAMPLE, 4) as queue:
        queue.put(item())
        with queue.borrow() as loan:
            kept = loan.tree["obs"]
        (mine,) = queue.stats().by_participant
        assert (mine.reading, mine.lingering) == (0, 1)
        assert mine.longest_hold_seconds is not None
        del kept
