"""Networks as scikit-learn estimators: ``fit``, ``predict``, ``score``, in pipelines and cross-validation.

    from tuner.sklearn import NetworkClassifier, TunedClassifier

    NetworkClassifier(depth=2, width=64, learning_rate=3e-3).fit(X, y).predict(X)
    TunedClassifier(trials=30, depth="1..3").fit(X, y).best_params_

``Network…`` trains one network with fixed hyperparameters, ``Tuned…`` searches them and keeps the best network it
trained. Both take a Trainable (its class, or the name of a built-in objective); by default that of tables.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from optuna.trial import FixedTrial
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from tuner import in_memory
from tuner.errors import UsageError
from tuner.loading import import_objective
from tuner.space import Fixed, Range, Scalar, Space
from tuner.spec import EarlyStopping, Search, Training
from tuner.spelling import nearest
from tuner.trainable import Trainable
from tuner.training import Dataset
from tuner.training.network import predict
from tuner.tryout import usual_configuration

__all__ = ["NetworkClassifier", "NetworkRegressor", "TunedClassifier", "TunedRegressor"]

FIXED: dict[str, Scalar] = {
    "optimizer": "adam",
    "learning_rate": 3e-3,
    "batch_size": 32,
    "schedule": "constant",
    "dropout": 0.0,
    "l1": 0.0,
    "l2": 0.0,
}
"""What a network is trained with where nobody says otherwise; of the rest the usual value."""
FEW = 10
"""With fewer samples none are kept apart: early stopping then watches the training samples."""


class _Network(BaseEstimator):  # type: ignore[misc]
    """What classifiers and regressors have in common.

    Attributes (after ``fit``): ``module_`` the network, ``trainable_`` what prepares inputs for it, ``params_`` its
    hyperparameters, ``n_iter_`` the epochs it was trained, ``n_features_in_``, ``feature_names_in_``.
    """

    _task = ""

    def __init__(
        self,
        trainable: str | type[Trainable] = "table",
        *,
        epochs: int = 100,
        patience: int = 10,
        validation_fraction: float = 0.1,
        metric: str = "",
        random_state: Any = None,
        **hyperparameters: Any,
    ) -> None:
        self.trainable = trainable
        self.epochs = epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.metric = metric
        self.random_state = random_state
        for name, value in hyperparameters.items():
            setattr(self, name, value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return what the estimator was made with, hyperparameters of the network included."""
        declared: dict[str, Any] = super().get_params(deep)
        return declared | self._hyperparameters()

    def set_params(self, **params: Any) -> Self:
        """Change parameters; a hyperparameter that was not set before is set."""
        declared = self._get_param_names()
        for name in sorted(params, key=lambda name: name not in declared):  # the trainable says which others there are
            if name not in declared:
                self._check_hyperparameter(name)
            setattr(self, name, params[name])
        return self

    def _check_hyperparameter(self, name: str) -> None:
        try:
            known = [hyper.name for hyper in self._make(0).hyperparameters()]
        except (UsageError, ValueError):
            return  # ``fit`` says what is wrong with the trainable: scikit-learn has parameters set unchecked
        if name not in known:
            hint = nearest(name, [*self._get_param_names(), *known])
            raise ValueError(f"unknown parameter {name!r} of {type(self).__name__}{hint}")

    def _hyperparameters(self) -> dict[str, Any]:
        declared = self._get_param_names()
        return {
            name: value
            for name, value in vars(self).items()
            if name not in declared and not name.startswith("_") and not name.endswith("_")
        }

    def _plain_hyperparameters(self) -> dict[str, Any]:
        """Without numpy's own numbers and texts, which a grid of parameters is made of."""
        return {name: _plain(value) for name, value in self._hyperparameters().items()}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.trainable == "table"
        tags.non_deterministic = False
        return tags

    def _fit(self, inputs: Any, targets: NDArray[Any]) -> None:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        training, validation = self._split(targets, seed)
        try:
            trainable = self._make(seed)
            dataset = trainable.adopt(
                (_rows(inputs, training), targets[training]), (_rows(inputs, validation), targets[validation])
            )
            space = trainable.space(self._written(trainable), where=type(self).__name__)
            self._check_outputs(trainable, dataset, space)
            trained = self._train(trainable, dataset, space, seed)
        except UsageError as error:  # what a person gave cannot be used: scikit-learn knows that as a ValueError
            raise ValueError(str(error)) from error
        self.trainable_ = trainable
        self.params_ = dict(trained.params)
        self.n_iter_ = trained.epochs
        module = trained.module.eval().requires_grad_(False)
        self.module_ = module.double() if self.trainable == "table" else module  # a row alone as among others, to 1e-12

    def _make(self, seed: int) -> Trainable:
        found = import_objective(self.trainable)[0] if isinstance(self.trainable, str) else self.trainable
        if not (isinstance(found, type) and issubclass(found, Trainable)):
            raise ValueError(f"trainable = {self.trainable!r} is no Trainable")
        written = {"task": self._task} if "task" in found.Options.model_fields else {}
        options = found.Options(**written, **({"metric": self.metric} if self.metric else {}))
        return found(options, found.Data(), seed=seed)

    def _training(self) -> Training:
        """A metric of few samples stands still for epochs while the loss still falls: it is watched where asked for."""
        stopping = EarlyStopping(patience=self.patience, monitor="metric" if self.metric else "validation_loss")
        return Training(epochs=self.epochs, early_stopping=stopping, device="cpu")

    def _written(self, trainable: Trainable) -> dict[str, Any]:
        """What ``[space]`` of a study file would hold: one value for each hyperparameter that has a usual one."""
        known = {hyper.name for hyper in trainable.hyperparameters()}
        return {name: value for name, value in FIXED.items() if name in known} | self._plain_hyperparameters()

    def _train(self, trainable: Trainable, dataset: Dataset, space: Space, seed: int) -> in_memory.Trained:
        for name in self._hyperparameters():
            if name in space.parameters and not isinstance(space[name], Fixed):
                kind = "a range" if isinstance(space[name], Range) else "a list"
                raise UsageError(f"{name} is {kind}: {type(self).__name__} trains one network; Tuned… searches")
        params = space.suggest(FixedTrial(usual_configuration(space)))
        trained = in_memory.train(trainable, dataset, params, self._training(), number=0, seed=seed)
        if trained.diverged:
            raise ValueError(f"training diverged in epoch {trained.epochs}; try a lower learning_rate")
        return trained

    def _check_outputs(self, trainable: Trainable, dataset: Dataset, space: Space) -> None:
        """Refuse a network of one's own that has not an output for each class."""
        if self._task != "classification":
            return
        with torch.random.fork_rng(devices=[]):
            network = trainable.network(space.suggest(FixedTrial(usual_configuration(space))))
        outputs = predict(network, dataset.training.gather(torch.arange(1))).shape[-1]
        classes = int(dataset.training.targets.max()) + 1
        if outputs != classes:
            raise ValueError(f"y has {classes} classes, but the network has {outputs} outputs")

    def _split(self, targets: NDArray[Any], seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the numbers of the samples that train and of those that early stopping watches.

        Of few samples all do both. Where each class cannot have its share in both, chance divides them.
        """
        everything = np.arange(len(targets))
        count = round(len(targets) * self.validation_fraction)
        classes = np.unique(targets) if self._task == "classification" else np.array([])
        if len(targets) < FEW or count < 1:
            return everything, everything
        even = self._task == "classification" and np.bincount(targets).min() > 1 and count >= len(classes)
        training, validation = train_test_split(
            everything, test_size=count, random_state=seed, stratify=targets if even else None
        )
        absent = np.setdiff1d(classes, targets[training])
        if len(absent):
            training = np.concatenate([training, everything[np.isin(targets, absent)]])
        return np.sort(training), np.sort(validation)

    def _outputs(self, inputs: Any) -> torch.Tensor:
        """Return the network's outputs ``[N, …]``, float64, in the units of the targets."""
        check_is_fitted(self)
        inputs = self._check_inputs(inputs, reset=False)
        feeds = self.trainable_.take(inputs)
        if self.trainable == "table":
            feeds = tuple(one.double() if one.is_floating_point() else one for one in feeds)
        return self.trainable_.decode(predict(self.module_, feeds).double().unsqueeze(0))[0]

    def _check_inputs(self, inputs: Any, *, reset: bool) -> Any:
        """Return a DataFrame as it is where the trainable takes one, anything else as an array of numbers."""
        if self.trainable == "table" and _is_mixed(inputs):
            _check_feature_names(self, inputs, reset=reset)
            _check_n_features(self, inputs, reset=reset)
            return inputs
        finite: Any = "allow-nan" if self.trainable == "table" else True
        return validate_data(
            self,
            inputs,
            reset=reset,
            dtype="numeric",
            ensure_all_finite=finite,
            ensure_min_samples=2 if reset else 1,
            allow_nd=self.trainable != "table",
        )


class NetworkClassifier(ClassifierMixin, _Network):  # type: ignore[misc]
    """A network that tells classes apart.

    Args:
        trainable: a Trainable class, or the name of an objective; by default tables, whose DataFrames may hold numbers,
            categories, dates, and missing values.
        epochs: most epochs.
        patience: epochs without a lower loss on the validation samples after which training stops; 0: never.
        validation_fraction: share of the samples that early stopping watches, and a search is scored on.
        metric: what a search is scored on, by default the trainable's own (of tables accuracy, or RMSE); early stopping
            watches it too if it is given.
        random_state: all randomness follows from it.
        hyperparameters: as in ``[space]`` of a study file, one value each: ``depth=2, learning_rate=1e-3``.
    """

    _task = "classification"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on samples ``[N, …]`` of classes ``[N]``."""
        inputs = self._check_inputs(X, reset=True)
        targets = column_or_1d(y, warn=True)
        assert_all_finite(targets, input_name="y", estimator_name=type(self).__name__)
        check_consistent_length(inputs, targets)
        check_classification_targets(targets)
        self.classes_, numbers = np.unique(targets, return_inverse=True)
        if len(self.classes_) < 2:
            only = self.classes_.tolist()[0]
            raise ValueError(f"y has one class only, {only!r}; there is nothing to tell apart")
        self._fit(inputs, numbers)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probabilities ``[N, C]`` of the classes, in the order of ``classes_``."""
        probabilities: NDArray[np.float64] = self._outputs(X).softmax(-1).numpy()
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each sample ``[N]``."""
        numbers = self._outputs(X).argmax(-1).numpy()
        chosen: NDArray[Any] = self.classes_[numbers]
        return chosen


class NetworkRegressor(RegressorMixin, _Network):  # type: ignore[misc]
    """A network that predicts one number or several; the arguments are those of :class:`NetworkClassifier`."""

    _task = "regression"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Train on samples ``[N, …]`` and their values ``[N]`` or ``[N, T]``."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        inputs = self._check_inputs(X, reset=True)
        targets = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self)
        check_consistent_length(inputs, targets)
        self._single = targets.ndim == 1
        self._fit(inputs, targets.reshape(len(targets), -1))
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the values ``[N]`` or ``[N, T]``, as the targets were."""
        values: NDArray[np.float64] = self._outputs(X).numpy().astype(np.float64)
        return values[:, 0] if self._single and values.ndim == 2 else values


class _Tuned(_Network):
    """Searches before it fits: further attributes are ``best_params_``, ``best_score_`` and ``study_`` (Optuna's)."""

    def __init__(
        self,
        trainable: str | type[Trainable] = "table",
        *,
        trials: int = 20,
        timeout: float | None = None,
        sampler: str = "auto",
        pruner: str = "auto",
        epochs: int = 100,
        patience: int = 10,
        validation_fraction: float = 0.2,
        metric: str = "",
        random_state: Any = None,
        **hyperparameters: Any,
    ) -> None:
        super().__init__(
            trainable,
            epochs=epochs,
            patience=patience,
            validation_fraction=validation_fraction,
            metric=metric,
            random_state=random_state,
            **hyperparameters,
        )
        self.trials = trials
        self.timeout = timeout
        self.sampler = sampler
        self.pruner = pruner

    def _written(self, trainable: Trainable) -> dict[str, Any]:
        return self._plain_hyperparameters()

    def _train(self, trainable: Trainable, dataset: Dataset, space: Space, seed: int) -> in_memory.Trained:
        if self.trials < 1:
            raise UsageError(f"trials = {self.trials} must be at least 1")
        best, study = in_memory.tune(
            trainable,
            dataset,
            space,
            self._training(),
            Search(sampler=self.sampler, pruner=self.pruner),
            trials=self.trials,
            timeout=self.timeout,
            seed=seed,
        )
        if best is None:
            raise ValueError(f"none of {len(study.trials)} trials gave a network that could be scored")
        self.study_ = study
        self.best_params_ = dict(best.params)
        self.best_score_ = best.score
        return best


class TunedClassifier(_Tuned, NetworkClassifier):
    """A classifier whose hyperparameters are searched by ``fit``.

    Args:
        trials: networks that are tried.
        timeout: seconds after which no further one is begun.
        sampler, pruner: by name, as in ``[search]`` of a study file.
        hyperparameters: as in ``[space]``: a range (``"1..3"``, ``"1e-4..1e-1:log"``), a list, or one value.

    The others are those of :class:`NetworkClassifier`.
    """


class TunedRegressor(_Tuned, NetworkRegressor):
    """A regressor whose hyperparameters are searched by ``fit``; see :class:`TunedClassifier`."""


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _is_mixed(inputs: Any) -> bool:
    """Whether it is a DataFrame of which not all columns are numbers."""
    if not hasattr(inputs, "columns") or not hasattr(inputs, "dtypes"):
        return False
    kinds = list(inputs.dtypes)
    return not all(kind.is_numeric() if hasattr(kind, "is_numeric") else _numeric(kind) for kind in kinds)


def _numeric(kind: Any) -> bool:
    return getattr(kind, "kind", "O") in "iuf"


def _rows(inputs: Any, rows: NDArray[Any]) -> Any:
    if hasattr(inputs, "iloc"):
        return inputs.iloc[rows]
    return inputs[rows]
