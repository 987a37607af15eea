"""The PyTorch front end: what needs no PyTorch here, and with it programs, factories and modules."""

from __future__ import annotations

import collections
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qedge.errors import ModelError, UsageError
from qedge.frontends import load_model
from qedge.frontends._torch_hazards import find
from qedge.frontends.candidate import look
from qedge.frontends.protocol import Match
from qedge.frontends.torch import FRONT_END


class _Runs:
    """A pickle of it runs a command when it is read."""

    def __reduce__(self) -> Any:
        return print, ("ran",)


def _program(path: Path, extra: dict[str, bytes] | None = None) -> Path:
    """Write an archive with the members of an exported program."""
    entry = {"path_name": "weight_0", "use_pickle": False}
    members = {
        "archive_format": b"pt2",
        "models/model.json": b"{}",
        "data/weights/model_weights_config.json": json.dumps({"config": {"w": entry}}).encode(),
        "data/weights/weight_0": b"\x80\x04numbers that look like a pickle",
        **(extra or {}),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"net/{name}", data)
    return path


def test_what_is_pytorchs_is_told_by_its_content(tmp_path: Path) -> None:
    assert FRONT_END.detect(look(_program(tmp_path / "net.bin"))) == Match.CONTENT
    assert FRONT_END.detect(look("package.models:make")) == Match.NAME
    assert FRONT_END.detect(look("package/models.py:make")) == Match.NO
    (tmp_path / "other.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    assert FRONT_END.detect(look(tmp_path / "other.zip")) == Match.NO


@pytest.mark.parametrize("name", ["weights.pth", "model.pt", "anything"])
def test_a_pickle_is_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": _Runs()}))
        archive.writestr("archive/version", b"3")
    with pytest.raises(ModelError, match="a pickle of weights or of a module") as caught:
        load_model(path, workdir=tmp_path)
    assert "torch.export.save(program, 'model.pt2')" in str(caught.value.hint)


def test_torchscript_and_an_old_pickle_are_refused(tmp_path: Path) -> None:
    script, old = tmp_path / "script.pt", tmp_path / "old.pth"
    with zipfile.ZipFile(script, "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02.")
        archive.writestr("net/code/__torch__.py", b"")
    old.write_bytes(pickle.dumps({"a": 1}, protocol=2))
    for path, what in ((script, "TorchScript"), (old, "a pickle")):
        with pytest.raises(ModelError, match=what):
            load_model(path, workdir=tmp_path)


def test_a_damaged_program_is_told(tmp_path: Path) -> None:
    path = _program(tmp_path / "net.pt2")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match=r"no exported program|damaged"):
        load_model(path, workdir=tmp_path)


def test_pickles_in_a_program_are_found_without_being_read(tmp_path: Path) -> None:
    assert find(_program(tmp_path / "plain.pt2")) == []
    bad = pickle.dumps(_Runs())
    for member in ("data/sample_inputs/model.pt", "data/constants/custom_obj_0", "data/weights/weight_0.pkl"):
        hazards = find(_program(tmp_path / "bad.pt2", {member: bad}))
        assert [h.what for h in hazards] == [f"net/{member} holds a pickle that uses builtins.print"]
    good = pickle.dumps(collections.OrderedDict(a=1))
    assert find(_program(tmp_path / "good.pt2", {"data/sample_inputs/model.pt": good})) == []


def test_a_list_that_calls_a_pickle_plain_is_not_believed(tmp_path: Path) -> None:
    entries = {k: {"path_name": "weight_0", "use_pickle": flag} for k, flag in (("w", False), ("v", True))}
    lists = {
        "data/weights/model_weights_config.json": json.dumps({"config": entries}).encode(),
        "data/weights/weight_0": pickle.dumps(_Runs()),
    }
    assert find(_program(tmp_path / "bad.pt2", lists))


def _torch() -> Any:
    pytest.importorskip("onnxscript", reason="PyTorch's exporter is not installed")
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def _net() -> Any:
    torch = _torch()
    nn = torch.nn
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 16, 5),
    ).eval()


def test_an_exported_program_is_converted(tmp_path: Path) -> None:
    torch = _torch()
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(_net(), (torch.zeros(1, 3, 8, 8),)), str(path))
    source = load_model(path, workdir=tmp_path)
    assert (source.origin, source.kind) == ("torch", "float")
    assert list(source.orders.values()) == [(0, 2, 3, 1)]


def test_a_module_is_built_and_agrees_with_pytorch(tmp_path: Path) -> None:
    import qedge

    torch, net = _torch(), _net()
    x = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(UsageError, match="needs example inputs"):
        qedge.build(net, x.numpy(), out=tmp_path)
    built = qedge.build(net, x.numpy(), example_inputs=x[:1], targets=["rpi"], out=tmp_path, method="minmax")
    assert not net.training
    with built.load() as model, torch.no_grad():
        expected = net(x).numpy()
        found = np.concatenate([model(sample.numpy()).outputs[0] for sample in x])
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_a_factory_is_imported_from_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _torch()
    (tmp_path / "own_nets.py").write_text(
        "import torch\ndef make():\n    return torch.nn.Conv2d(3, 4, 3)\n"
        "def pair():\n    return torch.nn.Linear(4, 2), torch.zeros(1, 4)\ndef no():\n    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    source = load_model("own_nets:make", workdir=tmp_path, input_shapes={"": (1, 3, 8, 8)})
    assert source.origin == "torch"
    assert load_model("own_nets:pair", workdir=tmp_path).data
    with pytest.raises(ModelError, match=r"no example inputs; forward takes input"):
        load_model("own_nets:make", workdir=tmp_path)
    with pytest.raises(ModelError, match=r"gives int, expected a torch.nn.Module"):
        load_model("own_nets:no", workdir=tmp_path)
    with pytest.raises(ModelError, match=r"gone of own_nets fails"):
        load_model("own_nets:gone", workdir=tmp_path)
