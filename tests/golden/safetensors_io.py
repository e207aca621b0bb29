"""Minimal safetensors reading and writing for the golden-file generators (numpy only)."""
import json

import numpy as np

NAMES = {"float16": "F16", "float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64", "uint8": "U8",
         "uint32": "U32"}
TYPES = {name: kind for kind, name in NAMES.items()}


def save(path, tensors, metadata=None):
    """tensors: {name: array}; metadata: {str: str}."""
    header, offset, blocks = {}, 0, []
    if metadata:
        header["__metadata__"] = metadata
    for name, array in tensors.items():
        array = np.asarray(array, order="C")
        block = array.astype(array.dtype.newbyteorder("<")).tobytes()
        header[name] = {"dtype": NAMES[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(block)]}
        offset += len(block)
        blocks.append(block)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(blocks))


def load(path):
    """Returns ({name: array}, metadata)."""
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        kind = np.dtype(TYPES[entry["dtype"]]).newbyteorder("<")
        tensors[name] = np.frombuffer(data[start + first:start + last], kind).reshape(entry["shape"])
    return tensors, metadata
