"""Losses against closed forms and scipy, at ordinary and extreme arguments, and their slopes."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from softtape import losses
from softtape.engines import Program
from softtape.tape import Tape
from softtape.transforms import value_and_gradient
from softtape.transforms.residuals import residuals

TARGETS = {
    "cross_entropy": np.array([2, 0]),
    "binary_cross_entropy": np.array([[0, 1, 0.25], [1, 0, 1]]),
    "hinge": np.array([[1, -1, 1], [-1, 1, 1]]),
    "poisson_nll": np.array([[0, 1, 3], [2, 5, 0]]),
    "kl_divergence": np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]),
}
OPTIONS = {"quantile": {"q": 0.3}, "gaussian_nll": {"variance": np.array([0.5, 2.0, 1.0])}}
POSITIVE = {"poisson_nll", "kl_divergence"}
ROBUST = ("huber", "soft_l1", "cauchy")

numbers = st.floats(-50, 50)


@given(a=numbers, b=numbers)
@settings(derandomize=True, deadline=None)
def test_closed_forms(a, b):
    error = a - b
    assert losses.squared_error(a, b) == error**2
    assert losses.absolute_error(a, b) == abs(error)
    huber = 0.5 * error**2 if abs(error) <= 2 else 2 * (abs(error) - 1)
    assert losses.huber(a, b, delta=2.0) == pytest.approx(huber, rel=1e-12, abs=1e-300)
    assert losses.log_cosh(a, b) == pytest.approx(np.log(np.cosh(error)), rel=1e-12, abs=1e-15)


def rho(name, z):
    """Return scipy's ρ(z), as ``least_squares`` documents it."""
    if name == "huber":
        return np.where(z <= 1, z, 2 * np.sqrt(z) - 1)
    return 2 * z / (np.sqrt(1 + z) + 1) if name == "soft_l1" else np.log1p(z)


@pytest.mark.parametrize("name", ROBUST)
def test_robust_losses_are_those_of_scipy(name):
    error = np.concatenate([np.logspace(-12, 12, 97), -np.logspace(-3, 3, 13), [0.0, 2.0]])
    expected = 0.5 * 2.0**2 * rho(name, (error / 2.0) ** 2)
    np.testing.assert_allclose(getattr(losses, name)(error, 0.0, 2.0), expected, rtol=2e-15)


@pytest.mark.parametrize("name", [*ROBUST, "squared_error"])
def test_losses_that_are_squares_show_their_residuals(name):
    with Tape() as tape:
        error = tape.input("x", np.array([-30.0, -1.0, 0.0, 1e-9, 1.0, 5.0]))
        graph = tape.graph([np.sum(getattr(losses, name)(error, 0.0))])
    shown = residuals(graph)
    assert shown is not None
    found = np.concatenate([np.ravel(r) for r in Program(shown).run(graph.start)])
    expected = getattr(losses, name)(graph.start["x"], 0.0)
    np.testing.assert_allclose(found**2, expected, rtol=1e-14)
    assert np.all(np.sign(found) == np.sign(graph.start["x"]))  # smooth through 0


@pytest.mark.parametrize("name", [*ROBUST, "log_cosh", "absolute_error"])
@pytest.mark.parametrize("error", [0.0, 1e-300, -1e200, 1e300])
def test_nothing_overflows_at_any_distance(name, error):
    with Tape() as tape, np.errstate(all="raise", under="ignore"):
        x = tape.input("x", error)
        graph = tape.graph([getattr(losses, name)(x, 0.0)])
        value, slope = Program(value_and_gradient(graph)).run({"x": error})
    assert np.isfinite(value)
    assert abs(slope) <= 1.0


def test_log_cosh_keeps_its_digits_near_the_target():
    assert losses.log_cosh(1e-9, 0.0) == pytest.approx(5e-19, rel=1e-14)
    assert losses.log_cosh(1.0, 0.0) == pytest.approx(0.4337808304830271, rel=1e-15)


@given(score=numbers, label=st.sampled_from([-1, 1]), q=st.floats(0.01, 0.99))
@settings(derandomize=True, deadline=None)
def test_losses_with_a_kink(score, label, q):
    assert losses.hinge(score, label) == max(0.0, 1.0 - label * score)
    low = label - score
    expected = q * low if low > 0 else (q - 1) * low
    assert losses.quantile(score, label, q) == pytest.approx(expected, rel=1e-14)


def test_the_best_constant_under_the_quantile_loss_is_the_quantile():
    targets = np.random.default_rng(0).normal(size=201)
    total = [np.sum(losses.quantile(c, targets, 0.8)) for c in np.sort(targets)]
    assert np.sort(targets)[np.argmin(total)] == np.quantile(targets, 0.8)


