"""The specification: images with their digits. Every fourth one is held out, to be read unseen.

Data: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository (1998), https://doi.org/10.24432/C50P49, licensed CC BY 4.0; these are the 1797 images
bundled with scikit-learn.
"""

from pathlib import Path

import numpy as np
from digits import W1, W2, read, scores

from pytest_soft import cross_entropy, soft_test

ROWS = np.loadtxt(Path(__file__).with_name("digits.csv.gz"), delimiter=",", dtype=int)
IMAGES, DIGITS = ROWS[:, :64], ROWS[:, 64]
HELD_OUT = np.arange(len(ROWS)) % 4 == 0


@soft_test
def test_reads_the_training_images():
    return np.mean(cross_entropy(scores(IMAGES[~HELD_OUT]), DIGITS[~HELD_OUT]))


@soft_test(weight=0.001)
def test_weights_stay_small():
    return np.sum(W1**2) + np.sum(W2**2)


def test_reads_images_it_has_never_seen():
    accuracy = np.mean(read(IMAGES[HELD_OUT]) == DIGITS[HELD_OUT])
    assert accuracy >= 0.95
