"""``python -m qedge.fleet.one RESULTS NAME BUNDLE HOST ...``: ``qedge deploy`` whose answer is kept, for the role."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from qedge.bundle.write import write_whole
from qedge.fleet.results import result_file


def main(arguments: list[str]) -> int:
    """Run the deployment; return its exit code."""
    results, host, *rest = arguments
    command = [sys.executable, "-m", "qedge", "deploy", *rest, "--json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    write_whole(result_file(Path(results), host), done.stdout)
    sys.stderr.write(done.stderr.decode(errors="replace"))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
