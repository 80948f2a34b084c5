"""Arrays changed in place: what numpy computes, with exact gradients.

Each program takes a vector of three parameters. What plain numpy makes of it is the value it has
to have; its gradient is compared with difference quotients, to second order.
"""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from softtape import grad, hvp, value_and_grad
from softtape.arrays import Fresh, Mosaic, Mutated
from softtape.errors import TraceError
from softtape.patches import following
from softtape.tape import Tape, Traced

START = np.array([0.7, 0.4, -0.3])
DIRECTION = np.array([0.3, -0.2, 0.5])


def slices_and_masks(p):
    u = np.linspace(0, 1, 7)
    u[1:-1] += p[0] * np.sin(u[1:-1])
    u[::2] *= p[1]
    u[u > 0.5] -= p[2]
    return np.sum(u**3)


def views_of_a_made_array(p):
    a = np.ones((3, 3))
    row = a[1]
    col = a[:, 2]
    t = a.T
    row[:] = p
    col *= p[0]
    t[0] += p[1]
    a.reshape(-1)[4] = 7 * p[2]
    return np.sum(a**2 * np.arange(9).reshape(3, 3)) + row[1] * col[0]


def elements_and_rows_of_a_traced_matrix(p):
    matrix = np.outer(p, p) + 3 * np.eye(3)
    n = 3
    for k in range(n):
        for i in range(k + 1, n):
            matrix[i, k] /= matrix[k, k]
            matrix[i, k + 1 :] -= matrix[i, k] * matrix[k, k + 1 :]
    return np.sum(matrix * np.arange(9).reshape(3, 3))


def rows_under_two_names(p):
    matrix = np.outer(p, p) + 3 * np.eye(3)
    other = matrix
    row0 = matrix[0]
    for k in range(3):
        matrix[k] /= matrix[k, k]
        for i in range(k + 1, 3):
            matrix[i] -= matrix[i, k] * matrix[k]
    return np.sum(other**2) + np.sum(row0)


def names_and_views_of_a_result(p):
    y = p * 2
    z = y
    v = y[1:]
    y += 1
    v *= p[0]
    z[0] = 5.0
    return np.sum(y**2) + np.sum(v) + np.sum(z * p)


def results_into_given_arrays(p):
    b = np.empty(3)
    np.sin(p, out=b)
    np.multiply(b, p, out=b)
    c = np.zeros(3)
    np.add(b, 1.0, out=c, where=b > 0.1)
    d = np.zeros(())
    np.sum(p, out=d)
    return np.sum(c**2) + d


def accumulation_at_places(p):
    h = np.zeros(4)
    np.add.at(h, [0, 1, 1, 3], np.concatenate([p, p[:1]]))
    np.subtract.at(h, [2, 2], p[0])
    np.multiply.at(h, [1, 1], p[2])
    return np.sum(h**2 * np.arange(4))


def what_was_assigned_changes_after_a_part_was_read(p):
    w = np.outer(p, p)
    row, number = p * 2, np.sum(p, keepdims=True)
    a, b, c, d = np.zeros((3, 3)), np.zeros(3), np.zeros((1, 3)), np.zeros(3)
    a[:], b[None], c[:], d[:] = w, row, row, number
    parts = a[0] @ p + b[:2].sum() + c.ravel() @ p + d[1]
    w *= 3.0
    row[1] = 7.0
    number += p[0]
    return parts + np.sum(a**2) + np.sum(b * p) + np.sum(c**3) + d @ p + np.sum(w) + np.sum(row)


def functions_that_change_their_argument(p):
    a = np.zeros(3)
    np.copyto(a, p)
    np.copyto(a, p * p, where=np.array([True, False, True]))
    b = np.zeros((2, 3))
    np.copyto(b, a)
    np.put(b, [0, 4], p[1])
    np.putmask(b, b > 1, p[0])
    np.place(b, b < 0, [p[1], p[2]])
    np.fill_diagonal(b, p[0] * 3)
    np.put_along_axis(b, np.array([[1], [0]]), p[2] ** 2, axis=1)
    return np.sum(b**2 * np.arange(6).reshape(2, 3))


def methods_that_change_the_array(p):
    a = np.zeros(3)
    a.fill(p[0])
    a[1] = p[1]
    b = np.concatenate([a, p])
    b.sort()
    c = np.array(p)
    c.sort()
    c[0] *= 2
    a.put([2], p[2])
    d = a.copy()
    d[0] = 0.0
    e = copy.deepcopy(a)
    e *= 3
    f = copy.copy(a)
    f[:] = 1.0
    return (
        np.sum(b * np.arange(6)) + np.sum(c**3) + np.sum(a**2) + np.sum(d) * p[0] + e @ a + f.sum()
    )


