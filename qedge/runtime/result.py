"""``Result``: what a call of a model returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qedge.bundle.manifest import TensorSpec
from qedge.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.processing.detect import Detection
    from qedge.processing.spec import Postprocess
    from qedge.runtime.model import Model

    Array = npt.NDArray[Any]


class Result:
    """The outputs of one inference; everything beyond ``raw`` is worked out when it is asked for.

    Args:
        raw: one array an output, in the model's own types.

    ``item`` and ``ms`` are those of :meth:`Model.stream`, and None elsewhere.
    """

    __slots__ = (
        "_model",
        "_outputs",
        "_size",
        "_specs",
        "_value",
        "item",
        "labels",
        "ms",
        "postprocess",
        "raw",
    )

    def __init__(
        self,
        raw: list[Array],
        specs: Sequence[TensorSpec],
        labels: Sequence[str],
        postprocess: Postprocess | None,
    ) -> None:
        self.raw = raw
        self.labels = labels
        self.item: Any = None
        self.ms: dict[str, float] | None = None
        self._model: Model | None = None
        self._size: tuple[int, int] | None = None
        self._specs = specs
        self.postprocess = postprocess
        self._outputs: list[npt.NDArray[np.float32]] | None = None
        self._value: Any = None

    @property
    def outputs(self) -> list[npt.NDArray[np.float32]]:
        """The outputs dequantised, float32, in the layout of the model's author."""
        return [
            values if spec.order is None else values.transpose(np.argsort(spec.order))
            for values, spec in zip(self._real, self._specs)
        ]

    @property
    def _real(self) -> list[npt.NDArray[np.float32]]:
        """The outputs dequantised, float32, as the model lays them out: what post-processing takes."""
        if self._outputs is None:
            self._outputs = [_dequantized(array, spec) for array, spec in zip(self.raw, self._specs)]
        return self._outputs

    @property
    def value(self) -> Any:
        """What the bundle's post-processing makes of the outputs: classes, boxes, a mask ...; the outputs
        themselves where it has none."""
        if self.postprocess is None:
            return self.outputs
        if self._value is None:
            self._value = self.postprocess.apply(self._real, self.labels)
        return self._value

    @property
    def objects(self) -> list[Detection]:
        """What a detector found, in pixels of the upright image; UsageError where the model is no such thing."""
        from qedge.runtime.objects import objects_of

        return objects_of(self, self._size, None if self._model is None else self._model.preprocess)

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """One score a class, float32 (classes,).

        Raises:
            UsageError: the model is no classifier.
        """
        from qedge.processing.classify import Classify

        scores = (self.postprocess or Classify()).scores(self._real)
        if scores is None:
            kind = self.postprocess.kind if self.postprocess else "raw"
            raise UsageError(f"the model's post-processing is {kind!r}, no classes", hint="use result.value")
        return scores

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """Return the ``k`` best (label, score), the best first."""
        from qedge.processing.classify import top

        return top(self.scores, self.labels, k)

    @property
    def label(self) -> str:
        """The best class."""
        return self.top(1)[0][0]

    @property
    def score(self) -> float:
        """The score of the best class."""
        return self.top(1)[0][1]

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What gave this result, for logs: :attr:`Model.provenance`."""
        return {} if self._model is None else self._model.provenance

    def __repr__(self) -> str:
        if (best := self._best()) is not None:
            return f"Result({best[0]!r}, {best[1]:.3f})"
        return f"Result({', '.join(f'{a.dtype} {list(a.shape)}' for a in self.raw)})"

    def _repr_html_(self) -> str:
        if self._best() is None:
            return f"<code>{html(repr(self))}</code>"
        rows = "".join(f"<tr><td>{html(n)}</td><td>{100 * s:.1f} %</td></tr>" for n, s in self.top(5))
        return f"<table>{rows}</table>"

    def _best(self) -> tuple[str, float] | None:
        """Return label and score where the post-processing says that there are classes."""
        if self.postprocess is None or self.postprocess.kind != "classify":
            return None
        return self.top(1)[0]


def html(text: str) -> str:
    """Return text for a page; ``html`` of the standard library takes longer to import."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _dequantized(array: Array, spec: TensorSpec) -> npt.NDArray[np.float32]:
    if spec.scale is None or spec.zero_point is None:
        real = array.astype(np.float32, copy=False)
    else:
        from qedge import quantmath

        real = quantmath.dequantize(array, spec.scale, spec.zero_point)
    if spec.finish is None:
        return real
    from qedge.processing.affine import finish

    return finish(real, spec.finish)
