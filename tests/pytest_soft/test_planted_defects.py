"""Programs as people write them, each with one thing wrong: the report names it, and no other.

The twin of each program, without the defect, gets no note at all.
"""

import gc
import re

import pytest

HEADER = """
    import numpy as np
    import pytest
    from pytest_soft import Param, soft_test

    draw = np.random.default_rng(5)
"""

# A sensor: a lamp of unknown brightness, an amplifier of unknown gain.
SENSOR = """
    gain = Param(1.5)
    brightness = Param({brightness})
    dark = Param(0.0)

    def volts(distance):
        return gain * brightness / distance**2 + dark

    DISTANCES = np.linspace(0.5, 2.0, 24)
    READINGS = 3.2 / DISTANCES**2 + 0.25 + 0.02 * draw.standard_normal(24)

    @soft_test
    @pytest.mark.parametrize("distance, reading", list(zip(DISTANCES.tolist(), READINGS.tolist())))
    def test_reading(distance, reading):
        return (volts(distance) - reading) ** 2
"""

# A tariff: what a parcel costs is written down in examples, and the examples disagree.
TARIFF = """
    base, per_kilo = Param(1.0), Param(1.0)

    def price(kilos):
        return base + per_kilo * kilos

    @soft_test
    def test_letter():
        return (price(0.0) - 2.5) ** 2

    @soft_test
    def test_parcel_on_the_website():
        return (price(4.0) - 8.5) ** 2

    @soft_test
    def test_parcel_in_the_contract():
        return (price(4.0) - {contract}) ** 2
"""

# The same, where the loss is the deviation itself: there are no residuals.
MARGIN = """
    margin = Param(0.5, bounds=(0.0, 5.0))

    @soft_test
    def test_sales():
        return np.log(np.cosh(margin - 1.0))

    @soft_test
    def test_accounting():
        return np.log(np.cosh(margin - {accounting}))
"""

# Cooling coffee, one value mistyped.
COFFEE = """
    room, start, rate = Param(15.0), Param(80.0), Param(0.1)

    def temperature(minutes):
        return room + (start - room) * np.exp(-rate * minutes)

    MINUTES = np.linspace(0, 40, 21)
    MEASURED = 21 + 64 * np.exp(-0.07 * MINUTES) + 0.1 * draw.standard_normal(21)
    MEASURED[8] += {slip}

    @soft_test
    @pytest.mark.parametrize("i", range(21))
    def test_minute(i):
        return (temperature(MINUTES[i]) - MEASURED[i]) ** 2
"""

# A ball on a slope; friction is bounded too tightly.
SLOPE = """
    friction = Param(0.1, bounds=(0.0, {limit}))
    speed = Param(1.0)

    def way(t):
        return speed * t - friction * 9.81 * t**2 / 2

    TIMES = np.linspace(0.1, 1.0, 15)
    WAYS = 2.0 * TIMES - 0.3 * 9.81 * TIMES**2 / 2 + 0.002 * draw.standard_normal(15)

    @soft_test
    @pytest.mark.parametrize("t, y", list(zip(TIMES.tolist(), WAYS.tolist())))
    def test_way(t, y):
        return (way(t) - y) ** 2
"""

# A discount that nobody tests.
SHOP = """
    unit = Param(1.0)
    {discount}

    @soft_test
    @pytest.mark.parametrize("n, total", [(1, 3.01), (2, 5.99), (3, 9.02), (4, 11.97), (5, 15.0)])
    def test_total(n, total):
        return (unit * n - total) ** 2
"""

# A queue, simulated with random numbers.
QUEUE = """
    service = Param(1.0)
    ARRIVALS = np.random.default_rng({seed})

    @soft_test
    def test_waiting_time():
        wait = 2.0 * service + 0.01 * {generator}.normal(size=40)
        return np.mean((wait - 3.0) ** 2)
"""