def flat_elements(p):
    a = np.zeros((2, 3))
    a.flat[1::2] = p
    a.flat[0] = p[0] ** 2
    b = p * 1.0
    b.flat[1] = p[0]
    return np.sum(a**2) + sum((x * i for i, x in enumerate(a.flat))) + b @ p


def open_meshes_and_repeated_places(p):
    a = np.zeros((3, 4))
    a[np.ix_([0, 2], [1, 3])] += p[0]
    a[np.ix_([0, 1], [0, 2])] = np.outer(p[:2], p[1:])
    a[[0, 0], [1, 1]] += p[2]
    a[..., -1] *= p[1]
    a[None, 0, :2] = p[0]
    return np.sum(a**2 * np.arange(12).reshape(3, 4))


def loops_over_elements_and_rows(p):
    x = np.zeros(3)
    for i, v in enumerate(p):
        x[i] = v * v
    for i, row in enumerate(x):
        x[i] = row + i
    m = np.zeros((2, 3))
    for r in m:
        r += p
    for i in range(2):
        for r in m[i : i + 1]:
            r *= i + 1
    return sum(x) + m.sum() + max(x) * min(x) + sorted(x)[1]


def functions_of_a_changed_array(p):
    x = np.zeros(5)
    x[1:4] = p
    y = np.reshape(x, (5, 1))
    y[0] = p[0] * 7
    z = np.flip(x)
    z[0] = 2 * p[1]
    w = np.split(x, [2])[0]
    w *= 3.0
    return (
        np.cumsum(x) @ np.arange(5)
        + np.diff(x)[0] ** 2
        + np.mean(x) * np.dot(x, x)
        + np.linalg.norm(x)
        + np.where(x > 0, x, 0).sum()
        + np.concatenate([x, x])[6]
    )


def numbers_over_traced_values(p):
    x = np.zeros(4)
    x[0] = p[0]
    x[0] = 2.0
    x[1] = p[1]
    x[2] = np.pi
    q = x[2:]
    x[3] = x[2] * 2
    return np.sum(x**2) + q.sum() * p[2]


def copies_keep_what_was(p):
    x = np.zeros(3)
    hist = []
    for k in range(3):
        x[k] = p[k]
        hist.append(x.copy())
    y = p * 1
    t = y * 2
    x[:] = y
    y[0] = 100.0
    x[1:] = x[:-1]
    return sum(np.sum(h) for h in hist) + np.sum(x * t)


def constants_keep_what_was(p):
    c = np.array([1.0, 2.0, 3.0])
    s = np.sum(c * p)
    c[0] = 10.0
    s += np.sum(c * p)
    c *= 2
    s += c @ p
    c[:] = p
    s += c @ p
    return s


def traced_masks_and_positions(p):
    x = p * 2
    x[x < 1] = 0.5 * p[0]
    x[np.argmax(x)] *= 2
    y = np.zeros(3)
    y[p > 0] = p[p > 0]
    y[np.argsort(p)] += np.arange(3.0)
    return np.sum(x**2) + y @ y


def array_without_axes(p):
    s = np.zeros(())
    for a in p:
        s += a * a
    s[...] = s * 2
    return s + 0


def view_without_axes(p):
    q = p * p
    s = q[0, ...]
    s[...] = s * p[1]
    t = np.where(p[0] > 0, s, p[2])  # an array, too
    t += p[2]
    return np.sum(q) + s * t


def derivative_at_a_changed_array(p):
    x = np.zeros(3)
    x[:] = p
    g = grad(lambda q: np.sum(q**3 * x))(x)
    return np.sum(g * p)


def changes_inside_a_derivative(p):

    def inner(q):
        y = np.zeros(3)
        y[0] = q[0] * p[0]
        y[1:] = q[:2]
        y *= p
        return np.sum(y**2)

    return np.sum(grad(inner)(p) ** 2)


def columns(p):
    xs = np.empty((5, 3))
    xs[:, 0] = 1.0
    for j in range(1, 3):
        xs[:, j] = xs[:, j - 1] * np.linspace(0, 1, 5) * p[j]
    xs[2:4, 1:] = p[0]
    return np.sum(xs.sum(axis=0) ** 2) + xs[:, 1] @ xs[:, 2]


def views_of_views(p):
    a = np.zeros((4, 4))
    b = a[1:3]
    c = b.T
    d = c[::-1]
    d[0] = p[:2]
    b += 1
    a[2, 2] = p[2]
    return np.sum(a * np.arange(16).reshape(4, 4)) + np.sum(d**2)


