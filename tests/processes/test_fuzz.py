"""The long fuzz of `make soak`, for a few hundred kills: workers in Rust and in Python together.

What it checks, and how, is in `fuzz/`, whose own tests show that it finds what is wrong.
"""

import subprocess
import sys

import pytest
from helpers import WATCHDOG_S, rust_program

KILLS = 200
# In the first epoch of the second, Python's workers come by a handle.
SEEDS = [11, 1744659284]


@pytest.mark.timeout(4 * WATCHDOG_S)
@pytest.mark.parametrize("seed", SEEDS)
def test_python_and_rust_lose_nothing_while_some_are_killed_and_some_are_stopped(seed, figure):
    command = [rust_program("kills"), "--python", sys.executable]
    command += ["--kills", str(KILLS), "--seed", str(seed)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=3 * WATCHDOG_S)
    assert run.returncode == 0, run.stdout + run.stderr
    figure(" ".join(run.stdout.splitlines()[-1].split()))
