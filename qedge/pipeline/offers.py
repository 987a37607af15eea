"""Bundles of a search's other candidates, for whoever wants to choose among them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from qedge.bundle import write_bundle
from qedge.errors import QedgeError
from qedge.graph import Graph
from qedge.oracle.golden import golden_samples
from qedge.pipeline.gate import raise_for
from qedge.pipeline.package import bundle_contents
from qedge.pipeline.provenance import data_facts
from qedge.pipeline.request import GOLDEN_SAMPLES, BuildRequest, Prepared, target_request
from qedge.pipeline.summary import build_reports
from qedge.quantize import compare
from qedge.quantize.options import Offer
from qedge.target.protocol import Progress

FOLDER = "pareto"


def write_front(
    request: BuildRequest,
    prepared: Prepared,
    root: Path,
    progress: Progress,
) -> tuple[Path, ...]:
    """Write ``options.pareto`` bundles of the front that fit, beside what was chosen; return their folders.

    They lie in ``root/pareto/1/<target>`` and so on, least noise first.
    """
    quantized = prepared.quantized
    if quantized is None or not request.options.pareto:
        return ()
    fitting = [o for o in quantized.front if not o.price.over and not o.candidate.chosen]
    places = np.linspace(0, len(fitting) - 1, min(request.options.pareto, len(fitting))).round().astype(int)
    written: list[Path] = []
    for number, place in enumerate(places.tolist(), 1):
        progress(f"write candidate {number}", 0.0)
        offered = _offered(prepared, fitting[place])
        written += _write(request, offered, root / FOLDER / str(number))
    return tuple(written)


def _offered(prepared: Prepared, offer: Offer) -> Prepared:
    """Return what was prepared with another candidate in the place of the chosen one, measured on the same samples."""
    assert prepared.quantized is not None
    chosen = replace(offer.candidate, chosen=True)
    quantized = replace(
        prepared.quantized,
        data=offer.data,
        method=chosen.method,
        sqnr_db=chosen.sqnr_db,
        agreement=chosen.agreement,
        candidates=(chosen,),
        plain=None,
        front=(),
    )
    measured = prepared.measured
    comparison = None
    if measured is not None:
        comparison = compare(prepared.source.data, offer.data, measured, postprocess=prepared.postprocess)
    graph = Graph.from_bytes(offer.data, "a candidate")
    return replace(
        prepared, model=offer.data, graph=graph, quantized=quantized, comparison=comparison, apart={}
    )


def _write(request: BuildRequest, prepared: Prepared, folder: Path) -> list[Path]:
    samples = golden_samples(prepared.graph, prepared.dataset, GOLDEN_SAMPLES)
    data = data_facts(request.data)
    written = []
    with tempfile.TemporaryDirectory(prefix="qedge-") as scratch:
        for target, options in request.targets:
            name = target.info.name
            question = target_request(prepared, options, Path(scratch) / name, samples)
            found = target.check(question)
            try:
                raise_for(name, found)
                compiled = target.compile(replace(question, found=found))
            except QedgeError:
                continue  # another target of the same build may have no room for it
            reports = build_reports(
                prepared, {name: found}, {name: compiled}, {id(prepared): ()}, request, data
            )
            report = reports[id(prepared)]
            manifest, files = bundle_contents(request, prepared, target, compiled, samples, report, data)
            write_bundle(folder / name, manifest, files)
            written.append(folder / name)
    return written
