"""What an operator module gives the generator: reasons against it, or constants, a call and memory needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator, Tensor
from qedge_mcu.cores import Core

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Reason:
    """One thing that keeps an operator from being generated.

    Args:
        message: what was found and what was expected.
        hint: what to do about it, or None.
        rule: ``unsupported-op`` or ``dtype``.
    """

    message: str
    hint: str | None = None
    rule: str = "unsupported-op"


@dataclass(frozen=True, eq=False)
class ConstArray:
    """One constant array of an operator, in the order that its kernel reads.

    Args:
        name: suffix of the C name: ``weights`` becomes ``<model>_op<index>_weights``.
        values: 1-D int8, uint8, int16, int32, uint32 or float32.
        role: ``weights`` and ``bias`` are the model's own numbers; ``other`` is what the kernel adds to them.
        align: bytes.
        overhead: bytes of it that are ``other``, where a kernel reads everything in one stream.
        lanes: (words of weights, other words) of a group of channels, where words hold weights in 16-bit lanes
            (``dsp.pair_stream``); None where each byte is a weight.
    """

    name: str
    values: Array
    role: Literal["weights", "bias", "other"] = "other"
    align: int = 4
    overhead: int = 0
    lanes: tuple[int, int] | None = None


@dataclass(frozen=True)
class Unpack:
    """Weights of 4 bits that are unpacked into scratch memory ahead of a call (``ops/unpack.py``).

    Args:
        array: the packed array; the call's parameter of this name points to the unpacked one.
        groups: parts of the array, each of ``pairs`` packed words and ``plain`` words that stay as they are.
        lanes: whether the weights are in 16-bit lanes.
        offset: where the unpacked array starts in scratch memory, in bytes.
    """

    array: str
    groups: int
    pairs: int
    plain: int
    lanes: bool
    offset: int


@dataclass(frozen=True)
class Ref:
    """Value of a struct member: the address of the operator's own array called ``name``."""

    name: str


Value = int | float | str | Ref | None | tuple[int, ...]


@dataclass(frozen=True)
class Params:
    """The ``const`` parameter struct of one call.

    Args:
        type: C type, declared in the kernel's header: ``qe_conv_2d_params``.
        members: every member in declaration order with its value (a tuple fills a member array).
    """

    type: str
    members: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Prepare:
    """How a loop whose steps have the same parameters makes them ready once, ahead of its rounds.

    Args:
        type: of the struct that the kernel is given in place of its parameters.
        function: fills that struct from the parameters.
        single: does both and calls the kernel, where there is no such loop.
    """

    type: str
    function: str
    single: str


@dataclass(frozen=True, eq=False)
class State:
    """Memory that keeps its contents between runs; it lives in the caller's context.

    Args:
        name: C identifier, equal for every operator that shares it.
        nbytes: size.
        initial: value of every byte after ``init``.
        contents: bytes that lie at ``start`` after ``init``, where they are not all equal.
        start: first byte that outlives a run.
    """

    name: str
    nbytes: int
    initial: int = 0
    contents: bytes = b""
    start: int = 0


@dataclass(frozen=True, eq=False)
class Emitted:
    """One operator as the generator needs it.

    Args:
        function: kernel that is called; empty when ``alias``.
        args: the call's arguments; ``{params}``, ``{in0}`` (the operator's input 0, a constant or in the
            arena), ``{out0}``, ``{scratch}`` and ``{state:<name>}`` are replaced, the rest stays as C.
        kernels: files in ``kernels/`` that the call needs; a header of the same stem in
            ``kernels/include/`` comes along.
        params: the call's constant parameters, or None.
        arrays: constants that ``params`` refers to.
        defines: macros that switch parts of the kernels on; the union over all operators ends in
            ``qe_config.h``.
        scratch_bytes: working memory during the call, 8-byte aligned.
        overlap: for an input of the operator (by position) the least distance in bytes by which output 0
            must start *before* that input when the two share memory; see ``overlap.py``. An input
            without an entry must not share memory with any output.
        in_place: inputs of ``overlap`` that the output must then lie on exactly (their lead is 0).
        alias: no code at all: output 0 is input 0 under another name.
        placed: no code, yet the output is there: it lies in a state that other steps have filled.
        states: persistent memory that the call uses.
        headers: further files in ``kernels/include/``.
        note: what the comment above the call adds, for instance the variant taken.
        unpack: weights that are unpacked first, or None.
        prepare: how its parameters are made ready, where the kernel does not do so itself.
        smaller: the same with less working memory, and slower; None where there is no such way.
    """

    function: str = ""
    args: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    params: Params | None = None
    arrays: tuple[ConstArray, ...] = ()
    defines: frozenset[str] = frozenset()
    scratch_bytes: int = 0
    overlap: Mapping[int, int] = field(default_factory=dict)
    in_place: frozenset[int] = frozenset()
    alias: bool = False
    placed: bool = False
    states: tuple[State, ...] = ()
    headers: tuple[str, ...] = ()
    note: str = ""
    unpack: Unpack | None = None
    prepare: Prepare | None = None
    smaller: Emitted | None = None


