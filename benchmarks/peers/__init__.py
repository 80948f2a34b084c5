"""What else one could use for the same work: a list of candidates per workload.

A module per library, imported only in the process that measures it. «arrays» is the problem
written anew in array code, «loop» the user's own Python loop over tests or steps.
"""

from workers import Candidate

LONGEST_LOOPS = {"jax": 200, "autograd": 1000, "torch": 10_000, "casadi": 10_000}


def sine(x, y):
    """W1, W2: the sum of (sin(ωx) − y)² over tests."""
    data = (x, y)
    found = [
        Candidate("C, 1 thread", "peers.with_c:sine", (*data, False), (), ("gcc",)),
        Candidate("C, OpenMP", "peers.with_c:sine", (*data, True), (), ("gcc",)),
        Candidate("numba, arrays", "peers.with_numba:sine", data, ("numba",)),
        Candidate("jax.jit, arrays", "peers.with_jax:sine_arrays", data, ("jax",)),
        Candidate("PyTorch, arrays", "peers.with_torch:sine_arrays", data, ("torch",)),
        Candidate("CasADi SX, loop", "peers.with_casadi:sine_loop", data, ("casadi",)),
        Candidate("PyTorch, loop", "peers.with_torch:sine_loop", data, ("torch",)),
        Candidate("jax.jit, loop", "peers.with_jax:sine_loop", data, ("jax",)),
        Candidate("autograd, loop", "peers.with_autograd:sine_loop", data, ("autograd",)),
        Candidate("scipy trf, loop", "peers.with_scipy:sine_loop", data, ("scipy.optimize",)),
    ]
    return [
        candidate
        for candidate in found
        if not candidate.name.endswith("loop")
        or len(x) <= LONGEST_LOOPS.get(candidate.needs[0], len(x))
    ]


def orbit():
    """W3: the Runge–Kutta loop of ``ode_loop``."""
    return [
        Candidate("CasADi SX, loop", "peers.with_casadi:orbit_loop", (), ("casadi",)),
        Candidate("CasADi mapaccum", "peers.with_casadi:orbit_mapaccum", (), ("casadi",)),
        Candidate("JAX forward, rewritten", "peers.with_jax:orbit_forward", (), ("jax",)),
        Candidate("JAX reverse, rewritten", "peers.with_jax:orbit_reverse", (), ("jax",)),
        Candidate("PyTorch, loop", "peers.with_torch:orbit_loop", (), ("torch",)),
        Candidate("scipy trf, loop", "peers.with_scipy:orbit_loop", (), ("scipy.optimize",)),
        Candidate("jax.jit, loop", "peers.with_jax:orbit_loop", (), ("jax",)),
    ]


def digits(images, labels):
    """W4: the network of ``digits_network``."""
    data = (images, labels)
    return [
        Candidate("jax.jit", "peers.with_jax:digits", data, ("jax",)),
        Candidate("PyTorch", "peers.with_torch:digits", data, ("torch",)),
        Candidate("autograd", "peers.with_autograd:digits", data, ("autograd.scipy.special",)),
    ]
