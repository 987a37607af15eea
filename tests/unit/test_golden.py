"""Golden vectors for two sets of kernels, and the pieces of a model that make the second set."""

from __future__ import annotations

import coral_doubles
import numpy as np
import pytest
from tiny_bundles import make_bundle, tiny_images, tiny_model

import qedge
from qedge.bundle import npy_bytes, read_bundle, write_bundle
from qedge.errors import ModelError, UsageError
from qedge.graph import Graph
from qedge.graph.pieces import pieces
from qedge.oracle.builtin import builtin_outputs
from qedge.oracle.golden import golden_samples
from qedge.pipeline import BuildRequest
from qedge.pipeline import build as journey
from qedge.runtime.golden import run_golden
from qedge.runtime.litert import BUILTIN, REFERENCE, XNNPACK, Binding, find_binding, open_engine, tensor_specs
from qedge.runtime.model import Model
from qedge.target import resolve_all
from qedge.testing.cases import Case, merge
from qedge.testing.opmodels import ModelBuilder, Spec, single_op
from qedge_coral.target import TARGET as coral


def convolution(graph, image: int, rng: np.random.Generator) -> int:
    """Add a convolution that keeps the shape, with its ReLU; return its output."""
    weights = graph.tensor(Spec((4, 3, 3, 4), scale=0.01, data=rng.integers(-127, 128, (4, 3, 3, 4))))
    bias = graph.tensor(Spec((4,), "int32", 0.001, data=rng.integers(-900, 900, 4)))
    out = graph.tensor(Spec((1, 6, 6, 4), scale=0.2, zero_point=-20))
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "fused_activation_function": "RELU"}
    graph.operator("CONV_2D", [image, weights, bias], [out], options, version=3)
    return out


def branched_model() -> bytes:
    """Return a model whose input and first convolution are used again behind later convolutions."""
    rng = np.random.default_rng(2)
    builder = ModelBuilder()
    graph = builder.subgraph()
    image = graph.input(Spec((1, 6, 6, 4), scale=0.1, zero_point=3, name="image"))
    first = convolution(graph, image, rng)
    second = convolution(graph, first, rng)
    plain = {"fused_activation_function": "NONE"}
    both = graph.tensor(Spec((1, 6, 6, 4), scale=0.3, zero_point=-5))
    graph.operator("ADD", [first, second], [both], plain, version=2)
    third = convolution(graph, both, rng)
    out = graph.tensor(Spec((1, 6, 6, 4), scale=0.3, zero_point=1, name="sum"))
    graph.operator("ADD", [third, image], [out], plain, version=2)
    graph.output(out)
    graph.output(first)
    return builder.pack()


def is_convolution(op: str) -> bool:
    return op == "CONV_2D"


def run_whole(data: bytes, samples: list[list[np.ndarray]], kernels: str) -> list[list[np.ndarray]]:
    engine = open_engine(data, *tensor_specs(data), threads=1, kernels=kernels)
    return [engine.run(sample) for sample in samples]


def run_pieces(data: bytes, samples: list[list[np.ndarray]], kernels: str) -> list[list[np.ndarray]]:
    """Run a model in its pieces, all on the same kernels."""
    graph = Graph.from_bytes(data)
    cut = pieces(data, is_convolution)
    engines = [open_engine(p.data, *tensor_specs(p.data), threads=1, kernels=kernels) for p in cut]
    results = []
    for sample in samples:
        values = dict(zip(graph.inputs, sample, strict=True))
        for piece, engine in zip(cut, engines, strict=True):
            found = engine.run([values[t] for t in piece.inputs])
            values.update(zip(piece.outputs, found, strict=True))
        results.append([values[t] for t in graph.outputs])
    return results


def equal(one: list[list[np.ndarray]], other: list[list[np.ndarray]]) -> bool:
    return all(
        np.array_equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)
    )


def images(count: int = 4) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(1)
    return [[rng.integers(-128, 128, (1, 6, 6, 4)).astype(np.int8)] for _ in range(count)]


@pytest.mark.parametrize("kernels", [BUILTIN, REFERENCE])
def test_a_model_in_pieces_gives_the_bytes_of_the_whole(kernels) -> None:
    data = branched_model()
    assert [p.apart for p in pieces(data, is_convolution)] == [True, False, True, False]
    assert equal(run_pieces(data, images(), kernels), run_whole(data, images(), kernels))


