"""NIST's certified regressions and the functions of Moré, Garbow and Hillstrom, beside peers.

Each fit is made with the defaults of its library: no tolerance, scale or step is set (optimistix
has no default tolerance; it gets 1e-8). softtape gets one soft test per observation, or one in all
for the functions of Moré, Garbow and Hillstrom; the others get the vector of residuals. scipy and
lmfit differentiate by finite differences, as they do by default, optimistix through JAX.

- **digits**: for NIST, the correct digits of the worst parameter, -log10 of its relative error
  against the certified value. For the others, which have a published minimum of six digits but no
  certified parameters, -log10 of a tenth of the relative error of 𝓛 against the nearest published
  minimum, where this is zero -log10 of 𝓛 / 1e-10. Never more than 11.
- **solved**: 6 digits; for the others, that is 𝓛 within 1e-5 of a published minimum, relatively,
  or below 1e-16 where this is zero.
- **evaluations**: of 𝓛 and of its derivatives for softtape, of the residuals for scipy and lmfit,
  finite differences included; steps for optimistix.
- **time**: of one fit, for softtape with recording, for optimistix with compilation. The functions
  of Moré, Garbow and Hillstrom are called back from JAX, with exact derivatives: XLA takes minutes
  to compile the longer of them.

    python benchmarks/certified.py

Peers that are not installed are left out.
"""

import datetime
import importlib.util
import sys
import types
import warnings
from functools import partial
from pathlib import Path

from common import machine, markdown, np, seconds, timed

import softtape
from softtape.objective import Layout, Objective, Term
from softtape.optimize import Bounds, choose, minimize
from softtape.tape import Tape

TESTS = Path(__file__).parents[1] / "tests"


def load(name):
    """Import a test module: its problems are the ones measured here."""
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def installed(*names):
    return all(importlib.util.find_spec(name) for name in names)


class Counted:
    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, theta):
        self.calls += 1
        return self.function(theta)


# ---- fitters: residuals(θ, numpy or jax.numpy) and start -> θ, evaluations


def by_softtape(parts, start):
    """Fit one soft test per part."""
    keys = [f"p{i:02}" for i in range(len(start))]

    def trace(part, values):
        with Tape() as tape:
            blanks = [tape.input(key, float(values[key])) for key in keys]
            return tape.graph([sum(r * r for r in part(blanks))])

    values = dict(zip(keys, start, strict=True))
    traces = [partial(trace, part) for part in parts]
    terms = [Term(str(i), traced(values), traced) for i, traced in enumerate(traces)]
    objective = Objective(terms, Layout(dict.fromkeys(keys, ())))
    optimizer, _ = choose("auto", n_params=len(keys), has_residuals=objective.has_residuals)
    bounds = Bounds.unbounded(len(keys))
    result = minimize(objective, start, optimizer=optimizer, bounds=bounds)
    return result.theta, result.evaluations


def by_scipy(method):
    from scipy.optimize import least_squares  # noqa: PLC0415 -- a peer

    def fit(residuals, start):
        counted = Counted(lambda t: np.asarray(residuals(list(t), np), float))
        return least_squares(counted, start, method=method).x, counted.calls

    return fit


def by_lmfit():
    import lmfit  # noqa: PLC0415 -- a peer

    def fit(residuals, start):
        params = lmfit.Parameters()
        for i, value in enumerate(start):
            params.add(f"p{i}", value=value)
        names = list(params)
        counted = Counted(lambda p: np.asarray(residuals([p[n].value for n in names], np)))
        found = lmfit.minimize(counted, params)
        return np.array([found.params[f"p{i}"].value for i in range(len(start))]), counted.calls

    return fit


def by_optimistix():
    import jax  # noqa: PLC0415 -- a peer
    import optimistix  # noqa: PLC0415

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def fit(residuals, start):
        def parts(theta, _):
            return residuals(list(theta), jnp)

        solver = optimistix.LevenbergMarquardt(rtol=1e-8, atol=1e-8)  # it has no default
        found = optimistix.least_squares(
            parts, solver, jnp.asarray(start), max_steps=10_000, throw=False
        )
        return np.asarray(found.value), int(found.stats["num_steps"])

    return fit


def fitters():
    found = {}
    if installed("scipy"):
        found |= {"scipy trf": by_scipy("trf"), "scipy lm": by_scipy("lm")}
    if installed("lmfit"):
        found["lmfit"] = by_lmfit()
    if installed("jax", "optimistix"):
        found["optimistix"] = by_optimistix()
    return found


