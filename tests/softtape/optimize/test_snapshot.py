"""A minimisation that goes on from a snapshot ends as it would have without a break."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from softtape.errors import SoftError
from softtape.optimize import OPTIMIZERS, Bounds, Snapshot, State, minimize
from softtape.optimize.choose import EXTERNAL

START = np.array([-1.2, 1.0])
FREE = Bounds.unbounded(2)
NATIVE = sorted(OPTIMIZERS.keys() - EXTERNAL)


def fit(objective, name, **options):
    return minimize(objective, START, optimizer=OPTIMIZERS[name](), bounds=FREE, **options)


def told(result):
    """Return what must be equal to the last bit."""
    numbers = (result.value, result.gradient_norm)
    return result.theta.tobytes(), numbers, result.status, result.steps, result.evaluations


@pytest.mark.parametrize("name", NATIVE)
def test_the_rest_is_the_same_from_every_step(name, rosenbrock):
    snapshots, asked = [], []

    def keep(snapshot):
        snapshots.append(snapshot)
        asked.append(len(rosenbrock.asked))

    whole = fit(rosenbrock, name, max_steps=400, snapshots=keep)
    points = [theta.tobytes() for theta in rosenbrock.asked]
    for place in sorted({0, 1, 2, *range(3, len(snapshots), 29), len(snapshots) - 1}):
        rosenbrock.asked.clear()
        resumed = Snapshot.from_plain(snapshots[place].to_plain())
        result = fit(rosenbrock, name, max_steps=400, resume=resumed)
        assert told(result) == told(whole), place
        assert [theta.tobytes() for theta in rosenbrock.asked] == points[asked[place] :]


@pytest.mark.parametrize("name", ["adam", "gradient-descent"])
def test_a_later_leg_knows_whether_it_has_found_anything(name, rosenbrock):
    uneven = replace(
        rosenbrock, residuals=lambda t: np.stack([t[0] - 1, 10 * t[1] + 2, t[0] * t[1] + 5])
    )
    snapshots = []
    whole = fit(uneven, name, snapshots=snapshots.append)
    later = [s for s in snapshots if s.leg]
    moved = {s.moved for s in later}
    assert False in moved
    assert True in moved or name != "adam"
    for snapshot in [*later[:2], *later[2::97], later[-1]]:
        assert told(fit(uneven, name, resume=snapshot)) == told(whole)


def test_a_snapshot_comes_before_the_callback(rosenbrock):
    snapshots = []

    def stop(progress):
        if progress.step == 5:
            raise KeyboardInterrupt

    fit(rosenbrock, "lm", snapshots=snapshots.append, callback=stop)
    assert snapshots[-1].steps == 5


def test_an_optimizer_that_keeps_more_than_plain_data_is_named(rosenbrock):
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Odd(State):
        generator: object

    snapshots = []
    fit(rosenbrock, "lm", max_steps=0, snapshots=snapshots.append)
    state = snapshots[0].state
    plain = {k: getattr(state, k) for k in ("theta", "value", "gradient", "noise", "remaining")}
    odd = Odd(**plain, generator=iter(()))
    with pytest.raises(SoftError, match=r"Odd.generator is a tuple_iterator, which is no plain"):
        replace(snapshots[0], state=odd).to_plain()


def test_the_state_of_an_optimizer_that_is_gone(rosenbrock):
    snapshots = []
    fit(rosenbrock, "lm", max_steps=0, snapshots=snapshots.append)
    plain = snapshots[0].to_plain()
    plain["state"]["kind"] = "os.system"
    with pytest.raises(SoftError, match=r"cannot be read: KeyError\('os.system'\)"):
        Snapshot.from_plain(plain)
