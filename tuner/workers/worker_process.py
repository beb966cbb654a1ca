"""A process that reads from standard input what to do, works on a study or goes on an errand, and says how it left."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
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
    _on_signals(signal.default_int_handler, signal.SIGTERM, signal.SIGHUP)
    output = os.dup(1)  # the objective may print without a newline, or put something else in stdout's place
    notes = logging.getLogger("tuner.notes")
    notes.addHandler(_NotesToLauncher(output))
    notes.propagate = False
    departure = _departure()
    sys.stdout.flush()
    os.write(output, f"\n{DEPARTURE_MARK}{departure.to_json()}\n".encode())


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
        told = json.loads(line)
        if errands.ERRAND not in told:
            return Departure(reason=_work(WorkerSettings(**told)))
        who = errands.WHO
        return errands.go(told)
    except KeyboardInterrupt:
        return Departure(reason=INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the process ends here; what happened must reach the person
        return Departure.by(error, who)


def _work(settings: WorkerSettings) -> str:
    import torch

    import storage
    from tuner.workers.running import noticing_deletion

    torch.set_num_threads(settings.threads)
    logging.getLogger("storage").setLevel(logging.ERROR)  # the launcher waits for the same database, and says so
    opened = storage.open_storage(settings.storage, create=False)
    with noticing_deletion(opened, settings.study):
        return _work_on(opened, settings)


def _work_on(opened: SQLStorage, settings: WorkerSettings) -> str:
    from tuner import attributes
    from tuner.errors import StudyNotFoundError
    from tuner.fittable import Fittable
    from tuner.loading import LoadedTrainable, load_objective
    from tuner.workers.function_worker import FunctionWorker
    from tuner.workers.trainable_worker import TrainableWorker
    from tuner.workers.worker import Leaving

    study_id = opened.get_study_id_from_name(settings.study)
    spec = attributes.read_spec(opened, study_id)
    if spec is None:
        raise StudyNotFoundError(f"study '{settings.study}' has no spec to run")
    leaving = Leaving(opened, study_id, settings.deadline)
    loaded = load_objective(spec, where="the stored study")
    logging.getLogger("tuner.notes").setLevel(logging.INFO)  # not before: what importing it shows was told at the start
    fittable = loaded.trainable if isinstance(loaded, LoadedTrainable) else None
    if not isinstance(fittable, Fittable):
        fittable = None
    _listen(leaving, interrupt=fittable is not None or not isinstance(loaded, LoadedTrainable))
    worker_id = opened.register_worker(study_id, name=f"worker-{settings.index}")
    try:
        if isinstance(loaded, LoadedTrainable) and fittable is not None:
            from tuner.workers.fittable_worker import FittableWorker

            return FittableWorker(opened, study_id, spec, loaded, fittable, leaving=leaving).run()
        if isinstance(loaded, LoadedTrainable):
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
        return FunctionWorker(opened, study_id, spec, loaded, leaving=leaving).run()
    finally:
        opened.unregister_worker(worker_id)
        opened.flush()


def _listen(leaving: Leaving, *, interrupt: bool) -> None:
    """Leave at the next epoch on Ctrl-C, SIGTERM, SIGHUP, or when the launcher closes our input or dies.

    Code we do not own the loop of is interrupted where it stands.
    """

    def handle(_: int, __: FrameType | None) -> None:
        leaving.ask(INTERRUPTED)
        if interrupt:
            raise KeyboardInterrupt

    main = threading.get_ident()

    def wait_for_end_of_input() -> None:
        while sys.stdin.read(1):
            pass
        # to the main thread itself: a signal that another thread takes does not wake it from a sleep
        signal.pthread_kill(main, signal.SIGTERM)

    _on_signals(handle, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    threading.Thread(target=wait_for_end_of_input, daemon=True).start()


def _on_signals(handle: Callable[[int, FrameType | None], object], *numbers: signal.Signals) -> None:
    """Call ``handle`` on the signals; a terminal's end that we were told to ignore (``nohup``) stays ignored."""
    for number in numbers:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)


if __name__ == "__main__":
    main()
