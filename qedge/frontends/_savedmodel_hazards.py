"""What in a SavedModel reaches files or Python, found in its graph; nothing is loaded.

TensorFlow's saver reads and writes the variables through operators of the same graph. They are passed over where
nothing but the saver reaches them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from qedge.frontends import _keras_hazards
from qedge.frontends.protocol import Refusal, require
from qedge.frontends.trust import Hazard

LARGEST_GRAPH = 2 << 30
_SAVER = frozenset(
    {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "Save", "Restore", "SaveSlices", "RestoreSlice"}
)
# Operators that read or write a file, a device or memory by a name in the graph, or call Python.
_REACHES = re.compile(
    r"(?:ReadFile|WriteFile|DeleteFile|MatchingFiles|ImmutableConst|PrintV2|LookupTableExportV2|PyFunc\w*"
    r"|EagerPyFunc|DumpTensor|Debug\w+|LoadLibrary|LoadAndRemap\w*|GenerateVocabRemapping|InitializeTableFromTextFile\w*"
    r"|WholeFileReader\w*|TextLine\w+|TFRecord\w+|FixedLengthRecord\w+|RecordInput|Skipgram|FixedUnigramCandidateSampler"
    r"|(?:Experimental)?(?:LMDB\w+|CSVDataset\w*|SqlDataset|MatchingFilesDataset|DatasetToTFRecord)|Snapshot\w+"
    r"|ListSnapshotChunksDataset|SaveDataset\w*|LoadDataset|CacheDataset\w*|DistributedSave|DTensor(?:Restore|Save)\w*"
    r"|CalibrationStatisticsSaver|EncodeProto|DecodeProto\w*|CollectiveBcast\w*|\w*Summary\w*Writer\w*|Write\w*Summary"
    r"|ImportEvent|RpcCall|RpcServer\w*|RpcClient|DataServiceDataset\w*|RegisterDataset\w*|FileSystem\w+|BigQuery\w+)"
)
_SAVER_FUNCTION = re.compile(r"__inference__traced_(?:save|restore)(?:_\d+)*")
_OUT = "save the model without these operators: reading its input is the program's work, not the model's"


def find(path: Path) -> list[Hazard]:
    """Return the operators that reach files or Python, and the Lambda layers that Keras would restore.

    Raises:
        Refusal: ``saved_model.pb`` is damaged.
    """
    from qedge.frontends._keras import is_recurrent_folder

    model = read(path)
    hazards = [hazard for graph in model.meta_graphs for hazard in _in_graph(graph)]
    if is_recurrent_folder(path):  # its layers are restored by Keras, for their loops to be unrolled
        hazards += _in_metadata(path)
    return list(dict.fromkeys(hazards))


def read(path: Path) -> Any:
    """Return the protocol buffer of a SavedModel's folder.

    Raises:
        Refusal: it is damaged, or TensorFlow is not installed.
    """
    protobuf = require("tensorflow.core.protobuf.saved_model_pb2", "TensorFlow")
    model, file = protobuf.SavedModel(), path / "saved_model.pb"
    if file.stat().st_size > LARGEST_GRAPH:
        raise Refusal(f"saved_model.pb has {file.stat().st_size} bytes, expected at most {LARGEST_GRAPH}")
    try:
        model.ParseFromString(file.read_bytes())
    except Exception as error:
        raise Refusal(f"saved_model.pb is damaged ({error})", "save or copy it again") from error
    if not model.meta_graphs:
        raise Refusal("saved_model.pb holds no graph", "save or copy it again")
    return model


def _in_graph(graph: Any) -> Iterator[Hazard]:
    functions = {f.signature.name: f.node_def for f in graph.graph_def.library.function}
    main = graph.graph_def.node
    served = _reached(main, _ends(graph))
    called = {name for node in main if node.name in served for name in _calls(node)}
    called |= {
        name
        for function, nodes in functions.items()
        if not _SAVER_FUNCTION.fullmatch(function)
        for node in nodes
        for name in _calls(node)
    }
    places: list[tuple[str, Iterable[Any], bool]] = [
        ("", [n for n in main if n.name in served], False),
        ("", [n for n in main if n.name not in served], True),
    ]
    for name, nodes in functions.items():
        places.append((name, nodes, bool(_SAVER_FUNCTION.fullmatch(name)) and name not in called))
    for function, nodes, is_saver in places:
        for node in nodes:
            if node.op in _SAVER and is_saver:
                continue
            if node.op in _SAVER or _REACHES.fullmatch(node.op):
                where = f" in {_plain(function)}" if function else ""
                what = "calls Python" if "Py" in node.op else "reaches files"
                yield Hazard(f"the operator {node.op} ({node.name}{where}) {what}", _OUT)


def _ends(graph: Any) -> set[str]:
    """Return the nodes of the main graph that a caller or the loader runs: outputs and initialisers."""
    ends = {
        _node_of(tensor.name)
        for signature in graph.signature_def.values()
        for tensor in (*signature.outputs.values(), *signature.inputs.values())
    }
    for key in ("saved_model_main_op", "legacy_init_op", "main_op"):
        if key in graph.collection_def:
            ends |= {_node_of(name) for name in graph.collection_def[key].node_list.value}
    return ends


def _reached(nodes: Iterable[Any], ends: set[str]) -> set[str]:
    """Return the names of nodes that these depend on, themselves included."""
    inputs = {node.name: [_node_of(i) for i in node.input] for node in nodes}
    found: set[str] = set()
    waiting = [name for name in ends if name in inputs]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [i for i in inputs.get(name, ()) if i not in found]
    return found


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _calls(node: Any) -> Iterator[str]:
    """Give the functions that a node calls."""
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for function in value.list.func:
            yield function.name


def _plain(function: str) -> str:
    return re.sub(r"^__inference_|_\d+$", "", function)


def _in_metadata(path: Path) -> Iterator[Hazard]:
    """Give the hazards of the layers that Keras 2 described beside the graph."""
    protobuf = require("tf_keras.protobuf.saved_metadata_pb2", "tf-keras (it was saved by Keras 2)")
    metadata = protobuf.SavedMetadata()
    try:
        metadata.ParseFromString((path / "keras_metadata.pb").read_bytes())
    except Exception as error:
        raise Refusal(f"keras_metadata.pb is damaged ({error})", "save or copy it again") from error
    for node in metadata.nodes:
        if node.metadata:
            for hazard in _keras_hazards.in_text(node.metadata):
                yield Hazard(hazard.what, "replace it by a layer of Keras and save the model again")
