"""How one figure comes about: a cell, a contender, some seconds; out come microseconds.

M1. Clocks run in the middle of the work, with everybody at full speed before, between and after: no
    start, no end, and no queue filled in advance is part of a figure.
M2. Every item is checked, in the same way for every contender. What that costs is measured too.
M3. Nothing is waited for without a limit, and nothing that was started outlives the measurement.
M4. The processes of a measurement are alone: nobody else of the run works meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import cells
from benchmarks.cells import Cell
from benchmarks.contenders.base import Contender, NoFigure
from benchmarks.method import alone, round_trip, stream


@dataclass(frozen=True)
class Outcome:
    """Microseconds by quantity, and how many items (or trips, or batches) they are made of."""

    count: int
    microseconds: dict[str, float]


# What a contender's own process may hold of an item, at a time, beside what the queue holds.
COPIES_OF_A_PROCESS = 3

_METHODS: dict[str, Callable[[Contender, Cell, float], tuple[int, dict[str, float]]]] = {
    cells.STREAM: stream.measure,
    cells.BATCHES: stream.measure,
    cells.BATCHES_BOTH_WAYS: stream.measure,
    cells.ROUND_TRIP: round_trip.measure,
    cells.AT_HAND: alone.measure_batches_at_hand,
    cells.LOANS: alone.measure_loans,
    cells.COPIES: alone.measure_copies,
}


def measure(contender: Contender, cell: Cell, seconds: float) -> Outcome:
    """Raises NoFigure, with the reason, whatever went wrong."""
    refusal = contender.refusal(cell)
    if refusal:
        raise NoFigure(refusal)
    copies = cell.maxsize + COPIES_OF_A_PROCESS * (cell.producers + cell.consumers)
    if available_nbytes() < copies * cell.item.nbytes:
        raise NoFigure(f"needs {copies * cell.item.nbytes / 1e9:.1f} GB of memory")
    try:
        return Outcome(*_METHODS[cell.measure](contender, cell, seconds))
    except NoFigure:
        raise
    except Exception as error:  # Whatever a foreign package raises is its reason.
        raise NoFigure(f"{type(error).__name__}: {error}") from error


def available_nbytes() -> int:
    """Memory that is to be had without swapping."""
    with open("/proc/meminfo") as file:
        (line,) = [line for line in file if line.startswith("MemAvailable:")]
    return int(line.split()[1]) * 1024
