"""Models that people bring, one a class of fault: builds each and says whether what came out is right.

The models are made by ``make_cases.py`` of the folder with third-party models beside the project, once, into
``--work``. A case is right when it builds with its outputs close enough to the float model's on samples that the
build has not seen, or is refused or warned of in words that name what is wrong. Options: ``--target`` (rpi, mcu),
``--json``, names of cases.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
LIMIT_S = 1200


def shared_cases() -> Path | None:
    """Return the folder of the cases, or None where it is not there."""
    for folder in (PROJECT.parent, PROJECT.parent.parent):
        if (folder / "shared/cases/make_cases.py").is_file():
            return folder / "shared/cases"
    return None


@dataclass
class Built:
    """One run of the command line and what it said."""

    target: str
    code: int
    seconds: float
    report: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)
    text: str = ""

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The findings, and those of an error."""
        return [*self.report.get("findings", []), *self.error.get("findings", [])]

    def says(self, *words: str) -> bool:
        """Whether the error or a finding holds one of these words."""
        said = " ".join(
            [self.error.get("message", ""), str(self.error.get("hint")), *(str(f) for f in self.findings)]
        ).lower()
        return any(word.lower() in said for word in words)

    @property
    def warned(self) -> bool:
        """Whether a warning says that something is lost."""
        rules = {f["rule"] for f in self.findings if f["severity"] == "warning"}
        return bool(rules & {"accuracy-loss", "labels", "constant-output"})


@dataclass
class Row:
    """What is printed of one case on one target."""

    case: str
    target: str
    verdict: str
    float_figure: str
    int8_figure: str
    worst_output: str
    seconds: float
    note: str


class Case:
    """A folder of a case, and how it is built and tried."""

    def __init__(self, folder: Path, target: str, scratch: Path) -> None:
        self.folder, self.target, self.scratch = folder, target, scratch
        self.runs: list[Built] = []

    def build(self, model: str = "model.keras", data: str = "data.npz", *options: str) -> Built:
        """Build the case in a process of its own."""
        started = time.perf_counter()
        out = self.scratch / f"out{len(self.runs)}"
        command = [sys.executable, "-m", "qedge", "build", self.folder / model, "--data", self.folder / data]
        command += ["--target", self.target, "--out", out, "--json", *options]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=PROJECT
        )
        built = Built(self.target, done.returncode, time.perf_counter() - started, text=done.stderr)
        try:
            document = json.loads(done.stdout)
        except ValueError:
            document = {}
        if document.get("command") == "build":
            built.report = document
        else:
            built.error = document.get("error", {"message": done.stderr[-300:]})
        self.runs.append(built)
        return built

    def answers(self, built: Built, samples: list[np.ndarray]) -> list[list[np.ndarray]]:
        """Return the outputs of the bundle for float samples, in real numbers, one list a sample."""
        import qedge
        from qedge.bundle import read_bundle

        path = Path(built.report["targets"][self.target]["bundle"])
        if self.target == "mcu":
            # The CPU runs the same file that the C is made of and exact to.
            from qedge.quantize.interpreter import Runner

            runner = Runner(read_bundle(path).read("model.tflite"), threads=1)
            return [runner.predict([s]) for s in samples]
        model = qedge.load(path)
        samples = [s.astype(np.float32) if s.dtype == np.uint8 else s for s in samples]
        return [[np.asarray(o) for o in model(s).outputs] for s in samples]


def sqnr(real: np.ndarray, found: np.ndarray) -> float:
    """Return signal to noise in dB."""
    noise = float(np.square(real.astype(np.float64) - found).sum())
    return 10 * np.log10(float(np.square(real.astype(np.float64)).sum()) / noise) if noise else float("inf")


def held_set(case: Case) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Return the samples, batch 1 each, and the arrays beside them."""
    with np.load(case.folder / "test.npz") as arrays:
        held = {k: arrays[k] for k in arrays}
    return [held["x"][k : k + 1] for k in range(len(held["x"]))], held


def outputs_of(case: Case, built: Built, position: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return one output of the bundle for all test samples, and the arrays of the test set."""
    samples, held = held_set(case)
    return np.stack([row[position].reshape(-1) for row in case.answers(built, samples)]), held


def refused(built: Built, *words: str) -> tuple[bool, str]:
    """Return whether a build was refused in words that name the cause, and the words."""
    ok = built.code in (3, 4, 6) and built.says(*words)
    return ok, f"exit {built.code}: {built.error.get('message', '')[:110]}"