def views_of_a_result(p):
    y = np.outer(p, p)
    r = y.ravel()
    t = y.T
    s = y[1:, ::2]
    f = np.flip(y)
    t[0, 1] = 5 * p[0]
    s *= 2.0
    f[0, 0] = p[1]
    r[3] += p[2]
    return np.sum(y * np.arange(9).reshape(3, 3)) + np.sum(r**2) + np.sum(s) + f.sum()


def parts_of_a_split(p):
    y = p * 2
    a, b = np.split(y, [1])
    b[0] = 7 * p[0]
    a += 1
    return y @ np.arange(3)


def rows_of_an_iteration(p):
    y = np.outer(p, p)
    for row in y:
        row -= row.mean()
    for i, row in enumerate(y):
        row[i] = p[i]
    return np.sum(y**2)


def swaps(p):
    x = np.array([p[0], 2 * p[1], 3.0])
    x[0], x[1] = (x[1], x[0])
    y = np.zeros(3)
    y[:] = x
    y[[0, 2]] = y[[2, 0]]
    z = p * 1
    z[[0, 1]] = z[[1, 0]]
    z[0], z[2] = (z[2], z[0])
    return x @ np.arange(3) + y @ y * p[0] + z @ np.array([1.0, 10, 100])


def overlapping_reads_and_writes(p):
    x = np.zeros(5)
    x[:3] = p
    x[1:] = x[:-1]
    x[1:] += x[:-1]
    x[::-1][:2] *= x[:2]
    return np.sum(x * np.arange(5))


def operators_of_every_kind(p):
    x = np.ones(3)
    x += x
    x *= p
    x -= x * x
    x[...] = x[::-1]
    x **= 2
    x /= 2.0
    return np.sum(x)


def makers_by_example(p):
    z = np.zeros_like(p)
    z[0] = p[1]
    o = np.ones_like(z)
    o *= z
    e = np.empty_like(p)
    e[:] = p
    q = np.full_like(p, 3.0)
    q[1] = p[0]
    f = np.full(3, p[0])
    f[1] = 2.0
    return z @ p + o.sum() + e @ q + f @ p


def branches_and_loops_on_elements(p):
    x = np.zeros(3)
    for i in range(3):
        if p[i] > 0:
            x[i] = p[i]
        else:
            x[i] = -2 * p[i]
    if x[1] > x[2]:
        x[0] *= 2
    while x[0] < 5:
        x *= 1.7
    return x.sum()


def further_makers(p):
    t = np.tile(np.array([1.0, 2.0]), 2)
    t[0] = p[0]
    r = np.repeat([1.0, 2.0], 2)
    r[1] = p[1]
    t2 = np.tile(p, 1)
    t2[0] = 0.0
    e = np.eye(2)
    e[0, 1] = p[2]
    c = np.concatenate([[1.0], [2.0]])
    c[0] = p[0]
    i = np.identity(2)
    i *= p[0]
    return t.sum() + r @ r + t2.sum() + e.sum() + c @ c + p.sum() + i.sum()


def what_is_a_copy_and_what_is_not(p):
    y = p * 2
    a = y.astype(float)
    b = np.array(y)
    c = np.copy(y)
    d = y.copy()
    e = np.asarray(y)
    f = y.flatten()
    g = copy.deepcopy(y)
    h = y.ravel()
    y[0] = 100 * p[0]
    return sum((np.sum(q) * k for k, q in enumerate([a, b, c, d, e, f, g, h])))


def views_of_a_copy(p):
    y = p * 2
    z = y.copy()
    w = z[1:]
    y[:] = 0.0
    w[0] = p[0]
    return y.sum() + z @ p


def copies_of_what_is_given(p):
    q = np.array(p)
    q[0] = 2.0
    r = p.copy()
    r *= 2
    s = p + 0
    s[1] = 1.0
    t = +p
    t[2] = 5.0
    u = p[:] * 1
    u[0] = 9.0
    return q.sum() + r.sum() + s @ p + t @ p + u @ p + p.sum()


def arrays_kept_in_a_dict(p):
    store = {}

    def f(k):
        if k not in store:
            store[k] = np.zeros(2)
            store[k][0] = p[k]
        store[k][1] += p[0]
        return store[k]

    return sum(f(k).sum() * f(k)[1] for k in range(3))


def reductions(p):
    x = np.zeros(4)
    x[1:] = p
    return (
        np.cumsum(x)[-1]
        + np.prod(1 + x)
        + x.max()
        + x.min()
        + np.sort(x)[0] * 2
        + x.argmax() * p[0]
        + x.mean()
        + x.std()
        + np.median(x)
        + np.ptp(x)
        + x.clip(0, 0.5).sum()
        + x.round(1).sum() * 0
        + x.dot(x)
    )


