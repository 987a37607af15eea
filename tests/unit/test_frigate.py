"""Frigate's own decoder for the Edge TPU, read from its repository, on what ``--export frigate`` builds.

    QEDGE_FRIGATE=frigate/detectors/plugins/edgetpu_tfl.py pytest tests/unit/test_frigate.py

Its code is not part of this project, so the test is skipped without that file. The delegate is doubled by the
CPU, and the modules that it imports from Frigate by names of the same kind.
"""

from __future__ import annotations

import enum
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_head_cut import SIDE, yolo_like

import qedge
from qedge.bundle import read_bundle
from qedge.quantize.interpreter import Runner

PLUGIN = os.environ.get("QEDGE_FRIGATE", "")


@pytest.fixture
def frigate(monkeypatch) -> Any:
    """Return the module of Frigate's detector."""
    if not Path(PLUGIN).is_file():
        pytest.skip("QEDGE_FRIGATE names no edgetpu_tfl.py")
    pytest.importorskip("cv2")
    from ai_edge_litert import interpreter

    kinds = enum.Enum("ModelTypeEnum", {"ssd": "ssd", "yologeneric": "yolo-generic"})
    doubles = {
        "frigate": {}, "frigate.detectors": {},
        "frigate.detectors.detection_api": {"DetectionApi": object},
        "frigate.detectors.detector_config": {"BaseDetectorConfig": object, "ModelTypeEnum": kinds},
        "pydantic": {"ConfigDict": dict, "Field": lambda **_: None},
    }  # fmt: skip

    class OnCpu(interpreter.Interpreter):  # type: ignore[misc]
        def __init__(self, model_path: str, experimental_delegates: Any) -> None:
            super().__init__(model_path=model_path)

    doubles["tflite_runtime"] = {}
    doubles["tflite_runtime.interpreter"] = {"Interpreter": OnCpu, "load_delegate": lambda *_: None}
    for name, members in doubles.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    plugin = types.ModuleType("edgetpu_tfl")
    exec(compile(Path(PLUGIN).read_text(), PLUGIN, "exec"), vars(plugin))
    vars(plugin)["ModelTypeEnum"] = kinds
    return plugin


def test_frigate_decodes_what_the_bundle_decodes(frigate, tmp_path) -> None:
    (tmp_path / "net.tflite").write_bytes(yolo_like())
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(3)
    photos = rng.integers(0, 256, (6, SIDE, SIDE, 3)).astype(np.uint8)
    photos[:, 0, 0], photos[:, 0, 1] = 0, 255
    for k, photo in enumerate(photos):
        Image.fromarray(photo).save(tmp_path / f"photos/{k}.png")
    made = qedge.build(
        tmp_path / "net.tflite", tmp_path / "photos", targets="coral", out=tmp_path / "build", method="minmax",
        range=(0, 1), export="frigate", labels=["a", "b", "c", "d", "e"],
    )  # fmt: skip
    with read_bundle(made.bundles["coral"]) as bundle:
        (tmp_path / "model.tflite").write_bytes(bundle.read("model.tflite"))
        post = bundle.manifest.postprocess.replace(threshold=0.39, suppress=False, limit=1000)
    about = types.SimpleNamespace(
        path=str(tmp_path / "model.tflite"), width=SIDE, height=SIDE,
        model_type=frigate.ModelTypeEnum.yologeneric,
    )  # fmt: skip
    theirs = frigate.EdgeTpuTfl(types.SimpleNamespace(device="usb", model=about))
    ours = Runner((tmp_path / "model.tflite").read_bytes())
    seen = 0
    for photo in photos:
        found = theirs.detect_raw(photo[None].copy())
        boxes = post.apply(ours.predict([photo[None].astype(np.float32) / np.float32(255)]), ())
        for label, score, *box in found[found[:, 1] > 0]:
            seen += 1
            assert any(
                int(b.label) == int(label)
                and b.score == pytest.approx(score, abs=1e-3)
                and b.box == pytest.approx(np.clip(box, 0, 1), abs=1e-3)
                for b in boxes
            )
    assert seen > 10
