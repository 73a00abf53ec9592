"""Runs the kill test on every queue; prints the table, and writes a record.

python -m benchmarks.kills                      # all of it: three rounds of 200 kills, an hour
python -m benchmarks.kills --kills 20 --rounds 1 --only killed --contenders 'treequeues;dejaq'
python -m benchmarks.kills --table              # the newest record's
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import record
from benchmarks.kills import leftovers, results, round, trials
from benchmarks.kills.crew import wait_for
from benchmarks.kills.peers import PEERS, Peer
from benchmarks.kills.results import Row, Run
from benchmarks.kills.trials import Finding, Trial

REPOSITORY = Path(__file__).parents[2]
A_KILL_S = 2.0  # What a kill may take on average; a round that takes longer ends early,
MARGIN_S = 120.0  # and is killed so long after.


def main() -> int:
    options = parse_options()
    if options.table:
        return print_newest()
    machine = record.describe_machine()
    machine |= {
        "kills": str(options.kills),
        "rounds": str(options.rounds),
        "seed": str(options.seed),
    }
    for key, value in machine.items():
        print(f"{key}: {value}")
    chosen = [peer() for peer in PEERS if not options.contenders or peer.name in options.contenders]
    run = Run(machine, {peer.name: describe(peer, options) for peer in chosen}, [])
    for peer in chosen:
        for row in rows_of(peer, options):
            print(
                f"{row.contender}: {row.trial}, round {row.round}: {results.cell([row])}",
                flush=True,
            )
            run.rows.append(row)
    run.rows.sort(key=lambda row: order_of(row.trial))
    print(f"\n{results.table(run)}\n\n{results.contenders(run)}")
    if options.record:
        print(f"record: {results.write(run).relative_to(REPOSITORY)}")
    # The others' faults are findings; ours would be bugs.
    return int(bool(results.faults(run, PEERS[0].name)))


ALL_KILLED = Trial(leftovers.GUARANTEE, leftovers.NAME, lambda _: Finding(None, ""))
ALL_TRIALS = (*trials.TRIALS[:-2], ALL_KILLED, *trials.TRIALS[-2:])


def rows_of(peer: Peer, options: argparse.Namespace) -> Iterator[Row]:
    for trial in ALL_TRIALS:
        if options.only not in trial.name:
            continue
        for number in range(1, (options.rounds if trial.rounds else 1) + 1):
            seed = options.seed + number
            found = play(peer, trial.name, seed, options)
            figures = found.figures
            yield Row(
                trial.guarantee,
                trial.name,
                peer.name,
                number,
                seed,
                found.holds,
                found.text,
                figures,
            )


def order_of(name: str) -> int:
    return [trial.name for trial in ALL_TRIALS].index(name)


def play(peer: Peer, trial: str, seed: int, options: argparse.Namespace) -> Finding:
    """One round, in a program of its own, of which nothing is left afterwards."""
    mark, files_before = secrets.token_hex(8), leftovers.files()
    seconds = options.kills * A_KILL_S
    with tempfile.TemporaryDirectory(prefix="treequeues-kills-") as folder:
        arguments = [peer.name, trial, str(options.kills), str(seed), str(seconds), folder]
        started = subprocess.Popen(
            [python_of(peer, options), "-m", "benchmarks.kills.round", *arguments],
            cwd=REPOSITORY,
            env=os.environ | {leftovers.MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if options.verbose else subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            if trial == leftovers.NAME:
                found = leftovers.kill_everybody(
                    mark, Path(folder), files_before, lambda: end(started, mark)
                )
                return finding_of(Path(folder)) or found
            started.wait(seconds + MARGIN_S)
            return finding_of(Path(folder)) or Finding(
                False, f"the program ended with exit code {started.returncode}"
            )
        except subprocess.TimeoutExpired:
            return Finding(False, f"no end within {seconds + MARGIN_S:.0f} s")
        finally:
            pids = [started.pid, *leftovers.marked(mark)]
            end(started, mark)
            leftovers.remove(files_before, pids)


def finding_of(folder: Path) -> Finding | None:
    path = folder / "finding.json"
    return Finding(**json.loads(path.read_text())) if path.exists() else None


def end(started: subprocess.Popen[bytes], mark: str) -> None:
    """Kills whatever is left of a round: its group, and helpers that have left it, which may clean
    up first."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    wait_for(lambda: not leftovers.marked(mark), leftovers.CLEANING_S)
    for pid in leftovers.marked(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def describe(peer: Peer, options: argparse.Namespace) -> str:
    version = play(peer, round.VERSION, 0, options).text
    return f"{version}; {peer.remark}" if peer.remark else version


def python_of(peer: Peer, options: argparse.Namespace) -> str:
    """The interpreter of a queue's environment: its own where it is there, else this one."""
    own: str = options.python.get(peer.name, "")
    return own if Path(own).is_file() else sys.executable


def print_newest() -> int:
    run = results.newest()
    if run is None:
        print(f"no record in {results.RECORDS}", file=sys.stderr)
        return 1
    print(f"{results.table(run)}\n\n{results.contenders(run)}")
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills")
    parser.add_argument("--kills", type=int, default=200, help="or stops, in each round")
    parser.add_argument("--rounds", type=int, default=3, help="of kills and of stops")
    parser.add_argument("--seed", type=int, default=0, help="of the first round, less one")
    parser.add_argument("--only", default="", metavar="TEXT", help="trials with TEXT in the name")
    parser.add_argument("--contenders", metavar="NAMES", help="only these, with ; between")
    parser.add_argument("--record", action=argparse.BooleanOptionalAction, help="write the record")
    parser.add_argument("--table", action="store_true", help="print the newest record's, no more")
    parser.add_argument("--verbose", action="store_true", help="show what rounds print as errors")
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=PATH", help="a queue's interpreter"
    )
    options = parser.parse_args()
    if not all("=" in given for given in options.python):
        parser.error("--python takes NAME=PATH")
    options.python = dict(given.split("=", 1) for given in options.python)
    if options.record is None:
        options.record = not (options.only or options.contenders)
    options.contenders = options.contenders.split(";") if options.contenders else []
    unknown = set(options.contenders) - {peer.name for peer in PEERS}
    if unknown:
        parser.error(f"no such contender: {', '.join(sorted(unknown))}")
    if options.kills < 1 or options.rounds < 1:
        parser.error("--kills and --rounds must be above 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
