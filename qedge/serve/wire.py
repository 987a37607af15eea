"""Requests and answers of the Open Inference Protocol v2 as bytes, with its binary tensor extension.

Source: the REST specification "Predict Protocol - Version 2" and Triton's "Binary Tensor Data Extension". A request
names its inputs in JSON; with the header ``Inference-Header-Content-Length`` the JSON has that many bytes and
tensors follow it, each as many bytes as its ``binary_data_size`` says.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qedge.bundle.manifest import TensorSpec
from qedge.errors import DataError
from qedge.fields import Field

Array = npt.NDArray[Any]
DATATYPES = {
    "bool": "BOOL", "int8": "INT8", "uint8": "UINT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "float32": "FP32",
}  # fmt: skip
MAX_ID = 1024
KEPT_HEADS, KEPT_BYTES = 256, 4096
JSON_BYTES_A_VALUE = 24
SPARE_BYTES = 64 << 10
_IS_LITTLE = sys.byteorder == "little"
# Each integer type's range: numpy would wrap what does not fit.
_KINDS = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float)}


class Head(NamedTuple):
    """What the JSON of a request says.

    Args:
        inputs: an array for each input, or None where it follows the JSON.
        order: inputs that follow it, in their order.
        outputs: (number, as binary) of the wanted outputs in their order.
        answer: of an answer with binary outputs only: its JSON, always the same; else empty.
    """

    id: str | None
    inputs: tuple[Array | None, ...]
    order: tuple[int, ...]
    outputs: tuple[tuple[int, bool], ...]
    answer: bytes = b""


def body_limit(inputs: Sequence[TensorSpec]) -> int:
    """Return the most bytes that a request for such inputs can need, as JSON with spaces."""
    return SPARE_BYTES + JSON_BYTES_A_VALUE * sum(math.prod(spec.shape) for spec in inputs)


class Wire:
    """Reads requests for one model and writes its answers.

    A client that sends tensors behind the JSON sends the same JSON every time: what it says is kept.
    """

    def __init__(
        self, name: str, version: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> None:
        self._named = {"model_name": name, "model_version": version}
        self.inputs, self.outputs = inputs, outputs
        self._sizes = [math.prod(s.shape) * np.dtype(s.dtype).itemsize for s in inputs]
        self._types = [np.dtype(s.dtype).newbyteorder("<") for s in inputs]
        self._known: dict[bytes, Head] = {}

    def read(self, body: bytes, header_bytes: int | None = None) -> tuple[Head, list[Array]]:
        """Return what a body asks for, and the inputs.

        Args:
            header_bytes: of ``Inference-Header-Content-Length``; None where the request has none.

        Raises:
            DataError: it is no request for this model.
        """
        size = len(body) if header_bytes is None else header_bytes
        if not 0 <= size <= len(body):
            raise DataError(f"Inference-Header-Content-Length: found {size}, expected 0 to {len(body)}")
        text = body[:size]
        head = self._known.get(text)
        if head is None:
            head = self._head(text)
            if len(text) <= KEPT_BYTES and all(array is None for array in head.inputs):
                if len(self._known) >= KEPT_HEADS:
                    self._known.clear()
                self._known[text] = head
        at, arrays = size, list(head.inputs)
        for k in head.order:
            end = at + self._sizes[k]
            if end > len(body):
                raise DataError(
                    f"found {len(body) - at} bytes of {self.inputs[k].name!r}, expected {end - at}"
                )
            array = np.frombuffer(
                body, self._types[k], offset=at, count=self._sizes[k] // self._types[k].itemsize
            )
            spec = self.inputs[k]
            arrays[k] = (array if _IS_LITTLE else array.astype(spec.dtype)).reshape(spec.shape)
            at = end
        if header_bytes is not None and at != len(body):
            raise DataError(f"found {len(body) - at} bytes after the last tensor, expected none")
        return head, [array for array in arrays if array is not None]

    def write(self, head: Head, arrays: Sequence[Array]) -> tuple[bytes, int | None]:
        """Return the body of an answer, and the bytes of its JSON where tensors follow it."""
        tail = [_little(arrays[number]) for number, binary in head.outputs if binary]
        text = head.answer or self._answer(head, arrays)
        return (b"".join([text, *tail]), len(text)) if tail else (text, None)

    def _answer(self, head: Head, arrays: Sequence[Array] | None) -> bytes:
        """Return the JSON of an answer; ``arrays`` are needed for outputs that it holds itself."""
        entries = []
        for number, binary in head.outputs:
            spec = self.outputs[number]
            entry: dict[str, Any] = {
                "name": spec.name,
                "datatype": DATATYPES[spec.dtype],
                "shape": spec.shape,
            }
            if binary:
                size = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
                entry["parameters"] = {"binary_data_size": size}
            else:
                assert arrays is not None
                entry["data"] = arrays[number].reshape(-1).tolist()
            entries.append(entry)
        document: dict[str, Any] = {**self._named, "outputs": entries}
        if head.id is not None:
            document["id"] = head.id
        return json.dumps(document, separators=(",", ":")).encode()

    def _head(self, text: bytes) -> Head:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as problem:
            raise DataError(f"not valid JSON: {str(problem)[:200]}") from None
        root = Field(document, "$", DataError).object(("inputs",), None)
        identity = None if root["id"].value is None else root["id"].string()
        if identity is not None and len(identity) > MAX_ID:
            raise DataError(f"$.id: found {len(identity)} characters, expected at most {MAX_ID}")
        arrays: list[Array | None] = [None] * len(self.inputs)
        order: list[int] = []
        seen: set[int] = set()
        names = {spec.name: k for k, spec in enumerate(self.inputs)}
        for entry in root["inputs"].items():
            entry.object(("name", "shape", "datatype"), None)
            name = entry["name"].string()
            if name not in names or names[name] in seen:
                raise entry["name"].fail(f"each of {sorted(names)} once")
            k = names[name]
            seen.add(k)
            arrays[k] = self._input(entry, k)
            if arrays[k] is None:
                order.append(k)
        if len(seen) != len(self.inputs):
            missing = [spec.name for k, spec in enumerate(self.inputs) if k not in seen]
            raise root["inputs"].fail(f"the inputs {missing} too")
        head = Head(identity, tuple(arrays), tuple(order), _outputs(root, self.outputs))
        if all(binary for _, binary in head.outputs):
            head = head._replace(answer=self._answer(head, None))
        return head

    def _input(self, entry: Field, k: int) -> Array | None:
        """Return the tensor that an entry holds; None where it follows the JSON."""
        spec = self.inputs[k]
        shape = tuple(d.integer(0, 1 << 31) for d in entry["shape"].items())
        if shape not in (spec.shape, spec.shape[1:]):
            raise DataError(f"{entry.path}.shape: found {list(shape)[:16]}, expected {list(spec.shape)}")
        entry["datatype"].string((DATATYPES[spec.dtype],))
        if isinstance(entry["parameters"].value, dict):
            size = entry["parameters"]["binary_data_size"]
            if size.value is not None:
                size.integer(self._sizes[k], self._sizes[k])
                return None
        return _from_json(entry["data"], spec)


def _little(array: Array) -> bytes:
    return (
        array.tobytes() if _IS_LITTLE else array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    )


def _from_json(data: Field, spec: TensorSpec) -> Array:
    """Return a tensor given as nested or flat lists of numbers."""
    flat: list[Any] = []
    _flatten(data, flat, math.prod(spec.shape), len(spec.shape))
    dtype = np.dtype(spec.dtype)
    kinds = _KINDS[dtype.kind]
    if len(flat) != math.prod(spec.shape) or not set(map(type, flat)) <= set(kinds):
        raise DataError(f"{data.path}: expected {math.prod(spec.shape)} values of {spec.dtype}")
    if dtype.kind in "iu" and (min(flat) < np.iinfo(dtype).min or max(flat) > np.iinfo(dtype).max):
        raise DataError(f"{data.path}: values from {min(flat)} to {max(flat)} do not fit {spec.dtype}")
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype).reshape(spec.shape)
    except (ValueError, OverflowError) as problem:
        raise DataError(f"{data.path}: {problem}") from None
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{data.path}: expected finite values of {spec.dtype}")
    return array


def _flatten(data: Field, flat: list[Any], limit: int, depth: int) -> None:
    values = data.value
    if not isinstance(values, list):
        raise data.fail("a list of numbers")
    if not any(isinstance(v, list) for v in values):
        flat.extend(values)
        if len(flat) > limit:
            raise DataError(f"{data.path}: more than {limit} values")
        return
    if depth <= 1:
        raise DataError(f"{data.path}: lists nested deeper than the tensor has dimensions")
    for k, value in enumerate(values):
        _flatten(Field(value, f"{data.path}[{k}]", DataError), flat, limit, depth - 1)


def _outputs(root: Field, specs: Sequence[TensorSpec]) -> tuple[tuple[int, bool], ...]:
    parameters = root["parameters"]
    binary = isinstance(parameters.value, dict) and parameters["binary_data_output"].value is True
    if root["outputs"].value is None:
        return tuple((k, binary) for k in range(len(specs)))
    names = {spec.name: k for k, spec in enumerate(specs)}
    found: list[tuple[int, bool]] = []
    for entry in root["outputs"].items():
        entry.object(("name",), None)
        name = entry["name"].string()
        if name not in names or names[name] in [k for k, _ in found]:
            raise entry["name"].fail(f"each of {sorted(names)} at most once")
        own = entry["parameters"].value
        if isinstance(own, dict) and own.get("classification") is not None:
            raise entry["parameters"].fail(
                "no classification: take the scores, see the labels in the metadata"
            )
        wanted = own.get("binary_data", binary) if isinstance(own, dict) else binary
        found.append((names[name], wanted is True))
    return tuple(found)