# A resonance searched from too far away.
TONE = """
    frequency = Param({start})

    T = np.linspace(0.0, 9.0, 60)

    @soft_test
    @pytest.mark.parametrize("t", T.tolist())
    def test_tone(t):
        return (np.sin(frequency * t) - np.sin(1.5 * t)) ** 2
"""

DEFECTS = {
    "unidentifiable": (
        SENSOR,
        {"brightness": "2.0"},
        {"brightness": "2.0, frozen=True"},
        [r"the tests do not determine every Param: only brightness \* gain is determined\. .*"],
    ),
    "contradiction": (
        TARIFF,
        {"contract": "12.5"},
        {"contract": "8.52"},
        [
            r"test_all.py::test_parcel_\w+ and test_all.py::test_parcel_\w+ contradict each other: "
            r"without the other, the loss of the first would fall by about 4, that of the second "
            r"by 4"
        ],
    ),
    "contradiction without residuals": (
        MARGIN,
        {"accounting": "3.0"},
        {"accounting": "1.01"},
        [
            r"test_all.py::test_(sales|accounting) and test_all.py::test_(sales|accounting) "
            r"contradict each other: without the other, the loss of the first would fall by about "
            r"0.434, that of the second by 0.434"
        ],
    ),
    "outlier": (
        COFFEE,
        {"slip": "3.0"},
        {"slip": "0.0"},
        [r"test_all.py::test_minute\[8\] stands out: \d+.\d standard deviations from what .*"],
    ),
    "bound": (
        SLOPE,
        {"limit": "0.2"},
        {"limit": "1.0"},
        [r"friction ended on its upper bound 0.2, and the total loss falls beyond it"],
    ),
    "reached by no test": (
        SHOP,
        {"discount": "discount = Param(0.1)"},
        {"discount": ""},
        [r"reached by no selected soft test: discount \(test_all.py\)"],
    ),
    "not repeatable": (
        QUEUE,
        {"seed": "0", "generator": "ARRIVALS"},
        {"seed": "0", "generator": "np.random.default_rng(1)"},
        [
            r"test_all.py::test_waiting_time gives another loss each time it runs, at the same "
            r"Params: \S+ to \S+ in 5 runs, .*"
        ],
    ),
    "local minimum": (
        TONE,
        {"start": "0.2"},
        {"start": "1.2"},
        [r"the fit ended in a local minimum: the total loss is lower at frequency = .*"],
    ),
}


@pytest.fixture
def notes(project):
    """Fit a program, and return the notes."""

    def run(program, values, file="test_all.py"):
        text = program.format(**values)
        project.write(file, HEADER + text)
        gc.collect()  # Params of earlier runs in this process would be told of
        result = project.fit("-W", "error")
        assert result.ret == 0
        found = re.findall(r"^note     (.*(?:\n {9}\S.*)*)", result.stdout.str(), re.MULTILINE)
        told = [" ".join(note.split()) for note in found if "no threshold" not in note]
        return [note for note in (without_others(note, text, file) for note in told) if note]

    return run


def without_others(note, program, file):
    """Leave out Params that other tests of this process have declared."""
    head, colon, names = note.partition("reached by no selected soft test: ")
    if not colon:
        return note
    own = [name for name in names.split(", ") if name.endswith(f" ({file})")]
    kept = [name for name in own if re.search(rf"\b{name.split()[0]}\b.* = Param", program)]
    return head + colon + ", ".join(kept) if kept else ""


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_defect_is_named_and_nothing_else(notes, defect):
    program, broken, _, expected = DEFECTS[defect]
    found = notes(program, broken)
    assert len(found) == len(expected), found
    for note, pattern in zip(found, expected, strict=True):
        assert re.fullmatch(pattern, note), note


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_twin_without_it_gets_no_note(notes, defect):
    program, _, sound, _ = DEFECTS[defect]
    assert notes(program, sound, "test_twin.py") == []
