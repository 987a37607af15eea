"""Putting a bundle on a device over the system's OpenSSH, and taking it back."""

from qedge.deploy.plan import Plan, plan
from qedge.deploy.push import deploy, rollback

__all__ = ["Plan", "deploy", "plan", "rollback"]
