"""Forked children in namespaces of their own, as containers have them.

An ordinary user gets them through a user namespace, where the system allows that.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Any

import pytest
from helpers import in_forked_child, reap

_LIBC = ctypes.CDLL(None, use_errno=True)

MOUNTS, PIDS, TIMES = 0x00020000, 0x20000000, 0x00000080
_USERS = 0x10000000
_PRIVATE_AND_BELOW = 0x40000 | 0x4000


def in_namespaces(kinds: int, function: Callable[[], Any]) -> int:
    """Run `function` in a forked child with new namespaces; the pid, for `reap`.

    Of pids and times, the new namespaces are those of the child's own children.
    """
    reason = _in_a_child_of_its_own(kinds)
    if reason:
        pytest.skip(f"no such namespaces can be had here: {reason}")

    def work() -> None:
        _enter(kinds)
        function()

    return in_forked_child(work)


def mount_tmpfs(path: os.PathLike[str] | str, options: str) -> None:
    """Mount a tmpfs of this process's user, in its own mount namespace."""
    _check(_LIBC.mount(b"none", b"/", None, _PRIVATE_AND_BELOW, None))
    _check(_LIBC.mount(b"none", os.fsencode(path), b"tmpfs", 0, f"mode=0700,{options}".encode()))


def _enter(kinds: int) -> None:
    try:
        _check(_LIBC.unshare(kinds))
    except PermissionError:
        user, group = os.geteuid(), os.getegid()
        _check(_LIBC.unshare(kinds | _USERS))
        for file, text in (("setgroups", "deny"), ("uid_map", user), ("gid_map", group)):
            with open(f"/proc/self/{file}", "w") as map_file:
                map_file.write(text if text == "deny" else f"{text} {text} 1")


def _in_a_child_of_its_own(kinds: int) -> str:
    """Why such namespaces cannot be had; nothing if they can."""
    receiver, sender = os.pipe()

    def probe() -> None:
        try:
            _enter(kinds)
            if kinds & MOUNTS:
                mount_tmpfs("/tmp", "size=4k")
        except OSError as error:
            os.write(sender, str(error).encode())

    reap(in_forked_child(probe))
    os.close(sender)
    with open(receiver) as pipe:
        return pipe.read()


def _check(outcome: int) -> None:
    if outcome == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
