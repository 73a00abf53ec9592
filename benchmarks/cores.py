"""Many producers and consumers at once: microseconds an item on a machine of many processors.

    python -m benchmarks.cores                          some minutes; writes a record
    python -m benchmarks.cores --against OTHER/python   beside another build, in the same rounds
    python -m benchmarks.cores --calls                  system calls at the narrow end, not time

A bare machine will do: NumPy and the built package are needed, nothing else. `faster-fifo` takes
part if it is there. On a machine of fewer than sixteen processors each crowd is scaled down, so
that every process has one of its own; with --all they are as large as on the largest, and share.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks import cells, record
from benchmarks.cells import ATARI, CALLS, SMALL, TIME, Cell, crowd_text
from benchmarks.conductor import Conductor
from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.base import Contender, NoFigure
from benchmarks.record import Description, Measurement, Record

RECORDS = record.RECORDS / "cores"
CROWDS = ((1, 1), (2, 2), (4, 4), (8, 8), (15, 1), (1, 15))
PROCESSORS = 16  # For the largest of them.
BATCH = 32
SLOTS = 64
SLOTS_OF_BATCHES = 256  # Room for some batches of everybody.
ROUNDS, SECONDS = 5, 0.5
BOTH_WAYS = "treequeues, put_batch and get_batch"
TAKING_PART = ("multiprocessing.Queue", "faster-fifo", cells.OURS, BOTH_WAYS)
OTHER = ", the other build"


@dataclass(frozen=True)
class Seat:
    """A contender as the record calls it, and the process that measures it."""

    name: str
    contender: Contender
    conductor: Conductor


def main() -> None:
    options = parse_options()
    machine = record.describe_machine()
    processors = len(os.sched_getaffinity(0))
    crowds = list(dict.fromkeys(scaled(crowd, processors, options.all) for crowd in CROWDS))
    machine["crowds"] = "; ".join(crowd_text(*crowd) for crowd in crowds)
    if processors < PROCESSORS:
        machine["crowds"] += (
            f" (as for {PROCESSORS} processors, on {processors})"
            if options.all
            else f" (scaled down to {processors} processors)"
        )
    for key, value in machine.items():
        print(f"{key}: {value}")
    seats = seats_of(options)
    run = Record(record.unused_path(machine["date"], RECORDS), machine)
    try:
        run.contenders = {seat.name: describe(seat) for seat in seats}
        for cell in cells_of(crowds, options):
            rows = measure(cell, [seat for seat in seats if seat.contender.takes_part(cell)])
            run.measurements += rows
            print(line(cell, rows), flush=True)
    finally:
        for seat in seats:
            seat.conductor.close()
    if options.record:
        record.write(run)
        print(f"record: {run.path}")


def scaled(crowd: tuple[int, int], processors: int, is_whole: bool) -> tuple[int, int]:
    """The crowd with at most as many processes as there are processors, and as uneven."""
    producers, consumers = crowd
    room = max(processors, 2)
    if is_whole or producers + consumers <= room:
        return crowd
    if producers == consumers:
        return room // 2, room // 2
    return (room - 1, 1) if consumers == 1 else (1, room - 1)


def cells_of(crowds: list[tuple[int, int]], options: argparse.Namespace) -> list[Cell]:
    every = []
    for item in (SMALL, ATARI):
        for producers, consumers in crowds:
            one = Cell(cells.STREAM, item, producers, consumers, slots=SLOTS)
            batches = replace(
                one, measure=cells.BATCHES_BOTH_WAYS, batch=BATCH, slots=SLOTS_OF_BATCHES
            )
            every += [one, batches]
    if options.calls:
        # Whoever is alone on its side is the narrow end.
        every = [cell for cell in every if 1 in (cell.producers, cell.consumers)]
    return [
        replace(cell, rounds=options.rounds, seconds=options.seconds, counts_calls=options.calls)
        for cell in every
        if options.only in cell.name
    ]


def seats_of(options: argparse.Namespace) -> list[Seat]:
    by_name = {contender.name: contender for contender in CONTENDERS}
    taking_part = [
        by_name[name]
        for name in TAKING_PART
        if not options.ours or by_name[name].package == cells.OURS
    ]
    seats = [Seat(it.name, it, Conductor(it.name, sys.executable)) for it in taking_part]
    if options.against:
        seats += [
            Seat(it.name + OTHER, it, Conductor(it.name, options.against))
            for it in taking_part
            if it.package == cells.OURS
        ]
    return seats


def describe(seat: Seat) -> Description:
    contender = seat.contender
    return Description(
        seat.conductor.version(), contender.method, contender.batch_method, contender.remark
    )


def measure(cell: Cell, seats: list[Seat]) -> list[Measurement]:
    """All rounds of a cell, everybody once in each. Who has failed in it is not tried again."""
    rows = []
    for round_ in range(1, cell.rounds + 1):
        for seat in list(seats):
            try:
                outcome = seat.conductor.measure(cell, cell.seconds)
            except NoFigure as reason:
                rows.append(Measurement(*cell.key, "", seat.name, round_, 0, None, str(reason)))
                seats.remove(seat)
                continue
            rows += [
                Measurement(*cell.key, quantity, seat.name, round_, outcome.count, figure)
                for quantity, figure in outcome.microseconds.items()
            ]
    return rows


def line(cell: Cell, rows: list[Measurement]) -> str:
    """What there is to say of a cell: medians, and from where to where they go."""
    quantity, unit = (CALLS, "calls") if cell.counts_calls else (TIME, "us")
    parts = []
    for name in dict.fromkeys(row.contender for row in rows):
        own = [row for row in rows if row.contender == name]
        figures = [
            row.microseconds
            for row in own
            if row.quantity == quantity and row.microseconds is not None
        ]
        if figures:
            span = f"{min(figures):.3f} to {max(figures):.3f}"
            parts.append(f"{name} {median(figures):.3f} {unit} ({span})")
        else:
            parts.append(f"{name}: {own[-1].note}")
    crowd = "" if "to" in cell.name.rpartition(", ")[2] else ", 1 to 1"
    return f"{cell.name}{crowd}: {'; '.join(parts)}"


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cores")
    parser.add_argument("--only", default="", metavar="TEXT", help="cells with TEXT in the name")
    parser.add_argument("--ours", action="store_true", help="without other packages' queues")
    parser.add_argument("--against", metavar="PYTHON", help="an interpreter with another build")
    parser.add_argument("--all", action="store_true", help="whole crowds, however few processors")
    parser.add_argument(
        "--calls", action="store_true", help="count system calls, with perf or strace"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of every measurement")
    parser.add_argument("--record", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds and --seconds must be above 0")
    if options.against and not Path(options.against).is_file():
        parser.error(f"{options.against} is not there")
    return options


if __name__ == "__main__":
    main()
