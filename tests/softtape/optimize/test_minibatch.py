"""Minibatches: every test once per epoch, judged by all of them, the same from the same seed."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from softtape import SoftError
from softtape.optimize import Bounds, Minibatch, Snapshot, Status, minimize

FREE = Bounds.unbounded(2)
START = np.array([1.0, 1.0])
METHODS = ["adam", "momentum", "gradient-descent"]


@dataclass
class Lines:
    """Squared distances of points from the line a x + b; the last one, alone, is a penalty."""

    kinds: list[str] = field(default_factory=lambda: ["test_point"] * 40 + ["test_penalty"])
    taken: list[tuple[int, ...]] = field(default_factory=list)
    has_residuals: bool = True
    hole: float = np.inf

    def _rows(self, tests):
        x = np.linspace(-1, 1, 40)[[t for t in tests if t < 40]]
        return np.stack([x, np.ones_like(x)], axis=1), 3 * x - 2

    def part(self, tests, theta):
        self.taken.append(tuple(tests))
        if theta[0] > self.hole:
            return np.nan, np.full(2, np.nan)
        matrix, y = self._rows(tests)
        rest = matrix @ theta - y
        weight = 1e-6 * (40 in tests)
        value = rest @ rest + weight * theta @ theta
        return float(value), 2 * matrix.T @ rest + 2 * weight * theta

    def value_and_gradient(self, theta):
        kept = list(self.taken)
        made = self.part(range(41), theta)
        self.taken[:] = kept
        return made

    def value(self, theta):
        return self.value_and_gradient(theta)[0]


def fit(objective, *, start=START, bounds=FREE, snapshots=None, resume=None, **options):
    optimizer = Minibatch(**{"batch_size": 8, "epochs": 60, **options})
    return minimize(
        objective, start, optimizer=optimizer, bounds=bounds, snapshots=snapshots, resume=resume
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_it_finds_the_minimum_whatever_the_unit(method, unit):
    class Scaled(Lines):
        def part(self, tests, theta):
            value, gradient = super().part(tests, theta * [1.0, unit])
            return value, gradient * [1.0, unit]

    rate = 0.5 if method == "gradient-descent" else 0.1  # without momentum, steps do not add up
    start = START / [1.0, unit]
    result = fit(Scaled(), start=start, method=method, schedule="linear", learning_rate=rate)
    assert result.status is Status.EPOCHS
    assert result.theta * [1.0, unit] == pytest.approx([3.0, -2.0], abs=0.02)


def test_each_test_is_taken_once_per_epoch_and_the_one_of_its_kind_always():
    objective = Lines()
    fit(objective, epochs=3)
    batches = [tests for tests in objective.taken if tests != (40,)]
    assert objective.taken.count((40,)) == len(batches) == 15
    epochs = [sorted(sum(batches[i : i + 5], ())) for i in range(0, 15, 5)]
    assert epochs == [list(range(40))] * 3
    assert batches[:5] != batches[5:10]


def test_the_same_seed_takes_the_same_steps():
    one, two, other = (fit(Lines(), seed=seed, epochs=5).theta.tobytes() for seed in (1, 1, 2))
    assert one == two
    assert one != other


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_schedule_is_as_documented(schedule):
    rates = []
    optimizer = Minibatch(batch_size=40, epochs=8, schedule=schedule, learning_rate=0.1)
    state = optimizer.start(Lines(), START, FREE)
    for _ in range(8):
        state = optimizer.step(Lines(), FREE, state)
        rates.append(state.learning_rate)
    k = np.arange(8) / 8
    wanted = {"cosine": (1 + np.cos(np.pi * k)) / 2, "linear": 1 - k, "constant": 1 + 0 * k}
    assert rates == pytest.approx(0.1 * wanted[schedule])


@pytest.mark.many
def test_adam_takes_the_steps_of_pytorch():
    torch = pytest.importorskip("torch")
    objective, states = Lines(["test_point"] * 40), []
    fit(objective, batch_size=2, epochs=1, snapshots=lambda s: states.append(s.state))
    theta = torch.tensor(START, requires_grad=True)  # its size, 1, is the unit of the steps
    adam = torch.optim.Adam([theta], lr=0.05)
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 20)
    for tests in tuple(objective.taken):
        gradient = objective.part(tests, theta.detach().numpy())[1]
        theta.grad = torch.from_numpy(20 * gradient)
        adam.step()
        falls.step()
    assert states[-1].theta == pytest.approx(theta.detach().numpy(), rel=1e-7)


def test_bounds_hold_at_every_step():
    bounds = Bounds(np.array([0.0, -1.0]), np.array([2.0, 5.0]))
    result = fit(Lines(), bounds=bounds)
    assert result.theta == pytest.approx([2.0, -1.0])


def test_a_batch_that_is_not_finite_shortens_the_steps():
    result = fit(Lines(hole=2.0))
    assert result.theta[0] <= 2.0
    assert result.value < Lines().value(START)
    assert np.isfinite(result.value)


@pytest.mark.parametrize("without", [0, slice(None)], ids=["one", "all"])
def test_a_start_without_a_finite_gradient_is_said(without):
    class Kinked(Lines):
        def part(self, tests, theta):
            value, gradient = super().part(tests, theta)
            gradient[without] = np.nan
            return value, gradient

    result = fit(Kinked())
    assert (result.status, result.steps) == (Status.NO_GRADIENT, 0)
    assert result.theta.tobytes() == START.tobytes()


def test_it_goes_on_from_a_snapshot_bit_for_bit():
    snapshots = []
    whole = fit(Lines(), epochs=6, snapshots=snapshots.append)
    taken_up = Snapshot.from_plain(snapshots[3].to_plain())
    rest = fit(Lines(), epochs=6, resume=taken_up)
    assert rest.theta.tobytes() == whole.theta.tobytes()
    assert rest.steps == whole.steps == 6


def test_the_best_epoch_is_kept():
    seen = []
    result = fit(
        Lines(), schedule="constant", epochs=20, snapshots=lambda s: seen.append(s.state.value)
    )
    assert result.value == min(seen)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "lm"}, "no method 'lm'; choose one of: adam"),
        ({"schedule": "cos"}, "no schedule 'cos'; choose one of: cosine"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong, message):
    with pytest.raises(SoftError, match=message):
        replace(Minibatch(), **wrong)


def test_an_objective_that_is_no_sum_has_no_batches(rosenbrock):
    result = minimize(rosenbrock, START - 2, optimizer=Minibatch(), bounds=FREE)
    assert result.status is Status.CRASHED
    assert "no batches" in str(result.error)
