"""PyTorch on the processor, eager, float64."""

import numpy as np
import torch
from digits_network import LAYOUT, SHAPES
from ode_loop import TRUE, loss
from workers import Built


def sine_arrays(x, y):
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def value_and_gradient(theta):
        t = torch.from_numpy(theta).requires_grad_()
        value = ((torch.sin(t * x) - y) ** 2).sum()
        return value.item(), torch.autograd.grad(value, t)[0].numpy()

    return Built(value_and_gradient)


def sine_loop(x, y):
    cases = list(zip(x.tolist(), y.tolist(), strict=True))

    def value_and_gradient(theta):
        w = torch.tensor(theta[0], requires_grad=True)
        value = sum((torch.sin(w * a) - b) ** 2 for a, b in cases)
        value.backward()
        return value.item(), np.array([w.grad.item()])

    return Built(value_and_gradient)


def orbit_loop():
    def value_and_gradient(theta):
        p = {k: torch.tensor(v, requires_grad=True) for k, v in zip(TRUE, theta, strict=True)}
        value = loss(**p)
        value.backward()
        return value.item(), np.array([v.grad.item() for v in p.values()])

    return Built(value_and_gradient)


def digits(images, labels):
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)

    def value_and_gradient(theta):
        t = torch.from_numpy(theta).requires_grad_()
        p = {key: t[place].reshape(SHAPES[key]) for key, place in LAYOUT.slices.items()}
        z = torch.tanh(images @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
        value = torch.nn.functional.cross_entropy(z, labels)
        return value.item(), torch.autograd.grad(value, t)[0].numpy()

    return Built(value_and_gradient)
