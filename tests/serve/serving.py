"""A server in a process of its own, as ``qedge serve`` starts it, and a client that sends bytes as they are."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

START_S = 300
"""A server that says nothing for so long is ended, so that its test fails and does not wait for ever."""


class Process:
    """A running ``qedge serve``."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def rss_kb(self) -> int:
        """Return the memory that the server has now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that the server has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(*arguments: object) -> Iterator[Process]:
    """Run ``qedge serve`` on a free port until the block ends; it must end by itself then."""
    command = [sys.executable, "-m", "qedge", "serve", *map(str, arguments), "--port", "0", "--json"]
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=buffered)
        yield from _until_done(process, said)


def _until_done(process: subprocess.Popen[str], said: TextIO) -> Iterator[Process]:
    silent = threading.Timer(START_S, process.kill)
    silent.start()
    try:
        text = ""
        assert process.stdout is not None
        for line in process.stdout:
            text += line
            if line.rstrip() == "}":
                break
        silent.cancel()
        if not text:
            said.seek(0)
            raise AssertionError(said.read())
        yield Process(process, json.loads(text)["port"])
    finally:
        silent.cancel()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def raw_request(port: int, data: bytes, timeout: float = 60) -> bytes:
    """Return everything that a server answers to some bytes until it closes, or has answered whole."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        pieces = []
        while piece := connection.recv(1 << 16):
            pieces.append(piece)
        return b"".join(pieces)
