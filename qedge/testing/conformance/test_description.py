"""What a target says about itself."""

from __future__ import annotations

import re
from importlib.metadata import entry_points

from qedge.target.options import convert
from qedge.testing.subject import Subject

NAME = re.compile(r"[a-z][a-z0-9_]*")
KINDS = ("str", "int", "float", "bytes", "duration", "percent", "flag", "path")
COMMANDS = ("build", "check", "verify", "bench", "run")
TYPES = ("int8", "uint8", "int16", "float32")


def test_it_has_a_name_a_title_and_a_summary(subject: Subject) -> None:
    info = subject.target.info
    assert NAME.fullmatch(info.name), f"name {info.name!r}: expected small letters, digits and _"
    assert info.title.strip(), "no title"
    assert info.summary.strip(), "no summary"
    assert info.io_types, "no io_types"
    assert set(info.io_types) <= set(TYPES), f"io_types {info.io_types}: expected some of {TYPES}"
    assert info.accelerator not in ("cpu", "unsupported"), (
        f"accelerator {info.accelerator!r} is a word of qedge"
    )


def test_its_options_are_sound(subject: Subject) -> None:
    from qedge.cli._options import reserved

    options = subject.target.info.options
    assert len({o.name for o in options}) == len(options), "an option is declared twice"
    for option in options:
        assert NAME.fullmatch(option.name), f"option {option.name!r}: expected snake case"
        assert option.kind in KINDS, f"option {option.name}: kind {option.kind!r}, expected one of {KINDS}"
        assert option.help.strip(), f"option {option.name}: no help"
        assert option.commands, f"option {option.name}: no command takes it"
        assert set(option.commands) <= set(COMMANDS), f"option {option.name}: commands {option.commands}"
        for command in option.commands:
            assert option.name not in reserved(command), f"option {option.name} is a flag of qedge {command}"
        if option.default is not None:
            convert(option, option.default)


def test_a_runtime_is_registered_where_it_promises_one(subject: Subject) -> None:
    info = subject.target.info
    registered = [e for e in entry_points(group="qedge.runtimes") if e.name == info.name]
    assert bool(registered) == info.has_runtime, (
        f"has_runtime is {info.has_runtime}, and {len(registered)} entry points qedge.runtimes are called {info.name}"
    )


def test_doctor_says_what_is_needed_and_how_to_get_it(subject: Subject) -> None:
    for requirement in subject.target.doctor():
        assert requirement.name.strip(), "a requirement without a name"
        assert requirement.ok in (True, False, None), f"{requirement.name}: ok is {requirement.ok!r}"
        assert requirement.ok is not False or requirement.install, (
            f"{requirement.name}: missing, and no way to get it"
        )
