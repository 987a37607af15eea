"""The manifest of a bundle: what ``manifest.json`` holds, and every check on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qedge._version import __version__
from qedge.bundle import canonical
from qedge.bundle.digest import sha256
from qedge.errors import IntegrityError
from qedge.fields import Field, Record

if TYPE_CHECKING:
    from qedge.processing.affine import Finish, InputStep
    from qedge.processing.spec import Postprocess, Preprocess

FORMAT = "qedge-bundle"
VERSION = 1
MANIFEST = "manifest.json"
MODEL = "model.tflite"
LIBRARIES = "lib/"
"""Folder of shared libraries, of which a machine loads one."""
SIGNATURE = "signature.json"
"""May lie beside the manifest, whose digest it signs; no part of what it signs."""
DTYPES = ("int8", "uint8", "int16", "int32", "int64", "float32", "bool")
MAX_MANIFEST_BYTES = 16 << 20
MAX_SIGNATURE_BYTES = 64 << 10
MAX_FILE_BYTES = 1 << 31
HINT = "the bundle is damaged or was altered: copy it again, or build it again"

_KEYS = (
    "format", "version", "qedge", "model", "target", "files", "inputs", "outputs",
    "preprocess", "postprocess", "labels", "quantization", "target_data", "digest",
)  # fmt: skip


class TensorSpec(Record):
    """One input or output of the model.

    Args:
        name: the signature's name, or the tensor's.
        shape: all dimensions, batch 1 first.
        dtype: TFLite's type in lower case.
        scale: ``real = scale * (q - zero_point)``; None where the tensor is not quantised.
        order: where the author's layout differs from the tensor's: dimension i of the tensor is the author's
            dimension ``order[i]`` (0, 2, 3, 1: the author has NCHW). None: they are the same.
        finish: what is left to be done to an output in real numbers: ``softmax``, a factor and an offset a column, or
            None.
        step: what is done to an input in the author's units before it is quantised, or None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    order: tuple[int, ...] | None = None
    step: InputStep | None = None
    finish: Finish | None = None

    @property
    def author_shape(self) -> tuple[int, ...]:
        """The shape that the model's author knows."""
        if self.order is None:
            return self.shape
        return tuple(self.shape[self.order.index(d)] for d in range(len(self.shape)))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; ``order``, ``step`` and ``finish`` only where there is one."""
        fields: dict[str, Any] = {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "scale": self.scale,
            "zero_point": self.zero_point,
        }
        if self.order is not None:
            fields["order"] = list(self.order)
        if self.step is not None:
            fields["step"] = self.step.to_json()
        if self.finish is not None:
            fields["finish"] = self.finish if isinstance(self.finish, str) else self.finish.to_json()
        return fields

    @classmethod
    def from_json(cls, entry: Field) -> TensorSpec:
        """Return what :meth:`to_json` wrote."""
        entry.object(("name", "shape", "dtype", "scale", "zero_point"), ("order", "step", "finish"))
        scale, zero_point = entry["scale"], entry["zero_point"]
        if (scale.value is None) != (zero_point.value is None):
            raise entry.fail("scale and zero_point both, or neither")
        known = scale.value is not None
        if known and scale.number() <= 0:
            raise scale.fail("a number above 0")
        shape = tuple(d.integer(1, 1 << 31) for d in entry["shape"].items())
        order = None
        if entry["order"].value is not None:
            order = tuple(d.integer(0, len(shape)) for d in entry["order"].items())
            if sorted(order) != list(range(len(shape))):
                raise entry["order"].fail(f"each of 0 to {len(shape) - 1} once")
        return cls(
            name=entry["name"].string(),
            shape=shape,
            dtype=entry["dtype"].string(DTYPES),
            scale=scale.number() if known else None,
            zero_point=zero_point.integer(-(1 << 31), (1 << 31) - 1) if known else None,
            order=order,
            finish=None if entry["finish"].value is None else _finish(entry["finish"], shape),
            step=None if entry["step"].value is None else _step(entry["step"], shape),
        )


def _step(entry: Field, shape: tuple[int, ...]) -> InputStep:
    from qedge.processing import affine

    return affine.InputStep(*_lists(entry, shape))


def _finish(entry: Field, shape: tuple[int, ...]) -> Finish:
    from qedge.processing.affine import FINISHES, OutputStep

    if isinstance(entry.value, str):
        return entry.string(FINISHES)
    offset, factor = _lists(entry, shape)
    return OutputStep(factor, offset)


def _lists(entry: Field, shape: tuple[int, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the offsets and factors of a step: one value, or one a channel of the last axis."""
    entry.object(("offset", "factor"))
    lists = [tuple(v.number() for v in entry[key].items()) for key in ("offset", "factor")]
    for key, values in zip(("offset", "factor"), lists):
        if len(values) not in (1, (shape or (1,))[-1]):
            raise entry[key].fail(f"1 value, or {(shape or (1,))[-1]}: one a channel")
    return lists[0], lists[1]


