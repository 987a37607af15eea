"""What in an exported program of PyTorch would run: pickles that do more than build tensors, and compiled libraries.

Nothing is loaded.
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import warnings
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
_ZIP = b"PK\x03\x04"
"""By these bytes PyTorch tells an archive; whatever begins otherwise is unpickled."""
_STORAGE = re.compile(r"[^/]+/data/\d+")
MOST_BYTES = 64 << 20
"""Bytes of a pickle, without its tensors, that are looked through; example inputs and constants have few."""


def find(path: Path) -> list[Hazard]:
    """Return the compiled libraries, and the names that pickles would import beyond those that build tensors."""
    hazards = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if "aotinductor/" in name:
                hazards.append(Hazard(f"{name} is compiled code, which is loaded with the program", _WAY_OUT))
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
            if head == _ZIP and not prefix:
                inner = io.BytesIO(head + stream.read())
                try:
                    with zipfile.ZipFile(inner) as nested:
                        yield from _pickles(nested, f"{info.filename}/")
                except zip_faults():
                    yield info.filename, b""
            elif head and (_in_saved if prefix else _in_program)(info.filename, head):
                yield f"{prefix}{info.filename}", head + stream.read(MOST_BYTES)


def _in_program(name: str, head: bytes) -> bool:
    """Return whether PyTorch may unpickle a member of a program: it does so with whatever is no archive."""
    stored = ("/weights/" in name or "/constants/" in name) and not name.endswith(".json")
    return stored or head[:1] == b"\x80" or name.endswith((".pkl", ".pickle", ".pt", ".pth"))


def _in_saved(name: str, head: bytes) -> bool:
    """Return whether PyTorch may unpickle a member of what ``torch.save`` wrote; numbered ones are bare numbers."""
    return name.endswith((".pkl", ".pickle")) or (head[:1] == b"\x80" and not _STORAGE.fullmatch(name))


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


def _imports(data: bytes) -> list[str]:
    """Return the names that pickles one after the other would import and that do not build tensors."""
    found: list[str] = []
    stream = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in strings that nobody meant as such
            found.extend(_named(stream))
            while stream.tell() < len(data):  # before there were archives, torch.save wrote five
                found.extend(_named(stream))
    except (ValueError, IndexError, EOFError, UnicodeDecodeError, OverflowError) as error:
        found.append(f"what cannot be read ({type(error).__name__})")
    return list(dict.fromkeys(found))


def _named(stream: io.BytesIO) -> Iterator[str]:
    """Give the names that the next pickle would import and that do not build tensors."""
    strings: list[str] = []
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            module, _, attribute = str(argument).partition(" ")
            if not _is_known(module, attribute):
                yield f"{module}.{attribute}"
        elif name == "STACK_GLOBAL":
            if len(strings) < 2 or not _is_known(strings[-2], strings[-1]):
                yield ".".join(strings[-2:]) or "something"
        elif name in ("EXT1", "EXT2", "EXT4"):
            yield "an extension code"
        elif "UNICODE" in name or "STRING" in name:
            strings.append(str(argument))
        elif name not in ("MEMOIZE", "BINPUT", "PUT", "LONG_BINPUT"):
            strings.clear()


def _is_known(module: str, name: str) -> bool:
    if (module, name) in _BUILDS:
        return True
    plain = module in ("torch", "torch.storage") and name.replace("Storage", "").isalnum()
    return plain and any(kind in name for kind in _TYPES) and "load" not in name.lower()
