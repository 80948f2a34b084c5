"""Writes trajectory.csv: a throw with known drag and restitution, seen 40 times, to about 1 cm."""

from pathlib import Path

import numpy as np
from projectile import DT, trajectory

TRUE_DRAG = 0.02  # 1/m
TRUE_RESTITUTION = 0.7

if __name__ == "__main__":
    steps = 7 * np.arange(1, 41)
    noise = np.random.default_rng(0).normal(scale=0.01, size=(40, 2))
    x, y = trajectory(steps[-1], TRUE_DRAG, TRUE_RESTITUTION)
    seen = np.column_stack([x[steps], y[steps]]) + noise
    np.savetxt(
        Path(__file__).with_name("trajectory.csv"),
        np.column_stack([steps * DT, seen]),
        delimiter=",",
        fmt=["%.2f", "%.3f", "%.3f"],
        header="t,x,y",
        comments="",
    )
