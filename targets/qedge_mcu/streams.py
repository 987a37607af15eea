"""State of streaming models in place: variables are read where they lie, joined with what is new, and shifted.

A streaming layer reads its variable, appends the new rows, computes on both, and assigns the last rows. Step by step
that copies the state three times. Here the joined tensor *is* the variable's memory:

* ``READ_VARIABLE`` makes no code: its output is the variable.
* Where a concatenation appends to it, the variable has room for the joined tensor. The new rows are copied behind it,
  or written there by the operator that makes them.
* The slice that follows makes no code either, and the assignment moves those bytes to the front, once everything that
  reads the joined tensor has run.
* Where a model cuts the variable first, joins what is left with the new rows and assigns the whole, what is left moves
  to the front at the cut.

A variable that is read or assigned more than once, or whose value is an output of the model, is copied as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from qedge.graph import Graph, Operator
from qedge_mcu.ops.base import Emitted, State

ALIGN = 4


@dataclass(frozen=True)
class Place:
    """Where a tensor lies that is no part of the arena: a state of the context, and the offset into it in bytes."""

    state: str
    offset: int


@dataclass
class Streams:
    """The operators' calls once state is in place.

    Args:
        emitted: one entry an operator.
        places: by tensor, for those that lie in a state.
        after: by position of an operator, the positions of others that must have run before it.
    """

    emitted: list[Emitted]
    places: dict[int, Place] = field(default_factory=dict)
    after: dict[int, set[int]] = field(default_factory=dict)

    def order(self) -> list[int]:
        """Return the operators' positions in their own order, assignments after the last that reads the state."""
        last = [max({i, *self.after.get(i, ())}) for i in range(len(self.emitted))]
        return sorted(range(len(last)), key=lambda i: (last[i], i in self.after, i))


def in_place(graph: Graph, emitted: Sequence[Emitted]) -> Streams:
    """Return the calls with every variable in place that allows it."""
    streams = Streams(list(emitted))
    groups = _Groups(graph, emitted)
    uses: dict[str, list[Operator]] = {}
    for op in graph:
        if op.op in ("READ_VARIABLE", "ASSIGN_VARIABLE"):
            uses.setdefault(emitted[op.index].states[0].name, []).append(op)
    for ops in uses.values():
        if [op.op for op in ops] == ["READ_VARIABLE", "ASSIGN_VARIABLE"]:
            _place(graph, groups, streams, *ops)
    return streams


class _Groups:
    """Tensors that are one another under another shape."""

    def __init__(self, graph: Graph, emitted: Sequence[Emitted]) -> None:
        self.graph = graph
        self.root = {t.index: t.index for t in graph.tensors}
        for op in graph:
            if emitted[op.index].alias:
                self.root[op.outputs[0]] = self.root[op.inputs[0]]

    def members(self, tensor: int) -> set[int]:
        """Return all tensors that are the same memory."""
        return {t for t, root in self.root.items() if root == self.root[tensor]}

    def readers(self, tensor: int) -> list[Operator]:
        """Return the operators that read the tensor under any shape, reshapes excluded."""
        found = {op.index: op for t in self.members(tensor) for op in self.graph.consumers[t]}
        return [op for i, op in sorted(found.items()) if not (set(op.outputs) & self.members(tensor))]

    def is_output(self, tensor: int) -> bool:
        """Whether a caller sees the tensor after a run."""
        return bool(self.members(tensor) & set(self.graph.outputs))


def _place(graph: Graph, groups: _Groups, streams: Streams, read: Operator, assign: Operator) -> None:
    """Put one variable in place, with the tensor that it is joined to where there is one."""
    value, new = read.outputs[0], assign.inputs[1]
    state = streams.emitted[read.index].states[0]
    if groups.is_output(value) or graph.tensors[value].nbytes != graph.tensors[new].nbytes:
        return
    readers = groups.readers(value)
    if len(readers) == 1 and (
        _place_joined(graph, groups, streams, readers[0], read, assign)
        or _place_shifted(graph, groups, streams, readers[0], read, assign)
    ):
        return
    _put(groups, streams, value, Place(state.name, 0))
    streams.emitted[read.index] = Emitted(states=(state,), placed=True, note="read in place")
    streams.after[assign.index] = {op.index for op in readers} - {assign.index}


def _put(groups: _Groups, streams: Streams, tensor: int, place: Place) -> None:
    for member in groups.members(tensor):
        streams.places[member] = place


