"""Errands: what must be known of this machine and of a study's data before workers begin, found out by a process.

Where that process is forked by the nursery, the one that starts the study imports neither torch nor scikit-learn, and
what kills a process that reads the data does not end the command.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tuner.errors import TunerError
from tuner.workers.conversation import Conversation
from tuner.workers.departure import DONE, Departure
from tuner.workers.planning import Machine

if TYPE_CHECKING:
    from tuner.workers.processes import Process

notes = logging.getLogger("tuner.notes")

ERRAND = "errand"
"""The key of what a process is told by which it knows that it is no worker."""
CHECK = "check"
MACHINE = "machine"
PREPARE = "prepare"
WHO = "preparing the study"


def run(process: Process, errand: str, **arguments: Any) -> Any:
    """Send a process on an errand, and return what it brings (JSON).

    Raises:
        TunerError: as the errand raises it, or when the process was killed.
        KeyboardInterrupt: when it was interrupted, or we are; no process is left behind then.
    """
    conversation = Conversation(process, {ERRAND: errand, **arguments}, lambda note: notes.info("%s", note))
    try:
        process.wait()
    finally:
        process.kill()
        process.wait()
        conversation.close()
    departure = conversation.departure
    if departure is None:
        raise TunerError(f"{WHO}: the process {conversation.how_it_ended}")
    if departure.exit_code:
        raise departure.to_error()
    if departure.reason != DONE:
        raise KeyboardInterrupt
    return departure.answer


def go(told: Mapping[str, Any]) -> Departure:
    """Go on the errand that this process was told; nobody else is at work yet, so torch has all cores."""
    import torch

    threading.Thread(target=_end_with_input, daemon=True).start()
    torch.set_num_threads(Machine.cores_here())
    notes.setLevel(logging.INFO)
    return Departure(reason=DONE, answer=_ERRANDS[told[ERRAND]](told))


def _end_with_input() -> None:
    """End when nobody waits for the answer any more."""
    while sys.stdin.read(1):
        pass
    os._exit(1)


def _machine(_: Mapping[str, Any]) -> dict[str, int]:
    return asdict(Machine.this())


def _prepared(told: Mapping[str, Any]) -> dict[str, Any]:
    from tuner.preparation import prepare
    from tuner.spec import parse_spec

    return prepare(parse_spec(told["spec"], where=told["where"]), where=told["where"]).to_json()


def _checked(told: Mapping[str, Any]) -> None:
    from tuner.preparation import check
    from tuner.spec import parse_spec

    check(parse_spec(told["spec"], where="the stored study"), told["kept"])


_ERRANDS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {CHECK: _checked, MACHINE: _machine, PREPARE: _prepared}
