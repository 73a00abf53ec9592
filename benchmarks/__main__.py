"""Run the benchmarks, print the tables, write a dated record, and draw the plots.

    python -m benchmarks            about ten minutes
    python -m benchmarks --quick    about two, without a record: to see that it works, not how fast
    python -m benchmarks --only batches --contenders "treequeues;dejaq"

Rounds are interleaved, every contender once in each round, so that a slow moment of the machine
meets all of them; what is printed and compared are medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmarks import cells, figures, record, rust
from benchmarks.cells import Cell
from benchmarks.conductor import Conductor
from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.base import Contender, NoFigure
from benchmarks.record import Description, Measurement, Record

QUICK_NBYTES = 10_000_000  # The largest item of a quick run,
QUICK_SECONDS = 0.05  # and how long each of its measurements takes.
# For the progress bar alone: what a measurement takes beside its seconds,
OVERHEAD_S = 0.2  # for processes,
WARM_UP_NBYTES_A_SECOND = 5e7  # and to warm up: the time of an item's bytes at this rate.
FILE_COLUMNS = 160


@dataclass(frozen=True)
class Seat:
    """A contender and the process that measures it."""

    contender: Contender
    conductor: Conductor


def main() -> None:
    options = parse_options()
    # What is piped into a file has no width of its own.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else FILE_COLUMNS)
    machine = record.describe_machine()
    for key, value in machine.items():
        console.print(f"{key}: {value}", markup=False)
    run = Record(record.unused_path(machine["date"]), machine)

    with_rust = options.rust and built_rust(console)
    seats = [
        Seat(contender, Conductor(contender.name, python_of(contender, options)))
        for contender in CONTENDERS
        if not options.contenders or contender.name in options.contenders
    ]
    try:
        run.contenders = {seat.contender.name: describe(seat) for seat in seats}
        run.measurements = measure_all(console, chosen_cells(options), seats)
    finally:
        for seat in seats:
            seat.conductor.close()
    if with_rust:
        run.measurements += measure_rust(console, 1 if options.quick else 5)

    console.print(Markdown(figures.report(run)))
    if options.record:
        record.write(run)
        console.print(f"Recorded in {run.path.relative_to(rust.REPOSITORY)}", markup=False)
    if options.plots:
        from benchmarks import plots

        for path in plots.draw_all(run, options.plots):
            console.print(f"Drawn: {path}", markup=False)


def measure_all(console: Console, chosen: list[Cell], seats: list[Seat]) -> list[Measurement]:
    columns = (
        TextColumn("{task.description:<72}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    total = sum(cost(cell) * len(takers(cell, seats)) for cell in chosen)
    # No refreshing thread: it would work while something is measured.
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=total)

        def show(what: str, done: float) -> None:
            progress.update(task, description=what, advance=done, refresh=True)

        return [row for cell in chosen for row in measure(cell, takers(cell, seats), show)]


def measure(cell: Cell, seats: list[Seat], show: Callable[[str, float], None]) -> list[Measurement]:
    """All rounds of one cell. A contender that has failed in it is not tried again."""
    rows = []
    for round_ in range(1, cell.rounds + 1):
        for seat in list(seats):
            name = seat.contender.name
            show(f"{cell.name}: {name}", 0)
            try:
                outcome = seat.conductor.measure(cell, cell.seconds)
            except NoFigure as reason:
                rows.append(Measurement(*cell.key, "", name, round_, 0, None, str(reason)))
                seats.remove(seat)
                show("", cost(cell) * (cell.rounds - round_ + 1) / cell.rounds)
                continue
            rows += [
                Measurement(*cell.key, quantity, name, round_, outcome.count, microseconds)
                for quantity, microseconds in outcome.microseconds.items()
            ]
            show("", cost(cell) / cell.rounds)
    return rows


def takers(cell: Cell, seats: list[Seat]) -> list[Seat]:
    return [seat for seat in seats if seat.contender.takes_part(cell)]


def cost(cell: Cell) -> float:
    warm_up_s = cell.item.nbytes / WARM_UP_NBYTES_A_SECOND
    return cell.rounds * (cell.seconds + OVERHEAD_S + warm_up_s)


def describe(seat: Seat) -> Description:
    contender = seat.contender
    version = seat.conductor.version()
    return Description(version, contender.method, contender.batch_method, contender.remark)


def python_of(contender: Contender, options: argparse.Namespace) -> str:
    """The interpreter of a contender's environment: its own where it is there, else this one."""
    own = dict(given.split("=", 1) for given in options.python).get(contender.name, "")
    return own if Path(own).is_file() else sys.executable


def built_rust(console: Console) -> bool:
    try:
        with console.status("cargo build"):
            rust.build()
    except rust.NoRust as reason:
        console.print(f"No figures from Rust: {reason}", markup=False)
        return False
    return True


def measure_rust(console: Console, rounds: int) -> list[Measurement]:
    rows = []
    for what, measure_it in (
        ("cargo bench", rust.measure_uncontended),
        ("one way between processes", lambda: rust.measure_one_way(rounds)),
    ):
        console.print(f"Rust: {what} ...", markup=False)
        try:
            rows += measure_it()
        except rust.NoRust as reason:
            console.print(f"No figures: {reason}", markup=False)
    return rows


def chosen_cells(options: argparse.Namespace) -> list[Cell]:
    chosen = [cell for cell in cells.all_cells() if options.only in cell.name]
    if options.quick:
        chosen = [
            replace(cell, rounds=1, seconds=min(cell.seconds, QUICK_SECONDS))
            for cell in chosen
            if cell.item.nbytes <= QUICK_NBYTES
        ]
    if options.rounds:
        chosen = [replace(cell, rounds=options.rounds) for cell in chosen]
    if options.seconds:
        chosen = [replace(cell, seconds=options.seconds) for cell in chosen]
    return chosen


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="one short round, no record, no Rust")
    parser.add_argument("--only", default="", metavar="TEXT", help="cells with TEXT in the name")
    parser.add_argument("--contenders", metavar="NAMES", help="only these, with ; between")
    parser.add_argument("--rounds", type=int, help="of every cell")
    parser.add_argument("--seconds", type=float, help="of every measurement")
    parser.add_argument("--rust", action=argparse.BooleanOptionalAction, help="run cargo bench too")
    parser.add_argument("--record", action=argparse.BooleanOptionalAction, help="write the record")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the plots into FOLDER")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a contender's own interpreter, if it needs other packages than the rest",
    )
    options = parser.parse_args()
    whole = not (options.quick or options.only or options.contenders)
    options.contenders = options.contenders.split(";") if options.contenders else []
    if not all("=" in given for given in options.python):
        parser.error("--python takes NAME=PATH")
    unknown = set(options.contenders) - {contender.name for contender in CONTENDERS}
    if unknown:
        parser.error(f"no such contender: {', '.join(sorted(unknown))}")
    for name in ("rust", "record"):
        if getattr(options, name) is None:
            setattr(options, name, whole)
    if options.plots is None and options.record:
        options.plots = Path(__file__).parent / "plots"
    if (options.rounds or 1) < 1 or (options.seconds or 1.0) <= 0:
        parser.error("--rounds and --seconds must be above 0")
    if os.cpu_count() == 1:
        parser.error("two processors are needed: who puts and who gets are to work at once")
    return options


if __name__ == "__main__":
    main()