def _place_joined(
    graph: Graph, groups: _Groups, streams: Streams, join: Operator, read: Operator, assign: Operator
) -> bool:
    """Give a variable the memory of the tensor it is joined to; False where the pattern is another one."""
    emitted = streams.emitted
    joined, new = join.outputs[0], assign.inputs[1]
    cut = graph.producer.get(new)
    if join.op != "CONCATENATION" or cut is None or cut.op not in ("SLICE", "STRIDED_SLICE"):
        return False
    shift = contiguous(emitted[cut.index], graph.tensors[new].nbytes)
    fits = cut.inputs[0] in groups.members(joined) and len(groups.readers(new)) == 1
    if shift is None or not fits or groups.is_output(joined) or groups.is_output(new):
        return False
    params = emitted[join.index].params
    if params is None or dict(params.members)["outer"] != 1 or joined in streams.places:
        return False
    old = emitted[read.index].states[0]
    starts, at = [], 0
    for t in join.inputs:
        starts.append(at)
        at += graph.tensors[t].nbytes
    value = read.outputs[0]
    positions = [k for k, t in enumerate(join.inputs) if t in groups.members(value)]
    if len(positions) != 1:
        return False
    state = replace(old, nbytes=at, start=starts[positions[0]])
    others = [k for k in range(len(join.inputs)) if k not in positions]
    written = [k for k in others if _can_move(graph, groups, streams, join.inputs[k], starts[k])]
    copied = [k for k in others if k not in written]
    if len(copied) > 1 or len({groups.root[join.inputs[k]] for k in written}) != len(written):
        return False
    _put(groups, streams, joined, Place(state.name, 0))
    _put(groups, streams, value, Place(state.name, state.start))
    _put(groups, streams, new, Place(state.name, shift))
    for k in written:
        _put(groups, streams, join.inputs[k], Place(state.name, starts[k]))
    emitted[read.index] = Emitted(states=(state,), placed=True, note="read in place")
    emitted[join.index] = Emitted(states=(state,), placed=True, note="joined in place")
    for k in copied:
        place = f"{{state:{state.name}}} + {starts[k]}"
        emitted[join.index] = replace(
            move(place, f"{{in{k}}}", graph.tensors[join.inputs[k]].nbytes),
            states=(state,),
            note="joined in place",
        )
    emitted[cut.index] = Emitted(states=(state,), placed=True, note="a part of the state")
    front = f"{{state:{state.name}}} + {state.start}"
    emitted[assign.index] = replace(
        move(front, f"{{state:{state.name}}} + {shift}", old.nbytes), states=(state,), note="shifted in place"
    )
    watched = [joined, value, *(join.inputs[k] for k in written)]
    streams.after[assign.index] = {op.index for t in watched for op in groups.readers(t)} - {assign.index}
    return True


def _place_shifted(
    graph: Graph, groups: _Groups, streams: Streams, cut: Operator, read: Operator, assign: Operator
) -> bool:
    """Give a variable that is cut, joined with what is new and assigned whole one memory; False where it is another
    pattern.

    What is kept moves to the front where the model cuts it, and what is new comes behind it.
    """
    emitted, kept = streams.emitted, cut.outputs[0]
    join = graph.producer.get(groups.root[assign.inputs[1]])
    if cut.op not in ("SLICE", "STRIDED_SLICE") or join is None or join.op != "CONCATENATION":
        return False
    joined, size = join.outputs[0], graph.tensors[kept].nbytes
    shift, params = contiguous(emitted[cut.index], size), emitted[join.index].params
    if shift is None or params is None or dict(params.members)["outer"] != 1:
        return False
    places = [k for k, t in enumerate(join.inputs) if t in groups.members(kept)]
    ours = groups.members(kept) | groups.members(joined)
    if places != [0] or len(groups.readers(kept)) != 1 or ours & {*graph.outputs, *streams.places}:
        return False
    starts = [0, size]
    for t in join.inputs[1:-1]:
        starts.append(starts[-1] + graph.tensors[t].nbytes)
    others = range(1, len(join.inputs))
    made = {k: graph.producer.get(groups.root[join.inputs[k]]) for k in others}
    written = [
        k
        for k in others
        if (maker := made[k]) is not None
        and maker.index > cut.index
        and _can_move(graph, groups, streams, join.inputs[k], starts[k])
    ]
    copied = [k for k in others if k not in written]
    if len(copied) > 1 or len({groups.root[join.inputs[k]] for k in written}) != len(written):
        return False
    state = emitted[read.index].states[0]
    for tensor in (joined, read.outputs[0], kept):
        _put(groups, streams, tensor, Place(state.name, 0))
    for k in written:
        _put(groups, streams, join.inputs[k], Place(state.name, starts[k]))
        maker = made[k]
        assert maker is not None
        streams.after.setdefault(maker.index, set()).add(cut.index)
    held = f"{{state:{state.name}}}"
    for op, note in ((read, "read in place"), (join, "joined in place"), (assign, "assigned in place")):
        emitted[op.index] = Emitted(states=(state,), placed=True, note=note)
    emitted[cut.index] = replace(
        move(held, f"{held} + {shift}", size), states=(state,), note="shifted in place"
    )
    for k in copied:
        emitted[join.index] = replace(
            move(f"{held} + {starts[k]}", f"{{in{k}}}", graph.tensors[join.inputs[k]].nbytes),
            states=(state,),
            note="joined in place",
        )
    return True


def contiguous(emitted: Emitted, nbytes: int) -> int | None:
    """Return the first byte that a copy reads, or None unless it reads ``nbytes`` that lie together."""
    if emitted.params is None or emitted.params.type != "qe_copy_params":
        return None
    members = dict(emitted.params.members)
    start = members["in_start"]
    return start if members["run"] == nbytes and isinstance(start, int) else None


def _can_move(graph: Graph, groups: _Groups, streams: Streams, tensor: int, start: int) -> bool:
    """Whether the operator that makes a tensor can write it at ``start`` of a state instead of into the arena."""
    members = groups.members(tensor)
    maker = graph.producer.get(groups.root[tensor])
    return (
        start % ALIGN == 0
        and maker is not None
        and bool(streams.emitted[maker.index].function)
        and not members & set(graph.inputs)
        and not members & set(graph.outputs)
        and not members & set(streams.places)
    )


def move(to: str, source: str, nbytes: int) -> Emitted:
    """Return the call that moves bytes to where they may overlap with where they were."""
    return Emitted(
        function="qe_move", args=(to, source, str(nbytes)), kernels=("qe_move.c",), headers=("qe_move.h",)
    )


def state_offsets(states: Sequence[State], start: int) -> Mapping[str, int]:
    """Return each state's offset in the context, where ``start`` bytes lie before the first."""
    found, at = {}, start
    for state in states:
        found[state.name] = at
        at += (state.nbytes + 3) // 4 * 4
    return found
