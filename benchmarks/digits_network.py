"""The digits network (64→32→10, tanh, cross-entropy) against hand-written numpy backpropagation.

With ``--peers`` what else one could use, as far as it is installed. On one thread:
``taskset -c 0 python …``.

    python benchmarks/digits_network.py [--peers]
"""

import argparse
import gzip
from pathlib import Path

from common import Built, Candidate, installed, machine, measure, np, table
from peers import digits as peers

from softtape.losses import cross_entropy
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape

SHAPES = {"w1": (64, 32), "b1": (32,), "w2": (32, 10), "b2": (10,)}
LAYOUT = Layout(SHAPES)


def load():
    file = Path(__file__).parent.parent / "examples" / "digits" / "digits.csv.gz"
    with gzip.open(file, "rt") as lines:
        rows = np.loadtxt((line for line in lines if line[0].isdigit()), delimiter=",")
    return rows[:, :64] / 16.0, rows[:, 64].astype(np.int64)


def by_hand(images, labels):
    rows, transposed, n = np.arange(len(labels)), np.ascontiguousarray(images.T), len(labels)

    def value_and_gradient(theta):
        p = LAYOUT.unpack(theta)
        h = np.tanh(images @ p["w1"] + p["b1"])
        z = h @ p["w2"] + p["b2"]
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        s = e.sum(axis=1)
        value = (np.log(s).sum() - z[rows, labels].sum()) / n
        e /= s[:, None]
        e[rows, labels] -= 1.0
        e /= n
        g = np.empty_like(theta)
        parts = {key: g[place].reshape(SHAPES[key]) for key, place in LAYOUT.slices.items()}
        parts["w2"][...] = h.T @ e
        parts["b2"][...] = e.sum(axis=0)
        dh = e @ p["w2"].T
        h *= h
        dh *= 1.0 - h
        parts["w1"][...] = transposed @ dh
        parts["b1"][...] = dh.sum(axis=0)
        return float(value), g

    return Built(value_and_gradient)


def softtape(images, labels, theta, engine):
    def trace(values):
        with Tape() as tape:
            p = {key: tape.input(key, values[key]) for key in SHAPES}
            h = np.tanh(images @ p["w1"] + p["b1"])
            return tape.graph([np.mean(cross_entropy(h @ p["w2"] + p["b2"], labels))])

    term = Term("digits", trace(LAYOUT.unpack(theta)), trace)
    return Built(Objective([term], LAYOUT, engine).value_and_gradient)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", action="store_true")
    wanted = parser.parse_args().peers
    images, labels = load()
    theta = np.random.default_rng(0).normal(size=LAYOUT.size) * 0.125
    print(machine())
    for n in (len(labels), 128):
        x, lab = images[:n].copy(), labels[:n].copy()
        candidates = [
            Candidate("numpy by hand", "digits_network:by_hand", (x, lab)),
            Candidate("softtape, numpy", "digits_network:softtape", (x, lab, theta, "numpy")),
            *(installed(peers(x, lab)) if wanted else []),
        ]
        table(measure(candidates, theta), f"{n} images")


if __name__ == "__main__":
    main()
