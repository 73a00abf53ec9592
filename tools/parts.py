"""Runs the parts of `make test`, one after another, and ends with one summary of all.

    python tools/parts.py [MAKE-ARGUMENT...]

Each part is a target of the Makefile, to be run again alone, or several that run side by side. What
they print is shown as it comes.
After a part that fails none is begun.
"""

import os
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from running import run

# In this order in the summary.
OUTCOMES = ("passed", "failed", "skipped", "ignored")


@dataclass
class Counts:
    """How many tests had which outcome."""

    of: dict[str, int] = field(default_factory=dict)
    # What is said where nothing is counted.
    instead: str = "done"

    def __str__(self) -> str:
        counted = [f"{self.of[it]} {it}" for it in OUTCOMES if self.of.get(it)]
        return ", ".join(counted) or self.instead


def of_cargo(text: str) -> Counts:
    """The sum of all its `test result: ok. 5 passed; 0 failed; 1 ignored; ...`."""
    counts = Counts()
    for line in re.findall(r"^test result: .*", text, re.MULTILINE):
        for number, outcome in re.findall(r"(\d+) (passed|failed|ignored)", line):
            counts.of[outcome] = counts.of.get(outcome, 0) + int(number)
    return counts


def of_kill_points(text: str) -> Counts:
    """Its `812 cases passed, 0 failed, in 64 s`."""
    found = re.findall(r"^(\d+) cases passed, (\d+) failed", text, re.MULTILINE)
    return Counts({"passed": int(found[-1][0]), "failed": int(found[-1][1])} if found else {})


def of_pytest(text: str) -> Counts:
    """Its last line, `== 1 failed, 3 passed, 1 xfailed, 2 errors in 4.56s ==`."""
    lines = re.findall(r"^(?:=+ )?(\d+ [a-z]+.* in [\d.]+s.*)", text, re.MULTILINE)
    counts = Counts()
    for number, outcome in re.findall(r"(\d+) ([a-z]+)", lines[-1] if lines else ""):
        kind = {"xfailed": "skipped", "error": "failed", "errors": "failed"}.get(outcome, outcome)
        if kind in OUTCOMES:
            counts.of[kind] = counts.of.get(kind, 0) + int(number)
    return counts


def of_docs(text: str) -> Counts:
    return Counts(instead="built, site/index.html")


@dataclass
class Part:
    name: str
    targets: str
    counted: Callable[[str], Counts]
    counts: Counts | None = None
    status: int | None = None
    seconds: float = 0.0


def parts() -> list[Part]:
    return [
        # A release build links on one processor for a minute; what compiles tests has the other.
        Part("builds", "build-tests build-release", lambda text: Counts()),
        Part("Rust tests", "test-cargo", of_cargo),
        Part("interleavings", "test-loom", of_cargo),
        Part("kill points", "test-kill-points", of_kill_points),
        Part("Python tests", "test-python", of_pytest),
        Part("documentation", "docs", of_docs),
    ]


def main() -> int:
    all_parts = parts()
    began = time.monotonic()
    try:
        for part in all_parts:
            run_part(part)
            if part.status:
                break
    except KeyboardInterrupt:
        pass
    summarize(all_parts, time.monotonic() - began)
    return 0 if all(part.status == 0 for part in all_parts) else 1


def run_part(part: Part) -> None:
    print(f"\n---- {part.name}: make {part.targets}", flush=True)
    environment = dict(os.environ)
    # One part at a time: `make -j` has nothing to share out.
    environment["MAKEFLAGS"] = re.sub(
        r"(^| )-j\d*|--jobserver-\S+", "", environment.get("MAKEFLAGS", "")
    )
    if sys.stdout.isatty() and "NO_COLOR" not in environment:
        # They would see that their output goes through a pipe.
        environment |= {"CARGO_TERM_COLOR": "always", "PY_COLORS": "1"}
    make = [environment.get("MAKE", "make"), "--silent", "--no-print-directory"]
    began = time.monotonic()
    try:

        def run_target(target: str) -> tuple[int, str]:
            return run([*make, *sys.argv[1:], target], target, environment=environment)

        with ThreadPoolExecutor() as side_by_side:
            ended = list(side_by_side.map(run_target, part.targets.split()))
        part.status = max(status for status, _ in ended)
        part.counts = part.counted("\n".join(text for _, text in ended))
        if part.status and not part.counts.of.get("failed"):
            # Before it counted, as when something does not compile.
            part.counts.of["failed"] = 1
    finally:
        part.seconds = time.monotonic() - began


def summarize(all_parts: list[Part], seconds: float) -> None:
    print()
    for part in all_parts:
        if part.counts is not None:
            what = str(part.counts)
        elif part.seconds:
            what = "interrupted"
        else:
            what = "not run"
        took = f"{part.seconds:5.0f} s" if part.seconds else ""
        print(f"{part.name:<15}{what:<44}{took}".rstrip())
    for part in all_parts:
        if part.status:
            print(f"{part.name} failed; alone: make {part.targets}")
    is_good = all(part.status == 0 for part in all_parts)
    print(f"make test: {'all good' if is_good else 'not all good'}, {seconds:.0f} s")
    # One line that programs can read, too.
    counted = [part.counts.of for part in all_parts if part.counts]
    passed, failed, skipped, ignored = (sum(of.get(it, 0) for of in counted) for it in OUTCOMES)
    print(f"{passed} passed, {failed} failed, {skipped + ignored} skipped", flush=True)


if __name__ == "__main__":
    sys.exit(main())
