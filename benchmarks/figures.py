"""The tables of a record, as Markdown: for the terminal, and for the README, which can be checked.

    python -m benchmarks.figures                      the whole report of the newest record
    python -m benchmarks.figures --write README.md    fills its marked places
    python -m benchmarks.figures --check README.md    fails if they are not what the record says

A marked place is what stands between `<!-- figures: NAME -->` and `<!-- end of figures -->`, where
NAME is one of `BLOCKS`. Only Python's own library is needed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import promises, record
from benchmarks.cells import (
    AT_HAND_CELLS,
    ATARI,
    BASELINE,
    BATCH_CELLS,
    BORROW,
    BORROW_BATCH,
    CHECK,
    COPY_CELLS,
    COPY_REACH_NBYTES,
    COPYTO,
    CPU,
    CROWDS,
    GET,
    GET_AND_STACK,
    GET_BATCH,
    GET_BATCH_OUT,
    GET_OUT,
    LOAN_CELLS,
    ONE_WAY,
    OURS,
    P50,
    P99,
    PUT,
    RESERVE,
    ROUND_TRIPS,
    ROWS,
    RUST,
    RUST_CELL,
    RUST_CONTENDERS,
    TIME,
    UNCONTENDED,
    WIDTHS,
    Cell,
    crowd_text,
    size_text,
)
from benchmarks.record import Record

NONE = "-"
Line = list[str]


def report(run: Record) -> str:
    """All blocks with their titles."""
    parts = []
    for name, (title, block) in BLOCKS.items():
        text = block(run)
        if text:
            parts.append(f"## {title}\n\n<!-- {name} -->\n{text}")
    return "\n\n".join(parts)


def rows(run: Record) -> str:
    shown = [(row.label, row.cell, TIME) for row in ROWS]
    against = _against_baseline(run, [row.cell for row in ROWS])
    return _by_contender(run, "the time of an item", shown, against)


def round_trips(run: Record) -> str:
    shown = [
        (f"{cell.item.name}, {quantity}", cell, quantity)
        for cell in ROUND_TRIPS
        for quantity in (P50, P99)
    ]
    return _by_contender(run, "there and back", shown)


def crowds(run: Record) -> str:
    shown = [(crowd_text(cell.producers, cell.consumers), cell, TIME) for cell in CROWDS]
    against = _against_baseline(run, CROWDS)
    return _by_contender(run, "the time of an item", shown, against, _crowd_contenders(run))


def crowds_cpu(run: Record) -> str:
    """So that burnt processor time shows: with two busy processors it is twice the time."""
    shown = [(crowd_text(cell.producers, cell.consumers), cell, CPU) for cell in CROWDS]
    return _by_contender(run, CPU, shown, names=_crowd_contenders(run))


def widths(run: Record) -> str:
    shown = [(cell.item.name, cell, TIME) for cell in WIDTHS]
    return _by_contender(run, "the time of an item", shown)


def batches(run: Record) -> str:
    """The time of an item in a stream of stacked batches."""
    medians = run.medians()
    return _table(
        ["an item in batches of", *(str(cell.batch) for cell in BATCH_CELLS), "how"],
        [
            [
                _code(name),
                *(_time(medians.get(cell, TIME, name)) for cell in BATCH_CELLS),
                run.contenders[name].batch_method if name in run.contenders else "",
            ]
            for name in _present(run, BATCH_CELLS)
        ],
    )


def batches_at_hand(run: Record) -> str:
    medians = run.medians()
    return _table(
        ["taking a batch of", *(str(cell.batch) for cell in AT_HAND_CELLS)],
        [
            [_code(way), *(_time(medians.get(cell, way, OURS)) for cell in AT_HAND_CELLS)]
            for way in (GET_AND_STACK, GET_BATCH, GET_BATCH_OUT, BORROW_BATCH)
        ],
    )


def loans(run: Record) -> str:
    medians = run.medians()
    return _table(
        ["zero copy", *(size_text(cell.item.nbytes) for cell in LOAN_CELLS)],
        [
            [
                f"{_code(name)}: {quantity}",
                *(_time(medians.get(cell, quantity, name)) for cell in LOAN_CELLS),
            ]
            for name in _present(run, LOAN_CELLS)
            for quantity in (RESERVE, BORROW)
        ],
    )


def copies(run: Record) -> str:
    """Copies in and out, and their share of numpy.copyto's speed where that is promised."""
    medians = run.medians()
    lines = [
        [_code(quantity), *(_time(medians.get(cell, quantity, OURS)) for cell in COPY_CELLS)]
        for quantity in (COPYTO, PUT, GET, GET_OUT)
    ]
    large = [cell for cell in COPY_CELLS if cell.item.nbytes >= COPY_REACH_NBYTES]
    for quantity in (PUT, GET, GET_OUT):
        shares = [
            _share(medians.ratio(cell, (COPYTO, OURS), (quantity, OURS))) if cell in large else ""
            for cell in COPY_CELLS
        ]
        lines.append([f"speed of {_code(quantity)} against {_code(COPYTO)}", *shares])
    return _table(["one process", *(size_text(cell.item.nbytes) for cell in COPY_CELLS)], lines)


