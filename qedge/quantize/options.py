"""What a caller chooses, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qedge.errors import UsageError, unknown
from qedge.findings import Finding
from qedge.price import Price
from qedge.quantize.recipe import Recipe

IO_TYPES = ("auto", "int8", "uint8", "int16", "float32")
EFFORTS = ("fast", "normal", "thorough")
TUNES = ("off", "on", "auto")
LIFTS = ("auto", "int16", "float", "none")
WEIGHTS = ("auto", "int8", "int4", "mixed")


@dataclass(frozen=True)
class QuantizeOptions:
    """Choices of a quantisation; the defaults need no knowledge of it.

    Args:
        method: ``auto``, or one of :data:`qedge.quantize.METHODS`.
        io: type of the model's inputs and outputs; ``auto`` is int8, or int16 where layers with 16-bit activations
            alone read or write them.
        samples: how many samples to use, or None for all.
        seed: which ones, and which of them check the choice.
        threads: of the float model's runs.
        max_drop: largest loss of accuracy (labels) or agreement (no labels), as a share: 0.01 is 1 point.
        min_sqnr: smallest SQNR in dB.
        recipe: TOML file that pins methods, everywhere or by operator name.
        per_channel: True or False forces it for all weights; None leaves it to the operator.
        effort: how many candidates ``auto`` tries: ``fast`` three, ``normal`` up to fifteen, ``thorough`` up to
            eighteen.
        input_steps: whether what a model does to its input first may be left to whoever feeds it.
        mixed: whether operators may go to 16x8 where an accuracy budget is missed.
        floats: whether they may go to float where that is not enough.
        lift: what layers go to where int8 is not exact enough: ``auto``: 16x8, and float as the last way; ``int16`` or
            ``float``: that alone; ``none``.
        loops: whether the steps of an unrolled layer have the same scales, which a loop over them needs.
        tune: ``on``: the best candidate is tuned by a refiner; ``auto``: where the budget is missed otherwise.
        tuning: how it is tuned, by the fields of :class:`qedge.tune.Settings`.
        weights: ``auto``: int8, and int4 where a budget of the target asks for it; ``int8``; ``int4`` of every layer
            that has such kernels; or ``mixed``: int4 of as many as the accuracy budget allows (the floor, where none is
            stated).
        pareto: how many assignments of types to layers are priced beside what is chosen.
        floor: whether operators go to 16x8 where the result is under the floor (:mod:`qedge.quantize.floor`).
    """

    method: str = "auto"
    io: str = "auto"
    samples: int | None = None
    seed: int = 0
    threads: int = 2
    max_drop: float | None = None
    min_sqnr: float | None = None
    recipe: Path | None = None
    per_channel: bool | None = None
    mixed: bool = True
    floats: bool = False
    lift: str = "auto"
    loops: bool = False
    floor: bool = False
    effort: str = "normal"
    input_steps: bool = True
    weights: str = "auto"
    pareto: int = 0
    tune: str = "off"
    tuning: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.io not in IO_TYPES:
            raise unknown("input and output type", self.io, IO_TYPES)
        if self.effort not in EFFORTS:
            raise unknown("effort", self.effort, EFFORTS)
        if self.lift not in LIFTS:
            raise unknown("precision of lifted layers", self.lift, LIFTS)
        if self.weights not in WEIGHTS:
            raise unknown("type of weights", self.weights, WEIGHTS)
        if self.tune not in TUNES:
            raise unknown("way to tune", self.tune, TUNES)
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"found {self.samples} samples, expected at least 1", hint="pass --samples 100")
        if self.threads < 1:
            raise UsageError(f"found {self.threads} threads, expected at least 1")
        if self.max_drop is not None and not 0 <= self.max_drop < 1:
            raise UsageError(
                f"found a largest drop of {self.max_drop}, expected a share from 0 up to 1",
                hint="1% is 0.01; on the command line: --max-drop 1%",
            )

    @property
    def modes(self) -> tuple[str, ...]:
        """What layers may go to where int8 is not exact enough."""
        wanted = ("int16", "float") if self.lift == "auto" else (self.lift,)
        return tuple(m for m in wanted if m == "int16" or (m == "float" and self.floats))


@dataclass(frozen=True)
class Candidate:
    """One combination of methods that was tried.

    Args:
        method: its name.
        sqnr_db: of the worst output, on the samples that candidates are judged by (they calibrate too).
        agreement: share of them with the float model's top class, or None.
        accuracy: share of them that is right, where there are labels.
        bytes: size of the model.
        seconds: time that it took.
        chosen: whether it is the result.
    """

    method: str
    sqnr_db: float
    agreement: float | None
    accuracy: float | None
    bytes: int
    seconds: float
    chosen: bool = False


@dataclass(frozen=True)
class Offer:
    """A candidate of a search under a budget.

    Args:
        holds: whether it is within the accuracy budget.
        price: what it takes on the target.
        data: the ``.tflite``.
    """

    candidate: Candidate
    holds: bool
    price: Price
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Quantized:
    """A quantised model and how it came about.

    Args:
        data: the ``.tflite``.
        method: the method that was chosen.
        sqnr_db: on the samples that chose it.
        agreement: share of them with the same top class, or None.
        candidates: everything that was tried.
        findings: what a person should know, for instance operators that stay float.
        seconds: time in all.
        recipe: what it was made by.
        plain: the same without the layers in 16x8 or float that lifted it over the floor or brought it within the
            budget, or None where none had to.
        front: candidates of a search under a budget that no other beats in noise and in every figure.
    """

    data: bytes
    method: str
    sqnr_db: float
    agreement: float | None
    candidates: tuple[Candidate, ...]
    findings: tuple[Finding, ...]
    seconds: float
    recipe: Recipe = field(default_factory=Recipe)
    plain: Quantized | None = None
    front: tuple[Offer, ...] = ()
