"""The indexed pruners decide as Optuna's do, on recorded curves."""

from __future__ import annotations

import copy
import math
import pickle
import random
import warnings
from collections.abc import Callable

import numpy as np
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)
from optuna.study import StudyDirection
from optuna.trial import TrialState

from storage import SQLStorage
from tuner.search.pruning import Curves, at_scale


def _patient() -> BasePruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PatientPruner(MedianPruner(n_startup_trials=1), patience=2)


PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "median": MedianPruner,
    "percentile": lambda: PercentilePruner(
        25.0, n_startup_trials=2, n_warmup_steps=2, interval_steps=3, n_min_trials=3
    ),
    "halving": lambda: SuccessiveHalvingPruner(min_resource=2, reduction_factor=3),
    "halving, resource found": SuccessiveHalvingPruner,
    "halving, bootstrap": lambda: SuccessiveHalvingPruner(min_resource=1, reduction_factor=2, bootstrap_count=3),
    "hyperband": lambda: HyperbandPruner(min_resource=1, max_resource=12, reduction_factor=2),
    "hyperband, resource found": HyperbandPruner,
    "patient": _patient,
    "threshold": lambda: ThresholdPruner(lower=-2.0, upper=2.0),
}


def _decisions(
    storage: optuna.storages.BaseStorage, pruner: BasePruner, direction: StudyDirection, seed: int
) -> list[object]:
    """Train three trials at a time on made-up curves and return what the pruner decided, when."""
    rng = random.Random(seed)
    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(
        storage=storage, study_name=f"curves-{seed}", direction=direction, pruner=pruner, sampler=sampler
    )
    decided: list[object] = []
    for _ in range(12):
        alive = [(study.ask(), rng.gauss(0, 1)) for _ in range(3)]
        for epoch in range(rng.randint(3, 14)):
            for trial, level in list(alive):
                value = rng.choice([level + rng.gauss(0, 0.3)] * 12 + [math.nan, round(level), math.inf])
                trial.report(value, epoch)
                prune = trial.should_prune()
                decided.append((trial.number, epoch, prune))
                if prune:
                    study.tell(trial, state=TrialState.PRUNED)
                    alive.remove((trial, level))
        for trial, level in alive:
            failed = rng.random() < 0.1
            study.tell(trial, None if failed else level, state=TrialState.FAIL if failed else None)
    return decided


@pytest.mark.parametrize("direction", [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE])
@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_decision_is_optunas(name: str, direction: StudyDirection) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for seed in range(4):
        ours = SQLStorage("sqlite://")
        expected = _decisions(optuna.storages.InMemoryStorage(), PRUNERS[name](), direction, seed)
        assert _decisions(ours, at_scale(PRUNERS[name]()), direction, seed) == expected
        ours.close()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(
    st.lists(st.floats(width=64) | st.integers(-3, 3).map(float), max_size=30),
    st.floats(0, 100) | st.sampled_from([0.0, 25.0, 50.0, 75.0, 100.0]),
)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
def test_the_percentile_is_numpys_to_the_last_bit(values: list[float], q: float) -> None:
    curves = Curves()
    curves.add(
        optuna.trial.create_trial(state=TrialState.COMPLETE, value=0.0, intermediate_values={0: value})
        for value in values
    )
    expected = float(np.nanpercentile(values, q)) if values else math.nan
    found = curves.percentile(0, q, 1)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_a_pruner_that_costs_nothing_stays_as_it_is() -> None:
    for pruner in (NopPruner(), ThresholdPruner(upper=1.0)):
        assert at_scale(pruner) is pruner


def test_a_pruner_with_an_index_can_be_copied() -> None:
    storage = SQLStorage("sqlite://")
    pruner = at_scale(MedianPruner())
    _decisions(storage, pruner, StudyDirection.MINIMIZE, 0)
    assert isinstance(pickle.loads(pickle.dumps(copy.deepcopy(pruner))), MedianPruner)
    storage.close()


def test_other_storages_get_optunas_own_pruning() -> None:
    study = optuna.create_study(pruner=at_scale(MedianPruner(n_startup_trials=0)))
    study.add_trial(optuna.trial.create_trial(value=0.0, intermediate_values={0: 0.0}))
    trial = study.ask()
    trial.report(1.0, 0)
    assert trial.should_prune()