MAX_MODEL_NAME = 200
_NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


class FileEntry(Record):
    """Size in bytes and SHA-256 (hexadecimal) of one file of the bundle."""

    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the entry as the manifest has it."""
        return {"bytes": self.size, "sha256": self.sha256}

    @classmethod
    def of(cls, data: bytes) -> FileEntry:
        """Return the entry for a file's contents."""
        return cls(len(data), sha256(data))


class Manifest(Record):
    """What a bundle says about itself.

    Args:
        name: the model's: letters and digits of ASCII, ``_``, ``.`` and ``-``, as :func:`check_model_name` wants.
        model_sha256: of what the user gave to the build.
        target: name of the target, as in ``--target``.
        labels: class names in the order of the output, or empty.
        quantization: method and quality, as the build reports them.
        target_data: what the target added; JSON.
        files: every file but the manifest; filled in by ``write_bundle``.
        qedge: version that wrote the bundle.
    """

    name: str
    model_sha256: str
    target: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: Preprocess | None = None
    postprocess: Postprocess | None = None
    labels: tuple[str, ...] = ()
    quantization: Mapping[str, Any] = MappingProxyType({})
    target_data: Mapping[str, Any] = MappingProxyType({})
    files: Mapping[str, FileEntry] = MappingProxyType({})
    qedge: str = __version__

    def to_json(self) -> dict[str, Any]:
        """Return the document; its ``digest`` is the SHA-256 of the canonical JSON of all the rest."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "qedge": self.qedge,
            "model": {"name": self.name, "sha256": self.model_sha256},
            "target": self.target,
            "inputs": [t.to_json() for t in self.inputs],
            "outputs": [t.to_json() for t in self.outputs],
            "preprocess": self.preprocess.to_json() if self.preprocess else None,
            "postprocess": self.postprocess.to_json() if self.postprocess else None,
            "labels": list(self.labels),
            "quantization": _sorted(self.quantization),
            "target_data": _sorted(self.target_data),
            "files": {name: entry.to_json() for name, entry in sorted(self.files.items())},
        }
        return {**document, "digest": digest(document)}

    def encoded(self) -> bytes:
        """Return the bytes of ``manifest.json``; the same manifest always gives the same bytes."""
        import json

        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        return (text + "\n").encode()

    def with_files(self, files: Mapping[str, bytes]) -> Manifest:
        """Return the manifest with the entries of ``files``."""
        return self.replace(files={name: FileEntry.of(data) for name, data in files.items()})

    @classmethod
    def decoded(cls, data: bytes, origin: str) -> Manifest:
        """Return the manifest in ``data``; ``origin`` is where it is from, for messages.

        Raises:
            IntegrityError: not JSON, another format or version, a wrong field or a digest that differs.
        """
        document = canonical.document(data, origin, IntegrityError, hint=HINT)
        try:
            return _from_document(document)
        except IntegrityError as problem:
            raise IntegrityError(f"{origin}: {problem.message}", hint=problem.hint or HINT) from None


def digest(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of a manifest without its ``digest``."""
    rest = {key: value for key, value in document.items() if key != "digest"}
    return sha256(canonical.dumps(rest).encode("utf-8", "surrogatepass"))


def check_name(name: str, where: str = "file name") -> None:
    """Raise unless ``name`` is a relative POSIX path that stays inside the bundle.

    Raises:
        IntegrityError: empty, too long for a disk, absolute, with ``..``, a backslash, a drive or a control character.
    """
    parts = name.split("/")
    bad = (
        not name
        or len(name) > 240
        or any(part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > 255 for part in parts)
        or not set(name).isdisjoint("\\:")
        or (not name.isprintable() and any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF for c in name))
    )
    if bad:
        raise IntegrityError(f"{where}: found {name!r}, expected a path inside the bundle", hint=HINT)


