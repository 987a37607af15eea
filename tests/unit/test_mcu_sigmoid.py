"""LOGISTIC and TANH without a table: numbers found at build time, and the kernel that computes with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qedge.graph import Graph
from qedge.testing.opmodels import Spec, single_op
from qedge_mcu.cores import core
from qedge_mcu.emit import emit
from qedge_mcu.library import Library, describe
from qedge_mcu.ops.logistic import FEW, _line, _value
from qedge_mcu.program import Program, build

OUTPUTS = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}


def program(op: str, values: int, name: str, scale: float = 0.05, zero: int = -28) -> Program:
    data = single_op(op, [Spec((1, values), "int8", scale, zero)], [Spec((1, values), "int8", *OUTPUTS[op])])
    return build(Graph.from_bytes(data), core(name), "model", tries=0)


def kernel(op: str, values: int, name: str) -> str:
    (step,) = program(op, values, name).steps
    return step.emitted.function


@pytest.mark.parametrize("is_logistic", [True, False])
def test_numbers_are_found_for_every_order_of_magnitude(is_logistic: bool) -> None:
    rng = np.random.default_rng(7)
    for scale in np.exp(rng.uniform(np.log(0.002), np.log(0.16), 12)).astype(np.float32):
        assert _line(is_logistic, float(scale), int(rng.integers(-128, 128))) is not None


def test_what_32_bits_do_not_hold_is_a_table() -> None:
    assert _line(True, 3.0, 0) is None
    (step,) = program("LOGISTIC", 8, "cortex-m4", 3.0).steps
    assert step.emitted.function == "qe_lookup_s8"


def test_many_values_and_cores_that_do_not_divide_have_a_table() -> None:
    assert kernel("TANH", FEW, "cortex-m4") == kernel("LOGISTIC", 1, "riscv32") == "qe_sigmoid_s8"
    assert kernel("TANH", FEW + 1, "cortex-m4") == kernel("TANH", FEW, "cortex-m0plus") == "qe_lookup_s8"


@pytest.mark.parametrize("name", ["cortex-m3", "cortex-m4"])
@pytest.mark.parametrize("op", OUTPUTS)
def test_the_kernel_gives_every_value_of_the_table(op: str, name: str, tmp_path: Path) -> None:
    made = program(op, 64, name)
    generated = emit(made)
    assert "static const" not in generated.files["src/model.c"].decode()  # its parameters are arguments
    assert generated.constant_bytes == 0
    generated.write(tmp_path)
    codes = np.arange(-128, 128).astype(np.int8).reshape(4, 1, 64)
    found = Library(tmp_path, describe(made, generated.sources)).run([[part] for part in codes])
    values = np.clip([_value(op == "LOGISTIC", 0.05, -28, q) for q in range(-128, 128)], -128, 127)
    assert np.concatenate([outputs[0] for outputs in found]).tolist() == values.tolist()