def accuracy_case(
    case: Case, points: float = 1.0, share: float | None = None, decide: Any = None
) -> Iterator[Row]:
    """Build, and compare the share of right answers with the float model's on the test set."""
    built = case.build()
    if built.report:
        found, held = outputs_of(case, built)
        real = held["out"].reshape(len(found), -1)
        decide = decide or (lambda v: v.argmax(axis=1))
        same = float((decide(found) == decide(real)).mean())
        if "y" in held and share is None:
            before, after = (float((decide(v) == held["y"]).mean()) for v in (real, found))
            ok = before - after <= points / 100 + 1e-9
            yield row(
                case, built, ok or built.warned, f"{before:.1%}", f"{after:.1%}", f"same answer {same:.1%}"
            )
        else:
            ok = same >= (share or 1 - points / 100)
            yield row(case, built, ok or built.warned, "-", f"{same:.1%} same", f"{sqnr(real, found):.1f} dB")
    else:
        yield row(case, built, False, "-", "-", refused(built)[1])


def row(case: Case, built: Built, right: bool, before: str, after: str, note: str) -> Row:
    """Return the row of a build."""
    worst = ""
    outputs = built.report.get("outputs", [])
    if outputs:
        part = min(
            (
                (p["sqnr_db"] if p["sqnr_db"] is not None else 999.0, o["name"])
                for o in outputs
                for p in (o["parts"] or [o])
            ),
            default=(999.0, ""),
        )
        worst = f"{part[1]} {'exact' if part[0] == 999.0 else f'{part[0]:.1f} dB'}"
    warned = " (warned)" if built.warned else ""
    return Row(
        case.folder.name, case.target, "right" if right else "WRONG", before, after, worst, round(built.seconds, 1),
        note + warned,
    )  # fmt: skip


def embedding_int_ids(case: Case) -> Iterator[Row]:
    """Integer inputs: the same answers on 99 %."""
    yield from accuracy_case(case, share=0.99, decide=lambda v: v[:, 0] >= 0.5)


def normalization_inside(case: Case) -> Iterator[Row]:
    """A Normalization layer: within 1 point."""
    yield from accuracy_case(case)


def tabular_raw(case: Case) -> Iterator[Row]:
    """Features of unlike size: within 1 point, or a warning that names the features."""
    yield from accuracy_case(case)


def softmax_many_classes(case: Case) -> Iterator[Row]:
    """3000 classes: the same answer on 95 %."""
    yield from accuracy_case(case, share=0.95)


def two_heads_of_unlike_size(case: Case) -> Iterator[Row]:
    """Two outputs: each has its own figure, the worst is the headline."""
    built = case.build()
    if not built.report:
        yield row(case, built, False, "-", "-", refused(built)[1])
        return
    samples, held = held_set(case)
    answers = case.answers(built, samples)
    figures = []
    for k in range(2):
        found = np.stack([a[k].reshape(-1) for a in answers])
        same = min(
            ("out0", "out1"),
            key=lambda name: abs(held[name].size - found.size),
        )
        figures.append(sqnr(held[same].reshape(len(found), -1), found))
    own = [o["sqnr_db"] for o in built.report["outputs"]]
    head = built.report["quantization"]["sqnr_db"]
    ok = len(own) == 2 and head == min(own)
    yield row(case, built, ok, "-", " / ".join(f"{f:.1f} dB" for f in figures), f"headline {head:.1f} dB")


def batchnorm_after_relu(case: Case) -> Iterator[Row]:
    """MUL and ADD that no convolution takes up: within 1 point."""
    yield from accuracy_case(case)


def labels_from_one_or_text(case: Case) -> Iterator[Row]:
    """Labels that do not fit: mapped, or refused; a gate that cannot be applied fails."""
    for data in ("from_one", "text", "text_without_names", "other_key"):
        plain = case.build("model.keras", f"{data}.npz")
        gated = case.build("model.keras", f"{data}.npz", "--max-drop", "1%")
        accuracy = plain.report.get("float", {}).get("accuracy")
        if accuracy is not None:
            ok = accuracy > 0.8 and gated.code == 0
            after = plain.report["int8"]["accuracy"]
            yield row(case, plain, ok, f"{accuracy:.1%}", f"{after:.1%}", f"{data}: gate exit {gated.code}")
        else:
            said = plain.warned or refused(plain, "label")[0]
            ok = said and gated.code in (3, 6) and gated.says("label")
            yield row(
                case,
                plain,
                ok,
                "-",
                "-",
                f"{data}: gate exit {gated.code}: {gated.error.get('message', '')[:70]}",
            )


