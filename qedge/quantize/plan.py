"""From ranges to the type, scale and zero point of every tensor."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qedge.graph import Graph, Operator
from qedge.graph.repeats import alike
from qedge.quantize.affine import FLOAT, STEPS, Affine, from_range, symmetric
from qedge.quantize.groups import Groups
from qedge.quantize.rules import RULES, Rule
from qedge.quantize.tables import find_tables

Range = tuple[float, float]
REAL = ("float32", "float16", "float64", "bfloat16", "complex64")
BIAS_LIMIT = float(1 << 30)
APART = 4.0
"""How much larger a join's range is than that of a part which keeps a scale of its own: two of eight bits."""
LARGEST_FACTOR = 0.499
"""Of requantisation behind int4 weights, whose scales are large: kernels for signal processors shift to the right."""


@dataclass
class Plan:
    """How each tensor and operator is stored.

    Args:
        modes: ``int8``, ``int16``, ``float``, ``table`` (part of a function that becomes a table) or ``plain``
            (no real numbers are involved), one an operator.
        tensors: quantisation of each activation as its producer writes it, and of weights.
        wanted: what an operator reads at (operator, slot) where that is not what the producer writes.
        coded: int8 form of what a table reads where that is stored otherwise.
        outside: int8 form of those model inputs and outputs that are stored otherwise.
        wide: int16 form of those that are stored otherwise.
    """

    modes: tuple[str, ...]
    tensors: dict[int, Affine] = field(default_factory=dict)
    wanted: dict[tuple[int, int], Affine] = field(default_factory=dict)
    coded: dict[int, Affine] = field(default_factory=dict)
    outside: dict[int, Affine] = field(default_factory=dict)
    wide: dict[int, Affine] = field(default_factory=dict)

    def reads(self, op: Operator, slot: int) -> Affine:
        """Return what ``op`` reads at an input slot that carries an activation."""
        return self.wanted.get((op.index, slot)) or self.tensors[op.inputs[slot]]


def data_slots(graph: Graph, op: Operator) -> list[int]:
    """Return the input slots of ``op`` that carry float values other than weights and biases."""
    rule = RULES.get(op.op)
    slots = range(len(op.inputs)) if rule is None or rule.data is None else rule.data
    return [s for s in slots if op.inputs[s] >= 0 and graph.tensors[op.inputs[s]].dtype == "float32"]


def weight_slots(graph: Graph, op: Operator) -> tuple[int, int]:
    """Return the tensors (weights, bias) of a ``weights`` operator; the bias is -1 where absent."""
    rule = RULES[op.op]
    bias = op.inputs[rule.bias] if len(op.inputs) > rule.bias else -1
    return op.inputs[rule.weight], bias


def derived(graph: Graph) -> dict[int, Operator]:
    """Return the activations whose range follows from the operator that writes them.

    These are outputs that copy or average their inputs' values, and those with a scale fixed by the kernel; what a
    table gives has a range of its own.
    """
    found = {}
    tables = {k for table in find_tables(graph) for k in table.operators}
    for op in graph.operators:
        rule = RULES.get(op.op)
        if rule is None or rule.kind not in ("tied", "fixed") or op.index in tables:
            continue
        if rule.kind == "fixed" or not any(
            graph.tensors[op.inputs[s]].is_constant for s in data_slots(graph, op)
        ):
            found.update({t: op for t in op.outputs if graph.tensors[t].dtype == "float32"})
    return found


def complete(graph: Graph, ranges: Mapping[int, Range]) -> dict[int, Range]:
    """Return the ranges with those of :func:`derived` activations filled in."""
    result = dict(ranges)
    for t, op in derived(graph).items():
        rule = RULES[op.op]
        if rule.kind == "fixed":
            scale, zero = rule.fixed
            result.setdefault(t, ((-128 - zero) * scale, (127 - zero) * scale))
        else:
            result[t] = (
                result[t] if t in ranges else _union(result[op.inputs[s]] for s in data_slots(graph, op))
            )
    return result


