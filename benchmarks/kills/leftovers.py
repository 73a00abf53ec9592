"""What is left when everybody was killed: files in /dev/shm, and processes that the queue started.

Files are ours if they are new, and mapped by a process of the round or named after one. Processes
are found by a mark in their environment, wherever they have gone.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.kills.crew import PATIENCE_S, Crew, wait_for
from benchmarks.kills.peers import Peer
from benchmarks.kills.trials import Finding

NAME = "everybody is killed at once"
GUARANTEE = "G6"
MARK = "TREEQUEUES_KILLS"
WORKED = 20  # Items of each producer before everybody is killed.
CLEANING_S = 3.0  # So long helpers have time to clean up.

_SHM = Path("/dev/shm")


def work_until_killed(peer: Peer, folder: Path) -> None:
    """Two producers and two consumers, and this process beside them."""
    crew = Crew(peer, folder)
    workers = [crew.start_producer(number) for number in range(2)]
    workers += [crew.start_consumer(number) for number in range(2)]
    wait_for(lambda: min(crew.put_by(0), crew.put_by(1)) >= WORKED)
    pids = [os.getpid(), *(worker.pid for worker in workers)]
    (folder / "unfinished.pids").write_text(" ".join(map(str, pids)))
    (folder / "unfinished.pids").rename(folder / "pids")
    while True:
        signal.pause()


def kill_everybody(
    mark: str, folder: Path, before: set[str], end_the_rest: Callable[[], None]
) -> Finding:
    """From outside: kills who uses the queue, then the queue's own helpers, and looks each time.
    `before` are the files that were there before the round."""
    if not wait_for((folder / "pids").exists, 3 * PATIENCE_S):
        return Finding(None, "the workers did not begin")
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    everybody = marked(mark)
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)  # So that nothing comes or goes while it is looked at.
    mapped = {file for pid in everybody for file in _mapped(pid)}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in everybody:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    time.sleep(CLEANING_S)
    helpers = len(marked(mark))
    end_the_rest()
    left = [
        file
        for file in files() - before
        if file in mapped or any(_is_named_after(file, pid) for pid in everybody)
    ]
    text = f"{len(left)} files in /dev/shm, {helpers} processes"
    return Finding(not left and not helpers, text, {"files": sorted(left)[:8], "helpers": helpers})


def remove(before: set[str], pids: list[int]) -> None:
    """Takes away new files that are named after these processes."""
    for file in files() - before:
        if any(_is_named_after(file, pid) for pid in pids):
            with contextlib.suppress(OSError):
                (_SHM / file).unlink()


def marked(mark: str) -> list[int]:
    """Processes with this mark in their environment, as it was when they began."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found.append(int(entry))
    return found


def _mapped(pid: int) -> set[str]:
    with contextlib.suppress(OSError):
        return set(re.findall(r" /dev/shm/([^ \n]+)", Path(f"/proc/{pid}/maps").read_text()))
    return set()


def files() -> set[str]:
    """Those that stand in /dev/shm itself, where names of shared memory and semaphores do. Folders
    are somebody's, and numbers in them may look like anything."""
    return {path.name for path in _SHM.iterdir() if not path.is_dir()}


def _is_named_after(file: str, pid: int) -> bool:
    """Decimal or hexadecimal; what follows may be random digits."""
    return bool(re.search(rf"(?<![0-9a-f])({pid}|{pid:x})", file))
