"""Damaged ``.pt2`` files: every one is converted or refused, in bounded time and memory, and nothing else happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frontends.damage import mutate

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="PyTorch's exporter is not installed")


@pytest.mark.long
def test_damaged_programs_are_converted_or_refused(tmp_path: Path) -> None:
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten()
    module = torch.nn.Sequential(*layers, torch.nn.Linear(4 * 36, 5)).eval()
    program = torch.export.export(module, (torch.zeros(1, 3, 8, 8),))
    torch.export.save(program, str(tmp_path / "net.pt2"))
    mutate(tmp_path / "net.pt2", 0, 40)
