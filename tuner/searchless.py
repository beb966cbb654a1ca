"""Optuna while a script is imported: its studies live in memory, and no search begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any


class SearchBegan(BaseException):
    """A script began a search while it was imported: it called ``Study.optimize``, or our own :func:`tuner.start`."""


_importing = ContextVar("importing", default=False)


def no_search_while_importing() -> None:
    """Begin no search of ours where a script is imported.

    Raises:
        SearchBegan: there it is left out.
    """
    if _importing.get():
        raise SearchBegan


@contextmanager
def without_a_search() -> Iterator[None]:
    """Inside, studies are created in memory whatever storage they name, nothing is enqueued, and no search begins.

    Every worker imports the script: their studies of one name would clash, and what is enqueued would be so each time.
    Studies that are there already are loaded as ever: a script may read what an earlier one has found.

    Raises:
        SearchBegan: where the script begins one.
    """
    import optuna

    create_study, load_study = optuna.create_study, optuna.load_study
    created: dict[str, optuna.Study] = {}
    inside = True

    def create(*args: Any, **options: Any) -> optuna.Study:
        if not inside:  # the script has imported it by its name, and its objective calls it
            return create_study(*args, **options)
        study = create_study(*args, **{**options, "storage": None, "load_if_exists": False})
        created[study.study_name] = study
        return study

    def load(*args: Any, **options: Any) -> optuna.Study:
        known = created.get(options.get("study_name", "")) if inside else None
        return load_study(*args, **options) if known is None else known

    def refuse(*_: Any, **__: Any) -> None:
        raise SearchBegan

    with ExitStack() as replaced:
        for module in (optuna, optuna.study, optuna.study.study):
            replaced.enter_context(_in_place_of(module, create_study=create, load_study=load))
        replaced.enter_context(_in_place_of(optuna.Study, optimize=refuse, enqueue_trial=lambda *_, **__: None))
        token = _importing.set(True)
        try:
            yield
        finally:
            _importing.reset(token)
            inside = False


@contextmanager
def _in_place_of(owner: Any, **values: Any) -> Iterator[None]:
    before = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)
