"""The target under test, and what the kit makes of it: requests, compiled files, a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.bundle import Manifest, golden_files, read_bundle, write_bundle
from qedge.graph import Graph
from qedge.oracle.golden import golden_samples
from qedge.pipeline import BuildRequest, build
from qedge.target import Compiled, Request, Target, resolve
from qedge.target.options import typed_options
from qedge.testing.models import small_classifier, unknown_operator

Array = npt.NDArray[Any]
SAMPLES = 3


@dataclass(frozen=True)
class Subject:
    """A target with its options; what is slow to make is made once, in ``folder``."""

    target: Target
    options: Mapping[str, Any]
    folder: Path

    @classmethod
    def of(cls, name: str, stated: Mapping[str, str], folder: Path) -> Subject:
        """Return the installed target ``name`` with options as a user writes them."""
        target = resolve(name)
        return cls(target, typed_options(target.info, {}, stated), folder)

    @cached_property
    def graph(self) -> Graph:
        """The small classifier, which every target is to build."""
        return Graph.from_bytes(small_classifier(), "the kit's classifier")

    @cached_property
    def unknown(self) -> Graph:
        """A model with an operator that no device has."""
        return Graph.from_bytes(unknown_operator(), "the kit's model with an unknown operator")

    @cached_property
    def samples(self) -> list[list[Array]]:
        """Inputs of the classifier."""
        return golden_samples(self.graph, None, SAMPLES)

    def request(self, graph: Graph, place: str, **options: Any) -> Request:
        """Return a request with a working folder ``place`` of its own; ``options`` over the subject's."""
        workdir = self.folder / place
        shutil.rmtree(workdir, ignore_errors=True)
        workdir.mkdir(parents=True)
        return Request(graph, "kit", workdir, {**self.options, **options}, golden_inputs=self.samples)

    def compile(self, place: str) -> Compiled:
        """Return what the target compiles of the classifier, after its own check."""
        request = self.request(self.graph, place)
        return self.target.compile(replace(request, found=self.target.check(request)))

    @cached_property
    def bundle(self) -> Path:
        """The classifier's bundle, as ``qedge build`` writes it."""
        return self.build(self.graph, "build")

    def build(self, graph: Graph, place: str) -> Path:
        """Return the bundle that ``qedge build`` makes of a model under ``place``."""
        source = self.folder / "kit.tflite"
        source.write_bytes(graph.data)
        asked = BuildRequest(source, [(self.target, self.options)], self.folder / place)
        return build(asked, lambda stage, fraction: None).bundles[self.target.info.name]

    def altered(self, place: str, **fields: Any) -> Path:
        """Return a copy of the bundle whose manifest says something else; ``golden`` are other golden pairs."""
        golden = fields.pop("golden", None)
        with read_bundle(self.bundle) as opened:
            manifest: Manifest = opened.manifest.replace(**fields)
            files = {name: opened.read(name) for name in manifest.files}
        if golden is not None:
            files = {n: d for n, d in files.items() if not n.startswith("golden/")}
            outputs = [list(o) for _, o in golden]
            files.update(golden_files([list(i) for i, _ in golden], outputs, {"builtin": outputs}))
        write_bundle(self.folder / place, manifest, files)
        return self.folder / place


def moved(array: Array) -> Array:
    """Return an output that no kernel could have given for the same input: every value far from where it was."""
    if array.dtype.kind == "f":
        far: Array = array + np.asarray(1 + np.abs(array).max(initial=0), array.dtype)
    else:
        far = np.bitwise_xor(array, np.asarray(64, array.dtype))
    return far
