"""The measurement of recovery time runs. How long it takes is judged in its records, not here."""

import subprocess
import sys

from helpers import ROOT, WATCHDOG_S

sys.path.insert(0, str(ROOT))

from benchmarks.recovery import results

SCENES = 8
KILLS = 3


def run_of(p50, p99, cpu):
    """A run of 100 kills with these figures, beside bare waits of 100 ms at the 99th."""
    recoveries = [p50] * 98 + [p99] * 2
    return results.Run(
        {"date": "2026-01-02T03:04:05"},
        [
            results.summary("a scene", results.RECOVERY, recoveries),
            results.summary(results.ALL, results.BARE, [100.0] * 100),
            results.summary("blocked get", results.CPU, [cpu]),
        ],
    )


def test_what_is_reached_is_judged_by_the_worst_scene_and_the_bare_waits():
    def kept(*figures):
        return [promise.kept for promise in results.judge(run_of(*figures))]

    assert kept(60.0, 130.0, 0.5) == [True, True, True]
    assert kept(60.1, 130.1, 0.6) == [False, False, False]


def test_a_record_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RECORDS", tmp_path)
    run = run_of(50.0, 101.5, 0.125)
    results.write(run)
    assert results.newest() == run


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
