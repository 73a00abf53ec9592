"""To another process and back, through two queues, one item at a time: what a step of an
environment waits for its action.

Every trip is timed by itself, so half the trips are shorter than p50, and one in a hundred is
longer than p99. Both sides check what comes.
"""

from __future__ import annotations

import array
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cells import P50, P99, Cell
from benchmarks.contenders.base import Channel, Contender, Get, Put
from benchmarks.items import SAMPLES, key_of, make_samples
from benchmarks.method.processes import Crew

WARM_UP_TRIPS = 100
MIN_TRIPS = 200  # Fewer have no p99.


def measure(contender: Contender, cell: Cell, seconds: float) -> tuple[int, dict[str, float]]:
    samples = make_samples(cell.item)
    there, back = (contender.open(samples[0], cell.maxsize) for _ in range(2))
    try:
        samples = [there.prepare(sample) for sample in samples]
        with Crew() as crew:
            crew.start_reporter(_ping, there, back, cell, samples, seconds)
            crew.start(_pong, there, back, cell, samples)
            (trips,) = crew.reports()
    finally:
        there.close()
        back.close()
    p50, p99 = np.percentile(trips, (50, 99)) * 1e6
    return len(trips), {P50: float(p50), P99: float(p99)}


def _ping(
    there: Channel,
    back: Channel,
    cell: Cell,
    samples: list[Any],
    seconds: float,
    report: Callable[[Any], None],
) -> None:
    get = back.getter()  # First: some cannot put before somebody is there to get.
    put = there.putter()
    trip = _round_trip(put, get, key_of(cell.item), samples)
    for _ in range(WARM_UP_TRIPS):
        trip()
    trips = array.array("d")
    deadline = time.perf_counter() + seconds
    while len(trips) < MIN_TRIPS or time.perf_counter() < deadline:
        trips.append(trip())
    report(trips)


def _round_trip(put: Put, get: Get, key: str | None, samples: list[Any]) -> Callable[[], float]:
    turn = itertools.cycle(enumerate(samples))

    def trip() -> float:
        number, sample = next(turn)
        started = time.perf_counter()
        put(sample)
        item = get()
        ended = time.perf_counter()
        if (item if key is None else item[key]).item(0) != number:
            raise ValueError("an item did not come back")
        return ended - started

    return trip


def _pong(there: Channel, back: Channel, cell: Cell, samples: list[Any]) -> None:
    get = there.getter()
    put = back.putter()
    key = key_of(cell.item)
    for number in itertools.cycle(range(SAMPLES)):
        item = get()
        if (item if key is None else item[key]).item(0) != number:
            raise ValueError("an item did not come in order")
        put(samples[number])
