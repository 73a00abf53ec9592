"""How one figure comes about: two new processes, one putting, one getting, the getter's clock.

M1. The clock runs from one `get` to a later one, with the producer at full speed before, between
    and after them: no start, no end, and no queue filled in advance is part of the figure.
M2. Every item's number is checked, in the same way for every contender.
M3. Nothing is waited for without a limit, and nothing that was started outlives the measurement.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil

from benchmarks.contenders import CONTEXT, Channel, Contender
from benchmarks.workloads import MAXSIZE, SAMPLES, Workload

WATCHDOG_S = 300.0  # For one measurement, which takes a few seconds at most.
COPIES = 2 * MAXSIZE  # Of an item, at a time: in the queue, in the samples, and on their way.
WARM_UP_ITEMS = 4 * SAMPLES  # Every place of the queue has been used once by then.
assert WARM_UP_ITEMS > MAXSIZE


class NoFigure(Exception):
    """A contender that could not be measured, with the reason."""


def seconds_an_item(contender: Contender, workload: Workload, items: int) -> float:
    """Put and get `items` items of a workload through a new queue of the contender's."""
    if psutil.virtual_memory().available < COPIES * workload.nbytes:
        raise NoFigure(f"needs {COPIES * workload.nbytes / 1e9:.1f} GB of memory")
    samples = workload.samples()
    try:
        channel = contender.open(samples[0], MAXSIZE)
    except Exception as error:  # Whatever a foreign package raises is its reason.
        raise NoFigure(f"{type(error).__name__}: {error}") from error

    ours, theirs = CONTEXT.Pipe()
    consumer = CONTEXT.Process(
        target=_consume, args=(channel, workload.number_of, items, theirs), daemon=True
    )
    producer = CONTEXT.Process(target=_produce, args=(channel, samples), daemon=True)
    consumer.start()
    producer.start()
    try:
        ready = wait([ours, consumer.sentinel, producer.sentinel], timeout=WATCHDOG_S)
        if ours in ready:
            figure = ours.recv()
            if isinstance(figure, float):
                return figure
            raise NoFigure(figure)
        if not ready:
            raise NoFigure(f"no result within {WATCHDOG_S:.0f} s")
        dead = consumer if consumer.sentinel in ready else producer
        dead.join()
        raise NoFigure(f"a process died with exit code {dead.exitcode}")
    finally:
        # The producer would go on for ever. It may hold a lock now: nobody uses this queue again.
        for process in (producer, consumer):
            process.kill()
            process.join()
        ours.close()
        theirs.close()


def _produce(channel: Channel, samples: list[Any]) -> None:
    put = channel.put
    for item in itertools.cycle(samples):
        put(item)


def _consume(
    channel: Channel, number_of: Callable[[Any], float], items: int, result: Connection
) -> None:
    try:
        _get(channel, number_of, WARM_UP_ITEMS)
        started = time.perf_counter()
        _get(channel, number_of, items)
        result.send((time.perf_counter() - started) / items)
    except Exception as error:
        result.send(f"{type(error).__name__}: {error}")


def _get(channel: Channel, number_of: Callable[[Any], float], items: int) -> None:
    get = channel.get
    for number in itertools.islice(itertools.cycle(range(SAMPLES)), items):
        item = get()  # The item before lives until here, as in anybody's loop.
        if number_of(item) != number:
            raise ValueError("an item did not come in order")


def enough_items(contender: Contender, workload: Workload, seconds: float) -> int:
    """How many items take about `seconds`, found with ever larger tries."""
    items = 5
    while True:
        taken = seconds_an_item(contender, workload, items) * items
        if taken >= seconds / 5:
            return max(5, round(items * seconds / taken))
        items *= 10 if taken < seconds / 50 else 5
