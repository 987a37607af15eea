"""The configuration file: what is read, written and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qedge.config import SECTIONS, load_config, to_toml, variable_of
from qedge.errors import UsageError
from qedge.quantize.pins import read_recipe
from qedge.target import resolve
from qedge.target.options import typed_options


def test_no_file_is_an_empty_configuration(tmp_path: Path) -> None:
    config = load_config(start=tmp_path)
    assert config.path is None
    assert config.get("model", "path", "fallback") == "fallback"


def test_pyproject_serves_where_there_is_no_qedge_toml(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.qedge.model]\npath = 'm.keras'\n")
    assert load_config(start=tmp_path).path_of("model", "path") == tmp_path / "m.keras"


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "qedge.toml").write_text("[build]\nout = 'a'\n")
    monkeypatch.setenv("QEDGE_OUT", "b")
    assert load_config(start=tmp_path).get("build", "out") == "b"


def test_a_named_file_that_is_missing_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no configuration file") as caught:
        load_config(tmp_path / "none.toml")
    assert "qedge init" in str(caught.value.hint)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])), st.lists(st.integers(-9, 9)))
def test_what_is_written_is_read_back(text: str, numbers: list[int]) -> None:
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    tables = {"model": {"path": text}, "target": {"mcu": {"ram": 7, "flag": True, "numbers": numbers}}}
    assert tomllib.loads(to_toml(tables)) == tables


def test_variables_are_typed_and_name_one_thing_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "qedge.toml").write_text('[model]\npath = "m.keras"\n[data]\npath = "d"\nsamples = 5\n')
    config = load_config(tmp_path / "qedge.toml")
    for name, text in {
        "QEDGE_TARGETS": "rpi, mcu",
        "QEDGE_SAMPLES": "50",
        "QEDGE_STRICT": "no",
        "QEDGE_MIN_SQNR": "12.5",
        "QEDGE_DATA": "other",
        "QEDGE_OUT": "",
    }.items():
        monkeypatch.setenv(name, text)
    assert config.get("build", "targets") == ["rpi", "mcu"]
    assert config.get("data", "samples") == 50
    assert config.get("build", "strict") is False
    assert config.get("quantize", "min_sqnr") == 12.5
    assert config.get("build", "out", "build") == "build"
    assert config.path_of("data", "path") == Path("other")
    assert config.path_of("model", "path") == tmp_path / "m.keras"
    monkeypatch.setenv("QEDGE_SAMPLES", "many")
    with pytest.raises(
        UsageError, match="QEDGE_SAMPLES in the environment: found 'many', expected an integer"
    ):
        config.get("data", "samples")
    names = [variable_of(section, key) for section, keys in SECTIONS.items() for key in keys]
    given = [name for name in names if name]
    assert len(given) == len(set(given)) > 15


WRONG = [
    ("model = 3", r"\$\.model: found 3, expected an object"),
    ("[modle]", r"\$\.modle: unknown key"),
    ("[model]\npth = 'x'", r"\$\.model\.pth: unknown key"),
    ("[model]\npath = ['x']", r"\$\.model\.path: found a list, expected a string"),
    ("[model]\nlabels = ['a', 3]", r"\$\.model\.labels\[1\]: found 3"),
    ("[model]\ninput_shape = [1, 1.7]", r"\$\.model\.input_shape\[1\]: found 1\.7, expected an integer"),
    ("[model]\ninput_shape = [inf]", r"\$\.model\.input_shape\[0\]: found inf"),
    ("[model.input_shape]\na = [1, 0]", r"\$\.model\.input_shape\.a\[1\]: found 0"),
    ("[model.input_value]\nsr = nan", r"\$\.model\.input_value\.sr: found nan, expected a finite number"),
    ("[data]\nsamples = true", r"\$\.data\.samples: found true or false, expected an integer"),
    ("[data]\nsamples = 0", r"\$\.data\.samples: found 0"),
    ("[data]\nseed = -1", r"\$\.data\.seed: found -1"),
    ("[build]\ntargets = 'mcu'", r"\$\.build\.targets: found 'mcu', expected a list"),
    ("[build]\nstrict = 'no'", r"\$\.build\.strict: found 'no', expected true or false"),
    ("[quantize]\nmax_drop = []", r"\$\.quantize\.max_drop: found a list"),
    ("[quantize]\nmin_sqnr = inf", r"\$\.quantize\.min_sqnr: found inf, expected a finite number"),
    ("[tune]\nsteps = 1.5", r"\$\.tune\.steps: found 1\.5"),
    ("[card]\npurpose = 2026-11-28", r"\$\.card\.purpose: found date"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[text for text, _ in WRONG])
def test_a_wrong_value_is_named_by_its_file_and_path(text: str, said: str, tmp_path: Path) -> None:
    place = tmp_path / "qedge.toml"
    place.write_text(text)
    with pytest.raises(UsageError, match=rf"{place}: {said}"):
        load_config(place)
    (tmp_path / "pyproject.toml").write_text(
        "\n".join(
            f"[tool.qedge.{row[1:]}" if row.startswith("[") else f"[tool.qedge]\n{row}" if k == 0 else row
            for k, row in enumerate(text.splitlines())
        )
    )
    with pytest.raises(UsageError, match=rf"pyproject\.toml: \$\.tool\.qedge{said[2:]}"):
        load_config(tmp_path / "pyproject.toml")


@pytest.mark.parametrize("text", ["= 3", "[a\n", "a = " + "[" * 5000, "\udcff", "#" * (5 << 20)])
def test_a_file_that_is_no_toml_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "qedge.toml").write_text(text, errors="surrogateescape")
    with pytest.raises(UsageError, match=r"qedge\.toml"):
        load_config(start=tmp_path)
    with pytest.raises(UsageError, match=r"qedge\.toml"):
        read_recipe(tmp_path / "qedge.toml")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (3, r"\$\.target\.mcu: found 3, expected an object"),
        ("ram", r"\$\.target\.mcu: found 'ram'"),
        ({"rum": 3}, r"\$\.target\.mcu\.rum: unknown key"),
        ({"ram": [64]}, r"\$\.target\.mcu\.ram: found a list, expected a size"),
        ({"ram": True}, r"\$\.target\.mcu\.ram: found true or false"),
        ({"board": 7}, r"\$\.target\.mcu\.board: found 7"),
    ],
)
def test_a_wrong_option_of_a_target_is_named_by_its_path(table, said) -> None:
    with pytest.raises(UsageError, match=said):
        typed_options(resolve("mcu").info, {}, table)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metod = 'auto'", r"\$\.metod: unknown key"),
        ("method = 3", r"\$\.method: found 3, expected a string"),
        ("layer = 3", r"\$\.layer: found 3, expected a list"),
        ("[[layer]]\nranges = 'mse'", r"\$\.layer\[0\]\.match: missing"),
        ("[[layer]]\nmatch = ''", r"\$\.layer\[0\]\.match: found ''"),
        (
            "[[layer]]\nmatch = '*'\nrange = [1, 0]",
            r"\$\.layer\[0\]\.range: found a list, expected two numbers",
        ),
        ("[[layer]]\nmatch = '*'\nrange = [0, inf]", r"\$\.layer\[0\]\.range\[1\]: found inf"),
        ("[[layer]]\nmatch = '*'\ntype = 'int9'", r"\$\.layer\[0\]\.type: found 'int9', expected one of"),
        ("[[layer]]\nmatch = '*'\nper_channel = 1", r"\$\.layer\[0\]\.per_channel: found 1"),
        ("[[layer]]\nmatch = '*'\n[[layer]]\nmatch = 'a'\nwidth = 1", r"\$\.layer\[1\]\.width: unknown key"),
    ],
)
def test_a_wrong_recipe_is_named_by_its_path(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_recipe(tmp_path / "r.toml")