def test_pieces_of_many_inputs_outputs_and_operators() -> None:
    from tests.ops.tables import TABLES

    # Not those that every LiteRT refuses, or that no model beside TFLite Micro's has.
    cases: list[Case] = [
        case
        for table in ("conv_2d", "add", "softmax", "pad", "split")
        for case in TABLES[table]
        if "no-bias" not in case.name
    ]
    mixed = [case for k in range(7) for case in cases[k::7]]
    seen: set[str] = set()
    unique = [case for case in mixed if not (case.name in seen or seen.add(case.name))]  # type: ignore[func-returns-value]
    model = merge(unique)
    assert len(pieces(model.data, is_convolution)) > 10
    samples = model.samples(2)
    assert equal(run_pieces(model.data, samples, REFERENCE), run_whole(model.data, samples, REFERENCE))


def test_a_model_of_one_piece_is_itself() -> None:
    data = tiny_model()
    (whole,) = pieces(data, lambda op: op == "TRANSPOSE_CONV")
    assert (whole.data, whole.apart) == (data, False)


def test_a_model_with_resources_is_not_cut() -> None:
    from tests.ops.tables import TABLES

    (variable, *_), (convolution_case, *_) = TABLES["variable"], TABLES["conv_2d"]
    data = merge([variable, convolution_case]).data
    with pytest.raises(ModelError, match="several subgraphs or resources"):
        pieces(data, is_convolution)
    assert builtin_outputs(data, []) is None


def test_only_convolutions_run_on_the_reference_kernels() -> None:
    """Each operator alone: CONV_2D as the reference kernel gives it, the others as the built-in ones do."""
    from tests.ops.tables import TABLES

    differ = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 0}
    for table in ("conv_2d", "depthwise_conv_2d"):
        for case in TABLES[table]:
            if "no-bias" in case.name:
                continue
            model = merge([case])
            samples = model.samples()
            reference, built_in = (run_whole(model.data, samples, k) for k in (REFERENCE, BUILTIN))
            wanted = reference if case.op == "CONV_2D" else built_in
            found = builtin_outputs(model.data, samples)
            assert found is not None
            assert equal(found, wanted), case.name
            differ[case.op] += not equal(reference, built_in)
    assert differ["CONV_2D"] or differ["DEPTHWISE_CONV_2D"], "the kernels round alike: nothing was tested"


def test_each_binding_is_compared_with_the_outputs_of_its_kernels(tmp_path) -> None:
    data = tiny_model()
    place = make_bundle(tmp_path / "b", data)
    with read_bundle(place) as bundle:
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        golden = np.load(place / "golden/builtin_0.npy")
        golden[:, :, -1] ^= 0x40
        write_bundle(place, bundle.manifest, {**files, "golden/builtin_0.npy": npy_bytes(golden)})
    with qedge.load(place, threads=1) as model:
        assert model.describe()["kernels"] == XNNPACK
        found = run_golden(model)
        assert (found.kernels, found.passed) == (XNNPACK, True)
        engine = open_engine(data, model.inputs, model.outputs, threads=1, kernels=BUILTIN)
        found = run_golden(Model(model.bundle, engine))
        assert (found.kernels, found.passed) == (BUILTIN, False)
        assert "differs by up to" in found.mismatches[0]


def test_the_builtin_kernels_pass_against_their_own_outputs(tmp_path) -> None:
    place = make_bundle(tmp_path / "b")
    with read_bundle(place) as bundle:
        data, manifest = bundle.read("model.tflite"), bundle.manifest
        engine = open_engine(data, manifest.inputs, manifest.outputs, threads=1, kernels=BUILTIN)
        found = run_golden(Model(bundle, engine))
        assert (found.passed, found.kernels, found.samples) == (True, BUILTIN, len(tiny_images()))


