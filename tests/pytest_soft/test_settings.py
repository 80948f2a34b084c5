"""Options of the command line and the ini file."""

import pytest

from pytest_soft.settings import _ENGINES, _OPTIMIZERS, Settings
from softtape.choice import ENGINES
from softtape.optimize import OPTIMIZERS

DEFAULTS = {
    "fit": False,
    "dry_run": False,
    "profile": False,
    "resume": False,
    "absolute_sigma": False,
    "restarts": 0,
    "batch_size": None,
    "epochs": 20,
    "schedule": "cosine",
    "threshold": None,
    "mean_threshold": None,
    "worst_threshold": None,
    "suite_thresholds": {},
    "ratchet": None,
    "coverage": False,
    "coverage_fail_under": None,
    "optimizer": "auto",
    "engine": "auto",
    "max_steps": None,
    "timeout": None,
    "holdout": 0.0,
    "kfold": 0,
    "gap": None,
    "seed": 0,
    "write": "store",
    "check": None,
    "prune": False,
    "asked": False,
}

native_toml = pytest.mark.skipif(pytest.version_tuple < (9,), reason="[tool.pytest] is pytest 9's")


def settings(pytester: pytest.Pytester, *args: str) -> dict:
    config = pytester.parseconfig("-p", "no:hypothesispytest", *args)
    return Settings.of(config)._asdict()


def test_defaults(pytester):
    assert settings(pytester) == DEFAULTS


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("--soft-threshold=1e-3",), {"threshold": 1e-3, "asked": True}),
        (("--soft-threshold=0",), {"threshold": 0.0, "asked": True}),
        (("--soft-threshold", "-1.5"), {"threshold": -1.5, "asked": True}),
        (("--soft-threshold=inf",), {"threshold": float("inf"), "asked": True}),
        (("--soft-optimizer=adam",), {"optimizer": "adam"}),
        (("--soft-max-steps=0",), {"max_steps": 0}),
        (("--soft-timeout=0.5",), {"timeout": 0.5}),
        (("--soft-seed=7",), {"seed": 7}),
        (("--soft-holdout=0.25",), {"holdout": 0.25}),
        (("--soft-gap=0",), {"gap": 0.0, "asked": True}),
        (("--soft-ratchet=2.5%",), {"ratchet": 0.025, "asked": True}),
        (("-o", "soft_ratchet=5%"), {"ratchet": 0.05}),
        (
            ("--soft-coverage", "--soft-coverage-fail-under=90"),
            {"coverage": True, "coverage_fail_under": 90.0, "asked": True},
        ),
        (("-o", "soft_coverage_fail_under=90"), {"coverage_fail_under": None}),
        (("--soft-fit", "--soft-kfold=5"), {"fit": True, "kfold": 5, "asked": True}),
        (("--soft-absolute-sigma",), {"absolute_sigma": True}),
        (("--soft-check=stale",), {"check": "stale", "asked": True}),
        (("-o", "soft_check=stale"), {"check": "stale"}),
        (("-o", "soft_check=stale", "--soft-fit"), {"fit": True, "asked": True}),
        (("--soft-fit", "--soft-prune"), {"fit": True, "prune": True, "asked": True}),
    ],
)
def test_command_line(pytester, args, expected):
    assert settings(pytester, *args) == {**DEFAULTS, **expected}


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--setup-only"])
def test_a_run_that_runs_no_test_asks_for_none(pytester, option):
    found = settings(pytester, option, "--soft-threshold=1")
    assert found == {**DEFAULTS, "threshold": 1.0}


INI = """
    [pytest]
    soft_threshold = 1e-3
    soft_optimizer = lbfgs
    soft_max_steps = 12
    soft_timeout = 3.5
    soft_seed = 4
"""
EXPECTED = {
    **DEFAULTS, "threshold": 1e-3, "optimizer": "lbfgs", "max_steps": 12, "timeout": 3.5, "seed": 4
}  # fmt: skip


def test_pytest_ini(pytester):
    pytester.makeini(INI)
    assert settings(pytester) == EXPECTED


def test_command_line_wins_over_the_ini_file(pytester):
    pytester.makeini(INI)
    found = settings(pytester, "--soft-threshold=0", "--soft-seed=0", "--soft-max-steps=0")
    assert found == {**EXPECTED, "threshold": 0.0, "seed": 0, "max_steps": 0, "asked": True}


