"""The drift monitor as C, beside the model that it watches: the arithmetic of :mod:`qedge.drift`, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files as package_files

from qedge.drift.judge import LEAST_WINDOW, MAX_WINDOW, limits, shares
from qedge.drift.sketch import Sketch, Tensor
from qedge.drift.statistics import MAX_ELEMENTS
from qedge.errors import UsageError
from qedge.graph import Graph

RATES = ((0.05, "5"), (0.02, "2"), (0.01, "1"), (0.005, "0_5"), (0.001, "0_1"))
"""False-alarm rates that an application may choose, and how their names end."""
DEFAULT_RATE = 2
_TEMPLATES = {"monitor.h.in": "{name}_monitor.h", "monitor.c.in": "{name}_monitor.c"}
_FLIP = {"int8": 0x80, "uint8": 0}
_CLASSES = """\
    const {ctype} *const scores = {accessor}(context);
    int32_t best = 0;
    for (int32_t i = 1; i < {elements}; ++i) {{
        if (scores[i] > scores[best]) {{
            best = i;
        }}
    }}
    bins[INPUT_HISTOGRAMS] = (uint8_t)(best * {groups} / {elements});"""
_VALUES = """\
    look((const uint8_t *){accessor}(context), {elements}, {stride}, {flip}, edges + INPUT_HISTOGRAMS,
         bins + INPUT_HISTOGRAMS);"""


def monitor_files(graph: Graph, name: str, sketch: Sketch | None, window: int) -> dict[str, bytes]:
    """Return ``<name>_monitor.c`` and ``.h`` for windows of ``window`` samples.

    Raises:
        UsageError: nothing says what calibration looked like, a tensor that C does not watch, or a window out of range.
    """
    if sketch is None:
        raise UsageError(
            "--monitor: the build has no sketch of its calibration", hint="give --data, 20 samples or more"
        )
    if not LEAST_WINDOW <= window <= MAX_WINDOW:
        raise UsageError(f"--monitor: found {window}, expected {LEAST_WINDOW} to {MAX_WINDOW} samples")
    seen = _tensor(graph, graph.inputs, "input", sketch.input)
    said = _tensor(graph, graph.outputs, "output", sketch.output)
    histograms = (*sketch.inputs, *sketch.outputs)
    bounds = [limits(sketch, window, rate) for rate, _ in RATES]
    values = {
        "name": name,
        "NAME": name.upper(),
        "window": window,
        "bins": sum(len(h.counts) for h in histograms),
        "histograms": len(histograms),
        "input_histograms": len(sketch.inputs),
        "sizes": ", ".join(str(len(h.counts)) for h in histograms),
        "shares": _rows([shares(h) for h in histograms]),
        "edge_rows": sum(bool(h.edges) for h in histograms),
        "edges": _rows([h.edges for h in histograms if h.edges], "{{{}}}", "u"),
        "rates": len(RATES),
        "default_rate": DEFAULT_RATE,
        "limits": _rows([(*b.inputs, *b.outputs) for b in bounds], "{{{}}}", "u"),
        "rate_defines": "".join(
            f"#define {name.upper()}_FALSE_ALARMS_{word}_PERCENT {k}\n" for k, (_, word) in enumerate(RATES)
        ),
        "input": seen.io,
        "input_elements": sketch.input.elements,
        "input_stride": sketch.input.stride,
        "input_flip": f"0x{seen.flip:02x}",
        "output_bins": _output(name, sketch, said),
    }
    found = {}
    for template, path in _TEMPLATES.items():
        text = (package_files(__name__) / template).read_text("utf-8")
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        found[path.format(name=name)] = text.encode()
    return found


class _Io:
    """A watched tensor: its accessor's name without the prefix, its C type, and what turns a code into a level."""

    def __init__(self, io: str, ctype: str, flip: int) -> None:
        self.io, self.ctype, self.flip = io, ctype, flip


def _tensor(graph: Graph, tensors: Sequence[int], kind: str, watched: Tensor) -> _Io:
    tensor = graph.tensors[tensors[watched.number]]
    if tensor.dtype not in _FLIP or tensor.elements > MAX_ELEMENTS:
        raise UsageError(
            f"--monitor: the {kind} {tensor.name!r} is {tensor.dtype} [{tensor.elements}], expected int8 or uint8",
            hint="build with --io int8, or watch the model in Python: qedge.monitor",
        )
    io = kind if len(tensors) == 1 else f"{kind}_{watched.number}"
    return _Io(io, f"{tensor.dtype}_t", _FLIP[tensor.dtype])


def _output(name: str, sketch: Sketch, said: _Io) -> str:
    """Return the C that puts the output's bins behind those of the input."""
    form = _CLASSES if sketch.kind == "classes" else _VALUES
    return form.format(
        ctype=said.ctype,
        accessor=f"{name}_{said.io}",
        elements=sketch.output.elements,
        stride=sketch.output.stride,
        flip=f"0x{said.flip:02x}",
        groups=len(sketch.outputs[0].counts),
    )


def _rows(rows: Sequence[Sequence[int]], form: str = "{}", suffix: str = "") -> str:
    return "\n".join("    " + form.format(", ".join(f"{v}{suffix}" for v in row)) + "," for row in rows)
