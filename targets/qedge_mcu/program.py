"""From a graph to a program: one step an operator, with its constants, memory and plan."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from qedge.errors import UnsupportedError
from qedge.findings import Finding
from qedge.graph import Graph, Tensor
from qedge.graph.custom_names import way_out
from qedge.graph.repeats import Repeat
from qedge.target import Placement
from qedge_mcu.cores import Core
from qedge_mcu.finite import expect_finite
from qedge_mcu.layout import Layout, Step, in_arena, lay_out
from qedge_mcu.ops import Emitted, OpContext, Reason, find
from qedge_mcu.ops.base import State, expect_static
from qedge_mcu.ops.unpack import unpacked
from qedge_mcu.planner import Plan, conflicts
from qedge_mcu.streams import Place, Streams, in_place, state_offsets
from qedge_mcu.structs import misfits
from qedge_mcu.tables import with_lookups
from qedge_mcu.views import Views

__all__ = ["Program", "Step", "build", "c_identifier", "check", "in_arena"]

CONTEXT_ALIGN = 8
_WAY = (
    "build from the float model, which qedge writes in what runs here, or change the layer: docs/mcu_operators.md says"
    " what runs"
)
_LEFT = (
    "the converter had no integer form of it: build from the float model, which qedge quantises itself, end the model"
    " ahead of it, or write it in other operators"
)
ROOM = 1.02
"""How much larger an arena may be for the sake of fewer instructions."""
CONTROL_FLOW = ("IF", "WHILE", "CALL")
# fmt: off
HEADERS = frozenset(
    {
        "assert", "complex", "ctype", "errno", "fenv", "float", "golden", "inttypes", "iso646",
        "limits", "locale", "math", "setjmp", "signal", "stdalign", "stdarg", "stdatomic",
        "stdbool", "stddef", "stdint", "stdio", "stdlib", "stdnoreturn", "string", "tgmath",
        "threads", "time", "uchar", "wchar", "wctype",
    }
)
# fmt: on
"""Names that the library's own header must not take: those of the C library, and of the golden vectors."""