def default_modes(graph: Graph) -> tuple[str, ...]:
    """Return ``plain`` for each operator of integers alone, ``table`` for those of a function without an int8 kernel,
    ``int8`` for those that have one, else ``float``."""
    tables = {k for table in find_tables(graph) for k in table.operators}

    def mode(op: Operator) -> str:
        if not any(graph.tensors[t].dtype in REAL for t in (*op.inputs, *op.outputs) if t >= 0):
            return "plain"
        if op.index in tables:
            return "table"
        return "int8" if _has_int8(graph, op) else "float"

    return tuple(mode(op) for op in graph.operators)


def _has_int8(graph: Graph, op: Operator) -> bool:
    rule = RULES.get(op.op)
    if rule is None:
        return False
    if rule.kind == "weights":
        weight, bias = weight_slots(graph, op)
        constant = graph.tensors[weight].is_constant and (bias < 0 or graph.tensors[bias].is_constant)
        return constant and not graph.tensors[op.inputs[rule.data[0] if rule.data else 0]].is_constant
    return True


def make_plan(
    graph: Graph,
    ranges: Mapping[int, Range],
    *,
    modes: tuple[str, ...] | None = None,
    per_channel: Mapping[int, bool] | None = None,
    weight_limits: Mapping[int, np.ndarray] | None = None,
    narrow: Collection[int] = (),
    loops: bool = False,
) -> Plan:
    """Return the plan that covers ``ranges`` under the constraints of the kernels.

    Args:
        ranges: (low, high) of each activation.
        modes: one an operator; :func:`default_modes` by default.
        per_channel: by operator index; by default all but FULLY_CONNECTED, whose per-channel form old
            runtimes and the Edge TPU compiler lack.
        weight_limits: largest magnitude that the weights' codes represent, by tensor, one a scale;
            by default the largest magnitude there is.
        narrow: indices of operators whose weights are int4, one scale a channel.
        loops: whether the steps of an unrolled layer have the same scales, so that they can run as one loop.
    """
    modes = modes or default_modes(graph)
    groups = _tie(graph, modes, alike(graph) if loops else (), ranges)
    floors: dict[int, float] = {}
    while True:
        plan = _plan(graph, ranges, modes, groups, floors)
        _weights(graph, plan, per_channel or {}, weight_limits or {}, narrow)
        finer = {
            groups.root(t): s for t, s in _too_fine(graph, plan).items() if groups.root(t) not in groups.fixed
        }
        if all(floors.get(root, 0.0) >= s for root, s in finer.items()):
            return plan
        floors.update(finer)


def _plan(
    graph: Graph,
    ranges: Mapping[int, Range],
    modes: tuple[str, ...],
    groups: Groups,
    floors: Mapping[int, float],
) -> Plan:
    """Return the plan of activations whose groups have at least the scales of ``floors``."""
    plan = Plan(modes)
    members: dict[int, list[int]] = {}
    for t in groups.parent:
        members.setdefault(groups.root(t), []).append(t)
    for root, tensors in members.items():
        dtype = groups.types.get(root, "int8")
        rule = groups.fixed.get(root)
        if dtype == "float":
            affine = FLOAT
        elif rule is not None:
            affine = _fixed(rule, dtype)
        else:
            affine = from_range(*_union(_constant_range(graph, t, ranges) for t in tensors), dtype)
            if affine.scale[0] < floors.get(root, 0.0):
                affine = replace(affine, scale=(floors[root],))
        for t in tensors:
            plan.tensors[t] = affine
    for op in graph.operators:
        _wants(graph, plan, ranges, op)
    for t in (*graph.inputs, *graph.outputs):
        if t in plan.tensors:
            for dtype, forms in (("int8", plan.outside), ("int16", plan.wide)):
                if plan.tensors[t].dtype != dtype:
                    forms[t] = from_range(*_constant_range(graph, t, ranges), dtype)
    for table in find_tables(graph) if "table" in modes else ():
        if plan.tensors[table.source].dtype != "int8":
            plan.coded[table.source] = from_range(*_constant_range(graph, table.source, ranges))
    return plan


