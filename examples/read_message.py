"""Reads a message of treequeues with the packages safetensors and NumPy alone.

    python examples/read_message.py message.safetensors

The documentation's page on the wire format says what stands where.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import deserialize

# How safetensors calls the dtypes that NumPy has.
NUMPY = {
    "BOOL": "?",
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}


def array_of(tensor: dict[str, Any], told: Any) -> NDArray[Any]:
    """A tensor as an array; `told` is the dtype that the schema has for it."""
    data, dtype = bytes(tensor["data"]), tensor["dtype"]
    shape: tuple[int, ...] = tuple(tensor["shape"])
    if dtype == "BF16":
        # The upper half of a float32.
        halves = np.frombuffer(data, "<u2").astype("<u4")
        return (halves << 16).view("<f4").reshape(shape)
    if dtype == "F8_E5M2":
        # The upper half of a float16.
        return (np.frombuffer(data, "u1").astype("<u2") << 8).view("<f2").reshape(shape)
    if dtype == "F8_E4M3":
        return float8_e4m3(np.frombuffer(data, "u1")).reshape(shape)
    if dtype == "F8_E8M0":
        # An exponent alone.
        powers: NDArray[Any] = np.exp2(np.frombuffer(data, "u1").astype(float) - 127)
        return powers.reshape(shape)
    array: NDArray[Any] = np.frombuffer(data, NUMPY[dtype]).reshape(shape)
    if dtype == "U8" and told != "uint8":
        # An element that safetensors has no dtype for: its bytes are the last dimension.
        try:
            elements: NDArray[Any] = array.view(np.dtype(told))
        except TypeError:  # A record, or a dtype of ml_dtypes: shown as bytes.
            return array
        return elements.reshape(shape[:-1])
    return array


def float8_e4m3(codes: NDArray[Any]) -> NDArray[Any]:
    """A sign, four bits of an exponent, three of a fraction; there is no infinity."""
    sign = np.where(codes & 0x80, -1.0, 1.0)
    exponent, fraction = (codes >> 3 & 0x0F).astype(int), (codes & 0x07) / 8
    normal = (1 + fraction) * 2.0 ** (exponent - 7)
    value = np.where(exponent == 0, fraction * 2.0**-6, normal)
    return np.where(codes & 0x7F == 0x7F, np.nan, sign * value)


def main() -> None:
    content = Path(sys.argv[1]).read_bytes()
    # The first eight bytes are the length of the header, which is JSON.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    notes = header["__metadata__"]
    schema = json.loads(notes["treequeues.structure"])
    tickets = json.loads(notes["treequeues.tickets"])
    print(f"{len(tickets)} items of the {notes['treequeues.kind']} at {notes['treequeues.host']}")
    print(f"tickets {tickets}, put by processes {json.loads(notes['treequeues.pids'])}")
    tensors = dict(deserialize(content))  # type: ignore[no-untyped-call]
    names = json.loads(notes["treequeues.leaves"])
    for name, leaf in zip(names, schema["leaves"], strict=True):
        array = array_of(tensors[name], leaf["dtype"])
        print(f"{name}: {leaf['dtype']}, {array.tolist()}")


if __name__ == "__main__":
    main()
