"""``python -m qedge``."""

from qedge.cli import main

main()
