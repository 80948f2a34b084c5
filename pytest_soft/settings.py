"""Options of the command line and the ini file, checked."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

__all__ = ["STEP_SUMMARY", "Settings", "add_options", "reports_wanted", "runs_tests"]

_OPTIMIZERS = (
    *("auto", "lm", "lbfgs", "newton-cg", "adam", "momentum", "gradient-descent"),
    *("scipy-least-squares", "scipy-minimize", "differential-evolution", "cma"),
)
_SCHEDULES = ("cosine", "linear", "constant")
_STOCHASTIC = ("auto", "adam", "momentum", "gradient-descent")
_ENGINES = ("auto", "numpy", "numba")
_NAMES = {
    "threshold": ("float", "LOSS", "the total loss to reach, and to keep to in a check"),
    "mean_threshold": ("float", "LOSS", "most that the mean loss of a case may be"),
    "worst_threshold": ("float", "LOSS", "most that the loss of any test may be"),
    "ratchet": (
        "string",
        "PERCENT",
        "most by which a test or suite may be worse than at the last fit, such as 5%%",
    ),
    "coverage_fail_under": (
        "float",
        "PERCENT",
        "with --soft-coverage: least part of the Params that tests must reach",
    ),
    "optimizer": (
        "string",
        "NAME",
        f"one of {', '.join(_OPTIMIZERS)}, or one of the hook pytest_soft_optimizers",
    ),
    "engine": ("string", "NAME", f"one of {', '.join(_ENGINES)} (numba: pytest-soft[fast])"),
    "max_steps": ("int", "N", "most steps of the optimizer"),
    "timeout": ("float", "SECONDS", "most time for the fit; the best point found is kept"),
    "restarts": ("int", "N", "further starts to try, against local minima (default 0)"),
    "batch_size": ("int", "N", "take each step from N of the soft tests (minibatches)"),
    "epochs": ("int", "N", "with a batch size: how often each test is taken (default 20)"),
    "schedule": (
        "string",
        "NAME",
        f"with a batch size: how the learning rate falls, one of {', '.join(_SCHEDULES)}",
    ),
    "holdout": ("float", "FRACTION", "hold out so many of the soft tests, drawn by the seed"),
    "kfold": ("int", "K", "with --soft-fit: also fit without each of K parts of the soft tests"),
    "gap": ("float", "LOSS", "most by which the mean loss held out may be above the fitted one"),
    "seed": ("int", "N", "fixes all randomness (default 0)"),
    "write": ("string", "WHERE", "where fitted values go: store (default), or source"),
    "check": (
        "string",
        "WHAT",
        "stale: trace the soft tests and fail if anything changed since the last fit",
    ),
}
_SWITCHES = {
    "fit": "fill in the Params that soft tests reach, store them, then run the tests",
    "dry-run": "with --soft-fit: store nothing, show what would be stored",
    "profile": "with --soft-fit: 95 %% intervals of the Params by profile, which takes many refits",
    "prune": "with --soft-fit: remove stored values that no Param takes any more",
    "resume": "with --soft-fit: go on with the last fit that was killed or stopped",
    "coverage": "show which tests reach which Params, and which Params no test reaches",
}
_REPORTS = {
    "json": "the verdict, the losses and the fit, as data (docs/report.schema.json)",
    "html": "the same as a page for people, with figures; it needs no network",
    "plot": "with --soft-fit: its figures as a picture: .png, .svg or .pdf (pytest-soft[plot])",
    "compare": "show what changed since the run whose --soft-json=FILE this is",
}
_PICTURES = (".png", ".svg", ".pdf")
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable that names the file from which GitHub Actions takes the summary of a step."""

_LIMITS = ("threshold", "mean_threshold", "worst_threshold", "gap")
_TYPES = {"float": float, "int": int, "string": str}


