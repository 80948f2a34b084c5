"""The digits network by Adam in minibatches of 32: softtape beside PyTorch, epoch by epoch.

Both have the same network in float64 on one thread, the same first weights, the same batches in
the same order, β₁ = 0.9, β₂ = 0.999 and a cosine schedule; every fourth image is held out. softtape
has one soft test per image and its default learning rate, 0.05 in units of the size of each Param;
PyTorch has 0.001, its default, 0.01, and, as a check that nothing else differs, softtape's rates as
those of parameter groups.

Processes take turns, each runs several seeds; times are of the processor, of the first seed in
each process: recording and compiling for softtape, the first calls for PyTorch included, imports
not. Each library looks at all images after every epoch. Accuracies are means over the seeds with
their standard errors.

    python benchmarks/digits_minibatches.py [--seeds N] [--processes N]
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

EPOCHS, BATCH, RATE = 20, 32, 0.05
SHOWN = (1, 2, 3, 5, 10, 20)


def data():
    images, labels = load()
    held_out = np.arange(len(labels)) % 4 == 0
    return images[~held_out], labels[~held_out], images[held_out], labels[held_out]


def first_weights(seed):
    """Return what `Param(..., shape=shape)` starts from, and biases of zero."""
    draw = np.random.default_rng(seed)
    start = {key: np.zeros(shape) for key, shape in SHAPES.items()}
    for key in ("w1", "w2"):
        start[key] = draw.normal(size=SHAPES[key]) / np.sqrt(SHAPES[key][0])
    return start


def by_softtape(seed):
    from softtape.losses import cross_entropy  # noqa: PLC0415 -- in its own process
    from softtape.objective import Objective, Term  # noqa: PLC0415
    from softtape.optimize import Bounds, Minibatch, minimize  # noqa: PLC0415
    from softtape.tape import Tape  # noqa: PLC0415

    images, labels, unseen, digits = data()
    start = first_weights(seed)

    def trace(i, values):
        with Tape() as tape:
            p = {key: tape.input(key, values[key]) for key in SHAPES}
            h = np.tanh(images[i] @ p["w1"] + p["b1"])
            return tape.graph([cross_entropy(h @ p["w2"] + p["b2"], labels[i])])

    def look(snapshot):
        p = LAYOUT.unpack(snapshot.state.theta)
        scores = np.tanh(unseen @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
        right.append(float(np.mean(scores.argmax(axis=1) == digits)))
        losses.append(snapshot.state.value / len(labels))

    right, losses = [], []
    began = time.process_time()
    cases = [partial(trace, i) for i in range(len(labels))]
    objective = Objective([Term(f"t[{i}]", c(start), c) for i, c in enumerate(cases)], LAYOUT)
    sizes = tuple(place.stop - place.start for place in LAYOUT.slices.values())
    bounds = Bounds(np.full(LAYOUT.size, -np.inf), np.full(LAYOUT.size, np.inf), sizes)
    optimizer = Minibatch("adam", BATCH, EPOCHS, learning_rate=RATE, seed=seed)
    minimize(objective, LAYOUT.pack(start), optimizer=optimizer, bounds=bounds, snapshots=look)
    return {"right": right[1:], "losses": losses[1:], "time": time.process_time() - began}


def by_torch(seed, *, rate):
    """Train with one rate for all parameters, or with None with those softtape has."""
    import torch  # noqa: PLC0415 -- a peer

    torch.set_num_threads(1)
    images, labels, unseen, digits = map(torch.from_numpy, data())
    start = first_weights(seed)
    torch.optim.Adam([torch.zeros(1)])  # the first of its kind imports a second more of PyTorch
    began = time.process_time()
    layers = torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10)
    network = torch.nn.Sequential(*layers).double()
    parameters = [(layers[0], "w1", "b1"), (layers[2], "w2", "b2")]
    with torch.no_grad():
        for layer, weight, bias in parameters:
            layer.weight.copy_(torch.from_numpy(start[weight].T))
            layer.bias.copy_(torch.from_numpy(start[bias]))
    groups = [
        {"params": [p], "name": n}
        for layer, *names in parameters
        for p, n in zip((layer.weight, layer.bias), names, strict=True)
    ]
    adam = torch.optim.Adam(groups, lr=rate or RATE)
    steps = EPOCHS * -(-len(labels) // BATCH)
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    loss, right, losses, sizes = torch.nn.CrossEntropyLoss(), [], [], {}
    for epoch in range(EPOCHS):
        order = torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(len(labels)))
        if rate is None:
            sizes = measured(groups, sizes, loss(network(images), labels) * len(labels))
            falls.base_lrs = [RATE * sizes[group["name"]] for group in adam.param_groups]
            done = falls.last_epoch / steps
            for group, own in zip(adam.param_groups, falls.base_lrs, strict=True):
                group["lr"] = own * (1 + np.cos(np.pi * done)) / 2
        for i in range(0, len(labels), BATCH):
            batch = order[i : i + BATCH]
            adam.zero_grad()
            loss(network(images[batch]), labels[batch]).backward()
            adam.step()
            falls.step()
        with torch.no_grad():
            losses.append(loss(network(images), labels).item())
            right.append((network(unseen).argmax(1) == digits).double().mean().item())
    return {"right": right, "losses": losses, "time": time.process_time() - began}


def measured(groups, before, total):
    """Return the size of each parameter as softtape has it: its largest so far, or a guess."""
    from softtape.optimize.base import Bounds, scale_by_slope  # noqa: PLC0415

    parts = {g["name"]: g["params"][0].detach().numpy().T.ravel() for g in groups}
    theta = np.concatenate([parts[key] for key in SHAPES])
    if before:
        now = {key: float(np.sqrt(np.mean(parts[key] ** 2))) for key in SHAPES}
        return {key: max(before[key], now[key]) for key in SHAPES}
    total.backward()
    slopes = {g["name"]: g["params"][0].grad.numpy().T.ravel() for g in groups}
    sizes = tuple(place.stop - place.start for place in LAYOUT.slices.values())
    bounds = Bounds(np.full(LAYOUT.size, -np.inf), np.full(LAYOUT.size, np.inf), sizes)
    slope = np.concatenate([slopes[key] for key in SHAPES])
    scale = scale_by_slope(theta, total.item(), slope, bounds)
    return {key: float(scale[place.start]) for key, place in LAYOUT.slices.items()}


RUNS = {
    "softtape": by_softtape,
    "PyTorch, 0.001": partial(by_torch, rate=0.001),
    "PyTorch, 0.01": partial(by_torch, rate=0.01),
    "PyTorch, softtape's rates": partial(by_torch, rate=None),
}


def apart(name, seeds):
    """Run some seeds of one of them in a process of its own, on one thread."""
    command = [sys.executable, __file__, "--run", name, "--these", *map(str, seeds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--these", type=int, nargs="*", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.run:
        print(json.dumps([RUNS[wanted.run](seed) for seed in wanted.these]))
        return
    print(machine())
    found, times = {name: [] for name in RUNS}, {name: [] for name in RUNS}
    for process in range(wanted.processes):
        for name, runs in found.items():
            made = apart(name, range(process, wanted.seeds, wanted.processes))
            runs.extend(made)
            times[name].append(made[0]["time"])
    lines = [["accuracy after epoch", *map(str, SHOWN), "time, least", "median"]]
    for name, runs in found.items():
        cells = [shown([100 * run["right"][epoch - 1] for run in runs]) for epoch in SHOWN]
        taken = f"{min(times[name]):.2f} s", f"{statistics.median(times[name]):.2f} s"
        lines.append([name, *cells, *taken])
    print(f"\n{markdown(lines)}\n")
    ours, theirs = (found[name] for name in ("softtape", "PyTorch, softtape's rates"))
    for epoch in SHOWN:
        apart_by = [
            abs(a["losses"][epoch - 1] / b["losses"][epoch - 1] - 1)
            for a, b in zip(ours, theirs, strict=True)
        ]
        print(f"at the same rates, losses after epoch {epoch} differ by {max(apart_by):.1e}")


def shown(values):
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.2f} ± {error:.2f} %"


if __name__ == "__main__":
    main()
