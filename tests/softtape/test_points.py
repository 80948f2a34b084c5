"""Many points at once say what one point after the other says."""

import numpy as np
import pytest

from softtape.coordinates import Coordinates
from softtape.objective import Layout, Objective, Term
from softtape.points import Points
from softtape.tape import Tape
from softtape.terms import PlainTerm

START = {"a": 1.3, "b": np.array([0.5, 0.2])}
LAYOUT = Layout({"a": (), "b": (2,)})
THETA = LAYOUT.pack(START)
MANY = np.random.default_rng(0).uniform(0.1, 3.0, (70, 3))  # more than a block


def term(name, program, weight=1.0):
    def trace(values):
        with Tape() as tape:
            return tape.graph([program(*(tape.input(key, values[key]) for key in "ab"))])

    return Term(name, trace(START), trace, weight)


def cases():
    matrix = np.arange(6.0).reshape(3, 2)
    yield term("alone", lambda a, b: (np.sin(a) - 0.3) ** 2, 2.0)
    yield term("mean", lambda a, b: np.mean((b * a - np.array([1.0, 2.0])) ** 2))
    for k in range(5):
        yield term(f"m{k}", lambda a, b, k=k: np.sum(((matrix + k) @ b - k / a) ** 2), 0.5 + k)


def branching(k):
    return term(f"t{k}", lambda a, b: (a - k) ** 2 if a > 0.5 * k else np.sum((a * b - k) ** 2))


@pytest.mark.parametrize(
    "layout",
    [
        LAYOUT,
        Layout(LAYOUT.shapes, frozenset({"b"})),
        Layout(
            LAYOUT.shapes,
            coordinates=Coordinates(
                np.array([0]), np.array([1.3]), np.array([1e-3]), np.array([1e3])
            ),
        ),
    ],
    ids=["values", "float32", "log"],
)
def test_it_is_what_each_point_gives_alone(layout):
    objective = Objective([*cases()], layout)
    points = Points(objective)
    assert points.settle(MANY[0])
    values, slopes, normals = points.models(MANY)
    rtol = 1e-5 if layout.narrow else 1e-12
    np.testing.assert_allclose(points.values(MANY), values, rtol=rtol)
    for k, theta in enumerate(MANY):
        residuals, jacobian = objective.residuals_and_jacobian(theta)
        assert values[k] == pytest.approx(objective.value(theta), rel=rtol)
        np.testing.assert_allclose(slopes[k], jacobian.T @ residuals, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(normals[k], jacobian.T @ jacobian, rtol=rtol, atol=rtol)


def test_the_bits_do_not_depend_on_threads_nor_on_what_was_asked_before():
    one, two = (Points(Objective([*cases()], LAYOUT, threads=n)) for n in (1, 2))
    for points in (one, two):
        assert points.settle(THETA)
    two.values(MANY[40:])
    assert one.values(MANY).tobytes() == two.values(MANY).tobytes()
    for a, b in zip(one.models(MANY), two.models(MANY), strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_point_is_known_where_all_tests_take_the_path_they_take_at_the_one_settled_at():
    objective = Objective([branching(k) for k in range(5)], LAYOUT)
    points = Points(objective)
    for at in (MANY[0], MANY[1], MANY[0]):
        assert points.settle(at)
        same = np.array(
            [all((t[0] > 0.5 * k) == (at[0] > 0.5 * k) for k in range(5)) for t in MANY]
        )
        values = points.values(MANY)
        assert np.array_equal(np.isnan(values), ~same)
        assert 0 < same.sum() < len(MANY)
        expected = [objective.value(theta) for theta in MANY[same]]
        np.testing.assert_allclose(values[same], expected, rtol=1e-12)


def test_what_is_not_finite_is_known_to_be_infinite():
    points = Points(Objective([term("t", lambda a, b: (np.log(a) - 1.0) ** 2)], LAYOUT))
    assert points.settle(THETA)
    values = points.values(np.array([[1.0, 0, 0], [-1.0, 0, 0], [0.0, 0, 0]]))
    assert values.tolist() == [1.0, np.inf, np.inf]


def test_points_at_which_numpy_raises_are_not_known():
    def singular(a, b):
        return np.sum(np.linalg.solve(np.array([[1.0, 2.0], [2.0, 4.0]]) * a + np.eye(2) * b, b))

    points = Points(Objective([term("t", lambda a, b: singular(a, b) ** 2)], LAYOUT))
    assert points.settle(THETA)
    known = np.full((64, 3), THETA)
    values = points.values(np.concatenate([known, [[1.0, 0.0, 0.0]]]))
    assert np.isfinite(values[:64]).all()
    assert np.isnan(values[64])


@pytest.mark.parametrize(
    "refused",
    [
        PlainTerm("t", lambda values: (1.0, values), START, "it cannot be traced"),
        term("t", lambda a, b: np.sum((np.arange(1e5) * a) ** 2)),
        term("t", lambda a, b: np.sum(np.unique(b * a) ** 2)),
    ],
    ids=["plain", "large", "no rule"],
)
def test_where_it_cannot_be_done(refused):
    assert not Points(Objective([*cases(), refused], LAYOUT)).settle(THETA)


def test_without_residuals_there_are_values_only():
    points = Points(Objective([term("t", lambda a, b: np.exp(a))], LAYOUT))
    assert points.settle(THETA)
    assert points.models(MANY) is None
    np.testing.assert_allclose(points.values(MANY), np.exp(MANY[:, 0]))


def test_it_gives_up_where_every_point_settled_at_takes_new_paths():
    objective = Objective([branching(k) for k in range(12)], LAYOUT)
    points = Points(objective)
    told = [points.settle(np.array([0.5 * k + 0.25, 1.0, 1.0])) for k in range(10)]
    assert told == sorted(told, reverse=True)
    assert told[0]
    assert not told[-1]
