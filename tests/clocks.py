"""Another time of day for one process: its own copy of the kernel's code that reads it, changed.

Programs read clocks through code that the kernel maps into each process, without a system call. A
process may change its copy, as a debugger does, and so reads another time than the rest of the
machine, in Python, in Rust and in C. Not for clocks that the kernel is told to sleep until.
"""

import ctypes
import mmap
import os
import platform
import struct

import pytest

# Do the system call, and if it was CLOCK_REALTIME that was asked for, add to the seconds:
#   mov eax, 228; syscall; test eax, eax; jnz end; test edi, edi; jnz end;
#   movabs rdx, SHIFT; mov rcx, [rdx]; add [rsi], rcx; end: ret
_CODE = "b8e4000000 0f05 85c0 7514 85ff 7510 48ba{shift} 488b0a 48010e c3"


class TimeOfDay:
    """From now on this process reads the time of day shifted by some seconds."""

    def __init__(self) -> None:
        if platform.machine() != "x86_64":
            pytest.skip("the code that reads clocks is known for x86-64 alone")
        self._shift = mmap.mmap(-1, mmap.PAGESIZE)
        # Clocks are read until the very end of the process.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._shift))
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._shift))
        code = bytes.fromhex(_CODE.format(shift=struct.pack("<Q", address).hex()))
        try:
            # Writes to the process's own copy, although it is mapped to be read alone.
            with open("/proc/self/mem", "r+b", buffering=0) as memory:
                os.pwrite(memory.fileno(), code, _address_of("__vdso_clock_gettime"))
        except OSError as error:
            pytest.skip(f"a process must not change its own code here: {error}")

    def shift(self, seconds: int) -> None:
        struct.pack_into("<q", self._shift, 0, seconds)


def _address_of(symbol: str) -> int:
    """Where a function of the kernel's library is in this process."""
    with open("/proc/self/maps") as maps:
        (line,) = [line for line in maps if line.rstrip().endswith("[vdso]")]
    start, end = (int(number, 16) for number in line.split()[0].split("-"))
    image = ctypes.string_at(start, end - start)
    names, symbols = _section(image, 3), _section(image, 11)
    for at in range(0, len(symbols), 24):
        name, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", symbols, at)
        if names[name:].partition(b"\0")[0] == symbol.encode():
            return start + value
    pytest.skip(f"the kernel's library has no {symbol}")


def _section(image: bytes, kind: int) -> bytes:
    """The first section of this kind: of strings, or of dynamic symbols."""
    offset, size, count = (
        struct.unpack_from("<Q", image, 40)[0],
        *struct.unpack_from("<HH", image, 58),
    )
    for at in range(offset, offset + size * count, size):
        if struct.unpack_from("<I", image, at + 4)[0] == kind:
            where, nbytes = struct.unpack_from("<QQ", image, at + 24)
            return image[where : where + nbytes]
    pytest.skip("the kernel's library cannot be read")
