"""What a script of Optuna says about its study, read from its source without running it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.space import Scalar

_DIRECTIONS = ("minimize", "maximize")


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the ``create_study`` and the sampler of a script say, where it is written there in plain sight."""

    directions: tuple[str, ...] = ()
    """Of ``create_study``; empty where it says nothing, or several of them differ."""
    line: int = 0
    """Where the directions stand."""
    contradicts_itself: bool = False
    """Several calls of ``create_study`` have different directions."""
    constraints: str = ""
    """The name of the function that a sampler takes as ``constraints_func``."""
    enqueued: tuple[Mapping[str, Scalar], ...] = ()
    """The configurations of its calls of ``enqueue_trial``, in their order, as far as they are plain values."""
    not_read: tuple[int, ...] = ()
    """The lines of those calls whose configuration only running shows, or that may be of another study."""


def read_script(source: str) -> Script:
    """Return what the script with this source says about its study; nothing for what is no Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return Script()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = {call.lineno: _directions(call) for call in calls if _name(call.func) == "create_study"}
    different = set(found.values())
    constraints = {name for call in calls for name in _constraints(call)}
    one_study = len(found) <= 1
    enqueued = [
        (call.lineno, _configuration(call) if one_study else None)
        for call in sorted(calls, key=lambda call: call.lineno)
        if _name(call.func) == "enqueue_trial"
    ]
    common = next(iter(different)) if len(different) == 1 else ()
    return Script(
        directions=common,
        line=next((line for line, directions in found.items() if directions), 0),
        contradicts_itself=len(different) > 1,
        constraints=next(iter(constraints)) if len(constraints) == 1 else "",
        enqueued=tuple(configuration for _, configuration in enqueued if configuration is not None),
        not_read=tuple(line for line, configuration in enqueued if configuration is None),
    )


def returned_values(function: Callable[..., Any]) -> int | None:
    """Return how many values a function returns, if its source shows it; ``None`` where one has to run it."""
    function = getattr(function, "func", function)  # of functools.partial
    body = function if inspect.isroutine(function) else type(function).__call__
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(body)))
    except (OSError, TypeError, SyntaxError):
        return None
    if not tree.body or not isinstance(tree.body[0], ast.FunctionDef):
        return None
    shown = {_length(node.value) for node in _own_nodes(tree.body[0]) if isinstance(node, ast.Return) and node.value}
    return shown.pop() if len(shown) == 1 else None


def _length(value: ast.expr) -> int | None:
    """How many values an expression has, as far as it can be seen."""
    if isinstance(value, ast.Tuple | ast.List) and not any(isinstance(one, ast.Starred) for one in value.elts):
        return len(value.elts)
    arithmetic = isinstance(value, ast.BinOp) and isinstance(value.op, ast.Sub | ast.Div | ast.Pow)  # no list has these
    return 1 if arithmetic or isinstance(value, ast.UnaryOp | ast.Constant) else None


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions inside it."""
    for node in ast.iter_child_nodes(function):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield from _own_nodes(node)


def _directions(call: ast.Call) -> tuple[str, ...]:
    for keyword in call.keywords:
        if keyword.arg == "direction":
            return _read([keyword.value])
        if keyword.arg == "directions" and isinstance(keyword.value, ast.List | ast.Tuple):
            return _read(keyword.value.elts)
    return ("minimize",) if all(keyword.arg != "directions" for keyword in call.keywords) else ()


def _read(written: Sequence[ast.expr]) -> tuple[str, ...]:
    """Directions as texts (``"maximize"``) or as ``StudyDirection.MAXIMIZE``; none if one is anything else."""
    names = [one.value if isinstance(one, ast.Constant) else _name(one).lower() for one in written]
    return tuple(str(name) for name in names) if all(name in _DIRECTIONS for name in names) else ()


def _constraints(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg == "constraints_func" and isinstance(keyword.value, ast.Name):
            yield keyword.value.id


def _configuration(call: ast.Call) -> dict[str, Scalar] | None:
    """The configuration that is enqueued, if it is written there as plain values."""
    written = next((keyword.value for keyword in call.keywords if keyword.arg == "params"), None)
    try:
        values = ast.literal_eval(written or call.args[0])
    except (IndexError, ValueError, TypeError):
        return None
    plain = isinstance(values, dict) and all(isinstance(k, str) and isinstance(v, Scalar) for k, v in values.items())
    return values if plain else None


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
