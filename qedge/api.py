"""The whole journey from Python: ``qedge.build``, ``check``, ``evaluate``, ``verify``.

::

    built = qedge.build(model, (x, y), targets=["rpi", "mcu"], max_drop="1%", board="pico2")
    built                                   # accuracy, SQNR, size, and what was found
    built.load("rpi")(x[0]).top(3)

Everything is what the commands do, with the same defaults; ``qedge.toml`` is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qedge import pipeline
from qedge.bundle import read_bundle
from qedge.errors import QedgeError, UsageError, unknown
from qedge.pipeline.existing import float_model_for, open_for, raw_samples
from qedge.pipeline.objects import data_file, model_file
from qedge.processing.spec import Postprocess, postprocess_from_json
from qedge.quantize import Comparison, QuantizeOptions, compare
from qedge.report import BuildReport
from qedge.runtime import Model, load
from qedge.shards import executor_of
from qedge.target import CheckReport, Target, VerifyReport, default_name, resolve_all, target_of
from qedge.target.options import percent, typed_options

if TYPE_CHECKING:
    import numpy.typing as npt

    Data = str | PathLike[str] | npt.NDArray[Any] | Sequence[Any] | Mapping[str, Any]
    Progress = Callable[[str, float], None]

PREPROCESS_WORDS = ("resize", "fit", "color", "range", "mean", "std")


@dataclass(frozen=True)
class Build:
    """What :func:`build` made.

    Args:
        name: of the build; bundles lie in ``out/<name>/<target>``.
        bundles: folder of each target's bundle.
        report: what was found, as ``report.json`` has it.
        seconds: that it took.
        float: the float ``.tflite``, or None for a model that was full-integer already.
        int8: the quantised ``.tflite``.
        failures: what stopped the targets that have no bundle.
    """

    name: str
    bundles: Mapping[str, Path]
    report: BuildReport
    seconds: float
    float: bytes | None
    int8: bytes
    failures: Mapping[str, QedgeError] = field(default_factory=dict)

    def load(self, target: str | None = None, **options: Any) -> Model:
        """Return ``qedge.load`` of one target's bundle: of the only one, or the one named.

        Raises:
            UsageError: no such target, or several and none named.
            QedgeError: what stopped the build for that target.
        """
        if target is None and len(self.bundles) == 1 and not self.failures:
            (target,) = self.bundles
        if target is not None and target in self.failures:
            raise self.failures[target]
        if target is None or target not in self.bundles:
            raise unknown("target", str(target), list(self.bundles))
        return load(self.bundles[target], **options)

    def __repr__(self) -> str:
        facts = ", ".join(f"{label} {value}" for label, value in self._facts())
        return f"<qedge build {self.name!r} for {', '.join(self.bundles)}: {facts}>"

    def _repr_html_(self) -> str:
        facts = [("targets", ", ".join(self.bundles)), *self._facts()]
        rows = "".join(f"<tr><th>{escape(label)}</th><td>{escape(value)}</td></tr>" for label, value in facts)
        found = "".join(
            f"<li>{escape(f.severity)}: {escape(f.message)}</li>"
            for f in self.report.findings
            if f.severity != "info"
        )
        return f"<p><b>{escape(self.name)}</b></p><table>{rows}</table>" + (
            f"<ul>{found}</ul>" if found else ""
        )

    def _facts(self) -> Iterator[tuple[str, str]]:
        report = self.report
        sqnr = report.quantization.get("sqnr_db")
        if report.int8_accuracy is not None and report.float_accuracy is not None:
            yield "accuracy", f"{100 * report.float_accuracy:.1f} -> {100 * report.int8_accuracy:.1f} %"
        if sqnr is not None:
            yield "SQNR", f"{sqnr:.1f} dB"
        yield "size", f"{len(self.int8):,} bytes"
        for name, error in self.failures.items():
            yield f"no bundle for {name}", error.message


def build(
    model: Any,
    data: Data | None = None,
    *,
    targets: str | Sequence[str] | None = None,
    out: str | PathLike[str] = "build",
    name: str | None = None,
    labels: Sequence[str] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    postprocess: str | Mapping[str, Any] | None = None,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    input_values: Mapping[str, float | Sequence[float]] | None = None,
    trust: bool = False,
    example_inputs: Any = None,
    eval_data: Data | None = None,
    strict: bool = False,
    all_or_nothing: bool = False,
    cut_head: bool | None = None,
    export: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Build:
    """Turn a trained model into one bundle a target; what stops one of several is in :attr:`Build.failures`.

    Args:
        model: a path (as for ``qedge build``), a Keras model, or a PyTorch module.
        data: representative samples: a path (folder of images or wavs, ``.npz``, ``.npy``), an array (samples
            first), ``(x, y)`` with class indices, or a mapping of input names to arrays.
        targets: one, several, or ``"all"``; None takes the one that is built for where nobody names any.
        out: folder of the builds.
        labels: names of the classes, in the model's output order.
        preprocess: what turns an image or a clip into the model's input; its fields ``resize``, ``fit``,
            ``color``, ``range``, ``mean`` and ``std`` may also be given as keywords: ``range=(0, 1)``.
        postprocess: ``"classify"``, ``"detect"`` ..., or a mapping with ``kind``.
        input_shape: static shape, batch 1, for a model with dynamic dimensions; a mapping for several inputs.
        input_values: numbers by input name, for inputs that become constants.
        trust: whether code in a model file may run; that of a model object is yours, and may.
        example_inputs: of a PyTorch module: a tensor, or a tuple of what ``forward`` takes, batch 1.
        eval_data: samples to measure on, as ``data``; default: a part of ``data`` that is held out.
        strict: raise for warnings too.
        cut_head: whether a detector's decoding leaves the model for the post-processing; None: where it is known.
        export: for whose application files go into the bundles too: ``"frigate"``.
        all_or_nothing: raise where one of several targets fails, and write no bundle.
        progress: called with a stage and a share from 0 to 1.
        options: fields of :class:`qedge.quantize.QuantizeOptions` (``max_drop="1%"`` or 0.01) and options of
            the targets (``board="pico2"``, ``ram="64K"``).

    Raises:
        QedgeError: what the command would exit with; nothing is written then.
    """
    given = _Given(input_shape, input_values or {}, trust, example_inputs)
    with (
        _request(model, data, targets, out, name, labels, preprocess, postprocess, given, options) as r,
        data_file(eval_data) as measured,
    ):
        asked = replace(
            r,
            eval_data=measured,
            strict=strict,
            all_or_nothing=all_or_nothing,
            cut_head=cut_head,
            export=export,
        )
        result = pipeline.build(asked, progress or _silent)
    prepared = result.prepared
    source = prepared.source.data if prepared.quantized is not None else None
    return Build(
        prepared.name, result.bundles, result.report, result.seconds, source, prepared.model, result.failures
    )


def check(
    model: Any,
    data: Data | None = None,
    *,
    targets: str | Sequence[str] = "all",
    labels: Sequence[str] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    input_values: Mapping[str, float | Sequence[float]] | None = None,
    trust: bool = False,
    example_inputs: Any = None,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, CheckReport]:
    """Return where every operator would run and why, by target, before anything is compiled.

    A full-integer ``.tflite`` is checked as it is; a float model is quantised first, without ``data`` on random
    samples. Arguments as for :func:`build`. An operator that does not run is a finding, and no error.

    Raises:
        QedgeError: the model or the data cannot be used.
    """
    options = {"method": "minmax", **options}
    given = _Given(input_shape, input_values or {}, trust, example_inputs)
    with _request(model, data, targets, "build", None, labels, preprocess, None, given, options) as r:
        return pipeline.check(pipeline.prepare(replace(r, judge=False), progress or _silent), r.targets)


def evaluate(
    bundle: str | PathLike[str],
    data: Data,
    *,
    float_model: str | PathLike[str] | None = None,
    samples: int | None = None,
    workers: int = 1,
    cluster: str | None = None,
) -> Comparison:
    """Return accuracy and SQNR of a bundle beside the float model that it was made from.

    Args:
        data: as for :func:`build`, in the bundle's own terms.
        float_model: default: the ``float.tflite`` beside the bundle.
        samples: at most so many.
        workers: processes that run the models; a script that asks for several has ``if __name__ == "__main__":``.
        cluster: address of a Dask cluster whose workers run them instead: ``tcp://HOST:8786``. A file or folder must
            lie under the same path there. The figures are those of one process, to the last bit.

    Raises:
        UsageError: no float model.
        DataError, IntegrityError: no intact bundle, or data that does not fit it.
    """
    place = Path(bundle)
    with read_bundle(place) as opened, data_file(data) as path:
        reference = float_model_for(place, None if float_model is None else Path(float_model))
        if reference is None:
            raise UsageError(f"no float.tflite beside {place}", hint="name the float model: float_model=PATH")
        if path is None:
            raise UsageError("evaluating needs data", hint="qedge.evaluate(bundle, (x, y))")
        model, post = opened.read("model.tflite"), opened.manifest.postprocess
        dataset = open_for(opened, path, samples)
        return compare(reference, model, dataset, executor=executor_of(workers, cluster), postprocess=post)


def verify(
    bundle: str | PathLike[str], data: Data | None = None, *, samples: int | None = None, **options: Any
) -> VerifyReport:
    """Run a bundle where it will run, or on an emulated core, and compare it with its oracle.

    Args:
        data: None: the golden vectors that the bundle carries.
        options: of the target.

    Raises:
        DataError, IntegrityError: no intact bundle, or data that does not fit it.
        ToolError: an emulator or a compiler is missing.
    """
    place = Path(bundle)
    with read_bundle(place) as opened, data_file(data) as path:
        target = target_of(opened)
        inputs = None if path is None else raw_samples(opened, path, samples)
        _known(options, [target])
        return target.verify(place, inputs, typed_options(target.info, options, {}))


@dataclass(frozen=True)
class _Given:
    """What is stated about the inputs of a model, and whether its file may run code."""

    shape: Sequence[int] | Mapping[str, Sequence[int]] | None
    values: Mapping[str, float | Sequence[float]]
    trust: bool
    example_inputs: Any = None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes by input name; ``""`` is the only input."""
        if self.shape is None:
            return {}
        stated = self.shape if isinstance(self.shape, Mapping) else {"": self.shape}
        return {name: tuple(map(int, shape)) for name, shape in stated.items()}

    def numbers(self) -> dict[str, tuple[float, ...]]:
        """Return the values by input name."""
        return {name: tuple(np.ravel(value).tolist()) for name, value in self.values.items()}


