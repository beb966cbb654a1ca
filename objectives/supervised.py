"""What objectives that predict classes or numbers have in common: losses, metrics, units, what is told of targets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from tuner import metrics
from tuner.errors import DataError, UsageError
from tuner.sections import nearest
from tuner.trainable import ObjectiveOptions, Trainable

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from objectives.tables.target import Target
    from tuner.metrics import Metric
    from tuner.training.data import Dataset
    from tuner.training.losses import Loss


class SupervisedOptions(ObjectiveOptions):
    """``[objective]`` where classes or numbers are predicted."""

    metric: str | list[str] = Field(
        "",
        description="what is optimised, on the validation part; several give a Pareto front. "
        "Classification: accuracy (default), balanced_accuracy, precision, recall, fpr, f1 (each also _macro, _micro, "
        "_weighted), roc_auc, log_loss; regression: rmse (default), mse, mae, r2, median_absolute_error",
    )
    task: Literal["auto", "classification", "regression"] = Field(
        "auto",
        description="auto: classification when the target holds text, booleans or few whole numbers",
    )
    loss: Literal["auto", "cross_entropy", "mse", "mae", "huber"] = Field(
        "auto", description="what training minimises; auto: cross_entropy for classification, mse for regression"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of the probability that cross entropy spreads over all classes"
    )
    class_weights: Literal["none", "balanced"] | dict[str, float] = Field(
        "none", description="balanced: rare classes weigh more in the loss; or a weight for each class"
    )
    huber_delta: float = Field(
        1.0, gt=0, description="error, in standard deviations of the target, beyond which huber is linear"
    )

    @field_validator("class_weights")
    @classmethod
    def _positive(cls, weights: str | dict[str, float]) -> str | dict[str, float]:
        if isinstance(weights, dict) and any(not 0 < weight < float("inf") for weight in weights.values()):
            raise ValueError("every weight must be above 0")
        return weights


class Supervised(Trainable):
    """Classification or regression of one or several targets, by a network with one output a class or a target.

    :meth:`load` calls :meth:`check_options` once it knows the target.
    """

    Options = SupervisedOptions

    @property
    @abstractmethod
    def target(self) -> Target:
        """What is predicted, fitted on the training part."""

    @property
    @abstractmethod
    def where(self) -> str:
        """What to call the data in messages."""

    @abstractmethod
    def encoded_targets(self) -> Mapping[str, NDArray[Any]]:
        """Return the targets of each part: class numbers ``[N]``, or standardised values ``[N, T]``."""

    def dataset(self, inputs: Mapping[str, tuple[Tensor, ...]]) -> Dataset:
        """Return the data of the network's ``inputs`` by part, with the targets that go with them."""
        import torch

        from tuner.training.data import Dataset, Part

        kind = torch.long if self.target.task == "classification" else torch.float32
        parts = {
            name: Part(inputs=inputs[name], targets=torch.tensor(targets, dtype=kind))
            for name, targets in self.encoded_targets().items()
        }
        return Dataset(training=parts["training"], validation=parts["validation"], test=parts.get("test"))

    def loss(self, params: Mapping[str, Any]) -> Loss:
        from tuner.training.losses import CrossEntropy, Huber, MeanAbsoluteError, MeanSquaredError

        name = self.options.loss
        if self.target.task == "classification":
            return CrossEntropy(class_weights=self._class_weights(), label_smoothing=self.options.label_smoothing)
        if name == "huber":
            return Huber(delta=self.options.huber_delta)
        return MeanAbsoluteError() if name == "mae" else MeanSquaredError()

    def metric_names(self) -> list[str]:
        return [metric.name for metric in self.metrics()]

    def metrics(self) -> list[Metric]:
        task = self.target.task
        if not self.options.metric:
            return [metrics.default_metric(task)]
        return [metrics.get(name, task=task) for name in super().metric_names()]

    def decode(self, outputs: Tensor) -> Tensor:
        """Return outputs, or targets, in the target columns' own units; those of classes are as they were."""
        import torch

        if self.target.task == "classification":
            return outputs
        kind = torch.float32 if outputs.device.type == "mps" else torch.float64
        scales = torch.tensor(self.target.scales, dtype=kind, device=outputs.device)
        means = torch.tensor(self.target.means, dtype=kind, device=outputs.device)
        return outputs * scales + means

    def answers(self, outputs: Tensor, *, probabilities: bool = False) -> Mapping[str, Sequence[Any]]:
        """Return the class of each row, by its name, or the value of each target in its own units."""
        from tuner.models.answers import class_columns, number_columns

        target = self.target
        if target.task == "classification":
            return class_columns(target.columns[0], target.classes, outputs, probabilities=probabilities)
        return number_columns(self.decode(outputs), target.columns, probabilities=probabilities)

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Return the metrics; for classes the accuracy too, and of several targets the first metric of each."""
        scores = super().scores(outputs, targets)
        if self.target.task == "classification" and "accuracy" not in scores:
            scores["accuracy"] = float(metrics.get("accuracy")(outputs.unsqueeze(0), targets))
        return scores | self._by_target(outputs, targets)

    def final_scores(self, module: nn.Module, dataset: Dataset) -> dict[str, Any]:
        """Return, of several targets, the first metric of each: in units of their own, the largest hides the others."""
        from tuner.training import predict

        if len(self.target.columns) < 2:
            return {}
        part = dataset.validation
        return self._by_target(predict(module, part.feeds), part.targets)

    def _by_target(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        columns = self.target.columns
        if len(columns) < 2:
            return {}
        metric, said, right = self.metrics()[0], self.decode(outputs), self.decode(targets)
        return {
            f"{metric.name} of {name}": float(metric(said[None, :, i : i + 1], right[:, i : i + 1]))
            for i, name in enumerate(columns)
        }

    def known_targets(self, frame: pl.DataFrame, *, where: str, notes: list[str]) -> dict[str, Any]:
        """Return the targets that new rows hold, and of which rows they are: see :class:`tuner.models.samples.Samples`.

        Rows without them, or of a class that training lacked, are not scored; nor is any that cannot be read.
        """
        import torch

        target = self.target
        if any(name not in frame.columns for name in target.columns):
            return {}
        rows, known = target.known(frame)
        if known.height < frame.drop_nulls(list(target.columns)).height:
            notes.append(f"{where}: rows of classes that training lacked are not scored")
        if not rows:
            return {}
        try:
            encoded = target.encode(known, where=where)
        except DataError as error:
            notes.append(f"nothing is scored: {error}")
            return {}
        kind = torch.long if target.task == "classification" else torch.float32
        return {"labelled": rows, "targets": torch.tensor(encoded, dtype=kind)}

    def describe_target(self) -> dict[str, Any]:
        """Return, as JSON, the task, and the classes of each part or the mean and deviation of each target."""
        target = self.target
        told: dict[str, Any] = {"task": target.task, "columns": list(target.columns)}
        if target.classes:
            told["classes"] = {
                part: {label: int((values == i).sum()) for i, label in enumerate(target.classes)}
                for part, values in self.encoded_targets().items()
            }
        if len(target.classes) == 2:
            told["positive"] = target.classes[1]
        if target.means:
            told["mean"] = dict(zip(target.columns, target.means, strict=True))
            told["deviation"] = dict(zip(target.columns, target.scales, strict=True))
        return told

    def check_options(self) -> None:
        """Refuse options of the other task.

        Raises:
            UsageError: naming the option.
            DataError: when a class weight is of no class.
        """
        options, target, where = self.options, self.target, self.where
        written = options.model_fields_set
        self.metrics()
        if target.task == "classification":
            if options.loss not in ("auto", "cross_entropy"):
                raise UsageError(f"{where}: loss = '{options.loss}' is for regression; this is classification")
            if isinstance(options.class_weights, dict):
                for label in options.class_weights:
                    if label not in target.classes:
                        hint = nearest(label, target.classes) or f"; its classes: {', '.join(target.classes[:10])}"
                        raise DataError(f"{where}: class_weights names '{label}', which is no class{hint}")
        elif options.loss == "cross_entropy":
            raise UsageError(f"{where}: loss = 'cross_entropy' is for classification; this is regression")
        else:
            for key in ("label_smoothing", "class_weights"):
                if key in written:
                    raise UsageError(f"{where}: {key} is for classification; this is regression")

    def _class_weights(self) -> tuple[float, ...] | None:
        written, target = self.options.class_weights, self.target
        if written == "none":
            return None
        if isinstance(written, dict):
            return tuple(float(written.get(label, 1.0)) for label in target.classes)
        import numpy as np
        from sklearn.utils.class_weight import compute_class_weight

        numbers = np.arange(len(target.classes))
        weights = compute_class_weight("balanced", classes=numbers, y=self.encoded_targets()["training"])
        return tuple(weights.tolist())
