"""What in a Keras file is code rather than data, found in its configuration; nothing is loaded."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qedge.frontends._tensorflow import EXPORT_HINT
from qedge.frontends.protocol import Refusal, require
from qedge.frontends.trust import Hazard

LARGEST_CONFIG = 256 << 20
"""Bytes of a configuration; that of a model of a thousand layers has one million."""
DEEPEST = 200
"""Levels that a configuration may nest; models within models take about six each."""
_MOST_STORED = 64 << 30
_OWN_MODULES = ("keras", "tf_keras", "builtins", "tensorflow.keras")
_RUNS = {
    "Lambda": "holds Python code",
    "__lambda__": "holds Python code",
    "TorchModuleWrapper": "holds a pickled PyTorch module, which runs code when it is read",
    "TFSMLayer": "loads another SavedModel from a path",
    "JaxLayer": "holds serialised code",
    "FlaxLayer": "holds serialised code",
}
_LAMBDA_OUT = f"replace the Lambda by a layer, or {EXPORT_HINT}"
_LOOKUPS = ("StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup")


def find(path: Path) -> list[Hazard]:
    """Return what would run, or reach other files, when Keras loads this file.

    Raises:
        Refusal: its configuration cannot be read, or it says more than a file of its size can hold.
    """
    if zipfile.is_zipfile(path):
        return _in_config(_loaded(_archived(path)))
    return _in_hdf5(path)


def in_text(text: str) -> list[Hazard]:
    """Return the hazards of a configuration in JSON.

    Raises:
        Refusal: it is no JSON.
    """
    return _in_config(_parse(text))


def _archived(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("config.json").file_size
        if size > LARGEST_CONFIG:
            raise Refusal(f"its config.json has {size} bytes, expected at most {LARGEST_CONFIG}")
        return _parse(archive.read("config.json").decode("utf-8", "replace"))


def _loaded(config: Any) -> Any:
    """Return what of a file's configuration is loaded: how the model was compiled is not (losses, metrics, optimiser).

    Models within it are compiled when they are loaded; theirs stays.
    """
    return (
        {k: v for k, v in config.items() if k != "compile_config"} if isinstance(config, Mapping) else config
    )


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(
            f"its configuration is no JSON ({type(error).__name__})",
            "save or copy it again; it may be damaged",
        ) from error


def _in_hdf5(path: Path) -> list[Hazard]:
    h5py = require("h5py", "h5py")
    hazards: list[Hazard] = []
    try:
        with h5py.File(path, "r") as file:
            hazards += _outside(h5py, file, path.stat().st_size)
            config = file.attrs.get("model_config")
            if isinstance(config, bytes):
                config = config.decode("utf-8", "replace")
            if isinstance(config, str):
                if len(config) > LARGEST_CONFIG:
                    raise Refusal(f"its configuration has {len(config)} characters")
                hazards += in_text(config)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise Refusal(f"the file is damaged or truncated ({error})", "save or copy it again") from error
    return hazards


def _outside(h5py: Any, file: Any, size: int) -> list[Hazard]:
    """Return links and data that lie in other files; refuse data larger than any file of this size holds."""
    found: list[Hazard] = []
    stored, waiting, seen = 0, [file], set()
    while waiting:
        group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                found.append(Hazard(f"{group.name}/{name} is a link to another file, {link.filename!r}"))
                continue
            if isinstance(link, h5py.SoftLink):
                continue
            item = group.get(name)
            place = h5py.h5o.get_info(item.id).addr
            if place in seen:
                continue
            seen.add(place)
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                stored += int(item.size or 0) * int(item.dtype.itemsize)
                if item.external:
                    found.append(Hazard(f"{item.name} lies in another file, {item.external[0][0]!r}"))
                if item.is_virtual:
                    found.append(Hazard(f"{item.name} is put together from other files"))
    if stored > max(1 << 30, 64 * size) or stored > _MOST_STORED:
        raise Refusal(
            f"it declares {stored} bytes of weights in a file of {size}",
            "save or copy it again; it may be damaged",
        )
    return found


def _in_config(config: Any) -> list[Hazard]:
    return list(dict.fromkeys(hazard for name, node in _objects(config) for hazard in _judge(name, node)))


def _objects(config: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give every object of a configuration with the name of the layer that it is or belongs to."""
    waiting: list[tuple[str, Any, int]] = [("", config, 0)]
    while waiting:
        layer, node, depth = waiting.pop()
        if depth > DEEPEST:
            raise Refusal(f"its configuration nests more than {DEEPEST} levels", "save or copy it again")
        if isinstance(node, Mapping):
            inner = node.get("config")
            if "class_name" in node:
                named = inner.get("name") if isinstance(inner, Mapping) else None
                layer = str(named or node.get("name") or layer)
                yield layer, node
            waiting += [(layer, value, depth + 1) for value in node.values()]
        elif isinstance(node, list):
            waiting += [(layer, value, depth + 1) for value in node]


def _judge(layer: str, node: Mapping[str, Any]) -> Iterator[Hazard]:
    kind, config = str(node["class_name"]), node.get("config")
    if kind in _RUNS:
        named = f"the {kind.strip('_')} layer {layer!r}" if layer else f"a {kind.strip('_')}"
        yield Hazard(f"{named} {_RUNS[kind]}", _LAMBDA_OUT if "ambda" in kind else EXPORT_HINT)
        return
    module, registered = node.get("module"), node.get("registered_name")
    own = isinstance(module, str) and any(module == m or module.startswith(f"{m}.") for m in _OWN_MODULES)
    if isinstance(module, str) and not own:
        yield Hazard(
            f"the layer {layer!r} uses {kind!r} of the module {module!r}, which would be imported",
            EXPORT_HINT,
        )
    elif not own and isinstance(registered, str):
        raise Refusal(
            f"the layer {layer!r} uses the custom object {registered!r}, whose code is not in the file",
            EXPORT_HINT,
        )
    if kind in _LOOKUPS and isinstance(config, Mapping) and isinstance(config.get("vocabulary"), str):
        yield Hazard(f"the layer {layer!r} reads its vocabulary from the file {config['vocabulary']!r}")
