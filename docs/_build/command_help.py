"""The help of the command, in the page that shows it.

    python docs/_build/command_help.py --write PAGE    fills the marked place
    python docs/_build/command_help.py --check PAGE    fails if it is not what the command says

The page is `docs/reference/command.md`, and its marked place what stands between
`<!-- help: treequeues -->` and `<!-- end of help -->`. It becomes a block for the command, and one
for each of its subcommands, as the command of this environment prints them at 80 columns.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

BEGIN, END = "<!-- help: treequeues -->", "<!-- end of help -->"
COLUMNS = 80


def fill(page: str) -> str:
    """The page, with the help in its marked place."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place between {BEGIN} and {END}")
    return "\n".join([before + BEGIN, *blocks(), END + after])


def blocks() -> list[str]:
    """The command's own help, then that of each subcommand under a heading."""
    own = help_of()
    lines = [block("treequeues --help", own)]
    for subcommand in subcommands(own):
        command = f"treequeues {subcommand}"
        lines += [f"### {command}", block(f"{command} --help", help_of(subcommand))]
    return lines


def block(typed: str, printed: str) -> str:
    return f"\n```console\n$ {typed}\n{printed}```\n"


def subcommands(own_help: str) -> list[str]:
    """Those that the command's help lists, but for `help`, which says the same, and `relay`, which
    hands all that it is asked on to another program."""
    listed = re.search(r"^Commands:\n((?: +.*\n)+)", own_help, re.MULTILINE)
    assert listed, f"no list of commands:\n{own_help}"
    names = re.findall(r"^  (\w+)", listed[1], re.MULTILINE)
    return [name for name in names if name not in ("help", "relay")]


def help_of(*subcommand: str) -> str:
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1", "TERM": "dumb"}
    asked = [sys.executable, "-m", "treequeues", *subcommand, "--help"]
    done = subprocess.run(asked, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description="The help of the command, in its page.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", type=Path, metavar="FILE", help="fill the marked place of FILE")
    action.add_argument("--check", type=Path, metavar="FILE", help="fail if it differs")
    options = parser.parse_args()
    if options.write:
        options.write.write_text(fill(options.write.read_text()))
    else:
        text = options.check.read_text()
        if fill(text) != text:
            sys.exit(f"{options.check} does not say what the command says: use --write")


if __name__ == "__main__":
    main()
