"""The program: production code. It imports softtape, never pytest."""

import numpy as np

from softtape import Param

omega = Param(1.0)  # a blank; it acts as its value


def f(x):
    return np.sin(omega * x)
