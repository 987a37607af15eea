"""The bill of materials and the model card: valid for others, the same bytes for the same build."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from PIL import Image
from quantize_models import cnn, images

import qedge
from qedge.bundle import read_bundle
from qedge.config import load_config
from qedge.datasets.identity import dataset_identity
from qedge.errors import UsageError
from qedge.trust.card import FIELDS, UNKNOWN, Facts, bill_of_materials, model_card

STATED = {key: f"what was said of {key} | <here>" for key in FIELDS} | {"licence": "Apache-2.0"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    (folder / "tiny.tflite").write_bytes(cnn())
    x = np.concatenate([images()[i][0] for i in range(40)])
    built = qedge.build(
        folder / "tiny.tflite", (x, np.arange(40) % 4), out=folder, method="minmax", postprocess="classify"
    )
    return built.bundles["rpi"]


def facts_of(bundle: Path, card: dict[str, str]) -> Facts:
    manifest = json.loads((bundle / "manifest.json").read_text())
    report = json.loads((bundle / "report.json").read_text())
    return Facts(
        manifest, report, {"root": "0" * 64, "files": 3, "bytes": 9}, {"seed": 0}, {"qedge": "1"}, card
    )


def complaint(data: bytes) -> object:
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode())


def test_a_bundle_carries_a_valid_bill_of_materials(bundle: Path) -> None:
    with read_bundle(bundle) as opened:
        data = opened.read("bom.json")
        assert complaint(data) is None
        document = json.loads(data)
        listed = {c["name"]: c["hashes"][0]["content"] for c in document["components"] if c["type"] == "file"}
        beside = {"bom.json", "card.md"}
        assert listed == {n: e.sha256 for n, e in opened.manifest.files.items() if n not in beside}
        tools = {t["name"] for t in document["metadata"]["tools"]["components"]}
        assert {"qedge", "ai-edge-litert"} <= tools
        metrics = document["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
        assert any("sqnr_db" in m["type"] for m in metrics)
        assert UNKNOWN in opened.read("card.md").decode()


def test_what_people_state_is_in_both(bundle: Path) -> None:
    facts = facts_of(bundle, STATED)
    data = bill_of_materials(facts)
    assert complaint(data) is None
    assert json.loads(data)["metadata"]["component"]["licenses"] == [{"license": {"name": "Apache-2.0"}}]
    card = model_card(facts).decode()
    assert 'license: "Apache-2.0"' in card
    assert UNKNOWN not in card.rpartition("Where it says")[0]
    for key in FIELDS:
        assert STATED[key].replace("|", "\\|") in card or STATED[key] in card
    assert bill_of_materials(facts) == data
    linked = bill_of_materials(facts._replace(card={"source": "https://example.org/a%20model?v=1"}))
    assert complaint(linked) is None
    assert json.loads(linked)["metadata"]["component"]["externalReferences"][0]["url"].startswith("https:")
    assert bill_of_materials(facts._replace(card={})) != data


def test_the_validator_would_find_a_fault(bundle: Path) -> None:
    document = json.loads(bill_of_materials(facts_of(bundle, {})))
    document["metadata"]["component"]["modelCard"]["invented"] = 1
    assert complaint(json.dumps(document).encode()) is not None


def test_the_configuration_takes_what_people_know(tmp_path: Path) -> None:
    (tmp_path / "qedge.toml").write_text('[card]\npurpose = "hears digits"\nlicence = "Apache-2.0"\n')
    assert load_config(start=tmp_path).section("card")["purpose"] == "hears digits"
    (tmp_path / "qedge.toml").write_text('[card]\nlicense = "Apache-2.0"\n')
    with pytest.raises(UsageError) as caught:
        load_config(start=tmp_path)
    assert "licence" in str(caught.value.hint)


def test_data_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "cat").mkdir(parents=True)
        (tmp_path / name / "cat" / "a.wav").write_bytes(b"sound")
        (tmp_path / name / "b.wav").write_bytes(b"noise")
    (tmp_path / "two" / ".hidden").write_bytes(b"x")
    one, two = dataset_identity(tmp_path / "one"), dataset_identity(tmp_path / "two")
    assert one == two
    assert (one.files, one.size) == (2, 10)
    (tmp_path / "two" / "b.wav").rename(tmp_path / "two" / "c.wav")
    assert dataset_identity(tmp_path / "two").root != one.root
    np.save(tmp_path / "x.npy", np.zeros(3))
    np.save(tmp_path / "y.npy", np.zeros(3))
    assert dataset_identity(tmp_path / "x.npy").root == dataset_identity(tmp_path / "y.npy").root


def test_a_file_of_labels_stands_for_its_photos_and_labels(tmp_path: Path) -> None:
    roots = []
    for k, (place, level, box) in enumerate(
        [("one", 0, ".2"), ("two", 0, ".2"), ("three", 9, ".2"), ("four", 0, ".3")]
    ):
        for part in ("images", "labels"):
            (tmp_path / place / part).mkdir(parents=True)
        Image.new("L", (8, 8), level).save(tmp_path / place / "images/a.png")
        (tmp_path / place / "labels/a.txt").write_text(f"0 .5 .5 {box} .2\n")
        (tmp_path / place / "data.yaml").write_text("val: images\nnames: [cat]\n")
        found = dataset_identity(tmp_path / place / "data.yaml")
        assert found.files == 3, k
        roots.append(found.root)
    assert roots[0] == roots[1]
    assert len(set(roots)) == 3
