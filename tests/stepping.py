"""Another process, stopped at an exact place: instruction by instruction, or after a system call.

What others see of a process is what it wrote into the segment, and its lock. So between two
instructions that change the segment all places are the same to them, and `changes` stops only where
something changed.
"""

import ctypes
import mmap
import os
import platform
import signal

import pytest
from helpers import in_forked_child, reap

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_LIBC.ptrace.restype = ctypes.c_long

_SINGLESTEP, _DETACH, _SYSCALL = 9, 17, 24
_SEIZE, _INTERRUPT, _GET_SYSCALL_INFO = 0x4206, 0x4207, 0x420E
_TRACESYSGOOD, _EXITKILL = 1, 0x100000
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_ENTRY, _EXIT = 1, 2
_FCNTL = {"x86_64": 72, "aarch64": 25}.get(platform.machine())
_GET_LOCK = 36

# Many times what an operation takes, the interpreter's part included.
MOST_STEPS = 200_000


class _CallInfo(ctypes.Structure):
    _fields_ = (
        ("op", ctypes.c_uint8),
        ("arch", ctypes.c_uint32),
        ("instruction", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("values", ctypes.c_uint64 * 8),
    )


class Segment:
    """What everybody sees of a queue, for comparisons: cursors, participants, slots, rows."""

    def __init__(self, queue):
        descriptor = os.open(f"/proc/self/fd/{queue._handle()[1]}", os.O_RDONLY)
        self._memory = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        os.close(descriptor)

    def look(self):
        return self._memory[:]


class Stepped:
    """A forked child that does `operation()`, and is let go on a step at a time.

    `prepare()` runs before at full speed; what it returns is what the operation gets. When it is
    done the child waits to be released, as a participant that lives and does nothing.
    """

    def __init__(self, prepare, operation):
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        begin, self._begin = os.pipe()
        end, self._end = os.pipe()
        ready_here, ready = os.pipe()

        def work():
            held = prepare()
            os.write(ready, b".")
            os.read(begin, 1)
            operation(held)
            self._shared[0] = 1
            os.read(end, 1)

        self.pid = in_forked_child(work)
        for descriptor in (begin, end, ready):
            os.close(descriptor)
        assert os.read(ready_here, 1) == b".", "the child failed before its operation"
        os.close(ready_here)
        self._is_traced = False
        self._seize()
        os.write(self._begin, b".")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.pid is not None and kind is not None:
            self.kill()
        elif self.pid is not None:
            self.let_go()
            # Written, not closed: children of others may have this end too.
            os.write(self._end, b".")
            reap(self.pid)
        for descriptor in (self._begin, self._end):
            os.close(descriptor)

    @property
    def is_done(self):
        return self._shared[0] == 1

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = None

    def step(self, count=1):
        """Go on by so many instructions."""
        for _ in range(count):
            self._request(_SINGLESTEP)

    def changes(self, segment):
        """Stops before the operation, after each of its changes of the segment, and at its end."""
        seen = segment.look()
        yield
        for _ in range(MOST_STEPS):
            if self.is_done:
                yield
                return
            self._request(_SINGLESTEP)
            if segment.look() != seen:
                yield
                # Whoever is told of the stop changes the segment too.
                seen = segment.look()
        pytest.fail("the operation does not end")

    def run_until_it_asked_for_the_lock_of(self, byte):
        """Stop where the kernel has just said whether that participant lives."""
        if _FCNTL is None:
            pytest.skip("the number of fcntl is not known on this machine")
        info = _CallInfo()
        asks = False
        for _ in range(MOST_STEPS):
            status = self._request(_SYSCALL)
            assert not self.is_done, "it never asked"
            if os.WSTOPSIG(status) != _SYSCALL_STOP:
                continue
            _ptrace(_GET_SYSCALL_INFO, self.pid, ctypes.sizeof(info), ctypes.addressof(info))
            if info.op == _ENTRY:
                number, _, command, lock = info.values[:4]
                asks = (number, command) == (_FCNTL, _GET_LOCK) and self._start_of(lock) == byte
            elif info.op == _EXIT and asks:
                return
        pytest.fail("it never asked")

    def let_go(self):
        """Let it run freely from here on."""
        if self._is_traced:
            self._is_traced = False
            _ptrace(_DETACH, self.pid, 0, 0)

    def _start_of(self, lock):
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            # l_type, l_whence, padding, l_start.
            return int.from_bytes(os.pread(memory.fileno(), 16, lock)[8:], "little")

    def _seize(self):
        try:
            _ptrace(_SEIZE, self.pid, 0, _TRACESYSGOOD | _EXITKILL)
        except PermissionError as error:
            self.kill()
            pytest.skip(f"processes must not be traced here: {error}")
        self._is_traced = True
        _ptrace(_INTERRUPT, self.pid, 0, 0)
        self._wait()

    def _request(self, request):
        _ptrace(request, self.pid, 0, 0)
        return self._wait()

    def _wait(self):
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSTOPPED(status):
            self.pid = None
            pytest.fail(f"the traced process ended: {os.waitstatus_to_exitcode(status)}")
        return status


def _ptrace(request, pid, address, data):
    if _LIBC.ptrace(request, pid, address, data) == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
