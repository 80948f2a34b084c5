"""What a fit has to say, as plain data: workers send it to the controller, reports render it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from pytest_soft.verdict import TestLoss

from pytest_soft.verdict import Sides

__all__ = ["ComponentFit", "FitSummary", "ParamChange", "PriorTerm", "Trouble"]

_MOST_NAMES = 3


class ParamChange(NamedTuple):
    """One Param before and after.

    Attributes
    ----------
    name
        Its name in its module.
    file
        The source file that declares it.
    shape
        Shape of its value.
    old
        Its value before, for a number; None for an array, or a blank never filled in.
    new
        Its value after, for a number; None for an array.
    change
        Root mean square of the change of its elements, in its own unit; NaN for a blank
        that had no value.
    at_bound
        Whether (an element of) it lies on one of its bounds.
    error
        Standard error of a number, in its unit; None where there is none to give.
    interval
        Ends of the 95 % confidence interval; None where there is no standard error.
    interval_by
        How it was found: by ``curvature`` or by ``profile``.
    no_error
        Why a number has no standard error; empty where it has one.
    tied
        Whether it is no Param, but a value tied to some.
    """

    name: str
    file: str
    shape: tuple[int, ...]
    old: float | None
    new: float | None
    change: float
    at_bound: bool
    error: float | None = None
    interval: tuple[float, float] | None = None
    interval_by: str = "curvature"
    no_error: str = ""
    tied: bool = False


class ComponentFit(NamedTuple):
    """The fit of tests and Params that share nothing with the others.

    Attributes
    ----------
    params
        Names of its Params; where modules share names, with that of the module before it.
    tests
        Ids of its tests.
    before
        Its part of 𝓛 at the start.
    after
        Its part of 𝓛 at the best point, as the tape computes it.
    end
        How it ended, in a word: ``converged``, ``threshold``, ``stopped`` or ``failed``, or
        ``not begun``.
    outcome
        Why, in words; empty where there is nothing more to say.
    optimizer
        Which optimizer.
    reason
        Why this one.
    steps
        Accepted steps.
    evaluations
        Evaluations of its part of 𝓛 or its derivatives.
    retraces
        How often one of its tests was traced again because it took another path.
    """

    params: list[str]
    tests: list[str]
    before: float
    after: float
    end: str
    outcome: str
    optimizer: str
    reason: str
    steps: int
    evaluations: int
    retraces: int

    @property
    def title(self) -> str:
        """Its Params, or the first of many and a count."""
        more = len(self.params) - _MOST_NAMES
        if more <= 1:  # a name takes no more room than the count
            return ", ".join(self.params)
        return f"{', '.join(self.params[:_MOST_NAMES])} and {more} more"


class PriorTerm(NamedTuple):
    """What the prior of a Param adds to what a fit minimises.

    Attributes
    ----------
    name
        Of the Param.
    prior
        The prior, as it is written.
    before
        Its term at the start.
    after
        Its term at the best point.
    """

    name: str
    prior: str
    before: float
    after: float


class Trouble(NamedTuple):
    """Something that kept the fit from its goal: a title and the whole story."""

    title: str
    text: str


class FitSummary:
    """What happened in a fit (neither it nor its parts are dataclasses: they would slow the start).

    Attributes
    ----------
    tests
        How many soft tests it is about.
    before
        𝓛 at the start, or None if it never got that far.
    after
        𝓛 at the best point, as the tape computes it.
    losses
        Loss of each test at the best point by test id, as the tape computes it.
    outcome
        Why it ended, in words.
    optimizer
        Which optimizer, and why.
    steps
        Accepted steps.
    evaluations
        Evaluations of 𝓛 or its derivatives.
    seconds
        Duration, tracing included.
    retraces
        How often a test was traced again because it took another path.
    alone
        The tests that had to be run one by one, by test id, and the operation to blame.
    priors
        The terms of the Params' priors, beside 𝓛.
    folds
        What the fits without each fold gave.
    params
        The Params it could move.
    components
        The fits it consists of, each of tests and Params that share nothing with the others.
    stored
        Files that were written, or with a dry run would have been.
    unchanged
        Files whose values did not move.
    dry_run
        Whether nothing was to be stored.
    preview
        With a dry run, the diffs of the files.
    notes
        What deserves a word.
    troubles
        What went wrong; if there is any, the fit failed.
    interrupted
        Whether it was stopped from the keyboard.
    curve
        Steps and the best 𝓛 after them, if a page was asked for.
    figures
        What it draws of each component (see :mod:`pytest_soft.figures`).
    against
        Data against program, for the same page (see :mod:`pytest_soft.against`).
    precision
        Relative difference between the loss of a test on the tape and on plain numbers
        that rounding explains.
    resumed
        After how many steps it went on with a fit that was cut short; None where it did not.
    repeated
        Tests whose loss differs between tape and check, each time they were run again.
    unsteady
        Tests that gave another loss each time they were run again.
    correlations
        Of the Params of each component, ``params`` their names and ``matrix`` nested lists.
    influences
        Cook's distances of the tests that have most of it, largest first.
    advice
        Which test, repeated, would narrow the worst standard error of each component most.
    chi_squared
        χ², its degrees of freedom, and the chance of a larger one, where the residual scales are
        known; else None.
    """

    def __init__(self, **known: Any) -> None:
        """Know nothing but what is given."""
        self.tests: int = 0
        self.before: float | None = None
        self.after: float | None = None
        self.losses: dict[str, float] = {}
        self.outcome: str = ""
        self.optimizer: str = ""
        self.steps: int = 0
        self.evaluations: int = 0
        self.seconds: float = 0.0
        self.retraces: int = 0
        self.alone: dict[str, str] = {}
        self.priors: list[PriorTerm] = []
        self.folds: list[Sides] = []
        self.params: list[ParamChange] = []
        self.components: list[ComponentFit] = []
        self.stored: list[str] = []
        self.unchanged: list[str] = []
        self.dry_run: bool = False
        self.preview: str = ""
        self.notes: list[str] = []
        self.troubles: list[Trouble] = []
        self.interrupted: bool = False
        self.curve: list[tuple[int, float]] = []
        self.figures: list[dict[str, Any]] = []
        self.against: list[dict[str, Any]] = []
        self.precision: float = 1e-9
        self.resumed: int | None = None
        self.repeated: list[str] = []
        self.unsteady: list[str] = []
        self.correlations: list[dict[str, Any]] = []
        self.influences: dict[str, float] = {}
        self.advice: list[str] = []
        self.chi_squared: tuple[float, int, float] | None = None
        if not known.keys() <= vars(self).keys():
            raise TypeError(f"a summary has no {sorted(known.keys() - vars(self).keys())}")
        vars(self).update(known)

    def __eq__(self, other: object) -> bool:
        """Compare all that they have to say."""
        return isinstance(other, FitSummary) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def alike(self, one: float, other: float) -> bool:
        """Whether rounding explains how two losses differ."""
        return abs(one - other) <= self.precision * max(abs(one), abs(other)) + 1e-14

    def differing(self, tests: Mapping[str, TestLoss]) -> list[tuple[str, float, float]]:
        """Return the tests whose loss in the check is not what the fit saw.

        Returns
        -------
        list[tuple[str, float, float]]
            Test id, loss in the check, loss in the fit; the largest difference first.
        """
        found = []
        for name, loss in self.losses.items():
            checked = tests[name].loss if name in tests else None
            if checked is not None and not self.alike(checked, loss):
                found.append((name, checked, loss))
        return sorted(found, key=lambda each: -abs(each[1] - each[2]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and texts."""
        plain = deepcopy(vars(self))
        for name in ("params", "components", "priors", "folds", "troubles"):
            plain[name] = [each._asdict() for each in plain[name]]
        for param in plain["params"]:
            param["shape"] = list(param["shape"])
            param["interval"] = param["interval"] and list(param["interval"])
        plain["chi_squared"] = self.chi_squared and list(self.chi_squared)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild what :meth:`to_dict` gave."""
        made = cls(**plain)
        made.params = [_param_change(p) for p in plain["params"]]
        made.components = [ComponentFit(**component) for component in plain["components"]]
        made.priors = [PriorTerm(**prior) for prior in plain["priors"]]
        made.folds = [Sides(**fold) for fold in plain["folds"]]
        made.troubles = [Trouble(**t) for t in plain["troubles"]]
        made.chi_squared = plain["chi_squared"] and tuple(plain["chi_squared"])
        return made


def _param_change(plain: Mapping[str, Any]) -> ParamChange:
    interval = plain["interval"] and tuple(plain["interval"])
    return ParamChange(**{**plain, "shape": tuple(plain["shape"]), "interval": interval})
