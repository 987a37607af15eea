"""Bundles that exist already: their data in their own terms, and the float model that they came from."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from qedge.bundle import Bundle
from qedge.datasets import Dataset, InputInfo, choose, open_dataset
from qedge.datasets.labels import fit_labels
from qedge.datasets.objects import LABEL_FILES, open_objects
from qedge.datasets.outputs import OutputInfo, output_infos
from qedge.errors import ModelError, UsageError
from qedge.findings import Finding
from qedge.frontends import load_model
from qedge.graph import Graph
from qedge.oracle.golden import golden_samples
from qedge.processing.detect import Detect


def open_for(bundle: Bundle, data: Path, samples: int | None, seed: int = 0) -> Dataset:
    """Return :func:`open_labelled`'s dataset alone."""
    return open_labelled(bundle, data, samples, seed)[0]


def open_labelled(
    bundle: Bundle, data: Path, samples: int | None, seed: int = 0
) -> tuple[Dataset, list[Finding]]:
    """Return a dataset read with the bundle's own pre-processing, its labels as what the outputs should say.

    Also what stands in the way of the labels.

    Raises:
        DataError: the data cannot be used, or a label is wrong without doubt.
    """
    outputs = output_infos(Graph.from_bytes(bundle.read("model.tflite"), "model.tflite"))
    dataset, findings = _open_any(bundle, data, outputs)
    if samples is None or samples >= len(dataset):
        return dataset, findings
    return dataset.subset(choose(len(dataset), samples, dataset.labels, seed)), findings


def _open_any(bundle: Bundle, data: Path, outputs: Sequence[OutputInfo]) -> tuple[Dataset, list[Finding]]:
    """Return photos with labelled objects for a detector, else a dataset with labels that fit the outputs."""
    manifest = bundle.manifest
    if isinstance(manifest.postprocess, Detect):
        infos = [InputInfo(t.name, t.shape, "float32", t.order) for t in manifest.inputs]
        found = open_objects(data, infos, manifest.preprocess, manifest.labels or None)
        if found is not None:
            return found, list(found.labelled.findings)
        return _open(bundle, data, [o.name for o in outputs]), []
    opened = _open(bundle, data, [o.name for o in outputs])
    return fit_labels(opened, manifest.labels or None, outputs)


def _open(bundle: Bundle, data: Path, outputs: Sequence[str]) -> Dataset:
    manifest = bundle.manifest
    infos = [InputInfo(t.name, t.shape, "float32", t.order) for t in manifest.inputs]
    if data.suffix.lower() in LABEL_FILES and data.is_file():
        named = open_objects(data, infos, manifest.preprocess, None)
        if named is not None:
            return named
    return open_dataset(data, infos, manifest.preprocess, outputs=outputs)


def raw_samples(bundle: Bundle, data: Path, samples: int | None) -> list[list[npt.NDArray[Any]]]:
    """Return samples of a dataset in the types of the bundle's inputs; its labels are not looked at."""
    graph = Graph.from_bytes(bundle.read("model.tflite"), "model.tflite")
    return golden_samples(graph, _open(bundle, data, graph.output_names), samples or 8)


def float_model_for(path: Path, given: Path | None) -> bytes | None:
    """Return the float ``.tflite`` that a bundle is compared with: ``given``, or the build's own beside it.

    Raises:
        UsageError: ``given`` does not exist.
        ModelError: ``given`` is full-integer already.
    """
    if given is None:
        beside = path.resolve().parent / "float.tflite"
        return beside.read_bytes() if beside.is_file() else None
    if not given.exists():
        raise UsageError(f"no model at {given}", hint="--float takes the float model that was built")
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        source = load_model(given, workdir=Path(scratch))
    if source.kind != "float":
        raise ModelError(f"{given} is full-integer, expected the float model", hint="name the float model")
    return source.data
