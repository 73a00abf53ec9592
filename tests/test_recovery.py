"""The measurement of recovery time runs. How long it takes is judged in its records, not here."""

import subprocess
import sys

from helpers import ROOT, WATCHDOG_S

SCENES = 8
KILLS = 3


def test_blocked_peers_go_on_after_kills_in_every_scene():
    command = [sys.executable, "-m", "benchmarks.recovery", "--no-record", "--blocked-s", "0.2"]
    done = subprocess.run(
        [*command, "--kills", str(KILLS), "--seed", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    assert done.stderr == ""
    assert done.returncode in (0, 1), "it said whether the machine was fast enough"
    rows = [line for line in done.stdout.splitlines() if f"killed | {KILLS} |" in line]
    assert len(rows) == SCENES, done.stdout
