"""Write the ``bundle/`` of the sample apps again from the models beside this file: ``make bundles``.

The camera's model is calibrated with images that are not part of the project: ``--cifar10`` names a folder of them in
class subfolders. Without it that app is left as it is. Needs qedge[keras].
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.bundle import Manifest, golden_files, read_bundle, write_bundle
from qedge.oracle.builtin import builtin_outputs
from qedge.oracle.golden import reference_outputs

HERE = Path(__file__).resolve().parent
APPS = HERE.parent / "sample_apps"
MODELS = {"voice": "digits", "camera": "objects"}  # app: example whose model it ships
BESIDE = [HERE.parents[up] / "shared" / "data" / "cifar10" / "calibration" for up in (1, 2)]
LEFT_OUT = ("report.html",)  # what a device does not read


def make(app: str, images: Path | None = None) -> None:
    """Build the app's model for a Raspberry Pi, which any computer runs as well, into its ``bundle/``.

    Nothing of ``images`` gets into it: its golden vectors are those of :func:`drawn`.
    """
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        command = [sys.executable, "-m", "qedge", "build", "--target", "rpi", "--out", scratch]
        data = ["--data", str(images)] if images else []
        subprocess.run([*command, *data], cwd=HERE / MODELS[app], check=True)
        with read_bundle(Path(scratch) / MODELS[app] / "rpi") as built:
            manifest = built.manifest
            files = {name: built.read(name) for name in manifest.files if name not in LEFT_OUT}
        if images:
            model, samples = files["model.tflite"], drawn(manifest)
            further = {"builtin": builtin_outputs(model, samples)}
            files.update(golden_files(samples, reference_outputs(model, samples), further))
        write_bundle(APPS / app / "bundle", manifest, files)
    print(f"{app}: {len(files)} files, {sum(map(len, files.values())):,} bytes", flush=True)


def drawn(manifest: Manifest, count: int = 4) -> list[list[npt.NDArray[Any]]]:
    """Return ``count`` inputs of the model: 5 x 5 coloured patches that run into each other."""
    rng, tensor = np.random.default_rng(0), manifest.inputs[0]
    patches = rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    encode = manifest.preprocess.encode
    return [[encode(image, tensor.scale, tensor.zero_point, tensor.dtype)] for image in patches]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("app", nargs="*", choices=[*MODELS, []], help="default: all")
    parser.add_argument(
        "--cifar10",
        type=Path,
        default=next(filter(Path.is_dir, BESIDE), BESIDE[0]),
        help="default: %(default)s",
    )
    options = parser.parse_args()
    for app in options.app or MODELS:
        if app != "camera":
            make(app)
        elif options.cifar10.is_dir():
            make(app, options.cifar10.resolve())
        else:
            print(f"camera: left as it is: no images in {options.cifar10}", file=sys.stderr)


if __name__ == "__main__":
    main()
