"""Functions of one value as tables: exact for every code, whatever operators they are made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from quantize_models import ArrayDataset

from qedge.graph import Graph
from qedge.quantize import QuantizeOptions, compare, prove_full_integer, quantize
from qedge.quantize.interpreter import Runner
from qedge.quantize.tables import find_tables
from qedge.testing.opmodels import ModelBuilder, Spec, constant

NONE = {"fused_activation_function": "NONE"}
VALUES = np.linspace(-4, 4, 8 * 40, dtype=np.float32).reshape(40, 8)
MINMAX = QuantizeOptions("minmax")


class Chain:
    """A model of operators on (1, 8) values, one after the other."""

    def __init__(self) -> None:
        self.builder = ModelBuilder()
        self.g = self.builder.subgraph()
        self.x = self.g.input(Spec((1, 8), "float32", name="x"))

    def const(self, value: float) -> int:
        return self.g.tensor(constant(np.float32(value), "float32"))

    def op(self, name: str, *inputs: int, dtype: str = "float32", shape: tuple[int, ...] = (1, 8)) -> int:
        y = self.g.tensor(Spec(shape, dtype, name=f"{name}{len(inputs)}"))
        takes = NONE if name in ("ADD", "SUB", "MUL", "DIV") else None
        self.g.operator(name, list(inputs), [y], takes)
        return y

    def done(self, *outputs: int) -> bytes:
        for y in outputs:
            self.g.output(y)
        return self.builder.pack()


def squareplus(c: Chain) -> int:
    root = c.op("SQRT", c.op("ADD", c.op("SQUARE", c.x), c.const(4)))
    return c.op("MUL", c.op("ADD", c.x, root), c.const(0.5))


def softsign(c: Chain) -> int:
    return c.op("DIV", c.x, c.op("ADD", c.op("ABS", c.x), c.const(1.5)))


def power(c: Chain) -> int:
    return c.op("POW", c.op("ADD", c.op("ABS", c.x), c.const(0.1)), c.const(1.5))


def sine(c: Chain) -> int:
    return c.op("SIN", c.x)


def softplus(c: Chain) -> int:
    """Return log(exp(8x) + 1): on the way exp(32), whose scale would leave nothing of the rest."""
    steep = c.op("EXP", c.op("MUL", c.x, c.const(8)))
    return c.op("LOG", c.op("ADD", steep, c.const(1)))


FUNCTIONS: dict[Callable[[Chain], int], Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    squareplus: lambda x: (x + np.sqrt(x * x + 4)) / 2,
    softsign: lambda x: x / (1.5 + np.abs(x)),
    power: lambda x: (np.abs(x) + 0.1) ** 1.5,
    sine: np.sin,
    softplus: lambda x: np.logaddexp(8 * x, 0),
}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_function_is_exact_for_every_code(function: Callable[[Chain], int]) -> None:
    chain = Chain()
    model = chain.done(function(chain))
    result = quantize(model, ArrayDataset(VALUES), MINMAX)
    graph = Graph.from_bytes(result.data)
    assert [op.op for op in graph] == ["CAST", "ADD", "GATHER"]
    assert prove_full_integer(graph) == []
    entry, out = (graph.tensors[t] for t in (graph.inputs[0], graph.outputs[0]))
    assert entry.quantization is not None
    assert out.quantization is not None
    (scale, zero), (step, offset) = entry.quantization.scalar, out.quantization.scalar
    codes = np.arange(-128, 128).reshape(32, 8)
    real = (codes - zero) * np.float64(np.float32(scale))
    wanted = FUNCTIONS[function](real) / step + offset
    for reference in (False, True):
        runner = Runner(result.data, reference=reference)
        for row, expected in zip(real.astype(np.float32), wanted):
            found = runner.predict([row[None]])[0].reshape(-1) / np.float32(step) + offset
            assert np.abs(found - np.clip(expected, -128, 127)).max() <= 0.501


def test_what_two_values_make_is_no_table() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    a, b = (g.input(Spec((1, 8), "float32", name=n)) for n in "ab")
    y = g.tensor(Spec((1, 8), "float32", name="y"))
    g.operator("DIV", [a, b], [y], NONE)
    g.output(y)
    assert find_tables(Graph.from_bytes(builder.pack())) == ()


def test_a_value_that_is_read_elsewhere_stays_outside() -> None:
    chain = Chain()
    moved = chain.op("ADD", chain.x, chain.const(5))
    root = chain.op("SQRT", moved)
    graph = Graph.from_bytes(chain.done(root, moved))
    (table,) = find_tables(graph)
    assert (table.source, table.result) == (moved, root)


def test_operators_with_kernels_of_their_own_keep_them() -> None:
    chain = Chain()
    graph = Graph.from_bytes(chain.done(chain.op("TANH", chain.op("MUL", chain.x, chain.const(2)))))
    assert find_tables(graph) == ()


def test_integer_arithmetic_stays_integer() -> None:
    """What Keras writes for an Embedding: negative ids count from the end, then GATHER."""
    builder = ModelBuilder()
    g = builder.subgraph()
    ids = g.input(Spec((1, 5), "int32", name="ids"))
    negative, moved, chosen, rows = (
        g.tensor(Spec(s, d, name=n))
        for s, d, n in (
            ((1, 5), "bool", "negative"),
            ((1, 5), "int32", "moved"),
            ((1, 5), "int32", "chosen"),
            ((1, 5, 4), "float32", "rows"),
        )
    )
    g.operator("LESS", [ids, g.tensor(constant(np.int32(0)))], [negative])
    g.operator("ADD", [ids, g.tensor(constant(np.int32(20)))], [moved], NONE)
    g.operator("SELECT_V2", [negative, moved, ids], [chosen])
    values = np.random.default_rng(0).normal(size=(20, 4))
    g.operator("GATHER", [g.tensor(constant(values, "float32")), chosen], [rows], {"axis": 0})
    g.output(rows)
    model = builder.pack()
    data = ArrayDataset(np.random.default_rng(1).integers(-20, 20, (40, 5)).astype(np.float32))
    result = quantize(model, data, MINMAX)
    assert prove_full_integer(Graph.from_bytes(result.data)) == []
    assert compare(model, result.data, data).sqnr_db > 35


@pytest.mark.parametrize(
    ("reverse", "exclusive"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_a_running_sum_becomes_a_layer(reverse: bool, exclusive: bool) -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 3, 8), "float32", name="x"))
    y = g.tensor(Spec((1, 3, 8), "float32", name="y"))
    g.operator(
        "CUMSUM", [x, g.tensor(constant(np.int32(-1)))], [y], {"reverse": reverse, "exclusive": exclusive}
    )
    g.output(y)
    model = builder.pack()
    data = ArrayDataset(np.random.default_rng(1).normal(size=(40, 3, 8)).astype(np.float32))
    result = quantize(model, data, MINMAX)
    assert prove_full_integer(Graph.from_bytes(result.data)) == []
    assert compare(model, result.data, data).sqnr_db > 30


def _chosen(c: Chain) -> int:
    """Return exp(2x) below 1/2 and x above: the branch that is not taken goes to 3000."""
    above = c.op("GREATER", c.x, c.const(0.5), dtype="bool")
    return c.op("SELECT_V2", above, c.x, c.op("EXP", c.op("MUL", c.x, c.const(2))))


def test_an_exponential_alone_keeps_its_kernel() -> None:
    chain = Chain()
    assert find_tables(Graph.from_bytes(chain.done(chain.op("EXP", chain.x)))) == ()


def test_a_choice_is_a_table_with_the_range_of_what_is_taken() -> None:
    chain = Chain()
    result = quantize(chain.done(_chosen(chain)), ArrayDataset(VALUES), MINMAX)
    graph = Graph.from_bytes(result.data)
    assert [op.op for op in graph] == ["CAST", "ADD", "GATHER"]
    out = graph.tensors[graph.outputs[0]].quantization
    assert out is not None
    assert out.scalar[0] * 255 == pytest.approx(4.0, rel=0.01)


@pytest.mark.parametrize(("low", "high"), [(-4.0, 4.0), (-1.0, 4.0), (-4.0, 1.0), (-1.0, 1.0)])
def test_a_table_reads_no_more_than_its_function_tells_apart(low: float, high: float) -> None:
    """A dense layer goes from -4 to 4, and the function is flat below ``low`` and above ``high``."""
    chain = Chain()
    weights, bias = (
        chain.g.tensor(constant(np.eye(8), "float32")),
        chain.g.tensor(constant(np.zeros(8), "float32")),
    )
    y = chain.g.tensor(Spec((1, 8), "float32", name="dense"))
    chain.g.operator("FULLY_CONNECTED", [chain.x, weights, bias], [y])
    held = chain.op("MAXIMUM", chain.op("MINIMUM", y, chain.const(high)), chain.const(low))
    model = chain.done(chain.op("SIN", held))
    graph = Graph.from_bytes(quantize(model, ArrayDataset(VALUES), MINMAX).data)
    dense = next(t for t in graph.tensors if t.name == "dense")
    assert dense.quantization is not None
    assert dense.quantization.scalar[0] * 255 == pytest.approx(high - low, rel=0.02)
