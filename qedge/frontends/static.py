"""Dynamic batches made 1, and what was computed from them made constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qedge.errors import ModelError
from qedge.frontends._shapes import static_shapes
from qedge.frontends.protocol import Refusal
from qedge.frontends.tree import Tree

_SHAPE_OF = "SHAPE"
_MOVE_BATCH = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
"""What makes other batches of one; a file with a dynamic batch says 1 for them too."""


def make_static(tree: Tree, origin: str, input_shapes: Mapping[str, Sequence[int]]) -> bool:
    """Fix every shape of a model at batch 1; return whether anything changed.

    The interpreter runs the resized model once, on zeros: it knows every shape then, and the values of
    tensors that depend on shapes alone.

    Raises:
        ModelError: a dimension other than the batch is dynamic and no shape was given for it, or the model
            cannot run at batch 1.
    """
    wanted = _wanted(tree, origin, input_shapes)
    shape_ops = [o for o in tree.operators if tree.op(o) == _SHAPE_OF]
    dynamic = any(
        t.shapeSignature is not None and (np.asarray(t.shapeSignature) < 0).any() for t in tree.tensors
    )
    if not dynamic and not shape_ops and all(tree.shape(t) == s for t, s in wanted.items()):
        return False
    moved = any(tree.op(o) in _MOVE_BATCH for o in tree.operators)
    if not shape_ops and not moved and all(tree.shape(t) == s for t, s in wanted.items()):
        tree.forget_dynamic()
        return True
    _settle(tree, origin, wanted)
    return True


def _wanted(tree: Tree, origin: str, given: Mapping[str, Sequence[int]]) -> dict[int, tuple[int, ...]]:
    """Return the static shape of each input, by tensor index."""
    inputs = []
    for index in tree.inputs:
        signature = tree.tensors[index].shapeSignature
        shape = tree.shape(index) if signature is None else tuple(int(d) for d in signature)
        inputs.append((tree.input_name(index), [None if d < 0 else d for d in shape]))
    try:
        return dict(zip(tree.inputs, static_shapes(inputs, given)))
    except Refusal as refusal:
        raise ModelError(f"{origin}: {refusal.message}", hint=refusal.hint) from refusal


def _settle(tree: Tree, origin: str, wanted: Mapping[int, tuple[int, ...]]) -> None:
    from qedge.frontends.probe import run_on_zeros

    fixed = _from_shapes_alone(tree)
    try:
        shapes, values = run_on_zeros(tree.pack(), wanted, fixed)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{origin} cannot run with a batch of 1: {str(error).strip().splitlines()[-1][:200]}",
            hint="export the model with a static batch of 1",
        ) from error
    for index, tensor in enumerate(tree.tensors):
        if index in shapes and not tree.is_constant(index):
            tensor.shape = np.asarray(shapes[index], np.int32)
    tree.forget_dynamic()
    ends = set(tree.outputs)
    gone = [o for o in tree.operators if all(int(t) in fixed and int(t) not in ends for t in o.outputs)]
    for index in fixed:
        if index in values:
            tree.set_constant(index, values[index])
    tree.remove(gone)


def _from_shapes_alone(tree: Tree) -> set[int]:
    """Return the computed tensors whose values depend on shapes and constants, not on the inputs' values."""
    fixed: set[int] = set()
    for operator in tree.operators:
        read = [int(t) for t in operator.inputs if int(t) >= 0]
        alone = tree.op(operator) == _SHAPE_OF or (
            any(t in fixed for t in read) and all(t in fixed or tree.is_constant(t) for t in read)
        )
        if alone:
            fixed |= {int(t) for t in operator.outputs}
    return fixed
