"""What serving costs: requests a second beside bare inferences, and what wrong requests and idle connections do.

    python benchmarks/serve.py [--shared ../shared] [--seconds 14] [--clients 8] [--wrong 10000] [--json]

kws is MLPerf Tiny's DS-CNN, mbv2 MobileNetV2 at 224. Clients are those of ``wrk`` (apt install wrk): connections that
each send a binary request, wait, and send the next. Bare is a loop of ``model.run`` in one thread. Both in inferences
for a second of CPU of the process that infers: the server's, kernel and all its threads included, not the clients',
which share the machine. Wall figures stand beside them. The share is the median of the rounds' own.
Then wrong requests, over one connection each, and 1,000 connections that send nothing while a client asks.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit"), str(ROOT / "tests" / "serve")]

from serving import Process, raw_request, serving  # noqa: E402

import qedge  # noqa: E402
from qedge.bundle import Manifest, golden_files, write_bundle  # noqa: E402
from qedge.oracle.golden import reference_outputs  # noqa: E402
from qedge.runtime.litert import tensor_specs  # noqa: E402

MODELS = {
    "kws": "mlperf_tiny/kws01_dscnn_int8.tflite",
    "mbv2": "coral/tf2_mobilenet_v2_1.0_224_ptq.tflite",
}
IDLE = 1000
ROUNDS = 7
FIGURES = ("bare_per_cpu_s", "bare_per_s", "served_per_cpu_s", "served_per_s")


def bundle_of(model: Path, name: str, folder: Path) -> Path:
    """Write a bundle of a compiled model, with one random golden sample."""
    data = model.read_bytes()
    inputs, outputs = tensor_specs(data)
    rng = np.random.default_rng(0)
    sample = []
    for spec in inputs:
        info = np.iinfo(spec.dtype)
        sample.append(rng.integers(info.min, info.max, spec.shape, np.dtype(spec.dtype), endpoint=True))
    files = {"model.tflite": data, **golden_files([sample], reference_outputs(data, [sample]))}
    write_bundle(folder, Manifest(name, "0" * 64, "rpi", inputs, outputs), files)
    return folder


def request_of(bundle: Path, name: str) -> tuple[bytes, int, str, bytes]:
    """Return a binary infer request: body, bytes of its JSON, path, and the output that it must give."""
    with qedge.load(bundle) as model:
        (spec,) = model.inputs
        x = model.bundle.golden()[0][0][0]
        wanted = model.run(x).tobytes()
    tensor = {
        "name": spec.name,
        "shape": list(spec.shape),
        "datatype": np.dtype(spec.dtype).name.upper(),
        "parameters": {"binary_data_size": x.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + x.tobytes(), len(head), f"/v2/models/{name}/infer", wanted


def bare(bundle: Path, seconds: float) -> tuple[float, float]:
    """Return inferences for a second of CPU, and of wall time, of ``model.run`` in one thread."""
    with qedge.load(bundle, threads=1) as model:
        x = model.bundle.golden()[0][0][0]
        model.warm_up(10)
        count, began, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            model.run(x)
            count += 1
        return count / (time.process_time() - cpu), count / (time.perf_counter() - began)


def load_test(process: Process, name: str, bundle: Path, seconds: float, clients: int) -> tuple[float, float]:
    """Return answered requests for a second of the server's CPU, and of wall time."""
    body, head, path, wanted = request_of(bundle, name)
    connection = http.client.HTTPConnection(process.address)
    connection.request("POST", path, body, {"Inference-Header-Content-Length": str(head)})
    answer = connection.getresponse()
    data = answer.read()
    assert data[int(answer.headers["Inference-Header-Content-Length"]) :] == wanted
    connection.close()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "body").write_bytes(body)
        script = Path(folder) / "post.lua"
        script.write_text(
            f'local f = io.open("{folder}/body", "rb")\nwrk.method = "POST"\nwrk.body = f:read("*a")\n'
            f'wrk.headers["Inference-Header-Content-Length"] = "{head}"\n'
        )
        cpu = process.cpu_seconds()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
        done = subprocess.run(
            [*command, f"http://{process.address}{path}"], capture_output=True, text=True, check=True
        )
        cpu = process.cpu_seconds() - cpu
    assert "Non-2xx" not in done.stdout, done.stdout
    count = int(re.search(r"(\d+) requests in", done.stdout).group(1))  # type: ignore[union-attr]
    wall = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))  # type: ignore[union-attr]
    return count / cpu, wall


