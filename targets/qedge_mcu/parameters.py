"""The parameter structs of all calls: equal ones are stored once, those of a loop as a table where they differ."""

from __future__ import annotations

from collections.abc import Sequence

from qedge_mcu.c_text import literal
from qedge_mcu.constants import Constants
from qedge_mcu.ops.base import Params, Ref, Value
from qedge_mcu.program import Program
from qedge_mcu.structs import structs


class Parameters:
    """Structs by their contents, in the order of their first use; each use returns the address as C.

    Where a struct is passed by value, each use returns its members as arguments, and only a loop's table is stored.
    """

    def __init__(self, program: Program, constants: Constants) -> None:
        self.program, self.constants = program, constants
        self.names: dict[tuple[str, tuple[str, ...]], str] = {}
        self.labels: dict[str, str] = {}
        self.nbytes = 0

    def single(self, step: int) -> str:
        """Return the address of the parameters of one call; nothing where it has none."""
        return self._arguments(step) or self._name([step])

    def table(self, steps: Sequence[int]) -> str:
        """Return the address of the parameters of round ``k`` of a loop."""
        if len({self._contents(step) for step in steps}) == 1:
            return self.single(steps[0])
        if self._arguments(steps[0]):
            return self._arguments(steps[0], f"{self._name(steps).removeprefix('&')}[k].")
        return f"{self._name(steps)}[k]"

    def source(self) -> str:
        """Return the definitions."""
        parts = []
        for (kind, texts), name in self.names.items():
            size = f"[{len(texts)}]" if len(texts) > 1 else ""
            contents = f"{{\n{texts[0]}\n}}"
            if size:
                contents = "{\n" + "\n".join(f"{{\n{text}\n}}," for text in texts) + "\n}"
            parts.append(f"/* {self.labels[name]} */\nstatic const {kind} {name}{size} = {contents};\n")
        return "\n".join(parts)

    def _name(self, steps: Sequence[int]) -> str:
        found = [self.program.steps[i].emitted.params for i in steps]
        params = found[0]
        if params is None:
            return ""
        key = params.type, tuple(self._contents(i) for i in steps)
        if key not in self.names:
            self.names[key] = f"op{steps[0]}"
            self.labels[f"op{steps[0]}"] = self.program.steps[steps[0]].op.label
            self.nbytes += structs()[params.type].nbytes * len(steps)
        return f"&{self.names[key]}"

    def _arguments(self, step: int, owner: str = "") -> str:
        """Return the members of a struct passed by value, as literals or as those of ``owner``; else nothing."""
        params = self.program.steps[step].emitted.params
        if params is None or not structs()[params.type].by_value:
            return ""
        values = [owner + name if owner else self._member(step, value) for name, value in params.members]
        return structs()[params.type].arguments(values)

    def _contents(self, step: int) -> str:
        params = self.program.steps[step].emitted.params
        return "" if params is None else self._members(params, step)

    def _members(self, params: Params, step: int) -> str:
        return "\n".join(f"    /* {name} */ {self._member(step, value)}," for name, value in params.members)

    def _member(self, step: int, value: Value) -> str:
        if isinstance(value, Ref):
            return self.constants.names[step, value.name]
        if value is None:
            return "NULL"
        if isinstance(value, tuple):
            return "{" + ", ".join(str(v) for v in value) + "}"
        if isinstance(value, float):
            return literal(value)
        if value == -(1 << 31):
            return "INT32_MIN"
        return str(value)
