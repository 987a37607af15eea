"""What a model takes on a device, exactly, beside what its user allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Price:
    """Figures of one model on one target.

    Args:
        figures: by name: ``flash`` and ``ram`` in bytes, ``instructions``, ``latency`` in milliseconds ...; less is
            better.
        limits: what the user allows, of some of them.
        peaks: figures that are those of the layer that takes most; others are sums over the layers.
        exact: whether it was measured as a whole; else parts of it were measured in other candidates.
    """

    figures: Mapping[str, float]
    limits: Mapping[str, float] = field(default_factory=dict)
    peaks: tuple[str, ...] = ()
    exact: bool = True

    @property
    def over(self) -> dict[str, float]:
        """By how much each figure is over its limit; empty where all are within.

        >>> Price({"ram": 10, "flash": 5}, {"ram": 8, "flash": 9}).over
        {'ram': 2}
        """
        return {k: self.figures[k] - most for k, most in self.limits.items() if self.figures[k] > most}

    @property
    def excess(self) -> float:
        """The sum of what is over, each as a share of its limit; 0 where all are within."""
        return sum(more / self.limits[k] for k, more in self.over.items())

    def words(self) -> str:
        """Return the figures that have a limit, for a person: ``flash 61,204 of 65,536 bytes``."""
        return ", ".join(
            f"{k} {_amount(k, self.figures[k])} of {_amount(k, m, True)}" for k, m in self.limits.items()
        )


def _amount(name: str, value: float, unit: bool = False) -> str:
    if name == "latency":
        return f"{value:.3g}{' ms' if unit else ''}"
    return f"{value:,.0f}{' bytes' if unit and name in ('flash', 'ram') else ''}"
