"""The record of the kill test: a row for each round, and the table that is made of them.

Only Python's own library is needed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks import record

RECORDS = record.RECORDS / "kills"
THE_OTHERS = "the others did not go on"  # How the usual hang is told.
_CONTENDER = "contender "  # What the keys of the lines about contenders begin with.


@dataclass(frozen=True)
class Row:
    guarantee: str
    trial: str
    contender: str
    round: int
    seed: int
    holds: bool | None
    text: str
    figures: dict[str, Any]


@dataclass(frozen=True)
class Run:
    machine: dict[str, str]
    contenders: dict[str, str]  # Version and remark by name.
    rows: list[Row]


def table(run: Run) -> str:
    """Trials down, queues across."""
    trials = list(dict.fromkeys((row.guarantee, row.trial) for row in run.rows))
    lines = [["", "", *(f"`{name}`" for name in run.contenders)]]
    lines.append(["---"] * len(lines[0]))
    for guarantee, trial in trials:
        cells = [
            cell([row for row in run.rows if (row.trial, row.contender) == (trial, name)])
            for name in run.contenders
        ]
        lines.append([guarantee, trial, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def contenders(run: Run) -> str:
    lines = [["queue", "version, and what to know"], ["---", "---"]]
    lines += [[f"`{name}`", about] for name, about in run.contenders.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(rows: list[Row]) -> str:
    """What all rounds of one trial found of one queue."""
    if not rows:
        return "-"
    if all(row.holds is None for row in rows):
        return rows[0].text
    sign = "✓" if all(row.holds for row in rows) else "✗"
    tallies = [row.figures for row in rows if "capacity_before" in row.figures]
    texts = list(dict.fromkeys(row.text for row in rows if row.text))
    if tallies:
        texts.insert(0, _tallied(rows[0].trial, tallies))
    return f"{sign} {'; '.join(texts)}"


def _tallied(trial: str, tallies: list[dict[str, Any]]) -> str:
    """All rounds of a trial of deaths or stalls in one sentence."""
    what = "kills" if "killed" in trial else "stops"
    undisturbed = not any(tally["after"] for tally in tallies)
    put = sum(tally["put"] for tally in tallies)
    times = sum(tally["after"] for tally in tallies)
    found = []
    hung = [tally for tally in tallies if tally["hang"]]
    if hung:
        after = ", ".join(f"{tally['after']}" for tally in hung)
        # Where the others do not go on, no more need be said.
        others = [tally["hang"] for tally in hung if not tally["hang"].startswith(THE_OTHERS)]
        reasons = "; ".join(dict.fromkeys(others))
        if undisturbed:
            found.append("hangs")
        elif what == "kills":
            found.append(f"hangs after {after} kill{'s' if after != '1' else ''}")
        else:
            found.append(f"the others stood still at stop {after}")
        if reasons:
            found[-1] += f" ({reasons})"
        if len(hung) < len(tallies):
            found[-1] += f" in {len(hung)} of {len(tallies)} rounds"
    for key, word in (
        ("lost", "lost"),
        ("twice", "came twice:"),
        ("torn", "torn or mixed:"),
        ("unknown", "never put:"),
        ("out_of_order", "out of order:"),
    ):
        if count := sum(tally[key] for tally in tallies):
            found.append(f"{word} {count:,} of {put:,}")
    errors: dict[str, int] = {}
    for tally in tallies:
        for name, count in tally["errors"].items():
            errors[name] = errors.get(name, 0) + count
    if errors:
        raised = ", ".join(f"{count:,} {name}" for name, count in errors.items())
        found.append(f"the living got {raised}")
    for tally in tallies:
        before, after = tally["capacity_before"], tally["capacity_after"]
        if not tally["hang"] and before != after:
            found.append(f"room for {after} of {before} items in the end")
    if found:
        return "; ".join(dict.fromkeys(found)) + (
            "" if undisturbed or hung else f" ({times} {what})"
        )
    done = f"{put:,} items" if undisturbed else f"{times} {what}, {put:,} items"
    return f"holds ({done})"


def faults(run: Run, name: str) -> list[Row]:
    """Rows in which this queue does not hold."""
    return [row for row in run.rows if row.contender == name and row.holds is False]


def write(run: Run) -> Path:
    path = record.unused_path(run.machine["date"], RECORDS)
    with path.open("x", newline="") as file:
        file.writelines(f"# {key}: {value}\n" for key, value in run.machine.items())
        file.writelines(f"# {_CONTENDER}{key}: {value}\n" for key, value in run.contenders.items())
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(field.name for field in fields(Row))
        rows.writerows(_texts(run.rows))
    return path


def read(path: Path) -> Run:
    head, lines = record.read_lines(path)
    known = {"True": True, "False": False, "": None}
    rows = [
        Row(
            line["guarantee"],
            line["trial"],
            line["contender"],
            int(line["round"]),
            int(line["seed"]),
            known[line["holds"]],
            line["text"],
            json.loads(line["figures"]),
        )
        for line in lines
    ]
    machine = {key: value for key, value in head.items() if not key.startswith(_CONTENDER)}
    contenders = {
        key.removeprefix(_CONTENDER): value
        for key, value in head.items()
        if key.startswith(_CONTENDER)
    }
    return Run(machine, contenders, rows)


def newest() -> Run | None:
    runs = [read(path) for path in RECORDS.glob("*.csv")]
    return max(runs, key=lambda run: run.machine["date"], default=None)


def _texts(rows: Iterable[Row]) -> Iterable[list[object]]:
    for row in rows:
        holds = "" if row.holds is None else row.holds
        figures = json.dumps(row.figures)
        head = [row.guarantee, row.trial, row.contender, row.round, row.seed]
        yield [*head, holds, row.text, figures]
