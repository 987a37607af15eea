"""Arithmetic and comparison, element by element."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.lower import NONE, Handler, Lowering, stored_dtype
from qedge.frontends.onnx.net import Node, Unsupported


def _arithmetic(op: str) -> Handler:
    def handler(g: Lowering, node: Node) -> None:
        fused, output = g.activation(node)
        order, tensors = g.operands(node.inputs, output)
        made = g.pointwise(op, tensors, fused_activation_function=fused)
        g.put(output, g.writer.reshape(made, layout.arranged(g.net.shape(output), order)), order)

    return handler


def _divide(g: Lowering, node: Node) -> None:
    """Divide; by a constant multiply with its reciprocal, which integer kernels do better."""
    divisor = node.inputs[1]
    if g.net.dtypes[node.output].kind != "f":
        g.elementwise("DIV", node.inputs, node.output)  # integers: both round towards zero
        return
    if g.net.is_constant(divisor) and np.all(g.net.constants[divisor] != 0):
        inverse = g.net.add_constant((1.0 / g.net.constants[divisor].astype(np.float64)).astype(np.float32))
        fused, output = g.activation(node)
        order, tensors = g.operands([node.inputs[0], inverse], output)
        made = g.pointwise("MUL", tensors, fused_activation_function=fused)
        g.put(output, g.writer.reshape(made, layout.arranged(g.net.shape(output), order)), order)
        return
    _arithmetic("DIV")(g, node)


def _many(op: str) -> Handler:
    """An operator of any number of inputs, as a chain of operators of two."""

    def handler(g: Lowering, node: Node) -> None:
        order, tensors = g.operands(node.inputs, node.output)
        made = tensors[0]
        for tensor in tensors[1:]:
            fields = {"fused_activation_function": NONE} if op in ("ADD", "MUL") else {}
            made = g.pointwise(op, [made, tensor], **fields)
        g.put(node.output, g.writer.reshape(made, layout.arranged(g.net.shape(node.output), order)), order)

    return handler


def _mean(g: Lowering, node: Node) -> None:
    order, tensors = g.operands(node.inputs, node.output)
    made = tensors[0]
    for tensor in tensors[1:]:
        made = g.add(made, tensor)
    made = g.mul(made, g.number(1 / len(tensors)))
    g.put(node.output, g.writer.reshape(made, layout.arranged(g.net.shape(node.output), order)), order)


def _compare(op: str) -> Handler:
    def handler(g: Lowering, node: Node) -> None:
        g.elementwise(op, node.inputs, node.output, dtype=np.bool_)

    return handler


def _xor(g: Lowering, node: Node) -> None:
    g.elementwise("NOT_EQUAL", node.inputs, node.output, dtype=np.bool_)


def _power(g: Lowering, node: Node) -> None:
    """Raise to a power: by products and roots where the exponent is a small constant."""
    base, exponent = node.inputs
    if g.net.is_constant(exponent) and g.net.constants[exponent].size == 1:
        power = float(g.net.constants[exponent].ravel()[0])
        order = g.order(base)
        x = g.get(base, order)
        made = None
        if power in (1.0, 2.0, 3.0, 4.0) and g.net.dtypes[base].kind == "f":
            made = x
            if power == 4.0:
                made = g.mul(x, x)
                made = g.mul(made, made)
            else:
                for _ in range(int(power) - 1):
                    made = g.mul(made, x)
        elif power == 0.5:
            made = g.one("SQRT", x)
        elif power == -0.5:
            made = g.one("RSQRT", x)
        elif power == -1.0:
            made = g.div(g.number(1.0), x)
        if made is not None and g.net.shape(node.output) == g.net.shape(base):
            g.put(node.output, made, order)
            return
    g.elementwise("POW", node.inputs, node.output)


def _mod(g: Lowering, node: Node) -> None:
    """Remainder with the sign of the divisor, or (``fmod``) of the dividend."""
    if not node.get("fmod", 0):
        g.elementwise("FLOOR_MOD", node.inputs, node.output)
        return
    order, (a, b) = g.operands(node.inputs, node.output)
    if g.writer.dtype(a).kind != "f":
        raise Unsupported("fmod of integers")
    quotient = g.div(a, b)
    whole = g.mul(g.one("SIGN", quotient), g.one("FLOOR", g.one("ABS", quotient)))
    made = g.sub(a, g.mul(whole, b))
    g.put(node.output, g.writer.reshape(made, layout.arranged(g.net.shape(node.output), order)), order)


def _where(g: Lowering, node: Node) -> None:
    order, tensors = g.operands(node.inputs, node.output)
    if g.writer.shape(tensors[0]) == ():
        tensors[0] = g.writer.reshape(tensors[0], (1,))
    made = g.pointwise("SELECT_V2", tensors, dtype=g.writer.dtype(tensors[1]))
    g.put(node.output, g.writer.reshape(made, layout.arranged(g.net.shape(node.output), order)), order)


def _cast(g: Lowering, node: Node) -> None:
    source, target = stored_dtype(g.net.dtypes[node.inputs[0]]), stored_dtype(g.net.dtypes[node.output])
    if source == target:
        g.alias(node.output, node.inputs[0])
        return
    order = g.order(node.inputs[0])
    x = g.get(node.inputs[0], order)
    if target == np.bool_:
        made = g.pointwise("NOT_EQUAL", [x, g.writer.constant(np.zeros((), source))], dtype=np.bool_)
    else:
        made = g.writer.op("CAST", [x], g.writer.shape(x), dtype=target)
    g.put(node.output, made, order)


def _simple(op: str) -> Handler:
    def handler(g: Lowering, node: Node) -> None:
        g.unary(node, op)

    return handler


def formula(make: Callable[[Lowering, int], int]) -> Handler:
    """Return the handler of an operator of one input that is written with others."""

    def handler(g: Lowering, node: Node) -> None:
        order = g.order(node.inputs[0])
        g.put(node.output, make(g, g.get(node.inputs[0], order)), order)

    return handler


def _reciprocal(g: Lowering, x: int) -> int:
    return g.div(g.number(1.0), x)


def _tan(g: Lowering, x: int) -> int:
    return g.div(g.one("SIN", x), g.one("COS", x))


def _hyperbolic(sign: float) -> Callable[[Lowering, int], int]:
    def make(g: Lowering, x: int) -> int:
        up, down = g.one("EXP", x), g.one("EXP", g.one("NEG", x))
        joined = g.add(up, down) if sign > 0 else g.sub(up, down)
        return g.mul(joined, g.number(0.5))

    return make


def erf(g: Lowering, x: int) -> int:
    """Return the error function, right to 1.5e-7 (Abramowitz and Stegun, 7.1.26)."""
    a = g.one("ABS", x)
    t = g.div(g.number(1.0), g.add(g.mul(a, g.number(0.3275911)), g.number(1.0)))
    total = g.number(1.061405429)
    for c in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        total = g.add(g.mul(t, total), g.number(c))
    tail = g.mul(g.mul(t, total), g.one("EXP", g.one("NEG", g.mul(x, x))))
    return g.mul(g.one("SIGN", x), g.sub(g.number(1.0), tail))


def _is_nan(g: Lowering, x: int) -> int:
    return g.pointwise("NOT_EQUAL", [x, x], dtype=np.bool_)


def _is_infinite(g: Lowering, x: int) -> int:
    return g.pointwise("EQUAL", [g.one("ABS", x), g.number(np.inf)], dtype=np.bool_)


def _not(g: Lowering, node: Node) -> None:
    g.unary(node, "LOGICAL_NOT")


HANDLERS: dict[str, Handler] = {
    "Add": _arithmetic("ADD"),
    "Sub": _arithmetic("SUB"),
    "Mul": _arithmetic("MUL"),
    "Div": _divide,
    "Sum": _many("ADD"),
    "Max": _many("MAXIMUM"),
    "Min": _many("MINIMUM"),
    "Mean": _mean,
    "Pow": _power,
    "Mod": _mod,
    "Where": _where,
    "Cast": _cast,
    "CastLike": _cast,
    "Equal": _compare("EQUAL"),
    "Greater": _compare("GREATER"),
    "GreaterOrEqual": _compare("GREATER_EQUAL"),
    "Less": _compare("LESS"),
    "LessOrEqual": _compare("LESS_EQUAL"),
    "And": _compare("LOGICAL_AND"),
    "Or": _compare("LOGICAL_OR"),
    "Xor": _xor,
    "Not": _not,
    "Abs": _simple("ABS"),
    "Neg": _simple("NEG"),
    "Exp": _simple("EXP"),
    "Log": _simple("LOG"),
    "Sqrt": _simple("SQRT"),
    "Rsqrt": _simple("RSQRT"),
    "Sin": _simple("SIN"),
    "Cos": _simple("COS"),
    "Floor": _simple("FLOOR"),
    "Ceil": _simple("CEIL"),
    "Round": _simple("ROUND"),
    "Sign": _simple("SIGN"),
    "Tan": formula(_tan),
    "Sinh": formula(_hyperbolic(-1.0)),
    "Cosh": formula(_hyperbolic(1.0)),
    "Reciprocal": formula(_reciprocal),
    "Erf": formula(erf),
    "IsNaN": formula(_is_nan),
    "IsInf": formula(_is_infinite),
}
