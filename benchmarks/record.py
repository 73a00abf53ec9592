"""The record of a run: where it ran, who took part, and every figure of every round.

A record is a CSV file. Its first lines, which begin with #, describe the machine and the
contenders; then comes a row for each figure, so that a median, a spread or a plot can be made of it
years later. Only Python's own library is needed to read it.
"""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from statistics import median

from benchmarks.cells import Cell

RECORDS = Path(__file__).parent / "records"
_CONTENDER = "contender "  # What the keys of the lines about contenders begin with.
_SEPARATOR = " | "


@dataclass(frozen=True)
class Measurement:
    """One row: one quantity of one contender in one cell and round. `note` says why there is no
    figure."""

    measure: str
    item: str
    producers: int
    consumers: int
    batch: int
    quantity: str
    contender: str
    round: int
    count: int
    microseconds: float | None
    note: str = ""


@dataclass(frozen=True)
class Description:
    """What a reader must know of a contender."""

    version: str
    method: str
    batch_method: str
    remark: str


Key = tuple[str, str, int, int, int]  # A cell's key.


@dataclass
class Record:
    path: Path
    machine: dict[str, str] = field(default_factory=dict)
    contenders: dict[str, Description] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)

    def medians(self) -> Medians:
        return medians_of(self.measurements)


class Medians:
    """Microseconds by cell, quantity and contender."""

    def __init__(self, figures: dict[tuple[Key, str, str], float]) -> None:
        self.figures = figures

    def get(self, cell: Cell, quantity: str, contender: str) -> float | None:
        return self.figures.get((cell.key, quantity, contender))

    def ratio(self, cell: Cell, over: tuple[str, str], under: tuple[str, str]) -> float | None:
        """How many times larger the one (quantity, contender) is than the other."""
        large, small = self.get(cell, *over), self.get(cell, *under)
        return large / small if large is not None and small else None


def medians_of(measurements: Iterable[Measurement]) -> Medians:
    rounds: dict[tuple[Key, str, str], list[float]] = {}
    for row in measurements:
        if row.microseconds is not None:
            key = (row.measure, row.item, row.producers, row.consumers, row.batch)
            rounds.setdefault((key, row.quantity, row.contender), []).append(row.microseconds)
    return Medians({key: median(figures) for key, figures in rounds.items()})


def describe_machine() -> dict[str, str]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _first_field("/proc/cpuinfo", "model name"),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": _first_field("/proc/meminfo", "MemTotal"),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def write(record: Record) -> None:
    with record.path.open("x", newline="") as file:
        file.writelines(f"# {key}: {value}\n" for key, value in record.machine.items())
        file.writelines(
            f"# {_CONTENDER}{name}: {_SEPARATOR.join(astuple(description))}\n"
            for name, description in record.contenders.items()
        )
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(field.name for field in fields(Measurement))
        rows.writerows(map(_texts, record.measurements))


def read(path: Path) -> Record | None:
    """A record, or None if it is of an older format."""
    record = Record(path)
    with path.open(newline="") as file:
        head, rows = _split(file)
        for line in head:
            key, _, value = line.removeprefix("# ").rstrip("\n").partition(": ")
            if key.startswith(_CONTENDER):
                description = Description(*value.split(_SEPARATOR))
                record.contenders[key.removeprefix(_CONTENDER)] = description
            else:
                record.machine[key] = value
        reader = csv.DictReader(rows)
        if reader.fieldnames != [field.name for field in fields(Measurement)]:
            return None
        record.measurements = [_measurement(row) for row in reader]
    return record


def newest() -> Record:
    """The newest record of this format. Raises FileNotFoundError if there is none."""
    records = [record for path in RECORDS.glob("*.csv") if (record := read(path)) is not None]
    if not records:
        raise FileNotFoundError(f"no record of this format in {RECORDS}: `make bench` writes one")
    return max(records, key=lambda record: record.machine["date"])


def unused_path(date: str, folder: Path = RECORDS) -> Path:
    """A record is named after its day; later ones of the day get a number."""
    folder.mkdir(exist_ok=True)
    path, number = folder / f"{date[:10]}.csv", 1
    while path.exists():
        number += 1
        path = folder / f"{date[:10]}-{number}.csv"
    return path


def read_lines(path: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """What the head of a record says, and its rows by column."""
    with path.open(newline="") as file:
        head, rows = _split(file)
    pairs = (line.removeprefix("# ").rstrip("\n").partition(": ") for line in head)
    return {key: value for key, _, value in pairs}, list(csv.DictReader(rows))


def _split(file: Iterable[str]) -> tuple[list[str], list[str]]:
    lines = list(file)
    return (
        [line for line in lines if line.startswith("# ")],
        [line for line in lines if not line.startswith("# ")],
    )


def _measurement(row: dict[str, str]) -> Measurement:
    figure = row["microseconds"]
    return Measurement(
        row["measure"],
        row["item"],
        int(row["producers"]),
        int(row["consumers"]),
        int(row["batch"]),
        row["quantity"],
        row["contender"],
        int(row["round"]),
        int(row["count"]),
        float(figure) if figure else None,
        row["note"],
    )


def _texts(measurement: Measurement) -> list[object]:
    return [f"{cell:.4f}" if isinstance(cell, float) else cell for cell in astuple(measurement)]


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
