"""The configuration file: what is read, written and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qedge.config import SECTIONS, load_config, to_toml, variable_of
from qedge.errors import UsageError


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
    with pytest.raises(UsageError, match="QEDGE_SAMPLES is 'many' in the environment, expected int"):
        config.get("data", "samples")
    names = [variable_of(section, key) for section, keys in SECTIONS.items() for key in keys]
    given = [name for name in names if name]
    assert len(given) == len(set(given)) > 15
