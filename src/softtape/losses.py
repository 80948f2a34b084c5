"""Loss functions, in plain numpy: for soft tests, and for anything else.

Each takes what the program predicts and what it should, and returns one loss per element (per row
for :func:`cross_entropy` and :func:`kl_divergence`), so that a test which returns it has that many
cases. The loss of the test is their sum; wrap it in ``np.mean`` for their mean.

``squared_error``, ``huber``, ``soft_l1`` and ``cauchy`` are written as squares, so that a fit sees
their residuals and takes Levenberg-Marquardt. The last three are ρ of scipy's ``least_squares``
with its factor 1/2: error²/2 near the target, less steep beyond ``delta`` or ``scale``. Their
residual is error · √(ρ / error²), written so that it is smooth at 0 too and overflows nowhere.

Two arrays must fit: their broadcast shape is that of one of them. (n,) against (n, 1) would
compare each with each, n² times, and is a ``ValueError``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softtape.graph import shape_of

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "cauchy",
    "cross_entropy",
    "gaussian_nll",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "poisson_nll",
    "quantile",
    "soft_l1",
    "squared_error",
]

__tracebackhide__ = True  # pytest shows the user's line instead


def squared_error(prediction: Any, target: Any) -> Any:
    """Return ``(prediction - target)**2``.

    Parameters
    ----------
    prediction
        Any shape.
    target
        The same shape, or one that broadcasts to it.
    """
    return _error(prediction, target) ** 2


def absolute_error(prediction: Any, target: Any) -> Any:
    """Return ``|prediction - target|``; its slope at 0 is 0.

    Parameters
    ----------
    prediction
        Any shape.
    target
        The same shape, or one that broadcasts to it.
    """
    return np.abs(_error(prediction, target))


def huber(prediction: Any, target: Any, delta: float = 1.0) -> Any:
    """Return half the squared error near the target, and a slope of ``delta`` beyond.

    Source: P. J. Huber, «Robust estimation of a location parameter» (1964).

    Parameters
    ----------
    prediction
        Any shape.
    target
        The same shape, or one that broadcasts to it.
    delta
        Distance from the target where the parabola ends, in the unit of the prediction.
    """
    _check_positive("delta", delta)
    error = _error(prediction, target)
    beyond = np.maximum(np.abs(error), delta)
    far = np.sign(error) * np.sqrt(delta * (beyond - 0.5 * delta))
    return np.where(beyond > delta, far, math.sqrt(0.5) * error) ** 2


def soft_l1(prediction: Any, target: Any, scale: float = 1.0) -> Any:
    """Return ``scale² (√(1 + (error/scale)²) - 1)``: half the squared error near the target.

    A smooth Huber loss, also called pseudo-Huber (Charbonnier, Blanc-Féraud, Aubert and Barlaud,
    «Deterministic edge-preserving regularization in computed imaging», 1997). Far from the target
    its slope is ``scale``.

    Parameters
    ----------
    prediction
        Any shape.
    target
        The same shape, or one that broadcasts to it.
    scale
        Distance from the target where the parabola ends, in the unit of the prediction;
        ``f_scale`` of scipy.
    """
    _check_positive("scale", scale)
    error = _error(prediction, target)
    return (error / np.sqrt(1.0 + np.hypot(1.0, error / scale))) ** 2


def cauchy(prediction: Any, target: Any, scale: float = 1.0) -> Any:
    """Return ``scale² log(1 + (error/scale)²) / 2``: half the squared error near the target.

    Far from the target it hardly rises: a test that is far out is given up. It has local minima.

    Parameters
    ----------
    prediction
        Any shape.
    target
        The same shape, or one that broadcasts to it.
    scale
        Distance from the target where the slope is largest, in the unit of the prediction;
        ``f_scale`` of scipy.
    """
    _check_positive("scale", scale)
    error = _error(prediction, target)
    length = 1.0 + np.hypot(1.0, error / scale)
    # log(1 + x²) = 2 log(1 + u) with u = √(1 + x²) - 1, which overflows nowhere
    u = (error / scale) * ((error / scale) / length)
    ratio = np.where(u > 0, np.log1p(u) / np.where(u > 0, u, 1.0), 1.0)
    return (error * np.sqrt(ratio) / np.sqrt(length)) ** 2


def log_cosh(prediction: Any, target: Any) -> Any:
    """Return ``log(cosh(prediction - target))``, without overflow at any distance.

    Parameters
    ----------
    prediction
        Any shape.
    target
        The same shape, or one that broadcasts to it.
    """
    error = _error(prediction, target)
    distance = np.abs(error)
    near = np.log1p(2.0 * np.sinh(0.5 * np.clip(error, -1.0, 1.0)) ** 2)
    return np.where(distance < 1.0, near, distance + np.log1p(0.5 * np.expm1(-2.0 * distance)))


def quantile(prediction: Any, target: Any, q: float) -> Any:
    """Return the pinball loss, which the ``q``-quantile of the targets minimises.

    It is ``q (target - prediction)`` where the prediction is too low, and
    ``(1 - q) (prediction - target)`` where it is too high (Koenker and Bassett, «Regression
    quantiles», 1978). Its slope at 0 is the mean of both.

    Parameters
    ----------
    prediction
        Any shape.
    target
        The same shape, or one that broadcasts to it.
    q
        Between 0 and 1; at 0.5 it is half the absolute error.
    """
    if not 0.0 < q < 1.0:
        raise ValueError(f"q must lie between 0 and 1, got {q!r}")
    error = _error(prediction, target)
    return np.maximum((1.0 - q) * error, -q * error)


def hinge(score: Any, label: Any) -> Any:
    """Return ``max(0, 1 - label * score)``.

    Parameters
    ----------
    score
        Any shape; its sign is the predicted class.
    label
        The right classes, -1 or 1, of the same shape, or one that broadcasts to it.
    """
    label = np.asarray(label)
    if not np.all(np.abs(label) == 1):
        raise ValueError("the labels of hinge must be -1 or 1")
    _check_shapes(score, label, "score", "label")
    return np.maximum(1.0 - label * score, 0.0)


def binary_cross_entropy(logit: Any, label: Any) -> Any:
    """Return ``-log(p)`` of the right one of two classes, in nats, ``p = 1 / (1 + exp(-logit))``.

    Parameters
    ----------
    logit
        Any shape; positive for the class 1.
    label
        0 or 1, or the probability of the class 1, of the same shape, or one that broadcasts to it.
    """
    label = np.asarray(label, dtype=np.float64)
    if not np.all((label >= 0) & (label <= 1)):
        raise ValueError("the labels of binary_cross_entropy must lie between 0 and 1")
    _check_shapes(logit, label, "logit", "label")
    return label * np.logaddexp(0.0, -logit) + (1.0 - label) * np.logaddexp(0.0, logit)


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
    highest = np.max(logits, axis=-1)[..., None]
    if not isinstance(highest, np.ndarray):  # it is traced, so the tape is loaded
        from softtape.tape import stop_gradient

        highest = stop_gradient(highest)
    shifted = logits - highest
    right = np.take_along_axis(shifted, labels[..., None], axis=-1)[..., 0]
    return np.log(np.sum(np.exp(shifted), axis=-1)) - right


def kl_divergence(prediction: Any, target: Any) -> Any:
    """Return ``Σ target log(target / prediction)`` over the last axis, in nats.

    The Kullback-Leibler divergence of the prediction from the target, 0 where both are the same;
    a term with target 0 is 0.

    Parameters
    ----------
    prediction
        Probabilities, shape (..., classes), whose sum over the last axis is 1.
    target
        Probabilities, of the same shape, or one that broadcasts to it.

    Returns
    -------
    array
        The losses, shape (...).
    """
    _check_shapes(prediction, target)
    counts = np.greater(target, 0)
    ratio = np.where(counts, target, 1.0) / np.where(counts, prediction, 1.0)
    return np.sum(target * np.log(ratio), axis=-1)


def poisson_nll(rate: Any, count: Any) -> Any:
    """Return ``rate - count log(rate) + log(count!)``: minus the log of a Poisson probability.

    Least where the rate is the count, though not 0 there. A negative rate has the loss inf.

    Parameters
    ----------
    rate
        The expected count, any shape.
    count
        What was counted, integers from 0, of the same shape, or one that broadcasts to it.
    """
    count = np.asarray(count, dtype=np.float64)
    if not np.all((count >= 0) & (count == np.floor(count)) & (count < np.inf)):
        raise ValueError("the counts of poisson_nll must be integers from 0")
    _check_shapes(rate, count, "rate", "count")
    constant = np.reshape([math.lgamma(n + 1.0) for n in count.flat], count.shape)
    nll = rate - count * np.log(np.where(count > 0, rate, 1.0)) + constant
    return np.where(rate >= 0, nll, np.inf)


def gaussian_nll(mean: Any, target: Any, variance: Any) -> Any:
    """Return minus the log of a normal density, in nats.

    It is ``(log(2π variance) + (target - mean)² / variance) / 2``, below 0 where the variance is
    small: for predictions that come with their own uncertainty.

    Parameters
    ----------
    mean
        Any shape.
    target
        The same shape, or one that broadcasts to it.
    variance
        Positive; the same shape, or one that broadcasts to it.
    """
    error = _error(mean, target)
    _check_shapes(error, variance, "mean", "variance")
    return 0.5 * (np.log(2.0 * math.pi * variance) + error**2 / variance)


# ---- checks


def _error(prediction: Any, target: Any) -> Any:
    """Return ``prediction - target`` of shapes that fit."""
    _check_shapes(prediction, target)
    return prediction - target


def _check_shapes(one: Any, other: Any, name: str = "prediction", second: str = "target") -> None:
    """Raise where two arrays would be broadcast to a shape that neither of them has."""
    __tracebackhide__ = True
    a, b = _shape(one), _shape(other)
    if a == b or not (a and b):
        return
    try:
        both: Any = np.broadcast_shapes(a, b)
    except ValueError:
        both = None
    if both not in (a, b):
        outcome = f"would be broadcast to {both}" if both else "do not fit"
        raise ValueError(
            f"the {name} has shape {a} and the {second} {b}, which {outcome}: give both the same "
            "shape, such as by .ravel() or [:, None]"
        )


def _shape(value: Any) -> tuple[int, ...]:
    return np.shape(value) if isinstance(value, (list, tuple)) else shape_of(value)


def _check_positive(name: str, value: float) -> None:
    __tracebackhide__ = True
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
