"""What the stand-in Edge TPU computes: reads a package, then answers each inference on stdin and stdout."""

from __future__ import annotations

import struct
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers


def model_of(package: bytes) -> bytes:
    """Return the model in a stand-in's package: the longest byte string that starts a ``.tflite``."""
    blob = bytes(flexbuffers.GetRoot(bytearray(package)).AsMap["4"].AsBlob)
    at = blob.find(b"TFL3") - 4
    size = struct.unpack_from("<I", blob, at - 4)[0]
    return blob[at : at + size]


def main() -> None:
    """Serve until stdin ends."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    package = stdin.read(struct.unpack("<I", stdin.read(4))[0])
    runner = Interpreter(model_content=model_of(package), num_threads=1)
    runner.allocate_tensors()
    while True:
        for detail in runner.get_input_details():
            kind = np.dtype(detail["dtype"])
            size = int(np.prod(detail["shape"])) * kind.itemsize
            data = stdin.read(size)
            if len(data) < size:
                return
            runner.set_tensor(detail["index"], np.frombuffer(data, kind).reshape(detail["shape"]))
        runner.invoke()
        for detail in runner.get_output_details():
            stdout.write(np.ascontiguousarray(runner.get_tensor(detail["index"])).tobytes())
        stdout.flush()


if __name__ == "__main__":
    main()
