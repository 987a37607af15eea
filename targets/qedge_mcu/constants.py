"""The constant arrays of a program: equal ones are stored once."""

from __future__ import annotations

import hashlib
import re

import numpy as np

from qedge_mcu.c_text import EXTERN_BEGIN, EXTERN_END, USER_CONFIG, banner, values_text
from qedge_mcu.ops.base import ConstArray
from qedge_mcu.program import Program, Step
from qedge_mcu.structs import C_TYPES


class Constants:
    """All constant arrays of the program, equal ones once, in the order of their first use."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.arrays: dict[str, tuple[ConstArray, str]] = {}
        self.by_contents: dict[str, str] = {}
        self.names: dict[tuple[int, str], str] = {}
        self.model_bytes = 0
        for i, step in enumerate(program.steps):
            for array in step.emitted.arrays:
                self.names[i, array.name] = self._add(f"op{i}_{array.name}", array, step)
            for t in step.op.inputs:
                tensor = program.graph.tensors[t] if t >= 0 else None
                if (
                    tensor is not None
                    and tensor.is_constant
                    and {f"{{in{step.op.inputs.index(t)}}}", "{ins}"} & placeholders(step)
                ):
                    assert tensor.data is not None
                    values = tensor.data.reshape(-1)
                    array = ConstArray(f"tensor{t}", values, "weights")
                    self.names[-1, str(t)] = self._add(f"tensor{t}", array, step)
            for state in step.emitted.states:
                if state.contents and (-2, state.name) not in self.names:
                    array = ConstArray(state.name, np.frombuffer(state.contents, np.int8), "weights")
                    self.names[-2, state.name] = self._add(f"initial_{state.name}", array, step)

    def _add(self, name: str, array: ConstArray, step: Step) -> str:
        values = np.ascontiguousarray(array.values)
        key = hashlib.sha256(repr((values.dtype.str, values.size)).encode() + values.tobytes()).hexdigest()
        if key not in self.by_contents:
            full = f"{self.program.name}_{name}"
            self.by_contents[key] = full
            self.arrays[full] = (array, step.op.label)
            if array.role != "other":
                self.model_bytes += values.nbytes - array.overhead
        return self.by_contents[key]

    @property
    def nbytes(self) -> int:
        """All constant arrays."""
        return sum(a.values.nbytes for a, _ in self.arrays.values())

    def header(self) -> str:
        """Return ``<model>_weights.h``."""
        name = self.program.name
        lines = [f"extern {_declaration(n, a)};" for n, (a, _) in self.arrays.items()]
        guard = f"{name.upper()}_WEIGHTS_H"
        return (
            banner(self.program, f"Constants of {name}.")
            + f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n\n"
            + USER_CONFIG
            + "#ifndef QE_WEIGHTS_ATTRIBUTE\n#define QE_WEIGHTS_ATTRIBUTE\n#endif\n\n"
            + EXTERN_BEGIN
            + "\n".join(lines)
            + "\n\n"
            + EXTERN_END
            + "\n#endif\n"
        )

    def source(self) -> str:
        """Return ``<model>_weights.c``."""
        name = self.program.name
        parts = [banner(self.program, f"Constants of {name}."), f'#include "{name}_weights.h"\n']
        for n, (array, label) in self.arrays.items():
            declaration = _declaration(n, array)
            parts.append(
                f"/* {label}: {array.name} */\n{declaration} = {{\n{values_text(array.values)}\n}};\n"
            )
        return "\n".join(parts)


def _declaration(name: str, array: ConstArray) -> str:
    ctype = C_TYPES[str(array.values.dtype)]
    align = f" __attribute__((aligned({array.align})))" if array.align > array.values.dtype.itemsize else ""
    return f"const {ctype} {name}[{array.values.size}]{align} QE_WEIGHTS_ATTRIBUTE"


def placeholders(step: Step) -> set[str]:
    """Return the placeholders of a call's arguments: ``{in0}``, ``{scratch}``."""
    return set(re.findall(r"\{[a-z0-9_:]+\}", " ".join(step.emitted.args)))
