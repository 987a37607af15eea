"""Build models for four configurations of the Ethos-U, and hold every figure against Vela's own run.

    python benchmarks/ethosu.py [--json] [--shared ../shared] [--only NAME]

The digit spotter and the object classifier are those of the sample apps; the five models of MLPerf Tiny are taken
from ``models/mlperf_tiny`` below ``--shared`` and left out where that is missing. Each is built by ``qedge build``,
verified, and compiled once more by ``vela`` alone, with its defaults: cycles and SRAM must be equal. Ends with 1 where
they are not.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands import qedge

PROJECT = Path(__file__).resolve().parent.parent
ACCELERATORS = ("ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u85-256")
MLPERF = {
    "ad": "ad01_int8.tflite",
    "ic": "ic01_resnet8_int8.tflite",
    "kws": "kws01_dscnn_int8.tflite",
    "sww": "sww01_int8.tflite",
    "vww": "vww01_mobilenet_int8.tflite",
}


def models(shared: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and int8 model: the sample apps', then MLPerf Tiny's where they are."""
    for name, app in (("digits", "voice"), ("objects", "camera")):
        yield name, PROJECT / "sample_apps" / app / "bundle" / "model.tflite"
    for name, file in MLPERF.items():
        path = shared / "models" / "mlperf_tiny" / file
        if path.is_file():
            yield name, path


def own_run(model: Path, folder: Path, accelerator: str) -> tuple[int, int]:
    """Return (cycles, bytes of SRAM) of Vela alone."""
    line = [sys.executable, "-m", "ethosu.vela", str(model), "--output-dir", str(folder)]
    subprocess.run([*line, "--accelerator-config", accelerator], capture_output=True, check=True)
    with next(folder.glob("*_summary_*.csv")).open() as file:
        row = next(csv.DictReader(file))
    return round(float(row["cycles_total"])), round(1024 * float(row["sram_memory_used"]))


def measure(name: str, model: Path, accelerator: str, scratch: Path) -> dict[str, Any]:
    """Return one row: what the bundle's report says, and what Vela says."""
    place = scratch / f"{name}-{accelerator}"
    built = qedge("build", model, "--name", name, "-t", "ethosu", "--accelerator", accelerator, "-o", place)
    part = built["targets"]["ethosu"]
    found = part["metrics"]
    cycles, sram = own_run(model, place / "own", accelerator)
    verified = qedge("verify", place / name / "ethosu")
    return {
        "model": name,
        "accelerator": accelerator,
        "mapped_percent": found["mapped_percent"],
        "cycles": found["cycles"]["value"],
        "vela_cycles": cycles,
        "sram_bytes": found["ram_bytes"]["sram"],
        "vela_sram_bytes": sram,
        "flash_bytes": found["flash_bytes"]["model"],
        "verified": verified["passed"] and verified["compiled_again"],
        "slower": [f["message"] for f in part["findings"] if f["rule"] == "other-configuration"],
    }


def main() -> None:
    """Print the table; end with 1 where a figure is not Vela's or a bundle does not verify."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--shared", type=Path, default=PROJECT.parent / "shared")
    parser.add_argument("--only", help="one model")
    given = parser.parse_args()
    rows = []
    if not given.json:
        print(
            f"{'model':<8}{'configuration':<15}{'mapped':>8}{'cycles':>12}{'SRAM':>10}{'flash':>10}  as Vela"
        )
    with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
        for name, model in models(given.shared):
            for accelerator in ACCELERATORS if given.only in (None, name) else ():
                row = measure(name, model, accelerator, Path(folder))
                rows.append(row)
                if not given.json:
                    print(_line(row), flush=True)
    wrong = [row for row in rows if not _equal(row)]
    if given.json:
        print(json.dumps({"rows": rows, "wrong": len(wrong)}, indent=2))
    else:
        print(f"{len(rows) - len(wrong)} of {len(rows)} builds have Vela's cycles and SRAM and verify")
    sys.exit(1 if wrong or not rows else 0)


def _equal(row: dict[str, Any]) -> bool:
    same = (row["cycles"], row["sram_bytes"]) == (row["vela_cycles"], row["vela_sram_bytes"])
    return bool(same and row["verified"])


def _line(row: dict[str, Any]) -> str:
    text = (
        f"{row['model']:<8}{row['accelerator']:<15}{row['mapped_percent']:>7.1f}%{row['cycles']:>12,}"
        f"{row['sram_bytes']:>10,}{row['flash_bytes']:>10,}  {'equal' if _equal(row) else 'DIFFERS'}"
    )
    return "\n".join([text, *(f"        {message}" for message in row["slower"])])


if __name__ == "__main__":
    main()
