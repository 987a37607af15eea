"""The models of a server: by name and version, loaded, run, taken off and put back."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qedge.bundle import read_bundle
from qedge.errors import QedgeError, UsageError
from qedge.runtime import Model, load
from qedge.serve.metrics import Tally
from qedge.serve.streams import Streams
from qedge.serve.wire import DATATYPES, Wire, body_limit

Array = npt.NDArray[Any]
INLINE_MS = 1.0
"""A model that is quicker runs in the server's own thread: a hop to another one costs more than it does."""


class Busy(QedgeError):
    """A model whose queue is full: the client is to come back later."""


class Unloaded(QedgeError):
    """A model that was taken off while a request for it was on its way."""


class Place(NamedTuple):
    """One bundle as the command line names it: ``PATH``, ``NAME=PATH`` or ``NAME:VERSION=PATH``."""

    name: str
    version: str
    bundle: Path


class Served:
    """One model with its streams and its queue.

    Args:
        streams: inferences at the same time.
        queue: requests that may wait for one of them.
    """

    def __init__(self, place: Place, *, streams: int, queue: int, trusted: Path | None) -> None:
        self.place = place
        self._trusted = trusted
        self._limit = streams + queue
        self._count = streams
        self._streams: Streams[list[Array], list[Array]] | None = None
        self.tally = Tally()
        self.model: Model | None = None
        self.inline = False
        self.body_limit = 0
        self.wire = Wire(place.name, place.version, (), ())

    def load(self) -> None:
        """Load the bundle and warm it up; done already is well.

        Raises:
            QedgeError: the bundle cannot be loaded.
        """
        if self.model is not None:
            return
        model = load(self.place.bundle, threads=1, trusted=self._trusted, streams=self._count)
        model.warm_up(2)
        began = time.perf_counter()
        model.warm_up(3)
        self.inline = 1000 * (time.perf_counter() - began) / 3 < INLINE_MS
        self._streams = Streams(lambda inputs: model._run(inputs), self._count, f"qedge-{self.place.name}")
        self.body_limit = body_limit(model.inputs)
        self.wire = Wire(self.place.name, self.place.version, model.inputs, model.outputs)
        self.model = model

    def unload(self) -> None:
        """Take the model off; inferences at work end first."""
        model, streams, self.model, self._streams = self.model, self._streams, None, None
        if streams is not None:
            streams.close()
        if model is not None:
            model.close()

    def run_now(self, inputs: list[Array]) -> Sequence[Array]:
        """Return the outputs, worked out in this thread.

        Raises:
            Unloaded: the model is no longer there.
        """
        model = self.model
        if model is None:
            raise Unloaded(f"{self.place.name} was unloaded")
        return model._run(inputs)

    def submit(self, inputs: list[Array]) -> asyncio.Future[list[Array]]:
        """Return the outputs to come, worked out by one of the streams.

        Raises:
            Busy: too many wait already.
            Unloaded: the model is no longer there.
        """
        streams = self._streams
        if streams is None:
            raise Unloaded(f"{self.place.name} was unloaded")
        if streams.waiting >= self._limit:
            raise Busy(f"{self.place.name}: {streams.waiting} requests wait already", hint="try again later")
        return streams.submit(inputs)

    @property
    def waiting(self) -> int:
        """How many requests wait or run now."""
        return 0 if self._streams is None else self._streams.waiting

    def metadata(self, versions: Sequence[str]) -> dict[str, Any]:
        """Return what the protocol says of a model, with scale and zero point of its tensors as parameters."""
        model = self.model
        assert model is not None
        return {
            "name": self.place.name,
            "versions": list(versions),
            "platform": f"qedge_{model.target}",
            "inputs": [_tensor(spec) for spec in model.inputs],
            "outputs": [_tensor(spec) for spec in model.outputs],
            "parameters": {**model.provenance, "labels": list(model.labels)},
        }


class Models:
    """All models of a server."""

    def __init__(
        self, places: Sequence[Place], *, streams: int = 1, queue: int = 64, trusted: Path | None = None
    ) -> None:
        self.all: dict[str, dict[str, Served]] = {}
        for place in places:
            versions = self.all.setdefault(place.name, {})
            if place.version in versions:
                raise UsageError(
                    f"{place.name}:{place.version} is named twice",
                    hint="NAME:VERSION=BUNDLE tells them apart",
                )
            versions[place.version] = Served(place, streams=streams, queue=queue, trusted=trusted)

    def load(self) -> None:
        """Load every model.

        Raises:
            QedgeError: one cannot be loaded.
        """
        for served in self:
            served.load()

    def close(self) -> None:
        """Take all models off."""
        for served in self:
            served.unload()

    def __iter__(self) -> Any:
        return (served for versions in self.all.values() for served in versions.values())

    def find(self, name: str, version: str | None = None) -> Served | None:
        """Return a model that is loaded: of no version the newest that is; None where there is none."""
        versions = self.all.get(name, {})
        if version is not None:
            served = versions.get(version)
            return served if served is not None and served.model is not None else None
        loaded = [v for v, served in versions.items() if served.model is not None]
        return versions[max(loaded, key=_order)] if loaded else None

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model that are loaded, oldest first."""
        loaded = (v for v, served in self.all.get(name, {}).items() if served.model is not None)
        return sorted(loaded, key=_order)

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Return name, version and state of all models; with ``ready`` of those that are loaded."""
        rows = []
        for served in self:
            state = "READY" if served.model is not None else "UNAVAILABLE"
            if state == "READY" or not ready:
                reason = "" if state == "READY" else "unloaded"
                row = {"name": served.place.name, "version": served.place.version}
                rows.append({**row, "state": state, "reason": reason})
        return rows


def parse_places(words: Sequence[str]) -> list[Place]:
    """Return the bundles that a command line names; models of one name get the versions 1, 2 ... in order.

    Raises:
        UsageError: a word without a path, or a name that a URL cannot hold.
        DataError, IntegrityError: no bundle there.
    """
    found: list[Place] = []
    for word in words:
        label, separator, path = word.partition("=")
        if not separator or os.path.exists(word):
            label, path = "", word
        name, _, version = label.partition(":")
        if not name:
            with read_bundle(path) as bundle:
                name = bundle.manifest.name
        version = version or str(1 + sum(place.name == name for place in found))
        for part in (name, version):
            if not part or not all(c.isalnum() or c in "_-." for c in part):
                raise UsageError(f"{word}: found {part!r}, expected letters, digits, '_', '-' and '.'")
        found.append(Place(name, version, Path(path)))
    return found


def _order(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (-1, version)


def _tensor(spec: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": spec.name,
        "datatype": DATATYPES[spec.dtype],
        "shape": list(spec.shape),
    }
    if spec.scale is not None:
        entry["parameters"] = {"scale": np.float32(spec.scale).item(), "zero_point": spec.zero_point}
    return entry
