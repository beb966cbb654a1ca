"""What workers agree on through the database: claims, budget, stop flag, who works, epochs, checkpoints."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from storage import buffer, leases, postgresql, schema, studies
from storage.buffer import Unwritten, to_json
from storage.cache import StudyCache
from storage.direct import Command, Row, Shortcut
from storage.errors import LeaseLostError
from storage.leases import Losses, New, Terms
from storage.progress import Progress
from storage.reading import load_trials
from storage.records import Amended, Claim, WorkerRecord
from storage.trial import StoredTrial, copy_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optuna.study import StudyDirection
    from sqlalchemy import Connection

_LOOK_FOR_EXPIRED = 1.0  # seconds between two looks for expired leases by asks


class Coordination(Progress):
    """The part of the storage that Optuna's interface does not have."""

    _looked_for_expired = 0.0

    # -- claiming

    def claim(self, study_id: int, k: int) -> list[Claim]:
        """Take up to ``k`` trials in one transaction; an empty list means that there is nothing to do now.

        Interrupted trials come first, then waiting (enqueued) ones, then new ones while the study has fewer
        trials than its budget. No trial whose number reaches the budget is ever taken, nothing at all is
        taken while a stop is requested.

        Raises:
            KeyError: there is no such study.
        """
        if k < 1:
            return []
        self.prepare()
        terms = self._terms()
        tries = 0
        begun = datetime.now()
        begun_before: set[int] = set()
        losses: dict[int, Losses] = {}
        spared = self.held()

        def work(connection: Connection) -> tuple[list[FrozenTrial], dict[int, int]]:
            nonlocal tries
            tries += 1
            budget, stop, key = leases.lock_study(connection, study_id)
            self._cache(study_id).check_key(key)
            if tries > 1 and (earlier := leases.recall(connection, terms.token)):
                begun_before.update(earlier)
                losses.update(leases.losses(connection, earlier))
                return load_trials(connection, earlier), {}
            if stop:
                return [], {}
            leases.expire(self.database, connection, study_id, spared)
            candidates = leases.waiting(connection, study_id, budget, k)
            begun_before.update(trial_id for trial_id, before in candidates if before)
            ids = [trial_id for trial_id, _ in candidates]
            taken = leases.take_waiting(self.database, connection, ids, terms)
            old = load_trials(connection, taken)
            losses.update(leases.losses(connection, taken) if begun_before else {})
            wanted = New(study_id=study_id, count=k - len(taken), below=budget, start=begun, known=self._tail(study_id))
            new = leases.add_and_lease(self.database, connection, wanted, terms) if wanted.count else {}
            return old, new

        def only_new() -> tuple[Command, Command]:
            nonlocal tries
            tries += 1
            wanted = New(study_id=study_id, count=k, below=None, start=begun, known=self._tail(study_id))
            return postgresql.locked_add(self.database, wanted, terms, spared)

        def claimed(rows: list[Row]) -> tuple[list[FrozenTrial], dict[int, int]] | None:
            return ([], dict(rows)) if rows else None

        shortcut = Shortcut(commands=only_new, result=claimed)
        old, new = self.database.write(work, durable=self._claims_reach_disk(), shortcut=shortcut)
        with self._memory:
            self._hear_of(study_id, new)
            claims = []
            for trial in (*old, *(_new_trial(trial_id, number, begun) for trial_id, number in new.items())):
                trial_id = trial._trial_id
                lost = losses.get(trial_id, Losses())
                self._hold(copy_trial(trial), study_id, terms.token, losses=lost.losses + lost.vanished)
                claims.append(
                    Claim(
                        trial_id=trial_id,
                        number=trial.number,
                        token=terms.token,
                        resumed=trial_id in begun_before,
                        **lost._asdict(),
                    )
                )
            return claims

    def rewind(self, trial_id: int, epoch: int | None) -> None:
        """Forget the reports and epochs of a held trial after ``epoch``, or all: it continues from there.

        Raises:
            LeaseLostError: the trial is not held, or not any more.
        """
        self._flush(durable=False)
        token = self.token(trial_id)
        if token is None:
            raise LeaseLostError([trial_id])

        def work(connection: Connection) -> bool:
            held = leases.is_held(connection, trial_id, token)
            if held:
                leases.forget_reports(connection, trial_id, epoch)
            return held

        held = self.database.write(work, durable=False)
        with self._memory:
            if not held:
                self._lose({trial_id})
                raise LeaseLostError([trial_id])
            self._writer.not_yet_on_disk.forget(trial_id)
            self._held[trial_id].rewind(epoch)

    def _terms(self) -> Terms:
        return Terms(token=leases.new_token(), seconds=self.lease, worker_id=self._worker_id)

    def _tail(self, study_id: int) -> tuple[int, int]:
        """Return (id, number) of a trial past which new ones are looked for; called inside the transaction."""
        cache = self._cache(study_id)
        return cache.tail if cache.heard_over == self.database.connections else (-1, -1)

    def _hear_of(self, study_id: int, numbers: Mapping[int, int]) -> StudyCache:
        cache = self._cache(study_id)
        known = [cache.tail] if cache.heard_over == self.database.connections else []
        cache.tail = max([*known, *numbers.items()], default=(-1, -1))
        cache.heard_over = self.database.connections
        return cache

    def _claims_reach_disk(self) -> bool:
        """Whether a claim waits for the disk. Where it need not, a crash of the database may undo the claims of its
        last second: their trials begin again, under the same numbers, and whoever held them finds them lost."""
        return self.database.dialect == "mysql"

    def _create(self, study_id: int, template: FrozenTrial | None) -> int:
        """Insert a trial, held where it is running; the budget does not count here (Optuna's own ask)."""
        self.prepare()
        terms = self._terms()
        begun = datetime.now() if template is None else template.datetime_start
        tries = 0

        def new() -> New:
            return New(study_id=study_id, count=1, below=None, start=begun, known=self._tail(study_id))

        def work(connection: Connection) -> tuple[int, int]:
            nonlocal tries
            tries += 1
            leases.lock_study(connection, study_id)
            if tries > 1 and (earlier := leases.recall(connection, terms.token)):
                return next((t._trial_id, t.number) for t in load_trials(connection, earlier))
            if template is None or template.state is TrialState.RUNNING:
                added = leases.add_and_lease(self.database, connection, new(), terms)
            else:
                added = leases.add(connection, new())
            ((trial_id, number),) = added.items()
            if template is not None:
                buffer.write(self.database, connection, {trial_id: _details(template)})
                leases.settle_template(connection, trial_id, template)
            return trial_id, number

        def add_running() -> tuple[Command, Command]:
            nonlocal tries
            tries += 1
            return postgresql.locked_add(self.database, new(), terms)

        shortcut = Shortcut(commands=add_running, result=_one) if template is None else None
        durable = template is not None or self._claims_reach_disk()
        trial_id, number = self.database.write(work, durable=durable, shortcut=shortcut)
        with self._memory:
            cache = self._hear_of(study_id, {trial_id: number})
            if template is None:
                self._hold(_new_trial(trial_id, number, begun), study_id, terms.token)
            else:
                trial = copy_trial(template)
                trial.number, trial._trial_id = number, trial_id
                if trial.state is TrialState.RUNNING:
                    self._hold(trial, study_id, terms.token)
                elif trial.state.is_finished():
                    cache.add_finished(trial)
                else:
                    cache.add_open(trial_id)
        return trial_id

    def _pop_waiting(self, study_id: int, trial_id: int) -> bool:
        """Lease one waiting trial for Optuna's own ask; begun before, it starts again from nothing."""
        self.prepare()
        terms = self._terms()

        def work(connection: Connection) -> list[FrozenTrial]:
            if not leases.take_waiting(self.database, connection, [trial_id], terms):
                return []
            leases.forget_reports(connection, trial_id, None)
            return load_trials(connection, [trial_id])

        taken = self.database.write(work, durable=self._claims_reach_disk())
        with self._memory:
            for trial in taken:
                self._hold(copy_trial(trial), study_id, terms.token)
        return bool(taken)

    def _free_expired(self, study_id: int) -> None:
        now = time.monotonic()
        if not self._has_our_tables or now - self._looked_for_expired < _LOOK_FOR_EXPIRED:
            return
        self._looked_for_expired = now
        if self.database.read(lambda c: leases.any_expired(self.database, c, study_id)):
            spared = self.held()
            self.database.write(lambda c: leases.expire(self.database, c, study_id, spared))

    # -- studies

    def create_study(
        self,
        name: str,
        directions: Sequence[StudyDirection],
        *,
        user_attrs: Mapping[str, Any],
        system_attrs: Mapping[str, Any],
        budget: int | None,
    ) -> int:
        """Create a study with its attributes and its budget in one transaction; return its id.

        Raises:
            DuplicatedStudyError: the name is taken.
        """
        self.prepare()
        new = studies.NewStudy(
            name=name, directions=directions, user_attrs=user_attrs, system_attrs=system_attrs, budget=budget
        )
        return self.database.write(lambda c: studies.create_whole(c, new))

    def amend_study(self, study_id: int, amend: Callable[[int | None, Mapping[str, Any]], Amended]) -> None:
        """Change user attributes, budget and trials' parameters in one transaction; what others change waits for it.

        ``amend`` gets the budget and the user attributes as they stand; it may be called again if the transaction is.

        Raises:
            KeyError: there is no such study.
        """
        self.prepare()
        written: tuple[int | None, dict[str, str]] | None = None

        def work(connection: Connection) -> None:
            nonlocal written
            leases.lock_study(connection, study_id)
            budget = studies.get_ours(connection, study_id, "budget")  # as it is now that nobody else changes it
            kept = studies.attributes(connection, schema.study_user_attributes, study_id)
            if written is not None and written == (budget, {key: to_json(kept.get(key)) for key in written[1]}):
                return  # it was done, and only the answer was lost
            amended = amend(budget, kept)
            texts = {key: to_json(value) for key, value in amended.user_attrs.items()}
            studies.write_attributes(connection, schema.study_user_attributes, study_id, texts)
            studies.set_ours(connection, study_id, "budget", amended.budget)
            buffer.give_params(connection, amended.params)
            written = amended.budget, texts

        self.database.write(work)
        with self._memory:
            self._caches.pop(study_id, None)  # of the finished trials as they were

    # -- budget and stop flag

    def set_budget(self, study_id: int, n_trials: int | None) -> None:
        """Set how many trials the study has in all; None: no end.

        Raises:
            ValueError: the number is negative.
            KeyError: there is no such study.
        """
        if n_trials is not None and n_trials < 0:
            raise ValueError(f"the budget must be 0 or more trials, got {n_trials}")
        self._set_ours(study_id, "budget", n_trials)

    def get_budget(self, study_id: int) -> int | None:
        """Return how many trials the study has in all; None: no end."""
        budget = self._get_ours(study_id, "budget")
        return None if budget is None else int(budget)

    def request_stop(self, study_id: int) -> None:
        """Ask every worker of the study to leave."""
        self._set_ours(study_id, "stop_requested", self.database.read(self._seconds))

    def stop_requested(self, study_id: int) -> bool:
        """Return whether the workers shall leave."""
        return self._get_ours(study_id, "stop_requested") is not None

    def clear_stop(self, study_id: int) -> None:
        """Let workers claim again."""
        self._set_ours(study_id, "stop_requested", None)

    def _seconds(self, connection: Connection) -> float:
        return leases.seconds_now(self.database, connection)

    def _set_ours(self, study_id: int, column: str, value: Any) -> None:
        self.prepare()
        self.database.write(lambda c: studies.set_ours(c, study_id, column, value))

    def _get_ours(self, study_id: int, column: str) -> Any:
        if not self._our_tables_exist():
            return None
        return self.database.read(lambda c: studies.get_ours(c, study_id, column))

    # -- workers

    def register_worker(self, study_id: int, *, name: str) -> int:
        """Note that this process works on the study, and return its worker id."""
        self.prepare()
        self._worker_id = self.database.write(lambda c: studies.add_worker(self.database, c, study_id, name))
        self._keep()
        return self._worker_id

    def unregister_worker(self, worker_id: int, *, died: str = "") -> None:
        """Note that a worker has left or died; what it still held is released at once.

        Who saw it die says how: that counts against the trials it held, see :class:`storage.Claim`.
        """
        if worker_id == self._worker_id:
            self.release(self.held())
            self._worker_id = None

        def work(connection: Connection) -> None:
            left = studies.remove_worker(self.database, connection, worker_id)
            leases.set_free(connection, left)
            if died:
                leases.note_loss(connection, left, died)

        self.prepare()
        self.database.write(work)

    def list_workers(self, study_id: int) -> list[WorkerRecord]:
        """Return the workers that are alive by the database's clock."""
        if not self._our_tables_exist():
            return []
        return self.database.read(lambda c: studies.living_workers(self.database, c, study_id, self.lease))

    def open_trials(self, study_id: int) -> int:
        """Return how many trials living workers hold now."""
        if not self._our_tables_exist():
            return 0
        return self.database.read(lambda c: leases.count_held(self.database, c, study_id))

    def unfinished(self, study_id: int) -> int:
        """Return how many trials of the budget wait, or are held, by the living or the dead: others may get them."""
        self.prepare()
        return self.database.read(lambda c: leases.count_unfinished(c, study_id))


def _one(rows: list[Row]) -> tuple[int, int] | None:
    return (rows[0][0], rows[0][1]) if rows else None


def _new_trial(trial_id: int, number: int, begun: datetime | None) -> FrozenTrial:
    return StoredTrial(
        number=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=begun,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=trial_id,
    )


def _details(template: FrozenTrial) -> Unwritten:
    return Unwritten(
        params={
            name: (distribution.to_internal_repr(template.params[name]), buffer.distribution_json(distribution))
            for name, distribution in template.distributions.items()
        },
        reports=dict(template.intermediate_values),
        user_attrs={key: to_json(value) for key, value in template.user_attrs.items()},
        system_attrs={key: to_json(value) for key, value in template.system_attrs.items()},
        values=None if template.values is None else list(template.values),
    )
