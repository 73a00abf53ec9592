"""Receipts: who put what and who got what, kept outside of the queue, and held against each other.

Each worker appends to a file of its own, by one `write` after each call, so that a kill leaves
whole receipts only.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kills.peers import Mark

RECEIPT = struct.Struct("<qq")  # Producer and number.
TORN = (-1, -1)  # In place of an item that was not whole.


class Log:
    """The receipts of one worker."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, mark: Mark) -> None:
        os.write(self._descriptor, RECEIPT.pack(*mark))


def count(path: Path) -> int:
    return path.stat().st_size // RECEIPT.size if path.exists() else 0


def read(path: Path) -> list[Mark]:
    whole = count(path) * RECEIPT.size
    return list(RECEIPT.iter_unpack(path.read_bytes()[:whole])) if whole else []


@dataclass(frozen=True)
class Balance:
    """What the receipts of a round say."""

    put: int
    got: int
    lost: int
    twice: int
    torn: int
    unknown: int  # Whole items that nobody put.
    out_of_order: int


def balance(folder: Path, killed_consumers: int) -> Balance:
    put: dict[int, int] = {}
    for path in folder.glob("put.*"):
        for producer, number in read(path):
            put[producer] = max(put.get(producer, 0), number + 1)
    logs = [read(path) for path in folder.glob("got.*")]
    got = Counter(mark for log in logs for mark in log)
    torn = got.pop(TORN, 0)
    missing = sum(
        1
        for producer, last in put.items()
        for number in range(last)
        if (producer, number) not in got
    )
    unknown = sum(
        times for (producer, number), times in got.items() if number > put.get(producer, 0)
    )
    return Balance(
        put=sum(put.values()),
        got=sum(got.values()),
        # A torn item is one that was put, and is told once. K2: one may lie in each killed one.
        lost=max(0, missing - torn - killed_consumers),
        twice=sum(got.values()) - len(got),
        torn=torn,
        unknown=unknown,
        out_of_order=max(0, sum(map(_out_of_order, logs)) - killed_consumers),
    )


def _out_of_order(log: list[Mark]) -> int:
    """How many come after a later one of the same producer."""
    latest: dict[int, int] = {}
    late = 0
    for producer, number in log:
        if number < latest.get(producer, -1):
            late += 1
        else:
            latest[producer] = number
    return late
