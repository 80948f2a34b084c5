"""A thrown ball, step by step: gravity, quadratic air drag, and bounces that cost speed."""

import numpy as np

from softtape import Param

drag = Param(0.0, bounds=(0, 1))  # 1/m: deceleration by the air, per speed squared
restitution = Param(1.0, bounds=(0, 1))  # speed upwards after a bounce, per speed downwards before

GRAVITY = 9.81  # m/s²
DT = 0.02  # s


def fly(x, y, vx, vy, time, drag):
    """Return the state after ``time`` in the air, at the acceleration it has at the beginning."""
    slowing = drag * np.hypot(vx, vy)
    ax, ay = -slowing * vx, -slowing * vy - GRAVITY
    x, y = x + vx * time + ax * time**2 / 2, y + vy * time + ay * time**2 / 2
    return x, y, vx + ax * time, vy + ay * time


def trajectory(steps, drag=drag, restitution=restitution):
    """Return the positions x and y, in m, at the times 0, DT, ..., steps * DT."""
    x, y, vx, vy = 0.0, 0.0, 6.0, 12.0
    xs, ys = [x], [y]
    for _ in range(steps):
        before = x, y, vx, vy
        x, y, vx, vy = fly(*before, DT, drag)
        if y < 0:  # it touched the ground within this step: fly there, bounce, fly the rest
            touch = DT * before[1] / (before[1] - y)
            x, _, vx, vy = fly(*before, touch, drag)
            x, y, vx, vy = fly(x, 0.0, vx, -restitution * vy, DT - touch, drag)
        xs.append(x)
        ys.append(y)
    return np.stack(xs), np.stack(ys)