class Settings(NamedTuple):
    """What the user asked for (a tuple, since a dataclass would slow every pytest start).

    Attributes
    ----------
    fit
        Fill in the blanks before the tests run.
    dry_run
        Store nothing.
    profile
        Find confidence intervals by profile.
    resume
        Go on with the last fit that was cut short.
    absolute_sigma
        Residuals are in units of their standard deviations.
    threshold
        Limit on the total loss, or None.
    mean_threshold
        Limit on the mean loss of a case, or None.
    worst_threshold
        Limit on the loss of every test, or None.
    suite_thresholds
        Limits on the sums of named suites, by name.
    ratchet
        By which part of it a loss may be above that of the last fit, or None.
    coverage
        Find which tests reach which Params.
    coverage_fail_under
        Least percentage of the Params' elements that tests must reach, or None.
    optimizer
        Name of an optimizer, or ``auto``.
    engine
        Name of an engine, or ``auto``.
    max_steps
        Most steps, or None.
    timeout
        Most seconds, or None.
    restarts
        How many further starts to try.
    batch_size
        How many tests a step looks at, or None for all of them.
    epochs
        How often each test is looked at, in batches.
    schedule
        How the learning rate falls meanwhile.
    holdout
        Part of the soft tests to hold out, from 0 to below 1.
    kfold
        Into how many folds a fit divides them to fit without each; 0 for none.
    gap
        Most by which the mean loss of held-out tests may be above that of the fitted ones.
    seed
        Fixes all randomness.
    write
        Where fitted values go: ``store`` or ``source``.
    check
        What to check beside the losses: ``stale``, or nothing.
    prune
        Remove stored values that no Param takes any more.
    asked
        Whether soft tests were asked for on the command line of a run that runs tests.
    """

    fit: bool
    dry_run: bool
    profile: bool
    resume: bool
    absolute_sigma: bool
    threshold: float | None
    mean_threshold: float | None
    worst_threshold: float | None
    suite_thresholds: Mapping[str, float]
    ratchet: float | None
    coverage: bool
    coverage_fail_under: float | None
    optimizer: str
    engine: str
    max_steps: int | None
    timeout: float | None
    restarts: int
    batch_size: int | None
    epochs: int
    schedule: str
    holdout: float
    kfold: int
    gap: float | None
    seed: int
    write: str
    check: str | None
    prune: bool
    asked: bool

    @property
    def traces(self) -> bool:
        """Whether the run traces tests: to fit, or to see what changed since."""
        return self.fit or self.check == "stale"

    @property
    def early_end(self) -> float | None:
        """The 𝓛 at which a fit may stop: the threshold, if nothing else limits the losses."""
        others = (self.mean_threshold, self.worst_threshold, *self.suite_thresholds.values())
        return self.threshold if all(limit is None for limit in others) else None

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """Read and check them.

        Raises
        ------
        pytest.UsageError
            A value makes no sense; the message names it.
        """
        _check_plot(config)
        given = {name: config.getoption(f"soft_{name}") for name in _NAMES}
        reports = any(config.getoption(f"soft_{name}") for name in _REPORTS)
        fit = bool(config.getoption("soft_fit"))
        limits = any(given[name] is not None for name in (*_LIMITS, "ratchet"))
        coverage = bool(config.getoption("soft_coverage"))
        more = coverage or given["check"] is not None
        asked = (fit or limits or reports or more) and runs_tests(config)
        if given["kfold"] is not None and not fit:
            raise pytest.UsageError("--soft-kfold needs --soft-fit: a check fits nothing")
        if given["coverage_fail_under"] is not None and not coverage:
            raise pytest.UsageError("--soft-coverage-fail-under needs --soft-coverage")
        for name in _NAMES:
            if given[name] is None:
                given[name] = _ini(config, f"soft_{name}")
        made = cls(
            fit=fit,
            dry_run=bool(config.getoption("soft_dry_run")),
            profile=bool(config.getoption("soft_profile")),
            resume=bool(config.getoption("soft_resume")),
            absolute_sigma=bool(
                config.getoption("soft_absolute_sigma") or _ini(config, "soft_absolute_sigma")
            ),
            threshold=given["threshold"],
            mean_threshold=given["mean_threshold"],
            worst_threshold=given["worst_threshold"],
            suite_thresholds=_suites(config),
            ratchet=_part(given["ratchet"]),
            coverage=coverage,
            # in the ini file, it is for the runs that measure
            coverage_fail_under=given["coverage_fail_under"] if coverage else None,
            optimizer=given["optimizer"] or "auto",
            engine=given["engine"] or "auto",
            max_steps=given["max_steps"],
            timeout=given["timeout"],
            restarts=given["restarts"] or 0,
            batch_size=given["batch_size"],
            epochs=20 if given["epochs"] is None else given["epochs"],
            schedule=given["schedule"] or "cosine",
            holdout=given["holdout"] or 0.0,
            kfold=given["kfold"] or 0,
            gap=given["gap"],
            seed=given["seed"] or 0,
            write=given["write"] or "store",
            check=None if fit else given["check"],
            prune=bool(config.getoption("soft_prune")),
            asked=asked,
        )
        for name in ("epochs", "schedule"):
            if given[name] is not None and made.batch_size is None:
                raise pytest.UsageError(f"soft_{name} needs soft_batch_size: it is of minibatches")
        made._check(_optimizers(config, made.optimizer))
        return made

    def _check(self, optimizers: tuple[str, ...]) -> None:
        if self.dry_run and not self.fit:
            raise pytest.UsageError("--soft-dry-run needs --soft-fit: a check stores nothing")
        if self.profile and not self.fit:
            raise pytest.UsageError("--soft-profile needs --soft-fit: a check has no intervals")
        if self.prune and not self.fit:
            raise pytest.UsageError("--soft-prune needs --soft-fit: a check changes no store")
        if self.check is not None:
            _check_name("soft_check", self.check, ("stale",))
        if self.resume and not self.fit:
            raise pytest.UsageError("--soft-resume needs --soft-fit: it goes on with a fit")
        for name in _LIMITS:
            limit = getattr(self, name)
            if limit is not None and math.isnan(limit):
                raise pytest.UsageError(f"soft_{name} is nan, which no loss could meet")
        _check_name("soft_optimizer", self.optimizer, optimizers)
        _check_name("soft_engine", self.engine, _ENGINES)
        _check_name("soft_write", self.write, ("store", "source"))
        if self.write == "source" and self.fit and importlib.util.find_spec("libcst") is None:
            raise pytest.UsageError(
                "soft_write=source needs LibCST: pip install 'pytest-soft[source]'"
            )
        if self.max_steps is not None and self.max_steps < 0:
            raise pytest.UsageError(f"soft_max_steps is {self.max_steps}: it must be 0 or more")
        if self.timeout is not None and not self.timeout > 0:
            raise pytest.UsageError(f"soft_timeout is {self.timeout}: it must be above 0 seconds")
        if self.restarts < 0:
            raise pytest.UsageError(f"soft_restarts is {self.restarts}: it must be 0 or more")
        if self.seed < 0:
            raise pytest.UsageError(f"soft_seed is {self.seed}: it must be 0 or more")
        under = self.coverage_fail_under
        if under is not None and not 0 <= under <= 100:
            raise pytest.UsageError(f"soft_coverage_fail_under is {under}: it is a percentage")
        self._check_batches()
        self._check_split()

    def _check_batches(self) -> None:
        if self.batch_size is None:
            return
        if self.optimizer not in _STOCHASTIC:
            raise pytest.UsageError(
                f"soft_batch_size needs soft_optimizer to be one of {', '.join(_STOCHASTIC)}, not "
                f"{self.optimizer!r}, which needs all tests at each step"
            )
        _check_name("soft_schedule", self.schedule, _SCHEDULES)
        for name, number in (("batch_size", self.batch_size), ("epochs", self.epochs)):
            if number < 1:
                raise pytest.UsageError(f"soft_{name} is {number}: it must be 1 or more")

    def _check_split(self) -> None:
        if not 0 <= self.holdout < 1:
            raise pytest.UsageError(
                f"soft_holdout is {self.holdout}: it must be a part of the tests, such as 0.2"
            )
        if self.kfold < 0 or self.kfold == 1:
            raise pytest.UsageError(f"soft_kfold is {self.kfold}: it must be 2 or more")


