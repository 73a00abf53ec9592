"""What the newest records say of the guarantees, for the places of the documentation.

A place is `<!-- record: NAME -->`, NAME being one of `PLACES`, where other records can join them.
It is filled when the site is built, so that no figure there is typed by hand. Only Python's own
library is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path

from benchmarks import record
from benchmarks.kills import results as kills
from benchmarks.recovery import results as recovery

OURS = "treequeues"
NO_RECORD = "no record yet"

ROOT = Path(__file__).parents[1]
KILL_POINTS = ROOT / "kill_points" / "records"
FUZZ = ROOT / "fuzz" / "records"
_FUZZ_ROWS = {
    "kills": "processes killed",
    "cut_off": "of these, within a call or while they held something",
    "massacres": "times everybody was killed at once",
    "stops": "processes stopped, then continued or killed",
    "puts": "items put",
    "takes": "items taken",
    "redelivered": "items that came again, as they must",
    "hangs": "hangs",
    "lost": "items lost",
    "duplicates": "unexplained duplicates",
    "order_violations": "order violations",
}
_FUZZ_OF_TOPICS_ROWS = {
    "kills": "processes killed: publishers, readers and sweepers",
    "cut_off": "of these, within a call or while they held something",
    "massacres": "times everybody was killed at once",
    "stops": "processes stopped, then continued or killed",
    "puts": "items put",
    "reads": "items read",
    "missed": "items missed, as they were counted",
    "torn": "items torn",
    "stale": "newest items that were not the newest",
    "lost_newest": "newest items lost",
    "wrong_missed": "wrong counts of missed items",
    "held_up": "puts held up by readers",
    "hangs": "hangs",
    "order_violations": "order violations",
}

_newest_kills = cache(kills.newest)
_newest_recovery = cache(recovery.newest)


def fill(text: str) -> str:
    """A page with its places filled. Raises KeyError for a place that is not known."""
    return re.sub(r"<!-- record: ([\w ]+) -->", lambda found: PLACES[found[1]](), text)


def _of_kills(show: Callable[[kills.Run], str]) -> str:
    run = _newest_kills()
    return NO_RECORD if run is None else show(run)


def _of_recovery(show: Callable[[recovery.Run], str]) -> str:
    run = _newest_recovery()
    return NO_RECORD if run is None else show(run)


def _ours(guarantee: str, run: kills.Run) -> str:
    """Our cells of one guarantee, in one line of a table."""
    rows = [row for row in run.rows if (row.guarantee, row.contender) == (guarantee, OURS)]
    trials = dict.fromkeys(row.trial for row in rows)
    cells = (f"{it}: {kills.cell([row for row in rows if row.trial == it])}" for it in trials)
    return "<br>".join(cells)


def _machine(machine: dict[str, str]) -> str:
    scheduling = machine.get("scheduling", "usual")
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, Python "
        f"{machine['python']}{'' if scheduling == 'usual' else f', scheduled by {scheduling}'}; "
        f"{machine['date'][:10]}, commit {machine['commit']}"
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _kill_points() -> str:
    """The newest sweep over all instructions, a line for each kind of operation."""
    files = sorted(KILL_POINTS.glob("*.csv"))
    if not files:
        return NO_RECORD
    counts = ["killed", "stopped", "resumed", "missed"]
    sums: dict[str, list[int]] = {}
    ran, points = record.read_lines(files[-1])
    for row in points:
        of_group = sums.setdefault(row["group"], [0] * (1 + len(counts)))
        for place, number in enumerate([1, *(int(row[name]) for name in counts)]):
            of_group[place] += number
    sums["all"] = [sum(column) for column in zip(*sums.values(), strict=True)]
    head = [
        "",
        "operations",
        "killed there",
        "stopped there, then killed",
        "stopped, then went on",
        "of these, at the end instead",
    ]
    rows = ([group, *(f"{number:,}" for number in numbers)] for group, numbers in sums.items())
    return (
        f"{_table(head, rows)}\n\n{int(ran['seconds']):,} s on {ran['machine']}, {ran['kernel']}; "
        f"commit {ran['commit']}. Record: `{files[-1].relative_to(ROOT)}`."
    )


def _fuzz(folder: Path, labels: dict[str, str]) -> str:
    """The newest run of the fuzz whose records are in this folder."""
    files = sorted(folder.glob("*.json"))
    if not files:
        return NO_RECORD
    run = json.loads(files[-1].read_text())
    rows = ([label, f"{run[name]:,}"] for name, label in labels.items())
    return (
        f"{_table(['', 'count'], rows)}\n\nSeed {run['seed']}, {run['seconds']:,.0f} s on "
        f"{run['machine']}, {run['kernel']}; commit {run['commit']}. Record: "
        f"`{files[-1].relative_to(ROOT)}`."
    )


PLACES: dict[str, Callable[[], str]] = {
    "kill points": _kill_points,
    "fuzz": partial(_fuzz, FUZZ, _FUZZ_ROWS),
    "fuzz of topics": partial(_fuzz, FUZZ / "topics", _FUZZ_OF_TOPICS_ROWS),
    "kills": partial(_of_kills, kills.table),
    "kills contenders": partial(_of_kills, kills.contenders),
    "kills machine": partial(
        _of_kills,
        lambda run: (
            f"{run.machine['kills']} kills or stops a round, {run.machine['rounds']} rounds with "
            f"another seed each; {_machine(run.machine)}"
        ),
    ),
    "recovery": partial(_of_recovery, recovery.table),
    "recovery verdict": partial(_of_recovery, recovery.verdict),
    "recovery machine": partial(_of_recovery, lambda run: _machine(run.machine)),
    **{f"ours G{n}": partial(_of_kills, partial(_ours, f"G{n}")) for n in range(1, 9)},
}
