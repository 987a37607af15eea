"""Stand-in for ``edgetpu_compiler`` 16: its command line, its log, and models for the stand-in device.

Its mapping is its own and crude: operators of a fixed list on 8 bits, in versions that were seen mapped, with at most
three dimensions above 1; from the first of them on, every one that needs nothing from an operator that is
none. ``EDGETPU_DOUBLE_CPU`` names operators to leave to the CPU, ``EDGETPU_DOUBLE_COMPILER`` a way to fail:
``crash``, ``large``, ``slow``, ``hang``, ``silent`` (success without a file), ``unquantised``, ``unparsed`` or
``parts`` (only where all parts are to be compiled).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import package

from qedge.graph import Graph, Operator

VERSION = "16.0.384591198"
# fmt: off
MAPPED = {
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED",
    "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PAD", "PRELU", "QUANTIZE", "RELU",
    "RELU6", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SOFTMAX", "SPLIT", "SQUEEZE",
    "STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE",
}
# fmt: on
FAILURES = {
    "large": "ERROR: Restored original execution plan after delegate application failure.\n"
    "Compilation failed: Compilation failed due to large activation tensors in model.\n"
    "Compilation child process completed within timeout period.\nCompilation failed! ",
    "crash": "Internal compiler error. Aborting!",
    "slow": "Compilation child process completed within timeout period.\nCompilation failed! ",
    "unquantised": "Invalid model: {name}\nModel not quantized",
    "unparsed": "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '6'\n"
    "ERROR: Registration failed.\n\nInvalid model: {name}\nModel could not be parsed",
}


def size(count: int) -> str:
    """Return a number of bytes as the compiler prints it."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.2f}{unit}"
    return f"{count:.2f}B"


def main() -> int:
    """Compile the models on the command line."""
    parser = argparse.ArgumentParser(prog="edgetpu_compiler")
    parser.add_argument("-v", "--version", action="store_true")
    parser.add_argument("-s", "--show_operations", action="store_true")
    parser.add_argument("-a", "--enable_multiple_subgraphs", action="store_true")
    parser.add_argument("-d", "--search_delegate", action="store_true")
    parser.add_argument("-i", "--intermediate_tensors")
    parser.add_argument("-t", "--timeout_sec", type=int, default=180)
    parser.add_argument("-n", "--num_segments", type=int, default=1)
    parser.add_argument("-o", "--out_dir", default=".")
    parser.add_argument("models", nargs="*")
    given = parser.parse_args()
    print(f"Edge TPU Compiler version {VERSION}")
    if given.version:
        return 0
    print(f"Started a compilation timeout timer of {given.timeout_sec} seconds.", flush=True)
    how = os.environ.get("EDGETPU_DOUBLE_COMPILER", "")
    if how == "hang":
        time.sleep(600)
    if how == "parts" and given.enable_multiple_subgraphs:
        how = "crash"
    if how in FAILURES:
        print(FAILURES[how].format(name=given.models[0]))
        return 1
    for name in given.models:
        source = Path(name)
        data = source.read_bytes()
        for part, stem in segments(data, source.stem, given.num_segments):
            every = given.enable_multiple_subgraphs
            compile_one(part, stem, Path(given.out_dir), given.show_operations, how == "silent", every)
    print("Compilation child process completed within timeout period.\nCompilation succeeded! ")
    return 0


