"""What a target is: the contract, the registry, and helpers to write one."""

from qedge.target.info import Column, Option, TargetInfo
from qedge.target.protocol import Target
from qedge.target.registry import default_name, names, resolve, resolve_all, target_of
from qedge.target.reports import (
    Arrays,
    CheckReport,
    Compiled,
    Options,
    Placement,
    Requirement,
    VerifyReport,
)
from qedge.target.request import Request
from qedge.target.twin import execute_twin, golden_report, verify_twin

__all__ = [
    "Arrays",
    "CheckReport",
    "Column",
    "Compiled",
    "Option",
    "Options",
    "Placement",
    "Request",
    "Requirement",
    "Target",
    "TargetInfo",
    "VerifyReport",
    "default_name",
    "execute_twin",
    "golden_report",
    "names",
    "resolve",
    "resolve_all",
    "target_of",
    "verify_twin",
]
