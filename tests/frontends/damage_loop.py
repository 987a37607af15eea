"""Damages a model again and again and lets its front end take each, as the child process does; prints what came of it.

``python damage_loop.py MODEL FIRST LAST`` works in the present folder and in this process: a crash ends it, what
computes for more than a minute is cut. The last line is JSON: how many were converted and refused, what else was
raised, CPU seconds of the slowest, MB. Members of an archive are damaged inside it, so that its checksums hold. The
model itself is converted first: what loading the frameworks takes is not the damage's.
"""

from __future__ import annotations

import io
import json
import random
import resource
import signal
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from qedge.errors import QedgeError
from qedge.frontends import registry
from qedge.frontends.candidate import look
from qedge.frontends.protocol import Job, Refusal

MEMORY = 4 << 30
SECONDS = 60


def damaged(source: bytes, rng: random.Random) -> bytes:
    """Return the bytes with some changed, cut, zeroed, put in or swapped."""
    data = bytearray(source)
    if not data:
        return b"\0"
    kind = rng.choice(("flip", "flip", "cut", "zero", "insert", "swap"))
    at = rng.randrange(len(data))
    if kind == "flip":
        for _ in range(rng.choice((1, 2, 8))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "zero":
        data[at : at + 16] = bytes(min(16, len(data) - at))
    elif kind == "insert":
        data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
    else:
        other = rng.randrange(len(data))
        data[at], data[other] = data[other], data[at]
    return bytes(data)


def damaged_archive(source: bytes, rng: random.Random) -> bytes:
    """Return an archive with one member damaged, one left out, or a digit of a JSON changed; or damaged itself."""
    if rng.random() < 0.1:
        return damaged(source, rng)
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as old, zipfile.ZipFile(made, "w") as new:
        members = [(info.filename, old.read(info)) for info in old.infolist()]
        chosen = rng.randrange(len(members))
        texts = [k for k, (name, _) in enumerate(members) if name.endswith(".json")]
        kind = rng.choice(("member", "leave", "number", "number", "name"))
        for k, (name, data) in enumerate(members):
            if kind == "member" and k == chosen:
                data = damaged(data, rng)
            elif kind in ("number", "name") and texts and k == texts[chosen % len(texts)]:
                data = _edited(data, rng, digits=kind == "number")
            if kind != "leave" or k != chosen:
                new.writestr(name, data)
    return made.getvalue()


def _edited(data: bytes, rng: random.Random, digits: bool) -> bytes:
    """Return a JSON text that still parses, with one number or one letter changed."""
    places = [k for k, c in enumerate(data) if (chr(c).isdigit() if digits else chr(c).isalpha())]
    if not places:
        return data
    at = rng.choice(places)
    new = rng.choice((b"0", b"7", b"999999999", b"-1")) if digits else bytes([97 + rng.randrange(26)])
    return data[:at] + new + data[at + 1 :]


def _hang(*_: Any) -> None:
    raise TimeoutError(f"more than {SECONDS} CPU seconds")


def _take(path: Path) -> None:
    """Let the front end of a file do all that it does to it."""
    candidate = look(path)
    front_end = registry.resolve("torch" if path.suffix == ".pt2" else "onnx")
    front_end.examine(candidate)
    job = Job(str(path), path.resolve(), Path.cwd(), Path.cwd(), {}, {})
    if front_end.hazards(job):
        raise Refusal("it would run code")
    front_end.convert(job)


def main(model: str, first: int, last: int) -> None:
    """Print what came of the damaged files with these numbers."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, _hang)
    source, path = Path(model).read_bytes(), Path("damaged").with_suffix(Path(model).suffix)
    told: dict[str, Any] = {"converted": 0, "refused": 0, "other": [], "slowest": 0.0}
    path.write_bytes(source)
    _take(path)
    for seed in range(first, last):
        rng = random.Random(seed)
        path.write_bytes((damaged_archive if zipfile.is_zipfile(model) else damaged)(source, rng))
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            _take(path)
            told["converted"] += 1
        except (Refusal, QedgeError, MemoryError):
            told["refused"] += 1
        except Exception as error:
            told["other"].append(f"{seed}: {type(error).__name__}: {error}"[:300])
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        told["slowest"] = max(told["slowest"], time.process_time() - began)
    told["mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print("\n" + json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