def _check_plot(config: pytest.Config) -> None:
    path = config.getoption("soft_plot")
    if path is None:
        return
    if not config.getoption("soft_fit"):
        raise pytest.UsageError("--soft-plot needs --soft-fit: a check has nothing to draw")
    if not path.lower().endswith(_PICTURES):
        raise pytest.UsageError(
            f"--soft-plot is {path!r}: it takes a file that ends in {', '.join(_PICTURES)}"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise pytest.UsageError("--soft-plot needs matplotlib: pip install 'pytest-soft[plot]'")


def _check_name(option: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        import difflib

        close = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise pytest.UsageError(
            f"{option} is {name!r}: it must be one of {', '.join(known)}.{hint}"
        )


def _optimizers(config: pytest.Config, asked: str) -> tuple[str, ...]:
    """Return the names to choose from; conftests are asked only for one that is none of ours."""
    if asked in _OPTIMIZERS:
        return _OPTIMIZERS
    given = config.hook.pytest_soft_optimizers(config=config)
    return *_OPTIMIZERS, *(name for names in given if isinstance(names, dict) for name in names)


def _part(percent: str | None) -> float | None:
    """Return the part of 1 that a text such as ``5%`` names."""
    if percent is None:
        return None
    number, sign, _ = percent.strip().partition("%")
    try:
        part = float(number) / 100 if percent.strip() == number + sign and sign else math.nan
    except ValueError:
        part = math.nan
    if not 0 <= part < math.inf:
        raise pytest.UsageError(f"soft_ratchet is {percent!r}: it takes a percentage, such as 5%")
    return part


def _suites(config: pytest.Config) -> dict[str, float]:
    """Read ``soft_suite_thresholds``, lines of ``name = limit``."""
    found: dict[str, float] = {}
    for line in config.getini("soft_suite_thresholds"):
        name, sign, text = (part.strip() for part in line.rpartition("="))
        try:
            limit = float(text) if name and sign else math.nan
        except ValueError:
            limit = math.nan
        if math.isnan(limit):
            raise pytest.UsageError(
                f"soft_suite_thresholds has the line {line!r}: it takes NAME = LOSS"
            )
        if name in found:
            raise pytest.UsageError(f"soft_suite_thresholds names the suite {name!r} twice")
        found[name] = limit
    return found


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except (TypeError, ValueError, pytest.UsageError) as error:  # which does not name the option
        raise pytest.UsageError(f"{name} in {config.inipath}: {error}") from error


def runs_tests(config: pytest.Config) -> bool:
    """Whether this run calls test functions: not with ``--collect-only`` and its like."""
    options = ("collectonly", "setuponly", "setupplan")
    return not any(getattr(config.option, name, False) for name in options)


def reports_wanted(config: pytest.Config) -> bool:
    """Whether the run shall leave more behind than what it prints."""
    files = any(config.getoption(f"soft_{name}") for name in _REPORTS)
    return files or STEP_SUMMARY in os.environ or bool(getattr(config.option, "xmlpath", None))


def add_options(parser: pytest.Parser) -> None:
    """Declare the options; all but the switches and files are ini values as well."""
    group = parser.getgroup("soft", "soft tests: tests that return a loss")
    for name, text in _SWITCHES.items():
        group.addoption(f"--soft-{name}", action="store_true", default=False, help=text)
    parser.addini(
        "soft_suite_thresholds",
        "NAME = LOSS, one a line: the most that the losses of soft_test(suite=NAME) may add up to",
        type="linelist",
        default=[],
    )
    for name, text in _REPORTS.items():
        group.addoption(
            f"--soft-{name}", dest=f"soft_{name}", default=None, metavar="FILE", help=text
        )
    text = "residuals are in units of their standard deviations: show chi squared"
    group.addoption("--soft-absolute-sigma", action="store_true", default=False, help=text)
    parser.addini("soft_absolute_sigma", text, type="bool", default=False)
    for name, (kind, metavar, text) in _NAMES.items():
        group.addoption(
            f"--soft-{name.replace('_', '-')}",
            dest=f"soft_{name}",
            type=_TYPES[kind],
            default=None,
            metavar=metavar,
            help=text,
        )
        parser.addini(f"soft_{name}", text, type=kind, default=None)  # type: ignore[arg-type]
