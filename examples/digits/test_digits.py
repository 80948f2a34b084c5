"""The specification: 1347 images and their digits to learn from, and 450 others to be tested on."""

from pathlib import Path

import numpy as np
from digits import logits, read_digits

from pytest_soft import cross_entropy, soft_test

ROWS = np.loadtxt(Path(__file__).with_name("digits.csv.gz"), delimiter=",", dtype=int)
IMAGES, LABELS = ROWS[:, :64], ROWS[:, 64]
TRAIN, TEST = slice(None, 1347), slice(1347, None)


@soft_test
def test_reads_the_training_images():
    return np.mean(cross_entropy(logits(IMAGES[TRAIN]), LABELS[TRAIN]))


def test_reads_images_it_has_not_seen():
    accuracy = np.mean(read_digits(IMAGES[TEST]) == LABELS[TEST])
    print("ACC", accuracy)
    assert accuracy >= 0.95