@dataclass(frozen=True, eq=False)
class OpContext:
    """One operator of a graph, to be generated for one core.

    Args:
        inputs: the operator's inputs; None where an optional one is absent.
    """

    graph: Graph
    op: Operator
    core: Core

    @property
    def inputs(self) -> list[Tensor | None]:
        """The operator's inputs; None where an optional one is absent."""
        return self.graph.input_tensors(self.op)

    @property
    def outputs(self) -> list[Tensor]:
        """The operator's outputs."""
        return self.graph.output_tensors(self.op)

    def input(self, position: int) -> Tensor:
        """Return an input that must be there."""
        tensor = self.optional(position)
        if tensor is None:
            raise ValueError(f"{self.op.label} has no input {position}")
        return tensor

    def optional(self, position: int) -> Tensor | None:
        """Return an input, or None where it is absent."""
        inputs = self.inputs
        return inputs[position] if position < len(inputs) else None

    @property
    def output(self) -> Tensor:
        """Output 0."""
        return self.outputs[0]

    def option(self, name: str, default: Any = None) -> Any:
        """Return a builtin option."""
        value = self.op.options.get(name, default)
        return default if value is None else value


class OpModule(Protocol):
    """What a file in ``ops/`` has at module level."""

    NAMES: tuple[str, ...]

    def check(self, c: OpContext) -> list[Reason]:
        """Return everything that stands in the way; empty when :meth:`emit` will work."""

    def emit(self, c: OpContext) -> Emitted:
        """Return constants, call and memory needs; only called when ``check`` found nothing."""


def scalar(tensor: Tensor) -> tuple[float, int]:
    """Return (scale, zero point) of a tensor that ``expect_quantized`` let through."""
    if tensor.quantization is None:
        raise ValueError(f"{tensor.name} is not quantised")
    return tensor.quantization.scalar


def constant(tensor: Tensor) -> Array:
    """Return a constant's values."""
    if tensor.data is None:
        raise ValueError(f"{tensor.name} is no constant")
    return tensor.data


def expect_type(tensor: Tensor, *dtypes: str, what: str) -> list[Reason]:
    """Return a reason when the tensor's type is none of ``dtypes``."""
    if tensor.dtype in dtypes:
        return []
    return [
        Reason(
            f"{what} is {tensor.dtype}, expected {' or '.join(dtypes)}",
            "quantise the model to full integer int8",
            "dtype",
        )
    ]


def expect_quantized(tensor: Tensor, *, what: str, dtypes: tuple[str, ...] = ("int8",)) -> list[Reason]:
    """Return reasons when the tensor is not quantised per tensor, or of another type."""
    reasons = expect_type(tensor, *dtypes, what=what)
    q = tensor.quantization
    if not reasons and (q is None or q.per_channel):
        found = "no quantisation" if q is None else f"{q.scale.size} scales"
        reasons.append(
            Reason(
                f"{what} has {found}, expected one scale", "quantise the model to full integer int8", "dtype"
            )
        )
    return reasons


def expect_constant(tensor: Tensor, *, what: str) -> list[Reason]:
    """Return a reason when the tensor is computed at run time."""
    if tensor.is_constant:
        return []
    return [Reason(f"{what} is computed at run time, expected a constant")]


def expect_static(tensor: Tensor, *, what: str) -> list[Reason]:
    """Return a reason when a dimension other than the first is unknown.

    A batch that the signature leaves open is the one in the shape, as in TFLite Micro.
    """
    if all(d >= 0 for d in tensor.shape_signature[1:]):
        return []
    return [
        Reason(
            f"{what} has the dynamic shape {list(tensor.shape_signature)}",
            "convert the model with fixed shapes and batch 1",
        )
    ]


def activation_range(activation: str, scale: float, zero_point: int, low: int, high: int) -> tuple[int, int]:
    """Return the clamp of a fused activation in quantised units.

    ``CalculateActivationRangeQuantized`` of ``tensorflow/lite/kernels/kernel_util.cc``.

    >>> activation_range("RELU6", 0.05, -128, -128, 127)
    (-128, -8)
    """

    def quantized(real: float) -> int:
        ratio = np.float32(real) / np.float32(scale)
        return zero_point + int(np.floor(np.abs(ratio) + np.float32(0.5)) * np.sign(ratio))

    if activation == "RELU":
        return max(low, quantized(0.0)), high
    if activation == "RELU6":
        return max(low, quantized(0.0)), min(high, quantized(6.0))
    if activation == "RELU_N1_TO_1":
        return max(low, quantized(-1.0)), min(high, quantized(1.0))
    return low, high


def fused_range(c: OpContext) -> tuple[int, int]:
    """Return what the operator clamps output 0 to, in quantised units: its type's range, less by a fused activation."""
    limits = np.iinfo(c.output.dtype)
    activation = c.option("fused_activation_function", "NONE")
    return activation_range(activation, *scalar(c.output), int(limits.min), int(limits.max))


def output_members(c: OpContext) -> tuple[tuple[str, Value], ...]:
    """Return the zero point of output 0 and what it is clamped to, as members of a parameter struct."""
    low, high = fused_range(c)
    return ("output_zero_point", scalar(c.output)[1]), ("low", low), ("high", high)


ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


def expect_activation(c: OpContext) -> list[Reason]:
    """Return a reason when the fused activation is none that kernels clamp to."""
    found = c.option("fused_activation_function", "NONE")
    if found in ACTIVATIONS:
        return []
    return [Reason(f"fused activation {found}, expected one of {', '.join(ACTIVATIONS)}")]


def same_padding(size: int, filter_size: int, stride: int, dilation: int) -> int:
    """Return the padding before the first element under ``SAME``, as ``ComputePadding`` does.

    >>> same_padding(size=49, filter_size=10, stride=2, dilation=1)
    4
    """
    effective = (filter_size - 1) * dilation + 1
    places = -(-size // stride)
    return max((places - 1) * stride + effective - size, 0) // 2