def comparisons(p):
    x = np.zeros(3)
    x[:] = p
    m = x > 0
    x[m] = -x[m]
    y = np.where(m, x, 2 * x)
    k = np.nonzero(np.array([1, 0, 1]))[0]
    x[k] += 1
    return y.sum() + x @ p + (x == x).sum() + np.count_nonzero(m) * p[0] + int(np.any(m))


def unpacked_elements(p):
    x = np.zeros(3)
    x[:] = p
    a, b, c = x
    d, *e = x
    return (
        a * b
        + c * d
        + sum(e)
        + sum(x)
        + max(*x)
        + math.fsum(x)
        + math.hypot(*x[:2])
        + np.hypot(*x[:2])
    )


def windows_of_a_growing_array(p):
    x = np.zeros(60)
    x[0] = 1
    for i in range(59):
        x[i + 1] = x[i] * p[0] + p[1] * np.sum(x[max(0, i - 3) : i + 1])
    return np.sum(x**2)


def overwritten_values(p):
    x = np.zeros(3)
    x[:] = p
    x[:] = 0.0
    x[0] = p[0]
    x = np.zeros(3)
    x[0] = p[1]
    return x.sum()


def arrays_in_lists(p):
    xs = [np.zeros(2) for _ in range(2)]
    xs[0][0] = p[0]
    xs[1] += p[1]
    ys = np.array(xs)
    ys[0, 1] = p[2]
    zs = np.stack(xs)
    zs *= p[0]
    return ys.sum() + zs.sum() + xs[0].sum()


def views_by_methods(p):
    a = np.zeros((2, 3))
    b = a.reshape(3, 2)
    b[0] = p[:2]
    c = a.T.reshape(-1)
    c[0] = 99.0
    d = a.swapaxes(0, 1)
    d[2, 1] = p[2]
    e = a[None].squeeze()
    e[0, 0] *= 2
    f = np.atleast_2d(a[0])
    f += 1
    g = np.moveaxis(a, 0, 1)
    g[0, 0] -= p[1]
    return np.sum(a * np.arange(6).reshape(2, 3)) + c.sum()


def array_around_a_derivative(p):
    x = np.zeros(3)
    x[:] = p

    def inner(t):
        x[0] = x[0] * 1.0
        return t**2 * x[1]

    return grad(inner)(p[0]) * x[2]


def vectorized_function(p):
    f = np.vectorize(lambda a: a * a if a > 0 else -a)
    return f(p).sum()


def enumerated_positions(p):
    s = 0.0
    for i, v in np.ndenumerate(np.outer(p, p)):
        s += v * (i[0] + 1)
    for i in np.ndindex(2, 2):
        s += p[i[0]]
    return s


def generators_into_arrays(p):
    return (
        np.fromiter((a * a for a in p), float).sum()
        + np.array([a * 2 for a in p]).sum()
        + np.array([[a, b] for a, b in zip(p, p, strict=True)]).sum()
    )


def complex_numbers(p):
    z = np.zeros(3, complex)
    z[0] = p[0] + 1j * p[1]
    z *= 1j
    z[1:] += p[:2]
    return np.sum(np.abs(z + 0.1) ** 2) + z.real.sum() + np.sum(z * np.conj(z)).real


def masked_results(p):
    r = np.zeros(3)
    np.divide(1.0, p, out=r, where=p > 0)
    np.maximum(r, p, out=r)
    np.clip(r, None, 1.2, out=r)
    np.exp(r, r)
    return r.sum()


def copies_by_numpy_functions(p):
    u = np.linspace(0.5, 1.5, 3)
    total = np.zeros_like(u)
    for function in (np.zeros_like, np.copy, np.cumsum, np.sort, np.median, np.mean, np.abs):
        made = np.atleast_1d(function(u))
        made[:1] += p[0] * p[1]
        total[:] += made * p
    stacked = np.where(u > 1, u, np.roll(u, 1))
    stacked[1] *= p[2]
    return np.sum(total**2) + np.sum(stacked * np.arange(3))


PROGRAMS = [
    copies_by_numpy_functions,
    slices_and_masks,
    views_of_a_made_array,
    elements_and_rows_of_a_traced_matrix,
    rows_under_two_names,
    names_and_views_of_a_result,
    results_into_given_arrays,
    accumulation_at_places,
    what_was_assigned_changes_after_a_part_was_read,
    functions_that_change_their_argument,
    methods_that_change_the_array,
    flat_elements,
    open_meshes_and_repeated_places,
    loops_over_elements_and_rows,
    functions_of_a_changed_array,
    numbers_over_traced_values,
    copies_keep_what_was,
    constants_keep_what_was,
    traced_masks_and_positions,
    array_without_axes,
    view_without_axes,
    derivative_at_a_changed_array,
    changes_inside_a_derivative,
    columns,
    views_of_views,
    views_of_a_result,
    parts_of_a_split,
    rows_of_an_iteration,
    swaps,
    overlapping_reads_and_writes,
    operators_of_every_kind,
    makers_by_example,
    branches_and_loops_on_elements,
    further_makers,
    what_is_a_copy_and_what_is_not,
    views_of_a_copy,
    copies_of_what_is_given,
    arrays_kept_in_a_dict,
    reductions,
    comparisons,
    unpacked_elements,
    windows_of_a_growing_array,
    overwritten_values,
    arrays_in_lists,
    views_by_methods,
    array_around_a_derivative,
    vectorized_function,
    enumerated_positions,
    generators_into_arrays,
    complex_numbers,
    masked_results,
]


