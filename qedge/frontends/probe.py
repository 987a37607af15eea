"""One run of a float model on zeros, to learn the shapes inside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def run_on_zeros(
    data: bytes, input_shapes: Mapping[int, tuple[int, ...]], wanted: Collection[int]
) -> tuple[dict[int, tuple[int, ...]], dict[int, npt.NDArray[Any]]]:
    """Return the shape of every tensor, and the values of the wanted ones, after a run on zeros.

    Args:
        data: a ``.tflite``.
        input_shapes: shape by tensor index, for every input.
        wanted: tensor indices.

    Raises:
        RuntimeError: the interpreter refuses the model or the shapes.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    for index, shape in input_shapes.items():
        interpreter.resize_tensor_input(index, shape)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    interpreter.invoke()
    shapes = {int(d["index"]): tuple(int(n) for n in d["shape"]) for d in interpreter.get_tensor_details()}
    return shapes, {index: np.array(interpreter.get_tensor(index)) for index in wanted}
