"""Several processes or a cluster give the figures of one, to the last bit, also where a worker dies on the way."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
from clusters import cluster, worker_of
from PIL import Image
from quantize_models import cnn, images

from qedge.datasets import InputInfo, open_dataset
from qedge.datasets.protocol import Subset
from qedge.errors import DataError, ToolError, UsageError
from qedge.processing.image import ImagePreprocess
from qedge.quantize import QuantizeOptions, compare, quantize
from qedge.shards import PORTION, Processes, executor_of


class Many:
    """The test images over and over, several portions of them; in a worker it does what a test asks for once.

    Args:
        die_at: the sample at which the process ends, unless ``marker`` is there (which it then is).
    """

    class_names = None
    labels = None

    def __init__(self, marker: Path | None = None, die_at: int = -1, fail_at: int = -1) -> None:
        self._base, self._marker, self._die_at, self._fail_at = images(), marker, die_at, fail_at
        self.owner = os.getpid()

    def __len__(self) -> int:
        return 8 * PORTION + 9

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
        *models,
        Many(marker, die_at=PORTION + 7),
        lambda stage, done, total: seen.append(done),
        executor=executor_of(2),
    )
    assert marker.exists()
    np.testing.assert_equal(dataclasses.asdict(two), dataclasses.asdict(one))
    assert seen == list(range(1, len(Many()) + 1))


def test_what_a_sample_raises_in_a_worker_comes_through(models) -> None:
    with pytest.raises(DataError, match="sample 5 cannot"):
        compare(*models, Many(fail_at=5), executor=executor_of(2))


def test_a_worker_that_always_dies_is_given_up(models) -> None:
    with pytest.raises(ToolError, match="died 3 times"):
        compare(*models, Many(die_at=3), executor=Processes(1), indices=range(10))


def test_a_number_of_workers_that_makes_no_sense_is_a_usage_error(models) -> None:
    with pytest.raises(UsageError, match="--workers"):
        compare(*models, Many(), executor=executor_of(0))
    with pytest.raises(UsageError, match="one of them"):
        executor_of(2, "tcp://127.0.0.1:9")
    assert np.isfinite(compare(*models, Many(), indices=[0]).outputs[0].sqnr_db)


def test_data_go_to_other_processes_by_their_names(tmp_path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)).astype(np.float32), np.arange(40) % 3
    np.savez_compressed(tmp_path / "a.npz", x=x, y=y)
    np.save(tmp_path / "a.npy", x)
    for name in ("a.npz", "a.npy"):
        dataset = open_dataset(tmp_path / name, [InputInfo("x", (1, 4), "float32")])
        sent = pickle.dumps(dataset)
        assert x.tobytes() not in sent
        again = pickle.loads(sent)
        assert all(np.array_equal(again[i][0], dataset[i][0]) for i in range(40))
        np.save(tmp_path / name, x[:20]) if name == "a.npy" else np.savez(tmp_path / name, x=x[:20])
        with pytest.raises(DataError, match="another file"):
            pickle.loads(sent)
        (tmp_path / name).unlink()
        with pytest.raises(DataError, match="cannot read"):
            pickle.loads(sent)


def test_a_folder_is_handed_on_without_the_samples_that_it_keeps(tmp_path) -> None:
    for k in range(3):
        Image.fromarray(np.full((4, 4, 3), 80 * k, np.uint8)).save(tmp_path / f"{k}.png")
    info = InputInfo("image", (1, 4, 4, 3), "float32")
    dataset = open_dataset(tmp_path, [info], ImagePreprocess.for_input((1, 4, 4, 3)))
    before = len(pickle.dumps(dataset))
    wanted = [dataset[i][0] for i in range(3)]
    sent = pickle.dumps(dataset)
    assert len(sent) == before
    again = pickle.loads(sent)
    assert all(np.array_equal(again[i][0], wanted[i]) for i in range(3))


def test_what_cannot_be_sent_is_said_before_anything_starts(models) -> None:
    data = Many()
    data.window = lambda: None
    with pytest.raises(DataError, match="cannot be handed to other processes"):
        compare(*models, data, executor=executor_of(2))


@pytest.mark.long
def test_a_cluster_that_is_not_there_is_said(models, monkeypatch) -> None:
    pytest.importorskip("distributed", reason="needs qedge[cluster]")
    monkeypatch.setattr("qedge.shards.cluster.CONNECT_S", 0.2)
    with pytest.raises(ToolError, match="no cluster at"):
        compare(*models, Many(), executor=executor_of(cluster="tcp://127.0.0.1:9"))
    with pytest.raises(ToolError, match="no cluster at"):
        compare(*models, Many(), executor=executor_of(cluster="wrong://x"))


@pytest.mark.long
def test_a_cluster_gives_what_one_process_gives_though_a_worker_is_killed(
    models, tmp_path, monkeypatch
) -> None:
    pytest.importorskip("distributed", reason="needs qedge[cluster]")
    x = np.concatenate([images()[i % 8][0] for i in range(40 * PORTION)])
    np.savez(tmp_path / "x.npz", x=x)
    dataset = open_dataset(tmp_path / "x.npz", [InputInfo("x", (1, *x.shape[1:]), "float32")])
    seen: list[int] = []
    killed: list[int] = []
    with cluster(2, tmp_path) as (address, nannies):

        def progress(stage: str, done: int, total: int) -> None:
            seen.append(done)
            if done == 4 * PORTION:
                victim = worker_of(nannies[0].pid)
                assert victim is not None
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

        found = compare(*models, dataset, progress, executor=executor_of(cluster=address))
        x[5] = np.nan
        np.savez(tmp_path / "y.npz", x=x)
        damaged = open_dataset(tmp_path / "y.npz", [InputInfo("x", (1, *x.shape[1:]), "float32")])
        with pytest.raises(DataError, match=r"y\.npz row 5"):
            compare(*models, damaged, executor=executor_of(cluster=address))
        with pytest.raises(ToolError, match="lacks the module 'test_workers'"):
            compare(*models, Many(), executor=executor_of(cluster=address))
        monkeypatch.setattr("qedge.shards.cluster.LOOK_S", 0.2)
        monkeypatch.setattr("qedge.shards.cluster.LONELY_S", 1)

        def end_all(stage: str, done: int, total: int) -> None:
            if done == 1:
                for nanny in nannies:
                    os.killpg(nanny.pid, signal.SIGKILL)

        with pytest.raises(ToolError, match=r"all workers of .* are gone"):
            compare(*models, dataset, end_all, executor=executor_of(cluster=address))
    assert len(killed) == 1
    assert seen == list(range(1, len(dataset) + 1))
    np.testing.assert_equal(dataclasses.asdict(found), dataclasses.asdict(compare(*models, dataset)))