def _differences(program, p, h=1e-6):
    return np.array([(program(p + s) - program(p - s)) / (2 * h) for s in h * np.eye(3)])


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_value_gradient_and_second_derivative(program):
    h = 1e-6
    value, gradient = value_and_grad(program)(START)
    assert value == pytest.approx(program(START), rel=1e-14)
    np.testing.assert_allclose(gradient, _differences(program, START), rtol=1e-6, atol=1e-7)
    (product,) = hvp(program, (START,), (DIRECTION,))
    slope = grad(program)
    second = (slope(START + h * DIRECTION) - slope(START - h * DIRECTION)) / (2 * h)
    np.testing.assert_allclose(product, second, rtol=1e-5, atol=1e-6)


VIEWS = {
    "asarray": lambda a: np.asarray(a),
    "asarray_dtype": lambda a: np.asarray(a, dtype=float),
    "array": lambda a: np.array(a, copy=None),
    "ascontiguousarray": lambda a: np.ascontiguousarray(a),
    "asfortranarray": lambda a: np.asfortranarray(a),
    "require": lambda a: np.require(a),
    "astype": lambda a: a.astype(float, copy=False),
    "conj": lambda a: a.conj(),
    "np_conj": np.conj,
    "real": np.real,
    "real_if_close": np.real_if_close,
    "broadcast_to": lambda a: np.broadcast_to(a, (2, 3, 3)),
    "broadcast_arrays": lambda a: np.broadcast_arrays(a)[0],
    "einsum": lambda a: np.einsum("ij->ji", a),
    "squeeze": lambda a: np.squeeze(a[:, None]),
    "squeezed": lambda a: a[None].squeeze(0),
    "unstack": lambda a: np.unstack(a)[1] if hasattr(np, "unstack") else a[1],
    "reshape": lambda a: np.reshape(a, 9),
    "transposed": lambda a: a.T.reshape(9),
}
READ_ONLY = ("broadcast_to", "broadcast_arrays")
MADE = {
    "of_numbers": lambda p: np.ones((3, 3)),
    "of_both": lambda p: np.linspace(0, p[0], 9).reshape(3, 3).copy(),
    "traced": lambda p: np.outer(p, p) + 0.0,
}


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("view", VIEWS)
def test_what_numpy_answers_by_a_view_sees_every_change(view, made):
    def program(p):
        a = MADE[made](p)
        early = VIEWS[view](a)
        a[1, 1] = p[2]
        late = VIEWS[view](a)
        for seen in (early, late):
            if view not in READ_ONLY:
                seen *= p[1]
                seen += 1.0
            a[1] *= p[0]
            a[0, 1] = 2.0
        seen = early * np.reshape(np.arange(early.size), early.shape) + late
        return np.sum(a**3) + np.sum(seen**2)

    value, gradient = value_and_grad(program)(START)
    assert value == pytest.approx(program(START), rel=1e-12)
    assert gradient == pytest.approx(_differences(program, START), rel=1e-6)


@pytest.mark.parametrize(
    "view", [np.diag, lambda a: np.lib.stride_tricks.sliding_window_view(a, (2, 2))]
)
def test_a_view_that_is_only_read_sees_later_changes_of_a_made_array(view):
    def program(p):
        a = np.zeros((3, 3))
        early = view(a)
        a[0] = p
        late = view(a)
        a[1, 1] = p[0] * p[1]
        return np.sum(early**2) + np.sum(late**3)

    assert grad(program)(START) == pytest.approx(_differences(program, START), rel=1e-6)


def test_a_diagonal_of_a_result_taken_by_einsum_changes_it():
    def program(p):
        a = np.outer(p, p)
        early = np.diagonal(a)
        np.einsum("ii->i", a)[...] += 1.0
        return np.linalg.slogdet(a)[1] + np.sum(early**2)

    assert grad(program)(START) == pytest.approx(_differences(program, START), rel=1e-6)


def test_windows_of_a_result_see_a_later_change():
    def program(p):
        a = p * np.ones((2, 3))
        windows = sliding_window_view(a, (1, 2))[0]
        a[0, 1] = p[0] * p[2]
        return np.sum(windows**2)

    assert grad(program)(START) == pytest.approx(_differences(program, START), rel=1e-6)


