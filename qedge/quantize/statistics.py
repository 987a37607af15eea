"""What the activations of a float model do on one set of samples, every run shown to all that there is to measure.

Some of the samples may be held out: what the others alone show is kept apart at no further run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.quantize.calibrate import (
    MinMax,
    Observer,
    Only,
    Progress,
    Reducer,
    Scaled,
    calibrate,
    check_finite,
)
from qedge.quantize.channels import ChannelStatistics
from qedge.quantize.histogram import Histograms
from qedge.quantize.methods.equalization import equalize, find_links
from qedge.quantize.model import FloatModel, factor_of
from qedge.quantize.patches import LARGEST_MOMENT, Moments
from qedge.quantize.plan import Range, derived
from qedge.quantize.rewrites.trained_ranges import trained_in

MODERATE_WEIGHTS = 1_000_000
Found = TypeVar("Found")
Float = npt.NDArray[np.float64]
_Key = tuple[str, float | None]
_Makers = dict[_Key, Callable[[], Observer]]


class Statistics:
    """Ranges, distributions, sizes of channels and moments of inputs, each measured when it is first asked for.

    A ``share`` means the equalised model: its activations are the model's own, divided by factors.
    ``fit`` leaves out what the held-out samples show; the factors of equalisation are those of all samples.

    Args:
        indices: all samples.
        held: those of them that are held out.
    """

    def __init__(
        self,
        model: FloatModel,
        dataset: Dataset,
        indices: Sequence[int],
        *,
        held: Collection[int] = (),
        threads: int = 2,
        progress: Progress | None = None,
    ) -> None:
        self.model, self.dataset, self.indices = model, dataset, list(indices)
        self.threads, self.progress = threads, progress
        self.trained = trained_in(model.graph)
        # Equalisation would move what training fitted to its ranges.
        self.links = [] if self.trained else find_links(model.graph)
        self._held = frozenset(held)
        self._models: dict[float | None, FloatModel] = {None: model}
        self._parts: dict[_Key, tuple[Any, Any]] = {}
        self._whole: dict[_Key, Any] = {}

    def variant(self, share: float | None) -> FloatModel:
        """Return the float model, equalised where ``share`` says so."""
        if share not in self._models and not self.links:
            self._models[share] = self.model
        if share not in self._models:
            self.distributions()
            largest = self._get("channels", None, False).largest
            self._models[share] = equalize(self.model, largest, share=share or 0.0)
        return self._models[share]

    def extremes(self, share: float | None, fit: bool = False) -> dict[int, Range]:
        """Return the true range of each activation, with nothing else measured unless it is known already."""
        if ("histograms", share) in self._parts:
            return self.histograms(share, fit).ranges
        if ("extremes", None) not in self._parts:
            self._measure({("extremes", None): self._shown(MinMax)})
        found: dict[int, Range] = dict(self._get("extremes", None, fit).ranges)
        if share is not None:
            self._scale("extremes", [share], MinMax)
            found |= self._get("extremes", share, fit).ranges
        check_finite(self.model, found)
        return found

    def histograms(self, share: float | None, fit: bool = False) -> Histograms:
        """Return the distribution of each activation."""
        self.distributions()
        whole: Histograms = self._get("histograms", None, fit)
        if share is not None:
            self.equalised([share])
            whole = self._get("histograms", share, fit).completed(whole)
        check_finite(self.model, whole.ranges)
        return whole

    def moments(self, share: float | None, fit: bool = False) -> Mapping[int, Float]:
        """Return the moments of the layers' inputs, by tensor of weights."""
        if ("moments", None) not in self._parts:
            self._measure({("moments", None): self._moments()}, "round")
        found: Moments = self._get("moments", None, fit)
        return found.of if share is None else found.scaled(self._factors(share))

    def distributions(self, *, moments: bool = False) -> None:
        """Measure distributions and channels, and moments in the same run where they will be asked for."""
        if ("histograms", None) in self._parts:
            return
        wanted: _Makers = {
            ("histograms", None): self._shown(Histograms),
            ("channels", None): lambda: ChannelStatistics(link.tensor for link in self.links),
        }
        if moments:
            wanted["moments", None] = self._moments()
        self._measure(wanted)

    def equalised(self, shares: Sequence[float]) -> None:
        """Measure the distributions of several equalised models in one run."""
        self._scale("histograms", shares, Histograms)

    def _scale(self, kind: str, shares: Sequence[float], make: Callable[[], Reducer]) -> None:
        known = derived(self.model.graph)
        wanted: _Makers = {}
        for share in shares:
            if (kind, share) not in self._parts:
                factors = {t: f for t, f in self._factors(share).items() if t not in known}
                wanted[kind, share] = lambda factors=factors: Scaled(make(), factors)  # type: ignore[misc]
        if wanted:
            self._measure(wanted)

    def _factors(self, share: float) -> dict[int, npt.NDArray[np.float32]]:
        """Return how much smaller equalisation made the channels of activations, by tensor."""
        of_name = {self.model.graph.tensors[t].name: t for t in self.model.activations}
        steps = self.variant(share).steps
        return {of_name[name]: factor_of(taken).astype(np.float32) for name, taken in steps.items()}

    def _shown(self, make: Callable[[], Reducer]) -> Callable[[], Observer]:
        """Return a maker of observers of those activations whose range does not follow from another one's."""
        known = derived(self.model.graph)
        shown = [t for t in self.model.activations if t not in known]
        return lambda: Only(make(), shown)

    def _moments(self) -> Callable[[], Moments]:
        total = sum(t.elements for t in self.model.graph.tensors if t.is_constant)
        largest = LARGEST_MOMENT if total <= MODERATE_WEIGHTS else LARGEST_MOMENT // 8
        random = np.random.default_rng(0)
        samples = len(self.indices)
        return lambda: Moments(self.model.graph, samples=samples, largest=largest, random=random)

    def _measure(self, makers: _Makers, stage: str = "calibrate") -> None:
        """Run the samples once and keep what the observers made of both parts."""
        fit = {key: make() for key, make in makers.items()}
        held = {key: make() for key, make in makers.items()} if self._held else {}
        tensors = dict.fromkeys(t for observer in fit.values() for t in observer.tensors)
        calibrate(
            self.model,
            self.dataset,
            list(fit.values()),
            indices=self.indices,
            apart=(self._held, list(held.values())),
            tensors=[t for t in self.model.activations if t in tensors],
            threads=self.threads,
            progress=self.progress,
            stage=stage,
        )
        for key, observer in fit.items():
            self._parts[key] = _bare(observer), _bare(held[key]) if held else None

    def _get(self, kind: str, share: float | None, fit: bool) -> Any:
        first, second = self._parts[kind, share]
        if fit or second is None:
            return first
        if (kind, share) not in self._whole:
            self._whole[kind, share] = first.merged(second)
        return self._whole[kind, share]


def _bare(observer: Any) -> Any:
    return observer.observer if isinstance(observer, (Only, Scaled)) else observer
