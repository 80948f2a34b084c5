"""C with the vectorised libm (gcc on glibc, ``-Ofast``): the practical limit of the sine suite."""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from workers import Built

# Blocks stay in the first-level cache. sin and cos in loops of their own: in one loop gcc makes
# them a call of sincos, for which there is no vector version.
SOURCE = r"""
#include <math.h>
#define BLOCK 256
static void block(double w, long n, const double *x, const double *y, double *s, double *g) {
  double phase[BLOCK], sine[BLOCK], cosine[BLOCK], ss = 0, gg = 0;
  for (long i = 0; i < n; i++) phase[i] = w * x[i];
  for (long i = 0; i < n; i++) sine[i] = sin(phase[i]);
  for (long i = 0; i < n; i++) cosine[i] = cos(phase[i]);
  for (long i = 0; i < n; i++) {
    double r = sine[i] - y[i];
    ss += r * r;
    gg += 2.0 * r * cosine[i] * x[i];
  }
  *s += ss;
  *g += gg;
}
void suite(double w, long n, const double *x, const double *y, double *out) {
  double s = 0, g = 0;
#ifdef _OPENMP
  #pragma omp parallel for reduction(+:s,g) if (n > 4096)
#endif
  for (long i = 0; i < n; i += BLOCK)
    block(w, n - i < BLOCK ? n - i : BLOCK, x + i, y + i, &s, &g);
  out[0] = s;
  out[1] = g;
}
"""
FLAGS = ["-Ofast", "-march=native", "-mprefer-vector-width=512", "-shared", "-fPIC"]


def sine(x, y, parallel):
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "sine.c"), Path(folder, "sine.so")
        source.write_text(SOURCE)
        flags = [*FLAGS, "-fopenmp"] if parallel else FLAGS
        subprocess.run(["gcc", *flags, source, "-o", library, "-lm"], check=True)
        suite = ctypes.CDLL(str(library)).suite
    suite.argtypes = [ctypes.c_double, ctypes.c_long, *[ctypes.c_void_p] * 3]
    suite.restype = None
    out = np.empty(2)
    addresses = len(x), x.ctypes.data, y.ctypes.data, out.ctypes.data

    def value_and_gradient(theta):
        suite(theta[0], *addresses)
        return float(out[0]), out[1:].copy()

    value_and_gradient.keeps = x, y  # the addresses are theirs
    return Built(value_and_gradient)
