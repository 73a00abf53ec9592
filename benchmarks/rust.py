"""The figures from Rust: criterion's of the crate itself, and one way between processes.

The second is a program of its own, in `benchmarks/rust`: it brings iceoryx2, which nobody who
builds treequeues should have to build.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.cells import ONE_WAY, RUST, RUST_CELL, RUST_CONTENDERS, UNCONTENDED
from benchmarks.record import Measurement

REPOSITORY = Path(__file__).parent.parent
CRATE = "treequeues"
MANIFEST = REPOSITORY / "benchmarks" / "rust" / "Cargo.toml"
WATCHDOG_S = 900.0  # A first build may be among it.

# Criterion's "group/function", and whose figure it is.
_CRITERION = {
    "pair/treequeues reserve+commit+borrow+release": RUST_CONTENDERS[0],
    "pair/crossbeam ArrayQueue push+pop": RUST_CONTENDERS[1],
}


class NoRust(Exception):
    """The benchmarks cannot run here, with the reason."""


def build() -> None:
    """Builds what the others run, so that nothing is built while something is measured."""
    if shutil.which("cargo") is None:
        raise NoRust("cargo is not there")
    _cargo("bench", "--package", CRATE, "--bench", "pair", "--no-run")
    _cargo("build", "--release", *_one_way_options())


def measure_uncontended() -> list[Measurement]:
    """One item in and out, nobody else there: criterion's medians."""
    started = time.time()
    _cargo("bench", "--package", CRATE, "--bench", "pair")
    medians_ns = read_criterion(_target_directory() / "criterion", started)
    figures = [
        _measurement(UNCONTENDED, contender, 1, 0, medians_ns[name])
        for name, contender in _CRITERION.items()
        if name in medians_ns
    ]
    if not figures:
        raise NoRust("cargo bench left no figures")
    return figures


def measure_one_way(rounds: int) -> list[Measurement]:
    lines = _cargo("run", "--release", *_one_way_options(), "--", str(rounds)).splitlines()
    return [
        _measurement(ONE_WAY, figure["name"], figure["round"], figure["count"], figure["ns"])
        for figure in map(json.loads, lines)
    ]


def read_criterion(directory: Path, since: float) -> dict[str, float]:
    """The medians in nanoseconds that criterion has written after `since`, a `time.time()`."""
    medians_ns: dict[str, float] = {}
    for estimates in sorted(directory.glob("**/new/estimates.json")):
        if estimates.stat().st_mtime >= since:
            name = json.loads((estimates.parent / "benchmark.json").read_text())["full_id"]
            medians_ns[name] = json.loads(estimates.read_text())["median"]["point_estimate"]
    return medians_ns


def _measurement(quantity: str, contender: str, round_: int, count: int, ns: float) -> Measurement:
    return Measurement(*RUST_CELL.key, quantity, contender, round_, count, ns / 1000)


def _one_way_options() -> list[str]:
    return ["--manifest-path", str(MANIFEST), "--target-dir", str(_target_directory() / RUST)]


def _target_directory() -> Path:
    metadata = json.loads(_cargo("metadata", "--format-version", "1", "--no-deps"))
    return Path(metadata["target_directory"])


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
        said = error.stderr.strip().splitlines() or ["no word"]
        raise NoRust(f"cargo {arguments[0]}: {said[-1]}") from error
    except subprocess.TimeoutExpired as error:
        raise NoRust(f"cargo {arguments[0]} took more than {WATCHDOG_S:.0f} s") from error
    return done.stdout