def wrong_requests(process: Process, bundle: Path, count: int) -> dict[str, Any]:
    """Send requests that are damaged at random places; return what came back and how the memory grew."""
    body, head, path, _ = request_of(bundle, "kws")
    rng = random.Random(0)
    lines = f"POST {path} HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: {head}\r\n"
    good = f"{lines}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    statuses: dict[str, int] = {}
    settled = 0
    for k in range(count):
        if k == count // 5:
            settled = process.rss_kb()
        data = bytearray(good)
        for _ in range(rng.randint(1, 20)):
            place = rng.randrange(len(data) if rng.random() < 0.3 else len(lines) + head)
            data[place : place + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        answer = raw_request(process.port, bytes(data))
        status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "closed"
        statuses[status] = statuses.get(status, 0) + 1
    return {"statuses": statuses, "rss_kb_after_a_fifth": settled, "rss_kb": process.rss_kb()}


def idle_connections(process: Process) -> dict[str, float]:
    """Return the milliseconds of a health request alone, and among connections that send nothing."""

    def ask() -> float:
        began = time.perf_counter()
        raw_request(process.port, b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return 1000 * (time.perf_counter() - began)

    alone = min(ask() for _ in range(20))
    idle = [socket.create_connection(("127.0.0.1", process.port)) for _ in range(IDLE)]
    among = min(ask() for _ in range(20))
    for connection in idle:
        connection.close()
    return {"alone_ms": alone, "among_ms": among}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--seconds", type=float, default=14)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--wrong", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not (arguments.shared / "models").is_dir() or shutil.which("wrk") is None:
        print("serve: skipped: needs the shared models, and wrk (apt install wrk)")
        return
    document: dict[str, Any] = {"models": {}}
    with tempfile.TemporaryDirectory() as scratch:
        places = {
            name: bundle_of(arguments.shared / "models" / file, name, Path(scratch) / name)
            for name, file in MODELS.items()
        }
        with serving(*(f"{name}={place}" for name, place in places.items())) as process:
            for name, place in places.items():
                each, rounds = arguments.seconds / ROUNDS, []
                for _ in range(ROUNDS):  # by turns: a slow moment of the machine hits both
                    rounds.append(
                        (*bare(place, each), *load_test(process, name, place, each, arguments.clients))
                    )
                row = dict(zip(FIGURES, np.median(rounds, axis=0).tolist()))
                row["share_by_cpu"] = float(np.median([r[2] / r[0] for r in rounds]))
                row["share_by_clock"] = float(np.median([r[3] / r[1] for r in rounds]))
                document["models"][name] = row
            document["wrong"] = wrong_requests(process, places["kws"], arguments.wrong)
            document["idle"] = idle_connections(process)
    if arguments.json:
        print(json.dumps(document))
        return
    for name, row in document["models"].items():
        cpu, clock = row["share_by_cpu"], row["share_by_clock"]
        print(
            f"{name}: {row['served_per_cpu_s']:,.0f} served, {row['bare_per_cpu_s']:,.0f} bare for a second of CPU: "
            f"{cpu:.2f}; by the clock {row['served_per_s']:,.0f} and {row['bare_per_s']:,.0f}: {clock:.2f}"
        )
    wrong = document["wrong"]
    print(
        f"{arguments.wrong:,} damaged requests: {wrong['statuses']}; memory {wrong['rss_kb_after_a_fifth']:,} kB after "
        f"a fifth of them, {wrong['rss_kb']:,} kB at the end"
    )
    print(
        "health request: {alone_ms:.1f} ms, among 1,000 idle connections {among_ms:.1f} ms".format(
            **document["idle"]
        )
    )


if __name__ == "__main__":
    main()