def test_a_part_of_complex_numbers_that_would_miss_a_change_is_refused():
    def program(p, held):
        z = np.zeros(3, complex)
        z[:] = p * (1 + 2j)
        z *= 1 + z.real  # nobody holds it
        part = z.real if held else z.real.copy()
        z *= 1j
        return np.sum(part + z.imag)

    assert grad(program)(START, False) == pytest.approx(
        _differences(lambda p: program(p, False), START), rel=1e-6
    )
    with pytest.raises(TraceError, match=r"test_arrays.py:\d+: z \*= 1j\n.*z.real.copy\(\)"):
        grad(program)(START, True)


@pytest.mark.parametrize("given", ["traced", "made"])
@pytest.mark.parametrize("function", [np.sqrt, np.log, np.arcsin, np.reciprocal])
def test_what_where_leaves_out_has_no_slope_and_no_warning(function, given):
    def program(p):
        x = np.append(p, 0.0) if given == "traced" else np.zeros(4)
        x[:3] = p
        made = function(x, out=np.zeros(4), where=x > 0)
        return np.sum(made**2 * np.arange(1, 5))

    assert grad(program)(START) == pytest.approx(_differences(program, START), rel=1e-6)


def test_a_spectrum_of_plain_numbers_can_be_filtered_in_place():
    signal = np.sin(np.arange(16.0)) + 1

    def program(p):
        spectrum = np.fft.rfft(signal)
        spectrum[6:] = 0
        spectrum *= np.exp(-p[0] * np.arange(9))
        frequency = np.fft.rfftfreq(16)
        frequency[0] = p[1]
        return np.sum(np.fft.irfft(spectrum) ** 2) * p[2] + np.sum(frequency**2)

    assert grad(program)(START) == pytest.approx(_differences(program, START), rel=1e-6)


def test_nan_to_num_in_place_changes_the_array():
    def program(p):
        a = np.zeros(3)
        a[:2] = p[:2]
        a[2] = np.nan
        np.nan_to_num(a, copy=False, nan=p[2])
        return np.sum(a**2)

    assert grad(program)(START) == pytest.approx(2 * START)


def test_nan_to_num_in_place_gives_the_array_itself():
    def program(x):
        y = np.where(x > 1.3, np.nan, x) * 2
        made = np.nan_to_num(y, copy=False)
        made[0] = 4 * x[2]
        return np.sum(y * y)

    np.testing.assert_allclose(grad(program)(np.array([1.2, 1.5, -2.0])), [0.0, 0.0, -80.0])


def test_what_trim_zeros_leaves_sees_later_changes():
    def program(x):
        made = np.zeros(5)
        made[1:4] = x
        trimmed = np.trim_zeros(made)
        made[1] = 3 * x[0]
        return np.sum(trimmed**2)

    np.testing.assert_allclose(grad(program)(np.array([1.2, 1.5, -2.0])), [21.6, 3.0, -4.0])


@pytest.mark.parametrize(
    "program",
    [
        lambda x: np.sum(np.ma.array(x, mask=[0, 1, 0])),
        lambda x: np.ma.masked_invalid(x * 2).sum(),
        lambda x: (np.ma.masked_array(np.zeros(3), [0, 1, 0]) + x).sum(),
        lambda x: np.ma.average(x * x),
    ],
)
def test_masked_arrays_are_refused_with_their_replacement(program):
    with pytest.raises(TraceError, match=r"test_arrays\.py:\d+: lambda x: .*\n.*np\.where\(mask"):
        grad(program)(np.array([1.2, 1.5, -2.0]))


def test_elements_assigned_one_by_one_record_what_variables_would():
    with following(), Tape() as tape:
        t = tape.input("t", 0.5)
        x = np.zeros(100)
        for i in range(1, 100):
            x[i] = x[i - 1] * t + 1.0
        graph = tape.graph([x[-1] + np.sum(x)])
    done = [op for op, _, _ in graph.nodes if op not in ("input", "constant")]
    assert sorted(set(done)) == ["add", "multiply", "stack", "sum"]
    assert done.count("stack") == 1


def test_an_array_that_holds_plain_numbers_is_numpys_own_in_all_but_name():
    with following(), Tape() as tape:
        x = np.zeros(3)
        x[1] = 2.0
        x += 1.0
        assert isinstance(x, np.ndarray)
        assert type(x * 2) is Fresh
        assert type(pickle.loads(pickle.dumps(x))) is np.ndarray
        made = tape.input("t", 0.5) * x
        assert type(made._value) is np.ndarray
        assert x.tolist() == [1.0, 3.0, 1.0]


