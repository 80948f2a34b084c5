"""The digits network by Adam in minibatches of 32: softtape beside PyTorch, epoch by epoch.

Each library runs in processes of its own, on one thread, in float64, once per seed, in turns; every
fourth image is held out. softtape has one soft test per image; its time is that of its epochs, and
recording the tests is said apart. Times are of the processor. Both start from random weights of
their own kind, and softtape's learning rate is its default with its default schedule, PyTorch's is
0.01, ten times Adam's default there, with and without a cosine schedule. Accuracies are medians.

    python benchmarks/digits_minibatches.py [--seeds N]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial

from common import machine, markdown, np
from digits_network import LAYOUT, SHAPES, load

EPOCHS, BATCH = 20, 32
SHOWN = (1, 2, 3, 5, 10, 20)


def data():
    images, labels = load()
    held_out = np.arange(len(labels)) % 4 == 0
    return images[~held_out], labels[~held_out], images[held_out], labels[held_out]


def by_softtape(seed):
    from softtape.losses import cross_entropy  # noqa: PLC0415 -- in its own process
    from softtape.objective import Objective, Term  # noqa: PLC0415
    from softtape.optimize import Bounds, Minibatch, minimize  # noqa: PLC0415
    from softtape.tape import Tape  # noqa: PLC0415

    images, labels, unseen, digits = data()
    draw = np.random.default_rng(seed)
    start = {key: np.zeros(shape) for key, shape in SHAPES.items()}
    for key in ("w1", "w2"):
        start[key] = draw.normal(size=SHAPES[key]) / np.sqrt(SHAPES[key][0])

    def trace(i, values):
        with Tape() as tape:
            p = {key: tape.input(key, values[key]) for key in SHAPES}
            h = np.tanh(images[i] @ p["w1"] + p["b1"])
            return tape.graph([cross_entropy(h @ p["w2"] + p["b2"], labels[i])])

    def accuracy(snapshot):
        p = LAYOUT.unpack(snapshot.state.theta)
        scores = np.tanh(unseen @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
        right.append(float(np.mean(scores.argmax(axis=1) == digits)))

    right = []
    began = time.process_time()
    cases = [partial(trace, i) for i in range(len(labels))]
    objective = Objective([Term(f"t[{i}]", c(start), c) for i, c in enumerate(cases)], LAYOUT)
    recorded = time.process_time()
    sizes = tuple(place.stop - place.start for place in LAYOUT.slices.values())
    bounds = Bounds(np.full(LAYOUT.size, -np.inf), np.full(LAYOUT.size, np.inf), sizes)
    optimizer = Minibatch("adam", BATCH, EPOCHS, seed=seed)
    minimize(objective, LAYOUT.pack(start), optimizer=optimizer, bounds=bounds, snapshots=accuracy)
    return {
        "right": right[1:],
        "time": time.process_time() - recorded,
        "before": recorded - began,
    }


def by_torch(seed, *, cosine):
    import torch  # noqa: PLC0415 -- a peer

    torch.set_num_threads(1)
    images, labels, unseen, digits = map(torch.from_numpy, data())
    torch.manual_seed(seed)
    layers = torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10)
    network = torch.nn.Sequential(*layers).double()
    adam = torch.optim.Adam(network.parameters(), lr=0.01)
    steps = EPOCHS * -(-len(labels) // BATCH)
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps) if cosine else None
    loss, right = torch.nn.CrossEntropyLoss(), []
    began = time.process_time()
    for _ in range(EPOCHS):
        order = torch.randperm(len(labels))
        for i in range(0, len(labels), BATCH):
            batch = order[i : i + BATCH]
            adam.zero_grad()
            loss(network(images[batch]), labels[batch]).backward()
            adam.step()
            if falls is not None:
                falls.step()
        with torch.no_grad():
            loss(network(images), labels)  # softtape judges an epoch by all tests, too
            right.append((network(unseen).argmax(1) == digits).double().mean().item())
    return {"right": right, "time": time.process_time() - began, "before": 0.0}


RUNS = {
    "softtape": by_softtape,
    "PyTorch": partial(by_torch, cosine=False),
    "PyTorch, cosine": partial(by_torch, cosine=True),
}


def apart(name, seed):
    """Run one of them in a process of its own, on one thread."""
    command = [sys.executable, __file__, "--run", name, "--seeds", str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.run:
        print(json.dumps(RUNS[wanted.run](wanted.seeds)))
        return
    print(machine())
    found = {name: [] for name in RUNS}
    for seed in range(wanted.seeds):
        for name, runs in found.items():
            runs.append(apart(name, seed))
    lines = [["accuracy after epoch", *map(str, SHOWN), "20 epochs", "recording"]]
    for name, runs in found.items():
        middle = [statistics.median(run["right"][e - 1] for run in runs) for e in SHOWN]
        times = [min(run[key] for run in runs) for key in ("time", "before")]
        shown = [f"{t:.2f} s" if t else "" for t in times]
        lines.append([name, *(f"{100 * m:.1f} %" for m in middle), *shown])
    print(f"\n{markdown(lines)}\n")


if __name__ == "__main__":
    main()
