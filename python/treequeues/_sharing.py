"""Queues and topics that nobody else uses, though somebody should.

One that is made when a module is imported, as a global, is made anew in each process that
imports the module again: in those that are spawned, and in those that come from a fork server. What
such a process puts there, the process that started it never sees.
"""

from __future__ import annotations

import sys
import warnings
from multiprocessing import process, util
from types import FrameType
from typing import Any
from weakref import ref

from treequeues._core import TreeQueue, TreeTopic

# Before named queues are closed.
_NEAR_LAST = -(2**31) + 1

# What was made anew, and the line of the module that made each.
_MADE_ANEW: list[tuple[ref[TreeQueue[Any] | TreeTopic[Any]], str, int]] = []


class UnsharedQueueWarning(RuntimeWarning):
    """Nobody else uses a queue or a topic, so a call waits in vain, or what was put there is lost.

    A call that has waited for 10 s gives it if no other process has ever been attached to the queue
    and no other thread of this one has used it, if all others have ended or left, or if the queue
    was made anew in this process because it is a global of a module that `multiprocessing`
    imported again. The environment variable `TREEQUEUES_WARN_AFTER`, read when the queue object is
    made, sets another time in seconds, or 0 for never. Each queue object gives it once.

    A process gives it when it ends, too, if it leaves items in a queue that was made anew.
    """


def is_importing_anew() -> bool:
    """Whether `multiprocessing` imports the program's modules into a process that it starts."""
    return _importing_frame() is not None


def _importing_frame() -> FrameType | None:
    """The module's code that runs, if it is imported so.

    None where an object that is unpickled meanwhile makes a queue: it has reasons of its own.
    """
    if not getattr(process.current_process(), "_inheriting", False):
        return None
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module in ("multiprocessing.spawn", "multiprocessing.forkserver"):
            return None
        # `__main__` is what the process was started with; the program's is `__mp_main__`.
        if frame.f_code.co_name == "<module>" and module != "__main__":
            return frame
        frame = frame.f_back
    return None


def warn_at_exit(queue: TreeQueue[Any] | TreeTopic[Any]) -> None:
    """Warn when a process ends and leaves items in this queue, which was just made anew."""
    if not _MADE_ANEW:
        _warn_at_the_end(_ANCHOR)
        # What comes from a fork server forgets what that was to do at its end.
        util.register_after_fork(_ANCHOR, _warn_at_the_end)
    frame = _importing_frame()
    if frame is not None:
        _MADE_ANEW.append((ref(queue), frame.f_code.co_filename, frame.f_lineno))


def _warn_at_the_end(_: object) -> None:
    util.Finalize(None, _warn_of_items, exitpriority=_NEAR_LAST)


def _warn_of_items() -> None:
    if process.parent_process() is None:
        # The fork server itself, which only imported the program.
        return
    for made, filename, lineno in _MADE_ANEW:
        queue = made()
        try:
            left = 0 if queue is None else queue._left_unshared()
        except OSError:
            # Its descriptors were closed: the others may still tell.
            continue
        if left:
            items = "1 item is" if left == 1 else f"{left} items are"
            kind = "topic" if isinstance(queue, TreeTopic) else "queue"
            warnings.warn_explicit(
                f"{items} left in a {kind} that was made anew when multiprocessing imported the "
                f"program into this process: the process that started this one has another {kind}, "
                f"and gets none of them. Pass that {kind} as an argument, and make it under "
                '`if __name__ == "__main__":`',
                UnsharedQueueWarning,
                filename,
                lineno,
            )


class _Anchor:
    """What `register_after_fork` refers to: it must be alive, and of a class of Python's."""


_ANCHOR = _Anchor()
