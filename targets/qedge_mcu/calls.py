"""The call of one operator as C."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qedge.graph import Tensor
from qedge_mcu.c_text import comment_text, shape_text, short
from qedge_mcu.constants import Constants
from qedge_mcu.ops.base import Unpack
from qedge_mcu.program import Program, Step, in_arena
from qedge_mcu.structs import C_TYPES, structs

_LISTS = (("in", "const void *const"), ("out", "void *const"))


def _pointer(program: Program, constants: Constants, tensor: Tensor, const: bool) -> str:
    ctype = C_TYPES[tensor.dtype]
    if tensor.is_constant:
        return constants.names[-1, str(tensor.index)]
    qualifier = "const " if const else ""
    place = program.places.get(tensor.index)
    if place is not None:
        return f"({qualifier}{ctype} *)(void *)(context->{place.state} + {place.offset})"
    return f"({qualifier}{ctype} *)(arena + {program.offset(tensor.index)})"


def step_text(program: Program, constants: Constants, index: int, step: Step) -> str:
    """Return one operator: a comment with its name and shapes, and its call."""
    graph, op, e = program.graph, step.op, step.emitted
    inputs = ", ".join(shape_text(t) for t in graph.input_tensors(op) if t is not None and not t.is_constant)
    out = graph.output_tensors(op)
    note = f"; {e.note}" if e.note else ""
    title = f"    /* {op.label}: {inputs} -> {', '.join(shape_text(t) for t in out)}{note}\n"
    title += f"     * {comment_text(', '.join(short(t.label) for t in out))} */\n"
    if e.alias:
        return title + "    /* no code: the output is the input */\n"
    if e.placed:
        return f"{title}    QE_AFTER({index});\n"
    if not e.function:
        return title + "    /* no code */\n"
    values: dict[str, str] = {"params": f"&op{index}", "scratch": "NULL", "ins": "ins", "outs": "outs"}
    for k, t in enumerate(op.inputs):
        tensor = graph.tensors[t] if t >= 0 else None
        if tensor is None:
            values[f"in{k}"] = "NULL"
        elif in_arena(tensor) or (-1, str(t)) in constants.names:
            values[f"in{k}"] = _pointer(program, constants, tensor, True)
    for k, tensor in enumerate(out):
        if in_arena(tensor):
            values[f"out{k}"] = _pointer(program, constants, tensor, False)
    if e.scratch_bytes:
        values["scratch"] = _scratch(program, index)
    for state in e.states:
        values[f"state:{state.name}"] = f"context->{state.name}"
    args = [re.sub(r"\{([a-z0-9_:]+)\}", lambda m: values[m.group(1)], a) for a in e.args]
    lists = "".join(
        _pointer_list(name, qualifier, values) for name, qualifier in _LISTS if f"{{{name}s}}" in e.args
    )
    if e.unpack is not None:
        lists += _unpacking(program, constants, index, e.unpack)
        args = ["&unpacked" if a == values["params"] else a for a in args]
    indent = "        " if lists else "    "
    call = f"{indent}{e.function}({', '.join(args)});"
    if len(call) > 110:
        call = f"{indent}{e.function}(\n{indent}    " + f",\n{indent}    ".join(args) + ");"
    if lists:
        call = f"    {{\n{lists}{call}\n    }}"
    return f"{title}{call}\n    QE_AFTER({index});\n"


def _scratch(program: Program, index: int, offset: int = 0) -> str:
    return f"(void *)(arena + {program.plan.offsets[f'scratch{index}'] + offset})"


def _unpacking(program: Program, constants: Constants, index: int, u: Unpack) -> str:
    """Return the statements that unpack a layer's weights and point a copy of its parameters to them."""
    params = program.steps[index].emitted.params
    assert params is not None
    guard = "QE_UNPACK_LANES" if u.lanes else "QE_UNPACK_BYTES"
    where, packed = _scratch(program, index, u.offset), constants.names[index, u.array]
    (field,) = (f for f in structs()[params.type].fields if f.name == u.array)
    return (
        f"        {params.type} unpacked = op{index};\n"
        f"        unpacked.{u.array} = (const {field.type} *){where};\n"
        f"        qe_unpack_s4({where}, {packed}, {u.groups}u, {u.pairs}u, {u.plain}u, {guard});\n"
    )


def _pointer_list(name: str, qualifier: str, values: Mapping[str, str]) -> str:
    """Return the declaration of an array with all inputs or all outputs of one call."""
    count = sum(re.fullmatch(rf"{name}\d+", v) is not None for v in values)
    items = "".join(f"            {values[f'{name}{k}']},\n" for k in range(count))
    return f"        {qualifier} {name}s[] = {{\n{items}        }};\n"