def regression_whole_numbers(case: Case) -> Iterator[Row]:
    """A regressor: its mean error beside the float model's; a drop of accuracy is no gate for it."""
    built = case.build()
    gated = case.build("model.keras", "data.npz", "--max-drop", "1%")
    if not built.report:
        yield row(case, built, False, "-", "-", refused(built)[1])
        return
    found, held = outputs_of(case, built)
    real = held["out"].reshape(len(found), -1)
    before, after = (float(np.abs(v[:, 0] - held["y"]).mean()) for v in (real, found))
    output = built.report["outputs"][0]
    ok = output["metric"] == "mae" and built.report["float"]["accuracy"] is None and gated.code in (3, 6)
    ok = ok and (after <= before * 1.1 or built.warned)
    yield row(case, built, ok, f"MAE {before:.2f}", f"MAE {after:.2f}", f"gate exit {gated.code}")


def uint8_input(case: Case) -> Iterator[Row]:
    """uint8 pixels in: builds, the same answers."""
    yield from accuracy_case(case, share=0.95)


def argmax_in_model(case: Case) -> Iterator[Row]:
    """An operator at the end that int8 does not need: builds, or the layer and the way out are named."""
    built = case.build()
    if not built.report:
        ok, note = refused(built, "argmax")
        yield row(case, built, ok, "-", "-", note)
        return
    found, held = outputs_of(case, built)
    same = float((found.reshape(-1) == held["out"].reshape(-1)).mean())
    yield row(case, built, same > 0.95 or built.warned, "-", f"{same:.1%} same", "")


def masking_gru(case: Case) -> Iterator[Row]:
    """Masking before a recurrent layer: builds, or one error that names it."""
    built = case.build()
    if built.report:
        found, held = outputs_of(case, built)
        before, after = (float((v.argmax(axis=1) == held["y"]).mean()) for v in (held["out"], found))
        yield row(case, built, before - after <= 0.01 or built.warned, f"{before:.1%}", f"{after:.1%}", "")
        return
    ok, note = refused(built, "masking")
    yield row(case, built, ok and len(built.findings) <= 3, "-", "-", note)


def savedmodel_recurrent(case: Case) -> Iterator[Row]:
    """A SavedModel with recurrent layers: builds, or says to pass the .keras file."""
    built = case.build("saved")
    if built.report:
        found, held = outputs_of(case, built)
        same = float((held["out"].argmax(axis=1) == found.argmax(axis=1)).mean())
        noise = sqnr(held["out"], found)
        yield row(case, built, noise > 25 or built.warned, "-", f"{same:.1%} same", f"{noise:.1f} dB")
        return
    ok, note = refused(built, ".keras")
    yield row(case, built, ok, "-", "-", note)


def nan_weights(case: Case) -> Iterator[Row]:
    """A broken model: the layer is named."""
    built = case.build()
    ok, note = refused(built, "layer 'dense")
    yield row(case, built, ok and built.code == 3, "-", "-", note)


def attention_gelu(case: Case) -> Iterator[Row]:
    """Attention and GELU: within 1 point."""
    yield from accuracy_case(case)


def detection_as_array(case: Case) -> Iterator[Row]:
    """A detection head in one array: builds, or one cause is named; boxes and scores each have a figure."""
    built = case.build()
    if not built.report:
        yield row(case, built, False, "-", "-", refused(built)[1])
        return
    found, held = outputs_of(case, built)
    real = held["out"].reshape(len(found), 84, -1)
    found = found.reshape(real.shape)
    boxes, scores = sqnr(real[:, :4], found[:, :4]), sqnr(real[:, 4:], found[:, 4:])
    ok = min(boxes, scores) > 25 or built.warned
    yield row(case, built, ok, "-", f"{boxes:.1f} / {scores:.1f} dB", "boxes / scores")


def wide_filter(case: Case) -> Iterator[Row]:
    """400 taps, 70,000 samples: exact on every core, or refused by check."""
    for name in ("wave400", "long70k"):
        cores = ("cortex-m4", "cortex-m55", "riscv32", "esp32-s3") if case.target == "mcu" else ("",)
        for core in cores:
            options = ["--core", core] if core else []
            built = case.build(f"{name}.keras", f"{name}.npz", *options)
            if not built.report:
                ok = built.code in (4, 5)
                yield row(case, built, ok, "-", "-", f"{name} {core}: {refused(built)[1]}")
                continue
            bundle = built.report["targets"][case.target]["bundle"]
            checked = subprocess.run(
                [sys.executable, "-m", "qedge", "verify", bundle, "--json"],
                capture_output=True,
                text=True,
                check=False,
            )
            exact = json.loads(checked.stdout or "{}").get("passed") is True
            note = f"{name} {core}: verify exit {checked.returncode}"
            yield row(case, built, exact or checked.returncode == 8, "-", "-", note)


