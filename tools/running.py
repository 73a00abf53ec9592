"""Runs a command, shows what it prints, and says that it goes on when it has printed nothing."""

import os
import re
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

# Nobody is left without a word for longer: it should be under 10 s.
SILENCE_S = 8.0
_PAUSE_S = 0.5
_COLUMNS = 80

_ESCAPES = re.compile(r"\x1b\[[\d;]*m")
# "test name ... ok", and the verbs that cargo aligns to the right.
_TEST = re.compile(r"(test )(.+)( \.\.\. .*)")
_CARGO = re.compile(r" +[A-Z][a-z-]+ .+")
_NOTHING = re.compile(r"; 0 [a-z ]+(?=;)")


def run(
    command: Sequence[str],
    what: str,
    *,
    shows: Callable[[str], bool] = lambda line: True,
    environment: Mapping[str, str] | None = None,
    silence_s: float = SILENCE_S,
) -> tuple[int, str]:
    """The command's exit status, and all that it printed.

    what: what it is, for the word that it goes on.
    shows: whether a line is to be shown.
    """
    output = _Output(what, shows, silence_s)
    started = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    assert started.stdout is not None
    pipe = started.stdout.fileno()
    try:
        while True:
            # Whoever is left of what it started may keep the pipe open.
            ended = started.poll() is not None
            if select.select([pipe], [], [], _PAUSE_S)[0]:
                some = os.read(pipe, 65536)
                if not some:
                    break
                output.take(some)
            elif ended:
                break
            else:
                output.say_that_it_goes_on()
        started.wait()
    except BaseException:
        # By Ctrl-C it was asked to end as this process was.
        try:
            started.wait(timeout=10)
        except subprocess.TimeoutExpired:
            started.kill()
        raise
    finally:
        started.stdout.close()
        output.end()
    return started.returncode, output.text()


class _Output:
    def __init__(self, what: str, shows: Callable[[str], bool], silence_s: float) -> None:
        self._what, self._shows, self._silence_s = what, shows, silence_s
        self._began = self._last_said = time.monotonic()
        self._all: list[bytes] = []
        self._rest = b""
        # Bytes of the rest that are shown already.
        self._shown = 0

    def take(self, some: bytes) -> None:
        self._all.append(some)
        *lines, self._rest = (self._rest + some).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            if self._shown:
                self._say(line[self._shown :].decode(errors="replace") + "\n")
            elif self._shows(text):
                self._say(fitted(text) + "\n")
            self._shown = 0
        # Dots come one by one. What may have to be shortened or left out is shown as a whole.
        if self._rest[:1] in (b".", b"\x1b") and self._shows("."):
            self._say(self._rest[self._shown :].decode(errors="replace"))
            self._shown = len(self._rest)

    def say_that_it_goes_on(self) -> None:
        now = time.monotonic()
        if now - self._last_said >= self._silence_s:
            # In the middle of a line of dots, on one of its own.
            before = "\n" if self._shown else ""
            self._say(f"{before}... {self._what}: {now - self._began:.0f} s\n")

    def end(self) -> None:
        if self._rest and not self._shown and self._shows(self._rest.decode(errors="replace")):
            self._say(self._rest.decode(errors="replace"))
            self._shown = len(self._rest)
        if self._shown:
            self._say("\n")

    def text(self) -> str:
        return _ESCAPES.sub("", b"".join(self._all).decode(errors="replace"))

    def _say(self, text: str) -> None:
        print(text, end="", flush=True)
        self._last_said = time.monotonic()


def fitted(line: str) -> str:
    """A line of a terminal's width, where it says that something goes well. All else stays."""
    plain = _ESCAPES.sub("", line)
    excess = len(plain) - _COLUMNS
    if excess <= 0:
        return line
    if plain.startswith("test result: "):
        return _NOTHING.sub("", line)
    if (found := _TEST.fullmatch(line)) and len(found[2]) > excess:
        # Names end with what tells them apart.
        return f"{found[1]}\N{HORIZONTAL ELLIPSIS}{found[2][excess + 1 :]}{found[3]}"
    if _CARGO.fullmatch(plain):
        return line[: -excess - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return line
