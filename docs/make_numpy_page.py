"""Write docs/numpy.md: every public name of numpy, and what the tape makes of it.

``python docs/make_numpy_page.py`` writes the page; tests/softtape/ops/test_numpy_page.py fails
where the page is not what this script would write, or where numpy has a name it does not know.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "lib")]

import numpy as np  # noqa: E402
from numpy_calls import FLAT, ONE_BY_ONE, SMOOTH  # noqa: E402
from numpy_calls.series_classes import MODULES, SERIES  # noqa: E402

from softtape.engines.scalar import CODES  # noqa: E402
from softtape.ops import FUNCTIONS, REFUSED, Primitive  # noqa: E402
from softtape.ops.assignment import CHANGING  # noqa: E402
from softtape.patches import FOLLOWED  # noqa: E402

PAGE = Path(__file__).parent / "numpy.md"
SERIES_SPACES = tuple(f"numpy.polynomial.{name}" for name in MODULES)
SPACES = ("numpy", "numpy.linalg", "numpy.fft", "numpy.lib.stride_tricks", *SERIES_SPACES)

OTHER = {
    "Makes arrays of shapes and plain numbers; a traced value has no place in it": """
        zeros ones empty eye identity tri indices diag_indices tril_indices triu_indices
        mask_indices bartlett blackman hamming hanning kaiser broadcast_shapes fromfunction
        fft.fftfreq fft.rfftfreq mgrid ogrid ndindex s_ index_exp""",
    "Calls a function of yours, which is traced as any other": "fromfunction",
    "Reads or writes files, buffers and bits: values come back without a slope": """
        load save savez savez_compressed loadtxt savetxt genfromtxt fromfile frombuffer fromstring
        fromregex from_dlpack memmap packbits unpackbits lib""",
    "Makes texts, which show the plain value; write f'{x}' or str(x)": """
        array2string array_repr array_str base_repr binary_repr format_float_positional
        format_float_scientific""",
    "Is about dates or strings": """
        busday_count busday_offset is_busday busdaycalendar datetime_as_string datetime_data isnat
        datetime64 timedelta64 char strings""",
    "Asks about types and settings, or sets them": """
        isdtype isfortran issubdtype mintypecode promote_types typename get_include
        get_printoptions getbufsize geterr geterrcall info printoptions set_printoptions setbufsize
        seterr seterrcall show_config show_runtime test errstate finfo iinfo dtype ScalarType
        sctypeDict typecodes little_endian typing dtypes exceptions testing iterable isscalar""",
    "Walks arrays element by element in C: traced arrays are walked by `for x in a.flat`": """
        nditer nested_iters flatiter broadcast""",
    "Its ufunc is refused: np.vectorize(function) is followed": "frompyfunc",
    "A module whose functions decide by the sign whether to be complex: np.sqrt(x + 0j)": "emath",
    "A class of arrays; under tracing arrays are plain": """
        ndarray matrix asmatrix bmat recarray record rec ma ufunc generic""",
    "A type: `x.astype(...)` and `dtype=` take it; called on a traced value it is an error": """
        number inexact integer signedinteger unsignedinteger floating complexfloating flexible
        character bool bool_ byte ubyte short ushort intc uintc int_ uint long ulong longlong
        ulonglong intp uintp int8 int16 int32 int64 uint8 uint16 uint32 uint64 half single double
        longdouble float16 float32 float64 float128 csingle cdouble clongdouble complex64
        complex128 complex256 float96 complex192 bytes_ str_ object_ void""",
    "A constant": "e pi euler_gamma inf nan newaxis True_ False_",
    "A module": "linalg fft polynomial random core f2py ctypeslib linalg.linalg fft.helper",
    "An exception": "linalg.LinAlgError",
    "Tests numpy itself": "linalg.test fft.test",
    "Shows the memory of another array, which a traced value has not": """
        lib.stride_tricks.as_strided""",
    "numpy's own old name of another function, which it calls": "row_stack trapz",
}

NOTES = {
    "absolute": "slope 0 at 0",
    "fabs": "slope 0 at 0",
    "sqrt": "slope infinite at 0, as it is",
    "hypot": "slope 0 at the origin",
    "linalg.norm": "slope 0 at the origin",
    "std": "slope 0 where all values are equal",
    "maximum": "equal operands share the slope",
    "minimum": "equal operands share the slope",
    "fmax": "equal operands share the slope",
    "fmin": "equal operands share the slope",
    "max": "equal elements share the slope",
    "min": "equal elements share the slope",
    "power": "x**0 is flat, also at 0; 0**b has slope 0 in b",
    "where": "the branch not taken has slope 0, but NaN if its own slope is infinite: guard inside",
    "clip": "slope 1 at the bounds",
    "sort": "ties keep their order",
    "round": "slope 0",
    "around": "slope 0",
    "copysign": "no slope in the sign",
    "nextafter": "slope 1 in x1, 0 in x2",
    "ldexp": "no slope in the exponent",
    "frexp": "the exponent is constant",
    "modf": "the integral part is constant",
    "remainder": "the slope within a period",
    "interp": "at a knot, the slope to its right",
    "piecewise": "each function sees its own elements: a guard",
    "compress": "a traced condition is a guard",
    "extract": "a traced condition is a guard",
    "unique": "which elements are equal is a guard; the first of them has the slope",
    "trim_zeros": "where the zeros are is a guard",
    "histogram": "linear in plain values' weights; traced values are refused",
    "quantile": "differentiable in q too, for the continuous methods",
    "nonzero": "the truth values are a guard",
    "flatnonzero": "the truth values are a guard",
    "argwhere": "the truth values are a guard",
    "angle": "slope 0 at 0",
}

Cells = Any  # kind, vjp, jvp, batching, engines and note; None where nothing is known

COLUMNS = """\
| name | kind | vjp | jvp | batched | engines | |
|---|---|---|---|---|---|---|
"""

HEAD = """# numpy on the tape