def _too_fine(graph: Graph, plan: Plan) -> dict[int, float]:
    """Return tensors whose scale is too small for the kernels beside the others of their operator, and the smallest.

    It refuses a model whose requantisation factor reaches 2**8, and ADD or SUB with an input scale below
    2**-10 of the output's (``XNNPACK/src/subgraph/validation.c`` and the operators' ``create``); so fine a
    tensor adds nothing there that its neighbours could hold. TFLite's HARD_SWISH demands an output scale of at least
    2**-7 of the input's (``tensorflow/lite/kernels/activations.cc``): where nearly all it reads is far below 0.
    """
    found: dict[int, float] = {}

    def at_least(t: int, scale: float) -> None:
        affine = plan.tensors[t]
        if affine.dtype == "int8" and affine.scale[0] < scale:
            found[t] = max(found.get(t, 0.0), float(np.float32(scale * 1.001)))

    for op in graph.operators:
        if plan.modes[op.index] != "int8":
            continue
        rule = RULES[op.op]
        if rule.kind == "weights":
            read = plan.reads(op, data_slots(graph, op)[0]).scale[0]
            at_least(op.outputs[0], read * max(plan.tensors[weight_slots(graph, op)[0]].scale) / 255)
        elif op.op == "HARD_SWISH":
            at_least(op.outputs[0], plan.reads(op, 0).scale[0] / 128)
        elif op.op in ("ADD", "SUB", "MUL"):
            a, b = (plan.reads(op, s).scale[0] for s in (0, 1))
            at_least(op.outputs[0], (a * b if op.op == "MUL" else max(a, b)) / 255)
            if op.op != "MUL":
                for t in op.inputs:
                    at_least(t, plan.tensors[op.outputs[0]].scale[0] / 1000)
    return found


def _tie(
    graph: Graph, modes: tuple[str, ...], steps: Iterable[Sequence[int]], ranges: Mapping[int, Range]
) -> Groups:
    groups = Groups()
    for t in graph.inputs:
        if graph.tensors[t].dtype == "float32":
            # Eight bits of an input are lost for good: where every reader takes more, it has sixteen.
            wide = {modes[op.index] for op in graph.consumers[t]} <= {"int16", "float"}
            groups.types[groups.root(t)] = "int16" if wide else "int8"
    for op, mode in zip(graph.operators, modes):
        for t in op.outputs:
            if graph.tensors[t].dtype == "float32":
                groups.types[groups.root(t)] = "int8" if mode == "table" else mode
                if mode not in ("float", "table") and RULES[op.op].kind == "fixed":
                    groups.fixed[groups.root(t)] = RULES[op.op]
    for op, mode in zip(graph.operators, modes):
        for s in data_slots(graph, op) if mode != "table" else ():
            constant = graph.tensors[op.inputs[s]].is_constant
            if constant:
                groups.types.setdefault(groups.root(op.inputs[s]), mode)
            # The output of a join need not fit the fixed scale of one of its inputs.
            joins = groups.root(op.inputs[s]) in groups.fixed and len(data_slots(graph, op)) > 1
            joins |= _apart(graph, op, op.inputs[s], ranges)
            if mode != "float" and RULES[op.op].kind == "tied" and not constant and not joins:
                for t in op.outputs:
                    groups.tie(t, op.inputs[s])
    for group in steps:
        for a, b in itertools.pairwise(group):
            if all(graph.tensors[t].dtype == "float32" for t in (a, b)):
                groups.tie_free(a, b)
    shared: dict[int, int] = {}
    for op, mode in zip(graph.operators, modes):
        if mode == "int8" and RULES[op.op].kind == "weights":
            # One bias serves every use of shared weights only where the inputs have one scale.
            _, bias = weight_slots(graph, op)
            if bias >= 0:
                first = shared.setdefault(bias, op.inputs[data_slots(graph, op)[0]])
                groups.tie(first, op.inputs[data_slots(graph, op)[0]])
    return groups


def _apart(graph: Graph, op: Operator, t: int, ranges: Mapping[int, Range]) -> bool:
    """Whether a part that is joined with far larger ones has another reader, who would lose by their scale.

    It keeps its own scale then, and is converted where it is joined: the way across a U-Net, for instance.
    """
    parts = data_slots(graph, op)
    # What PACK joins are steps of one thing: they stay alike.
    if op.op != "CONCATENATION" or len(graph.consumers[t]) < 2 or t not in ranges:
        return False
    low, high = _union(_constant_range(graph, op.inputs[s], ranges) for s in parts)
    return high - low >= APART * (ranges[t][1] - ranges[t][0])


def _fixed(rule: Rule, dtype: str) -> Affine:
    if dtype == "int16":
        return Affine("int16", (rule.fixed_int16,))
    return Affine("int8", (rule.fixed[0],), rule.fixed[1])


