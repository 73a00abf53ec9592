"""What the newest records say of the guarantees, for the places of the documentation.

A place is `<!-- record: NAME -->`, NAME being one of `PLACES`, where other records can join them.
It is filled when the site is built, so that no figure there is typed by hand. Only Python's own
library is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial

from benchmarks.kills import results as kills
from benchmarks.recovery import results as recovery

OURS = "treequeues"
NO_RECORD = "no record yet"

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


PLACES: dict[str, Callable[[], str]] = {
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
