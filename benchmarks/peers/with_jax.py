"""JAX in float64, compiled by ``jax.jit``."""

import jax
import jax.numpy as jnp
import numpy as np
from digits_network import LAYOUT, SHAPES
from ode_loop import DATA, END, OBSERVED, STEPS, TRUE, loss
from workers import Built

jax.config.update("jax_enable_x64", True)


def _built(compiled, *data):
    def value_and_gradient(theta):
        value, gradient = compiled(theta, *data)
        return float(value), np.asarray(gradient)

    return Built(value_and_gradient)


def sine_arrays(x, y):
    def loss(theta, x, y):
        return jnp.sum((jnp.sin(theta[0] * x) - y) ** 2)

    return _built(jax.jit(jax.value_and_grad(loss)), jnp.asarray(x), jnp.asarray(y))


def sine_loop(x, y):
    def loss(theta):
        return sum((jnp.sin(theta[0] * a) - b) ** 2 for a, b in cases)

    cases = list(zip(x.tolist(), y.tolist(), strict=True))
    return _built(jax.jit(jax.value_and_grad(loss)))


def orbit_loop():
    def unrolled(theta):
        return loss(**dict(zip(TRUE, theta, strict=True)))

    return _built(jax.jit(jax.value_and_grad(unrolled)))


def orbit_reverse():
    def repeat(step, state, times):
        return jax.lax.scan(lambda z, _: (step(z), None), state, None, length=times)[0]

    return _built(jax.jit(jax.value_and_grad(_orbit(repeat))))


def orbit_forward():
    def repeat(step, state, times):
        return jax.lax.fori_loop(0, times, lambda _, z: step(z), state)

    loss = _orbit(repeat)

    @jax.jit
    def value_and_gradient(theta):
        along = jax.vmap(lambda direction: jax.jvp(loss, (theta,), (direction,)))
        values, slopes = along(jnp.eye(theta.size))
        return values[0], slopes

    return _built(value_and_gradient)


def _orbit(repeat):
    """The loss with the steps between observations under ``repeat``, a loop JAX can compile."""
    observed, h = jnp.asarray(DATA).reshape(OBSERVED, 2), END / STEPS

    def loss(theta):
        a, b, d, g, x, y = theta

        def slope(x, y):
            return x * (a - b * y), y * (d * x - g)

        def step(state):
            x, y = state
            k1x, k1y = slope(x, y)
            k2x, k2y = slope(x + h / 2 * k1x, y + h / 2 * k1y)
            k3x, k3y = slope(x + h / 2 * k2x, y + h / 2 * k2y)
            k4x, k4y = slope(x + h * k3x, y + h * k3y)
            x = x + h / 6 * (k1x + 2 * k2x + 2 * k3x + k4x)
            return x, y + h / 6 * (k1y + 2 * k2y + 2 * k3y + k4y)

        def to_the_next(state, seen):
            x, y = repeat(step, state, STEPS // OBSERVED)
            return (x, y), (x - seen[0]) ** 2 + (y - seen[1]) ** 2

        return jnp.sum(jax.lax.scan(to_the_next, (x, y), observed)[1])

    return loss


def digits(images, labels):
    def loss(theta, images, labels):
        p = {key: theta[place].reshape(SHAPES[key]) for key, place in LAYOUT.slices.items()}
        z = jnp.tanh(images @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
        chosen = jnp.take_along_axis(jax.nn.log_softmax(z, axis=1), labels[:, None], axis=1)
        return -chosen.mean()

    compiled = jax.jit(jax.value_and_grad(loss))
    return _built(compiled, jnp.asarray(images), jnp.asarray(labels))
