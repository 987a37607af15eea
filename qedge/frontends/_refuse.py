"""The old home of what a front end raises, for modules that still look for it here."""

from qedge.frontends.protocol import Refusal, require

__all__ = ["Refusal", "require"]
