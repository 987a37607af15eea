"""How far an output must start before its input so that the two can share memory.

A kernel walks its output upwards, and reads its input in windows that move upwards too. While output
byte ``w - 1`` is written, no input byte below ``r`` is needed any more. Output and input may then share
memory as long as ``output_offset + w <= input_offset + r`` at every step, that is
``input_offset - output_offset >= max(w - r)``: the *lead*. A negative lead lets the output start after
the input's start. The largest lead that can matter is the output's size: then nothing is shared.
"""

from __future__ import annotations


def elementwise(output_item: int = 1, input_item: int = 1) -> int:
    """Return the lead of an operator that reads element ``i`` before it writes element ``i``.

    With items of the same size the output may lie exactly on the input. A kernel that reads several
    elements before it writes them keeps this property.

    >>> elementwise()
    0
    """
    if output_item > input_item:
        raise ValueError("a widening operator needs the number of elements: see window()")
    return 0


def window(
    *,
    out_rows: int,
    out_row_bytes: int,
    in_row_bytes: int,
    stride: int,
    pad: int,
    in_rows: int,
) -> int:
    """Return the lead of a kernel that makes whole output rows and reads rows ``y * stride - pad`` onwards.

    Safe for any order inside an output row: when row ``y`` is begun, every input row from its window's
    first one is still needed.

    >>> window(out_rows=25, out_row_bytes=320, in_row_bytes=320, stride=1, pad=1, in_rows=25)
    640
    """
    lead = -in_rows * in_row_bytes
    for y in range(out_rows):
        first = min(max(y * stride - pad, 0), in_rows)
        lead = max(lead, (y + 1) * out_row_bytes - first * in_row_bytes)
    return lead


def pixels(*, count: int, out_bytes: int, in_bytes: int, group: int, buffered: bool) -> int:
    """Return the lead of a kernel that makes ``group`` pixels at a time from the same pixels of its input.

    Args:
        count: pixels.
        out_bytes: bytes of one output pixel.
        in_bytes: bytes of one input pixel.
        group: pixels whose inputs are read again while their outputs are written.
        buffered: whether a group's inputs are copied away before its first output is written.

    >>> pixels(count=10, out_bytes=8, in_bytes=8, group=2, buffered=True)
    0
    >>> pixels(count=10, out_bytes=8, in_bytes=8, group=2, buffered=False)
    16
    """
    lead = -count * in_bytes
    for begin in range(0, count, group):
        end = min(begin + group, count)
        if not buffered:
            lead = max(lead, end * out_bytes - begin * in_bytes)
        elif end < count:
            lead = max(lead, end * out_bytes - end * in_bytes)
    return lead
