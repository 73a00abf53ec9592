"""Some processes put, some get, all at full speed, item by item or in batches.

The time of an item is one over the sum of the consumers' speeds. Each consumer's speed is its own
clock's, from one get to a later one. One to one, items are checked to come in order; between
several, each is checked to be one of those that were put.

Where system calls are counted, time is not: those of the process that is alone on its side.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.cells import BATCHES, BATCHES_BOTH_WAYS, CALLS, CPU, TIME, Cell
from benchmarks.contenders.base import Channel, Contender, Step, Visit
from benchmarks.items import SAMPLES, key_of, make_samples, numbers_of
from benchmarks.method.calls import calls_a_second
from benchmarks.method.processes import RUN, STOP, WARM, Crew, Phase

WARM_UP_S = 0.05  # After everybody has been through the whole queue: caches, clocks, spins.
MIN_STEPS = 3  # However slow they are.
LARGE_NBYTES = 100_000  # Of items that are got one by one between two looks at the phase,
CHUNK = 16  # and how many smaller ones are.

Report = Callable[[Any], None]


def measure(contender: Contender, cell: Cell, seconds: float) -> tuple[int, dict[str, float]]:
    samples = make_samples(cell.item)
    channel = contender.open(samples[0], cell.maxsize)
    try:
        samples = [channel.prepare(sample) for sample in samples]
        return _run(channel, cell, samples, seconds)
    finally:
        channel.close()


def _run(
    channel: Channel, cell: Cell, samples: list[Any], seconds: float
) -> tuple[int, dict[str, float]]:
    phase = Phase()
    with Crew() as crew:
        for _ in range(cell.consumers):
            consumer = crew.start_reporter(_consume, channel, cell, phase)
        for _ in range(cell.producers):
            producer = crew.start(_produce, channel, cell, samples)
        crew.reports()  # Everybody is warm.
        if cell.counts_calls:
            phase.set(RUN)
            calls = calls_a_second(consumer if cell.consumers == 1 else producer, seconds)
            phase.set(STOP)
            reports = crew.reports()
            items_a_second = sum(items / elapsed for items, elapsed in reports)
            return sum(items for items, _ in reports), {CALLS: calls / items_a_second}
        time.sleep(WARM_UP_S)
        cpu_before, before = crew.cpu_seconds(), time.perf_counter()
        phase.set(RUN)
        time.sleep(seconds)
        phase.set(STOP)
        busy = (crew.cpu_seconds() - cpu_before) / (time.perf_counter() - before)
        reports = crew.reports()
    item_us = 1e6 / sum(items / elapsed for items, elapsed in reports)
    items = sum(items for items, _ in reports)
    return items, {TIME: item_us, CPU: busy * item_us}


def _produce(channel: Channel, cell: Cell, samples: list[Any]) -> None:
    if cell.measure in (BATCHES, BATCHES_BOTH_WAYS):
        step = channel.batch_putter(samples, cell.batch)
        while True:
            step()
    put = channel.putter()
    for item in itertools.cycle(samples):
        put(item)


def _consume(channel: Channel, cell: Cell, phase: Phase, report: Report) -> None:
    take, step_items = _taker(channel, cell)
    # Everybody's share of the whole queue and a little more: every place has been used by then.
    for _ in range(math.ceil((cell.maxsize + SAMPLES) / (cell.consumers * step_items))):
        take()
    report("warm")
    while phase.get() == WARM:
        take()
    started, steps = time.perf_counter(), 0
    while phase.get() != STOP or steps < MIN_STEPS:
        take()
        steps += 1
    report((steps * step_items, time.perf_counter() - started))
    while True:  # The others may still be at work, and what they get must not become cheaper.
        take()


def _taker(channel: Channel, cell: Cell) -> tuple[Step, int]:
    """What takes and checks items, and how many at a call."""
    key = key_of(cell.item)
    in_order = cell.producers == cell.consumers == 1
    if cell.measure in (BATCHES, BATCHES_BOTH_WAYS):
        check = _batch_check(key, cell.batch) if in_order else _any_batch_check(key)
        return channel.batch_taker(cell.batch, check), cell.batch
    chunk = 1 if cell.item.nbytes >= LARGE_NBYTES else CHUNK
    get = channel.getter()
    numbers = itertools.cycle(numbers_of(cell.item))
    last: list[Any] = [None]

    def take() -> None:
        # The item before lives until the next one is there, as in anybody's loop.
        if in_order:
            last[0] = _take_in_order(get, key, itertools.islice(numbers, chunk), last[0])
        else:
            last[0] = _take_any(get, key, chunk, last[0])

    return take, chunk


def _take_in_order(
    get: Callable[[], Any], key: str | None, numbers: Iterator[float], item: Any
) -> Any:
    # Two loops, so that the check of small items costs as little as it can.
    if key is None:
        for number in numbers:
            item = get()
            if item.item(0) != number:
                raise ValueError("an item did not come in order")
    else:
        for number in numbers:
            item = get()
            if item[key].item(0) != number:
                raise ValueError("an item did not come in order")
    return item


def _take_any(get: Callable[[], Any], key: str | None, items: int, item: Any) -> Any:
    for _ in range(items):
        item = get()
        if not 0 <= (item if key is None else item[key]).item(0) < SAMPLES:
            raise ValueError("an item came that was not put")
    return item


def _batch_check(key: str | None, batch: int) -> Visit:
    """What checks that the items of a stacked batch, and batches, come in order."""
    starts = itertools.cycle(
        [np.arange(start, start + batch) % SAMPLES for start in range(0, batch * SAMPLES, batch)]
    )

    def check(stacked: Any) -> None:
        if not (_numbers(stacked, key) == next(starts)).all():
            raise ValueError("a batch did not come in order")

    return check


def _any_batch_check(key: str | None) -> Visit:
    """What checks that the items of a stacked batch are some that were put."""

    def check(stacked: Any) -> None:
        if not (_numbers(stacked, key) < SAMPLES).all():
            raise ValueError("an item came that was not put")

    return check


def _numbers(stacked: Any, key: str | None) -> Any:
    """The numbers of a batch's items."""
    leaf = stacked if key is None else stacked[key]
    return leaf[(slice(None), *(0,) * (leaf.ndim - 1))]
