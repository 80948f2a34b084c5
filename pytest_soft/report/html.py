"""The report as a page: one file that holds its data, style and script, and asks no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["page"]

_TEMPLATE = Path(__file__).with_name("page.html")
_PLACE = "/*data*/null"


def page(data: Mapping[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    data
        What :func:`pytest_soft.report.data.run_data` returns. Test ids, notes and file names in it
        may hold any text: the script shows them as text, never as markup.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # what could end the script element is written in a way that JSON reads back as the same
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return _TEMPLATE.read_text(encoding="utf-8").replace(_PLACE, text)