def check_model_name(name: str, where: str) -> None:
    """Raise unless a device may keep a model in a folder, and a unit of systemd, of this name.

    One with a slash would lie below another folder than the keys that the device trusts.

    Raises:
        IntegrityError: empty, long, with another character, or beginning with ``.`` or ``-``.
    """
    if not 0 < len(name) <= MAX_MODEL_NAME or name[0] in ".-" or not set(name) <= _NAME_CHARACTERS:
        raise IntegrityError(
            f"{where}: found {name[:200]!r}, expected up to {MAX_MODEL_NAME} of A-Z, a-z, 0-9, '_', '.' and '-'",
            hint="build the bundle again with another --name",
        )


def check_names(names: Iterable[str], where: str) -> None:
    """Raise unless files of these names can lie side by side.

    Raises:
        IntegrityError: one is the folder of another, or some disks take two for the same (``A`` and ``a``).
    """
    known: dict[str, str] = {}
    for name in names:
        plain = name if name.isascii() else _composed(name)
        other = known.setdefault(plain.casefold(), name)
        if other != name:
            raise IntegrityError(
                f"{where}: found {name!r} beside {other!r}, expected names that differ", hint=HINT
            )
    for name in known:
        at = name.find("/")
        while at >= 0:
            if name[:at] in known:
                raise IntegrityError(
                    f"{where}: found {known[name]!r} beside a file {known[name[:at]]!r}", hint=HINT
                )
            at = name.find("/", at + 1)


def _composed(name: str) -> str:
    """Return a name as disks compare it that take composed and decomposed letters for the same."""
    import unicodedata

    return unicodedata.normalize("NFC", name)


def _from_document(document: Any) -> Manifest:
    root = Field(document, "$", IntegrityError).object(("format", "version"), None)
    if root["format"].value != FORMAT:
        raise root["format"].fail(repr(FORMAT))
    if root["version"].integer(1) != VERSION:
        raise root["version"].fail(
            f"{VERSION}",
            hint="build the bundle again with this version of qedge, or install the one it is from",
        )
    root.object(_KEYS)
    if root["digest"].value != digest(document):
        raise IntegrityError("$.digest: the manifest was altered: its SHA-256 differs", hint=HINT)
    model = root["model"].object(("name", "sha256"))
    name = model["name"].string()
    check_model_name(name, "$.model.name")
    files = {}
    for path, entry in root["files"].members():
        check_name(path, entry.path)
        entry.object(("bytes", "sha256"))
        files[path] = FileEntry(entry["bytes"].integer(0, MAX_FILE_BYTES), _sha256(entry["sha256"]))
    if SIGNATURE in files:
        raise IntegrityError(
            f"$.files: {SIGNATURE} lies beside the manifest, and is no file of it", hint=HINT
        )
    if MODEL not in files:
        raise IntegrityError(f"$.files: no {MODEL}", hint=HINT)
    check_names((MANIFEST, SIGNATURE, *files), "$.files")
    preprocess, postprocess = _processing(root["preprocess"], root["postprocess"])
    return Manifest(
        name=name,
        model_sha256=_sha256(model["sha256"]),
        target=root["target"].string(),
        inputs=tuple(TensorSpec.from_json(t) for t in root["inputs"].items()),
        outputs=tuple(TensorSpec.from_json(t) for t in root["outputs"].items()),
        preprocess=preprocess,
        postprocess=postprocess,
        labels=root["labels"].strings(),
        quantization=root["quantization"].object(optional=None).value,
        target_data=root["target_data"].object(optional=None).value,
        files=files,
        qedge=root["qedge"].string(),
    )


def _processing(before: Field, behind: Field) -> tuple[Preprocess | None, Postprocess | None]:
    if before.value is None and behind.value is None:
        return None, None  # many models have none, and start without its module
    from qedge.processing.spec import postprocess_from_json, preprocess_from_json

    return (
        preprocess_from_json(before.value, before.path, before.error),
        postprocess_from_json(behind.value, behind.path, behind.error),
    )


def _sha256(entry: Field) -> str:
    text = entry.string()
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise entry.fail("a SHA-256 of 64 hexadecimal digits")
    return text


def _sorted(value: Any) -> Any:
    """Return JSON with the keys of every object sorted, so that equal content gives equal bytes."""
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [_sorted(v) for v in value]
    return value
