"""What recordings of one structure share, worked out once for all of them.

Most tests of a suite record just what a test before them recorded, on other constants. Hence what
does not depend on constants (the pruned graph, its signature, its residuals) belongs to a
:class:`Template`, and of a case nothing is kept but its constants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from itertools import compress
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from softtape.columns import FLOAT, OTHER, Recording, Wiring
from softtape.graph import Graph
from softtape.transforms.residuals import Needs, residual_form
from softtape.transforms.simplify import pruned

__all__ = ["Template", "signature", "template_of"]


def signature(graph: Graph) -> bytes:
    """Return what two graphs must share to be batched: everything but the values of constants.

    Returns
    -------
    bytes
        A digest of the operations, the wiring, the static attributes, the guards, the keys of
        the inputs, and the types and shapes of the constants.
    """
    nodes = Recording.of(graph.nodes)
    kinds = [kind_of(c) for c in nodes.unusual()]
    others = [
        (number, args, None if attrs is None else sorted(attrs.items()))
        for number, (args, attrs) in nodes.others.items()
    ]
    guards = [(number, _static(expected)) for number, expected in graph.guards]
    unusual = [kind for kind in kinds if kind != "f"]
    rows = (nodes if len(unusual) == len(kinds) else _plainly(nodes, kinds)).digest
    parts = rows, unusual, others, guards, list(graph.outputs), [*nodes.keys]
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()


def _plainly(nodes: Recording, kinds: Sequence[Hashable]) -> Recording:
    """Return nodes whose codes tell that constants of the kind of ordinary numbers are these."""
    codes, left, right = nodes.columns
    places = nodes.constant_numbers[codes[nodes.constant_numbers] == OTHER]
    codes = codes.copy()
    codes[places[[kind == "f" for kind in kinds]]] = FLOAT
    rows = np.stack([codes, left, right], axis=1)
    return Recording(Wiring(rows), nodes.constants, nodes.keys, {})


def kind_of(value: Any) -> Hashable:
    """Type and shape of a constant; Python's and numpy's ordinary numbers are alike."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape
    if isinstance(value, (bool, np.bool_)):
        return "b"
    if isinstance(value, (int, float)) or getattr(value, "dtype", None) == np.int64:
        return "f"
    return str(getattr(value, "dtype", type(value)))


def _static(expected: Any) -> Hashable:
    """Return what tells an expected value of a guard from others."""
    if isinstance(expected, np.ndarray):
        return expected.dtype.str, expected.shape, expected.tobytes()
    plain: Hashable = expected.item() if isinstance(expected, np.generic) else expected
    return plain


class Template:
    """A recorded structure.

    Parameters
    ----------
    graph
        What was recorded first with this structure.

    Attributes
    ----------
    graph
        It, pruned.
    path
        Its signature.
    programs
        What was compiled to run cases of it, by what it was compiled for: several suites of one
        structure, as independent components are, need it only once.
    """

    def __init__(self, graph: Graph) -> None:
        """Prune the graph."""
        before = Recording.of(graph.nodes)
        self.graph, keep = pruned(graph)
        self.path = signature(self.graph)
        kept = keep[before.constant_numbers]
        self.programs: dict[Hashable, Any] = {}
        self._answers: dict[Callable[[Graph], Any], Any] = {}
        self._kept: list[bool] | None = None if kept.all() else kept.tolist()

    @cached_property
    def form(self) -> tuple[Graph, Mapping[int, Needs]] | None:
        """See :func:`softtape.transforms.residuals.residual_form`."""
        return residual_form(self.graph)

    @property
    def searched(self) -> bool:
        """Whether it is known which residuals it shows, if any."""
        return "form" in self.__dict__

    def asked(self, question: Callable[[Graph], Any]) -> Any:
        """Return what ``question`` says of the graph: asked once for all of this structure."""
        if question not in self._answers:
            self._answers[question] = question(self.graph)
        return self._answers[question]

    def constants_of(self, graph: Graph) -> tuple[Any, ...]:
        """Return the constants that ``graph``, a recording of this structure, brings along."""
        constants = Recording.of(graph.nodes).constants
        if self._kept is not None:
            return tuple(compress(constants, self._kept))
        return constants if type(constants) is tuple else tuple(constants)

    def start_of(self, graph: Graph) -> Mapping[str, Any]:
        """Return where ``graph`` was recorded, as an object shared by all that began there."""
        ours = self.graph.start
        for key, value in graph.start.items():
            if value is not ours[key]:
                return graph.start
        return ours

    def graph_with(self, constants: Sequence[Any], start: Mapping[str, Any]) -> Graph:
        """Return the pruned graph of a case."""
        return _with(self.graph, constants, start)

    def residuals_with(self, constants: Sequence[Any], start: Mapping[str, Any]) -> Graph | None:
        """Return the graph of the residuals of a case, or None if this structure shows none."""
        if self.form is None:
            return None
        own = Recording.of(self.form[0].nodes).constants[len(constants) :]
        return _with(self.form[0], (*constants, *own), start)


def _with(graph: Graph, constants: Sequence[Any], start: Mapping[str, Any]) -> Graph:
    nodes = Recording.of(graph.nodes).with_constants(constants)
    return Graph(nodes, graph.outputs, graph.guards, graph.inputs, start)


# Like interned strings: each structure is there once, for as long as any test uses it.
_TEMPLATES: WeakValueDictionary[Hashable, Template] = WeakValueDictionary()


def template_of(graph: Graph) -> Template:
    """Return the template of what a test recorded, made when it is met first."""
    # this is done for every test: most often there are no guards, and the inputs are floats
    nodes = Recording.of(graph.nodes)
    wiring = nodes.wiring
    # what decides how a recording is pruned, and what is left: no value of a constant
    key = (
        wiring if wiring.shared else wiring.digest,
        graph.outputs,
        graph.guards and tuple([(number, _static(expected)) for number, expected in graph.guards]),
        repr({**nodes.others}) if nodes.others else "",
        tuple(map(kind_of, nodes.unusual())) if wiring.odd else (),
        *[k if isinstance(v, float) else (k, kind_of(v)) for k, v in graph.start.items()],
    )
    known = _TEMPLATES.get(key)
    if known is None:
        known = _TEMPLATES[key] = Template(graph)
    return known
