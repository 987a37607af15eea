"""What a target is asked about one model: everything that it needs, in one frozen object."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from qedge.drift.sketch import Sketch
from qedge.graph import Graph
from qedge.processing.spec import Postprocess, Preprocess

if TYPE_CHECKING:
    from qedge.target.reports import CheckReport


@dataclass(frozen=True)
class Request:
    """A model with what its user stated about it; ``check`` and ``compile`` of a build get the same one.

    Args:
        graph: the full-integer model at the waist, read.
        name: of the build; safe as a file name and as a C identifier.
        workdir: a folder of the target's own for this build, there and empty; what ``check`` leaves in it
            ``compile`` finds.
        options: the target's declared options, as their declared kinds; one that nobody set is missing or None.
        labels: names of the outputs in the model's order, or empty.
        preprocess: what turns a user's sample into the model's input, or None.
        postprocess: what the model's outputs mean, or None.
        golden_inputs: the samples that the bundle will carry, each a list of arrays in the types of the
            model's inputs; empty where nothing will be packed.
        sketch: what calibration looked like, for a monitor of drift; None without enough data.
        found: what the target's ``check`` said of this request; None in ``check`` itself.
        memory: what a target's ``price`` wrote down of other candidates of a search, to be spared work; None where the
            price is to be exact.
    """

    graph: Graph
    name: str
    workdir: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    preprocess: Preprocess | None = None
    postprocess: Postprocess | None = None
    golden_inputs: Sequence[Sequence[npt.NDArray[Any]]] = ()
    sketch: Sketch | None = None
    found: CheckReport | None = None
    memory: MutableMapping[Any, Any] | None = None

    @property
    def model(self) -> bytes:
        """The ``.tflite`` that :attr:`graph` was read from."""
        return self.graph.data
