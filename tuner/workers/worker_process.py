"""A process that reads from standard input what to do, works on a study or goes on an errand, and says how it left."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from tuner.workers import errands
from tuner.workers.departure import DEPARTURE_MARK, INTERRUPTED, NOTE_MARK, Departure
from tuner.workers.launcher import WorkerSettings

if TYPE_CHECKING:
    from storage import SQLStorage
    from tuner.workers.worker import Leaving


def main() -> None:
    """Do what standard input says, to its end."""
    os.register_at_fork(after_in_child=_heed_signals_as_ever)
    _on_signals(signal.default_int_handler, signal.SIGTERM, signal.SIGHUP)
    output = os.dup(1)  # the objective may print without a newline, or put something else in stdout's place
    notes = logging.getLogger("tuner.notes")
    notes.addHandler(_NotesToLauncher(output))
    notes.propagate = False
    departure = _departure()
    for number in (signal.SIGINT, signal.SIGTERM):  # it is ending already
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    os.write(output, f"\n{DEPARTURE_MARK}{departure.to_json()}\n".encode())


def _heed_signals_as_ever() -> None:
    """Let a process that an objective forks end by what ends any: a pool waits for its processes to."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _on_signals(signal.SIG_DFL, signal.SIGTERM, signal.SIGHUP)


class _NotesToLauncher(logging.Handler):
    """Several workers may notice the same: the launcher tells it once."""

    def __init__(self, output: int) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        os.write(self._output, f"\n{NOTE_MARK}{json.dumps(record.getMessage())}\n".encode())


def _departure() -> Departure:
    who = "a worker"
    try:
        import tuner.workers.trainable_worker  # what takes seconds comes before the wait for what to do

        assert tuner.workers.trainable_worker
        line = sys.stdin.readline()
        if not line:
            raise KeyboardInterrupt  # nobody needed this process
        told, control = json.loads(line), _taken_from_input()
        if errands.ERRAND not in told:
            return Departure(reason=_work(WorkerSettings(**told), control))
        who = errands.WHO
        return errands.go(told, control)
    except KeyboardInterrupt:
        return Departure(reason=INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the process ends here; what happened must reach the person
        return Departure.by(error, who)


def _taken_from_input() -> int:
    """Return the file whose end is the sign to leave, in whose place as standard input is nothing.

    So an objective that reads its input finds its end, and the processes that it starts do not wait for ours.
    """
    control = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return control


def _work(settings: WorkerSettings, control: int) -> str:
    import torch

    import storage
    from tuner.workers.running import noticing_deletion

    torch.set_num_threads(settings.threads)
    logging.getLogger("storage").setLevel(logging.ERROR)  # the launcher waits for the same database, and says so
    opened = storage.open_storage(settings.storage, create=False)
    with noticing_deletion(opened, settings.study):
        return _work_on(opened, settings, control)


def _work_on(opened: SQLStorage, settings: WorkerSettings, control: int) -> str:
    study_id = opened.get_study_id_from_name(settings.study)
    worker_id = opened.register_worker(study_id, name=f"worker-{settings.index}")
    try:
        return _work_as(opened, study_id, settings, control)
    finally:
        opened.unregister_worker(worker_id)
        opened.flush()


def _work_as(opened: SQLStorage, study_id: int, settings: WorkerSettings, control: int) -> str:
    """Do what the study's objective needs. What its spec fixes stays fixed while we are registered."""
    from tuner import attributes
    from tuner.errors import StudyNotFoundError
    from tuner.fittable import Fittable
    from tuner.loading import LoadedTrainable, load_objective
    from tuner.workers.fittable_worker import FittableWorker
    from tuner.workers.function_worker import FunctionWorker
    from tuner.workers.trainable_worker import TrainableWorker
    from tuner.workers.worker import Leaving

    spec = attributes.read_spec(opened, study_id)
    if spec is None:
        raise StudyNotFoundError(f"study '{settings.study}' has no spec to run")
    leaving = Leaving(opened, study_id, settings.deadline)
    loaded = load_objective(spec, where="the stored study")
    logging.getLogger("tuner.notes").setLevel(logging.INFO)  # not before: what importing it shows was told at the start
    fittable = isinstance(loaded, LoadedTrainable) and isinstance(loaded.trainable, Fittable)
    _listen(leaving, control, interrupt=fittable or not isinstance(loaded, LoadedTrainable))
    if not isinstance(loaded, LoadedTrainable):
        return FunctionWorker(opened, study_id, spec, loaded, leaving=leaving).run()
    if isinstance(loaded.trainable, Fittable):
        return FittableWorker(opened, study_id, spec, loaded, loaded.trainable, leaving=leaving).run()
    return TrainableWorker(
        opened,
        study_id,
        spec,
        loaded,
        device=settings.device,
        leaving=leaving,
        workers=settings.workers,
        careful=settings.careful,
    ).run()


def _listen(leaving: Leaving, control: int, *, interrupt: bool) -> None:
    """Leave at the next epoch on Ctrl-C, SIGTERM, SIGHUP, or when the launcher closes our input or dies.

    Code we do not own the loop of is interrupted where it stands.
    """

    def handle(_: int, __: FrameType | None) -> None:
        leaving.ask(INTERRUPTED)
        if interrupt:
            raise KeyboardInterrupt

    _on_signals(handle, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    errands.interrupt_at_end_of(control)


def _on_signals(handle: Callable[[int, FrameType | None], object] | signal.Handlers, *numbers: signal.Signals) -> None:
    """Call ``handle`` on the signals; a terminal's end that we were told to ignore (``nohup``) stays ignored."""
    for number in numbers:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)


if __name__ == "__main__":
    main()
