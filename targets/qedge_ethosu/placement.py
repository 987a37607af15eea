"""Where every operator runs, read from what Vela wrote; what it must not be given at all."""

from __future__ import annotations

from collections.abc import Sequence

from qedge.findings import Finding
from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.target import Placement
from qedge.target.answers import UNSUPPORTED
from qedge_ethosu.cpu import has_kernel
from qedge_ethosu.vela import Compilation

NPU = "ethosu"
NPU_OPERATOR = "ethos-u"
DEADLY_TYPES = ("int4", "uint4", "int2")
_INT4_HINT = "build from the float model, or export it with int8 weights"
_CPU_HINT = "replace it with operators that Vela maps: vela --supported-ops-report lists them"


def deadly_operators(graph: Graph) -> dict[int, str]:
    """Return why, by operator, of those whose tensors Vela dies of (SIGFPE): packed types below 8 bits."""
    found = {}
    for op in graph.operators:
        for tensor in (*graph.input_tensors(op), *(graph.tensors[t] for t in op.outputs)):
            if tensor is not None and tensor.dtype in DEADLY_TYPES:
                found[op.index] = f"{tensor.name!r} is {tensor.dtype}, and Vela takes 8 bits or more"
    return found


def refuse_before_vela(graph: Graph, deadly: dict[int, str]) -> tuple[list[Finding], list[Placement]]:
    """Return the findings and placements of a model that Vela must not be given."""
    findings, places = [], []
    for op in graph.operators:
        name, reason = op.custom_name or op.op, deadly.get(op.index)
        if reason:
            findings.append(Finding("error", "dtype", reason, hint=_INT4_HINT, op=op.label))
        places.append(
            Placement(
                op.index,
                name,
                UNSUPPORTED,
                reason or "Vela is not given a model with such tensors",
                _INT4_HINT,
            )
        )
    return findings, places


def distinct_names(graph: Graph) -> bytes:
    """Return the model with a name of its own for every tensor, unchanged where it has that already.

    Vela's words and its output know operators by the names of their outputs only.
    """
    names = [t.name for t in graph.tensors]
    if all(names) and len(set(names)) == len(names):
        return graph.data
    editor = Editor.from_bytes(graph.data)
    for index, tensor in enumerate(editor.graph.tensors):
        tensor.name = f"{names[index] or 'tensor'};{index}".encode()
    return editor.pack()


def placements(graph: Graph, done: Compilation) -> tuple[list[Placement], list[Finding]]:
    """Return where each operator of ``graph`` runs, and what a person should know of those on the CPU.

    ``graph`` is of the model that Vela was given.
    """
    after = Graph.from_bytes(done.model, "what Vela wrote")
    left = {
        after.tensors[t].name for op in after.operators if op.custom_name != NPU_OPERATOR for t in op.outputs
    }
    places, findings = [], []
    for op in graph.operators:
        name = op.custom_name or op.op
        out = graph.tensors[op.outputs[0]].name if op.outputs else ""
        refusal = done.refusals.get(out)
        if out not in left:
            places.append(Placement(op.index, name, NPU, "Vela maps it"))
            continue
        reason = refusal.reason if refusal else "Vela left it to the CPU without a reason"
        if has_kernel(op.op, op.custom_name):
            places.append(Placement(op.index, name, "cpu", reason, _CPU_HINT))
        else:
            reason = f"{reason}; TFLite Micro has no kernel for it either"
            places.append(Placement(op.index, name, UNSUPPORTED, reason, _CPU_HINT))
            findings.append(Finding("error", "unsupported-op", reason, hint=_CPU_HINT, op=op.label))
    return places, findings + _on_the_cpu(places)


def _on_the_cpu(places: Sequence[Placement]) -> list[Finding]:
    """One finding for each reason that keeps operators on the CPU, with how many it keeps there."""
    groups: dict[str, list[Placement]] = {}
    for p in places:
        if p.placement == "cpu":
            groups.setdefault(p.reason, []).append(p)
    found = []
    for reason, members in groups.items():
        more = f" (and {len(members) - 1} more)" if len(members) > 1 else ""
        label = f"#{members[0].index} {members[0].op}"
        found.append(Finding("warning", "cpu-operator", f"on the CPU: {reason}{more}", _CPU_HINT, label))
    return found