def lambda_in_keras2_h5(case: Case) -> Iterator[Row]:
    """Code in a model file never runs unless the user says that the file is trusted."""
    mark = case.folder / "THE_FILE_RAN_CODE"
    for model, data in (("model.h5", "data.npz"), ("saved", "data_saved.npz")):
        mark.unlink(missing_ok=True)
        built = case.build(model, data)
        ran = mark.exists()
        ok = not ran and (
            built.code == 0 or refused(built, "lambda", "trust", "code", "pyfunc", "py_func")[0]
        )
        note = f"{model}: {'IT RAN' if ran else 'did not run'}, exit {built.code}"
        yield row(case, built, ok, "-", "-", f"{note} {built.error.get('message', '')[:60]}")


def functions(case: Case) -> Iterator[Row]:
    """Every function of one value that Keras has: builds at 30 dB or more."""
    with np.load(case.folder / "data.npz") as arrays:
        data = arrays["x"]
    fresh = np.random.default_rng(99).normal(size=(60, data.shape[1])).astype(np.float32)
    wrong = []
    seconds, count, worst = 0.0, 0, 999.0
    for path in sorted(case.folder.glob("*.keras")):
        built = case.build(path.name)
        seconds, count = seconds + built.seconds, count + 1
        if not built.report:
            wrong.append(f"{path.stem} (exit {built.code})")
            continue
        real = float_answers(
            Path(built.report["targets"][case.target]["bundle"]).parent / "float.tflite", fresh
        )
        found = np.stack([a[0].reshape(-1) for a in case.answers(built, [x[None] for x in fresh])])
        noise = sqnr(real, found)
        worst = min(worst, noise)
        if noise < 30:
            wrong.append(f"{path.stem} ({noise:.1f} dB)")
    yield Row(
        case.folder.name, case.target, "WRONG" if wrong else "right", "-", f"{count - len(wrong)} of {count}",
        f"{worst:.1f} dB", round(seconds, 1), ", ".join(wrong),
    )  # fmt: skip


def float_answers(path: Path, samples: np.ndarray) -> np.ndarray:
    """Return the outputs of the float ``.tflite`` that a build leaves, run by LiteRT."""
    from qedge.quantize.interpreter import Runner

    runner = Runner(path.read_bytes(), threads=1)
    return np.stack([runner.predict([x[None]])[0].reshape(-1) for x in samples])


CASES: dict[str, Callable[[Case], Iterator[Row]]] = {
    function.__name__: function
    for function in (
        embedding_int_ids, normalization_inside, tabular_raw, softmax_many_classes, two_heads_of_unlike_size,
        batchnorm_after_relu, labels_from_one_or_text, regression_whole_numbers, uint8_input, argmax_in_model,
        masking_gru, savedmodel_recurrent, nan_weights, attention_gelu, detection_as_array, wide_filter,
        lambda_in_keras2_h5, functions,
    )
}  # fmt: skip


def run(name: str, target: str, work: Path) -> list[Row]:
    """Return the rows of one case on one target; one that fails by itself is a wrong one."""
    with tempfile.TemporaryDirectory(prefix="qedge-case-") as scratch:
        case = Case(work / name, target, Path(scratch))
        started = time.perf_counter()
        try:
            return list(CASES[name](case))
        except Exception as error:
            seconds = round(time.perf_counter() - started, 1)
            return [
                Row(name, target, "WRONG", "-", "-", "", seconds, f"{type(error).__name__}: {error}"[:200])
            ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="names of cases; all by default")
    parser.add_argument("--target", action="append", help="rpi (default), mcu; repeatable")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "qedge-cases")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    source = shared_cases()
    if source is None:
        print("the cases lie beside the project, and are not there: nothing to do")
        return 0
    wanted = options.cases or list(CASES)
    missing = [name for name in wanted if not any((options.work / name).glob("*"))]
    if missing:
        options.work.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, source / "make_cases.py", options.work, *missing]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
    rows: list[Row] = []
    if not options.json:
        print(
            f"{'case':26} {'target':6} {'verdict':7} {'float':>10} {'int8':>18} {'s':>6}  worst output; note"
        )
    for name in wanted:
        for target in options.target or ["rpi"]:
            for found in run(name, target, options.work):
                rows.append(found)
                if not options.json:
                    print(
                        f"{found.case:26} {found.target:6} {found.verdict:7} {found.float_figure:>10}"
                        f" {found.int8_figure:>18} {found.seconds:6.1f}  {found.worst_output}; {found.note}",
                        flush=True,
                    )
    wrong = sum(r.verdict != "right" for r in rows)
    if options.json:
        print(json.dumps([asdict(r) for r in rows], indent=2))
    else:
        print(f"{len(rows) - wrong} of {len(rows)} rows are right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
