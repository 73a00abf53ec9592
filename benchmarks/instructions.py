"""What the counters cost: instructions of a put and a get, with them and without.

Valgrind's callgrind counts instructions, the same number each time, whatever else the machine does.
Each program runs twice, with few and with many items, so that what is left of the difference is the
items'. Two builds are compared: as it is, and with `--cfg treequeues_uncounted`.

    python -m benchmarks.instructions            # prints a table, and writes a record

Under valgrind there is no vDSO, so a look at the clock is a system call of few instructions, and
rustix has to be told to use the C library. Both make the item cheaper than it is, and so the
counters' part of it larger.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
RECORDS = Path(__file__).parent / "records" / "instructions"
FEW, MANY = 2_000, 22_000
WATCHDOG_S = 1800.0  # The builds are among it.
MOST_ALLOWED = 0.05

_FLAGS = {
    "counted": "--cfg rustix_use_libc",
    "uncounted": "--cfg rustix_use_libc --cfg treequeues_uncounted",
}

# One array of 64 bytes, in and out, in one process.
_PYTHON = """
import sys
import numpy as np
from treequeues import TreeQueue
queue = TreeQueue(np.zeros(8), 10)
item = np.ones(8)
for _ in range(int(sys.argv[1])):
    queue.put(item)
    queue.get()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not there", file=sys.stderr)
        return 1
    figures = {build: _measure(build, flags) for build, flags in _FLAGS.items()}
    rows = [
        (what, figures["counted"][what], figures["uncounted"][what]) for what in figures["counted"]
    ]
    for what, counted, uncounted in rows:
        print(
            f"{what:45} {counted:8.1f} instructions, {uncounted:8.1f} without counters: "
            f"{counted / uncounted - 1:+.1%}"
        )
    if not options.no_record:
        print(f"record: {_write(rows).relative_to(REPOSITORY)}")
    return int(any(counted / uncounted - 1 > MOST_ALLOWED for _, counted, uncounted in rows))


def _measure(build: str, flags: str) -> dict[str, float]:
    """Instructions of an item, by program."""
    target = REPOSITORY / "target" / "instructions" / build
    environment = os.environ | {"RUSTFLAGS": flags, "CARGO_TARGET_DIR": str(target)}
    for what in (["-p", "treequeues", "--example", "pairs"], ["-p", "treequeues-py"]):
        _run(["cargo", "build", "--release", "--quiet", *what], environment)
    pairs = target / "release" / "examples" / "pairs"
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "treequeues"
        shutil.copytree(REPOSITORY / "python" / "treequeues", package)
        shutil.copy(target / "release" / "lib_core.so", package / "_core.abi3.so")
        python = [sys.executable, "-c", _PYTHON]
        return {
            "Rust: reserve, commit, borrow, release": _instructions([str(pairs)], os.environ),
            "Python: put, get": _instructions(python, os.environ | {"PYTHONPATH": folder}),
        }


def _instructions(program: list[str], environment: os._Environ[str] | dict[str, str]) -> float:
    """Instructions of one item."""
    few, many = (_count([*program, str(items)], dict(environment)) for items in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def _count(program: list[str], environment: dict[str, str]) -> int:
    # Hashes that differ from run to run would differ in instructions.
    environment["PYTHONHASHSEED"] = "0"
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    told = _run([*valgrind, *program], environment).stderr
    found = re.search(r"Collected : (\d+)", told)
    if found is None:
        raise SystemExit(f"{program[0]} was not counted:\n{told}")
    return int(found[1])


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done


def _write(rows: list[tuple[str, float, float]]) -> Path:
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{datetime.date.today().isoformat()}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["what", "instructions", "instructions_without_counters"])
        writer.writerows((what, f"{with_:.1f}", f"{without:.1f}") for what, with_, without in rows)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