def rust(run: Record) -> str:
    medians = run.medians()
    return _table(
        ["Rust, 64 B", *RUST_CONTENDERS],
        [
            [what, *(_nanoseconds(medians.get(RUST_CELL, what, name)) for name in RUST_CONTENDERS)]
            for what in (UNCONTENDED, ONE_WAY)
        ],
    )


def reached(run: Record) -> str:
    """What was promised, and whether it was reached."""
    return _table(
        ["promise", "measured", "at least / at most", ""],
        [
            [promise.label, promise.measured, promise.reach, "✓" if promise.kept else "✗"]
            for promise in promises.judge(run.medians())
        ],
    )


def losses(run: Record) -> str:
    """Every cell in which a contender's median is below ours."""
    lines = []
    medians = run.medians()
    for (key, quantity, name), theirs in medians.figures.items():
        ours = medians.figures.get((key, quantity, OURS))
        if name.startswith(OURS) or name == CHECK or ours is None or theirs >= ours:
            continue
        measure, item, producers, consumers, batch = key
        where = item if measure != RUST else "Rust, 64 B"
        if batch:
            where += f", {batch} at a time"
        if (producers, consumers) != (1, 1):
            where += f", {crowd_text(producers, consumers)}"
        described = run.contenders.get(name)
        remark = described.remark if described else ""
        lines.append(
            [
                f"{measure}: {quantity}" if measure != RUST else quantity,
                where,
                _code(name),
                _time(theirs),
                _time(ours),
                _ratio(ours / theirs),
                remark,
            ]
        )
    if not lines:
        return "Nowhere in this record."
    head = ["what", "where", "who is faster", "theirs", "ours", "ours / theirs", "remark"]
    return _table(head, lines)


def contenders(run: Record) -> str:
    """Who took part, how, and what to know of them; and why figures are missing."""
    reasons: dict[str, dict[str, int]] = {}
    for row in run.measurements:
        if row.note:
            counts = reasons.setdefault(row.contender, {})
            counts[row.note] = counts.get(row.note, 0) + 1
    return _table(
        ["contender", "version", "how", "remark", "cells without a figure"],
        [
            [
                _code(name),
                it.version,
                it.method,
                it.remark,
                "; ".join(f"{count}: {reason}" for reason, count in reasons.get(name, {}).items()),
            ]
            for name, it in run.contenders.items()
        ],
    )


def machine(run: Record) -> str:
    it = run.machine
    link = run.path.relative_to(run.path.parents[2]).as_posix()
    return (
        f"{it['cpu']}, {it['cores']} cores, {it['kernel']}, Python {it['python']}, "
        f"NumPy {it['numpy']}; {it['date'][:10]}, commit {it['commit']} ([record]({link}))."
    )


BLOCKS: dict[str, tuple[str, Callable[[Record], str]]] = {
    "rows": ("Put and get, one process each, the time of an item", rows),
    "round trips": ("Round trip to another process and back", round_trips),
    "crowds": (f"{ATARI.name}, between more processes: putting to getting", crowds),
    "crowds cpu": ("The same, processor time of all processes together", crowds_cpu),
    "widths": ("The same bytes in more leaves, the time of an item", widths),
    "batches": ("Stacked batches of Atari transitions, the time of an item", batches),
    "batches at hand": ("The taking alone of a batch that is there", batches_at_hand),
    "loans": ("Zero copy, one element of one leaf touched", loans),
    "copies": ("Copies beside numpy.copyto", copies),
    "rust": ("Rust", rust),
    "reached": ("What was to be reached", reached),
    "losses": ("Where treequeues loses", losses),
    "contenders": ("Who took part", contenders),
    "machine": ("Where", machine),
}


