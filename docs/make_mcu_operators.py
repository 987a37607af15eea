"""Writes ``docs/mcu_operators.md`` from the docstrings of the operator modules.

Run ``python docs/make_mcu_operators.py`` in the project's folder after a change to ``targets/qedge_mcu/ops``; a test
compares the page with what this would write.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "mcu_operators.md"

HEAD = """\
# Operators of the microcontroller export

Written by `python docs/make_mcu_operators.py` from `targets/qedge_mcu/ops`: do not edit.

Every operator gives the bytes of TFLite Micro (the `tflite-micro` package, which rounds twice when it
requantises), on this machine with sanitizers and on an emulated Cortex-M4, in every case of its table in
`tests/ops/cases`. A model with anything else is refused with all that stands in the way, exit code 4.
Batch is 1 unless the operator says otherwise. Functions of one int8 value are tables. What TFLite Micro lacks
(EXP, LOG, GELU and other tables, TILE, slices and turns of many dimensions, the padding of SPACE_TO_BATCH_ND) is
verified in operators that it has.

| operator | what runs | refused, besides other types |
|---|---|---|
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")


def page() -> str:
    """Return the page's text."""
    from qedge_mcu.ops import operators, operators_float32, operators_int16, operators_int32

    others = {"int16": operators_int16(), "int32": operators_int32(), "float32": operators_float32()}
    tables = (("", operators()), *((f" ({dtype})", found) for dtype, found in others.items()))
    rows = []
    for name, module in ((f"{n}{kind}", m) for kind, found in tables for n, m in found.items()):
        what = (
            (inspect.getdoc(module) or "").split("\n\n")[0].partition(": ")[2].replace("\n", " ").rstrip(".")
        )
        refused = (inspect.getdoc(module.check) or "").split("\n\n")[0].partition(": ")[2].replace("\n", " ")
        limits = ", ".join(x for x in refused.rstrip(".").split(", ") if x != "types") or "nothing"
        rows.append(f"| {name} | {what} | {limits} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.path[:0] = [str(PROJECT), str(PROJECT / "targets")]
    main()
