"""Bundles in an OCI registry: push, pull, signatures as referrers. Standard library only, part of the device ring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qedge.ship.oci import Pulled, Pushed, pull, push
    from qedge.ship.reference import Reference

__all__ = ["Pulled", "Pushed", "Reference", "pull", "push"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from qedge.ship import oci, reference

        return getattr(oci, name, None) or getattr(reference, name)
    raise AttributeError(f"module 'qedge.ship' has no attribute {name!r}")
