"""What is to be reached, judged on the medians of one record.

P1. A promise is a ratio of figures of the same run, or a time that hardly depends on the machine.
P2. A promise whose figures are missing is not kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.cells import (
    AT_HAND_CELLS,
    BASELINE,
    BORROW,
    BORROW_BATCH,
    COPY_CELLS,
    COPY_REACH_NBYTES,
    COPYTO,
    CROWDS,
    GET,
    GET_AND_STACK,
    GET_BATCH,
    LOAN_CELLS,
    ONE_WAY,
    OURS,
    PUT,
    RESERVE,
    ROWS,
    RUST_CELL,
    RUST_CONTENDERS,
    TIME,
    UNCONTENDED,
    crowd_text,
)
from benchmarks.record import Medians

LOAN_US = 2.5  # At most, of a reserve and commit, and of a borrow and release.
LOAN_SPREAD = 1.25  # At most, between any two sizes: what is zero copy knows no size, but noise.
COPY_SHARE = 0.85  # At least, of numpy.copyto's speed.
BATCH_RATIO = 3.0  # At least, of get_batch over gets and a stack, and of borrow_batch over it.
BATCH = 32  # For which that is promised.
CROWD_RATIO = 20.0  # At least, over multiprocessing.Queue, between the most processes,
COLLAPSE_RATIO = 2.0  # where an item takes at most so many times what it takes one to one.
UNCONTENDED_NS = 80.0
UNCONTENDED_RATIO = 4.0  # At most, over a queue that survives nothing.
ONE_WAY_RATIO = 0.6  # At most, of iceoryx2's.


@dataclass(frozen=True)
class Promise:
    label: str
    measured: str
    reach: str
    kept: bool


def judge(medians: Medians) -> list[Promise]:
    return [
        *_rows(medians),
        *_loans(medians),
        *_copies(medians),
        *_batches(medians),
        *_crowds(medians),
        *_rust(medians),
    ]


def _rows(medians: Medians) -> list[Promise]:
    return [
        _at_least(f"{row.label}, against `{rival}`", ratio, reach, "x")
        for row in ROWS
        for rival, reach in row.reach.items()
        for ratio in [medians.ratio(row.cell, (TIME, rival), (TIME, OURS))]
    ]


def _loans(medians: Medians) -> list[Promise]:
    promises = []
    for quantity in (RESERVE, BORROW):
        times = [medians.get(cell, quantity, OURS) for cell in LOAN_CELLS]
        known = [time for time in times if time is not None]
        complete = len(known) == len(times)
        worst = max(known) if complete else None
        spread = max(known) / min(known) if complete else None
        promises += [
            _at_most(f"{quantity}, the slowest size", worst, LOAN_US, " us"),
            _at_most(f"{quantity}, slowest size / fastest", spread, LOAN_SPREAD, "x"),
        ]
    return promises


def _copies(medians: Medians) -> list[Promise]:
    return [
        _at_least(
            f"`{quantity}` of {cell.item.name}, share of `{COPYTO}`'s speed", share, COPY_SHARE
        )
        for cell in COPY_CELLS
        if cell.item.nbytes >= COPY_REACH_NBYTES
        for quantity in (PUT, GET)
        for share in [medians.ratio(cell, (COPYTO, OURS), (quantity, OURS))]
    ]


def _batches(medians: Medians) -> list[Promise]:
    (cell,) = [cell for cell in AT_HAND_CELLS if cell.batch == BATCH]
    return [
        _at_least(
            f"`{fast}({BATCH})` against `{slow}`",
            medians.ratio(cell, (slow, OURS), (fast, OURS)),
            BATCH_RATIO,
            "x",
        )
        for slow, fast in ((GET_AND_STACK, GET_BATCH), (GET_BATCH, BORROW_BATCH))
    ]


def _crowds(medians: Medians) -> list[Promise]:
    alone = CROWDS[0]
    most = max(CROWDS, key=lambda cell: min(cell.producers, cell.consumers))
    ours, ours_alone = medians.get(most, TIME, OURS), medians.get(alone, TIME, OURS)
    crowd = crowd_text(most.producers, most.consumers)
    return [
        _at_least(
            f"{crowd}, against `{BASELINE}`",
            medians.ratio(most, (TIME, BASELINE), (TIME, OURS)),
            CROWD_RATIO,
            "x",
        ),
        _at_most(
            f"{crowd} against {crowd_text(alone.producers, alone.consumers)}, an item",
            ours / ours_alone if ours and ours_alone else None,
            COLLAPSE_RATIO,
            "x",
        ),
    ]


def _rust(medians: Medians) -> list[Promise]:
    ours = medians.get(RUST_CELL, UNCONTENDED, OURS)
    _, ring, _, rival = RUST_CONTENDERS
    return [
        _at_most(
            f"Rust, {UNCONTENDED}", None if ours is None else 1000 * ours, UNCONTENDED_NS, " ns"
        ),
        _at_most(
            f"Rust, {UNCONTENDED}, against {ring}",
            medians.ratio(RUST_CELL, (UNCONTENDED, OURS), (UNCONTENDED, ring)),
            UNCONTENDED_RATIO,
            "x",
        ),
        _at_most(
            f"Rust, {ONE_WAY}, against {rival}",
            medians.ratio(RUST_CELL, (ONE_WAY, OURS), (ONE_WAY, rival)),
            ONE_WAY_RATIO,
            "x",
        ),
    ]


def _at_least(label: str, figure: float | None, reach: float, unit: str = "") -> Promise:
    kept = figure is not None and figure >= reach
    return Promise(label, _text(figure, unit), f"at least {reach:g}{unit}", kept)


def _at_most(label: str, figure: float | None, reach: float, unit: str = "") -> Promise:
    kept = figure is not None and figure <= reach
    return Promise(label, _text(figure, unit), f"at most {reach:g}{unit}", kept)


def _text(figure: float | None, unit: str) -> str:
    return "-" if figure is None else f"{figure:.3g}{unit}"
