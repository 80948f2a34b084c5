"""The report as a page, also in a real browser where there is one."""

import json
import os
import re
import shutil
import subprocess
from html import unescape

import pytest

from pytest_soft.figures import Curve, by_function
from pytest_soft.report.data import run_data
from pytest_soft.report.html import page
from pytest_soft.verdict import TestLoss, judge

NASTY = "</script><script>document.title = 'broken'</script>"


def data(tests, threshold=1.0):
    verdict = judge(tests, threshold=threshold, asked=True)
    return run_data(verdict, tests, None, exit_status=int(not verdict.passed))


def many(count):
    return {
        f"test_big.py::test_f[{i}-<b>{i % 7}</b>]": TestLoss(((i * 7919) % count) / count)
        for i in range(count)
    }


def test_the_data_cannot_end_the_script():
    text = page(data({f"t.py::test[{NASTY}\u2028]": TestLoss(2.0)}))
    assert NASTY not in text
    (held,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    assert json.loads(held)["tests"][0]["id"] == f"t.py::test[{NASTY}\u2028]"


def test_it_asks_no_network():
    text = page(data(many(3)))
    assert re.findall(r"""(?:src|href)=["'](?!data:)""", text) == []
    assert [link for link in re.findall(r"https?://[^\s\"']+", text) if "w3.org" not in link] == []


def test_a_curve_is_thinned_out():
    curve = Curve()
    for step in range(10_000):
        curve.add(1.0 / (step + 1))
    assert 200 <= len(curve.points) <= 401
    assert curve.points[:2] == [(0, 1.0), (32, 1 / 33)]
    steps = [step for step, _ in curve.points]
    assert steps == sorted(steps)


def test_sensitivities_add_up_over_the_cases_of_a_test():
    tests = ["t.py::test_a[1]", "t.py::test_b", "t.py::test_a[2]"]
    found = by_function(tests, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert found["functions"] == ["t.py::test_a", "t.py::test_b"]
    assert found["sensitivity"] == [[6.0, 8.0], [3.0, 4.0]]
    assert by_function(tests, None) == {"functions": [], "sensitivity": None}


def test_a_run_writes_it(sine):
    result = sine.fit("--soft-threshold=1e-10", "--soft-html=out/r.html")
    assert result.ret == 0
    text = (sine.path / "out" / "r.html").read_text(encoding="utf-8")
    (held,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    fit = json.loads(held)["fit"]
    steps, losses = zip(*fit["curve"], strict=True)
    assert list(steps) == list(range(len(steps)))
    assert losses[0] == pytest.approx(fit["before"])
    assert losses[-1] == pytest.approx(fit["after"])
    (figure,) = fit["figures"]
    (drawn,) = figure["slices"]
    assert figure["params"] == ["omega"]
    assert drawn["loss"][drawn["x"].index(drawn["at"])] == pytest.approx(fit["after"])
    assert min(drawn["loss"]) <= fit["after"] * 1.01
    assert drawn["x"][0] <= 1.0 <= drawn["x"][-1]  # where the fit started
    assert figure["correlation"] == [[pytest.approx(1.0)]]
    assert len(figure["functions"]) == 1


def test_figures_are_computed_for_a_page_alone(sine):
    sine.fit("--soft-json=r.json")
    fit = json.loads((sine.path / "r.json").read_text(encoding="utf-8"))["fit"]
    assert (fit["curve"], fit["figures"]) == ([], [])


# ---- in a browser

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update"
)
MODES = {
    "light": ["--hide-scrollbars"],
    "dark": ["--hide-scrollbars", "--force-dark-mode", "--blink-settings=preferredColorScheme=0"],
}
ERRORS = "<script>window.errors = []; onerror = message => { errors.push(message); };</script>"
USE = """
<script>
const click = key => document.querySelector(`[data-key=${key}]`).click();
const first = () => document.querySelector(".row span").textContent;
const rows = document.querySelectorAll(".row").length;
const found = { opened: performance.now(), worst: first(), rows };
let began = performance.now();
click("loss"); found.highest = first();
click("loss"); found.lowest = first();
click("id"); found.by_id = first();
const box = document.getElementById("filter");
box.value = "[1999"; box.dispatchEvent(new Event("input"));
found.count = document.getElementById("count").textContent.trim();
found.used = performance.now() - began;
found.verdict = document.getElementById("verdict").textContent; found.title = document.title;
found.fits = document.documentElement.scrollWidth <= innerWidth;
found.drawings = [...document.querySelectorAll("svg")].map(svg => svg.getAttribute("aria-label"));
found.heat = document.querySelectorAll(".heat td").length;
found.dots = document.querySelectorAll("svg .dot").length;
found.bold = document.querySelectorAll("b").length; found.errors = errors;
const said = { id: "found", textContent: JSON.stringify(found) };
document.body.append(Object.assign(document.createElement("pre"), said));
</script>
"""


def opened(tmp_path, text, name, size="1000,900"):
    """Open a page, use it, and return what there was to see; CI keeps screenshots of it."""
    file = tmp_path / "page.html"
    file.write_text(text.replace("<head>", f"<head>{ERRORS}") + USE, encoding="utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [CHROMIUM, *FLAGS.split(), profile, f"--window-size={size}"]
    dump = [*command, "--enable-logging=stderr", "--dump-dom", file.as_uri()]
    done = subprocess.run(dump, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    if folder := os.environ.get("SOFT_SCREENSHOTS"):
        plain = tmp_path / "plain.html"  # not yet used
        plain.write_text(text, encoding="utf-8")
        for mode in ("light", "dark"):
            shot = f"--screenshot={folder}/{name}-{mode}.png"
            subprocess.run([*command, *MODES[mode], shot, plain.as_uri()], check=True, timeout=120)
    return json.loads(unescape(re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)[1]))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_twenty_thousand_tests_sort_and_filter(tmp_path):
    tests = many(20_000)
    found = opened(tmp_path, page(data(tests)), "20000-tests")
    order = sorted(tests, key=lambda name: (tests[name].loss, name))
    assert found["errors"] == []
    assert found["worst"] == found["highest"] == order[-1]
    assert found["lowest"] == order[0]
    assert found["by_id"] == min(tests)
    assert found["count"] == f"{sum('[1999' in name for name in tests)} of 20000"
    assert found["rows"] < 200  # only what can be seen
    assert found["opened"] < 2000
    assert found["used"] < 2000
    assert (found["verdict"], found["title"]) == ("FAILED", "FAILED: soft tests")
    assert found["bold"] == 0


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_whole_run_in_a_browser(sine, tmp_path):
    sine.check("--soft-json=before.json")
    options = "--soft-html=r.html", "--soft-compare=before.json", "--soft-coverage"
    sine.fit("--soft-threshold=1e-10", *options)
    text = (sine.path / "r.html").read_text(encoding="utf-8")
    found = opened(tmp_path, text, "phone", size="400,1600")
    assert found["errors"] == []
    assert found["fits"]
    assert found["worst"].startswith("test_f[")  # the file has no room
    assert found["drawings"] == [
        "total loss by step",
        "test_sine.py::test_f: data (dots) and program (line) by x",
        "loss by omega",
    ]
    assert found["dots"] == 21
    assert found["heat"] == 1 + 21  # sensitivity by function, coverage by test
    assert found["verdict"] == "PASSED"
