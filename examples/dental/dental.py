"""Monomolecular adsorption in dental research: the volume adsorbed at a pressure.

The model and its starting values are those of the problem Misra1a in NIST's Statistical Reference
Datasets (StRD).
"""

import numpy as np

from softtape import Param

b1 = Param(500.0)  # the volume at saturation
b2 = Param(0.0001)  # the rate, per unit of pressure


def volume(pressure):
    return b1 * (1 - np.exp(-b2 * pressure))
