"""Where a bundle lies in a registry: ``oci://host[:port]/name[:tag][@sha256:...]``."""

from __future__ import annotations

import re
from typing import NamedTuple

from qedge.errors import UsageError

# The grammar of the OCI distribution specification 1.1, "Pulling manifests".
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Reference(NamedTuple):
    """A manifest in a registry.

    Args:
        host: with the port, as in the URL.
        name: of the repository.
        tag: or None where ``digest`` names the manifest.
        digest: ``sha256:`` and 64 digits, or None.
        plain: whether it is spoken to without TLS.
    """

    host: str
    name: str
    tag: str | None
    digest: str | None
    plain: bool

    @property
    def base(self) -> str:
        """The URL of the repository, without a slash at the end."""
        return f"{'http' if self.plain else 'https'}://{self.host}/v2/{self.name}"

    @property
    def key(self) -> str:
        """What the registry calls the manifest."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Reference:
        """Return the reference to exactly this manifest."""
        return self._replace(digest=digest)

    def __str__(self) -> str:
        scheme = "oci+http" if self.plain and self.loopback is False else "oci"
        tag = f":{self.tag}" if self.tag else ""
        return f"{scheme}://{self.host}/{self.name}{tag}{'@' + self.digest if self.digest else ''}"

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine."""
        return is_loopback(self.host)

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return the reference that ``text`` states.

        ``oci://`` means TLS, but for this machine; ``oci+http://`` a registry without it.

        Raises:
            UsageError: it is none.

        >>> Reference.parse("oci://ghcr.io/team/kws:1.2").base
        'https://ghcr.io/v2/team/kws'
        >>> Reference.parse("oci://localhost:5000/kws").base
        'http://localhost:5000/v2/kws'
        """
        scheme, separator, rest = text.partition("://")
        host, slash, path = rest.partition("/")
        name, at, digest = path.partition("@")
        name, colon, tag = name.partition(":")
        good = (
            separator
            and slash
            and scheme in ("oci", "oci+http")
            and _HOST.fullmatch(host)
            and _NAME.fullmatch(name)
            and len(name) <= 255
            and (not colon or _TAG.fullmatch(tag))
            and (not at or _DIGEST.fullmatch(digest))
        )
        if not good:
            raise UsageError(
                f"found {text!r}, expected oci://host/name:tag",
                hint="for instance oci://ghcr.io/team/kws:1.2, or oci+http://... for a registry without TLS",
            )
        plain = scheme == "oci+http" or is_loopback(host)
        return cls(host, name, tag or (None if at else "latest"), digest or None, plain)


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine.

    >>> is_loopback("localhost:5000"), is_loopback("[::1]:5000"), is_loopback("localhost.example")
    (True, True, False)
    """
    name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
    return name in LOOPBACK