def test_a_traced_value_turns_it_and_its_views_into_mosaics():
    with following(), Tape() as tape:
        x = np.zeros((2, 2))
        row = x[0]
        x[0, 1] = tape.input("t", 0.5)
        assert type(x) is type(row) is Mosaic
        assert isinstance(x, np.ndarray)
        assert isinstance(row[1], Traced)
        assert row[0] == 0.0
        assert not isinstance(row[0], Traced)
        for read in (
            lambda: float(memoryview(x)[0, 1]),
            lambda: np.ndarray.view(x, np.ndarray) > 1,
        ):
            with pytest.raises((TypeError, NotImplementedError)):  # foreign code gets no number
                read()


def test_a_result_that_changes_in_place_stays_the_same_object():
    with following(), Tape() as tape:
        y = tape.input("v", np.ones(3)) * 2.0
        z = y
        y += 1.0
        assert y is z
        assert isinstance(y, Mutated)
        assert isinstance(y, Traced)


def test_arrays_of_the_caller_are_never_touched():
    given = np.ones(3)

    def program(t):
        x = np.asarray(given)
        x[0] = t
        return x.sum()

    with pytest.raises(TraceError, match=r"x\[0\] = t\n.*plain array.*np\.array\(x\)"):
        grad(program)(1.0)
    with pytest.raises(TraceError, match="what the program was given"):
        grad(lambda p: np.sum(p.__imul__(2.0)))(given)

    def program_with_out(t):
        np.sum(np.ones((2, 3)), axis=0, out=given)[0] = t
        return given.sum()

    with pytest.raises(TraceError, match=r"plain array"):
        grad(program_with_out)(1.0)
    given[:] = 1.0
    assert given.tolist() == [1.0, 1.0, 1.0]


def test_an_array_that_outlives_its_tape_is_refused():
    with following(), Tape() as tape:
        x = np.zeros(2)
        x[0] = tape.input("t", 0.5)
    assert x[1] == 0.0
    for use in (lambda: x + 1, lambda: x[0] * 2, lambda: np.sum(x)):
        with pytest.raises(TraceError, match="outlived the run"):
            use()


PLAIN = np.ones(3)


def seen(x):
    """A view that nobody watches, of an array that traced values were assigned to then."""
    made = np.zeros(3)
    plain = made.view(np.ndarray)
    made[:] = x
    return plain


def mutated(x):
    x[0] = 2.0
    return x


REFUSED = [
    (lambda x, t: x.resize(5), "Use numpy functions"),
    (lambda x, t: x.tobytes(), "Use numpy functions"),
    (lambda x, t: x.view(np.int64), r"x\.astype\(dtype\)"),
    (lambda x, t: pickle.dumps(x), "process of the test"),
    (lambda x, t: np.nditer(x), r"np\.ndindex"),
    (lambda x, t: np.ones(3, np.int64).__setitem__(slice(None), t * np.ones(3)), "dtype=float"),
    (lambda x, t: float(x[0]), "Drop the call"),
    (lambda x, t: np.zeros(2).__iadd__([t, 2]), r"np\.stack"),
    (lambda x, t: np.nan_to_num(seen(x)), r"plain\[\.\.\.\] = x.*np\.array\(x\)"),
    (lambda x, t: np.nansum(seen(x)), r"plain\[\.\.\.\] = x.*np\.array\(x\)"),
    (lambda x, t: PLAIN.copy().__setitem__(..., mutated(t * np.ones(3))), r"np\.stack"),
    (lambda x, t: np.meshgrid(x, [1.0, 2.0], copy=False), "Leave copy out"),
    (lambda x, t: seen(x) * t, r"plain\[\.\.\.\] = x.*np\.array\(x\)"),
]


@pytest.mark.parametrize(("change", "instead"), REFUSED)
def test_what_would_lose_it_is_refused(change, instead):
    with following(), Tape() as tape:
        t = tape.input("t", 0.5)
        x = np.zeros(3)
        x[0] = t
        with pytest.raises(
            TraceError, match=rf"(?s)test_arrays\.py:\d+: \(?lambda x, t: .*{instead}"
        ):
            change(x, t)


def test_a_loss_that_read_a_copy_of_traced_elements_is_refused():
    with following(), Tape() as tape:
        x = np.zeros(3)
        x[0] = tape.input("t", 0.5)
        with pytest.raises(TraceError, match="copying an array with traced elements"):
            tape.graph([float(seen(x)[0]) + 1.0])


def assigned(plain, x):
    plain[...] = x


def assigned_in_part(plain, x):
    plain[1:] = x[1:]


def assigned_by_number(plain, x):
    plain[[0, 2]] = x[::2].T


