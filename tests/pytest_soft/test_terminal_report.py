"""The lines of the section «soft»."""

from pytest_soft.report.terminal import fold, summary_lines
from pytest_soft.summary import ComponentFit, FitSummary, ParamChange, Trouble
from pytest_soft.verdict import Sides, TestLoss, judge


def lines(tests, fit=None, *, verbosity=0, threshold=None, asked=False, gap=None):
    failures = tuple(t.title for t in fit.troubles) if fit else ()
    folds = fit.folds if fit else ()
    verdict = judge(
        tests, threshold=threshold, asked=asked, fit_failures=failures, gap=gap, folds=folds
    )
    return list(summary_lines(verdict, tests, fit, verbosity=verbosity))


def texts(*args, **options):
    return [text for text, _ in lines(*args, **options)]


TESTS = {
    f"t.py::test_{name}": TestLoss(loss) for name, loss in zip("abcd", (1, 4, 2, 3), strict=True)
}


def fitted(**changes):
    made = FitSummary(
        tests=4, before=20.0, after=10.0, outcome="converged", optimizer="lm (auto)", steps=1,
        evaluations=2, seconds=0.123, stored=["sine.soft.json"],
        losses={name: test.loss for name, test in TESTS.items()},
        params=[ParamChange("omega", "sine.py", (), 1.0, 1.5, 0.5, at_bound=False)],
    )  # fmt: skip
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_a_check():
    assert texts(TESTS, threshold=10) == [
        "PASSED  4 soft tests, total loss 10, threshold 10",
        "worst    4         t.py::test_b",
        "         3         t.py::test_d",
        "         2         t.py::test_c",
    ]


def test_one_test_needs_no_worst():
    assert texts({"a": TestLoss(1.0)}, threshold=1) == [
        "PASSED  1 soft test, total loss 1, threshold 1"
    ]
    assert texts({"a": TestLoss(1.0)}, verbosity=1)[-1] == "worst    1         a"


def test_held_out_tests_stand_beside_the_fitted_ones():
    tests = {**TESTS, "t.py::test_e": TestLoss(5.0, held_out=True)}
    assert texts(tests, threshold=10, gap=3) == [
        "PASSED  5 soft tests, total loss 10, threshold 10",
        "holdout  mean loss 2.5 fitted, 5 of 1 test held out",
        "         gap 2.5, limit 3",
        "worst    5         t.py::test_e  (held out)",
        "         4         t.py::test_b",
        "         3         t.py::test_d",
    ]


def test_folds_are_a_table():
    folds = [Sides(1.0, 4.0, 0.5, 1.0, 1), Sides(1.0, 3.0, 1.5, 2.0, 2)]
    found = texts(TESTS, fitted(folds=folds), threshold=10)
    first = found.index("folds    tests  fitted      held out")
    assert found[first + 1 : first + 4] == [
        "             1  0.25        0.5",
        "             2  0.3333      0.75",
        "all          3  0.2857      0.6667      gap 0.381",
    ]


def test_a_gap_that_could_not_be_checked_is_noted():
    note = "note     nothing was held out, so soft_gap was not checked"
    assert note in texts(TESTS, gap=1.0)
    assert note not in texts({**TESTS, "t.py::test_e": TestLoss(5.0, held_out=True)}, gap=1.0)


def test_failures_say_why_and_are_red():
    found = lines(TESTS, threshold=9.5)
    assert found[0] == (
        "FAILED  4 soft tests, total loss 10, threshold 9.5", {"red": True, "bold": True}
    )  # fmt: skip
    assert found[1] == ("  the total loss 10 is above the threshold 9.5", {"red": True})


def test_passes_are_green():
    assert lines(TESTS)[0][1] == {"green": True, "bold": True}


def test_a_fit():
    assert texts(TESTS, fitted())[:6] == [
        "PASSED  4 soft tests, total loss 20 -> 10",
        "fit      converged",
        "         1 step, 2 evaluations, 0.12 s",
        "         by lm (auto)",
        "Params   omega  1 -> 1.5",
        "stored   in sine.soft.json",
    ]


def component(name, after, optimizer="lm", end="converged", tests=1):
    names = [f"t.py::test_{i}" for i in range(tests)]
    return ComponentFit(name.split(), names, 2.5, after, end, "", optimizer, "", 12, 30, 0)


def table(fit, verbosity=0):
    """Return the lines between the optimizer and the Params."""
    found = texts(TESTS, fit, verbosity=verbosity)
    return [t[9:] for t in found[4 : next(i for i, t in enumerate(found) if "omega  1" in t)]]


