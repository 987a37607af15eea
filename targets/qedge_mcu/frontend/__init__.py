"""The integer log-mel front end as C, beside the model that hears through it.

``qe_frontend.c`` computes a frame; `emit_frontend` adds the tables of one model and a small stream on top, so
that an application is PCM in, scores out.
"""

from __future__ import annotations

import math
from importlib.resources import files as package_files

import numpy as np
import numpy.typing as npt

from qedge import quantmath
from qedge.graph import Graph
from qedge.processing.audio import AudioPreprocess
from qedge.processing.log_mel_int import OUTPUT_FRACTION_BITS
from qedge.processing.spec import Preprocess

_PATHS = ("qe_frontend.c", "qe_frontend.h")
_TEMPLATES = {"frontend.h.in": "{name}_frontend.h", "frontend.c.in": "{name}_frontend.c"}


def integer_front_end(preprocess: Preprocess | None) -> AudioPreprocess | None:
    """Return the pre-processing when it is one that C can follow bit for bit, else None.

    That is "log_mel_int" with one ``mean`` and one ``std``, and an even ``window``, at least ``hop``.
    """
    if not isinstance(preprocess, AudioPreprocess) or preprocess.features != "log_mel_int":
        return None
    if preprocess.window % 2 or preprocess.hop > preprocess.window:
        return None
    return None if isinstance(preprocess.mean, tuple) or isinstance(preprocess.std, tuple) else preprocess


def frontend_files(graph: Graph, name: str, preprocess: Preprocess | None) -> dict[str, bytes]:
    """Return the C files of the front end that ``graph`` hears through; none where C cannot follow it.

    ``preprocess`` is what the manifest says, ``name`` the C prefix of the model.
    """
    found = integer_front_end(preprocess)
    if found is None or len(graph.inputs) != 1:
        return {}
    tensor = graph.tensors[graph.inputs[0]]
    fits = tensor.dtype == "int8" and tensor.elements == math.prod(found.shape)
    if not fits or tensor.quantization is None:
        return {}
    return emit_frontend(name, found, *tensor.quantization.scalar)


def emit_frontend(name: str, preprocess: AudioPreprocess, scale: float, zero_point: int) -> dict[str, bytes]:
    """Return the C files, by name, for the int8 input of the model whose C prefix is ``name``."""
    front_end = preprocess.integer_front_end
    half = front_end.window // 2
    twiddles = (front_end.sine << 16) | (front_end.cosine & 0xFFFF)
    segment_bins = np.bincount(front_end.bin_filter, minlength=front_end.mels + 1)
    thresholds, silence = _thresholds(preprocess, scale, zero_point)
    values = {
        "name": name,
        "NAME": name.upper(),
        "sample_rate": preprocess.sample_rate,
        "window": front_end.window,
        "hop": front_end.hop,
        "points": front_end.n_fft,
        "mels": front_end.mels,
        "frames": preprocess.frames,
        "bins": front_end.bin_weight.size,
        "first_bin": front_end.first_bin,
        "floor_bits": front_end.floor_bits,
        "silence": silence,
        "hann": _table(front_end.hann[: half + 1]),
        "twiddles": _table(twiddles),
        "bin_weights": _table(front_end.bin_weight),
        "segment_bins": _table(segment_bins),
        "log_table": _table(front_end.log_table),
        "thresholds": _table(thresholds),
        "hann_count": half + 1,
        "twiddle_count": front_end.n_fft // 2,
    }
    files = {path: _read(path) for path in _PATHS}
    # Each library has its own copy, so that several models fit in one image.
    prefix = f"#define qe_frontend_frame {name}_qe_frontend_frame"
    files["qe_frontend.h"] = files["qe_frontend.h"].replace("/* @prefix@ */", prefix)
    for template, path in _TEMPLATES.items():
        text = _read(template)
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        files[path.format(name=name)] = text
    return {path: text.encode() for path, text in files.items()}


def _thresholds(
    preprocess: AudioPreprocess, scale: float, zero_point: int
) -> tuple[npt.NDArray[np.int64], int]:
    """Return the least Q8 octaves of each int8 value from -127 to 127, and the value of digital silence.

    Every possible number of octaves goes through the arithmetic of `AudioPreprocess.frame_features` and of
    `qedge.quantmath.quantize`, so that C, which only compares, cannot round otherwise.
    """
    octaves = np.arange((64 - preprocess.floor_bits) << OUTPUT_FRACTION_BITS)
    features = preprocess.scale_octaves(octaves.astype(np.float32))
    quantised = quantmath.quantize(features, scale, zero_point).astype(np.int64)
    return np.searchsorted(quantised, np.arange(-127, 128)), int(quantised[0])


def _table(values: npt.NDArray[np.int64]) -> str:
    lines, line = [], "   "
    for value in values.reshape(-1).tolist():
        if len(line) + len(str(value)) + 2 > 110:
            lines.append(line)
            line = "   "
        line += f" {value},"
    return "\n".join([*lines, line])


def _read(path: str) -> str:
    return (package_files(__name__) / path).read_text("utf-8")