@contextmanager
def _request(
    model: Any,
    data: Data | None,
    targets: str | Sequence[str] | None,
    out: str | PathLike[str],
    name: str | None,
    labels: Sequence[str] | None,
    preprocess: Mapping[str, Any] | None,
    postprocess: str | Mapping[str, Any] | None,
    about: _Given,
    options: Mapping[str, Any],
) -> Iterator[pipeline.BuildRequest]:
    """Yield what the commands make of flags; models and arrays lie in files until the journey is over."""
    named = [targets] if isinstance(targets, str) else list(targets or [default_name()])
    chosen = resolve_all(named)
    words = {key: _plain(options[key]) for key in PREPROCESS_WORDS if key in options}
    given = {key: value for key, value in options.items() if key not in PREPROCESS_WORDS}
    known = {f.name for f in fields(QuantizeOptions)}
    quantize = {key: value for key, value in given.items() if key in known}
    rest = {key: value for key, value in given.items() if key not in known}
    _known(rest, [target for target, _ in chosen], extra=[*known, *PREPROCESS_WORDS])
    if isinstance(quantize.get("max_drop"), str):
        quantize["max_drop"] = percent(quantize["max_drop"], "max_drop") / 100
    if quantize.get("recipe") is not None:
        quantize["recipe"] = Path(quantize["recipe"])
    post: Postprocess | None = None
    if postprocess is not None:
        stated = {"kind": postprocess} if isinstance(postprocess, str) else dict(postprocess)
        post = postprocess_from_json(stated, "postprocess", UsageError)
    with model_file(model, about.example_inputs) as (path, called), data_file(data) as samples:
        yield pipeline.BuildRequest(
            model=path,
            targets=[(t, typed_options(t.info, {**meant, **rest}, {})) for t, meant in chosen],
            out=Path(out),
            data=samples,
            name=name or called,
            labels=None if labels is None else tuple(map(str, labels)),
            preprocess={**(preprocess or {}), **words},
            postprocess=post,
            options=QuantizeOptions(**quantize),
            input_shapes=about.shapes(),
            input_values=about.numbers(),
            trust_model=about.trust or called is not None,
        )


def _known(options: Mapping[str, Any], targets: Sequence[Target], extra: Sequence[str] = ()) -> None:
    declared = [option.name for target in targets for option in target.info.options]
    for key in options:
        if key not in declared:
            raise unknown("option", key, sorted({*declared, *extra}))


def _plain(value: Any) -> Any:
    """Return numbers as JSON has them: a tuple or an array as a list."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _silent(stage: str, fraction: float) -> None:
    """Report nothing."""