def segments(data: bytes, stem: str, count: int) -> list[tuple[bytes, str]]:
    """Return the model in ``count`` parts of about the same number of operators, with their file stems."""
    if count == 1:
        return [(data, stem)]
    graph = Graph.from_bytes(data)
    total = len(graph.operators)
    found = []
    for k in range(count):
        members = list(range(k * total // count, (k + 1) * total // count))
        made = {t for i in members for t in graph.operators[i].outputs}
        read = dict.fromkeys(t for i in members for t in graph.operators[i].inputs if t >= 0)
        inputs = [t for t in read if t not in made and not graph.tensors[t].is_constant]
        later = {t for i in range(members[-1] + 1, total) for t in graph.operators[i].inputs}
        outputs = [t for t in made if t in later or t in graph.outputs]
        found.append((package.cut(data, members, inputs, outputs), f"{stem}_segment_{k}_of_{count}"))
    return found


def takes(graph: Graph, op: Operator) -> bool:
    """Whether an operator could be mapped by itself."""
    if op.op not in MAPPED or (op.op == "ADD" and op.version > 3):
        return False
    values = [t for t in (*graph.input_tensors(op), *graph.output_tensors(op)) if t is not None]
    moved = [t for t in values if not t.is_constant]
    wide = any(d > 1 for t in moved for d in t.shape[:-3])
    rows = op.op in ("SOFTMAX", "FULLY_CONNECTED") and any(
        d > 1 for d in graph.output_tensors(op)[0].shape[:-1]
    )
    return all(t.dtype in ("int8", "uint8") for t in moved) and not wide and not rows


def first_part(graph: Graph, kinds: list[bool]) -> list[int]:
    """Return the operators of the first part: all that need nothing from one of the others that comes late."""
    late: set[int] = set()
    members: list[int] = []
    started = False
    for op, kind in zip(graph, kinds):
        waits = any(t in late for t in op.inputs)
        if kind and not waits:
            members.append(op.index)
            started = True
        elif started or waits:
            late.update(op.outputs)
    return members


def kinds_of(graph: Graph) -> list[bool]:
    """Return for each operator whether it could be mapped by itself."""
    left = set(os.environ.get("EDGETPU_DOUBLE_CPU", "").split(","))
    return [op.op not in left and takes(graph, op) for op in graph]


def further_parts(result: bytes) -> tuple[bytes, int, int]:
    """Return the model with all its other parts folded too, how many those are, and how many operators they have."""
    parts = operators = 0
    while members := first_part(graph := Graph.from_bytes(result), kinds_of(graph)):
        result = package.fold(result, members)
        parts, operators = parts + 1, operators + len(members)
    return result, parts, operators


def compile_one(data: bytes, stem: str, folder: Path, table: bool, silent: bool, every: bool) -> None:
    """Write one compiled model and print its log."""
    graph = Graph.from_bytes(data)
    kinds = kinds_of(graph)
    members = first_part(graph, kinds)
    result = package.fold(data, members) if members else data
    result, parts, further = further_parts(result) if every else (result, 0, 0)
    if not silent:
        (folder / f"{stem}_edgetpu.tflite").write_bytes(result)
    print(f"\nModel compiled successfully in {len(kinds)} ms.\n")
    print(f"Input model: {stem}.tflite\nInput size: {size(len(data))}")
    print(f"Output model: {stem}_edgetpu.tflite\nOutput size: {size(len(result))}")
    print(f"On-chip memory used for caching model parameters: {size(0)}")
    print(f"On-chip memory remaining for caching model parameters: {size(7 << 20)}")
    print(f"Off-chip memory used for streaming uncached model parameters: {size(len(data))}")
    print(f"Number of Edge TPU subgraphs: {parts + (1 if members else 0)}")
    print(f"Total number of operations: {len(kinds)}\nOperation log: {stem}_edgetpu.log")
    if (mapped := len(members) + further) < len(kinds):
        print("\nModel successfully compiled but not all operations are supported by the Edge TPU.")
        print(f"Number of operations that will run on Edge TPU: {mapped}")
        print(f"Number of operations that will run on CPU: {len(kinds) - mapped}")
    if table:
        print("\nOperator                       Count      Status\n")
        rows: dict[tuple[str, str], int] = {}
        for op in graph:
            status = "Mapped to Edge TPU" if op.index in members else "Operation not supported"
            if every and kinds[op.index]:
                status = "Mapped to Edge TPU"
            elif op.index not in members and kinds[op.index]:
                status = "More than one subgraph is not supported"
            rows[op.op, status] = rows.get((op.op, status), 0) + 1
        for (name, status), count in rows.items():
            print(f"{name:<30} {count:<10} {status}")


if __name__ == "__main__":
    sys.exit(main())
