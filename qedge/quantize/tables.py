"""Functions of one value that int8 kernels lack, or choose within: a table of 256 entries, exact for every code.

Operators that work on each value by itself and together read one activation are one function, however many they are.
A choice between two branches has kernels, but one scale for both, and the branch that is not taken may go far: ``exp``
of what the other side of a SELU is for. So may what is between the ends of a function with ``exp`` or ``log`` in it.
TFLite has no operator for a table, but three that make one: CAST and ADD turn a code into an index, GATHER looks it up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor
from qedge.quantize.affine import Affine
from qedge.quantize.interpreter import Runner
from qedge.quantize.rules import RULES

MOST_OPERATORS = 24
GRID = 1025  # inputs at which a function is looked at
FLAT = 1024  # a change by this share of all that a function does is none: a quarter of a step
_WITH_CONSTANTS = "ADD SUB MUL DIV POW MAXIMUM MINIMUM SQUARED_DIFFERENCE FLOOR_DIV FLOOR_MOD"
_ALONE = """
    ABS NEG EXP LOG SQRT RSQRT SQUARE SIN COS FLOOR CEIL ROUND SIGN
    RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 LEAKY_RELU ELU TANH LOGISTIC HARD_SWISH GELU
"""
_CHOICES = """
    SELECT SELECT_V2 GREATER GREATER_EQUAL LESS LESS_EQUAL EQUAL NOT_EQUAL LOGICAL_AND LOGICAL_OR LOGICAL_NOT
"""
_SELECTS = ("SELECT", "SELECT_V2")
_STEEP = (
    "EXP",
    "LOG",
)  # with others one function: a softplus ends where it began, and goes through exp(x) on the way
ARITHMETIC = frozenset(["ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_DIV"])
"""Operators that are one operation a value, which every processor does alike in float."""
EACH_VALUE = frozenset((_WITH_CONSTANTS + _ALONE + _CHOICES).split())
"""Operators whose every output value depends on the input values at its place alone."""


@dataclass(frozen=True)
class Table:
    """Operators that are one function: of ``source``, giving ``result``; the last one comes last."""

    source: int
    result: int
    operators: tuple[int, ...]


def find_tables(graph: Graph) -> tuple[Table, ...]:
    """Return the functions that hold a choice, an ``exp`` or ``log`` beside others, or an operator without a kernel.

    None of them is within another.
    """
    found: list[Table] = []
    taken: set[int] = set()
    for op in reversed(graph.operators):
        kernel = op.op in RULES and op.op not in (*_SELECTS, *_STEEP)
        if kernel or op.op not in EACH_VALUE or op.index in taken:
            continue
        table = _grow(graph, op)
        alone = op.op in _STEEP and table is not None and len(table.operators) == 1
        if table is not None and not alone and not taken & set(table.operators):
            found.append(table)
            taken |= set(table.operators)
    return tuple(reversed(found))


def _grow(graph: Graph, op: Operator) -> Table | None:
    """Return the largest function that ends in ``op``, or in what alone reads it."""
    best = None
    end: Operator | None = op
    while end is not None:
        table = function_up_from(graph, end)
        if table is not None and op.index in table.operators:
            best = table
        readers = graph.consumers[end.outputs[0]]
        end = readers[0] if len(readers) == 1 and _each_value(graph, readers[0]) else None
    return best


def function_up_from(graph: Graph, end: Operator) -> Table | None:
    """Return the function that ends in an operator and reads one activation as far up as can be."""
    if not _each_value(graph, end) or graph.tensors[end.outputs[0]].dtype != "float32":
        return None
    inside, best = [end], None
    while len(inside) <= MOST_OPERATORS:
        sources = {t for o in inside for t in _read(graph, o)} - {t for o in inside for t in o.outputs}
        if len(sources) == 1:
            (source,) = sources
            if graph.tensors[source].dtype == "float32":
                best = Table(source, end.outputs[0], tuple(sorted(o.index for o in inside)))
        makers = [graph.producer[t] for t in sources if t in graph.producer]
        fitting = [o for o in makers if _each_value(graph, o) and _only_for(graph, o, inside)]
        if not fitting:
            return best
        inside.append(max(fitting, key=lambda o: o.index))
    return best


def _each_value(graph: Graph, op: Operator) -> bool:
    """Whether an operator works on each value by itself, its constants the same one everywhere."""
    if op.op not in EACH_VALUE or len(op.outputs) != 1:
        return False
    shape = graph.tensors[op.outputs[0]].shape
    for t in op.inputs:
        data = graph.tensors[t].data
        if data is None and graph.tensors[t].shape != shape:
            return False
        if data is not None and (not data.size or (data != data.reshape(-1)[0]).any()):
            return False
    return bool(_read(graph, op))


def _read(graph: Graph, op: Operator) -> list[int]:
    return [t for t in op.inputs if t >= 0 and not graph.tensors[t].is_constant]


def _only_for(graph: Graph, op: Operator, inside: Iterable[Operator]) -> bool:
    known = {o.index for o in inside}
    (made,) = op.outputs
    return made not in graph.outputs and all(o.index in known for o in graph.consumers[made])


def entries(
    source: Editor, graph: Graph, table: Table, given: Affine, wanted: Affine
) -> npt.NDArray[np.int8]:
    """Return the code of the function for every code of its input, from -128 on: (256,) int8.

    Args:
        source: an editor of the float model, left as it is.
    """
    real = _values(source, table, given.real(np.arange(-128, 128, dtype=np.int8)))
    result: npt.NDArray[np.int8] = wanted.codes(np.where(np.isnan(real), 0.0, real))
    return result


def reach(source: Editor, table: Table, low: float, high: float) -> tuple[float, float]:
    """Return the part of ``low..high`` outside of which the function stays what it is at the ends: a ReLU6 beyond 6."""
    inputs = np.linspace(low, high, GRID, dtype=np.float32)
    found = _values(source, table, inputs)
    if not np.isfinite(found).all():
        return low, high
    still = np.ptp(found) / FLAT
    first, last = (np.flatnonzero(np.abs(found - found[end]) > still) for end in (0, -1))
    if not first.size or not last.size:
        return low, high
    return float(inputs[max(first[0] - 1, 0)]), float(inputs[min(last[-1] + 1, GRID - 1)])


def flattened(part: Editor, count: int) -> None:
    """Make a function of each value one of ``count`` values in one dimension, in place."""
    for t in range(len(part.tensors)):
        raw = part.raw(t)
        if raw is None:
            part.tensors[t].shape = np.array([count], np.int32)
        elif part.shape(t):
            one = len(raw) // int(np.prod(part.shape(t)))
            part.set_constant(t, np.frombuffer(raw[:one], part.dtype(t).replace("bool", "uint8")).reshape(1))


def _values(source: Editor, table: Table, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the function's values for inputs (N,)."""
    nodes = [source.node(k) for k in table.operators]
    part = source.part(nodes, [table.source], [table.result])
    flattened(part, len(inputs))
    with np.errstate(all="ignore"):
        return Runner(part.pack(), threads=1).predict([inputs])[0].astype(np.float64)
