"""What the report says of single answers: a few samples with both predictions, and how each class fares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.pipeline.prepare import default_postprocess, spread
from qedge.pipeline.request import Prepared
from qedge.processing.detect import Detect
from qedge.quantize.answers import Answers
from qedge.quantize.interpreter import Runner

SHOWN = 12
WRONG_SHOWN = 9
BOXES_SHOWN = 30


def class_figures(prepared: Prepared) -> dict[str, Any] | None:
    """Return how each class fares in both models, and what is taken for what; None without classes or labels.

    ``confusions`` has an entry for every pair of a true class and another one that the int8 model said.
    """
    answers = prepared.comparison.answers if prepared.comparison else None
    if answers is None or answers.truth is None:
        return None
    names = class_names(prepared, answers)
    truth, said = answers.truth, answers.quantized
    rows = []
    for k in np.unique(np.concatenate([truth, said])).tolist():
        is_k, says_k = truth == k, said == k
        right = int((is_k & says_k).sum())
        rows.append(
            {
                "class": k,
                "label": names[k],
                "samples": int(is_k.sum()),
                "float_recall": _share(int((is_k & (answers.real == k)).sum()), int(is_k.sum())),
                "recall": _share(right, int(is_k.sum())),
                "precision": _share(right, int(says_k.sum())),
                "f1": _share(2 * right, int(is_k.sum() + says_k.sum())),
            }
        )
    wrong = truth != said
    pairs, counts = np.unique(np.stack([truth[wrong], said[wrong]]), axis=1, return_counts=True)
    confusions = [
        {"truth": int(a), "said": int(b), "samples": int(n)} for (a, b), n in zip(pairs.T.tolist(), counts)
    ]
    return {
        "output": prepared.graph.output_names[answers.output],
        "classes": rows,
        "confusions": sorted(confusions, key=lambda c: (-c["samples"], c["truth"], c["said"])),
    }


def class_names(prepared: Prepared, answers: Answers) -> list[str]:
    """Return a name for every class of the output that answers: its label, or ``class 3``; yes-or-no has two."""
    labels = prepared.labels
    if labels is not None and len(labels) >= answers.classes:
        return list(labels)
    if prepared.comparison is not None and prepared.comparison.outputs[answers.output].task == "yes_no":
        return ["no", "yes"]
    names = prepared.measured.class_names if prepared.measured is not None else None
    return [names[k] if names and k < len(names) else f"class {k}" for k in range(answers.classes)]


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def examples(prepared: Prepared, count: int = SHOWN) -> tuple[dict[str, Any], ...]:
    """Return a few samples with what both models say of them and what is right; wrong ones first.

    () without a float model. They are of the samples that were measured on.
    """
    dataset = prepared.measured if prepared.measured is not None else prepared.dataset
    if dataset is None or prepared.quantized is None:
        return ()
    answers = prepared.comparison.answers if prepared.comparison else None
    runners = {
        "float": Runner(prepared.source.data, threads=1),
        "int8": Runner(prepared.quantized.data, threads=1),
    }
    found = []
    for i, truth in _worth_showing(answers, len(dataset), count):
        sample = dataset[i]
        entry: dict[str, Any] = {"input": sample[0], "source": Path(dataset.source(i)).name, "truth": None}
        if truth is not None and answers is not None:
            entry["truth"] = {"class": truth, "text": class_names(prepared, answers)[truth]}
        for name, runner in runners.items():
            outputs = runner.predict(sample)
            post = prepared.postprocess
            if isinstance(post, Detect):
                entry[name] = _objects(post, outputs, prepared)
            else:
                entry[name] = _said(outputs[0], prepared)
        found.append(entry)
    return tuple(found)


def _worth_showing(answers: Answers | None, samples: int, count: int) -> Sequence[tuple[int, int | None]]:
    """Return (sample, true class): those that int8 has wrong, those that the two differ on, then some of the rest."""
    if answers is None:
        return [(i, None) for i in spread(samples, count)]
    wrong = (
        np.zeros(answers.samples.size, bool) if answers.truth is None else answers.quantized != answers.truth
    )
    other = answers.quantized != answers.real
    rank = 2 * wrong.astype(int) + other
    bad = [int(k) for k in np.argsort(-rank, kind="stable") if rank[k]][:WRONG_SHOWN]
    good = [int(k) for k in np.flatnonzero(rank == 0)]
    chosen = bad + [good[k] for k in spread(len(good), count - len(bad))]
    return [
        (int(answers.samples[k]), None if answers.truth is None else int(answers.truth[k])) for k in chosen
    ]


def _objects(post: Detect, outputs: Sequence[npt.NDArray[Any]], prepared: Prepared) -> dict[str, Any]:
    """Return the objects that a detector finds, the surest first, in words and as boxes (shares of the input)."""
    found = post.apply([np.asarray(o, np.float32) for o in outputs], prepared.labels or ())
    some = ", ".join(f"{d.label} {100 * d.score:.0f} %" for d in found[:4]) + (
        " ..." if len(found) > 4 else ""
    )
    boxes = [{"label": d.label, "score": d.score, "box": d.box} for d in found[:BOXES_SHOWN]]
    return {"class": None, "text": some or "no object", "boxes": boxes}


def _said(output: npt.NDArray[Any], prepared: Prepared) -> dict[str, Any]:
    """Return an output in words: the best class with its score, the labels that it gives, or a few values."""
    flat = np.asarray(output, np.float32).reshape(-1)
    if default_postprocess(prepared.graph) is None:
        return {
            "class": None,
            "text": ", ".join(f"{v:.3g}" for v in flat[:4]) + (" ..." if flat.size > 4 else ""),
        }
    if flat.min() < 0:  # logarithms of probabilities
        flat = np.exp(flat)

    def named(k: int) -> str:
        return f"{prepared.labels[k] if prepared.labels else f'class {k}'} {100 * float(flat[k]):.1f} %"

    if prepared.comparison is not None and prepared.comparison.outputs[0].task == "many_labels":
        given = [k for k in range(flat.size) if flat[k] >= 0.5]
        some = ", ".join(named(k) for k in given[:4]) + (" ..." if len(given) > 4 else "")
        return {"class": given, "text": some or "no label"}
    best = int(np.argmax(flat))
    return {"class": best, "text": named(best)}
