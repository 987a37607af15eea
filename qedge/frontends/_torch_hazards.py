"""What in an exported program of PyTorch would run: pickles that do more than build tensors. Nothing is loaded."""

from __future__ import annotations

import io
import json
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

from qedge.archives import zip_faults
from qedge.frontends.trust import Hazard

_WAY_OUT = "export the program again with tensors only, without example inputs or constants of other types"
_MODULES = (
    "torch",
    "torch.storage",
    "torch._utils",
    "torch._tensor",
    "torch.nn.parameter",
    "torch.serialization",
)
_BUILDS = frozenset(
    {("collections", "OrderedDict"), ("torch.serialization", "_get_layout")}
    | {
        ("torch._utils", name)
        for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter")
    }
    | {("torch._tensor", "_rebuild_from_type_v2"), ("torch.nn.parameter", "Parameter")}
    | {("torch.storage", name) for name in ("UntypedStorage", "TypedStorage")}
    | {("torch", name) for name in ("Size", "Tensor", "device")}
)
_TYPES = ("Storage", "float", "int", "bool", "double", "half", "bfloat", "uint", "long", "short", "complex")
MOST_BYTES = 64 << 20
"""Bytes of a pickle, without its tensors, that are looked through; example inputs and constants have few."""


def find(path: Path) -> list[Hazard]:
    """Return one hazard a name that a pickle in the archive would import, beyond those that build tensors."""
    hazards = []
    with zipfile.ZipFile(path) as archive:
        for member, data in _pickles(archive, ""):
            hazards += [
                Hazard(f"{member} holds a pickle that uses {name}", _WAY_OUT) for name in _imports(data)
            ]
    return list(dict.fromkeys(hazards))


def _pickles(archive: zipfile.ZipFile, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Yield the pickles of an archive and of the archives in it, with their place."""
    plain = _plain(archive)
    for info in archive.infolist():
        if info.filename.rpartition("/")[2] in plain and "/data/" in info.filename:
            continue
        with archive.open(info) as stream:
            head = stream.read(4)
            if head.startswith(b"PK") and not prefix:
                inner = io.BytesIO(head + stream.read())
                try:
                    with zipfile.ZipFile(inner) as nested:
                        yield from _pickles(nested, f"{info.filename}/")
                except zip_faults():
                    yield info.filename, b""
            elif head[:1] == b"\x80" or info.filename.endswith((".pkl", ".pickle")):
                yield f"{prefix}{info.filename}", head + stream.read(MOST_BYTES)
            elif not prefix and _holds_object(info.filename):
                yield info.filename, head + stream.read(MOST_BYTES)


def _plain(archive: zipfile.ZipFile) -> set[str]:
    """Return the names of members that PyTorch reads as bare numbers, by the archive's own lists."""
    plain: set[str] = set()
    pickled: set[str] = set()
    for info in archive.infolist():
        if not info.filename.endswith("_config.json") or info.file_size > MOST_BYTES:
            continue
        try:
            entries = json.loads(archive.read(info))["config"].values()
            for entry in entries:
                (pickled if entry["use_pickle"] is not False else plain).add(str(entry["path_name"]))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return set()
    return {name for name in plain - pickled if name.startswith(("weight_", "tensor_"))}


def _holds_object(name: str) -> bool:
    """Return whether a member is a constant that is no plain tensor."""
    return "/constants/" in name and not name.endswith(".json")


def _imports(data: bytes) -> list[str]:
    """Return the names that a pickle would import and that do not build tensors."""
    found: list[str] = []
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name in ("GLOBAL", "INST"):
                module, _, attribute = str(argument).partition(" ")
                found.append(f"{module}.{attribute}") if not _is_known(module, attribute) else None
            elif name == "STACK_GLOBAL":
                known = len(strings) >= 2 and _is_known(strings[-2], strings[-1])
                if not known:
                    found.append(".".join(strings[-2:]) or "something")
            elif name in ("EXT1", "EXT2", "EXT4"):
                found.append("an extension code")
            elif "UNICODE" in name or "STRING" in name:
                strings.append(str(argument))
            elif name not in ("MEMOIZE", "BINPUT", "PUT", "LONG_BINPUT"):
                strings.clear()
    except (ValueError, IndexError, EOFError, UnicodeDecodeError, OverflowError) as error:
        found.append(f"what cannot be read ({type(error).__name__})")
    return list(dict.fromkeys(found))


def _is_known(module: str, name: str) -> bool:
    if (module, name) in _BUILDS:
        return True
    plain = module in ("torch", "torch.storage") and name.replace("Storage", "").isalnum()
    return plain and any(kind in name for kind in _TYPES) and "load" not in name.lower()
