"""What a target is: its description, its options, the columns that it adds to tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option of a target; the CLI makes a flag of it, ``qedge.toml`` a key of ``[target.<name>]``.

    Args:
        name: in snake case, ``min_mapped``; the flag is ``--min-mapped``. Two targets may share a name
            when it means the same in both.
        help: one line.
        kind: ``str``, ``int``, ``float``, ``bytes`` (``64K``), ``duration`` (``50ms``), ``percent`` (``95%``),
            ``flag`` or ``path``.
        default: value when it is not given; a flag without one has a ``--no-`` beside it, and neither is None.
        choices: allowed values, or empty.
        commands: the commands that take it.
    """

    name: str
    help: str
    kind: str = "str"
    default: Any = None
    choices: tuple[str, ...] = ()
    commands: tuple[str, ...] = ("build", "check")


@dataclass(frozen=True)
class Column:
    """One figure of a target that tables and the report show beside the others'.

    Args:
        title: of the column: ``RAM``.
        metric: key of the figure in the target's ``metrics``; of a mapping there its ``value`` (an estimate), else
            the sum. Bytes where it ends in ``_bytes``, else a plain number.
        detail: what it is made of, in a few words.
    """

    title: str
    metric: str
    detail: str = ""

    def value(self, metrics: Mapping[str, Any]) -> int | float | None:
        """Return the figure, or None where the target did not give it.

        >>> Column("RAM", "ram_bytes").value({"ram_bytes": {"arena": 5, "stack": 2}})
        7
        """
        found = metrics.get(self.metric)
        if isinstance(found, Mapping) and "value" in found:
            found = found["value"]
        if isinstance(found, Mapping):
            return sum(v for v in found.values() if isinstance(v, (int, float)) and not isinstance(v, bool))
        return found if isinstance(found, (int, float)) else None


@dataclass(frozen=True)
class TargetInfo:
    """Frozen description of a target.

    Args:
        name: as in ``--target``.
        title: for tables: ``Coral Edge TPU``.
        summary: one sentence.
        io_types: input and output types that it runs, the preferred one first.
        floats: whether it runs operators in float, which a rescue may leave where 16 bits are not enough.
        float_operators: what it runs in float where that has no integer form, though it runs floats no further.
        loops: whether it runs the steps of an unrolled layer as one loop, for which they need the same scales.
        options: what a user can set.
        accelerator: placement name of the accelerator (``edgetpu``), or None; ``cpu`` otherwise.
        has_runtime: whether ``qedge.load`` runs its bundles in Python on the device.
        emulated: whether ``execute`` runs the device's own code here; without it the CPU twin runs.
        columns: figures for the tables of ``qedge build`` and the report.
        on_device: what a person does with a bundle that Python does not run there, as a hint.
        next_step: the command to type once a bundle is built, and what comes behind it; ``{bundle}`` is its folder.
        is_default: whether it is built for where nobody names a target.
        aliases: other names that people have for it, each with the options that it stands for:
            ``{"pico2": {"board": "pico2"}}``.
    """

    name: str
    title: str
    summary: str
    io_types: tuple[str, ...] = ("int8", "uint8", "float32")
    floats: bool = False
    float_operators: tuple[str, ...] = ()
    loops: bool = False
    options: tuple[Option, ...] = ()
    accelerator: str | None = None
    has_runtime: bool = True
    emulated: bool = False
    columns: tuple[Column, ...] = ()
    on_device: str = "use the files in the bundle"
    next_step: str = "qedge verify {bundle}"
    is_default: bool = False
    aliases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def leaves(self, operators: Iterable[str]) -> bool:
        """Return whether it runs these operators in float, in a model that is of integers otherwise."""
        return self.floats or set(operators) <= set(self.float_operators)