# ---- problems: name, parts for soft tests, residuals for the peers, start, digits reached


def with_module(function, xp):
    """The same function with another module as its ``np``."""
    return types.FunctionType(function.__code__, {**function.__globals__, "np": xp})


def through_numpy(function, theta):
    """Call the function from JAX, without a trace: XLA needs minutes for the longer ones."""
    import jax  # noqa: PLC0415 -- a peer

    def values(theta):
        return np.array([float(r) for r in function([float(x) for x in theta])])

    def derivatives(theta):
        rows = softtape.jacobian(lambda x: np.stack(function(list(x))))
        return np.asarray(rows(np.asarray(theta)))

    m, n = len(function([1.0] * theta.size)), theta.size

    @jax.custom_jvp
    def residuals(theta):
        return jax.pure_callback(values, jax.ShapeDtypeStruct((m,), float), theta)

    @residuals.defjvp
    def _(primals, tangents):
        rows = jax.pure_callback(derivatives, jax.ShapeDtypeStruct((m, n), float), *primals)
        return residuals(*primals), rows @ tangents[0]

    return residuals(theta)


def certified():
    nist = load("nist/test_nist")
    for name, program in nist.PROGRAMS.items():
        problem = nist.read(name)
        y, x = np.array(problem.rows).T

        def part(theta, row, program=program):
            return [program(row[1], *theta) - row[0]]

        def residuals(theta, xp, program=program, x=x, y=y):
            return with_module(program, xp)(x, *theta) - y

        def digits(theta, problem=problem):
            error = np.max(np.abs(theta - problem.certified) / np.abs(problem.certified))
            return digits_of(error)

        parts = [partial(part, row=row) for row in problem.rows]
        for i, start in enumerate(problem.starts, 1):
            yield f"{name} {i}", parts, residuals, start, digits


def unconstrained():
    classic = load("unconstrained/test_unconstrained")
    for name, problem in classic.PROBLEMS.items():

        def residuals(theta, xp, problem=problem):
            if xp is not np:
                return through_numpy(problem.residuals, xp.stack(theta))
            return [float(r) for r in problem.residuals(theta)]

        def digits(theta, problem=problem):
            loss = sum(float(r) ** 2 for r in problem.residuals(list(theta)))
            errors = [loss / 1e-10 if m == 0 else abs(loss - m) / m / 10 for m in problem.minima]
            return digits_of(min(errors))  # published to six digits: 1e-5 counts as solved

        yield name, [problem.residuals], residuals, np.array(problem.start), digits


def digits_of(error):
    return 0.0 if not error < 1 else min(-np.log10(max(error, 1e-11)), 11.0)


def compare(title, problems, peers):
    """Print a Markdown table of what the fits come to; one of digits, evaluations, time of each."""
    names = ["softtape", *peers]
    lines = [[title, *names]]
    solved, asked, spent = (dict.fromkeys(names, 0) for _ in range(3))
    for name, parts, residuals, start, digits in problems:
        line = [name]
        fits = {"softtape": partial(by_softtape, parts, start)}
        fits |= {peer: partial(fit, residuals, start) for peer, fit in peers.items()}
        for peer, fit in fits.items():
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                try:
                    took, (theta, evaluations) = timed(fit)
                    right = digits(np.asarray(theta, float))
                except Exception as error:
                    line.append(type(error).__name__)
                    continue
            solved[peer] += right >= 6
            asked[peer] += evaluations
            spent[peer] += took
            line.append(f"{right:.1f}, {evaluations}, {seconds(took)}")
        lines.append(line)
        print(".", end="", file=sys.stderr, flush=True)
    summary = [
        [title, *names],
        [f"solved, of {len(lines) - 1}", *map(str, solved.values())],
        ["evaluations in all", *map(str, asked.values())],
        ["time in all", *map(seconds, spent.values())],
    ]
    print(f"\n{markdown(summary)}\n\n{markdown(lines)}", flush=True)


def main():
    print(datetime.date.today(), machine())
    print(__doc__.partition("\n\n")[2].partition("    python")[0].strip())
    peers = fitters()
    compare("NIST, problem and start", certified(), peers)
    compare(
        "Moré, Garbow and Hillstrom",
        unconstrained(),
        {k: v for k, v in peers.items() if k != "lmfit"},
    )


if __name__ == "__main__":
    main()
