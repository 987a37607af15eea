"""Windows that slide over height and width: strides, dilation, padding, and the memory they may share."""

from __future__ import annotations

from dataclasses import dataclass

from qedge.graph import Tensor
from qedge_mcu.ops import overlap
from qedge_mcu.ops.base import OpContext, Reason, same_padding


@dataclass(frozen=True)
class Window:
    """A window's geometry; sizes in pixels, tensors are NHWC with batch 1."""

    in_height: int
    in_width: int
    in_channels: int
    out_height: int
    out_width: int
    out_channels: int
    filter_height: int
    filter_width: int
    stride_height: int
    stride_width: int
    dilation_height: int
    dilation_width: int
    pad_top: int
    pad_left: int

    def members(self, names: str) -> tuple[tuple[str, int], ...]:
        """Return these sizes, named with spaces in between, as members of a parameter struct."""
        return tuple((name, getattr(self, name)) for name in names.split())

    @property
    def row_lead(self) -> int:
        """The lead (``overlap.py``) of a kernel that makes row after row."""
        return overlap.window(
            out_rows=self.out_height,
            out_row_bytes=self.out_width * self.out_channels,
            in_row_bytes=self.in_width * self.in_channels,
            stride=self.stride_height,
            pad=self.pad_top,
            in_rows=self.in_height,
        )

    @property
    def is_pointwise(self) -> bool:
        """Whether every output pixel sees exactly the input pixel in its own place."""
        return self.filter_height == self.filter_width == self.stride_height == self.stride_width == 1

    @property
    def padded(self) -> bool:
        """Whether some window reaches outside the input."""
        bottom = (self.out_height - 1) * self.stride_height + (self.filter_height - 1) * self.dilation_height
        right = (self.out_width - 1) * self.stride_width + (self.filter_width - 1) * self.dilation_width
        return (
            self.pad_top > 0
            or self.pad_left > 0
            or bottom - self.pad_top >= self.in_height
            or right - self.pad_left >= self.in_width
        )


def window(c: OpContext, filter_height: int, filter_width: int) -> Window:
    """Return the window of an operator with output 0 in NHWC.

    It slides over input 0; that of a TRANSPOSE_CONV, whose data is input 2, slides over the output.
    """
    transposed = c.op.op == "TRANSPOSE_CONV"
    data = c.input(2 if transposed else 0)
    _, in_height, in_width, in_channels = data.shape
    _, out_height, out_width, out_channels = c.output.shape
    stride = (int(c.option("stride_h", 1)), int(c.option("stride_w", 1)))
    dilation = (int(c.option("dilation_h_factor", 1)), int(c.option("dilation_w_factor", 1)))
    top = left = 0
    if c.option("padding", "SAME") == "SAME":
        _, height, width, _ = (c.output if transposed else data).shape
        top = same_padding(height, filter_height, stride[0], dilation[0])
        left = same_padding(width, filter_width, stride[1], dilation[1])
    return Window(
        in_height,
        in_width,
        in_channels,
        out_height,
        out_width,
        out_channels,
        filter_height,
        filter_width,
        *stride,
        *dilation,
        top,
        left,
    )


def expect_batch_1(data: Tensor) -> list[Reason]:
    """Return a reason when ``data`` is not NHWC with batch 1."""
    shape = data.shape
    if len(shape) == 4 and shape[0] == 1:
        return []
    return [
        Reason(
            f"the input is {list(shape)}, expected batch 1 in four dimensions",
            "convert with batch 1",
        )
    ]
