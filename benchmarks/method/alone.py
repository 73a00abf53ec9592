"""What one process can measure by itself: loans, copies, and the taking of batches at hand.

Each figure is the median of many short bursts, alternating with those it is compared with.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks.cells import (
    BORROW,
    BORROW_BATCH,
    COPYTO,
    GET,
    GET_AND_STACK,
    GET_BATCH,
    GET_BATCH_OUT,
    GET_OUT,
    LOAN_SLOTS,
    PUT,
    RESERVE,
    Cell,
)
from benchmarks.contenders.base import Contender, Step, empty_batch, stack
from benchmarks.contenders.ours import new_queue
from benchmarks.items import key_of, make_samples

WARM_UP_BURSTS = 3
MIN_BURSTS = 5
SMALL_NBYTES = 100_000  # Smaller items are copied some at a time between two looks at the clock,
SMALL_BURST = 16  # so many,
LARGE_BURST = 2  # and larger ones so many.

Burst = Callable[[], dict[str, float]]  # Seconds by quantity.


def measure_loans(contender: Contender, cell: Cell, seconds: float) -> tuple[int, dict[str, float]]:
    write, read = contender.loan_steps(make_samples(cell.item)[0], LOAN_SLOTS)

    def burst() -> dict[str, float]:
        return {RESERVE: _time(write, LOAN_SLOTS), BORROW: _time(read, LOAN_SLOTS)}

    return _median_of_bursts(burst, seconds)


def measure_copies(
    contender: Contender, cell: Cell, seconds: float
) -> tuple[int, dict[str, float]]:
    """One slot, so that as much memory is in use as between two buffers, and one more."""
    item, other = make_samples(cell.item)[:2]
    queue = new_queue(item, 1)
    out, destination = np.empty_like(item), np.empty_like(item)
    times = SMALL_BURST if cell.item.nbytes < SMALL_NBYTES else LARGE_BURST
    # The array of a get dies before the next one, so that its memory is used again.
    gets: list[tuple[str, Step]] = [
        (GET, lambda: _require(queue.get(), 0)),
        (GET_OUT, lambda: _require(queue.get(out=out), 0)),
    ]

    def burst() -> dict[str, float]:
        seconds_of = {PUT: 0.0, COPYTO: _time(lambda: np.copyto(destination, other), times)}
        for quantity, get in gets:
            seconds_of[quantity] = 0.0
            for _ in range(times):
                put_s, get_s = _time(lambda: queue.put(item), 1), _time(get, 1)
                seconds_of[PUT] += put_s / (times * len(gets))
                seconds_of[quantity] += get_s / times
        return seconds_of

    return _median_of_bursts(burst, seconds)


def measure_batches_at_hand(
    contender: Contender, cell: Cell, seconds: float
) -> tuple[int, dict[str, float]]:
    """The taking alone: the items are put before the clock starts."""
    batch, key = cell.batch, key_of(cell.item)
    assert key is not None
    item = make_samples(cell.item)[0]
    queue = new_queue(item, cell.maxsize)
    stacked, out = stack([item] * batch), empty_batch(item, batch)

    def borrow() -> None:
        with queue.borrow_batch(batch) as loan:
            _require(loan.tree[key], 0)

    ways: dict[str, Step] = {
        GET_AND_STACK: lambda: _require(stack([queue.get() for _ in range(batch)])[key], 0),
        GET_BATCH: lambda: _require(queue.get_batch(batch)[key], 0),
        GET_BATCH_OUT: lambda: _require(queue.get_batch(batch, out=out)[key], 0),
        BORROW_BATCH: borrow,
    }

    def burst() -> dict[str, float]:
        seconds_of = {}
        for quantity, take in ways.items():
            queue.put_batch(stacked)
            seconds_of[quantity] = _time(take, 1)
        return seconds_of

    return _median_of_bursts(burst, seconds)


def _median_of_bursts(burst: Burst, seconds: float) -> tuple[int, dict[str, float]]:
    for _ in range(WARM_UP_BURSTS):
        burst()
    bursts: list[dict[str, float]] = []
    deadline = time.perf_counter() + seconds
    while len(bursts) < MIN_BURSTS or time.perf_counter() < deadline:
        bursts.append(burst())
    return len(bursts), {
        quantity: 1e6 * median(seconds_of[quantity] for seconds_of in bursts)
        for quantity in bursts[0]
    }


def _time(step: Step, times: int) -> float:
    """Seconds of one step."""
    started = time.perf_counter()
    for _ in range(times):
        step()
    return (time.perf_counter() - started) / times


def _require(leaf: Any, number: int) -> None:
    if leaf.item(0) != number:
        raise ValueError("an item did not come as it was put")
