"""Who made a bundle: signatures by OpenSSH keys. Part of the device ring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qedge.trust.signature import Signature, check_signature, sign_bundle

__all__ = ["Signature", "check_signature", "sign_bundle"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from qedge.trust import signature

        return getattr(signature, name)
    raise AttributeError(f"module 'qedge.trust' has no attribute {name!r}")
