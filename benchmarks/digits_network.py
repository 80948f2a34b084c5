"""The digits network (64→32→10, tanh, cross-entropy) against hand-written numpy backpropagation.

python benchmarks/digits_network.py
"""

import gzip
from pathlib import Path

from common import compare, machine, np, seconds

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

    return value_and_gradient


def softtape(images, labels, theta):
    def trace(values):
        with Tape() as tape:
            p = {key: tape.input(key, values[key]) for key in SHAPES}
            h = np.tanh(images @ p["w1"] + p["b1"])
            return tape.graph([np.mean(cross_entropy(h @ p["w2"] + p["b2"], labels))])

    return Objective(
        [Term("digits", trace(LAYOUT.unpack(theta)), trace)], LAYOUT
    ).value_and_gradient


def main():
    images, labels = load()
    random = np.random.default_rng(0)
    theta = random.normal(size=LAYOUT.size) * 0.125
    print(machine())
    for n in (len(labels), 128):
        x, lab = images[:n].copy(), labels[:n].copy()
        times = compare({"by hand": by_hand(x, lab), "softtape": softtape(x, lab, theta)}, theta)
        ratio = times["softtape"] / times["by hand"]
        shown = ", ".join(f"{name} {seconds(t)}" for name, t in times.items())
        print(f"{n:5} images: {shown}, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
