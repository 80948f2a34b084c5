"""Figures of a fit as a picture."""

import importlib.util
from xml.etree import ElementTree

import pytest

TWO = """
    import pytest
    from pytest_soft import Param, soft_test

    slope, offset = Param(1.0, name="$slope"), Param(0.0, name="offset")

    @soft_test
    @pytest.mark.parametrize(("x", "y"), [(1, 3.1), (2, 4.9), (3, 7.2), (4, 8.9)])
    def test_line(x, y):
        return (slope * x + offset - y) ** 2
"""


def test_a_picture_of_a_fit(project):
    pytest.importorskip("matplotlib.figure")  # once for all runs
    project.write("test_it.py", TWO)
    result = project.check("--soft-fit", "--soft-plot=out/fit.svg")
    assert result.ret == 0
    root = ElementTree.parse(project.path / "out" / "fit.svg").getroot()
    panels = [e for e in root.iter() if (e.get("id") or "").startswith("axes_")]
    assert len(panels) == 6  # 𝓛 by step, data and program, two slices, correlations and their key
    text = (project.path / "out" / "fit.svg").read_text(encoding="utf-8")
    for said in ("PASSED  4 soft tests", "test_line", "$slope", "offset", "total loss by step"):
        assert f"<!-- {said}" in text  # matplotlib draws letters, and says what they are


def test_a_fit_that_failed_has_a_picture_too(project):
    pytest.importorskip("matplotlib.figure")  # once for all runs
    project.write("test_it.py", TWO.replace("(slope * x + offset - y) ** 2", "float('nan')"))
    result = project.fit("--soft-plot=fit.PNG")
    assert result.ret == 1
    assert (project.path / "fit.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--soft-plot=a.png"], "--soft-plot needs --soft-fit: a check has nothing to draw"),
        (
            ["--soft-fit", "--soft-plot=a.jpeg"],
            "--soft-plot is 'a.jpeg': it takes a file that ends in .png, .svg, .pdf",
        ),
    ],
)
def test_what_cannot_be_drawn(sine, args, said):
    result = sine.check(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])


def test_matplotlib_is_missing(sine, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "matplotlib" else found(name)
    )
    result = sine.fit("--soft-plot=a.png")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --soft-plot needs matplotlib: pip install 'pytest-soft*plot*'"]
    )
