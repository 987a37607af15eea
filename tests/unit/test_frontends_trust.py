"""What in a file is more than data is found without TensorFlow, and nothing is loaded for it."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from qedge.errors import ModelError
from qedge.frontends import _keras_hazards, _torch_hazards, trust
from qedge.frontends.protocol import Refusal


def config(*layers: dict[str, Any]) -> str:
    named = [{"config": {"name": f"layer_{i}"}, **layer} for i, layer in enumerate(layers)]
    return json.dumps({"class_name": "Functional", "module": "keras", "config": {"layers": named}})


DENSE = {"class_name": "Dense", "module": "keras.layers", "registered_name": None}


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"class_name": "Lambda", "module": "keras.layers"}, "the Lambda layer 'layer_1' holds Python code"),
        ({"class_name": "Lambda"}, "Lambda layer 'layer_1'"),  # as Keras 2 writes it, without a module
        (
            {
                "class_name": "Activation",
                "config": {"name": "a", "fn": {"class_name": "__lambda__", "config": {}}},
            },
            "the lambda layer 'a' holds Python code",
        ),
        (
            {"class_name": "system", "module": "os", "registered_name": None},
            "module 'os', which would be imported",
        ),
        (
            {"class_name": "Mine", "module": "keras_evil.layers"},
            "'keras_evil.layers', which would be imported",
        ),
        ({"class_name": "TorchModuleWrapper", "module": "keras.layers"}, "pickled PyTorch module"),
        ({"class_name": "TFSMLayer", "module": "keras.layers"}, "loads another SavedModel"),
        (
            {"class_name": "TextVectorization", "config": {"name": "t", "vocabulary": "/etc/passwd"}},
            "reads its vocabulary from the file '/etc/passwd'",
        ),
    ],
)
def test_code_in_a_keras_configuration_is_named(layer: dict[str, Any], words: str) -> None:
    (found,) = _keras_hazards.in_text(config(DENSE, layer))
    assert words in found.what


def test_a_configuration_of_layers_alone_is_data() -> None:
    function = {
        "module": "builtins",
        "class_name": "function",
        "config": "relu",
        "registered_name": "function",
    }
    layers = [DENSE, {"class_name": "Dense", "config": {"name": "d", "activation": function}}]
    assert _keras_hazards.in_text(config(*layers)) == []


def test_a_loss_that_is_code_is_not_loaded_and_no_hazard(tmp_path: Path) -> None:
    code = {"class_name": "__lambda__", "config": {"value": "AAAA"}}
    path = tmp_path / "m.keras"

    def found(**more: Any) -> list[trust.Hazard]:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps({**json.loads(config()), **more}))
        return _keras_hazards.find(path)

    assert found(compile_config={"loss": code}) == []
    assert len(found(loss=code)) == 1
    inner = {
        "class_name": "Functional",
        "module": "keras",
        "config": {"name": "m"},
        "compile_config": {"loss": code},
    }
    assert len(found(config={"layers": [inner]}, compile_config={"loss": code})) == 1


def test_a_custom_object_without_its_code_is_refused_by_its_layer() -> None:
    custom = {"class_name": "Mine", "module": None, "registered_name": "acme>Mine"}
    with pytest.raises(Refusal, match="'layer_1' uses the custom object 'acme>Mine'"):
        _keras_hazards.in_text(config(DENSE, custom))


def test_a_configuration_that_nests_without_end_is_refused() -> None:
    with pytest.raises(Refusal, match="nests more than"):
        _keras_hazards.in_text('{"class_name": "A", "config": ' * 300 + "1" + "}" * 300)
    with pytest.raises(Refusal, match="no JSON"):
        _keras_hazards.in_text("[" * 200_000)


def test_links_and_data_outside_a_weights_file_are_found(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file["near"] = h5py.SoftLink("/kernel")
        file["far"] = h5py.ExternalLink("/etc/secret.h5", "/key")
        file.create_dataset("raw", (4,), "u1", external=[("/etc/passwd", 0, 4)])
        file["kernel"] = np.zeros(3, np.float32)
    found = [hazard.what for hazard in _keras_hazards.find(path)]
    assert any("/far is a link to another file, '/etc/secret.h5'" in what for what in found)
    assert any("/raw lies in another file" in what for what in found)
    assert len(found) == 2


def test_weights_larger_than_their_file_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("kernel", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))
    assert path.stat().st_size < 100_000
    with pytest.raises(Refusal, match="declares 4398046511104 bytes of weights in a file of"):
        _keras_hazards.find(path)


def test_files_that_a_model_refers_to_lie_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "weights.bin").write_bytes(b"1")
    (tmp_path / "secret").write_bytes(b"2")
    os.symlink(tmp_path / "secret", folder / "link")
    assert trust.inside(folder, "data/weights.bin") == (folder / "data" / "weights.bin").resolve()
    for name in ("../secret", "/etc/passwd", "data/../../secret", "link", "C:\\secret", "", "a\0b"):
        with pytest.raises(ModelError, match="expected one in its own folder"):
            trust.inside(folder, name)


def test_an_archive_that_unpacks_to_far_more_than_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("config.json", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelError, match="unpacks to 314572800 bytes"):
        trust.check_archive(path, ".keras file")


def test_the_refusal_names_all_and_leads_out() -> None:
    hazards = [trust.Hazard(f"thing {i} runs", "leave it out") for i in range(7)]
    error = trust.refusal("m.h5", hazards)
    assert "thing 0 runs; thing 1 runs" in error.message
    assert "and 2 more" in error.message
    assert error.hint == f"leave it out; {trust.TRUST_HINT}"


def test_an_archive_in_a_pt2_whose_names_are_no_text_is_a_hazard(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as nested:
        nested.writestr("é", b"x")
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/inner.pt", inner.getvalue().replace("é".encode(), b"\xe1a"))
    (hazard,) = _torch_hazards.find(tmp_path / "m.pt2")
    assert "m/inner.pt" in hazard.what


class Runs:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def archived(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


RUNS = pickle.dumps(Runs())
HONEST = archived(**{"archive/data.pkl": pickle.dumps({"a": 1})})
LISTED = json.dumps({"config": {"w": {"path_name": "weight_0", "use_pickle": True}}}).encode()


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"m/data/weights/w.pt": archived(**{"archive/data.pkl": RUNS})}, "w.pt/archive/data.pkl"),
        # as torch.save wrote before there were archives: the object is the fourth pickle
        ({"m/data/sample_inputs/model.pt": pickle.dumps(1) * 3 + RUNS}, "sample_inputs/model.pt"),
        ({"m/data/sample_inputs/model.pt": pickle.dumps(Runs(), 0)}, "sample_inputs/model.pt"),
        (
            {
                "m/data/weights/model_weights_config.json": LISTED,
                "m/data/weights/weight_0": pickle.dumps(Runs(), 0),
            },
            "weight_0",
        ),
        # a pickle for PyTorch and an archive for zipfile, which looks at the end of a file
        (
            {"m/data/sample_inputs/model.pt": b"PK\n" + pickle.dumps(Runs(), 0) + HONEST},
            "sample_inputs/model.pt",
        ),
        # what follows it is no pickle, and looks like an escape that Python warns of
        ({"m/data/sample_inputs/model.pt": pickle.dumps(Runs(), 0) + b"S'\\q'\n."}, "sample_inputs/model.pt"),
        ({"m/data/aotinductor/model/x.so": b"\x7fELF"}, "x.so is compiled code"),
    ],
)
def test_code_in_a_pt2_is_found_wherever_pytorch_would_run_it(
    members: dict[str, bytes], place: str, tmp_path: Path
) -> None:
    (tmp_path / "m.pt2").write_bytes(archived(**members))
    assert place in _torch_hazards.find(tmp_path / "m.pt2")[0].what


def test_numbers_in_a_pt2_are_no_pickle_however_they_begin(tmp_path: Path) -> None:
    saved = archived(**{"archive/data.pkl": pickle.dumps({}), "archive/data/0": b"\x80\x12\x33\xf5"})
    (tmp_path / "m.pt2").write_bytes(
        archived(**{"m/data/weights/w.pt": saved, "m/serialized_example_inputs.pt": b""})
    )
    assert _torch_hazards.find(tmp_path / "m.pt2") == []


OPERATORS = """
import re
from tensorflow.core.framework.op_def_pb2 import OpList
from tensorflow.python.client import pywrap_tf_session as session
from qedge.frontends._savedmodel_hazards import _REACHES, _SAVER

known = OpList()
known.ParseFromString(bytes(session.TF_GetBuffer(session.TF_GetAllOpList())))
places = re.compile(
    "file_?names?|file_?patterns?|patterns|files?|.*file_path|vocab_file|(log)?dir|.*directory|(snapshot_)?path|prefix"
    "|address|library_filename|descriptor_source|data_source_name"
)
for op in known.op:
    names = [a.name for a in (*op.input_arg, *op.attr)]
    if any(places.fullmatch(n) for n in names) and op.name not in _SAVER and not _REACHES.fullmatch(op.name):
        print(op.name)
print(len(known.op))
"""


@pytest.mark.long
def test_every_operator_of_tensorflow_that_takes_a_place_is_a_hazard() -> None:
    done = subprocess.run([sys.executable, "-c", OPERATORS], capture_output=True, text=True, check=True)
    *missed, count = done.stdout.split()
    assert missed == []
    assert int(count) > 1000