def test_ini_options_of_pyproject(pytester):
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        soft_threshold = 1e-3
        soft_optimizer = "lbfgs"
        soft_max_steps = 12
        soft_timeout = "3.5"
        soft_seed = "4"
        """
    )
    assert settings(pytester) == EXPECTED


@native_toml
@pytest.mark.parametrize("text", ["0", "0.0", "1e-3", "2"])
def test_native_toml(pytester, text):
    pytester.makepyprojecttoml(f"[tool.pytest]\nsoft_threshold = {text}\n")
    assert settings(pytester) == {**DEFAULTS, "threshold": float(text)}


@native_toml
def test_all_in_native_toml(pytester):
    pytester.makepyprojecttoml(
        """
        [tool.pytest]
        soft_threshold = 1e-3
        soft_optimizer = "lbfgs"
        soft_max_steps = 12
        soft_timeout = 3.5
        soft_seed = 4
        """
    )
    assert settings(pytester) == EXPECTED


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--soft-threshold=nan",), "soft_threshold is nan, which no loss could meet"),
        (("--soft-dry-run",), "--soft-dry-run needs --soft-fit"),
        (("--soft-resume",), "--soft-resume needs --soft-fit"),
        (("--soft-kfold=5",), "--soft-kfold needs --soft-fit"),
        (("--soft-fit", "--soft-kfold=1"), "soft_kfold is 1: it must be 2 or more"),
        (("--soft-holdout=1",), "soft_holdout is 1.0: it must be a part of the tests"),
        (("--soft-ratchet=5",), "soft_ratchet is '5': it takes a percentage, such as 5%"),
        (("--soft-ratchet=x%",), "soft_ratchet is 'x%': it takes a percentage"),
        (("--soft-ratchet=-5%",), "soft_ratchet is '-5%': it takes a percentage"),
        (("--soft-ratchet=5%%",), "soft_ratchet is '5%%': it takes a percentage"),
        (("--soft-coverage-fail-under=90",), "--soft-coverage-fail-under needs --soft-coverage"),
        (
            ("--soft-coverage", "--soft-coverage-fail-under=101"),
            "soft_coverage_fail_under is 101.0: it is a percentage",
        ),
        (("--soft-gap=nan",), "soft_gap is nan, which no loss could meet"),
        (("--soft-max-steps=-1",), "soft_max_steps is -1: it must be 0 or more"),
        (("--soft-timeout=0",), "soft_timeout is 0.0: it must be above 0 seconds"),
        (("--soft-timeout=nan",), "soft_timeout is nan: it must be above 0 seconds"),
        (("--soft-batch-size=0",), "soft_batch_size is 0: it must be 1 or more"),
        (("--soft-batch-size=2", "--soft-epochs=0"), "soft_epochs is 0: it must be 1 or more"),
        (("--soft-epochs=3",), "soft_epochs needs soft_batch_size"),
        (("--soft-batch-size=2", "--soft-optimizer=lm"), "needs soft_optimizer to be .* not 'lm'"),
        (("--soft-seed=-1",), "soft_seed is -1: it must be 0 or more"),
    ],
)
def test_nonsense_is_a_usage_error(pytester, args, message):
    with pytest.raises(pytest.UsageError, match=message):
        settings(pytester, *args)


@pytest.mark.parametrize("name", ["threshold", "max-steps", "timeout", "seed"])
def test_no_number(pytester, name):
    result = pytester.runpytest_inprocess("-p", "no:hypothesispytest", f"--soft-{name}=abc")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--soft-{name}: invalid * value: 'abc'*"])


@pytest.mark.parametrize("name", ["threshold", "max_steps", "timeout", "seed"])
def test_no_number_in_the_ini_file(pytester, name):
    pytester.makeini(f"[pytest]\nsoft_{name} = abc\n")
    result = pytester.runpytest_inprocess("-p", "no:hypothesispytest")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*soft_{name}*abc*"])
    result.stderr.no_fnmatch_line("*INTERNALERROR*")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--soft-optimizer=LM", "soft_optimizer is 'LM': it must be one of auto, lm, *mean 'lm'?"),
        ("--soft-engine=nunba", "soft_engine is 'nunba': it must be one of *Did you mean 'numba'?"),
        ("--soft-engine=xyz", "soft_engine is 'xyz': it must be one of auto, numpy, numba."),
    ],
)
def test_misspelt_names(pytester, option, message):
    result = pytester.runpytest_inprocess(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}"])


def test_the_names_are_those_of_the_core():
    assert {"auto", *OPTIMIZERS} == set(_OPTIMIZERS)
    assert ENGINES == _ENGINES
