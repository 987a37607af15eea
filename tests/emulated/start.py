"""Runs inside the emulated Pi: from the start of the process to the first inference, bare or by qedge.

Usage: start.py bare|qedge BINDING_MODULE BUNDLE, or start.py c - BUNDLE for the bundle's C library. The plug-in's
marks count the instructions up to numpy, whose import differs from time to time, and all of them.
"""

from __future__ import annotations

import sys
from os import write

import numpy


def mark() -> None:
    """Have the plug-in print the instructions so far."""
    try:
        write(-7, b"")
    except OSError:
        return


mark()
if sys.argv[1] == "bare":
    module = __import__(sys.argv[2], fromlist=["Interpreter"])
    interpreter = module.Interpreter(model_path=f"{sys.argv[3]}/model.tflite", num_threads=1)
    interpreter.allocate_tensors()
    x = interpreter.get_input_details()[0]
    interpreter.set_tensor(x["index"], numpy.zeros(x["shape"], x["dtype"]))
    interpreter.invoke()
    interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
else:
    import qedge

    chosen = {"engine": "c"} if sys.argv[1] == "c" else {}
    model = qedge.load(sys.argv[3], threads=1, **chosen)
    model.run(numpy.zeros(model.inputs[0].shape, model.inputs[0].dtype))

mark()
