"""Recurrent layers that are written out step by step, for tests of what finds and rolls up their steps."""

from __future__ import annotations

import numpy as np

from qedge.testing.opmodels import ModelBuilder, Spec, constant

UNITS = 8


def unrolled(
    steps: int = 7,
    *,
    dtype: str = "int8",
    own_scales: bool = False,
    sequence: bool = False,
    backwards: bool = False,
    shuffled: bool = False,
    late: bool = False,
    units: int = UNITS,
) -> bytes:
    """Return ``h = tanh(x + W h) * sigmoid(h)`` over ``steps`` rows of a split input.

    The first step has no state, and so no product.

    Args:
        own_scales: every step has scales of its own.
        sequence: all states are the output, stacked; else the last one.
        backwards: from the last row to the first.
        shuffled: every other step computes the sigmoid before the sum.
        late: a step reads the state before it once more after it has made its own.
    """
    rng = np.random.default_rng(5)
    builder = ModelBuilder()
    g = builder.subgraph()
    quantized = dtype == "int8"

    def value(name: str, scale: float, zero: int = 0, rows: int = 1) -> int:
        return g.tensor(Spec((rows, units), dtype, scale if quantized else None, zero, name=name))

    def scale(step: int) -> float:
        return 0.02 + 0.001 * step * own_scales

    if quantized:
        weights = g.tensor(constant(rng.integers(-127, 128, (units, units)), "int8", 0.01))
    else:
        weights = g.tensor(constant(rng.normal(0, 0.5, (units, units)), "float32"))
    whole = g.input(Spec((steps, units), dtype, 0.02 if quantized else None, 3 * quantized, name="x"))
    rows = [value(f"x{k}", 0.02, 3) for k in range(steps)]
    g.operator("SPLIT", [g.tensor(constant(0)), whole], rows, {"num_splits": steps})
    states: list[int] = []
    for k, x in enumerate(rows[::-1] if backwards else rows):
        tanh, gate = value(f"tanh{k}", 1 / 128), value(f"gate{k}", 1 / 256, -128)
        total = x
        if states:
            product, total = value(f"product{k}", scale(k), 1), value(f"sum{k}", scale(k), 2)
            chain = [
                ("LOGISTIC", [states[-1]], gate),
                ("FULLY_CONNECTED", [states[-1], weights, -1], product),
            ]
            chain.append(("ADD", [x, product], total))
            for op, inputs, output in chain if shuffled and k % 2 else [*chain[1:], chain[0]]:
                g.operator(op, inputs, [output])
        else:
            g.operator("LOGISTIC", [x], [gate])
        g.operator("TANH", [total], [tanh])
        state = value(f"h{k}", 1 / 100 if sequence else scale(k) / 2, 0)
        g.operator("MUL", [tanh, gate], [state])
        if late and states:
            state, made = value(f"late{k}", 1 / 100, 0), state
            g.operator("SUB", [made, states[-1]], [state])
        states.append(state)
    if sequence:
        stack = value("stack", 1 / 100, 0, steps)
        g.operator("CONCATENATION", states, [stack], {"axis": 0})
        states = [stack]
    g.output(states[-1])
    return builder.pack()
