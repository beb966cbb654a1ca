"""The worker of a Fittable: each trial is one call of its ``fit``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import optuna
import torch

from tuner import attributes
from tuner.assessment import Constant, assess, best_constant, decoded_metrics
from tuner.function import FunctionOptions, LoadedFunction
from tuner.loading import LoadedTrainable
from tuner.members import trial_seed
from tuner.preparation import check_data
from tuner.training.network import predict
from tuner.workers.function_worker import FunctionWorker
from tuner.workers.worker import Leaving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from torch import nn

    from storage import SQLStorage
    from tuner.fittable import Fittable
    from tuner.spec import StudySpec
    from tuner.training import Dataset


class FittableWorker(FunctionWorker):
    """Runs a function that draws from the declared space, fits, and returns the metrics."""

    def __init__(
        self,
        storage: SQLStorage,
        study_id: int,
        spec: StudySpec,
        loaded: LoadedTrainable,
        fittable: Fittable,
        *,
        leaving: Leaving,
    ) -> None:
        dataset = fittable.load()
        check_data(storage.get_study_user_attrs(study_id), spec.confirms or spec.name, dataset)
        self.fitting = Fitting(fittable, dataset)
        self.space = loaded.space
        function = LoadedFunction(function=self._fit, options=FunctionOptions())
        super().__init__(storage, study_id, spec, function, leaving=leaving, space=loaded.space)

    def _fit(self, trial: optuna.Trial) -> list[float]:
        params = self.space.suggest(trial)
        noted = self.fitting.fit(params, seed=trial_seed(self.spec, trial.number))
        for key, value in noted.items():
            trial.set_user_attr(key, value)
        return self.fitting.values(noted)


class Fitting:
    """Fits models to one dataset, and judges each as the engine judges a network."""

    def __init__(self, fittable: Fittable, dataset: Dataset) -> None:
        self.fittable = fittable
        self.dataset = dataset
        self.metrics = decoded_metrics(fittable)
        self._loss = fittable.loss({})
        self._constant: Constant | None = None

    def fit(self, params: Mapping[str, Any], *, seed: int) -> dict[str, Any]:
        """Return what is noted with a trial of ``params``: the keys of :mod:`tuner.attributes`."""
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            module = self.fittable.fit(self.dataset, params, seed=seed)
            noted = assess(module, self.fittable, self.dataset, self._loss, self._constant_answer(module))
        del noted[attributes.NETWORK_PARAMETERS]
        if raised:
            noted[attributes.WARNINGS] = list(dict.fromkeys(_one_line(str(warning.message)) for warning in raised))
        return noted

    def values(self, noted: Mapping[str, Any]) -> list[float]:
        """Return the optimised metrics of what :meth:`fit` noted; NaN for one that is not defined."""
        scores: Mapping[str, float | None] = noted[attributes.VALIDATION]
        found: Sequence[float | None] = [scores[metric.name] for metric in self.metrics]
        return [float("nan") if value is None else value for value in found]

    def _constant_answer(self, module: nn.Module) -> Constant:
        if self._constant is None:
            shape = predict(module, self.dataset.validation.gather(torch.arange(1))).shape[1:]
            self._constant = best_constant(self._loss, self.dataset, self.metrics[0], shape)
        return self._constant


def _one_line(text: str) -> str:
    return " ".join(text.split("\n", 1)[0].split())
