"""The tables that a run prints: medians, their ratios, and whether what is to be reached was."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import rust
from benchmarks.contenders import OURS
from benchmarks.record import Measurement
from benchmarks.rust import RustFigure
from benchmarks.workloads import BASELINE, Workload

SHORT = {
    BASELINE: "mp.Queue",
    "treequeues, out=": "treequeues\nget(out=)",
}  # So that the table fits on a terminal of 100 columns.

Medians = dict[tuple[str, str], float]  # Microseconds, by workload and contender.


def medians_of(measurements: Iterable[Measurement]) -> Medians:
    rounds: dict[tuple[str, str], list[float]] = {}
    for measurement in measurements:
        if measurement.microseconds is not None:
            key = measurement.workload, measurement.contender
            rounds.setdefault(key, []).append(measurement.microseconds)
    return {key: median(figures) for key, figures in rounds.items()}


def print_table(
    console: Console, workloads: list[Workload], measurements: list[Measurement]
) -> None:
    medians = medians_of(measurements)
    names = list(dict.fromkeys(measurement.contender for measurement in measurements))
    # A contender without any figure is told of below the table, with its reason.
    names = [name for name in names if any(contender == name for _, contender in medians)]

    rivals = list(dict.fromkeys(rival for workload in workloads for rival in workload.reach))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("put and get", no_wrap=True)
    for name in names:
        table.add_column(SHORT.get(name, name), justify="right", no_wrap=True)
    for rival in rivals:
        table.add_column(f"{SHORT.get(rival, rival)} /\n{OURS}", justify="right", no_wrap=True)
    for workload in workloads:
        times = [_time(medians.get((workload.name, name))) for name in names]
        verdicts = [_verdict(workload, rival, medians) for rival in rivals]
        table.add_row(workload.name, *times, *verdicts)
    console.print(table)
    console.print(f"Times for one item. x: how much faster {OURS} is, and is to be.\n")
    _print_notes(console, measurements)


def _verdict(workload: Workload, rival: str, medians: Medians) -> str:
    """How many times faster than a rival, and after the mark, how many are to be reached."""
    reach = workload.reach.get(rival)
    ours, theirs = medians.get((workload.name, OURS)), medians.get((workload.name, rival))
    if ours is None or theirs is None:
        return "-"
    ratio = theirs / ours
    if reach is None:
        return f"{ratio:.1f}x"
    return f"{ratio:.1f}x {_mark(ratio >= reach)} {reach:g}x"


def _print_notes(console: Console, measurements: list[Measurement]) -> None:
    """Each reason for a missing figure, once, with the workloads that it concerns."""
    concerned: dict[tuple[str, str], list[str]] = {}
    for measurement in measurements:
        if measurement.note:
            names = concerned.setdefault((measurement.contender, measurement.note), [])
            if measurement.workload not in names:
                names.append(measurement.workload)
    for (contender, note), names in concerned.items():
        console.print(f"{contender}, no figure for {'; '.join(names)}: {note}", markup=False)


def print_rust(console: Console, figures: list[RustFigure]) -> None:
    medians_ns = {figure.name: figure.median_ns for figure in figures}
    ours, plain = medians_ns.get(rust.OURS), medians_ns.get(rust.PLAIN)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("Rust, in one process")
    table.add_column("median", justify="right")
    table.add_column("at most", justify="right")
    for name, median_ns in medians_ns.items():
        reach = _at_most(median_ns, rust.REACH_NS, " ns") if name == rust.OURS else ""
        table.add_row(name, f"{median_ns:.1f} ns", reach)
    if ours is not None and plain is not None:
        ratio = ours / plain
        table.add_row("their ratio", f"{ratio:.1f}x", _at_most(ratio, rust.REACH_RATIO, "x"))
    console.print(table)


def _at_most(figure: float, reach: float, unit: str) -> str:
    return f"{_mark(figure <= reach)} {reach:g}{unit}"


def _mark(reached: bool) -> str:
    return "[green]✓[/]" if reached else "[red]✗[/]"


def _time(microseconds: float | None) -> str:
    if microseconds is None:
        return "-"
    if microseconds < 1000:
        return f"{microseconds:.3g} us"
    return f"{microseconds / 1000:.3g} ms"
