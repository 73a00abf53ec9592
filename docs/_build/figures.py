"""Fills the marked places of pages with the newest record's figures whenever the site is built.

The places are those of `benchmarks.figures` and of `benchmarks.guarantees`. Nothing is stored in the pages, so nothing there can
become stale.
"""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import figures, guarantees, record  # noqa: E402


def on_page_markdown(markdown: str, **_: Any) -> str:
    markdown = guarantees.fill(markdown)
    if "<!-- figures: " not in markdown:
        return markdown
    run = record.newest()
    assert run is not None, "the newest record can be read"
    # The record is a file of the repository, and not of the site.
    return re.sub(r"\(\[record\]\((.*?)\)\)", r"(`\1`)", figures.fill(markdown, run))
