"""Functions of other libraries as differentiable functions of numpy arrays, each in an extra."""