def assigned_row(plain, x):
    plain[1] = np.ndarray.__getitem__(x, 1)


@pytest.mark.parametrize("dtype", [float, np.float32, complex])
@pytest.mark.parametrize(
    "assign",
    [assigned, assigned_in_part, assigned_by_number, assigned_row],
    ids=lambda f: f.__name__,
)
def test_a_plain_array_cannot_be_filled_from_one_with_traced_elements(assign, dtype):
    plain = np.ones(3, dtype)

    def program(t):
        x = np.zeros(3, dtype)
        x[:] = t
        assign(plain, x)
        return t * 2.0 if plain[1] > 1 else t  # a branch that no guard would know of

    wanted = r"test_arrays\.py:\d+: plain\[.*\] = .*\ncopying an array with traced.*np\.stack"
    with pytest.raises(TraceError, match=wanted):
        grad(program)(2.0)
    assert plain.tolist() == [1.0, 1.0, 1.0]


def test_an_array_whose_traced_elements_are_overwritten_is_read_by_its_protocols():
    def program(t):
        x = np.zeros(3)
        x[1] = t
        before = x[1] * 1.0
        x[1] = 5.0
        assert x.view(np.ndarray).tolist() == np.asarray(x).tolist() == [0.0, 5.0, 0.0]
        assert x.dtype == np.result_type(x) == np.dtype(float)
        return before * x[1]

    assert grad(program)(2.0) == 5.0


def test_what_numpy_refuses_is_refused():
    with following(), Tape() as tape:
        t = tape.input("t", 0.5)
        x = np.zeros(3)
        x[0] = t
        for wrong in (
            lambda: x.__setitem__(5, t),
            lambda: x.__setitem__(slice(2), t * np.ones(3)),
            lambda: (t * 1.0).__setitem__(0, 1.0),
            lambda: np.add(np.zeros(3, int), t, out=np.zeros(3, int)),
            lambda: np.broadcast_to(t * np.ones(1), (3,)).__setitem__(0, 1.0),
        ):
            with pytest.raises((IndexError, ValueError, TypeError)):
                wrong()


@pytest.mark.filterwarnings("ignore:you are shuffling:UserWarning")
def test_numpy_permutes_traced_arrays():
    def program(x):
        rows = np.random.default_rng(1).permutation(np.outer(x, x))
        return np.sum(np.random.default_rng(0).permutation(x) * rows[1] * np.arange(4.0))

    x = np.array([0.5, 1.5, 2.5, 3.5])
    steps = [1e-6 * d for d in np.eye(4)]
    slopes = [(program(x + h) - program(x - h)) / 2e-6 for h in steps]
    np.testing.assert_allclose(grad(program)(x), slopes, rtol=1e-7)


def test_a_number_that_was_broadcast_is_an_array_like_any_other():
    def program(x):
        row = np.copy(np.broadcast_to(x, (3,)))
        row[1] = 2.0 * x
        return row[0] * row[1]

    assert grad(program)(1.5) == 6.0


def test_real_and_imaginary_parts_of_a_new_array_are_assigned():
    def program(x):
        z, a = np.ones(3, complex), np.zeros(3)
        z.real, z.imag = x, x[::-1] ** 2
        z[1:].real = x[0]
        a.real = x
        return np.sum(np.abs(z * a) ** 2)

    x = np.array([0.5, 1.5, 2.5])
    steps = [1e-6 * d for d in np.eye(3)]
    slopes = [(program(x + h) - program(x - h)) / 2e-6 for h in steps]
    np.testing.assert_allclose(grad(program)(x), slopes, rtol=1e-7)


def test_a_real_array_has_no_imaginary_part_to_assign():
    def program(x):
        np.zeros(3).imag = x

    with pytest.raises(TypeError):
        grad(program)(np.ones(3))


def test_arrays_with_traced_elements_are_compared_with_plain_ones_on_either_side():
    given = np.array([0.0, 1.5, 2.0])

    def program(x):
        a = np.zeros(3)
        a[1] = x
        equal = np.stack([a == given, given == a, a == 1.5, np.float64(1.5) == a, ~(a != given)])
        np.testing.assert_array_equal(equal.astype(int).sum(axis=0), [3, 5, 0])
        assert 1.5 in a
        assert 2.5 not in a
        return np.where(a == 0.0, 1.0, a).sum()

    assert grad(program)(1.5) == 1.0


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # from numpy 2.5 on
def test_a_shape_that_is_assigned_holds_for_what_is_read_and_written_then():
    def program(x):
        a = np.zeros(6)
        a[3:] = x
        assert a[3] == 2.0
        a.shape = (2, 3)
        a[0, 0] = x * x
        return a[1].sum() + a[0, 0]

    assert grad(program)(2.0) == 3.0 + 4.0
