"""Load a bundle and run it: ``load(bundle) -> Model``."""

from __future__ import annotations

from typing import Any


class Model:
    """A loaded bundle."""


class Result:
    """What a call of a model returns."""


def load(bundle: Any, **options: Any) -> Model:
    """Load a bundle."""
    raise NotImplementedError
