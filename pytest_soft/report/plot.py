"""``--soft-plot``: the figures of the page as a picture, by matplotlib (the extra ``plot``)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["plot"]

_Panel: TypeAlias = Callable[[Any], None]

_MOST = 24  # panels
_SIZE = 3.6, 2.7  # inches each
_DPI = 150


def plot(data: Mapping[str, Any], path: Path) -> None:
    """Write a picture of a fit: total loss by step, data against program, slices, correlations.

    Parameters
    ----------
    data
        What :func:`pytest_soft.report.data.run_data` returns, of a run that kept its figures.
    path
        The file, in the format that its suffix names.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = [*_panels(data["fit"] or {})]
    shown = panels[:_MOST]
    columns = max(1, min(3, len(shown)))
    rows = max(1, math.ceil(len(shown) / columns))
    options = {"svg.hashsalt": "pytest-soft", "font.size": 8.0}
    with mpl.rc_context(options), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure((_SIZE[0] * columns, _SIZE[1] * rows + 0.4), layout="constrained")
        more = f" ({len(panels) - _MOST} more figures left out)" if len(panels) > _MOST else ""
        figure.suptitle(_title(data) + more)
        for place, draw in enumerate(shown):
            draw(figure.add_subplot(rows, columns, place + 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=_DPI)


def _title(data: Mapping[str, Any]) -> str:
    verdict = data["verdict"]
    word = "PASSED" if verdict["passed"] else "FAILED"
    total = "" if verdict["total"] is None else f", total loss {verdict['total']:.6g}"
    return f"{word}  {len(data['tests'])} soft tests{total}"


def _panels(fit: Mapping[str, Any]) -> Iterator[_Panel]:
    if len(fit.get("curve", ())) > 1:
        yield partial(_curve, points=fit["curve"])
    for found in fit.get("against", ()):
        yield partial(_against, found=found)
    for figure in fit.get("figures", ()):
        for name, line in zip(figure["params"], figure["slices"], strict=False):
            yield partial(_slice, name=name, line=line)
        if figure["correlation"] and len(figure["params"]) > 1:
            yield partial(_correlation, figure=figure)


def _text(name: str) -> str:
    """Return a name as text, which matplotlib would take for a formula between two dollars."""
    return name.replace("$", r"\$")


def _curve(axes: Any, points: list[tuple[int, float | None]]) -> None:
    steps, losses = zip(*((x, y) for x, y in points if y is not None), strict=True)
    axes.plot(steps, losses)
    if min(losses) > 0:
        axes.set_yscale("log")
    axes.set(title="total loss by step", xlabel="step", ylabel="total loss")


def _against(axes: Any, found: Mapping[str, Any]) -> None:
    axes.plot(found["x"], found["data"], ".", label="data", color="C3", markersize=5, alpha=0.6)
    axes.plot(found["x"], found["program"], label="program", color="C0")
    axes.set(title=_text(found["function"].rpartition("::")[2]), xlabel=_text(found["input"]))
    axes.legend()


def _slice(axes: Any, name: str, line: Mapping[str, Any]) -> None:
    pairs = [(x, y) for x, y in zip(line["x"], line["loss"], strict=True) if y is not None]
    axes.plot(*zip(*pairs, strict=True))
    axes.locator_params(axis="x", nbins=5)
    axes.axvline(line["at"], linestyle="--", color="C3", linewidth=1)
    axes.set(title="dashed: the fit; other Params held", xlabel=_text(name), ylabel="loss")


def _correlation(axes: Any, figure: Mapping[str, Any]) -> None:
    names = [*map(_text, figure["params"])]
    matrix = [[math.nan if v is None else v for v in row] for row in figure["correlation"]]
    image = axes.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_title("correlation of the estimates")
    axes.figure.colorbar(image, ax=axes)
