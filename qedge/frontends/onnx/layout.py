"""Where each ONNX value lies: one tensor, or several, each with the order of its dimensions.

ONNX is channels first, TFLite channels last. No value is turned before somebody needs it: a value is kept with its
*order*, a tuple whose entry i is the ONNX dimension that dimension i of the tensor holds. ONNX's Transpose then only
relabels, and most of what a channels-last model would transpose never is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Order = tuple[int, ...]
Shape = tuple[int, ...]


def channels_last(rank: int) -> Order:
    """Return the order of a channels-first value of this rank with its channels last.

    >>> channels_last(4), channels_last(3)
    ((0, 2, 3, 1), (0, 2, 1))
    """
    return (0, *range(2, rank), 1) if rank > 1 else tuple(range(rank))


def identity(rank: int) -> Order:
    """Return ONNX's own order."""
    return tuple(range(rank))


def arranged(shape: Sequence[int], order: Order) -> Shape:
    """Return the shape of the tensor that holds a value of ``shape`` in ``order``."""
    return tuple(int(shape[d]) for d in order)


def turn(held: Order, wanted: Order) -> Order:
    """Return the permutation that turns a tensor in one order into one in another.

    >>> turn((0, 2, 3, 1), (0, 1, 2, 3))
    (0, 3, 1, 2)
    """
    return tuple(held.index(d) for d in wanted)


def is_free(shape: Sequence[int], held: Order, wanted: Order) -> bool:
    """Return whether turning moves dimensions of size 1 only: a RESHAPE does."""
    return [d for d in held if shape[d] != 1] == [d for d in wanted if shape[d] != 1]


def without(order: Order, gone: Iterable[int]) -> Order:
    """Return the order when dimensions are removed from the value.

    >>> without((0, 2, 3, 1), [2, 3])
    (0, 1)
    """
    removed = set(gone)
    rest = [d for d in sorted(order) if d not in removed]
    return tuple(rest.index(d) for d in order if d not in removed)


def groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Return which dimensions of a reshaped value hold the same numbers; those of size 1 are left out.

    >>> groups((1, 6, 4), (2, 3, 4, 1))
    [([1], [0, 1]), ([2], [2])]
    """
    found: list[tuple[list[int], list[int]]] = []
    a = [d for d in range(len(old)) if old[d] != 1]
    b = [d for d in range(len(new)) if new[d] != 1]
    i = j = 0
    while i < len(a) and j < len(b):
        left, right = [a[i]], [b[j]]
        size_left, size_right = old[a[i]], new[b[j]]
        i, j = i + 1, j + 1
        while size_left != size_right:
            if size_left < size_right:
                left.append(a[i])
                size_left *= old[a[i]]
                i += 1
            else:
                right.append(b[j])
                size_right *= new[b[j]]
                j += 1
        found.append((left, right))
    return found


def reshaped(old: Sequence[int], new: Sequence[int], order: Order) -> Order | None:
    """Return the order of a value after a reshape of the tensor that holds it, None where it must be turned first.

    >>> reshaped((1, 6, 8, 8), (1, 2, 3, 8, 8), (0, 2, 3, 1))
    (0, 3, 4, 1, 2)
    >>> reshaped((1, 6, 8, 8), (1, 384), (0, 2, 3, 1)) is None
    True
    """
    present = [d for d in order if old[d] != 1]
    result: list[int] = []
    by_first = {left[0]: (left, right) for left, right in groups(old, new)}
    i = 0
    while i < len(present):
        left, right = by_first.get(present[i], ([], []))
        if not left or present[i : i + len(left)] != left:
            return None
        result += right
        i += len(left)
    return place_ones(new, result)


def gathered(old: Sequence[int], new: Sequence[int], order: Order) -> Order:
    """Return the order nearest to ``order`` in which a value can be reshaped without being turned."""
    present = [d for d in order if old[d] != 1]
    parts = sorted((left for left, _ in groups(old, new)), key=lambda left: min(map(present.index, left)))
    inner = [d for left in parts for d in left]
    ones = [d for d in order if old[d] == 1]
    return tuple(ones + inner)


def place_ones(shape: Sequence[int], present: Sequence[int]) -> Order:
    """Return a whole order, given that of the dimensions above 1: a usual one where that fits."""
    rank = len(shape)
    for usual in (channels_last(rank) if rank == 4 else identity(rank), identity(rank), channels_last(rank)):
        if [d for d in usual if shape[d] != 1] == list(present):
            return usual
    ones = [d for d in range(rank) if shape[d] == 1]
    front = [d for d in ones if d == 0]
    return (*front, *(d for d in ones if d != 0), *present)


def collapse(shapes: Sequence[Shape]) -> list[Shape]:
    """Return broadcast shapes of one rank with neighbouring dimensions joined where every operand allows.

    The last shape is the result's. Dimensions join when each operand has both in full, or both as 1.

    >>> collapse([(1, 4, 5, 3), (1, 1, 1, 3), (1, 4, 5, 3)])
    [(20, 3), (1, 3), (20, 3)]
    """
    result = shapes[-1]
    joined: list[list[int]] = []
    kinds: list[tuple[bool, ...]] = []
    for d, size in enumerate(result):
        if size == 1:
            continue
        kind = tuple(shape[d] == size for shape in shapes)
        if joined and kinds[-1] == kind:
            joined[-1].append(d)
        else:
            joined.append([d])
            kinds.append(kind)
    out = []
    for shape in shapes:
        sizes = []
        for run in joined:
            size = 1
            for d in run:
                size *= shape[d]
            sizes.append(size)
        out.append(tuple(sizes) or (1,))
    return out
