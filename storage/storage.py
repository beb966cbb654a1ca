"""SQLStorage: Optuna's storage interface over :class:`storage.holder.Holder`."""

from __future__ import annotations

import copy
import time
from collections.abc import Container, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from optuna.distributions import check_distribution_compatibility, distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from storage import leases, limits, queries, schema, studies
from storage.buffer import HeldTrial, to_json
from storage.cache import look
from storage.coordination import Coordination
from storage.engine import PATIENCE
from storage.holder import LEASE
from storage.reading import load_trials, to_distribution

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study._frozen import FrozenStudy
    from sqlalchemy import Table

_OPEN = frozenset({TrialState.RUNNING, TrialState.WAITING})


class SQLStorage(Coordination, BaseStorage):
    """Trials in Optuna's own tables, leased, buffered and cached.

    A trial claimed by or created through this object is held: its parameters, reports and attributes are
    buffered, seen at once by reads of this object, and committed within a second; telling it (or leaving
    :meth:`batch`) commits them with the outcome, on disk on return. Writes to other trials go through at once.
    Any thread may use it.
    """

    # -- studies

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return self.database.write(lambda c: studies.create(c, directions, study_name))

    def delete_study(self, study_id: int) -> None:
        self._flush(durable=True)
        self.database.write(lambda c: studies.delete_study(c, study_id, self._has_our_tables))
        with self._memory:
            self._caches.pop(study_id, None)
            for trial_id in [i for i, held in self._held.items() if held.study_id == study_id]:
                self._forget(trial_id)
                del self._held[trial_id]

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._set_study_attr(schema.study_user_attributes, study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._set_study_attr(schema.study_system_attributes, study_id, key, value)

    def _set_study_attr(self, table: Table, study_id: int, key: str, value: Any) -> None:
        text = self._fitting("a study's attribute", key, value)
        self.database.read(lambda c: studies.require(c, study_id))
        with self._memory:
            self._pending.attrs[(table.name, study_id, key)] = text
        if not self._batching():
            self._flush(durable=True)

    def get_study_id_from_name(self, study_name: str) -> int:
        return self.database.read(lambda c: studies.find(c, study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        return self.database.read(lambda c: studies.require(c, study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self.database.read(lambda c: studies.directions(c, study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._get_study_attrs(schema.study_user_attributes, study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._get_study_attrs(schema.study_system_attributes, study_id)

    def _get_study_attrs(self, table: Table, study_id: int) -> dict[str, Any]:
        if self._pending.attrs:
            self._flush(durable=True)
        return self.database.read(lambda c: studies.attributes(c, table, study_id))

    def get_all_studies(self) -> list[FrozenStudy]:
        return self.database.read(studies.everything)

    # -- writing trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        return self._create(study_id, template_trial)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        with self._memory:
            study_id, held = self._writable(trial_id)
            text = self._agreed(study_id, param_name, distribution)
            if held is not None:
                held.set_param(param_name, param_value_internal, distribution)
            self._unwritten_of(trial_id, held).params[param_name] = (float(param_value_internal), text)
        self._written(trial_id, held)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        step = limits.whole_step(self.database.dialect, step)
        with self._memory:
            _, held = self._writable(trial_id)
            value = float(intermediate_value)
            if held is not None:
                held.set_report(step, value)
            self._unwritten_of(trial_id, held).reports[step] = value
        self._written(trial_id, held)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        text = self._fitting("a trial's attribute", key, value)
        with self._memory:
            _, held = self._writable(trial_id)
            if held is not None:
                held.set_user_attr(key, text)
            self._unwritten_of(trial_id, held).user_attrs[key] = text
        self._written(trial_id, held)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        text = self._fitting("a trial's attribute", key, value)
        with self._memory:
            _, held = self._writable(trial_id)
            if held is not None:
                held.set_system_attr(key, text)
            self._unwritten_of(trial_id, held).system_attrs[key] = text
        self._written(trial_id, held)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        with self._memory:
            study_id, held = self._writable(trial_id)
        if state is TrialState.RUNNING:
            return held is None and self._pop_waiting(study_id, trial_id)
        if state is TrialState.WAITING:
            if held is not None:
                self.release([trial_id])
            else:
                self.database.write(lambda c: leases.set_free(c, [trial_id], self._has_our_tables))
            return True
        now = datetime.now()
        with self._memory:
            entry = self._unwritten_of(trial_id, held)
            entry.state, entry.completed = state, now
            entry.values = None if values is None else [float(value) for value in values]
            if held is not None:
                held.tell(state, entry.values, now)
        self._written(trial_id, held, tell=True)
        return True

    def _fitting(self, what: str, key: str, value: Any) -> str:
        """Return the JSON of an attribute, if the database takes it."""
        text = to_json(value)
        limits.check_name(self.database.dialect, what, key)
        limits.check_text(self.database.dialect, what, key, text)
        return text

    def _writable(self, trial_id: int) -> tuple[int, HeldTrial | None]:
        """Return the study's id and the held trial; None for a trial that is not leased to us."""
        self._check_nothing_refused(trial_id)
        held = self._held.get(trial_id)
        if held is not None:
            self.check_trial_is_updatable(trial_id, held.state)
            return held.study_id, held
        self._check_not_lost(trial_id)
        study_id, state = self.database.read(lambda c: queries.head(c, trial_id))
        self.check_trial_is_updatable(trial_id, state)
        return study_id, None

    def _unwritten_of(self, trial_id: int, held: HeldTrial | None) -> Any:
        return self._unwritten(trial_id, None if held is None else held.token)

    def _written(self, trial_id: int, held: HeldTrial | None, *, tell: bool = False) -> None:
        """Leave the change to the batch or to the thread behind, or commit it now."""
        if self._batching() or (held is not None and not tell):
            return
        finished = self._flush(durable=True)
        self._check_nothing_refused(trial_id)
        if held is not None:
            self._check_not_lost(trial_id)
        elif trial_id in finished:
            raise UpdateFinishedTrialError(f"Trial {trial_id} has already finished and can not be updated.")

    def _agreed(self, study_id: int, name: str, distribution: BaseDistribution) -> str:
        """Return the distribution's JSON after comparing it with the one the study has for that name.

        Raises:
            ValueError: they are not compatible.
        """
        known = self._cache(study_id).distributions
        if name not in known:
            stored = self.database.read(lambda c: queries.first_distribution(c, study_id, name))
            if stored is not None:
                known[name] = (to_distribution(stored), stored)
        if name in known:
            previous, text = known[name]
            if previous == distribution:
                return text
            check_distribution_compatibility(previous, distribution)
        text = distribution_to_json(distribution)
        limits.check_name(self.database.dialect, "a parameter", name)
        limits.check_text(self.database.dialect, "the range of parameter", name, text)
        known[name] = (distribution, text)
        return text

    # -- reading trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        with self._memory:
            held = self._held.get(trial_id)
            if held is not None:
                return held.copy()
            for cache in self._caches.values():
                if trial_id in cache.finished:
                    return cache.finished[trial_id]
        found = self.database.read(lambda c: load_trials(c, [trial_id]))
        if not found:
            raise KeyError(f"there is no trial with id {trial_id}")
        return found[0]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states is not None and all(s is TrialState.WAITING or s not in states for s in TrialState):
            trials = self._waiting(study_id) if TrialState.WAITING in states else []
        else:
            with self._memory:
                trials = self._known(study_id, states)
        return copy.deepcopy(trials) if deepcopy else trials

    def _waiting(self, study_id: int) -> list[FrozenTrial]:
        self._free_expired(study_id)
        ids = self.database.read(lambda c: leases.waiting_ids(c, study_id))
        return self.database.read(lambda c: load_trials(c, ids)) if ids else []

    def _known(self, study_id: int, states: Container[TrialState] | None) -> list[FrozenTrial]:
        details = _OPEN if states is None else frozenset(state for state in _OPEN if state in states)
        opened = self._catch_up(study_id, details)
        cache = self._cache(study_id)
        held = [h for h in self._held.values() if h.study_id == study_id]
        current = [h.snapshot() for h in held if states is None or h.state in states]
        current += [trial for trial in opened if states is None or trial.state in states]
        finished = cache.of_states(states)
        return sorted(finished + current, key=lambda trial: trial._trial_id) if current else finished

    def _catch_up(self, study_id: int, details: Container[TrialState] = frozenset()) -> list[FrozenTrial]:
        """Learn what is new in the study; return others' open trials in the states of ``details``."""
        cache = self._cache(study_id)
        watched = cache.open.difference(self._held)
        changes = self.database.changes()
        unchanged = changes is not None and changes == cache.changes
        if unchanged and not (watched and details):
            cache.looked = time.monotonic()
            return []
        if not cache.loaded:
            self.database.read(lambda c: studies.require(c, study_id))
        mine = {i for i, held in self._held.items() if held.study_id == study_id} | cache.finished.keys()
        news = self.database.read(lambda c: look(c, study_id, cache.last[0], watched, mine=mine, details=details))
        cache.loaded, cache.changes, cache.looked = True, changes, time.monotonic()
        opened = []
        for trial_id, number in news.rows:
            cache.last = max(cache.last, (trial_id, number))
            cache.add_open(trial_id)
        for trial in news.trials:
            if trial._trial_id in self._held:
                continue
            if trial.state.is_finished():
                cache.add_finished(trial)
            else:
                opened.append(trial)
        cache.open -= news.gone
        return opened

    def finished_since(self, study_id: int, cursor: int, *, max_age: float = 0.0) -> tuple[list[FrozenTrial], int]:
        """Return the trials that came to be finished since the cursor (0 at first), and the next cursor.

        What other workers did within the last ``max_age`` seconds may be missing; it comes later.
        """
        with self._memory:
            if time.monotonic() - self._cache(study_id).looked > max_age:
                self._catch_up(study_id)
            noticed = self._cache(study_id).noticed
            return noticed[cursor:], len(noticed)

    def open_now(self, study_id: int, *, max_age: float = 0.0) -> list[FrozenTrial]:
        """Return the running and waiting trials; of other workers', as they were within ``max_age`` seconds."""
        with self._memory:
            cache = self._cache(study_id)
            if time.monotonic() - cache.looked_at_open > max_age:
                cache.others = self._catch_up(study_id, _OPEN)
                cache.looked_at_open = time.monotonic()
            held = [held.snapshot() for held in self._held.values() if held.study_id == study_id]
            others = [t for t in cache.others if t._trial_id not in self._held and t._trial_id not in cache.finished]
            return held + others

    def get_n_trials(self, study_id: int, state: tuple[TrialState, ...] | TrialState | None = None) -> int:
        wanted = {state} if isinstance(state, TrialState) else set(TrialState if state is None else state)
        with self._memory:
            counts = self.database.read(lambda c: queries.count_by_state(c, study_id))
            for trial_id, entry in self._pending.trials.items():
                held = self._held.get(trial_id)
                if held is not None and held.study_id == study_id and entry.state is not None:
                    counts[TrialState.RUNNING] -= 1
                    counts[entry.state] += 1
        return sum(count for of, count in counts.items() if of in wanted)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        directions = self.get_study_directions(study_id)
        if len(directions) > 1:
            raise RuntimeError("Best trial can be obtained only for single-objective optimization.")
        self._flush(durable=True)
        best = self.database.read(lambda c: queries.best_trial_id(c, study_id, directions[0]))
        if best is None:
            raise ValueError("No trials are completed yet.")
        return self.get_trial(best)

    def get_trial_number_from_id(self, trial_id: int) -> int:
        with self._memory:
            held = self._held.get(trial_id)
        return self.get_trial(trial_id).number if held is None else held.number

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        with self._memory:
            held = self._held.get(trial_id)
            return self.get_trial(trial_id).system_attrs if held is None else held.system_attrs()

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return self.database.read(lambda c: queries.trial_id_of(c, study_id, trial_number))


def open_storage(url: str, *, create: bool = True, lease: float = LEASE, patience: float = PATIENCE) -> SQLStorage:
    """Open the storage at the URL, ``sqlite:///tuner.db``, ``postgresql://…`` or ``mysql://…``.

    Args:
        url: the database.
        create: make the database's tables where there are none; without it nothing is written by opening.
        lease: seconds without a heartbeat after which a held trial is free for others.
        patience: seconds that a call waits for a database that is away.

    Raises:
        StorageUrlError: the URL is malformed or its driver is not installed.
        StorageNotFoundError: there is no storage and ``create`` is false.
        SchemaError: the tables are of another version.
        StorageError: see the other errors of this package.
    """
    return SQLStorage(url, create=create, lease=lease, patience=patience)
