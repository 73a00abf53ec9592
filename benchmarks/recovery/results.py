"""The record of recovery times: its rows, its file, its table, and what was to be reached.

A record is a CSV file whose first lines, which begin with #, describe the machine. Only Python's
own library is needed to read it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from benchmarks import record
from benchmarks.promises import Promise

RECORDS = record.RECORDS / "recovery"

# Quantities.
RECOVERY = "recovery, ms"
DEATH = "death, ms"  # Until the kernel has ended the killed process: part of a recovery.
BARE = "bare wait of 100 ms, ms"
CPU = "processor time while blocked, %"
# Where the bare waits were timed.
ALONE, ALL = "before the scenes", "among the scenes"

MOST_P50_MS = 60.0
MOST_P99_ABOVE_BARE_MS = 30.0
MOST_CPU = 0.5


@dataclass(frozen=True)
class Row:
    scene: str
    quantity: str
    count: int
    least: float
    p50: float
    p90: float
    p99: float
    most: float


@dataclass(frozen=True)
class Run:
    machine: dict[str, str]
    rows: list[Row]

    def of(self, quantity: str) -> list[Row]:
        return [row for row in self.rows if row.quantity == quantity]

    def bare(self) -> Row:
        return next(row for row in self.of(BARE) if row.scene == ALL)


def summary(scene: str, quantity: str, figures: Sequence[float]) -> Row:
    ordered = sorted(figures)

    def quantile(share: float) -> float:
        """The least figure that is not exceeded by this share of them."""
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return Row(
        scene,
        quantity,
        len(ordered),
        ordered[0],
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        ordered[-1],
    )


def judge(run: Run) -> list[Promise]:
    """What issue and design ask for, of the worst scene each time."""
    recoveries, bare = run.of(RECOVERY), run.bare()
    p50, p99 = max(row.p50 for row in recoveries), max(row.p99 for row in recoveries)
    most_p99 = bare.p99 + MOST_P99_ABOVE_BARE_MS
    promises = [
        Promise("p50 of every scene", f"{p50:.1f} ms", f"{MOST_P50_MS:.0f} ms", p50 <= MOST_P50_MS),
        Promise(
            "p99 of every scene",
            f"{p99:.1f} ms",
            f"{most_p99:.1f} ms: the bare wait's and {MOST_P99_ABOVE_BARE_MS:.0f} ms",
            p99 <= most_p99,
        ),
    ]
    if idle := run.of(CPU):
        most = max(row.most for row in idle)
        promises.append(
            Promise(
                "a blocked process",
                f"{most:.2f} % of a processor",
                f"{MOST_CPU} %",
                most <= MOST_CPU,
            )
        )
    return promises


def table(run: Run) -> str:
    head = ["", "count", "p50", "p90", "p99", "most"]
    lines = [
        [
            f"{row.quantity}: {row.scene}" if row.quantity != RECOVERY else row.scene,
            str(row.count),
            *(f"{figure:.{2 if row.quantity == CPU else 1}f}" for figure in astuple(row)[4:]),
        ]
        for row in run.rows
    ]
    return _markdown([head, ["---", *["---:"] * 5], *lines])


def verdict(run: Run) -> str:
    """What was to be reached, and whether it was."""
    lines = [[it.label, it.measured, it.reach, "✓" if it.kept else "✗"] for it in judge(run)]
    return _markdown([["", "measured", "at most", ""], ["---"] * 4, *lines])


def write(run: Run) -> Path:
    path = record.unused_path(run.machine["date"], RECORDS)
    with path.open("x", newline="") as file:
        file.writelines(f"# {key}: {value}\n" for key, value in run.machine.items())
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(field.name for field in fields(Row))
        rows.writerows(
            [f"{it:.3f}" if isinstance(it, float) else it for it in astuple(row)]
            for row in run.rows
        )
    return path


def read(path: Path) -> Run:
    machine, lines = record.read_lines(path)
    rows = [
        Row(
            line["scene"],
            line["quantity"],
            int(line["count"]),
            *(float(line[name]) for name in ("least", "p50", "p90", "p99", "most")),
        )
        for line in lines
    ]
    return Run(machine, rows)


def newest() -> Run | None:
    runs = [read(path) for path in RECORDS.glob("*.csv")]
    return max(runs, key=lambda run: run.machine["date"], default=None)


def _markdown(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
