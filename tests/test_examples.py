"""Each small example prints, as a script of its own, what it says that it shows.

Warnings are errors there: an array that outlives its loan would show as one.
"""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"
WATCHDOG = 60  # Seconds. Generous: it only keeps a hanging example from hanging the tests.


def output_of(example: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / example), *options],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_quickstart_prints_what_was_put() -> None:
    output = output_of("quickstart.py")
    assert output.startswith("Step(observation=array([[0., 1., 2.],")
    assert output.rstrip().endswith("reward=array(0.5, dtype=float32))")


def test_zero_copy_reads_every_shot_in_order() -> None:
    expected = [f"shot {number}: mean {number}.0" for number in range(5)]
    assert output_of("zero_copy.py").splitlines() == expected


def test_batches_are_full_but_for_the_rest_at_the_end() -> None:
    # 2 actors of 50 steps: 3 batches of 32, and 4 that are left.
    lines = [f"({n}, 84, 84) ({n},)" for n in (32, 32, 32, 4)]
    assert output_of("batches.py").splitlines() == lines


def test_actors_act_on_whole_weights_and_their_lag_is_printed() -> None:
    options = ("--actors", "2", "--steps", "200", "--megabytes", "4")
    lines = output_of("weights.py", *options).splitlines()
    assert lines[1].startswith("400 transitions, ") and lines[1].endswith("on whole weights")
    assert lines[2].startswith("3 versions of 4 MB, each published in ")
    assert lines[3].startswith("version lag of the actions: ")


def test_a_camera_films_for_a_display_that_skips_and_a_recorder_that_takes_all() -> None:
    lines = output_of("camera.py", "--seconds", "1").splitlines()
    camera, display, recorder = lines[-2].split("; ")
    assert camera == "camera 60"
    shown, missed = (int(number) for number in re.findall(r"\d+", display)[:2])
    recorded, passed = (int(number) for number in re.findall(r"\d+", recorder)[:2])
    assert recorded + passed == 60
    # The newest frame is shown last, so what is not shown was passed over.
    assert shown + missed == 60
    assert shown < 60


def test_a_message_is_read_with_safetensors_alone_as_the_page_shows() -> None:
    page = (EXAMPLES.parent / "docs/reference/wire.md").read_text()
    shown = re.search(r"<!-- picture -->\n```text\n(.*?)```", page, re.DOTALL)
    message = EXAMPLES.parent / "crates/treequeues-wire/tests/data/message.safetensors"
    assert shown is not None
    assert output_of("read_message.py", str(message)) == shown[1]
