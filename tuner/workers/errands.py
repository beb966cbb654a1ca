"""Errands: what must be known of this machine and of a study's data before workers begin, found out by a process.

Where that process is forked by the nursery, the one that starts the study imports neither torch nor scikit-learn, and
what kills a process that reads the data does not end the command.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
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
POLL_SECONDS = 0.01
LEAVE_SECONDS = 2.0
"""How long a process may take to end once it has brought its answer, or is not wanted any more."""
LAST_WORDS_SECONDS = 0.2
"""How long what it printed last may take to be read, where processes that it has left hold its output open."""
UNHEARD_SECONDS = 5.0
"""The same where its answer was not read yet: this process may be slow to."""


def run(process: Process, errand: str, **arguments: Any) -> Any:
    """Send a process on an errand, and return what it brings (JSON).

    Raises:
        TunerError: as the errand raises it, or when the process was killed.
        KeyboardInterrupt: when it was interrupted, or we are; no process is left behind then.
    """
    conversation = Conversation(process, {ERRAND: errand, **arguments}, lambda note: notes.info("%s", note))
    try:
        while process.poll() is None and conversation.departure is None:
            time.sleep(POLL_SECONDS)
    except BaseException:
        conversation.ask_to_leave()
        raise
    finally:
        _end(process)
        conversation.close(patience=LAST_WORDS_SECONDS if conversation.departure is not None else UNHEARD_SECONDS)
    departure = conversation.departure
    if departure is None:
        raise TunerError(f"{WHO}: the process {conversation.how_it_ended}")
    if departure.exit_code:
        raise departure.to_error()
    if departure.reason != DONE:
        raise KeyboardInterrupt
    return departure.answer


def _end(process: Process) -> None:
    """Let the process put away what it has, but not for long."""
    deadline = time.monotonic() + LEAVE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    process.kill()
    process.wait()


def go(told: Mapping[str, Any], control: int) -> Departure:
    """Go on the errand that this process was told, until ``control`` ends.

    Nobody else is at work yet, so torch has all cores.
    """
    import torch

    interrupt_at_end_of(control, patience=LEAVE_SECONDS)
    torch.set_num_threads(Machine.cores_here())
    if told[ERRAND] == PREPARE:  # else what importing the objective shows was told before
        notes.setLevel(logging.INFO)
    return Departure(reason=DONE, answer=_ERRANDS[told[ERRAND]](told))


def interrupt_at_end_of(control: int, *, patience: float | None = None) -> None:
    """Send the main thread, which calls this, SIGTERM when the file ends; what outlasts ``patience`` is ended."""
    main = threading.get_ident()

    def watch() -> None:
        while os.read(control, 1):
            pass
        # to the main thread itself: a signal that another thread takes does not wake it from a sleep
        signal.pthread_kill(main, signal.SIGTERM)
        if patience is not None:
            time.sleep(patience)
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
