"""Write the ``bundle/`` of the sample apps again from the models beside this file: ``make bundles``.

The camera's model is calibrated with images that are not part of the project: ``--cifar10`` names a folder of them in
class subfolders. Without it, or without its model, that app is left as it is. Needs qedge[keras].
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from qedge.bundle import read_bundle, write_bundle

HERE = Path(__file__).resolve().parent
APPS = HERE.parent / "sample_apps"
MODELS = {"voice": "digits", "camera": "objects"}  # app: example whose model it ships
CIFAR10 = HERE.parents[1] / "shared" / "data" / "cifar10" / "calibration"
LEFT_OUT = ("report.html",)  # what a device does not read


def make(app: str, data: Path | None) -> None:
    """Build the app's model for a Raspberry Pi, which any computer runs as well, into its ``bundle/``."""
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        command = [sys.executable, "-m", "qedge", "build", "--target", "rpi", "--out", scratch]
        subprocess.run(
            [*command, *(["--data", str(data)] if data else [])], cwd=HERE / MODELS[app], check=True
        )
        with read_bundle(Path(scratch) / MODELS[app] / "rpi") as built:
            manifest = built.manifest
            files = {name: built.read(name) for name in manifest.files if name not in LEFT_OUT}
        write_bundle(APPS / app / "bundle", manifest, files)
    print(f"{app}: {len(files)} files, {sum(map(len, files.values())):,} bytes", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("app", nargs="*", choices=[*MODELS, []], help="default: all")
    parser.add_argument("--cifar10", type=Path, default=CIFAR10, help="default: %(default)s")
    options = parser.parse_args()
    for app in options.app or MODELS:
        if app != "camera":
            make(app, None)
        elif options.cifar10.is_dir():
            make(app, options.cifar10.resolve())
        else:
            print(f"camera: left as it is: no images in {options.cifar10}", file=sys.stderr)


if __name__ == "__main__":
    main()
