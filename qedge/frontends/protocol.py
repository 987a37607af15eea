"""The contract between qedge and a front end, which brings the models of one framework or format.

A front end is an object of a class of :class:`FrontEnd`, registered under the entry-point group
``qedge.frontends`` of any distribution, qedge's own or a third party's:

    [project.entry-points."qedge.frontends"]
    onnx = "qedge.frontends.onnx:FRONT_END"

Its module is imported whenever a model is read, so that it imports its framework inside functions only. What happens
to a model, in order:

1. :meth:`FrontEnd.detect`, here, for every front end: is this yours? By content before name.
2. :meth:`FrontEnd.examine`, here: refuse what needs no framework to refuse (weights only, a pickle, a cut archive).
3. :meth:`FrontEnd.hazards`, in the child process: what in the file would run or reach other files when it is read?
   Found without running it. Anything found is refused unless the user said ``--trust-model``.
4. :meth:`FrontEnd.convert`, in the child process: a float ``.tflite``, whose shapes and names are settled here.

The child (:mod:`qedge.frontends.child`) has bounded time, memory and file size, and a folder of its own as its
working directory, home of temporary files and place for what it writes; what it prints is kept for errors. A front
end with ``isolated=False`` runs no foreign code and converts in this process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar

from qedge.findings import Finding
from qedge.frontends.candidate import Candidate
from qedge.frontends.source import model_name
from qedge.frontends.trust import Hazard

Shapes = Mapping[str, Sequence[int]]


class Match(IntEnum):
    """How sure a front end is that a model is its own; the surest one gets it."""

    NO = 0
    NAME = 1
    """The name says so, and the content does not say otherwise."""
    CONTENT = 2
    """The first bytes, or the members of the archive or folder, say so."""


@dataclass(frozen=True)
class Need:
    """A Python package that a front end works with.

    Args:
        module: import name.
        distribution: name on the package index.
        purpose: what for, after "for": ``reading Keras files``.
        optional: whether only some models need it.
    """

    module: str
    distribution: str
    purpose: str
    optional: bool = False


@dataclass(frozen=True)
class FrontEndInfo:
    """Frozen description of a front end.

    Args:
        name: identifier in reports, where it is the model's ``origin``.
        title: the framework, for messages: ``Keras``.
        takes: what it reads, for people: ``.keras and .h5 files``.
        needs: the packages; :func:`qedge.frontends.registry.missing` looks for them.
        install: the command that installs them.
        isolated: whether it converts in the child process.
        proves: whether :meth:`FrontEnd.prove` compares a conversion with its original on samples.
        environment: variables of the child process.
        noise: regular expression of lines that its framework prints and nobody needs.
    """

    name: str
    title: str
    takes: str
    needs: tuple[Need, ...] = ()
    install: str | None = None
    isolated: bool = True
    proves: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    noise: str = r"^\s*$"


@dataclass(frozen=True)
class Names:
    """Names of a model's inputs and outputs, in the order in which its author gave them.

    ``layers`` are the names of its layers, where it has such.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One model to convert.

    Args:
        given: what the user named; a path, or what else the front end detects.
        path: absolute; may not exist where ``given`` is no path.
        folder: existing folder for intermediate files, empty, removed afterwards.
        started_in: the user's working directory, where ``package.module`` is found.
        input_shapes: shape by input name, batch 1 included, for dynamic dimensions; ``""`` is the only input.
        input_values: numbers by input name, for inputs that become constants.
        trusted: whether the user vouches for the file, so that its code may run.
    """

    given: str
    path: Path
    folder: Path
    started_in: Path
    input_shapes: Shapes = field(default_factory=dict)
    input_values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    trusted: bool = False


@dataclass(frozen=True)
class Converted:
    """What a front end made of a model.

    Args:
        data: a ``.tflite``, channels last, float (or full-integer already); dynamic dimensions are settled later.
        names: of inputs and outputs, the author's; None keeps those of ``data``.
        orders: where the author's layout differs, by name of an input or output: dimension i of the tensor is
            the author's dimension ``orders[name][i]``.
        findings: what was changed or noticed.
        shapes_applied: whether ``input_shapes`` were used up.
        notes: what the exporter wrote beside the graph, as text; see :mod:`qedge.frontends.exported`.
    """

    data: bytes
    names: Names | None = None
    orders: Mapping[str, Sequence[int]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    shapes_applied: bool = True
    notes: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """A model cannot be converted: raised by a front end in the child, and an error with the path in the parent.

    Args:
        message: what was found and expected, without the path: ``it has no inputs``.
        hint: what to do.
        kind: ``model`` (:class:`~qedge.errors.ModelError`), ``unsupported`` (operators without a form in TFLite:
            :class:`~qedge.errors.UnsupportedError`), or ``missing`` (``message`` is the package that is not
            installed: :class:`~qedge.errors.ToolError` with the front end's ``install``).
        findings: every single thing, where the message sums up a list.
    """

    def __init__(
        self, message: str, hint: str = "", kind: str = "model", findings: Sequence[Finding] = ()
    ) -> None:
        super().__init__(message)
        self.message, self.hint, self.kind, self.findings = message, hint, kind, tuple(findings)


class FrontEnd(ABC):
    """Models of one framework or format. ``info``, :meth:`detect` and :meth:`convert` are enough."""

    info: ClassVar[FrontEndInfo]

    @abstractmethod
    def detect(self, candidate: Candidate) -> Match:
        """Say whether a model is this front end's; never raise."""

    def examine(self, candidate: Candidate) -> None:  # noqa: B027
        """Refuse what can be refused without the framework.

        Raises:
            ModelError: with the path, what was found, and a hint.
        """

    def hazards(self, job: Job) -> Sequence[Hazard]:
        """Return what in the file would run, or reach other files, when it is read; must not run it."""
        return ()

    def name_of(self, candidate: Candidate) -> str:
        """Return a name for the build, safe as a file name and as a C identifier."""
        return model_name(candidate.path)

    @abstractmethod
    def convert(self, job: Job) -> Converted:
        """Return the model as ``.tflite``.

        Raises:
            Refusal: it cannot be converted.
        """

    def prove(self, job: Job, samples: Sequence[Sequence[Any]]) -> Sequence[Finding]:
        """Compare the conversion with the original on the user's samples, in the child; return what is worth saying.

        Args:
            job: the same as for :meth:`convert`.
            samples: one array an input, as the ``.tflite`` takes them.

        Raises:
            Refusal: they differ.
        """
        return ()

    def explain(self, error: BaseException) -> Refusal:
        """Return what an unexpected exception of :meth:`convert` means for the user."""
        lines = [line.strip() for line in f"{type(error).__name__}: {error}".splitlines() if line.strip()]
        return Refusal(f"{self.info.title} cannot convert it: {' '.join(lines[:3])[:500]}")


def require(module: str, title: str) -> Any:
    """Return an imported module, or refuse because it is not installed."""
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise Refusal(title, kind="missing") from error
