"""Run the benchmarks, print the tables, and write a dated record.

    python -m benchmarks            about five minutes
    python -m benchmarks --quick    about one, without a record: to see that it works, not how fast

Rounds are interleaved, every contender once in each round, so that a slow moment of the machine
meets all of them; what is printed and compared are medians over the rounds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import record, rust, table
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.method import NoFigure, enough_items, seconds_an_item
from benchmarks.record import Measurement
from benchmarks.workloads import WORKLOADS, Workload

QUICK_NBYTES = 10_000_000  # The largest item of a quick run.
FILE_COLUMNS = 120


def main() -> None:
    options = parse_options()
    # What is piped into a file has no width of its own.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else FILE_COLUMNS)
    machine = record.describe_machine()
    for key, value in machine.items():
        console.print(f"{key}: {value}", markup=False)

    workloads = [workload for workload in WORKLOADS if options.only in workload.name]
    if options.quick:
        workloads = [workload for workload in workloads if workload.nbytes <= QUICK_NBYTES]
    measurements = measure_all(console, workloads, options.rounds, options.seconds)
    table.print_table(console, workloads, measurements)

    if options.rust:
        try:
            with console.status("cargo bench"):
                figures = rust.run()
        except rust.NoRust as reason:
            console.print(f"No figures from Rust: {reason}", markup=False)
        else:
            table.print_rust(console, figures)
            measurements += map(record.from_rust, figures)

    if options.record:
        console.print(
            f"Recorded in {record.write(machine, measurements).relative_to(rust.REPOSITORY)}"
        )


def measure_all(
    console: Console, workloads: list[Workload], rounds: int, seconds: float
) -> list[Measurement]:
    columns = (
        TextColumn("{task.description:<60}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # No refreshing thread: the processes that are measured are forked from this one.
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=len(workloads) * len(CONTENDERS) * rounds)

        def show(what: str, done: int) -> None:
            progress.update(task, description=what, advance=done, refresh=True)

        return [
            measurement
            for workload in workloads
            for measurement in measure(workload, rounds, seconds, show)
        ]


def measure(
    workload: Workload, rounds: int, seconds: float, show: Callable[[str, int], None]
) -> list[Measurement]:
    """All rounds of one workload. A contender that has failed is not tried again."""
    measurements = []
    items: dict[Contender, int] = {}  # How many each one gets to move, the same in every round.
    contenders = list(CONTENDERS)
    for round_ in range(1, rounds + 1):
        for contender in list(contenders):
            show(f"{workload.name}: {contender.name}", 0)
            microseconds, note = None, ""
            try:
                if contender not in items:
                    items[contender] = enough_items(contender, workload, seconds)
                microseconds = 1e6 * seconds_an_item(contender, workload, items[contender])
            except NoFigure as reason:
                note = str(reason)
                contenders.remove(contender)
            measurements.append(
                Measurement(
                    workload=workload.name,
                    contender=contender.name,
                    version=contender.version,
                    method=contender.method,
                    round=round_,
                    items=items.get(contender, 0),
                    microseconds=microseconds,
                    note=note,
                )
            )
            show("", 1 if contender in contenders else rounds - round_ + 1)
    return measurements


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="one short round, no record, no Rust")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="workloads with TEXT in the name"
    )
    parser.add_argument("--rounds", type=int, help="default: 5, with --quick 1")
    parser.add_argument("--seconds", type=float, help="of one measurement; default: 1 or 0.1")
    parser.add_argument("--rust", action=argparse.BooleanOptionalAction, help="run cargo bench too")
    parser.add_argument("--record", action=argparse.BooleanOptionalAction, help="write the record")
    options = parser.parse_args()
    quick, whole = options.quick, not options.quick and not options.only
    defaults = {"rounds": 1 if quick else 5, "seconds": 0.1 if quick else 1.0}
    for name, default in {**defaults, "rust": whole, "record": whole}.items():
        if getattr(options, name) is None:
            setattr(options, name, default)
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds and --seconds must be above 0")
    return options


if __name__ == "__main__":
    main()