def fill(text: str, run: Record) -> str:
    """A text with its marked places filled. Raises KeyError for a block that is not there."""

    def filled(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        return f"{begin}\n{BLOCKS[name][1](run)}\n{end}"

    place = r"(<!-- figures: ([a-z ]+) -->).*?(<!-- end of figures -->)"
    return re.sub(place, filled, text, flags=re.DOTALL)


def _by_contender(
    run: Record,
    what: str,
    columns: list[tuple[str, Cell, str]],
    last: Line | None = None,
    names: list[str] | None = None,
) -> str:
    """Contenders down; across, cells and their quantities."""
    medians = run.medians()
    if names is None:
        names = _present(run, (cell for _, cell, _ in columns))
    lines = [
        [_code(name), *(_time(medians.get(cell, quantity, name)) for _, cell, quantity in columns)]
        for name in names
    ]
    return _table([what, *(label for label, _, _ in columns)], lines + ([last] if last else []))


def _against_baseline(run: Record, chosen: Iterable[Cell]) -> Line:
    medians = run.medians()
    ratios = [medians.ratio(cell, (TIME, BASELINE), (TIME, OURS)) for cell in chosen]
    return [f"{_code(OURS)} against {_code(BASELINE)}", *map(_ratio, ratios)]


def _crowd_contenders(run: Record) -> list[str]:
    """Those that take part where there are several processes on a side."""
    return _present(run, CROWDS[1:])


def _present(run: Record, chosen: Iterable[Cell]) -> list[str]:
    """Contenders with a figure in one of the cells, in their order; the check comes last."""
    keys = {cell.key for cell in chosen}
    present = {name for key, _, name in run.medians().figures if key in keys}
    known = [name for name in run.contenders if name in present]
    return sorted(known, key=lambda name: name == CHECK)


def _table(head: Line, lines: list[Line]) -> str:
    """A table, without the lines that have no figures. Nothing if no line is left."""
    lines = [line for line in lines if any(cell not in ("", NONE) for cell in line[1:])]
    if not lines:
        return ""
    columns = list(zip(*lines, strict=True))[1:]
    rule = ["---", *("---:" if all(map(_is_figure, column)) else "---" for column in columns)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


def _is_figure(cell: str) -> bool:
    return cell in ("", NONE) or cell[0].isdigit()


def _code(name: str) -> str:
    return name if name == CHECK else f"`{name}`"


def _time(microseconds: float | None) -> str:
    if microseconds is None:
        return NONE
    if microseconds < 1000:
        return f"{_three_digits(microseconds)} us"
    return f"{_three_digits(microseconds / 1000)} ms"


def _nanoseconds(microseconds: float | None) -> str:
    return NONE if microseconds is None else f"{1000 * microseconds:.0f} ns"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:#.3g}"


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return NONE
    return f"{ratio:.{0 if ratio >= 20 else 1 if ratio >= 2 else 2}f}x"


def _share(ratio: float | None) -> str:
    return NONE if ratio is None else f"{ratio:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures")
    parser.add_argument("record", nargs="?", type=Path, help="default: the newest")
    parser.add_argument("--write", type=Path, metavar="FILE", help="fill the marked places of FILE")
    parser.add_argument("--check", type=Path, metavar="FILE", help="fail if they differ")
    options = parser.parse_args()
    run = record.read(options.record) if options.record else record.newest()
    if run is None:
        parser.error(f"{options.record} has an older format")
    if options.write:
        options.write.write_text(fill(options.write.read_text(), run))
    elif options.check:
        text = options.check.read_text()
        if fill(text, run) != text:
            sys.exit(f"{options.check} does not say what {run.path.name} says: use --write")
    else:
        print(report(run))


if __name__ == "__main__":
    main()
