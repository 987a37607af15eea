"""Build reports: dataclasses to JSON and HTML; the same build gives the same bytes."""

from qedge.report.html import render_html
from qedge.report.model import BuildReport, TargetReport
from qedge.report.verdict import Verdict, verdict

__all__ = ["BuildReport", "TargetReport", "Verdict", "render_html", "verdict"]