def test_components():
    fits = [
        component("omega", 1e-15, tests=21),
        component("gain offset rate", 0.5, "lbfgs", "stopped", 1200),
        component("W", 2.5, "", "failed"),
        component("share", 0.25, end="threshold"),
    ]
    assert table(fitted(components=fits)) == [
        "as 4 components that share no test and no Param",
        "Params              tests  loss          by     steps  end",
        "omega                  21  2.5 -> 1e-15  lm        12  converged",
        "gain, offset, rate   1200  2.5 -> 0.5    lbfgs     12  stopped",
        "W                       1  2.5 -> 2.5              12  failed",
        "share                   1  2.5 -> 0.25   lm        12  threshold",
    ]
    assert f"{'':9}W" in next(t for t, m in lines(TESTS, fitted(components=fits)) if m.get("red"))


def test_one_component_needs_no_table():
    assert table(fitted(components=[component("omega", 0.0)])) == []


def test_of_many_components_those_to_look_at():
    fits = [component(f"p{i:02}", i / 100) for i in range(20)]
    fits[7] = component("p07", 0.07, end="stopped")
    assert table(fitted(components=fits)) == [
        "as 20 components that share no test and no Param",
        "Params  tests  loss         steps  end",
        "p07         1  2.5 -> 0.07     12  stopped",
        "p19         1  2.5 -> 0.19     12  converged",
        "p18         1  2.5 -> 0.18     12  converged",
        "and 17 more (-v shows all)",
    ]
    assert len(table(fitted(components=fits), verbosity=1)) == 22


def test_the_table_of_components_fits_80_columns():
    names = "a_name_that_says_a_lot another_name_that_says_a_lot and_one_more_of_them"
    fits = [component(names, 1.23456e-100, o, tests=12345) for o in ("lbfgs", "lm")]
    found = table(fitted(components=fits))
    assert max(map(len, found)) == 80 - 9
    assert found[2].startswith("a_name_that_says_a...  12345")


def test_quiet_is_one_line():
    assert texts(TESTS, fitted(notes=["a note"]), verbosity=-1) == [
        "soft: PASSED  4 soft tests, total loss 20 -> 10, no threshold"
    ]
    assert texts(TESTS, threshold=10, verbosity=-1) == [
        "soft: PASSED  4 soft tests, total loss 10, threshold 10"
    ]


def test_quiet_does_not_hide_troubles():
    found = texts(TESTS, fitted(troubles=[Trouble("no Param", "there\nis none")]), verbosity=-1)
    assert found == [
        "soft: FAILED  4 soft tests, total loss 20 -> 10, no threshold",
        "  no Param",
        "no Param:",
        "  there",
        "  is none",
    ]


def test_verbose_shows_everything():
    params = [ParamChange(f"p{i:02}", "x.py", (), 0.0, 1.0, 1.0, at_bound=False) for i in range(13)]
    short = texts(TESTS, fitted(params=params))
    assert short[4:14] == [f"{'Params' if i == 0 else '':9}p{i:02}  0 -> 1" for i in range(10)]
    assert short[14] == "         and 3 more (-v shows all)"
    long = texts(TESTS, fitted(params=params), verbosity=1)
    assert [t for t in long if "p12" in t] == ["         p12  0 -> 1"]
    assert len([t for t in texts(TESTS, verbosity=2) if "::" in t]) == 4


def test_params_in_all_kinds():
    params = [
        ParamChange("W", "x.py", (64, 32), None, None, 0.0123456, at_bound=False),
        ParamChange("unmoved", "x.py", (3,), None, None, 0.0, at_bound=True),
        ParamChange("blank", "x.py", (), None, 2.0, float("nan"), at_bound=False),
        ParamChange("blanks", "x.py", (4,), None, None, float("nan"), at_bound=False),
        ParamChange("held", "x.py", (), 0.5, 1.0, 0.5, at_bound=True),
    ]
    assert texts(TESTS, fitted(params=params))[4:9] == [
        "Params   W        [64 x 32] changed by 0.0123 (rms)",
        "         unmoved  [3] not moved  (on its bound)",
        "         blank    ... -> 2",
        "         blanks   [4] filled in",
        "         held     0.5 -> 1  (on its bound)",
    ]


def test_dry_run():
    found = lines(TESTS, fitted(dry_run=True, preview="--- a\n+++ b\n-1\n+2\n same\n"))
    assert ("stored   would be in sine.soft.json", {}) in found
    assert ("  +2", {"green": True, "red": False}) in found
    assert ("  -1", {"green": False, "red": True}) in found


def test_what_was_run_one_by_one_is_listed_when_asked_twice():
    fit = fitted(alone={"t.py::test_a": "interp over tables that differ between the cases"})
    line = (
        "alone    t.py::test_a: there is no batching rule for interp over tables that differ "
        "between the cases"
    )
    assert line in texts(TESTS, fit, verbosity=2)
    assert line not in texts(TESTS, fit, verbosity=1)


def test_notes_and_retraces():
    found = texts(TESTS, fitted(notes=["a note"], retraces=2, stored=[], unchanged=["x.soft.json"]))
    assert "note     a note" in found
    assert "         2 test runs traced again on another path" in found
    assert "stored   nothing moved in x.soft.json" in found


