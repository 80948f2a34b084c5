"""Certified answers: NIST's Statistical Reference Datasets, each row of data a soft test.

Source: NIST/ITL StRD, nonlinear regression (https://www.itl.nist.gov/div898/strd), public domain;
14 of the 27 problems, each from both of its starts. Nothing is tuned per problem: the optimizer is
what ``auto`` takes, there is no threshold, and derivatives come from the tape.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from softtape.objective import Layout, Objective, Term
from softtape.optimize import Bounds, choose, minimize
from softtape.statistics.uncertainty import estimate
from softtape.tape import Tape

DATA = Path(__file__).with_name("data")


def saturation(x, b1, b2):
    return b1 * (1 - np.exp(-b2 * x))


def rational3(x, b1, b2, b3, b4, b5, b6, b7):
    return (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)


def enso(x, b1, b2, b3, b4, b5, b6, b7, b8, b9):
    turn = 2 * np.pi * x
    year = b2 * np.cos(turn / 12) + b3 * np.sin(turn / 12)
    slow = b5 * np.cos(turn / b4) + b6 * np.sin(turn / b4)
    return b1 + year + slow + b8 * np.cos(turn / b7) + b9 * np.sin(turn / b7)


def gauss(x, b1, b2, b3, b4, b5, b6, b7, b8):
    peaks = b3 * np.exp(-((x - b4) ** 2) / b5**2) + b6 * np.exp(-((x - b7) ** 2) / b8**2)
    return b1 * np.exp(-b2 * x) + peaks


PROGRAMS = {
    "Misra1a": saturation,
    "Misra1c": lambda x, b1, b2: b1 * (1 - (1 + 2 * b2 * x) ** -0.5),
    "BoxBOD": saturation,
    "Chwirut2": lambda x, b1, b2, b3: np.exp(-b1 * x) / (b2 + b3 * x),
    "DanWood": lambda x, b1, b2: b1 * x**b2,
    "ENSO": enso,
    "Gauss1": gauss,
    "Hahn1": rational3,
    "Kirby2": lambda x, b1, b2, b3, b4, b5: (b1 + b2 * x + b3 * x**2) / (1 + b4 * x + b5 * x**2),
    "Lanczos3": lambda x, b1, b2, b3, b4, b5, b6: (
        b1 * np.exp(-b2 * x) + b3 * np.exp(-b4 * x) + b5 * np.exp(-b6 * x)
    ),
    "MGH09": lambda x, b1, b2, b3, b4: b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4),
    "MGH17": lambda x, b1, b2, b3, b4, b5: b1 + b2 * np.exp(-x * b4) + b3 * np.exp(-x * b5),
    "Rat42": lambda x, b1, b2, b3: b1 / (1 + np.exp(b2 - b3 * x)),
    "Thurber": rational3,
}


@dataclass(frozen=True)
class Problem:
    starts: tuple[np.ndarray, np.ndarray]
    certified: np.ndarray
    deviations: np.ndarray
    residual_sum: float
    rows: list[tuple[float, float]]


def read(name):
    text = (DATA / f"{name}.dat").read_text()
    number = r"[-+]?\d*\.?\d+(?:[EeDd][-+]?\d+)?"
    table = re.findall(rf"^\s*b\d+\s*=((?:\s+{number}){{4}})\s*$", text, re.MULTILINE)
    columns = np.array([[float(v) for v in row.split()] for row in table]).T
    (total,) = re.findall(rf"Residual Sum of Squares:\s+({number})", text)
    data = text[text.rindex("Data:") :].splitlines()[1:]
    rows = [tuple(float(v) for v in line.split()) for line in data if line.strip()]
    return Problem((columns[0], columns[1]), columns[2], columns[3], float(total), rows)


def fit(name, start):
    problem, program = read(name), PROGRAMS[name]
    keys = [f"b{i + 1:02}" for i in range(len(problem.certified))]
    layout = Layout(dict.fromkeys(keys, ()))

    def term(number, y, x):
        def trace(values):
            with Tape() as tape:
                blanks = [tape.input(key, float(values[key])) for key in keys]
                return tape.graph([(program(x, *blanks) - y) ** 2])

        return Term(str(number), trace(dict(zip(keys, problem.starts[start], strict=True))), trace)

    objective = Objective([term(i, *row) for i, row in enumerate(problem.rows)], layout)
    optimizer, _ = choose("auto", n_params=len(keys), has_residuals=objective.has_residuals)
    assert optimizer.name == "lm"
    bounds = Bounds.unbounded(len(keys))
    result = minimize(objective, problem.starts[start], optimizer=optimizer, bounds=bounds)
    return problem, result, objective


def test_the_files_are_read_whole():
    sizes = {name: len(read(name).rows) for name in PROGRAMS}
    assert sizes["Misra1a"] == 14
    assert sizes["ENSO"] == 168
    assert sizes["Gauss1"] == 250
    assert sum(sizes.values()) > 1000
    assert {p.stem for p in DATA.glob("*.dat")} == set(PROGRAMS)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", PROGRAMS)
def test_certified_parameters(name, start):
    problem, result, objective = fit(name, start)
    error = np.max(np.abs(result.theta - problem.certified) / np.abs(problem.certified))
    assert -np.log10(error) >= 6, f"{-np.log10(error):.1f} digits, {result.status.sentence}"
    assert result.value == pytest.approx(problem.residual_sum, rel=1e-8, abs=0)
    known = estimate(*objective.residuals_and_jacobian(result.theta))
    assert known.dof == len(problem.rows) - len(problem.certified)
    error = np.max(np.abs(known.errors - problem.deviations) / problem.deviations)
    assert -np.log10(error) >= 6, f"standard deviations to {-np.log10(error):.1f} digits"
