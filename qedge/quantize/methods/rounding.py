"""Rounds weights so that a layer's output, rather than each weight, changes least.

What AdaRound (Nagel et al., arXiv 2004.10568) learns by gradient descent, in closed form: weights are
rounded one input at a time, and what each rounding costs is made up for by the inputs not rounded yet
(Frantar et al., "GPTQ", arXiv 2210.17323, on Hassibi and Stork's optimal brain surgeon). The bias comes last
and is not rounded, so it takes up the shift of the mean: bias correction (Nagel et al., arXiv 1906.04721,
section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
DAMPING = 0.01
SMALL = 64  # triangular matrices up to this size are inverted at once
BIAS_DAMPING = 1e-4  # of that of the inputs: the shift of the mean is known well


@dataclass(frozen=True)
class Factors:
    """What the moments of a layer's inputs say about its rounding, whatever the scales.

    Args:
        order: inputs in the order in which they are rounded, the ones last.
        upper: (1 or outputs, inputs + 1, inputs + 1): the upper Cholesky factor of the inverse moments.
    """

    order: npt.NDArray[np.int64]
    upper: Float

    @classmethod
    def of(cls, moment: Float, *, free_bias: bool = True) -> Factors:
        """Return the factors of ``X.T @ X`` of the inputs and a last column of ones.

        Args:
            moment: (inputs + 1, inputs + 1), or one matrix for each output.
            free_bias: whether there is a bias to make up for the rest; the ones are left out without.
        """
        each = moment if moment.ndim == 3 else moment[None]
        # The largest inputs first: later ones are left to make up for them. The ones stay last.
        diagonal = np.diagonal(each, axis1=1, axis2=2)[:, :-1].mean(axis=0)
        order = np.append(np.argsort(-diagonal, kind="stable"), each.shape[-1] - 1)
        each = each[:, order][:, :, order]
        return cls(order, _inverse_factor(each if free_bias else each[:, :-1, :-1], free_bias))


def round_jointly(
    weights: Float, scales: Float, factors: Factors, bias: Float, steps: int = 127
) -> tuple[npt.NDArray[np.int8], Float]:
    """Return int8 codes and the biases that go with them.

    Args:
        weights: (outputs, inputs).
        scales: one an output, or a single one.
        factors: of the layer's inputs.
        bias: (outputs,).
        steps: largest code.
    """
    outputs, inputs = weights.shape
    order, upper = factors.order, factors.upper
    work = np.concatenate([weights, bias[:, None]], axis=1)[:, order].copy()
    codes = np.zeros((outputs, inputs), np.int8)
    scale = np.broadcast_to(scales.reshape(-1), (outputs,))
    last = upper.shape[-1]
    for k in range(inputs):
        column = np.clip(np.rint(work[:, k] / scale), -steps, steps)
        codes[:, order[k]] = column.astype(np.int8)
        error = (work[:, k] - column * scale) / upper[:, k, k]
        work[:, k + 1 : last] -= error[:, None] * upper[:, k, k + 1 :]
    return codes, work[:, inputs]


def _inverse_factor(moment: Float, free_bias: bool) -> Float:
    """Return the upper Cholesky factor of the inverse of each (damped) matrix.

    It is the inverse of the upper triangular R with ``R @ R.T`` the matrix, and R the Cholesky factor of the
    matrix read backwards.
    """
    size = moment.shape[-1]
    damping = np.maximum(DAMPING * np.trace(moment, axis1=1, axis2=2) / size, 1e-12)
    damped = np.eye(size)
    damped[-1, -1] = BIAS_DAMPING if free_bias else 1.0
    backwards = (moment + damping[:, None, None] * damped)[:, ::-1, ::-1]
    return _inverse_of_upper(np.linalg.cholesky(backwards)[:, ::-1, ::-1])


def _inverse_of_upper(matrix: Float) -> Float:
    """Return the inverse of each upper triangular matrix, by halves."""
    size = matrix.shape[-1]
    if size <= SMALL:
        return np.asarray(np.linalg.inv(matrix), np.float64)
    half = size // 2
    result = np.zeros_like(matrix)
    first = _inverse_of_upper(matrix[:, :half, :half])
    second = _inverse_of_upper(matrix[:, half:, half:])
    result[:, :half, :half], result[:, half:, half:] = first, second
    result[:, :half, half:] = -first @ matrix[:, :half, half:] @ second
    return result
