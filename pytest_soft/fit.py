"""``--soft-fit``: trace the suite, fill in the blanks, store them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pytest_soft.account import change_of, component_fits
from pytest_soft.beforehand import prior_losses, prior_terms
from pytest_soft.collect import Options, limit_of
from pytest_soft.component import Component
from pytest_soft.explain import explain, on_batches, on_gradient
from pytest_soft.failures import gist, param_warnings, with_way_out
from pytest_soft.glance import whole_files
from pytest_soft.goal import Goal
from pytest_soft.journal import Journal
from pytest_soft.keep import Keeping, keep
from pytest_soft.orphans import orphans, unreached
from pytest_soft.solve import FitProgress, Solution, solve, without_slope
from pytest_soft.stale import Since, outlook, since_the_fit
from pytest_soft.summary import FitSummary, Trouble
from pytest_soft.ties import Meanings, tied_changes
from pytest_soft.trace import TraceFailure, Traces, first_non_finite, uses_float32
from pytest_soft.values import Groups, forget_values, group_by_key, of_project, set_values
from pytest_soft.verdict import TestLoss
from softtape import SoftError, store
from softtape.graph import Graph
from softtape.optimize import Status
from softtape.param import stored_or_declared
from softtape.patches import following as numpy_and_math_follow
from softtape.terms import PlainTerm, Term, TrialError

if TYPE_CHECKING:
    from pytest_soft.against import Inputs

__all__ = ["AGAIN", "Fit"]

AGAIN = "for the same reason as above"
"""How the text of a trouble begins that was told before."""

_NO_TESTS = (
    "no soft test was selected, so there is nothing to fit. Mark a test function that returns a "
    "loss with @soft_test (from pytest_soft import soft_test), or check -k, -m and the paths."
)
_NO_PARAMS = (
    "no soft test reaches a Param, so there is nothing to fill in. Mark a value of the program "
    "as a blank: omega = Param(1.0) (from softtape import Param)."
)

_BOTTOMLESS = (
    "the total loss fell below -1e30, so it seems to have no minimum, and the Params are left as "
    "they were. A loss needs a lower bound: return a distance, such as a square, or give the "
    "Params bounds."
)

_MEASURED = "reached only by tests that are held out or have weight 0, and so not fitted: {}"

_ONE_FOLD = "all tests are in one fold, so no fit without a fold could be done: there are few tests"

_ALL_OUT = (
    "every soft test that was selected is held out, or has weight 0, so nothing says where to "
    "move the Params. Select others, or hold out fewer of them."
)

_NO_SLOPE = (
    "the total loss has no slope in {}: a fit cannot move a Param that acts only through an `if`, "
    "a comparison, rounding or a text. Let it act smoothly, such as through "
    "1 / (1 + np.exp(-x)), or declare it frozen=True."
)


class _GiveUpError(Exception):
    """The fit cannot go on; the troubles say why."""


class Fit:
    """One fit of the soft tests of a session.

    Parameters
    ----------
    session
        The session that collected the tests.
    tests
        The soft tests and what their authors asked for, in the order they were collected.
    goal
        When to stop.
    seed
        Fixes all randomness.
    keeping
        Where the fitted values go.
    profile
        Find confidence intervals by profile.
    figures
        The arguments of the tests, where what a page draws is to be kept.
    absolute_sigma
        Whether residuals are in units of their standard deviations.
    callback
        Called after each step of the optimizer.
    journal
        Keeps what was done in a checkpoint.
    resume
        Go on with the fit that the checkpoint is of.
    kfold
        Into how many folds to divide the tests, to fit without each of them too.
    """

    def __init__(
        self,
        session: pytest.Session,
        tests: Mapping[pytest.Function, Options],
        goal: Goal,
        *,
        seed: int = 0,
        keeping: Keeping = Keeping(),  # noqa: B008 -- plain data
        profile: bool = False,
        figures: Inputs | None = None,
        absolute_sigma: bool = False,
        callback: Callable[[FitProgress], None] | None = None,
        journal: Journal | None = None,
        resume: bool = False,
        kfold: int = 0,
    ) -> None:
        """Prepare; nothing runs yet."""
        self._session = session
        self._whole = whole_files(session)
        self._since: Since | None = None
        self._tests = tests
        self._goal = goal
        self._seed = seed
        self._keeping = keeping
        self._profile = profile
        self._figures = figures
        self._absolute_sigma = absolute_sigma
        self._callback = callback
        self._journal = journal or Journal(goal)
        self._resume = resume
        self._kfold = kfold
        self._meanings: Meanings = ()
        self._priors: list[Term] = []
        self.cases: dict[str, int] = {}
        self._traces = Traces(session, partial(self._journal.starting_value, seed=seed))
        self.summary = FitSummary(dry_run=keeping.dry_run)
        self.values: Mapping[str, Any] = {}
        self.traced: Sequence[Term] = ()
        self._non_finite: tuple[pytest.Function, str, Any] | None = None

    def run(self) -> FitSummary:
        """Fit, leave the Params at the best values found, store them and report."""
        began = time.perf_counter()
        try:
            self._run()
        except _GiveUpError:
            pass
        except SoftError as error:
            self._trouble("the fit failed", str(error))
        self.summary.seconds = time.perf_counter() - began
        return self.summary

    def compare(self, tests: Mapping[str, TestLoss]) -> None:
        """Note which tests gave another loss in the check, ``tests``, than in the fit."""
        found = self.summary.differing(tests)
        if found:
            from pytest_soft.repeat import run_again

            run_again(found, self.summary, {i.nodeid: i for i in self._tests}, self._traces)

    @cached_property
    def limits(self) -> Mapping[str, float | None]:
        """The loss that each test has to get to, by test id; None where there is none."""
        return {i.nodeid: limit_of(i.obj, o.threshold) for i, o in self._tests.items()}

    @property
    def changes(self) -> dict[str, Any] | None:
        """What changed since the fit before, as reports have it; None where that is not known."""
        since = self._since
        if since is None or not since.known:
            return None
        return since.to_dict(group_by_key({k for f in since.functions.values() for k in f.keys}))

    def look(self) -> dict[str, Any] | None:
        """Return what changed since the last fit; the Params keep their stored values.

        None where the tests cannot be traced: the summary says why.
        """
        keys: Iterable[str] = ()
        try:
            terms, start = self._prepare()
            keys = start
            assert self._since is not None
            found = self._since.to_dict(group_by_key(start))
            changed = {key for change in self._since.changes if change.stale for key in change.keys}
            return {**found, **outlook(terms, start, changed, self._goal.engine)}
        except _GiveUpError:
            return None
        except SoftError as error:
            self._trouble("what changed since the fit cannot be told", str(error))
            return None
        finally:
            forget_values(keys)

    def _prepare(self) -> tuple[list[Term], dict[str, Any]]:
        """Trace the tests; return all that is to be minimised, and where to start."""
        if not self._tests:
            self._give_up("no soft test", _NO_TESTS)
        if self._resume:
            self._note(self._journal.read())
        with numpy_and_math_follow():
            terms = self._trace_all()
        start = {key: v for term in terms for key, v in term.starts.items()}
        self.summary.tests = len(terms)
        paths = {
            term.path: term for term in terms if term.traced
        }  # one of each: they differ in values alone
        if any(uses_float32(term.paths[path].graph) for path, term in paths.items()):
            self.summary.precision = 1e-4  # plain Python computes there with fewer digits
        if not terms:
            self._give_up("no soft test", "all soft tests were skipped or are expected to fail")
        if not start:
            self._give_up("no Param", _NO_PARAMS)
        if not any(term.weight for term in terms):
            self._give_up("nothing to fit", _ALL_OUT)
        self._refuse_gone(start)
        self._refuse_non_finite()
        groups = group_by_key(start)
        self._since = since_the_fit(terms, groups, self._session.config.rootpath, self._whole)
        self.traced = terms
        self._priors = prior_terms(terms, start)
        return [*terms, *self._priors], start

    def _run(self) -> None:
        terms, start = self._prepare()
        try:
            self._journal.begin(terms, start)
            solution = solve(
                terms,
                start,
                self._goal,
                limits=self.limits,
                callback=self._callback,
                minimize=self._journal.minimize,
            )
        except BaseException:
            # nothing will be stored, so the check must not run on trial values either
            forget_values(key for term in terms for key in term.starts)
            raise
        groups = group_by_key(list(solution.values))
        old = {key: stored_or_declared(params[0]) for key, params in groups.items()}
        forget_values(key for c in solution.components if not c.started for key in c.values)
        level = {key for c in solution.components if not c.improved for key in c.values}
        # a move on level ground is not worth a diff
        kept = {key: v for key, v in old.items() if v is not None and key in level}
        solution = solution._replace(values={**solution.values, **kept})
        set_values(groups, solution.values)
        self.values = solution.values
        self._report(solution, terms, start, old)
        done = not (solution.status is Status.INTERRUPTED or self.summary.troubles)
        fitted = terms[: len(terms) - len(self._priors)]
        record = (
            self._since.records(fitted, solution.values, groups) if self._since and done else {}
        )
        self._store(groups, old, record)
        self._leave_checkpoint(solution)
        began = {**solution.values, **start}
        self.summary.params += tied_changes(groups, began, solution.values, self._meanings)
        if self._kfold and not self.summary.interrupted and not self.summary.troubles:
            self._fit_folds(terms, start)
            set_values(groups, solution.values)

    # ---- tracing

    def _trace_all(self) -> list[Term]:
        """Trace every test once; the terms are sorted by test id, whatever order they run in."""
        items = list(self._tests)
        terms: list[Term] = []
        with param_warnings(self.summary.notes):
            for item, following in zip(items, [*items[1:], None], strict=True):
                term = self._term(item, following)
                terms += [] if term is None else [term]
        if self.summary.troubles:
            raise _GiveUpError
        return sorted(terms, key=lambda term: term.name)

    def _term(self, item: pytest.Function, following: pytest.Item | None) -> Term | None:
        """Trace one test; return None where it was skipped, or failed, which is told."""
        tracing, failure = self._traces.trace(item, following)
        if self._goal.values_only and (failure is not None or tracing.tape.texts):
            # what went through a text, such as a command line, is on no tape either
            term, failure = self._plain_term(item, following, failure)
            if failure is None:
                return term
        if failure is not None:
            title = f"{failure.nodeid} failed while it was traced"
            self._trouble(title, with_way_out(failure.text))
        if tracing.graph is None:
            return None
        found = tracing.non_finite()
        if found is not None and self._non_finite is None:
            self._non_finite = (item, *found)
        trace, name = partial(self._trace_again, item), item.nodeid
        self.cases[name] = tracing.cases
        return Term(name, tracing.graph, trace, self._tests[item].fitted_weight)

    def _plain_term(
        self, item: pytest.Function, following: pytest.Item | None, refused: TraceFailure | None
    ) -> tuple[PlainTerm | None, TraceFailure | None]:
        """Run a test that cannot be traced; None where it was skipped or failed."""
        measured, failure = self._traces.measure(item, following)
        if measured.loss is None:
            return None, failure
        refusal = "a text was made of a value" if refused is None else refused.text
        run = partial(self._run_again, item)
        weight = self._tests[item].fitted_weight
        self.cases[item.nodeid] = measured.cases
        return PlainTerm(item.nodeid, run, measured.read_values, gist(refusal), weight), None

    def _run_again(
        self, item: pytest.Function, values: Mapping[str, Any]
    ) -> tuple[float, Mapping[str, Any]]:
        """Run a test plainly with other values of the Params."""
        set_values(group_by_key(list(values)), values)
        measured, failure = self._traces.measure(item)
        if failure is not None:
            raise TrialError(failure.line)
        if measured.loss is None:
            raise TrialError("the test was skipped at this point")
        return measured.loss, measured.read_values

    def _trace_again(self, item: pytest.Function, values: Mapping[str, Any]) -> Graph:
        """Trace a test with other values of the Params."""
        set_values(group_by_key(list(values)), values)
        with numpy_and_math_follow():
            tracing, failure = self._traces.trace(item)
        if failure is not None:
            raise TrialError(failure.line)
        if tracing.graph is None:
            raise TrialError("the test was skipped at this point")
        return tracing.graph

    def _refuse_gone(self, keys: Iterable[str]) -> None:
        """Give up on Params that a test made for itself, and that no longer exist."""
        gone = [key for key, params in group_by_key(list(keys)).items() if not params]
        if gone:
            self._give_up(
                "a Param is gone",
                f"{', '.join(gone)}: made while a test ran, and gone with it. Declare a Param "
                "once, as a global of its module or a class attribute, not in a function or in "
                "__init__.",
            )

    def _refuse_non_finite(self) -> None:
        """Give up on NaN or inf at the start, with its address."""
        if self._non_finite is not None:
            item, name, value = self._non_finite
            self._give_up(
                f"the loss of {item.nodeid} is not finite at the start",
                f"the loss{name} is {value}\n{self._origin(item)}",
            )

    def _origin(self, item: pytest.Function) -> str:
        """Say where in the program NaN or inf first comes up, and for which Param values."""
        with numpy_and_math_follow():
            tracing, _ = self._traces.trace(item, locate=True)
        lines = []
        found = first_non_finite(tracing.tape)
        if found is not None:
            op, location, operands = found
            shown = ", ".join(_brief(operand) for operand in operands)
            lines.append(f"first seen in {op}({shown}) at {location}")
        groups = group_by_key(list(tracing.tape.start))
        for key, value in tracing.tape.start.items():
            lines.append(f"with {groups[key][0].name} = {_brief(value)}")
        return "\n".join(lines)

    # ---- reporting

    def _report(
        self,
        solution: Solution,
        terms: Sequence[Term],
        start: Mapping[str, Any],
        old: Mapping[str, Any],
    ) -> None:
        summary, groups = self.summary, group_by_key(list(solution.values))
        priors = prior_losses(self._priors, start, {**start, **solution.values})
        summary.priors = list(priors.values())
        terms = terms[: len(terms) - len(priors)]  # 𝓛 is that of the tests
        summary.before = solution.before - sum(prior.before for prior in summary.priors)
        summary.losses = {t.name: v for t, v in zip(terms, solution.losses, strict=False)}
        summary.after = sum(t.weight * summary.losses[t.name] for t in terms if t.weight)
        summary.outcome, summary.optimizer = self._outcome(solution), solution.optimizer
        summary.steps, summary.evaluations = solution.steps, solution.evaluations
        summary.retraces = solution.retraces
        summary.alone = dict(solution.alone)
        summary.params = [
            change_of(params[0], old[key], solution.values[key]) for key, params in groups.items()
        ]
        summary.components = component_fits(solution, priors)
        summary.interrupted = solution.status is Status.INTERRUPTED
        self._report_failures(solution)
        plain = [term.name for term in terms if not term.traced]
        if plain:
            summary.notes.append(
                f"{len(plain)} of {len(terms)} tests cannot be traced and are run plainly at each "
                f"trial point, such as {plain[0]}"
            )
        if solution.last_failure:
            summary.notes.append(
                "some trial points could not be evaluated, the last because "
                f"{solution.last_failure}"
            )
        summary.notes += [note for c in solution.components for note in on_batches(c)]
        flat = self._without_slope(solution, groups, old)
        if flat:
            summary.notes.append(_NO_SLOPE.format(", ".join(flat)))
        self._report_reach(solution, groups)
        if not summary.interrupted:
            self._meanings = explain(
                summary,
                solution,
                groups,
                seed=self._seed,
                profile=self._profile,
                figures=self._figures,
                absolute=self._absolute_sigma,
                missed=self._misses(solution),
            )
        set_values(groups, solution.values)  # a test may have run elsewhere

    def _report_reach(self, solution: Solution, groups: Groups) -> None:
        """Tell of values without a Param, and of Params that no fitted test reaches."""
        summary = self.summary
        left, dropped = orphans(groups, prune=self._keeping.prune)
        summary.notes += left
        summary.stored += dropped
        reached = {key for component in solution.components for key in component.values}
        measured = [params[0].name for key, params in groups.items() if key not in reached]
        if measured:
            summary.notes.append(_MEASURED.format(", ".join(measured)))
        lonely = unreached(of_project(self._session.config), reached | set(groups))
        if lonely:
            summary.notes.append("reached by no selected soft test: " + ", ".join(lonely))

    def _outcome(self, solution: Solution) -> str:
        current = self._since is not None and self._since.current
        if not current or solution.steps or solution.cut_short:
            return solution.outcome
        return f"nothing to do, for all is as it was fitted: {solution.outcome}"

    def _misses(self, solution: Solution) -> bool:
        """Whether the fit ended above a threshold, of all tests or of one."""
        limit = self._goal.threshold
        return (limit is not None and solution.after > limit) or any(
            self.summary.losses[i.nodeid] > o.threshold
            for i, o in self._tests.items()
            if o.threshold is not None and i.nodeid in self.summary.losses
        )

    def _without_slope(
        self, solution: Solution, groups: Groups, old: Mapping[str, Any]
    ) -> list[str]:
        """Return the names of the Params that the fit could not move, for want of a slope."""
        values = solution.values
        still = [k for k in groups if old[k] is None or np.array_equal(values[k], old[k])]
        flat = without_slope(solution, still)
        return [groups[key][0].name for key in still if key in flat]

    def _report_failures(self, solution: Solution) -> None:
        """Tell of the components that could not be fitted, or not to the end."""
        several = len(solution.components) > 1
        for component, fit in zip(solution.components, self.summary.components, strict=True):
            whose = f" of {fit.title}" if several else ""
            kept, error = "; the best point so far is kept", component.error
            if error is None:
                text = "" if solution.status is Status.THRESHOLD else self._stuck(component)
                if text:
                    self._trouble(f"the fit{whose} failed{kept}", text)
            elif component.started:
                self._trouble(f"the fit{whose} crashed{kept}", f"{type(error).__name__}: {error}")
            else:
                self._trouble(f"the fit{whose} failed", str(error))

    def _stuck(self, component: Component) -> str:
        """Say where NaN or inf comes from that no step was short enough to avoid."""
        if component.status is Status.BOTTOMLESS:
            return _BOTTOMLESS
        found = component.not_finite()
        if found is None:
            return on_gradient(component)
        test, said, values = found
        set_values(group_by_key(list(values)), values)
        items = [item for item in self._tests if item.nodeid == test]
        return "\n".join([said, *map(self._origin, items)])

    def _trouble(self, title: str, text: str) -> None:
        told = [gist(trouble.text) for trouble in self.summary.troubles]
        if gist(text) in told:  # one broken Param breaks many tests: its story is told once
            first = self.summary.troubles[told.index(gist(text))]
            text = f"{AGAIN}: {first.title}"
        self.summary.troubles.append(Trouble(title, text))

    def _give_up(self, title: str, text: str) -> None:
        self._trouble(title, text)
        raise _GiveUpError

    def _note(self, text: str) -> None:
        if text:
            self.summary.notes.append(text)

    def _leave_checkpoint(self, solution: Solution) -> None:
        """Leave a checkpoint behind where there is more to do, and say so."""
        if not self._keeping.writes:
            return
        if self._journal.end(solution.values, cut_short=solution.cut_short):
            self._note("--soft-fit --soft-resume goes on where this fit stopped")
        self._note(self._journal.problem)
        self.summary.resumed = self._journal.resumed

    # ---- folds

    def _fit_folds(self, terms: Sequence[Term], start: Mapping[str, Any]) -> None:
        """Fit without each fold of the tests; the Params are left at other values."""
        from pytest_soft.folds import fit_folds

        left = self._goal.timeout
        if left is not None:
            left = max(left - self.summary.seconds, 0.0)
        goal = self._goal._replace(timeout=left)
        try:
            for sides in fit_folds(terms, start, goal, cases=self.cases, folds=self._kfold):
                self.summary.folds.append(sides)
        except KeyboardInterrupt:
            self.summary.interrupted = True
        except SoftError as error:
            self._trouble("the fits without each fold did not come to an end", str(error))
        else:
            if not self.summary.folds:
                self._note(_ONE_FOLD)

    # ---- storing

    def _store(
        self, groups: Groups, old: Mapping[str, Any], records: Mapping[str, store.Record]
    ) -> None:
        """Keep what moved; with a dry run, only say what would be kept."""
        errors = {key: p.error for key, p in zip(groups, self.summary.params, strict=True)}
        kept = keep(groups, old, errors, self._keeping, records)
        self.summary.stored += kept.stored
        self.summary.unchanged += kept.unchanged
        self.summary.preview += kept.preview
        self.summary.notes += kept.notes
        for title, text in kept.troubles:
            self._trouble(title, text)
        if kept.values:
            self.values = {**self.values, **kept.values}
            set_values(groups, {key: self.values[key] for key in groups})
            self.summary.losses = {}  # the tape was not there
            self.summary.params = [
                p._replace(new=float(kept.values[key])) if key in kept.values and not p.shape else p
                for key, p in zip(groups, self.summary.params, strict=True)
            ]


def _brief(value: Any) -> str:
    return f"{float(value):.6g}" if np.ndim(value) == 0 else f"array{np.shape(value)}"
