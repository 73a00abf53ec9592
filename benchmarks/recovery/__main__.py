"""Measures recovery time and the cost of waiting; prints a table, and writes a record.

    python -m benchmarks.recovery                     # 1,000 kills a scene, some ten minutes
    python -m benchmarks.recovery --kills 20 --no-record

On a machine that works for others meanwhile, put `chrt --fifo 10` before it: else what is slow is
mostly the machine, which takes its time to end a process and to let another go on.

All scenes go on at once, since everybody in them is asleep nearly all the time. Whether that
distorts the figures shows in the bare waits, which are timed beforehand with nobody else there.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from queue import Empty, Full
from typing import Any

from benchmarks import record
from benchmarks.contenders.base import NoFigure
from benchmarks.method.processes import Crew
from benchmarks.recovery import results
from benchmarks.recovery.results import ALONE, BARE, CPU, DEATH, RECOVERY, Row
from benchmarks.recovery.scenes import BARE_WAIT_S, ITEM, SCENES, Scene, Stage

BARE_WAITS_ALONE = 100
BLOCKED_S = 10.0
BETWEEN_LINES_S = 10.0
SLOW_MS = 200.0  # A kill that took longer is told by itself.

Report = Callable[[Any], None]


def main() -> int:
    options = parse_options()
    machine = record.describe_machine()
    machine["kills"], machine["seed"] = str(options.kills), str(options.seed)
    machine["scheduling"] = scheduling()
    for key, value in machine.items():
        print(f"{key}: {value}")
    rows = [results.summary(ALONE, BARE, bare_waits_alone(min(BARE_WAITS_ALONE, options.kills)))]
    rows += measure_scenes(options.kills, options.seed)
    if options.blocked_s:
        rows += measure_idle(options.blocked_s)
    run = results.Run(machine, rows)
    print(f"\n{results.table(run)}\n\n{results.verdict(run)}")
    if options.record:
        print(f"record: {results.write(run)}")
    return int(not all(promise.kept for promise in results.judge(run)))


def measure_scenes(kills: int, seed: int) -> list[Row]:
    """`kills` kills in every scene, all scenes at once."""
    recoveries: dict[str, list[float]] = {scene.name: [] for scene in SCENES}
    bare: list[float] = []
    deaths: list[float] = []
    said = time.monotonic()
    with Crew() as crew:
        for number, scene in enumerate(SCENES):
            crew.start_reporter(play, scene, kills, seed + number)
        for done in range(1, kills + 1):
            for name, kill in crew.reports():
                recoveries[name].append(kill.recovered_ms)
                bare += kill.bare_ms
                deaths.append(kill.died_ms)
                if kill.recovered_ms > SLOW_MS:
                    print(f"{name}: {kill}")
            if time.monotonic() - said > BETWEEN_LINES_S:
                said = time.monotonic()
                print(f"{done} of {kills} kills in each of {len(SCENES)} scenes", flush=True)
    rows = [results.summary(name, RECOVERY, figures) for name, figures in recoveries.items()]
    rows.append(results.summary(results.ALL, DEATH, deaths))
    return [*rows, results.summary(results.ALL, BARE, bare)]


def play(scene: Scene, kills: int, seed: int, report: Report) -> None:
    stage = Stage(scene, seed)
    for _ in range(kills):
        report((scene.name, stage.kill_once()))
    signal.pause()  # The others go on; an end would look like a failure.


def measure_idle(blocked_s: float) -> list[Row]:
    """Per cent of a processor that a blocked process takes."""
    with Crew() as crew:
        for name in ("get", "put"):
            crew.start_reporter(block, name, blocked_s)
        return [results.summary(f"blocked {name}", CPU, [cpu]) for name, cpu in crew.reports()]


def block(name: str, blocked_s: float, report: Report) -> None:
    from treequeues import TreeQueue

    queue = TreeQueue(ITEM, 1)
    if name == "put":
        queue.put(ITEM)
    call = queue.get if name == "get" else lambda **limit: queue.put(ITEM, **limit)
    began, used = time.monotonic(), cpu_s()
    try:
        call(timeout=blocked_s)
    except (Empty, Full):
        report((name, 100 * (cpu_s() - used) / (time.monotonic() - began)))
        signal.pause()  # As above.
    raise NoFigure(f"{name} did not block")


def bare_waits_alone(count: int) -> list[float]:
    """Bare waits of 100 ms before any scene begins, in milliseconds."""
    never = threading.Lock()
    never.acquire()
    waits = []
    for _ in range(count):
        began = time.monotonic_ns()
        never.acquire(timeout=BARE_WAIT_S)
        waits.append((time.monotonic_ns() - began) / 1e6)
    return waits


def scheduling() -> str:
    """A real-time policy, as `chrt` gives, keeps other work of the machine out of the figures."""
    policy = os.sched_getscheduler(0)
    if policy == os.SCHED_OTHER:
        return "usual"
    names = {os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}
    return f"{names.get(policy, policy)}, {os.sched_getparam(0).sched_priority}"


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery")
    parser.add_argument("--kills", type=int, default=1000, help="in each scene")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--blocked-s", type=float, default=BLOCKED_S, help="of the idle cost")
    parser.add_argument("--record", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    if options.kills < 1:
        parser.error("--kills must be above 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
