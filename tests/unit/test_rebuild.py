"""The same inputs give the same bytes; others are named, and no field of a provenance ends in a traceback."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from quantize_models import cnn, images

from qedge.bundle import read_bundle, write_bundle
from qedge.errors import IntegrityError, QedgeError, UsageError
from qedge.fields import Field
from qedge.pipeline import BuildRequest
from qedge.pipeline.provenance import PROVENANCE, Inputs, differing_tools, read_provenance, request_again
from tests import json_page


class Built:
    """A bundle with the files that it was built from."""

    def __init__(self, folder: Path, cli) -> None:
        self.model, self.data, self.recipe = folder / "tiny.tflite", folder / "x.npy", folder / "r.toml"
        self.model.write_bytes(cnn())
        np.save(self.data, np.concatenate([images()[i][0] for i in range(40)]))
        self.recipe.write_text('method = "minmax"\n')
        (folder / "labels.txt").write_text("a\nb\nc\nd\n")
        words = [
            "--recipe",
            self.recipe,
            "--labels",
            folder / "labels.txt",
            "--post",
            "classify",
            "--seed",
            3,
        ]
        document = cli.json(
            "build",
            self.model,
            "--data",
            self.data,
            "-t",
            "rpi",
            "-t",
            "mcu",
            "-o",
            folder / "out",
            "--ram",
            "64K",
            *words,
        )
        self.bundle = Path(document["targets"]["rpi"]["bundle"])


@pytest.fixture(scope="module")
def built(tmp_path_factory, cli) -> Built:
    return Built(tmp_path_factory.mktemp("rebuild"), cli)


def test_the_same_inputs_give_the_same_bytes(built, cli, tmp_path) -> None:
    elsewhere = tmp_path / built.data.name
    elsewhere.write_bytes(built.data.read_bytes())
    document = cli.json("rebuild", built.bundle, "--model", built.model, "--data", elsewhere)
    json_page.check("rebuild", document)
    assert document["same"]
    assert document["digest"] == document["rebuilt"]
    assert document["tools"] == []


def test_a_bundle_that_is_not_what_its_inputs_give_is_found(built, cli, tmp_path) -> None:
    plain = read_bundle(built.bundle)
    files = {name: plain.read(name) for name in plain.manifest.files}
    changed = tmp_path / "changed"
    write_bundle(changed, plain.manifest, {**files, "card.md": b"something else"})
    done = cli("rebuild", changed, "--model", built.model, "--data", built.data)
    assert done.returncode == 7
    assert "card.md" in done.stderr


def test_other_data_or_another_model_are_refused(built, cli, tmp_path) -> None:
    np.save(tmp_path / "other.npy", np.load(built.data)[:39])
    done = cli("rebuild", built.bundle, "--model", built.model, "--data", tmp_path / "other.npy")
    assert (done.returncode, "root" in done.stderr) == (9, True)
    assert cli("rebuild", built.bundle, "--model", built.model).returncode == 2


def again(built: Built, document: object, tmp_path: Path):
    root = Field(document, "$", IntegrityError)
    return request_again(root, Inputs(built.model, built.data, None), tmp_path, tmp_path)


def test_a_provenance_gives_back_every_option(built, tmp_path) -> None:
    with read_bundle(built.bundle) as bundle:
        root = read_provenance(bundle)
        text = bundle.read(PROVENANCE).decode()
    assert str(built.model.parent) not in text
    request = again(built, root.value, tmp_path)
    assert request.options.seed == 3
    assert request.options.recipe is not None
    assert request.options.recipe.read_text() == built.recipe.read_text()
    assert request.labels == ("a", "b", "c", "d")
    assert [(t.info.name, o.get("ram")) for t, o in request.targets] == [("rpi", None), ("mcu", 65536)]
    assert request.postprocess is not None
    assert request.postprocess.kind == "classify"
    assert differing_tools(root, {"qedge": "0"})


WRONG = [None, True, -1, 1e308, "", "x", [], [1], {}, {"a": 1}, [[]], 7]


@pytest.mark.parametrize(
    "key", ["options", "recipe", "preprocess", "postprocess", "labels", "input_shapes", "input_values", "trust_model",
            "judge", "strict", "cut_head", "export", "name", "card", "targets", "data", "eval_data", "model"],
)  # fmt: skip
def test_a_wrong_field_is_an_error_of_ours(built, tmp_path, key) -> None:
    with read_bundle(built.bundle) as bundle:
        document = read_provenance(bundle).value
    refused = 0
    for value in WRONG:
        try:
            again(built, {**document, key: value}, tmp_path)
        except QedgeError as problem:
            refused += problem.exit_code in (2, 3, 9)
    assert refused >= 4


def test_a_bundle_without_provenance_says_what_to_do(built, tmp_path) -> None:
    plain = read_bundle(built.bundle)
    files = {name: plain.read(name) for name in plain.manifest.files}
    files.pop(PROVENANCE)
    write_bundle(tmp_path / "old", plain.manifest, files)
    with read_bundle(tmp_path / "old") as bundle, pytest.raises(UsageError, match="provenance"):
        read_provenance(bundle)
    write_bundle(tmp_path / "odd", plain.manifest, {**files, PROVENANCE: b'{"format": 1}'})
    with read_bundle(tmp_path / "odd") as bundle, pytest.raises(IntegrityError):
        read_provenance(bundle)
    write_bundle(tmp_path / "bad", plain.manifest, {**files, PROVENANCE: json.dumps([1]).encode()})
    with read_bundle(tmp_path / "bad") as bundle, pytest.raises(IntegrityError):
        read_provenance(bundle)


def test_every_wish_of_a_build_is_in_its_provenance(built) -> None:
    with read_bundle(built.bundle) as bundle:
        known = set(read_provenance(bundle).value)
    assert {f.name for f in dataclasses.fields(BuildRequest)} - known == {"out", "all_or_nothing"}
