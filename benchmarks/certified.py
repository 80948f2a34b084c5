"""NIST's certified nonlinear regressions from both starts, beside scipy, lmfit and optimistix.

Each fit is made with the defaults of its library: no tolerance, scale or step is set (optimistix
has no default tolerance; it gets 1e-8). softtape gets one soft test per observation, the others the
vector of residuals; scipy and lmfit differentiate by finite differences, as they do by default,
optimistix through JAX, compilation included. Evaluations are of L and of its derivatives for
softtape, of the residuals for scipy and lmfit, steps for optimistix. Digits are the correct digits
of the worst parameter, -log10 of the relative error against the certified value; 6 count as solved.

    python benchmarks/certified.py [--unconstrained]

With ``--unconstrained``: the test functions of Moré, Garbow and Hillstrom instead, which have a
published minimum, of six digits, but no certified parameters: solved is 𝓛 within 1e-5 of it, or
below 1e-15 where it is zero. Without optimistix: JAX needs minutes to compile the longer ones.
Peers that are not installed are left out.
"""

import argparse
import importlib.util
import sys
import types
import warnings
from functools import partial
from pathlib import Path

from common import machine, np, seconds, timed

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


def fitters(jax):
    found = {}
    if installed("scipy"):
        found |= {"scipy trf": by_scipy("trf"), "scipy lm": by_scipy("lm")}
    if installed("lmfit"):
        found["lmfit"] = by_lmfit()
    if jax and installed("jax", "optimistix"):
        found["optimistix"] = by_optimistix()
    return found


# ---- problems: name, parts for soft tests, residuals for the peers, start, digits reached


def with_module(function, xp):
    """The same function with another module as its ``np``."""
    return types.FunctionType(function.__code__, {**function.__globals__, "np": xp})


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

        def residuals(theta, _, problem=problem):
            return [float(r) for r in problem.residuals(theta)]

        def digits(theta, problem=problem):
            loss = sum(float(r) ** 2 for r in problem.residuals(list(theta)))
            errors = [loss / 1e-9 if m == 0 else abs(loss - m) / m for m in problem.minima]
            return digits_of(min(errors) / 10)  # published to six digits: 1e-5 counts as solved

        yield name, [problem.residuals], residuals, np.array(problem.start), digits


def digits_of(error):
    return 0.0 if not error < 1 else min(-np.log10(max(error, 1e-11)), 11.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unconstrained", action="store_true")
    classic = parser.parse_args().unconstrained
    problems = list(unconstrained() if classic else certified())
    peers = fitters(jax=not classic)
    names = ["softtape", *peers]
    print(machine())
    print(f"{'':28}" + "".join(f"{name:>24}" for name in names))
    print(f"{'':28}" + f"{'digits  evals    time':>24}" * len(names))
    solved = dict.fromkeys(names, 0)
    spent = dict.fromkeys(names, 0.0)
    for name, parts, residuals, start, digits in problems:
        line = f"{name:28}"
        fits = {"softtape": partial(by_softtape, parts, start)}
        fits |= {peer: partial(fit, residuals, start) for peer, fit in peers.items()}
        for peer, fit in fits.items():
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                try:
                    took, (theta, evaluations) = timed(fit)
                    right = digits(np.asarray(theta, float))
                except Exception as error:
                    line += f"{type(error).__name__:>24.23}"
                    continue
            solved[peer] += right >= 6
            spent[peer] += took
            line += f"{right:8.1f}{evaluations:7}{seconds(took):>9}"
        print(line, flush=True)
    print(f"{'solved, of ' + str(len(problems)):28}" + "".join(f"{n:>24}" for n in solved.values()))
    print(f"{'time in all':28}" + "".join(f"{seconds(t):>24}" for t in spent.values()))


if __name__ == "__main__":
    main()
