"""The TFLite flatbuffer schema, private to :mod:`qedge.graph` and the writers beside it.

The generated classes come with ai-edge-litert; nothing else in qedge imports them.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from qedge.errors import ModelError, ToolError
from qedge.installing import install_command

FILE_IDENTIFIER = b"TFL3"


@lru_cache(maxsize=1)
def generated() -> Any:
    """Return the generated schema module.

    Raises:
        ToolError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise ToolError(
            "the TFLite schema needs ai-edge-litert, which is not installed", hint=install_command("host")
        ) from error
    return schema_py_generated


@cache
def enum_names(enum: str) -> dict[int, str]:
    """Return the names of a schema enum by value, for instance of ``BuiltinOperator``."""
    cls = getattr(generated(), enum)
    return {v: k for k, v in vars(cls).items() if isinstance(v, int) and not k.startswith("_")}


def unpack(data: bytes, origin: str = "model") -> Any:
    """Return the mutable object tree (``ModelT``) of a ``.tflite``.

    Raises:
        ModelError: the bytes are no TFLite model, or a damaged one.
    """
    if len(data) < 16 or data[4:8] != FILE_IDENTIFIER:
        found = "an empty file" if not data else f"{len(data)} bytes starting {bytes(data[:8])!r}"
        raise ModelError(
            f"{origin} is not a TFLite model: found {found}, expected the identifier TFL3 at byte 4",
            hint="pass a .tflite, .keras or .h5 file, or a SavedModel folder",
        )
    try:
        model = generated().ModelT.InitFromPackedBuf(bytearray(data), 0)
    except ToolError:
        raise
    except Exception as error:
        raise ModelError(
            f"{origin} is damaged: its flatbuffer cannot be decoded ({type(error).__name__}: {error})",
            hint="copy or convert the model again; the file may be truncated",
        ) from error
    return model


def pack(model: Any) -> bytes:
    """Return the bytes of an object tree; the same tree gives the same bytes.

    Buffers start at multiples of 16 bytes, as the schema demands (``force_align: 16``) and the generated
    object classes do not do.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    buffers = model.buffers
    model.buffers = [_AlignedBuffer(b) for b in buffers or []]
    try:
        builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    finally:
        model.buffers = buffers
    return bytes(builder.Output())


class _AlignedBuffer:
    """Packs as a ``BufferT`` whose data vector is aligned to 16 bytes."""

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer

    def Pack(self, builder: Any) -> int:
        import numpy as np

        schema = generated()
        vector = None
        if self.buffer.data is not None:
            data = np.asarray(self.buffer.data, np.uint8)
            builder.StartVector(1, data.size, 16)
            builder.head = builder.head - data.size
            builder.Bytes[builder.head : builder.head + data.size] = data.tobytes()
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))
