"""The record of a run: where it ran, and every figure of every round.

A record is a CSV file. Its first lines, which begin with #, describe the machine; then comes a row
for each measurement, so that a median, a spread or a plot can be made of it years later.
"""

from __future__ import annotations

import csv
import datetime
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from benchmarks.rust import RustFigure

RECORDS = Path(__file__).parent / "records"


@dataclass(frozen=True)
class Measurement:
    """One row: one contender, one workload, one round. `note` says why there is no figure."""

    workload: str
    contender: str
    version: str
    method: str
    round: int
    items: int
    microseconds: float | None
    note: str = ""


def from_rust(figure: RustFigure) -> Measurement:
    """A median that criterion made is one measurement here."""
    return Measurement(
        f"Rust: {figure.name}", "treequeues", "", "criterion", 1, 0, figure.median_ns / 1000
    )


def describe_machine() -> dict[str, str]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _first_field("/proc/cpuinfo", "model name"),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": _first_field("/proc/meminfo", "MemTotal"),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def write(machine: dict[str, str], measurements: Iterable[Measurement]) -> Path:
    """Write a new record, named after its day (later ones get a number), and return its path."""
    path = _unused_path(machine["date"][:10])
    with path.open("x", newline="") as file:
        file.writelines(f"# {key}: {value}\n" for key, value in machine.items())
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(field.name for field in fields(Measurement))
        rows.writerows(_texts(measurement) for measurement in measurements)
    return path


def _texts(measurement: Measurement) -> list[object]:
    return [f"{cell:.4f}" if isinstance(cell, float) else cell for cell in astuple(measurement)]


def _unused_path(day: str) -> Path:
    RECORDS.mkdir(exist_ok=True)
    path, number = RECORDS / f"{day}.csv", 1
    while path.exists():
        number += 1
        path = RECORDS / f"{day}-{number}.csv"
    return path


def _commit() -> str:
    """The commit that was measured, marked where the working tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(
            command, cwd=RECORDS.parent, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _first_field(path: str, key: str) -> str:
    with open(path) as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return "unknown"