def _union(ranges: Iterable[Range]) -> Range:
    both = list(ranges)
    return min(r[0] for r in both), max(r[1] for r in both)


def _constant_range(graph: Graph, t: int, ranges: Mapping[int, Range]) -> Range:
    data = graph.tensors[t].data
    if data is not None:
        return (float(data.min()), float(data.max())) if data.size else (0.0, 0.0)
    return ranges[t]


def _wants(graph: Graph, plan: Plan, ranges: Mapping[int, Range], op: Operator) -> None:
    """Note where ``op`` must read another type or scale than the producer writes."""
    mode = plan.modes[op.index]
    for s in data_slots(graph, op) if mode != "table" else ():
        t = op.inputs[s]
        written = plan.tensors[t]
        if mode == "float":
            wanted = FLOAT
        elif RULES[op.op].kind == "tied":
            wanted = plan.tensors[op.outputs[0]]
        elif written.dtype == mode:
            continue
        else:
            wanted = from_range(*_constant_range(graph, t, ranges), mode)
        if wanted != written:
            plan.wanted[op.index, s] = wanted


def _weights(
    graph: Graph,
    plan: Plan,
    per_channel: Mapping[int, bool],
    limits: Mapping[int, np.ndarray],
    narrow: Collection[int],
) -> None:
    floors: dict[int, np.ndarray] = {}
    ceilings: dict[int, float] = {}
    layouts: dict[int, tuple[int, bool, str]] = {}
    for op in graph.operators:
        if plan.modes[op.index] not in ("int8", "int16") or RULES[op.op].kind != "weights":
            continue
        weight, bias = weight_slots(graph, op)
        dtype = "int4" if op.index in narrow and can_narrow(graph, op, plan.modes[op.index]) else "int8"
        many = dtype == "int4" or per_channel.get(op.index, op.op != "FULLY_CONNECTED")
        if weight in layouts and layouts[weight][2] != dtype:
            dtype = "int8"  # what shares the weights cannot read int4
        layouts[weight] = (RULES[op.op].axis, many, dtype)
        if dtype == "int4":
            ratio = plan.tensors[op.outputs[0]].scale[0] / plan.reads(op, data_slots(graph, op)[0]).scale[0]
            ceilings[weight] = min(ceilings.get(weight, np.inf), LARGEST_FACTOR * ratio * STEPS[dtype])
        if bias >= 0:
            # The int32 bias has the scale input * weights: a tiny weight must not let it overflow.
            scale = plan.reads(op, data_slots(graph, op)[0]).scale[0]
            floor = np.abs(_data(graph, bias)).astype(np.float64) / scale / BIAS_LIMIT * STEPS[dtype]
            floors[weight] = np.maximum(floors.get(weight, 0.0), floor)
    for weight, (axis, many, dtype) in layouts.items():
        values = np.abs(_data(graph, weight))
        found = values.max(axis=tuple(a for a in range(values.ndim) if a != axis)).astype(np.float64)
        limit = np.asarray(limits.get(weight, found), np.float64)
        if limit.size == found.size:
            limit = np.maximum(limit, floors.get(weight, 0.0))
        limit = np.minimum(limit, ceilings.get(weight, np.inf))
        if not many:
            limit = limit.max(keepdims=True)
        # A channel of zeros takes the scale of its neighbours: any scale is exact for it.
        limit = np.where(limit > 0, limit, limit.max(initial=0.0) or 1.0)
        plan.tensors[weight] = symmetric(limit, axis, dtype)


def narrow_operators(graph: Graph) -> tuple[int, ...]:
    """Return the operators whose weights can be int4."""
    modes = default_modes(graph)
    return tuple(op.index for op in graph.operators if can_narrow(graph, op, modes[op.index]))


def can_narrow(graph: Graph, op: Operator, mode: str) -> bool:
    """Whether kernels read int4 weights of an operator: of three kinds, beside int8 activations."""
    if mode != "int8" or op.op not in RULES or not RULES[op.op].version_int4:
        return False
    weight, _ = weight_slots(graph, op)
    return all(o.op in RULES and RULES[o.op].version_int4 > 0 for o in graph.consumers[weight])


def _data(graph: Graph, t: int) -> np.ndarray:
    data = graph.tensors[t].data
    assert data is not None
    return data
