"""``tuner report``: a study as one HTML file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.errors import UsageError
from tuner.study import load

if TYPE_CHECKING:
    from tuner.results import Results


def report(name: str, *, to: str | Path | None = None, replace: bool = False, storage: str | None = None) -> Path:
    """Write what is known of a study as one HTML file, which needs nothing else and asks no network; return its path.

    Args:
        to: the file; by default ``NAME.html`` in this folder.
        replace: overwrite the file if it is there.
        storage: a database URL, see :func:`tuner.study.storage_url`.

    Raises:
        StudyNotFoundError: when there is no study of that name.
        NoFinishedTrialError: when none of its trials has finished.
        UsageError: when the file is there already, or its folder is not.
    """
    results = load(name, storage=storage)
    path = Path(to) if to is not None else _file_for(name)
    if path.exists() and not replace:
        raise UsageError(f"{path}: it is there already; --force overwrites it")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder '{path.parent}'; make it first")
    page = render(results)
    part = path.with_name(f".{path.name}.part")  # whoever reads the file, or runs out of disk, keeps the old one whole
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # nobody asked for the other file
    return path


def render(results: Results) -> str:
    """Return the report of a study as HTML.

    Raises:
        NoFinishedTrialError: when none of its trials has finished.
    """
    from tuner.reporting import sections
    from tuner.reporting.page import Page
    from tuner.reporting.snapshot import take

    study = take(results)
    page = Page(f"{study.name} · tuner")
    for section in sections.ALL:
        page.add(*section(study, page))
    return page.html()


def _file_for(name: str) -> Path:
    """Return the file of a study's report: its name is never a path, and plain Optuna allows any."""
    return Path(re.sub(r"[^\w .+@=-]|^\.+", "_", name) + ".html")
