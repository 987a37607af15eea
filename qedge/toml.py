"""TOML files that people write, read as :class:`qedge.fields.Field`: an error names the file and the place in it."""

from __future__ import annotations

import sys
from pathlib import Path

from qedge.errors import UsageError
from qedge.fields import Field

MAX_BYTES = 4 << 20


def read_toml(path: Path, hint: str) -> Field:
    """Return the document of a file.

    Args:
        hint: where to look when it cannot be read.

    Raises:
        UsageError: it cannot be read, is no TOML, or is far larger than anything that is written by hand.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UsageError(f"{path}: found {size:,} bytes, expected at most {MAX_BYTES:,}", hint=hint)
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UsageError(f"cannot read {path}: {problem.strerror or problem}", hint=hint) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise UsageError(f"{path} is not valid TOML: {problem}", hint=hint) from None
    return Field(found, f"{path}: $", UsageError)
