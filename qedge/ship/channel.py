"""A channel: a small signed file in a registry that names the version to follow.

A tag says what the registry wants; a channel says what who signs wants. Its number rises with each version, so that
whoever holds the registry can neither name a version that was never released, nor go back to one that was. (That they
keep giving the last one, a device cannot tell from silence; its figure ``qedge_channel_number`` tells a person.)
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from qedge.bundle import canonical
from qedge.bundle.manifest import MAX_SIGNATURE_BYTES
from qedge.errors import DataError, IntegrityError, UsageError
from qedge.fields import Field
from qedge.ship.artefacts import (
    document_of,
    get_blob,
    get_manifest,
    named_blob,
    put_file,
    put_manifest,
)
from qedge.ship.http import Registry
from qedge.ship.oci import check_released, resolve
from qedge.ship.reference import Reference
from qedge.trust import keygen
from qedge.trust.signature import MAX_SERIAL

ARTIFACT = "application/vnd.qedge.channel.v1"
FILE_NAME = "channel.json"
FORMAT, VERSION = "qedge-channel", 1
NAMESPACE = "qedge-channel"
"""Of the signature: one of a bundle is none of a channel."""


class Channel(NamedTuple):
    """What a channel says.

    Args:
        repository: of the bundles, as the registry names it: ``team/kws``.
        name: of the channel, its tag: ``stable``.
        number: 1 to 2**53 - 1; a device never follows one below the last that it saw.
        digest: of the version's OCI manifest, ``sha256:`` and 64 digits.
        armoured: OpenSSH's signature of :attr:`message`.
        signer: whose key made it; None until :func:`read_channel` has proven it.
    """

    repository: str
    name: str
    number: int
    digest: str
    armoured: str = ""
    signer: str | None = None

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return canonical.dumps({**self.to_json(), "format": FORMAT, "version": VERSION}).encode()

    def encoded(self) -> bytes:
        """Return the bytes of ``channel.json``."""
        document = {"format": FORMAT, "version": VERSION, **self.to_json(), "signature": self.armoured}
        return (json.dumps(document, indent=2) + "\n").encode()

    @classmethod
    def decoded(cls, data: bytes, origin: str) -> Channel:
        """Return the channel in ``data``, unproven.

        Raises:
            IntegrityError: no JSON, another format, or a wrong field.
        """
        document = canonical.document(data, origin, IntegrityError)
        root = Field(document, f"{origin}: $", IntegrityError).object(
            ("format", "version", "repository", "name", "number", "digest", "signature")
        )
        root["format"].string((FORMAT,))
        root["version"].integer(VERSION, VERSION)
        # named as a manifest names a blob, so that the digest is held to its form
        named = {"digest": root["digest"].value, "size": 0}
        digest = named_blob(Field(named, root.path, IntegrityError), 0).digest
        return cls(
            root["repository"].string(),
            root["name"].string(),
            root["number"].integer(1, MAX_SERIAL),
            digest,
            root["signature"].string(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what is signed, and what a device remembers: repository, name, number, digest."""
        return {
            "repository": self.repository,
            "name": self.name,
            "number": self.number,
            "digest": self.digest,
        }


def set_channel(
    reference: str, version: str, key: str | os.PathLike[str], *, number: int | None = None
) -> Channel:
    """Have a channel name a version, signed; return what it says now.

    Args:
        reference: of the channel, ``oci://host/name:channel``.
        version: of a bundle in the same repository.
        key: OpenSSH private key, or the ``.pub`` of one that an agent or a hardware token holds.
        number: None takes the one after the channel's own.

    Raises:
        UsageError: no such key, two repositories, or a number that does not rise.
        DataError: no such version in the registry.
        ToolError: no registry there, or it refuses; ``ssh-keygen`` is missing.
    """
    place, bundle = _place(reference), Reference.parse(version)
    if (bundle.host, bundle.name) != (place.host, place.name):
        raise UsageError(
            f"{version}: found another repository than {place.host}/{place.name}",
            hint="a channel names versions of its own repository: qedge push there",
        )
    with Registry(place) as registry:
        before = _fetched(registry, place)
        least = 1 if before is None else before.number + 1
        if number is not None and not least <= number <= MAX_SERIAL:
            raise UsageError(f"number: found {number}, expected an integer from {least} to {MAX_SERIAL}")
        digest = bundle.digest or resolve(version)
        check_released(str(bundle.at(digest)))
        unsigned = Channel(place.name, place.tag or "", number or least, digest)
        channel = unsigned._replace(armoured=keygen.sign(unsigned.message, key, NAMESPACE))
        put_manifest(registry, put_file(registry, ARTIFACT, FILE_NAME, channel.encoded()), channel.name)
    return channel


def read_channel(reference: str, trusted: str | os.PathLike[str], *, last: Channel | None = None) -> Channel:
    """Return what a channel says, once it is proven.

    Args:
        trusted: public keys, as for ``qedge.load``.
        last: what it said when it was last read: it does not go back behind that. Another channel's word, by
            repository and name, bounds nothing.

    Raises:
        DataError: no such channel, or no channel under that tag.
        IntegrityError: signed by none of these keys, altered, of another channel, or older than ``last``.
        ToolError: no registry there, or it refuses; ``ssh-keygen`` is missing.
    """
    place = _place(reference)
    with Registry(place) as registry:
        channel = _fetched(registry, place)
    if channel is None:
        raise DataError(f"{place}: no such channel in the registry", hint="qedge channel set CHANNEL VERSION")
    try:
        signer = keygen.verify(channel.message, channel.armoured, trusted, NAMESPACE)
    except IntegrityError as problem:
        raise IntegrityError(f"{place}: {problem.message}", hint="who signs it? qedge channel show") from None
    if (channel.repository, channel.name) != (place.name, place.tag):
        raise IntegrityError(f"{place}: the channel of {channel.repository}:{channel.name}")
    if last is not None and last[:2] != channel[:2]:
        last = None
    if last is not None and channel.number < last.number:
        raise IntegrityError(f"{place}: number {channel.number}, expected at least {last.number}")
    if last is not None and channel.number == last.number and channel.digest != last.digest:
        raise IntegrityError(f"{place}: two versions under the number {channel.number}")
    return channel._replace(signer=signer)


def _place(reference: str) -> Reference:
    place = Reference.parse(reference)
    if place.digest is not None:
        raise UsageError(f"{reference}: found a digest, expected a channel", hint="oci://host/name:channel")
    return place


def _fetched(registry: Registry, place: Reference) -> Channel | None:
    found = get_manifest(registry, place.key)
    if found is None:
        return None
    root = document_of(found, str(place))
    layers = [] if root["layers"].value is None else list(root["layers"].items())
    if root["artifactType"].value != ARTIFACT or len(layers) != 1:
        raise DataError(
            f"{place}: an artefact that is no channel", hint="a version? give the channel another tag"
        )
    data = get_blob(registry, named_blob(layers[0], MAX_SIGNATURE_BYTES), str(place))
    return Channel.decoded(data, str(place))
