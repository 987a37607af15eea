"""Several processes give the figures of one, to the last bit, also where a worker dies on the way."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from quantize_models import cnn, images

from qedge.datasets.protocol import Subset
from qedge.errors import DataError, ToolError, UsageError
from qedge.quantize import QuantizeOptions, compare, quantize
from qedge.quantize.workers import PORTION, answers_by


class Many:
    """The test images over and over, more than two portions of them; in a worker it does what a test asks for once.

    Args:
        die_at: the sample at which the process ends, unless ``marker`` is there (which it then is).
    """

    class_names = None
    labels = None

    def __init__(self, marker: Path | None = None, die_at: int = -1, fail_at: int = -1) -> None:
        self._base, self._marker, self._die_at, self._fail_at = images(), marker, die_at, fail_at
        self.owner = os.getpid()

    def __len__(self) -> int:
        return 2 * PORTION + 40

    def __getitem__(self, i: int):
        if i == self._die_at and os.getpid() != self.owner and not (self._marker and self._marker.exists()):
            if self._marker is not None:
                self._marker.touch()
            os._exit(9)
        if i == self._fail_at:
            raise DataError(f"sample {i} cannot be used")
        return self._base[i % len(self._base)]

    def subset(self, indices) -> Subset:
        return Subset(self, indices)

    def source(self, i: int) -> str:
        return f"row {i}"


@pytest.fixture(scope="module")
def models() -> tuple[bytes, bytes]:
    return cnn(), quantize(cnn(), images(), QuantizeOptions(method="minmax")).data


def test_two_workers_give_what_one_process_gives_though_one_dies(models, tmp_path) -> None:
    marker = tmp_path / "died"
    seen: list[int] = []
    one = compare(*models, Many())
    two = compare(
        *models, Many(marker, die_at=PORTION + 7), lambda stage, done, total: seen.append(done), workers=2
    )
    assert marker.exists()
    np.testing.assert_equal(dataclasses.asdict(two), dataclasses.asdict(one))
    assert seen == list(range(1, len(Many()) + 1))


def test_what_a_sample_raises_in_a_worker_comes_through(models) -> None:
    with pytest.raises(DataError, match="sample 5 cannot"):
        compare(*models, Many(fail_at=5), workers=2)


def test_a_worker_that_always_dies_is_given_up(models) -> None:
    with pytest.raises(ToolError, match="died 3 times"):
        list(answers_by(1, *models, Many(die_at=3), range(10)))


def test_a_number_of_workers_that_makes_no_sense_is_a_usage_error(models) -> None:
    with pytest.raises(UsageError, match="--workers"):
        compare(*models, Many(), workers=0)
    assert np.isfinite(compare(*models, Many(), indices=[0]).outputs[0].sqnr_db)
