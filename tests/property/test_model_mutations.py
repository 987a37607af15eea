"""Model files with bytes changed at random: an error or a model, never a traceback, a hang or a file elsewhere."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from qedge.errors import QedgeError
from qedge.frontends import child
from qedge.frontends.candidate import look
from qedge.frontends.load import load_model
from qedge.frontends.protocol import FrontEnd, Job
from qedge.frontends.registry import recognise

LAYERS = [
    {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "dtype": "float32", "name": "x"}},
    {"class_name": "Dense", "config": {"name": "dense", "units": 3, "activation": "relu"}},
]
INTERESTING = (0, 1, 127, 128, 255)


def mutated(data: bytes, seed: int) -> bytes:
    """Return the bytes with up to eight changed, every tenth time cut short; half of the changes near the ends."""
    random = np.random.default_rng(seed)
    damaged = bytearray(data)
    ends = min(len(data), 3000)
    for _ in range(random.integers(1, 9)):
        place = int(random.integers(len(data)))
        if random.integers(2):
            place = (
                int(random.integers(ends))
                if random.integers(2)
                else len(data) - 1 - int(random.integers(ends))
            )
        damaged[place] = random.choice([*INTERESTING, int(random.integers(256))])
    return bytes(damaged[: random.integers(len(data))] if seed % 10 == 0 else damaged)


def mutated_file(data: bytes, seed: int) -> bytes:
    """As :func:`mutated`; of an archive mostly a member, so that its checksums agree."""
    if not data.startswith(b"PK") or seed % 3 == 0:
        return mutated(data, seed)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(out, "w") as made:
        changed = ("config.json", "model.weights.h5")[seed % 2]
        for name in given.namelist():
            inside = given.read(name)
            made.writestr(name, mutated(inside, seed) if name == changed else inside)
    return out.getvalue()


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory, project: Path) -> dict[str, bytes]:
    """A small model of each kind of file."""
    folder = tmp_path_factory.mktemp("originals")
    path = folder / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"name": "m", "layers": LAYERS}}
        )
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.array([b"dense"])
        weights.attrs["backend"], weights.attrs["keras_version"] = "tensorflow", "2.15.0"
        dense = weights.create_group("dense")
        dense.attrs["weight_names"] = np.array([b"dense/kernel:0", b"dense/bias:0"])
        dense["dense/kernel:0"], dense["dense/bias:0"] = np.ones((4, 3), "f4"), np.zeros(3, "f4")
    digits = project / "examples" / "digits" / "digits.keras"
    return {".h5": path.read_bytes(), ".keras": digits.read_bytes()}


def accepted(data: bytes, path: Path) -> FrontEnd | None:
    """Return who would convert a file, None where it is refused before that."""
    path.write_bytes(data)
    try:
        candidate = look(path)
        front_end = recognise(candidate)
        front_end.examine(candidate)
    except QedgeError as error:
        if error.exit_code not in (3, 4) or not error.hint:
            raise AssertionError(f"no exit code or no hint: {error!r}") from error
        return None
    return front_end


def outcomes(jobs: list[tuple[FrontEnd, Job]], folder: Path) -> Iterator[str]:
    """Give what becomes of every job; a child that dies costs one job, and the others go to the next."""
    waiting = list(jobs)
    while waiting:
        requests = [child.write_request(front_end, job) for front_end, job in waiting]
        ended = child.run(
            requests, [front_end for front_end, _ in waiting], folder, child.Limits(300, 4 << 30)
        )
        done = 0
        for front_end, job in waiting:
            if not (job.folder / "result.json").is_file() and ended.status == 0:
                raise AssertionError(ended.said[-2000:])
            try:
                child.read_result(front_end, job, ended)
                yield "a model"
            except QedgeError:
                yield "refused"
            done += 1
            if not (job.folder / "result.json").is_file():
                break
        waiting = waiting[done:]


def convert(originals: dict[str, bytes], kind: str, count: int, folder: Path) -> Counter[str]:
    jobs: list[tuple[FrontEnd, Job]] = []
    found: Counter[str] = Counter()
    for seed in range(count):
        path = folder / f"m_{seed}{kind}"
        front_end = accepted(mutated_file(originals[kind], seed), path)
        if front_end is None:
            found["refused"] += 1
            continue
        work = folder / f"work_{seed}"
        work.mkdir()
        jobs.append((front_end, Job(str(path), path, work, folder)))
    found.update(outcomes(jobs, folder))
    return found


@pytest.mark.parametrize("kind", [".h5", ".keras"])
def test_files_are_refused_or_passed_on(kind: str, originals: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / f"m{kind}"
    assert accepted(originals[kind], path) is not None
    answers = {accepted(mutated_file(originals[kind], seed), path) is None for seed in range(120)}
    assert answers == {True, False}
    assert list(tmp_path.iterdir()) == [path]


def test_a_cut_file_is_an_error_all_the_way(originals: dict[str, bytes], tmp_path: Path) -> None:
    for kind, data in originals.items():
        path = tmp_path / f"m{kind}"
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(QedgeError) as caught:
            load_model(path, workdir=tmp_path)
        assert caught.value.exit_code == 3


@pytest.mark.long
@pytest.mark.parametrize("kind", [".h5", ".keras"])
def test_conversions_end_in_a_model_or_an_error(
    kind: str, originals: dict[str, bytes], tmp_path: Path
) -> None:
    elsewhere = set(Path(tempfile.gettempdir()).iterdir())
    found = convert(originals, kind, 500, tmp_path)
    assert found["refused"] > 0
    assert found.total() == 500
    made = {p.name for p in tmp_path.iterdir() if not p.name.startswith(("m_", "work_"))}
    assert made <= {"keras.json", "request.json"}, made
    new = {p.name for p in set(Path(tempfile.gettempdir()).iterdir()) - elsewhere}
    assert not {n for n in new if n.startswith(("keras", "tf", "model"))}
    shutil.rmtree(tmp_path)
