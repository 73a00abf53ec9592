"""The command `treequeues`. All of it is Rust; this only starts it."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from treequeues import _core


def main() -> NoReturn:
    """Do what the command line asks for, and exit."""
    # Python's handlers would run when it is Python's turn again, which is when the command has
    # ended. A reader that goes ends it as it ends other commands.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # -P: a folder named treequeues that the command is called in is not the package.
    restart = [sys.executable, "-P", "-m", "treequeues"] if sys.executable else []
    sys.exit(_core._command(["treequeues", *sys.argv[1:]], restart))
