"""``qedge rebuild``: a bundle built again from the same inputs, compared byte by byte."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from qedge import pipeline
from qedge.bundle import read_bundle
from qedge.cli._bundles import BundleArg
from qedge.cli._console import Ui
from qedge.errors import IntegrityError, VerificationError
from qedge.pipeline.package import tools
from qedge.pipeline.provenance import Inputs, differing_tools, read_provenance, request_again

ModelOpt = Annotated[
    Path, typer.Option("--model", "-m", help="The trained model that the bundle was built from.")
]
DataOpt = Annotated[Path | None, typer.Option("--data", "-d", help="The data that it was built with.")]
EvalOpt = Annotated[
    Path | None, typer.Option("--eval-data", help="The data that it was measured on, if others.")
]


def command(
    ui: Ui, bundle: BundleArg, model: ModelOpt, data: DataOpt = None, eval_data: EvalOpt = None
) -> None:
    """Prove that model, data and recipe give this bundle: build it again, and compare every byte."""
    with read_bundle(bundle) as opened, tempfile.TemporaryDirectory(prefix="qedge-rebuild-") as scratch:
        root = read_provenance(opened)
        others = differing_tools(root, tools())
        for word in others:
            ui.note(f"note: {word}")
        request = request_again(root, Inputs(model, data, eval_data), Path(scratch) / "out", Path(scratch))
        with ui.progress() as progress:
            result = pipeline.build(request, progress)
        if result.prepared.source.sha256 != opened.manifest.model_sha256:
            raise IntegrityError(
                f"{model}: SHA-256 {result.prepared.source.sha256[:12]}, the bundle was built from"
                f" {opened.manifest.model_sha256[:12]}",
                hint="another model gives another bundle",
            )
        with read_bundle(result.bundles[opened.manifest.target]) as again:
            old, new = opened.manifest.to_json(), again.manifest.to_json()
    files = {**old["files"], **new["files"]}
    differing = sorted(p for p in files if old["files"].get(p) != new["files"].get(p))
    same = old["digest"] == new["digest"]
    rows = [("digest", old["digest"]), ("built again", new["digest"]), ("files", str(len(files)))]
    ui.table(
        f"{opened.manifest.name} ({opened.manifest.target}): {'the same' if same else 'differs'}",
        ("", ""),
        rows,
    )
    document = {
        "bundle": str(bundle),
        "same": same,
        "digest": old["digest"],
        "rebuilt": new["digest"],
        "differing": differing,
        "tools": others,
    }
    ui.json("rebuild", document)
    if not same:
        why = f"; {others[0]}" if others else ""
        named = ", ".join(differing[:5]) or "manifest.json"
        raise VerificationError(
            f"{bundle}: {len(differing)} of {len(files)} files differ: {named}{why}",
            hint="the same versions of the tools give the same bytes" if others else None,
        )
