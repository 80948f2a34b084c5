"""The functional API beside HIPS autograd and JAX, where they are installed.

The same functions, written for each library's own numpy; softtape runs plain numpy. No library
keeps anything between the calls, but for ``jax.jit``, whose compilation is not counted (it is
shown) and which cannot follow values in ``if`` and ``while``. All agree before they are timed.
The last lines are the memory of a long chain with and without ``checkpoint``.

    python benchmarks/functional.py
"""

import importlib.util
import tracemalloc

from common import compare, machine, np, seconds, timed

import softtape

SOURCE = np.random.default_rng(0)
IMAGES, LABELS = SOURCE.standard_normal((128, 64)), np.eye(10)[SOURCE.integers(0, 10, 128)]
W1, W2 = SOURCE.standard_normal((64, 32)) / 8, SOURCE.standard_normal((32, 10)) / 6


def number(np, x):
    return np.sin(x) * x


def loop(np, x):
    for _ in range(500):
        x = np.sin(x) * 1.01 + 0.1
    return x


def network(np, w):
    hidden = np.tanh(IMAGES @ np.reshape(w[:2048], (64, 32)))
    scores = hidden @ np.reshape(w[2048:], (32, 10))
    return np.mean((scores - LABELS) ** 2)


def rosenbrock(np, x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def libraries(program):
    """Value and gradient, and the Hessian, by each library, as functions of θ."""

    def plain(x):
        return program(np, x)

    made = {"softtape": (softtape.value_and_grad(plain), softtape.hessian(plain))}
    if importlib.util.find_spec("autograd"):
        import autograd  # noqa: PLC0415 -- a peer, if there is one
        import autograd.numpy as anp  # noqa: PLC0415

        made["autograd"] = (
            autograd.value_and_grad(lambda x: program(anp, x)),
            autograd.hessian(lambda x: program(anp, x)),
        )
    if importlib.util.find_spec("jax"):
        import jax  # noqa: PLC0415 -- a peer, if there is one

        jax.config.update("jax_enable_x64", True)

        def by_jax(x):
            return program(jax.numpy, x)

        value, second = jax.value_and_grad(by_jax), jax.hessian(by_jax)
        made["jax"] = value, second
        made["jax.jit"] = jax.jit(value), jax.jit(second)
    return made


def ready(result):
    """Wait for what JAX computes in the background."""
    return tuple(np.asarray(part) for part in result)


def row(name, functions, theta):
    compiling = timed(lambda: functions["jax.jit"](theta))[0] if "jax.jit" in functions else None
    times = compare(functions, theta, tolerance=1e-8)
    ours = times["softtape"]
    shown = [f"{n} {seconds(t)} ({t / ours:.2g} x)" for n, t in times.items()]
    if compiling is not None:
        shown.append(f"compiling {seconds(compiling)}")
    print(f"{name:28} " + ", ".join(shown))


def peak(function, x):
    took = min(timed(lambda: function(x))[0] for _ in range(5))
    tracemalloc.start()
    function(x)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / x.nbytes, took


def chain(segment):
    def run(x):
        for _ in range(10):
            x = segment(x)
        return np.sum(x)

    return softtape.grad(run)


def ten_steps(x):
    for _ in range(10):
        x = np.sin(x) * 0.9
    return x


def main():
    print(machine())
    cases = {
        "a number": (number, np.float64(1.0)),
        "a loop of 1,500 operations": (loop, np.float64(0.5)),
        "a network, 128 images": (network, np.concatenate([W1.ravel(), W2.ravel()])),
        "Rosenbrock, 100 numbers": (rosenbrock, np.linspace(-1, 1, 100)),
    }
    for name, (program, theta) in cases.items():
        both = libraries(program)
        row(name, {n: lambda x, f=f: ready(f(x)) for n, (f, _) in both.items()}, theta)
    seconds_of = {n: h for n, (_, h) in libraries(rosenbrock).items()}
    row(
        "its Hessian",
        {n: lambda x, h=h: (0.0, np.asarray(h(x))) for n, h in seconds_of.items()},
        np.linspace(-1, 1, 100),
    )
    x = np.linspace(0, 1, 100_000)
    for name, segment in (("all", ten_steps), ("checkpoints", softtape.checkpoint(ten_steps))):
        most, took = peak(chain(segment), x)
        print(f"200 operations, {name:12} at most {most:.0f} arrays, {seconds(took)}")


if __name__ == "__main__":
    main()
