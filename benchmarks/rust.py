"""The Rust crate's own benchmarks: runs them, and reads what criterion has written."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parent.parent
CRATE = "treequeues"
WATCHDOG_S = 900.0  # A first build may be among it.

# Names are criterion's "group/function". At most so many nanoseconds for a round of the four verbs,
# and at most so many times the plain queue, which survives nothing.
OURS, REACH_NS = "pair/treequeues reserve+commit+borrow+release", 80.0
PLAIN, REACH_RATIO = "pair/crossbeam ArrayQueue push+pop", 4.0


class RustFigure(NamedTuple):
    name: str
    median_ns: float


class NoRust(Exception):
    """The benchmarks of the crate cannot run here, with the reason."""


def run() -> list[RustFigure]:
    if shutil.which("cargo") is None:
        raise NoRust("cargo is not there")
    if not list((REPOSITORY / "crates" / CRATE / "benches").glob("*.rs")):
        raise NoRust("the crate has no benchmarks")
    started = time.time()
    _cargo("bench", "--package", CRATE, "--bench", "*")
    metadata = json.loads(_cargo("metadata", "--format-version", "1", "--no-deps"))
    figures = read_criterion(Path(metadata["target_directory"]) / "criterion", started)
    if not figures:
        raise NoRust("cargo bench left no figures")
    return figures


def read_criterion(directory: Path, since: float) -> list[RustFigure]:
    """The medians that criterion has written into `directory` after `since`, a `time.time()`."""
    figures = []
    for estimates in sorted(directory.glob("**/new/estimates.json")):
        if estimates.stat().st_mtime >= since:
            name = json.loads((estimates.parent / "benchmark.json").read_text())["full_id"]
            median_ns = json.loads(estimates.read_text())["median"]["point_estimate"]
            figures.append(RustFigure(name, median_ns))
    return figures


def _cargo(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["cargo", *arguments],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=WATCHDOG_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise NoRust(f"cargo {arguments[0]}: {error.stderr.strip().splitlines()[-1]}") from error
    except subprocess.TimeoutExpired as error:
        raise NoRust(f"cargo {arguments[0]} took more than {WATCHDOG_S:.0f} s") from error
    return done.stdout