def test_a_coral_bundle_s_twin_is_compared_with_the_outputs_of_its_kernels(tmp_path, monkeypatch) -> None:
    place = coral_doubles.write(tmp_path / "b", coral_doubles.small_model(), {}, tmp_path)
    with read_bundle(place) as bundle:
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        golden = np.load(place / "golden/builtin_0.npy")
        write_bundle(place, bundle.manifest, {**files, "golden/builtin_0.npy": npy_bytes(golden ^ 0x40)})
    assert coral.verify(place, None, {}).passed
    monkeypatch.setattr(Binding, "kernels", BUILTIN)
    report = coral.verify(place, None, {})
    assert not report.passed
    assert report.mismatches[0].startswith("CPU twin, sample 0")


def test_a_bundle_without_outputs_of_these_kernels_says_so(tmp_path) -> None:
    place = make_bundle(tmp_path / "b")
    with read_bundle(place) as bundle:
        files = {n: bundle.read(n) for n in bundle.manifest.files if "builtin" not in n}
        write_bundle(place, bundle.manifest, files)
    with read_bundle(place) as bundle:
        data, manifest = bundle.read("model.tflite"), bundle.manifest
        engine = open_engine(data, manifest.inputs, manifest.outputs, threads=1, kernels=BUILTIN)
        with pytest.raises(UsageError, match="no golden vectors for ai-edge-litert") as caught:
            run_golden(Model(bundle, engine))
        assert "build it again" in caught.value.hint


def test_a_bundle_without_golden_vectors_says_so(tmp_path) -> None:
    place = make_bundle(tmp_path / "b")
    with read_bundle(place) as bundle:
        write_bundle(place, bundle.manifest, {"model.tflite": bundle.read("model.tflite")})
    with qedge.load(place) as model, pytest.raises(UsageError, match=r"no golden vectors$"):
        run_golden(model)


def test_tflite_runtime_never_has_xnnpack() -> None:
    assert find_binding("ai-edge-litert").kernels == XNNPACK
    assert Binding("tflite-runtime", "2.14.0", None).kernels == BUILTIN


def test_noise_for_the_places_of_a_table_lies_in_it() -> None:
    builder = ModelBuilder()
    graph = builder.subgraph()
    words = graph.input(Spec((1, 40), "int32", name="words"))
    codes = graph.input(Spec((1, 400), scale=0.1, name="codes"))
    for rows, shift in ((9, 0), (7, 1)):
        table = graph.tensor(Spec((rows, 2), scale=0.1, data=np.ones((rows, 2), np.int8)))
        places = graph.tensor(Spec((1, 40), "int32"))
        offset = graph.tensor(Spec((), "int32", data=np.int32(shift)))
        graph.operator("MUL", [words, offset], [places])
        made = graph.tensor(Spec((1, 40, 2), scale=0.1))
        graph.operator("GATHER", [table, places], [made], {"axis": 0})
        graph.output(made)
    wide, found = graph.tensor(Spec((1, 400), "int32")), graph.tensor(Spec((1, 400), scale=0.1))
    graph.operator("CAST", [codes], [wide])
    row = graph.tensor(Spec((256,), scale=0.1, data=np.arange(-128, 128)))
    graph.operator("GATHER", [row, wide], [found], {"axis": 0})
    graph.output(found)
    samples = golden_samples(Graph.from_bytes(builder.pack()), None, 4)
    assert {int(v) for places, _ in samples for v in places.reshape(-1)} == set(range(7))
    assert min(int(codes.min()) for _, codes in samples) < -100  # a code is no place, whatever reads it


def test_an_input_without_dimensions_makes_the_whole_journey(tmp_path) -> None:
    """A gain that is one number, say: arrays of no dimension stay arrays from file to board."""
    gain = single_op("MUL", [Spec((1, 6), scale=0.1), Spec((), scale=0.02)], [Spec((1, 6), scale=0.2)])
    (tmp_path / "gain.tflite").write_bytes(gain)
    targets = resolve_all(["rpi", "mcu"])
    made = journey(BuildRequest(tmp_path / "gain.tflite", targets, tmp_path / "out"), lambda *_: None)
    for target, _ in targets:
        report = target.verify(made.bundles[target.info.name], None, {})
        assert report.passed, report.mismatches
    with read_bundle(made.bundles["rpi"]) as bundle:
        assert {value.shape for given, _ in bundle.golden() for value in given} == {(1, 6), ()}
