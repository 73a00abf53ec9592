"""What runs the parts of `make test`: what it shows meanwhile, and its summary."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WATCHDOG_S = 60

sys.path.append(str(ROOT / "tools"))

import parts  # noqa: E402
import running  # noqa: E402

CARGO = (
    "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s"
)
ALL_GOOD = {
    "build-tests": "Finished",
    "build-release": "Finished",
    "test-cargo": f"{CARGO}\n{CARGO}",
    "test-loom": CARGO,
    "test-kill-points": "24 cases passed, 0 failed, in 64 s; 3 stops were missed",
    "test-python": "===== 7 passed, 2 skipped, 1 xfailed in 3.21s (0:00:03) =====",
    "docs": "The documentation is built",
}


def make_test(folder, printed, fails=()):
    """The summary of parts that print this, and the exit status."""
    lines = []
    for target, text in printed.items():
        lines.append(f"{target}:")
        lines += [f"\t@echo '{line}'" for line in text.splitlines()]
        lines += ["\t@exit 3"] if target in fails else []
    (folder / "Makefile").write_text("\n".join(lines) + "\n")
    environment = {it: text for it, text in os.environ.items() if not it.startswith("MAKE")}
    done = subprocess.run(
        [sys.executable, ROOT / "tools/parts.py"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=WATCHDOG_S,
    )
    return done.stdout, done.returncode


def summary_of(text):
    """Without its times."""
    lines = text.rsplit("\n\n", 1)[1].splitlines()
    return [line.removesuffix(" s").rstrip(" 0123456789").rstrip(",") for line in lines]


def test_the_summary_has_a_line_for_each_part(tmp_path):
    text, status = make_test(tmp_path, ALL_GOOD)
    assert status == 0
    assert summary_of(text) == [
        "builds         done",
        "Rust tests     10 passed, 2 ignored",
        "interleavings  5 passed, 1 ignored",
        "kill points    24 passed",
        "Python tests   7 passed, 3 skipped",
        "documentation  built, site/index.html",
        "make test: all good",
        "46 passed, 0 failed, 6 skipped",
    ]
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_what_a_part_prints_is_shown_under_its_name(tmp_path):
    text, _ = make_test(tmp_path, ALL_GOOD)
    assert "---- kill points: make test-kill-points\n24 cases passed, 0 failed" in text


def test_a_failure_ends_it_and_says_how_to_run_that_part_again(tmp_path):
    printed = {**ALL_GOOD, "test-loom": CARGO.replace("0 failed", "2 failed")}
    text, status = make_test(tmp_path, printed, fails={"test-loom"})
    assert status != 0
    assert summary_of(text) == [
        "builds         done",
        "Rust tests     10 passed, 2 ignored",
        "interleavings  5 passed, 2 failed, 1 ignored",
        "kill points    not run",
        "Python tests   not run",
        "documentation  not run",
        "interleavings failed; alone: make test-loom",
        "make test: not all good",
        "15 passed, 2 failed, 3 skipped",
    ]


def test_a_part_that_fails_before_it_counts_fails(tmp_path):
    text, status = make_test(tmp_path, {**ALL_GOOD, "test-cargo": "error"}, fails={"test-cargo"})
    assert status != 0
    assert summary_of(text)[1] == "Rust tests     1 failed"
    assert text.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"
    assert "Rust tests failed; alone: make test-cargo" in text


def test_what_is_built_side_by_side_fails_with_either(tmp_path):
    text, status = make_test(tmp_path, ALL_GOOD, fails={"build-release"})
    assert status != 0
    assert summary_of(text)[:2] == ["builds         1 failed", "Rust tests     not run"]
    assert "builds failed; alone: make build-tests build-release" in text


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("1 failed, 3 passed, 2 errors in 4.56s", {"passed": 3, "failed": 3}),
        ("== 3 passed in 4.56s ==\n== 2 passed, 1 warning in 61.00s (0:01:01) ==", {"passed": 2}),
        ("no tests ran in 0.01s", {}),
        ("", {}),
    ],
)
def test_the_last_line_of_pytest_is_counted(text, of):
    assert parts.of_pytest(text).of == of


# --- Running --------------------------------------------------------------------------------------


def run(script, capfd, **options):
    status, text = running.run([sys.executable, "-u", "-c", script], "it", **options)
    return status, text, capfd.readouterr().out


def test_all_that_a_command_prints_is_shown_and_kept(capfd):
    script = (
        "import sys; print('a'); print('b', file=sys.stderr); print('end', end=''); sys.exit(3)"
    )
    assert run(script, capfd) == (3, "a\nb\nend", "a\nb\nend\n")


def test_a_silent_command_is_said_to_go_on(capfd):
    script = "import time; print('a'); time.sleep(2)"
    _, _, shown = run(script, capfd, silence_s=0.5)
    assert shown.startswith("a\n... it: ")


def test_dots_are_shown_as_they_come_and_a_silence_has_its_own_line(capfd):
    script = "import time; print('..', end=''); time.sleep(2); print('.', end='')"
    _, text, shown = run(script, capfd, silence_s=0.5)
    assert text == "..."
    assert shown.startswith("..\n... it: ")
    assert shown.endswith(".\n")


def test_only_lines_that_are_asked_for_are_shown_and_all_are_kept(capfd):
    _, text, shown = run("print('yes\\nno\\nyes')", capfd, shows=lambda line: line == "yes")
    assert (text, shown) == ("yes\nno\nyes\n", "yes\nyes\n")


def test_what_a_command_leaves_behind_does_not_hold_up(capfd):
    script = "import subprocess; print('a'); subprocess.Popen(['sleep', '5'])"
    assert run(script, capfd) == (0, "a\n", "a\n")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f"test {'a::' * 30}name ... ok", f"test …{('a::' * 30 + 'name')[-67:]} ... ok"),
        (
            f"   Compiling name (/{'folder/' * 12})",
            f"   Compiling name (/{'folder/' * 12}"[:79] + "…",
        ),
        (CARGO, "test result: ok. 5 passed; 1 ignored; finished in 0.1s"),
        ("x" * 100, "x" * 100),
        (f"assertion failed: {'x' * 100}", f"assertion failed: {'x' * 100}"),
        ("test name ... ok", "test name ... ok"),
    ],
)
def test_lines_that_go_well_fit_80_columns_and_no_other_is_shortened(line, shown):
    assert running.fitted(line) == shown
