"""Rounds weights so that a layer's output, rather than each weight, changes least.

What AdaRound (Nagel et al., arXiv 2004.10568) learns by gradient descent, in closed form: weights are
rounded one input at a time, and what each rounding costs is made up for by the inputs not rounded yet
(Frantar et al., "GPTQ", arXiv 2210.17323, on Hassibi and Stork's optimal brain surgeon). The bias comes last
and is not rounded, so it takes up the shift of the mean: bias correction (Nagel et al., arXiv 1906.04721,
section 4.2).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
DAMPING = 0.01
BIAS_DAMPING = 1e-4  # of that of the inputs: the shift of the mean is known well


def round_jointly(
    weights: Float, scales: Float, moment: Float, bias: Float, *, free_bias: bool = True
) -> tuple[npt.NDArray[np.int8], Float]:
    """Return int8 codes and the biases that go with them.

    Args:
        weights: (outputs, inputs).
        scales: one an output, or a single one.
        moment: ``X.T @ X`` of the inputs and a last column of ones: (inputs + 1, inputs + 1), or one matrix
            for each output.
        bias: (outputs,).
        free_bias: whether there is a bias to make up for the rest.
    """
    outputs, inputs = weights.shape
    each = np.broadcast_to(moment, (outputs, inputs + 1, inputs + 1)) if moment.ndim == 3 else moment[None]
    # The largest inputs first: later ones are left to make up for them. The ones stay last.
    order = np.append(
        np.argsort(-np.diagonal(each, axis1=1, axis2=2)[:, :-1].mean(axis=0), kind="stable"), inputs
    )
    each = each[:, order][:, :, order]
    if not free_bias:
        each = each[:, :-1, :-1]
    upper = _inverse_factor(each, free_bias)
    work = np.concatenate([weights, bias[:, None]], axis=1)[:, order].copy()
    codes = np.zeros((outputs, inputs), np.int8)
    scale = np.broadcast_to(scales.reshape(-1), (outputs,))
    for k in range(inputs):
        column = np.clip(np.rint(work[:, k] / scale), -127, 127)
        codes[:, order[k]] = column.astype(np.int8)
        error = (work[:, k] - column * scale) / upper[:, k, k]
        last = upper.shape[-1]
        work[:, k + 1 : last] -= error[:, None] * upper[:, k, k + 1 :]
    return codes, work[:, inputs]


def _inverse_factor(moment: Float, free_bias: bool) -> Float:
    """Return the upper Cholesky factor of the inverse of each (damped) matrix."""
    size = moment.shape[-1]
    damping = np.maximum(DAMPING * np.trace(moment, axis1=1, axis2=2) / size, 1e-12)
    damped = np.eye(size)
    damped[-1, -1] = BIAS_DAMPING if free_bias else 1.0
    inverse = np.linalg.inv(moment + damping[:, None, None] * damped)
    lower = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2)
    return np.asarray(lower.transpose(0, 2, 1), np.float64)
