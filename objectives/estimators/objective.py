"""A scikit-learn estimator as an objective: a table is prepared as for a network, and the estimator fitted to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from objectives.estimators import naming
from objectives.tables import Table
from objectives.tables.options import TableData
from tuner.errors import UsageError
from tuner.fittable import Fittable
from tuner.trainable import ObjectiveOptions

if TYPE_CHECKING:
    from torch import nn

    from tuner.space import Space
    from tuner.training import Dataset, Loss

LARGEST_SEED = 2**31 - 1


class EstimatorOptions(ObjectiveOptions):
    """``[objective]`` of a scikit-learn estimator."""

    task: Literal["auto", "classification", "regression"] = Field(
        "auto", description="auto: what the estimator is for, a classifier or a regressor"
    )


class EstimatorObjective(Fittable, Table):
    """A classifier or regressor; subclasses say which (see :func:`objective_of`)."""

    Options: ClassVar[type[ObjectiveOptions]] = EstimatorOptions  # type: ignore[assignment]  # fewer than a network's
    prototype: ClassVar[Any]
    """The estimator, not fitted; each trial fits a clone of it."""

    def __init__(self, options: EstimatorOptions, data: TableData, *, seed: int) -> None:
        from sklearn.base import is_classifier

        self._classifies = bool(is_classifier(self.prototype))
        own = "classification" if self._classifies else "regression"
        if options.task not in ("auto", own):
            raise UsageError(f"[objective] task = '{options.task}': {self._name} is for {own}")
        super().__init__(options.model_copy(update={"task": own}), data, seed=seed)  # type: ignore[arg-type]

    def space(self, written: Mapping[str, Any], *, where: str) -> Space:
        from objectives.estimators.spaces import space_of

        return space_of(self.prototype, written, where=where)

    def fit(self, dataset: Dataset, params: Mapping[str, Any], *, seed: int) -> nn.Module:
        from sklearn.base import clone

        from objectives.estimators.predictor import Predictor

        estimator = clone(self.prototype)
        seeds = {key: seed % LARGEST_SEED for key, value in estimator.get_params().items() if _is_seed(key, value)}
        estimator.set_params(**{**seeds, **params})
        targets = dataset.training.targets.numpy()
        single = targets.ndim == 2 and targets.shape[1] == 1
        estimator.fit(dataset.training.inputs[0].numpy(), targets[:, 0] if single else targets)
        return Predictor(estimator, classes=len(self.target.classes) if self._classifies else None)

    def loss(self, params: Mapping[str, Any]) -> Loss:
        from tuner.training import CrossEntropy, MeanSquaredError

        return CrossEntropy() if self._classifies else MeanSquaredError()

    def check_options(self) -> None:
        """Refuse metrics of the other task, and several targets where the estimator takes one."""
        from sklearn.utils import get_tags

        self.metrics()
        columns = self.target.columns
        if len(columns) > 1 and not get_tags(self.prototype).target_tags.multi_output:
            raise UsageError(
                f"{self.where}: {self._name} predicts one target, not {len(columns)}; name one, or wrap it: "
                "a file with model = MultiOutputRegressor(…), and objective.name=file.py:model"
            )

    def describe(self) -> dict[str, Any]:
        told = super().describe()
        return {**told, "estimator": self._name}

    @property
    def _name(self) -> str:
        return type(self.prototype).__name__


def objective_of(name: str, found: Any = None) -> type[EstimatorObjective]:
    """Return the objective that fits ``found``, an estimator or its class; by default scikit-learn's called ``name``.

    Raises:
        UsageError: when there is none, or it neither classifies nor regresses.
    """
    prototype = naming.make(naming.find(name) if found is None else found, name)
    return type(type(prototype).__name__, (EstimatorObjective,), {"prototype": prototype})


def _is_seed(key: str, value: Any) -> bool:
    return value is None and (key == "random_state" or key.endswith("__random_state"))
