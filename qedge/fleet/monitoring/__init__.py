"""What watches a fleet: alert rules for Prometheus and a dashboard for Grafana."""

from __future__ import annotations

from importlib.resources import files as package_files

NAMES = ("alerts.yml", "dashboard.json")


def files() -> dict[str, bytes]:
    """Return the files, by name."""
    return {name: (package_files(__name__) / name).read_bytes() for name in NAMES}