@dataclass(frozen=True, eq=False)
class Program:
    """Everything that the C is written from.

    Args:
        name: C identifier in lower case; prefix of everything public.
        views: which tensors lie in others.
        plan: offsets; buffers are named by the index of a tensor that lies in no other, scratch ``scratch<step>``.
        outside: the same where the inputs lie in the caller's memory.
        states: persistent memory, by name.
        places: tensors that lie in a state and not in the arena (``streams.py``).
        runs: steps that repeat, by position in ``steps``.
    """

    name: str
    graph: Graph
    core: Core
    steps: tuple[Step, ...]
    views: Views
    plan: Plan
    outside: Plan
    states: tuple[State, ...]
    places: Mapping[int, Place]
    runs: tuple[Repeat, ...] = ()

    def offset(self, tensor: int) -> int:
        """Return the offset in the context, in bytes, of a tensor that is no constant."""
        place = self.places.get(tensor)
        if place is not None:
            return state_offsets(self.states, self.arena_bytes)[place.state] + place.offset
        root, start = self.views.place(tensor)
        return self.plan.offsets[str(root)] + start

    def offset_outside(self, tensor: int) -> int:
        """Return the offset in the arena where the inputs lie elsewhere; of no input, nor a part of one."""
        root, start = self.views.place(tensor)
        return self.outside.offsets[str(root)] + start

    def part_of_input(self, tensor: int) -> tuple[int, int] | None:
        """Return the number of the input that a tensor lies in, and its first byte there; None for others."""
        root, start = self.views.place(tensor)
        return (self.graph.inputs.index(root), start) if root in self.graph.inputs else None

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arena as it is declared: C has no empty array."""
        return max(self.plan.arena_bytes, CONTEXT_ALIGN)

    @property
    def outside_arena_bytes(self) -> int:
        """The same where the inputs lie elsewhere."""
        return max(self.outside.arena_bytes, CONTEXT_ALIGN)

    @property
    def state_bytes(self) -> int:
        """Persistent memory beside the arena."""
        return sum((s.nbytes + 3) // 4 * 4 for s in self.states)

    @property
    def context_bytes(self) -> int:
        """``sizeof`` the context: arena and states, rounded up to its alignment."""
        total = self.arena_bytes + self.state_bytes
        return (total + CONTEXT_ALIGN - 1) // CONTEXT_ALIGN * CONTEXT_ALIGN

    @property
    def scratch_bytes(self) -> int:
        """The most scratch memory that one step uses; part of the arena."""
        return max((s.emitted.scratch_bytes for s in self.steps), default=0)


def c_identifier(name: str) -> str:
    """Return a C identifier in lower case that resembles ``name``.

    >>> c_identifier("KWS-01 (int8)")
    'kws_01_int8'
    >>> c_identifier("3d"), c_identifier("String")
    ('m3d', 'string_model')
    """
    cleaned = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "model"
    if cleaned in HEADERS or cleaned.startswith("qe_"):
        return f"{cleaned}_model"
    return f"m{cleaned}" if cleaned[0].isdigit() else cleaned


def check(graph: Graph, core: Core) -> tuple[list[Placement], list[Finding]]:
    """Say of every operator whether it can be generated; all reasons, never only the first.

    Raises:
        ModelError: a scale or a constant that is no finite number.
    """
    expect_finite(graph)
    placements: list[Placement] = []
    findings = [
        Finding(
            "error",
            "unsupported-op",
            f"output {graph.tensors[t].name!r} is a constant",
            "leave it out of the model's outputs",
            tensor=graph.tensors[t].name,
        )
        for t in graph.outputs
        if graph.tensors[t].is_constant
    ]
    for op, (reasons, _) in zip(graph, _examine(graph, core)):
        for r in reasons:
            findings.append(Finding("error", r.rule, r.message, r.hint, op=op.label))
        placements.append(
            Placement(
                op.index,
                op.custom_name or op.op,
                "unsupported" if reasons else "mcu",
                "; ".join(r.message for r in reasons) or f"generated as {core.family} C",
                next((r.hint for r in reasons if r.hint), None),
            )
        )
    return placements, findings


def _examine(graph: Graph, core: Core) -> list[tuple[list[Reason], Emitted | None]]:
    """Return for each operator what stands in the way, or what it becomes; the same answer for a graph as before."""
    if graph not in _EXAMINED:
        _EXAMINED[graph] = {}
    if core.name not in _EXAMINED[graph]:
        _EXAMINED[graph][core.name] = [_examined(OpContext(graph, op, core)) for op in graph]
    return _EXAMINED[graph][core.name]


_EXAMINED: WeakKeyDictionary[Graph, dict[str, list[tuple[list[Reason], Emitted | None]]]] = (
    WeakKeyDictionary()
)


def _examined(c: OpContext) -> tuple[list[Reason], Emitted | None]:
    reasons = _reasons(c)
    if reasons:
        return reasons, None
    module = find(c)
    assert module is not None
    emitted = unpacked(c, module.emit(c))
    if emitted.smaller is not None:
        emitted = replace(emitted, smaller=unpacked(c, emitted.smaller))
    return [Reason(text, "make the layer smaller, or split it") for text in misfits(emitted)], emitted


def _reasons(c: OpContext) -> list[Reason]:
    module = find(c)
    if c.op.op in CONTROL_FLOW:
        return [
            Reason(
                f"{c.op.op} runs other parts of the model, which no code is generated for",
                "unroll the loop before the conversion (Keras: unroll=True), or take the branch out of the model",
            )
        ]
    if module is None:
        name = c.op.custom_name or c.op.op
        way = (
            way_out(name)
            if c.op.custom_name
            else "replace the layer, or build for a target that runs it on a CPU"
        )
        return [Reason(f"{name} has no C kernel", way)]
    tensors = [t for t in (*c.inputs, *c.outputs) if t is not None]
    reasons = [r for t in tensors for r in expect_static(t, what=f"tensor {t.name!r}")]
    reasons = reasons or _in_float(c, tensors, _legacy(tensors, module.check(c)))
    return [r if r.hint else replace(r, hint=_WAY) for r in reasons]


def _in_float(c: OpContext, tensors: Sequence[Tensor], reasons: list[Reason]) -> list[Reason]:
    """Return the reasons; one for all that speak of types where an integer model holds an operator in float."""
    types = [r for r in reasons if r.rule == "dtype"]
    floats = any(t.dtype == "float32" for t in tensors)
    if not types or not floats or not any(t.dtype in ("int8", "int16") for t in c.graph.tensors):
        return reasons
    left = Reason("it is left in float in an integer model: float32, expected int8", _LEFT, "dtype")
    return [left, *(r for r in reasons if r.rule != "dtype")]


def _legacy(tensors: Sequence[Tensor], reasons: list[Reason]) -> list[Reason]:
    """Return the reasons; one for all that speak of types where they stand for the older kind of quantisation."""
    types = [r for r in reasons if r.rule == "dtype"]
    if not types or not any(t.dtype == "uint8" and t.quantization and not t.is_constant for t in tensors):
        return reasons
    legacy = Reason(
        "uint8 tensors (the older kind of quantisation), expected int8",
        "build from the float model, which gives int8, or for a target that runs uint8 as it is: -t rpi, -t coral",
        "dtype",
    )
    return [legacy, *(r for r in reasons if r.rule != "dtype")]


def _laid_out(graph: Graph, emitted: Sequence[Emitted], tries: int) -> tuple[Streams, Layout]:
    """Return the steps in their order and where tensors lie; slower calls with less working memory where the others
    would make the arena more than `ROOM` times as large.
    """

    def laid_out(calls: Sequence[Emitted]) -> tuple[Streams, Layout]:
        streams = in_place(graph, calls)
        return streams, lay_out(graph, streams, tries)

    fast = laid_out(emitted)
    if all(e.smaller is None for e in emitted):
        return fast
    small = laid_out([e.smaller or e for e in emitted])
    limit = int(small[1].plan.arena_bytes * ROOM)
    if fast[1].plan.arena_bytes <= limit:
        return fast
    plan = fast[1].plan
    tight = {
        step.op.index
        for i, step in enumerate(fast[1].steps)
        if any(
            b.first <= i <= b.last and plan.offsets[b.name] + b.nbytes > limit for b in plan.problem.buffers
        )
    }
    mixed = laid_out([(e.smaller or e) if i in tight else e for i, e in enumerate(emitted)])
    return mixed if mixed[1].plan.arena_bytes <= limit else small


def build(graph: Graph, core: Core, name: str, *, tries: int = 300) -> Program:
    """Return the program of a graph; ``tries`` is the effort of the planner (``planner.plan``).

    Raises:
        UnsupportedError: operators without a kernel, all of them in ``findings``.
    """
    _, findings = check(graph, core)
    if findings:
        names = sorted({f.op or f.message for f in findings})
        raise UnsupportedError(
            f"{len(names)} part{'s' * (len(names) > 1)} of the model cannot be generated as C: {', '.join(names)}",
            hint=findings[0].hint or "qedge check says what stands in the way of each",
            findings=findings,
        )
    graph = with_lookups(graph)
    emitted = [emitted for _, emitted in _examine(graph, core) if emitted is not None]
    streams, layout = _laid_out(graph, emitted, tries)
    wrong = conflicts(layout.plan) + conflicts(layout.outside)
    if wrong:
        raise RuntimeError(f"the memory plan is wrong: {'; '.join(wrong[:3])}")
    states = {s.name: s for step in layout.steps for s in step.emitted.states}
    return Program(
        c_identifier(name),
        graph,
        core,
        layout.steps,
        layout.views,
        layout.plan,
        layout.outside,
        tuple(states[n] for n in sorted(states)),
        streams.places,
        layout.runs,
    )