def test_a_fit_that_never_began():
    found = texts({}, FitSummary(troubles=[Trouble("no Param", "because")]), asked=True)
    assert found == [
        "FAILED  0 soft tests",
        "  no Param",
        "  no soft test ran",
        "",
        "no Param:",
        "  because",
    ]


def test_a_difference_between_check_and_tape_is_said():
    losses = {name: test.loss for name, test in TESTS.items()}
    losses["t.py::test_b"] = 4.001
    found = texts(TESTS, fitted(losses=losses), threshold=10)
    (number,) = [i for i, t in enumerate(found) if t.startswith("note")]
    note = " ".join(found[number : number + 2])
    assert "please report this error of ours" in note
    assert "t.py::test_b: its loss is 4, but 4.001 on the tape" in note


def test_rounding_is_no_difference():
    losses = {name: test.loss * (1 + 1e-12) for name, test in TESTS.items()}
    found = texts(TESTS, fitted(losses=losses), threshold=10)
    assert not [t for t in found if t.startswith("note")]


def test_worst_counts_weights_and_shows_limits():
    tests = {
        "a": TestLoss(1.0, weight=10.0, threshold=2.0),
        "b": TestLoss(5.0),
        "c": TestLoss(3.0, counts=False),
        "d": TestLoss(None),
    }
    assert texts(tests)[2:] == [
        "worst    1         a  (weight 10, threshold 2)",
        "         5         b",
        "         3         c  (xfail, not counted)",
    ]


def test_a_check_that_fails_by_its_losses_names_the_way_out():
    tests = {"a": TestLoss(1.0), "b": TestLoss(5.0)}
    hint = "  pytest --soft-fit fits the Params again, if the tests are right"
    failed, held = (judge(tests, threshold=t, asked=False) for t in (0.5, 7.0))
    assert hint in [line for line, _ in summary_lines(failed, tests, None)]
    assert hint not in [line for line, _ in summary_lines(held, tests, None)]
    assert hint not in [line for line, _ in summary_lines(failed, tests, None, verbosity=-1)]
    elsewhere = judge(tests, threshold=7.0, asked=False, fit_failures=("a broken file",))
    assert hint not in [line for line, _ in summary_lines(elsewhere, tests, None)]
    tests["c"] = TestLoss(None)
    broken = judge(tests, threshold=0.5, asked=False)
    assert hint not in [line for line, _ in summary_lines(broken, tests, None)]


def test_folding():
    text = "note     " + "word " * 30
    assert fold(text, None) == [text]
    parts = fold(text, 60)
    assert max(map(len, parts)) <= 60
    assert parts[0].startswith("note     word")
    assert all(part.startswith(" " * 9 + "word") for part in parts[1:])
    assert " ".join(parts).split() == text.split()
    told = fold("note     t.py::test_it[a b] says " + "word " * 20, 40)
    assert told[0] == "note     t.py::test_it[a b] says word"
    assert max(map(len, told)) <= 40
    for whole in ("worst    t.py::test_it[" + "x " * 50, "note     " + "x" * 100):
        assert fold(whole, 60) == [whole]
    assert fold("PASSED  " + "a, " * 30, 60)[0].startswith("PASSED  a, a,")


def test_tracebacks_and_diffs_are_not_folded():
    deep = "            " + "x " * 60
    fit = fitted(troubles=[Trouble("broken", deep)], preview=deep, notes=[deep])
    verdict = judge({}, threshold=None, asked=False)
    found = [text for text, _ in summary_lines(verdict, {}, fit, width=60)]
    assert found.count(f"  {deep}".rstrip()) + found.count(f"  {deep}") == 2
    assert max(len(text) for text in found if text.startswith("note")) <= 60


def test_an_interrupted_fit_is_not_called_a_run_without_tests():
    fit = FitSummary(tests=3, before=2.0, after=0.5, outcome="stopped", interrupted=True)
    verdict = judge({}, threshold=0.1, asked=True)
    lines = [line for line, _ in summary_lines(verdict, {}, fit)]
    assert lines[0] == ("INTERRUPTED  fit of 3 soft tests, total loss 2 -> 0.5, not checked")
    assert not any("no soft test ran" in line for line in lines)


def test_a_run_that_no_loss_can_fail_says_so():
    def warned(tests, threshold=None):
        return any("no loss fails this run" in text for text in texts(tests, threshold=threshold))

    assert warned(TESTS)
    assert not warned(TESTS, threshold=10)
    assert not warned({**TESTS, "e": TestLoss(1.0, threshold=2.0)})
    assert not warned({"a": TestLoss(None)})


def test_a_loss_below_0_is_named():
    def named(**options):
        tests = {**TESTS, "e": TestLoss(-3.0, **options)}
        return "note     e: its loss is below 0," in texts(tests, threshold=10)

    assert named()
    assert not named(weight=0.0)
    assert not named(counts=False)
