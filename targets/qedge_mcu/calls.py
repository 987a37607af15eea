"""The call of one operator as C, and the loop around the calls of steps that repeat."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from qedge.graph import Tensor
from qedge.graph.repeats import Repeat
from qedge_mcu.c_text import comment_text, io_name, shape_text, short
from qedge_mcu.constants import Constants
from qedge_mcu.ops.base import Prepare, Unpack
from qedge_mcu.parameters import Parameters
from qedge_mcu.program import Program, Step, in_arena
from qedge_mcu.structs import C_TYPES, structs

_LISTS = (("in", "const void *const"), ("out", "void *const"))
LEAST = 3
"""Times that a loop must run to be one."""


@dataclass(frozen=True)
class Address:
    """A typed pointer into the context: ``offset`` bytes behind ``base``; a round of a loop moves it by ``stride``.

    ``outside`` is the offset where the inputs lie elsewhere, if it is another one.
    """

    type: str
    base: str
    offset: int
    stride: int = 0
    outside: int | None = None

    def __str__(self) -> str:
        inner = "(void *)" if self.base.startswith("context->") else ""
        step = f" {'-' if self.stride < 0 else '+'} {abs(self.stride)} * k" if self.stride else ""
        return f"({self.type} *){inner}({self.base} + {either(self.offset, self.outside)}{step})"


def either(inside: int, outside: int | None) -> str:
    """Return an offset in C that may be another where the inputs lie elsewhere.

    >>> either(8, 8), either(8, 0)
    ('8', 'QE_EITHER(8, 0)')
    """
    return str(inside) if outside in (None, inside) else f"QE_EITHER({inside}, {outside})"


Argument = str | Address


@dataclass(frozen=True)
class Unpacking:
    """Weights of 4 bits that are unpacked ahead of a call, which then reads them through a copy of its parameters.

    Args:
        params: type of the parameters.
        member: the one that points to the weights, and the type of these.
        where: the unpacked weights.
        packed: the packed ones.
        rest: further arguments.
    """

    params: str
    member: tuple[str, str]
    where: Argument
    packed: Argument
    rest: str


@dataclass(frozen=True)
class Call:
    """One operator.

    Args:
        index: position of its step.
        title: the comment ahead of it.
        function: its kernel, or empty.
        observed: whether its result is there afterwards.
        args: what the kernel is given; ``params`` stands for the address of its parameters.
        lists: arrays that it is given: name, type of the elements, and these.
        unpacking: what happens ahead of it, or None.
        prepare: how its parameters are made ready, where the kernel does not do so itself.
    """

    index: int
    title: str
    function: str = ""
    observed: bool = True
    args: tuple[Argument, ...] = ()
    lists: tuple[tuple[str, str, tuple[Argument, ...]], ...] = ()
    unpacking: Unpacking | None = None
    prepare: Prepare | None = None

    @property
    def addresses(self) -> list[Argument]:
        """Everything that it is given, in order."""
        unpacked = [] if self.unpacking is None else [self.unpacking.where, self.unpacking.packed]
        return [*self.args, *(item for _, _, items in self.lists for item in items), *unpacked]

    def with_addresses(self, values: Sequence[Argument]) -> Call:
        """Return the call with everything that it is given replaced."""
        rest = list(values)
        args = tuple(rest.pop(0) for _ in self.args)
        lists = tuple((n, q, tuple(rest.pop(0) for _ in items)) for n, q, items in self.lists)
        unpacking = self.unpacking
        if unpacking is not None:
            unpacking = replace(unpacking, where=rest[0], packed=rest[1])
        return replace(self, args=args, lists=lists, unpacking=unpacking)


def calls_text(program: Program, constants: Constants, parameters: Parameters) -> str:
    """Return all operators in their order; steps that repeat as loops."""
    calls = [_call(program, constants, i, step) for i, step in enumerate(program.steps)]
    loops = {loop.start: loop for run in program.runs for loop in _loops(calls, run)}
    parts, at = [], 0
    while at < len(calls):
        if at in loops:
            parts.append(_loop_text(calls, loops[at], parameters))
            at += loops[at].length
        else:
            parts.append(_text(calls[at], parameters.single(at), str(at), 1))
            at += 1
    return "\n".join(parts)


def _call(program: Program, constants: Constants, index: int, step: Step) -> Call:
    graph, op, e = program.graph, step.op, step.emitted
    inputs = [t for t in graph.input_tensors(op) if t is not None and not t.is_constant]
    out = graph.output_tensors(op)
    note = f"; {e.note}" if e.note else ""
    title = f"{op.label}: {_listed([shape_text(t) for t in inputs])} -> {_listed([shape_text(t) for t in out])}{note}"
    title += f"\n * {comment_text(_listed([short(t.label) for t in out]))}"
    if not e.function:
        why = "\n * no code: the output is the input" if e.alias else "" if e.placed else "\n * no code"
        return Call(index, title + why, observed=e.placed)
    values: dict[str, Argument] = {"params": "params", "scratch": "NULL", "ins": "ins", "outs": "outs"}
    for k, t in enumerate(op.inputs):
        tensor = graph.tensors[t] if t >= 0 else None
        if tensor is None:
            values[f"in{k}"] = "NULL"
        elif in_arena(tensor) or (-1, str(t)) in constants.names:
            values[f"in{k}"] = _pointer(program, constants, tensor, "const ")
    for k, tensor in enumerate(out):
        if in_arena(tensor):
            values[f"out{k}"] = _pointer(program, constants, tensor, "")
    if e.scratch_bytes:
        values["scratch"] = _scratch(program, index)
    for state in e.states:
        values[f"state:{state.name}"] = f"context->{state.name}"
    lists = tuple((f"{n}s", q, _items(n, values)) for n, q in _LISTS if f"{{{n}s}}" in e.args)
    unpacking = None if e.unpack is None else _unpacking(program, constants, index, e.unpack)
    args = tuple(_argument(a, values) for a in e.args)
    return Call(index, title, e.function, True, args, lists, unpacking, e.prepare)


def _scratch(program: Program, index: int, offset: int = 0) -> Address:
    name = f"scratch{index}"
    inside, outside = program.plan.offsets[name] + offset, program.outside.offsets[name] + offset
    return Address("void", "arena", inside, outside=None if inside == outside else outside)


def _unpacking(program: Program, constants: Constants, index: int, u: Unpack) -> Unpacking:
    params = program.steps[index].emitted.params
    assert params is not None
    (field,) = (f for f in structs()[params.type].fields if f.name == u.array)
    guard = "QE_UNPACK_LANES" if u.lanes else "QE_UNPACK_BYTES"
    return Unpacking(
        params.type,
        (field.name, field.type),
        _scratch(program, index, u.offset),
        constants.names[index, u.array],
        f"{u.groups}u, {u.pairs}u, {u.plain}u, {guard}",
    )


def _listed(words: Sequence[str], most: int = 8) -> str:
    """Return words for people: many by their first and last.

    >>> _listed([f"x{k}" for k in range(50)])
    'x0, x1 ... x49 (50)'
    """
    if len(words) <= most:
        return ", ".join(words)
    return f"{words[0]}, {words[1]} ... {words[-1]} ({len(words)})"


def _argument(text: str, values: Mapping[str, Argument]) -> Argument:
    whole = re.fullmatch(r"\{([a-z0-9_:]+)\}", text)
    if whole:
        return values[whole.group(1)]
    return re.sub(r"\{([a-z0-9_:]+)\}", lambda m: str(values[m.group(1)]), text)


def _items(name: str, values: Mapping[str, Argument]) -> tuple[Argument, ...]:
    """Return all inputs or all outputs of one call."""
    count = sum(re.fullmatch(rf"{name}\d+", v) is not None for v in values)
    return tuple(values[f"{name}{k}"] for k in range(count))


def _pointer(program: Program, constants: Constants, tensor: Tensor, qualifier: str) -> Argument:
    if tensor.is_constant:
        return constants.names[-1, str(tensor.index)]
    ctype = qualifier + C_TYPES[tensor.dtype]
    place = program.places.get(tensor.index)
    if place is not None:
        return Address(ctype, f"context->{place.state}", place.offset)
    part = program.part_of_input(tensor.index)
    if part is not None:
        return Address(ctype, io_name("input", part[0], len(program.graph.inputs)), part[1])
    inside, outside = program.offset(tensor.index), program.offset_outside(tensor.index)
    return Address(ctype, "arena", inside, outside=None if inside == outside else outside)


def _text(call: Call, params: str, index: str, depth: int) -> str:
    """Return one call with its comment, ``depth`` levels in."""
    indent = "    " * depth
    title = "".join(f"{indent}{line}\n" for line in f"/* {call.title} */".split("\n"))
    if not call.observed:
        return title
    after = f"{indent}QE_AFTER({index});\n"
    if not call.function:
        return title + after
    lists = bool(call.lists or call.unpacking)
    inner = indent + "    " * lists
    own = params if call.unpacking is None else "&unpacked"
    function = call.function if call.prepare is None else call.prepare.single
    args = [own if a == "params" else str(a) for a in call.args]
    text = f"{inner}{function}({', '.join(args)});"
    if len(text) > 110:
        text = f"{inner}{function}(\n{inner}    " + f",\n{inner}    ".join(args) + ");"
    if lists:
        text = f"{indent}{{\n{_ahead(call, params, inner)}{text}\n{indent}}}"
    return f"{title}{text}\n{after}"


def _ahead(call: Call, params: str, indent: str) -> str:
    """Return the statements of a block that come before its call."""
    text = "".join(
        f"{indent}{qualifier} {name}[] = {{\n"
        + "".join(f"{indent}    {i},\n" for i in items)
        + f"{indent}}};\n"
        for name, qualifier, items in call.lists
    )
    u = call.unpacking
    if u is not None:
        text += (
            f"{indent}{u.params} unpacked = {params.removeprefix('&')};\n"
            f"{indent}unpacked.{u.member[0]} = (const {u.member[1]} *){u.where};\n"
            f"{indent}qe_unpack_s4({u.where}, {u.packed}, {u.rest});\n"
        )
    return text


@dataclass(frozen=True)
class _Loop:
    """``count`` rounds of the calls from ``start`` to ``start + period - 1``, moved on by the strides."""

    start: int
    period: int
    count: int
    body: tuple[Call, ...]

    @property
    def length(self) -> int:
        return self.period * self.count


def _loops(calls: Sequence[Call], run: Repeat) -> list[_Loop]:
    """Return the rounds of a run that differ in nothing but addresses which advance evenly.

    Where buffers take turns, a round is two periods.
    """
    found = [list(_rounds(calls, run.start, run.period * n, run.length)) for n in (1, 2)]
    return max(found, key=lambda loops: sum(loop.length for loop in loops))


def _rounds(calls: Sequence[Call], start: int, period: int, length: int) -> Iterator[_Loop]:
    rounds = [calls[start + k : start + k + period] for k in range(0, length - period + 1, period)]
    k = 0
    while k + LEAST <= len(rounds):
        body = _strided(rounds[k], rounds[k + 1])
        count = 1
        while body is not None and k + count < len(rounds) and _continues(body, rounds[k + count], count):
            count += 1
        if body is not None and count >= LEAST:
            yield _Loop(start + k * period, period, count, tuple(body))
            k += count
        else:
            k += 1


def _strided(first: Sequence[Call], second: Sequence[Call]) -> list[Call] | None:
    """Return the first round with the distance to the second as stride of each address; None where they are unlike."""
    body = []
    for a, b in zip(first, second):
        values = [_moved(x, y) for x, y in zip(a.addresses, b.addresses)]
        if (a.function, len(a.addresses)) != (b.function, len(b.addresses)) or None in values:
            return None
        body.append(a.with_addresses([v for v in values if v is not None]))
    return body


def _moved(a: Argument, b: Argument) -> Argument | None:
    if isinstance(a, Address) and isinstance(b, Address) and (a.type, a.base) == (b.type, b.base):
        return replace(a, stride=b.offset - a.offset)
    return a if a == b else None


def _continues(body: Sequence[Call], other: Sequence[Call], count: int) -> bool:
    """Whether a round is the one that the strides give after ``count`` rounds."""
    return all(
        a.function == b.function and [_at(x, count) for x in a.addresses] == b.addresses
        for a, b in zip(body, other)
    )


def _at(argument: Argument, count: int) -> Argument:
    if isinstance(argument, Address):
        return replace(argument, offset=argument.offset + count * argument.stride, stride=0)
    return argument


def _loop_text(calls: Sequence[Call], loop: _Loop, parameters: Parameters) -> str:
    last = calls[loop.start + loop.length - 1].title.partition(":")[0]
    head = (
        f"    /* {loop.count} rounds of {loop.period} operators, up to {last};"
        " the comments are those of the first. */\n"
    )
    prepared, body = "", []
    for call in loop.body:
        params = parameters.table(range(call.index, loop.start + loop.length, loop.period))
        if call.prepare is not None and "[k]" not in params:
            name = f"call{call.index}"
            prepared += f"    {call.prepare.type} {name};\n    {call.prepare.function}(&{name}, {params});\n"
            call, params = replace(call, prepare=None), f"&{name}"
        body.append(_text(call, params, f"{call.index} + {loop.period} * k", 2))
    rounds = f"    for (int k = 0; k < {loop.count}; ++k) {{\n"
    return head + prepared + rounds + "\n".join(body) + "    }\n"
