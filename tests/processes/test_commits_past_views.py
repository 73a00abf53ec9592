"""Commits past living views, where views keep all slots: one fails, and the others go on."""

import multiprocessing
import threading
import warnings

import numpy as np
import pytest
from helpers import WATCHDOG_S

from treequeues import HeldViewWarning, TreeQueue

EXAMPLE = {"obs": np.zeros(4)}


def commit_past_a_view(queue, number, n, all_have_reserved):
    """Puts `n` items, and keeps a view of them to the end of the call. What came of it."""
    loan = queue.reserve_batch(n) if n > 1 else queue.reserve()
    obs = loan.tree["obs"]
    obs[...] = number
    all_have_reserved.wait(WATCHDOG_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HeldViewWarning)
            loan.commit()
    except BufferError as error:
        assert "a view of obs" in str(error)
        return "failed"
    assert (obs == number).all()
    return "put"


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
@pytest.mark.parametrize(("actors", "n"), [(4, 1), (2, 32), (3, 2)])
def test_one_of_the_processes_that_keep_all_slots_fails_and_the_others_go_on(
    nursery, start_method, actors, n
):
    queue = TreeQueue(EXAMPLE, maxsize=actors * n)
    barrier = multiprocessing.get_context(start_method).Barrier(actors)
    asked = [
        nursery.ask(start_method, commit_past_a_view, queue, number, n, barrier)
        for number in range(actors)
    ]
    taken = [queue.get(timeout=WATCHDOG_S)["obs"][0] for _ in range((actors - 1) * n)]
    said = sorted(nursery.answer(each) for each in asked)
    assert said == ["failed"] + ["put"] * (actors - 1)
    assert len(set(taken)) == actors - 1, "whole items, of as many actors"
    assert queue.empty()
    assert queue.stats().free == actors * n


def test_threads_whose_views_live_on_all_end():
    kept, outcomes, actors = [], [], 3
    queue = TreeQueue(EXAMPLE, maxsize=actors)
    barrier = threading.Barrier(actors)

    def act(number):
        loan = queue.reserve()
        kept.append(loan.tree["obs"])
        barrier.wait(WATCHDOG_S)
        try:
            loan.commit()
        except BufferError:
            outcomes.append("failed")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeldViewWarning)
        threads = [threading.Thread(target=act, args=(number,)) for number in range(actors)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WATCHDOG_S)
    assert outcomes == ["failed"] * actors
    kept.clear()
    assert queue.stats().free == actors


def test_a_commit_waits_for_a_slot_that_holds_an_item():
    queue = TreeQueue(EXAMPLE, maxsize=2)
    queue.put({"obs": np.full(4, 1.0)})
    taken = []

    def take():
        warned.wait(WATCHDOG_S)
        taken.append(queue.get(timeout=WATCHDOG_S)["obs"][0])

    warned = threading.Event()
    thread = threading.Thread(target=take)
    thread.start()
    with warnings.catch_warnings():
        # The first warning comes before the wait.
        warnings.showwarning = lambda *_, **__: warned.set()
        warnings.simplefilter("always", HeldViewWarning)
        with queue.reserve(timeout=WATCHDOG_S) as loan:
            obs = loan.tree["obs"]
            obs[...] = 2
    thread.join(WATCHDOG_S)
    assert taken == [1.0]
    assert (queue.get(timeout=WATCHDOG_S)["obs"] == 2).all()


def test_a_commit_beside_another_loan_of_its_thread_fails_rather_than_waits():
    queue = TreeQueue(EXAMPLE, maxsize=2)
    with queue.reserve() as outer:
        outer.tree["obs"][...] = 1
        loan = queue.reserve()
        obs = loan.tree["obs"]
        with (
            pytest.warns(HeldViewWarning, match="obs"),
            pytest.raises(BufferError, match="obs"),
        ):
            loan.commit()
        del obs
    assert (queue.get_nowait()["obs"] == 1).all()
    assert queue.stats().free == 2
