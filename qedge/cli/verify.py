"""``qedge verify``: run a bundle where it will run, or on an emulated core, and compare every byte."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.bundle import Bundle, read_bundle
from qedge.cli import _flags as flags
from qedge.cli._bundles import BundleArg
from qedge.cli._console import Ui, size
from qedge.cli._options import options_of
from qedge.config import load_config
from qedge.errors import UsageError, VerificationError
from qedge.pipeline.existing import raw_samples
from qedge.target import VerifyReport, target_of
from qedge.trust import check_signature
from qedge.trust.signature import check_asked

SignedByOpt = Annotated[
    Path | None,
    typer.Option("--signed-by", help="Public keys (.pub, allowed_signers): refuse what none of them signed."),
]
SerialOpt = Annotated[int | None, typer.Option("--least-serial", help="Refuse a release below this number.")]
OpenssfOpt = Annotated[
    bool,
    typer.Option("--openssf", help="--signed-by is a PEM key, and BUNDLE.sig a signature of OpenSSF's form."),
]


def command(
    ui: Ui,
    target_options: Mapping[str, Any],
    bundle: BundleArg,
    data: flags.DataOpt = None,
    samples: flags.SamplesOpt = None,
    config: flags.ConfigOpt = None,
    signed_by: SignedByOpt = None,
    least_serial: SerialOpt = None,
    openssf: OpenssfOpt = False,
) -> None:
    """Run a bundle and compare it with its oracle: golden vectors, or --data.

    Exits 7 when an output differs by more than the target promises, 9 when --signed-by is missed.
    """
    opened = read_bundle(bundle)
    check_asked(signed_by, least_serial)
    signature = None
    if openssf:
        _check_openssf(opened, signed_by, least_serial)
    elif signed_by is not None:
        signature = check_signature(opened, signed_by, least_serial=least_serial)
    target = target_of(opened)
    name = target.info.name
    options = options_of(target.info, target_options, load_config(config))
    inputs = raw_samples(opened, data, samples) if data is not None else None
    with ui.progress() as progress:
        progress(f"verify {name}", 0.0)
        report = target.verify(bundle, inputs, options)
    ui.findings(report.findings)
    _show(ui, name, report)
    if openssf:
        ui.line(f"signed by the owner of {signed_by}")
    if signature is not None:
        ui.line(f"signed by {signature.signer}, serial {signature.serial}")
    signed = {"signature": signature.to_json()} if signature is not None else {}
    ui.json("verify", {"target": name, "bundle": str(bundle), **_document(report), **signed})
    if not report.passed:
        raise VerificationError(
            f"{bundle} differs from {report.oracle}: {'; '.join(report.mismatches[:1]) or 'outputs differ'}",
            hint="build the bundle again; if that does not help, report it with the model",
        )


def _check_openssf(bundle: Bundle, key: Path | None, least_serial: int | None) -> None:
    from qedge.trust.openssf import check

    if key is None or least_serial is not None:
        raise UsageError("--openssf needs --signed-by KEY.pem, and knows no serial")
    check(bundle, key)


def _document(report: VerifyReport) -> dict[str, Any]:
    return {
        "bit_exact": report.bit_exact,
        "passed": report.passed,
        "oracle": report.oracle,
        "core": report.core,
        "samples": report.samples,
        "mismatches": list(report.mismatches),
        "findings": [f.to_json() for f in report.findings],
        **report.metrics,
    }


def _show(ui: Ui, name: str, report: VerifyReport) -> None:
    verdict = "bit-exact" if report.bit_exact else ("within its promise" if report.passed else "DIFFERS")
    rows: list[tuple[str, Any]] = [
        ("result", verdict),
        ("samples", report.samples),
        ("ran on", report.core),
        ("compared with", report.oracle),
    ]
    for key, value in report.metrics.items():
        if isinstance(value, Mapping):
            rows += [(f"{key.removesuffix('_bytes')}, {part}", _figure(key, v)) for part, v in value.items()]
        elif isinstance(value, (int, float, str)):
            rows.append((key.removesuffix("_bytes"), _figure(key, value)))
    ui.table(f"verify {name}", ("", ""), rows)
    for text in report.mismatches:
        ui.line(f"  {text}")


def _figure(key: str, value: Any) -> str:
    if key.endswith("_bytes") and isinstance(value, (int, float)):
        return size(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
