"""The kill test that is run on every queue: it finds no fault in ours, and sees planted ones."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import ROOT

sys.path.insert(0, str(ROOT))

from benchmarks.kills import receipts, results
from benchmarks.kills.results import Row

WATCHDOG_S = 110


@pytest.fixture
def folder(tmp_path):
    """Receipts of producer 0, who put 5 items, and of a consumer who got them all."""
    write(tmp_path / "put.0", [(0, number) for number in range(5)])
    write(tmp_path / "got.0", [(0, number) for number in range(5)])
    return tmp_path


def write(path: Path, marks):
    path.unlink(missing_ok=True)
    log = receipts.Log(path)
    for mark in marks:
        log.write(mark)


def faults(folder, killed_consumers=0):
    told = receipts.balance(folder, killed_consumers)
    return told.lost, told.twice, told.torn, told.unknown, told.out_of_order


def test_receipts_of_a_queue_that_works_tell_no_fault(folder):
    assert faults(folder) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ([0, 1, 3, 4], (1, 0, 0, 0, 0)),
        ([0, 1, 1, 2, 3, 4], (0, 1, 0, 0, 0)),
        ([0, 1, 2, 3, 4, 7], (0, 0, 0, 1, 0)),
        ([0, 2, 1, 3, 4], (0, 0, 0, 0, 1)),
        # The put between its return and its receipt.
        ([0, 1, 2, 3, 4, 5], (0, 0, 0, 0, 0)),
    ],
)
def test_a_fault_is_seen_in_the_receipts(folder, numbers, fault):
    write(folder / "got.0", [(0, number) for number in numbers])
    assert faults(folder) == fault


def test_a_torn_item_is_torn_and_not_lost_besides(folder):
    write(folder / "got.0", [(0, 0), (0, 1), receipts.TORN, (0, 3), (0, 4)])
    assert faults(folder) == (0, 0, 1, 0, 0)


def test_a_killed_consumer_may_have_taken_one_item_with_it(folder):
    write(folder / "got.0", [(0, 0), (0, 3), (0, 4)])
    assert faults(folder, killed_consumers=1) == (1, 0, 0, 0, 0)


def test_rounds_that_hang_are_told_by_their_kills():
    tally = dict.fromkeys(("lost", "twice", "torn", "unknown", "out_of_order"), 0)
    tally |= {"put": 9, "got": 9, "errors": {}, "capacity_before": 4, "capacity_after": 0}
    rows = [
        Row("G1", "producers are killed", "x", 1, 1, False, "", {**tally, "after": n, "hang": "no"})
        for n in (3, 7)
    ]
    assert results.cell(rows) == "✗ hangs after 3, 7 kills (no)"
    usual = {**rows[0].figures, "hang": results.THE_OTHERS}
    assert results.cell([replace(rows[0], figures=usual)]) == "✗ hangs after 3 kills"
    held = replace(rows[0], holds=True, figures={**usual, "hang": None, "capacity_after": 4})
    assert (
        results.cell([replace(rows[0], figures=usual), held])
        == "✗ hangs after 3 kills in 1 of 2 rounds"
    )


def test_a_record_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RECORDS", tmp_path)
    figures = {"after": 3, "errors": {"OSError": 2}}
    rows = [
        Row("G1", "a, with a comma", "treequeues", 1, 7, True, 'it "holds"', figures),
        Row("G3", "loans", "x, y", 1, 7, None, "has no loans", {}),
    ]
    about = {"treequeues": "0.1.0", "x, y": "1; remark"}
    run = results.Run({"date": "2026-01-02T03:04:05", "cpu": "some: cpu"}, about, rows)
    results.write(run)
    assert results.newest() == run


@pytest.mark.timeout(WATCHDOG_S)
def test_no_fault_of_ours_is_found_by_a_few_kills():
    command = [sys.executable, "-m", "benchmarks.kills", "--contenders", "treequeues"]
    done = subprocess.run(
        [*command, "--only", "killed", "--kills", "5", "--rounds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S - 10,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "✗" not in done.stdout
    assert done.stdout.count("✓") == 2 * 7
