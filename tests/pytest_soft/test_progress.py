"""What a fit shows while it runs."""

import pytest

from pytest_soft.report.progress import Progress, worth_a_line
from pytest_soft.solve import FitProgress as Step


class Reporter:
    """Notes what it is asked to write."""

    def __init__(self):
        self.said = []

    def ensure_newline(self):
        self.said.append("\n")

    def write(self, text):
        self.said.append(text)

    def write_line(self, text):
        self.said.append(text)

    def rewrite(self, text, **markup):
        self.said.append(("live", text, markup))


def step(number, value=2.0):
    return Step(number, value, value / 2, 1.0, "", 0.25)


def test_worth_a_line():
    shown = [n for n in range(100_001) if worth_a_line(n)]
    assert shown == [
        0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000
    ]  # fmt: skip


def test_lines_show_the_best_value():
    reporter = Reporter()
    with Progress(reporter, live=False) as progress:
        for number in range(4):
            progress(step(number))
    lines = [text for text in reporter.said if text != "\n"]
    assert lines == [f"soft-fit: step {n}, total loss 1" for n in (0, 1, 2)]


def test_the_component_is_named_where_there_are_several():
    reporter = Reporter()
    with Progress(reporter, live=False) as progress:
        progress(Step(5, 2.0, 1.0, 1.0, "", 0.25, component=3, components=300))
    assert reporter.said[-1] == "soft-fit: component 3 of 300, step 5, total loss 1"


def test_live_line_is_throttled_and_cleared():
    reporter = Reporter()
    with Progress(reporter, live=True) as progress:
        for number in range(1000):
            progress(step(number))
    live = [text for text in reporter.said if text[0] == "live"]
    assert 2 <= len(live) < 100
    assert live[0] == ("live", "soft-fit: step 0, total loss 1  (0.2 s)", {"erase": True})
    assert live[-1] == ("live", "", {"erase": True})
    after = reporter.said.index(live[0]) + 1
    assert reporter.said[after] == "\r"  # where ^C wraps nothing


def test_live_line_is_cleared_after_an_error():
    reporter = Reporter()

    def interrupted():
        with Progress(reporter, live=True) as progress:
            progress(step(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reporter.said[-1] == ("live", "", {"erase": True})


def test_a_fit_in_a_worker_shows_the_same_lines(sine):
    one, other = sine.apart("--soft-fit", "--soft-dry-run", "-n", "2"), sine.fit("--soft-dry-run")
    shown = [
        [line for line in result.outlines if line.startswith("soft-fit: step")]
        for result in (one, other)
    ]
    assert len(shown[0]) > 2
    assert shown[0] == shown[1]


def test_nothing_without_a_reporter():
    with Progress(None, live=False) as progress:
        progress(step(0))


@pytest.mark.parametrize(("args", "silent"), [((), False), (("-q",), True), (("-v",), False)])
def test_on_a_config(pytester, args, silent):
    config = pytester.parseconfigure("-p", "no:hypothesispytest", *args)
    assert (Progress.on(config)._reporter is None) is silent