<!-- Written by docs/make_numpy_page.py; do not edit. -->

Every public name of numpy (this list: version {version}), and what becomes of a traced value that
meets it. A rule is checked against complex steps or Richardson differences to second order, its
batching rule against a loop over the cases.

* **differentiated**: has reverse (vjp) and forward (jvp) derivatives of any order.
* **constant**: flat almost everywhere; follows the values, with slope 0 by choice.
* **batched**: many cases of one test run it at once. Otherwise the cases run one by one.
* **engines**: `fast` (the extra of that name) runs programs of numbers in compiled lanes.
* Methods of ufuncs: `reduce`, `accumulate`, `outer`, `reduceat` of every binary one below, and `at`
  in place.

{counts}

"""


def names_of(space: str) -> Iterator[tuple[str, Any]]:
    """Yield the public names of a module, without ``numpy.``, and what they mean."""
    module = importlib.import_module(space)
    names = module.__all__ if space in SERIES_SPACES else None
    if names is None and space == "numpy.lib.stride_tricks":
        names = ["as_strided", "sliding_window_view"]
    before = space.removeprefix("numpy").lstrip(".")
    for name in sorted(names or dir(module)):
        if name.startswith("_"):
            continue
        value = getattr(module, name, None)
        if isinstance(value, types.ModuleType) and not value.__name__.startswith("numpy"):
            continue  # an import of numpy's own
        yield f"{before}.{name}" if before else name, value


def reasons() -> dict[str, str]:
    """Return why a name is not about values, by name."""
    return {name: why for why, names in OTHER.items() for name in names.split()}


def row(name: str, value: Any, known: dict[int, str], why: dict[str, str]) -> Cells:
    """Return kind, vjp, jvp, batching, engines and note of one name; None if it is unknown."""
    same = known.setdefault(id(value), name) if callable(value) else name
    note = NOTES.get(same, "") if same == name else f"the same as `np.{same}`"
    if name in why:
        return ["", *NOTHING, why[name]]
    if name in SERIES:
        return ["differentiated", *SMOOTHLY, "numpy", "numpy's own code, followed"]
    if name.startswith("polynomial."):
        said = series_note(name, value)
        return said and ["", *NOTHING, said]
    if name in FOLLOWED:
        return ["differentiated", *SMOOTHLY, "numpy", note or FOLLOWED[name]]
    if not callable(value) or value not in FUNCTIONS:
        return None
    if value in REFUSED:
        return ["refused", *NOTHING, REFUSED[value]]
    if value in CHANGING:
        return ["differentiated", *SMOOTHLY, "numpy", "in place, on arrays the program made"]
    rule = FUNCTIONS[value]
    fast = isinstance(rule, Primitive) and rule.name in CODES
    engines, batched = "numpy, fast" if fast else "numpy", "yes"
    if same in ONE_BY_ONE:
        batched, note = "", "; ".join(filter(None, (note, ONE_BY_ONE[same])))
    if value in SMOOTH:
        return ["differentiated", "yes", "yes", batched, engines, note]
    return ["constant", "0", "0", batched, engines, note] if value in FLAT else None


NOTHING, SMOOTHLY = ("", "", "", ""), ("yes", "yes", "yes")


def series_note(name: str, value: Any) -> str | None:
    """Return what is said of a name of numpy.polynomial that is no function of values."""
    if isinstance(value, type):
        return "A class, whose coefficients may be traced"
    if isinstance(value, np.ndarray):
        return "A constant"
    if name.endswith(("gauss", "pts1", "pts2")):
        return "Makes arrays of a plain degree"
    return "Calls a function of yours at plain points" if name.endswith("interpolate") else None


def rows() -> Iterator[tuple[str, str, Cells]]:
    """Yield module, name and what the page says, for every public name."""
    known: dict[int, str] = {}
    for function in FUNCTIONS:  # a function goes by its own name, its aliases by another
        within = getattr(function, "__module__", "numpy")  # numpy 2.1: ufuncs have none
        known[id(function)] = f"{within}.{function.__name__}".removeprefix("numpy.")
    why = reasons()
    for space in SPACES:
        for name, value in names_of(space):
            yield space, name, row(name, value, known, why)


def lines() -> Iterator[tuple[str, str]]:
    """Yield module and table line of every public name."""
    for space, name, cells in rows():
        cells = cells or ["missing", *NOTHING, ""]
        yield space, f"| `np.{name}` | {' | '.join(cells)} |"


def page() -> str:
    """Return the page."""
    found = list(rows())
    kinds = [cells[0] if cells else "missing" for _, _, cells in found]
    counts = ", ".join(
        f"{kinds.count(kind)} {kind}"
        for kind in ("differentiated", "constant", "refused", "missing")
    )
    parts = [HEAD.format(version=np.__version__, counts=f"Names: {counts}.")]
    for space in SPACES:
        parts.append(f"## {space}\n\n{COLUMNS}")
        parts += [f"{line}\n" for where, line in lines() if where == space]
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
