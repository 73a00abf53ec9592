"""The README's first example, as a script of its own in another directory."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def first_example():
    return re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL).group(1)


def test_the_first_example_prints_what_it_says(tmp_path):
    script = tmp_path / "example.py"
    script.write_text(first_example())
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    said = re.search(r"print\(.*\)  # (.*)", first_example()).group(1)
    assert done.stdout.strip() == said


def test_the_first_example_is_short():
    assert len([line for line in first_example().splitlines() if line.strip()]) <= 16
