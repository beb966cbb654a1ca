"""Why a trial failed: its class, its reason, and the part of the traceback that is the person's own code."""

from __future__ import annotations

import itertools
import sysconfig
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner import attributes

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from storage import Claim

SAME_ERRORS = 3
"""A study whose first trials fail so often in the same way is stopped."""
MOST_LOSSES = 3
"""A trial with which so many workers in a row died, without a checkpoint in between, is not taken up again."""
SUSPECT_LOSSES = 2
"""A trial with which so many died is taken up alone: the next death shows whose fault it is."""
MOST_VANISHED = 8
"""The same of workers that vanished unseen: it may be the trial's fault, where a container is killed as a whole."""
SUSPECT_VANISHED = 5

_OURS = tuple(Path(__file__).resolve().parents[1] / package for package in ("tuner", "objectives", "storage"))
_LIBRARIES = tuple(
    Path(place).resolve() for place in {*(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))}
)


def describe(error: BaseException) -> dict[str, Any]:
    """Return what is noted with a trial that failed by ``error``."""
    kind = attributes.OUT_OF_MEMORY if is_out_of_memory(error) else attributes.OBJECTIVE_ERROR
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return {"class": kind, "reason": reason, "traceback": own_traceback(error) if error.__traceback__ else ""}


def is_lost(claim: Claim) -> bool:
    """Whether a trial has cost so many workers that it is not taken up again."""
    return claim.losses >= MOST_LOSSES or claim.vanished >= MOST_VANISHED


def is_suspect(claim: Claim) -> bool:
    """Whether a trial has cost so many workers that it is taken up alone."""
    return claim.losses >= SUSPECT_LOSSES or claim.vanished >= SUSPECT_VANISHED


def describe_loss(claim: Claim) -> dict[str, Any]:
    """Return what is noted with a trial that took its workers with it."""
    if claim.losses >= MOST_LOSSES:
        reason = f"{claim.losses} workers in a row died with it; the last {claim.lost_by}"
    else:
        reason = (
            f"{claim.vanished} workers in a row vanished with it before its next checkpoint, and nobody saw how: "
            "was the machine, or the container, killed as a whole (out of memory)?"
        )
    return {"class": attributes.LOST, "reason": reason}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the GPU or on the host."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def own_traceback(error: BaseException) -> str:
    """Return the traceback of ``error``, cut to the person's own frames.

    Where there is none, for their code is an installed package, only the tuner's own frames above are left out.
    """
    report = traceback.TracebackException.from_exception(error)
    _cut(report)
    return "".join(report.format())


def _cut(report: traceback.TracebackException) -> None:
    frames = list(report.stack)
    own = [frame for frame in frames if not _lies_in(frame, _OURS) and not _lies_in(frame, _LIBRARIES)]
    if not own:
        own = list(itertools.dropwhile(lambda frame: _lies_in(frame, _OURS) or "<frozen" in frame.filename, frames))
    says_where = report.exc_type is not None and issubclass(report.exc_type, SyntaxError)
    if not own and not says_where:
        own = frames
    report.stack = traceback.StackSummary.from_list(own)
    for other in (report.__cause__, report.__context__):
        if other is not None:
            _cut(other)


def _lies_in(frame: traceback.FrameSummary, places: tuple[Path, ...]) -> bool:
    """Whether the frame's file is in one of the folders; what has no file (``<frozen importlib>``) is a library's."""
    if frame.filename.startswith("<frozen"):
        return places is _LIBRARIES
    parents = Path(frame.filename).resolve().parents
    return any(place in parents for place in places)


def hopeless(trials: Iterable[FrozenTrial]) -> Mapping[str, Any] | None:
    """Return the failure that all of the first :data:`SAME_ERRORS` ended trials (or more) share, else ``None``."""
    failures = []
    for trial in trials:
        if trial.state.is_finished():
            failure = attributes.failure(trial.user_attrs)
            if failure.get("class") not in {attributes.OBJECTIVE_ERROR, attributes.LOST}:
                return None
            failures.append(failure)
    same = len({failure["reason"] for failure in failures}) == 1
    return failures[0] if len(failures) >= SAME_ERRORS and same else None
