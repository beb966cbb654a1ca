"""A page of HTML: all that it shows is escaped here, its passwords masked, and it asks nothing of any network."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from storage.urls import mask
from tuner.output import printable

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from tuner.columns import Column

_SPARE_RANK = 7
"""Columns of this rank and above have no room on paper."""
_LONG = 60
"""A cell of more characters is wrapped."""


class Page:
    """Collects what is written, then gives the whole page."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[str] = []
        self._charts: list[go.Figure] = []

    def add(self, *parts: str) -> None:
        """Add HTML, as the functions of this module return it."""
        self._parts += parts

    def chart(self, figure: go.Figure, *, wide: bool = False) -> str:
        """Return where a chart is drawn on this page; a wide one is scrolled where there is no room."""
        self._charts.append(figure)
        style = f"min-height: {figure.layout.height}px" + "; min-width: 40rem" * wide
        return f'<figure class="scroll"><div id="chart-{len(self._charts) - 1}" style="{style}"></div></figure>'

    def html(self) -> str:
        """Return the whole page."""
        import plotly.io
        from plotly.offline import get_plotlyjs

        charts = (plotly.io.to_json(_escaped(chart.to_plotly_json()), validate=False) for chart in self._charts)
        template = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
        return template.substitute(
            title=text(self._title),
            body="\n".join(self._parts),
            charts=f"[{', '.join(charts)}]",
            plotly=get_plotlyjs(),
            nonce=secrets.token_urlsafe(),
        )


def text(value: Any) -> str:
    """Return a value as text in HTML."""
    return html.escape(_plain(str(value)))


def heading(value: str, level: int = 2) -> str:
    """Return a heading."""
    return f"<h{level}>{text(value)}</h{level}>"


def paragraph(value: str, kind: str = "") -> str:
    """Return a paragraph; a command of tuner between backquotes is code."""
    parts = re.split(r"`(tuner [^`]*)`", value)
    said = "".join(f"<code>{text(part)}</code>" if index % 2 else text(part) for index, part in enumerate(parts))
    return f'<p class="{kind}">{said}</p>' if kind else f"<p>{said}</p>"


def code(value: str) -> str:
    """Return lines to copy."""
    lines = "\n".join(map(text, value.splitlines()))
    return f"<pre><code>{lines}</code></pre>"


def hidden(title: str, *parts: str) -> str:
    """Return parts that are shown when somebody asks for them."""
    return f"<details><summary>{text(title)}</summary>{''.join(parts)}</details>"


def group(*parts: str, kind: str) -> str:
    """Return parts that belong together: ``side`` by side, or the ``outcome``."""
    return f'<div class="{kind}">{"".join(parts)}</div>'


def facts(pairs: Mapping[str, str]) -> str:
    """Return names and what they are."""
    return f"<dl>{''.join(f'<dt>{text(name)}</dt><dd>{text(value)}</dd>' for name, value in pairs.items())}</dl>"


def table(columns: Sequence[Column]) -> str:
    """Return a table; long texts are wrapped."""
    head = "".join(f"<th{_kinds(column)}>{text(column.title)}</th>" for column in columns)
    cells = ([f"<td{_kinds(column, cell)}>{text(cell)}</td>" for cell in column.cells] for column in columns)
    return _table(head, map("".join, zip(*cells, strict=True)))


def _kinds(column: Column, cell: str = "") -> str:
    kinds = ["left"] * column.left + ["spare"] * (column.rank >= _SPARE_RANK) + ["text"] * (len(cell) > _LONG)
    return f' class="{" ".join(kinds)}"' if kinds else ""


def confusion_matrix(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Return a confusion matrix, each cell as dark as it is large in its line: blue what is right, orange the rest."""
    head = "".join(f"<th>{text(label)}</th>" for label in ("true ↓ said →", *labels))
    lines = (
        f"<th>{text(label)}</th>"
        + "".join(_shaded(count, sum(line), right=place == at) for at, count in enumerate(line))
        for place, (label, line) in enumerate(zip(labels, matrix, strict=True))
    )
    return _table(head, lines, kind="matrix")


def _shaded(count: int, whole: int, *, right: bool) -> str:
    shade = 0.75 * count / whole if whole else 0
    colour = "right" if right else "wrong"
    return f'<td style="background: rgb(var(--{colour}) / {shade:.2f})">{text(count)}</td>'


def _table(head: str, lines: Iterable[str], kind: str = "") -> str:
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll {kind}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _plain(value: str) -> str:
    """Return text without passwords and without what cannot be printed."""
    return printable(mask(value))


def _escaped(value: Any) -> Any:
    """Return a figure whose labels say what they hold: plotly takes some HTML in them for markup."""
    if isinstance(value, str):
        return html.escape(_plain(value), quote=False)
    if isinstance(value, Mapping):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(inner) for inner in value]
    return value