def test_losses_of_distributions_are_those_of_scipy():
    rate, count = np.array([0.3, 2.0, 7.5, 0.0]), np.array([0, 3, 170, 0])
    expected = -scipy.stats.poisson.logpmf(count, rate)
    np.testing.assert_allclose(losses.poisson_nll(rate, count), expected, rtol=1e-13, atol=1e-15)
    x, mean, variance = np.array([1.0, -2.0]), np.array([0.5, 3.0]), np.array([0.1, 4.0])
    expected = -scipy.stats.norm.logpdf(x, mean, np.sqrt(variance))
    np.testing.assert_allclose(losses.gaussian_nll(mean, x, variance), expected, rtol=1e-14)
    p, q = np.array([[0.1, 0.9, 0.0], [0.2, 0.3, 0.5]]), np.array([[0.3, 0.3, 0.4]])
    expected = scipy.special.rel_entr(p, q).sum(axis=1)
    np.testing.assert_allclose(losses.kl_divergence(q, p), expected, rtol=1e-14)
    logit = np.array([-800.0, -3.0, 0.0, 40.0, 800.0])
    for label in (0.0, 1.0, 0.25):
        expected = -label * scipy.special.log_expit(logit)
        expected -= (1 - label) * scipy.special.log_expit(-logit)
        np.testing.assert_allclose(losses.binary_cross_entropy(logit, label), expected, rtol=1e-14)


def test_a_negative_rate_is_infinitely_bad():
    assert losses.poisson_nll(-1.0, 0) == np.inf


def test_no_overflow_far_away():
    assert losses.log_cosh(1e6, 0.0) == pytest.approx(1e6 - np.log(2))
    assert losses.cross_entropy(np.array([[1e4, 0.0]]), np.array([1]))[0] == pytest.approx(1e4)


@given(
    logits=arrays(float, (4, 3), elements=numbers),
    labels=arrays(int, 4, elements=st.integers(0, 2)),
)
@settings(derandomize=True, deadline=None)
def test_cross_entropy_is_minus_the_log_of_the_softmax(logits, labels):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    expected = -np.log(np.maximum(p[np.arange(4), labels], 1e-300))
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), expected, atol=1e-9)


@pytest.mark.parametrize(
    "labels", [np.array([0.0, 1.0]), np.array([0]), np.array([[0, 1]]), np.array([True, False])]
)
def test_cross_entropy_refuses_labels_that_do_not_fit(labels):
    with pytest.raises(ValueError, match=r"labels must be integers of shape \(2,\)"):
        losses.cross_entropy(np.zeros((2, 3)), labels)


@pytest.mark.parametrize("delta", [0, -1.0, np.nan])
def test_huber_refuses_a_delta_that_is_not_positive(delta):
    with pytest.raises(ValueError, match="delta must be positive"):
        losses.huber(1.0, 0.0, delta)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.soft_l1(1.0, 0.0, scale=0), "scale must be positive, got 0"),
        (lambda: losses.cauchy(1.0, 0.0, scale=-1), "scale must be positive, got -1"),
        (lambda: losses.quantile(1.0, 0.0, q=1.0), "q must lie between 0 and 1, got 1.0"),
        (lambda: losses.hinge(1.0, 0), "labels of hinge must be -1 or 1"),
        (lambda: losses.binary_cross_entropy(1.0, 2), "must lie between 0 and 1"),
        (lambda: losses.poisson_nll(1.0, [1, 2.5]), "must be integers from 0"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", sorted(set(losses.__all__) - {"cross_entropy"}))
def test_arrays_that_do_not_belong_together_are_refused(name):
    options = {k: 1.0 if k == "variance" else v for k, v in OPTIONS.get(name, {}).items()}
    loss = getattr(losses, name)
    with pytest.raises(ValueError, match=r"has shape \(5,\) .* \(5, 1\), which would be broadcast"):
        loss(np.ones(5), np.ones((5, 1)), **options)
    with pytest.raises(ValueError, match=r"has shape \(5,\) .* \(4,\), which do not fit: give"):
        loss(np.ones(5), np.ones(4), **options)
    assert np.shape(loss(np.ones((2, 5)), np.ones(5), **options)) in ((2, 5), (2,))


@pytest.mark.parametrize("name", losses.__all__)
def test_gradient_against_central_differences(name):
    start = np.array([[0.3, -1.2, 0.4], [2.5, 0.1, -0.7]])
    start = np.exp(start) if name in POSITIVE else start
    target = TARGETS.get(name, np.array([[0.1, 1.0, 3.0]]))

    def loss(x):
        return np.sum(getattr(losses, name)(x, target, **OPTIONS.get(name, {})) * 1.5)

    with Tape() as tape:
        graph = tape.graph([loss(tape.input("x", start))])
    value, gradient = Program(value_and_gradient(graph)).run({"x": start})
    assert value == pytest.approx(loss(start), rel=1e-14)
    for i in np.ndindex(start.shape):
        step = np.zeros(start.shape)
        step[i] = 1e-6
        slope = (loss(start + step) - loss(start - step)) / 2e-6
        assert gradient[i] == pytest.approx(slope, rel=1e-7, abs=1e-8)


def test_the_shift_in_cross_entropy_moves_with_the_logits():
    """A graph recorded at small logits must not overflow at large ones."""
    with Tape() as tape:
        x = tape.input("x", np.array([[0.0, 1.0]]))
        graph = tape.graph([np.sum(losses.cross_entropy(x, np.array([0])))])
    (value,) = Program(graph).run({"x": np.array([[2000.0, 1000.0]])})
    assert value == 0.0
