"""Loss functions, in plain numpy: for soft tests, and for anything else.

Each returns one loss per element (per row of logits for :func:`cross_entropy`), so that a test
which returns it has that many cases. The loss of the test is their sum; wrap it in ``np.mean``
for their mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softtape.tape import stop_gradient

__all__ = ["absolute_error", "cross_entropy", "huber", "log_cosh", "squared_error"]


def squared_error(prediction: Any, target: Any) -> Any:
    """Return ``(prediction - target)**2``.

    Parameters
    ----------
    prediction
        Any shape.
    target
        A shape that broadcasts with it.
    """
    return (prediction - target) ** 2


def absolute_error(prediction: Any, target: Any) -> Any:
    """Return ``|prediction - target|``; its slope at 0 is 0.

    Parameters
    ----------
    prediction
        Any shape.
    target
        A shape that broadcasts with it.
    """
    return np.abs(prediction - target)


def huber(prediction: Any, target: Any, delta: float = 1.0) -> Any:
    """Return half the squared error near the target, and a slope of ``delta`` beyond.

    Source: P. J. Huber, «Robust estimation of a location parameter» (1964).

    Parameters
    ----------
    prediction
        Any shape.
    target
        A shape that broadcasts with it.
    delta
        Distance from the target where the parabola ends, in the unit of the prediction.
    """
    if not delta > 0:
        raise ValueError(f"delta must be positive, got {delta!r}")
    distance = np.abs(prediction - target)
    near = np.minimum(distance, delta)
    return near * (distance - 0.5 * near)


def log_cosh(prediction: Any, target: Any) -> Any:
    """Return ``log(cosh(prediction - target))``, without overflow at any distance.

    Parameters
    ----------
    prediction
        Any shape.
    target
        A shape that broadcasts with it.
    """
    error = prediction - target
    return np.logaddexp(error, -error) - np.log(2.0)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Return ``-log(softmax(logits)[label])``, in nats.

    Parameters
    ----------
    logits
        Unnormalised log-probabilities, shape (..., classes).
    labels
        The right classes, integers of shape (...).

    Returns
    -------
    array
        The losses, shape (...).
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape != np.shape(logits)[:-1]:
        raise ValueError(
            f"labels must be integers of shape {np.shape(logits)[:-1]}, one per row of logits; "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    # the shift only prevents overflow: the result does not depend on it, so no gradient is lost
    shifted = logits - stop_gradient(np.max(logits, axis=-1, keepdims=True))
    right = np.take_along_axis(shifted, labels[..., None], axis=-1)[..., 0]
    return np.log(np.sum(np.exp(shifted), axis=-1)) - right
