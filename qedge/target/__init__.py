"""What a target is: the contract, the registry, and helpers to write constraints."""

from qedge.target.protocol import (
    Budget,
    CheckReport,
    Compiled,
    Option,
    Placement,
    Requirement,
    Target,
    TargetInfo,
    VerifyReport,
)
from qedge.target.registry import names, resolve, resolve_all
from qedge.target.request import Request

__all__ = [
    "Budget",
    "CheckReport",
    "Compiled",
    "Option",
    "Placement",
    "Request",
    "Requirement",
    "Target",
    "TargetInfo",
    "VerifyReport",
    "names",
    "resolve",
    "resolve_all",
]
