"""The error function in operators that TFLite has: its converter knows Erf as a part of GELU only."""

from __future__ import annotations

from typing import Any

from qedge.frontends.protocol import require

# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: at most 1.5e-7 from erf.
SCALE = 0.3275911
POLYNOMIAL = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def without_erf(function: Any) -> Any:
    """Return a concrete function that computes the same with every Erf worked out of EXP and a polynomial.

    ``erf(x) = sign(x) * (1 - p(t) * exp(-x * x))`` with ``t = 1 / (1 + 0.3275911 * |x|)``.
    """
    tf = require("tensorflow", "TensorFlow")
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function)
    definition = frozen.graph.as_graph_def()
    changed = tf.compat.v1.GraphDef(versions=definition.versions, library=definition.library)
    for node in definition.node:
        if node.op == "Erf":
            changed.node.extend(_worked_out(tf, node))
        else:
            changed.node.add().CopyFrom(node)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(changed, name=""), [])
    feeds = [wrapped.graph.get_tensor_by_name(t.name) for t in frozen.inputs]
    names = sorted(function.structured_outputs)
    outputs = dict(zip(names, (wrapped.graph.get_tensor_by_name(t.name) for t in frozen.outputs)))
    pruned = wrapped.prune(feeds, outputs)

    def call(*arrays: Any) -> Any:
        return pruned(*arrays)

    specs = [tf.TensorSpec(t.shape, t.dtype, t.op.name) for t in feeds]
    return tf.function(call, autograph=False).get_concrete_function(*specs)


def _worked_out(tf: Any, node: Any) -> list[Any]:
    """Return the nodes that stand for an Erf; the last has its name."""

    def erf(x: Any) -> Any:
        t = 1.0 / (1.0 + SCALE * tf.abs(x))
        p = tf.constant(POLYNOMIAL[0], x.dtype)
        for c in POLYNOMIAL[1:]:
            p = p * t + c
        return tf.sign(x) * (1.0 - p * t * tf.exp(-x * x))

    kind = tf.as_dtype(node.attr["T"].type)
    traced = tf.function(erf, autograph=False).get_concrete_function(tf.TensorSpec(None, kind, "x"))
    nodes = list(traced.graph.as_graph_def().node)
    source = traced.inputs[0].op.name
    result = nodes[-1].name
    place = {n.name: f"{node.name}/{n.name}" for n in nodes} | {source: node.input[0], result: node.name}
    found = []
    for part in nodes:
        if part.name == source:
            continue
        part.name = place[part.name]
        part.input[:] = [place.get(name.partition(":")[0], name) for name in part.input]
        found.append(part)
    return found
