"""What cannot work is refused when the package is imported, before it leaves anything behind."""

from __future__ import annotations

import importlib
import sys


def refuse_subinterpreters() -> None:
    """Raise ImportError in any interpreter but the process's main one."""
    # The first from Python 3.13 on, the second before.
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters = importlib.import_module(name)
        except ImportError:
            continue
        if interpreters.get_current() != interpreters.get_main():
            raise ImportError(
                "treequeues works in a process's main interpreter only, as NumPy does, and this is "
                "a sub-interpreter; use it there, or in processes of their own (under mod_wsgi: "
                "WSGIApplicationGroup %{GLOBAL})"
            )
        return


def refuse_a_disabled_lock() -> None:
    """Raise ImportError where the interpreter runs without its lock.

    The native module, which is loaded by now, has asked for it.
    """
    is_enabled = getattr(sys, "_is_gil_enabled", None)
    if is_enabled is not None and not is_enabled():
        raise ImportError(
            "treequeues needs the interpreter's lock (GIL), which PYTHON_GIL=0 or -X gil=0 has "
            "turned off; run Python without that setting"
        )


refuse_subinterpreters()
