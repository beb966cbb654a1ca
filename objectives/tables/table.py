"""The table as an objective: a multilayer perceptron on its prepared rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from objectives.tables.datasets import NAMES
from objectives.tables.options import TableData, TableOptions
from tuner import metrics
from tuner.errors import DataError, UsageError
from tuner.hyperparameters import TRAINING, Hyperparameter
from tuner.sections import nearest
from tuner.space import Choices, Fixed, Range
from tuner.trainable import Trainable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from objectives.tables.preparing import PreparedTable
    from tuner.metrics import Metric
    from tuner.training.data import Dataset
    from tuner.training.losses import Loss

NETWORK: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="depth",
        default=Range(low=1, high=4, integer=True),
        minimum=0,
        maximum=100,
        description="hidden layers; 0 is a linear model",
    ),
    Hyperparameter(
        name="width",
        default=Range(low=32, high=256, log=True, integer=True),
        minimum=1,
        maximum=65536,
        description="units of each hidden layer",
    ),
    Hyperparameter(
        name="activation",
        default=Choices(choices=("relu", "tanh", "gelu", "silu")),
        choices=(
            "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "softplus", "identity",
        ),
        description="what each hidden unit does with its sum",
    ),
    Hyperparameter(
        name="dropout",
        default=Range(low=0.0, high=0.5),
        minimum=0,
        maximum=0.99,
        description="share of the hidden units that is silent in each training step",
    ),
    Hyperparameter(
        name="normalization",
        default=Fixed(value="none"),
        choices=("none", "layer", "batch"),
        description="normalisation before each activation",
    ),
)  # fmt: skip


class Table(Trainable):
    """A table of numbers, categories, booleans and dates; classification or regression, one or several targets."""

    Options = TableOptions
    Data = TableData
    data_sets = NAMES

    def __init__(self, options: TableOptions, data: TableData, *, seed: int) -> None:
        super().__init__(options, data, seed=seed)
        self._table: PreparedTable | None = None

    @property
    def table(self) -> PreparedTable:
        """The prepared table; :meth:`load` makes it."""
        if self._table is None:
            raise RuntimeError("call load() first")
        return self._table

    def load(self) -> Dataset:
        import torch

        from objectives.tables.preparing import prepare_table
        from tuner.training.data import Dataset, Part

        self._table = prepare_table(self.data, task=self.options.task, seed=self.seed)
        self._check_options()
        parts = {}
        for name, part in self._table.parts.items():
            classes = self._table.target.task == "classification"
            targets = torch.tensor(part.targets, dtype=torch.long if classes else torch.float32)
            parts[name] = Part(inputs=(torch.tensor(part.inputs),), targets=targets)
        return Dataset(training=parts["training"], validation=parts["validation"], test=parts.get("test"))

    def hyperparameters(self) -> Sequence[Hyperparameter]:
        first = [hyper for hyper in TRAINING if hyper.name == "learning_rate"]
        return (*first, *NETWORK, *(hyper for hyper in TRAINING if hyper not in first))

    def network(self, params: Mapping[str, Any]) -> nn.Module:
        from tuner.training.mlp import MLP

        return MLP(
            inputs=len(self.table.preprocessing.features),
            outputs=self.table.target.outputs,
            hidden=(int(params["width"]),) * int(params["depth"]),
            activation=params["activation"],
            dropout=float(params["dropout"]),
            normalization=params["normalization"],
        )

    def layers(self, module: nn.Module) -> list[list[str]]:
        """Return each hidden layer with its normalization, then the output layer."""
        by_depth: dict[int, list[str]] = {}
        for name, _ in module.named_parameters():  # layers.0.weight, norms.0.weight, …
            by_depth.setdefault(int(name.split(".")[1]), []).append(name)
        return [by_depth[depth] for depth in sorted(by_depth)]

    def loss(self, params: Mapping[str, Any]) -> Loss:
        from tuner.training.losses import CrossEntropy, Huber, MeanAbsoluteError, MeanSquaredError

        name = self.options.loss
        if self.table.target.task == "classification":
            return CrossEntropy(class_weights=self._class_weights(), label_smoothing=self.options.label_smoothing)
        if name == "huber":
            return Huber(delta=self.options.huber_delta)
        return MeanAbsoluteError() if name == "mae" else MeanSquaredError()

    def metric_names(self) -> list[str]:
        return [metric.name for metric in self.metrics()]

    def metrics(self) -> list[Metric]:
        task = self.table.target.task
        if not self.options.metric:
            return [metrics.default_metric(task)]
        return [metrics.get(name, task=task) for name in super().metric_names()]

    def decode(self, outputs: Tensor) -> Tensor:
        """Return outputs, or targets, in the target columns' own units; those of classes are as they were."""
        import torch

        target = self.table.target
        if target.task == "classification":
            return outputs
        kind = torch.float32 if outputs.device.type == "mps" else torch.float64
        scales = torch.tensor(target.scales, dtype=kind, device=outputs.device)
        means = torch.tensor(target.means, dtype=kind, device=outputs.device)
        return outputs * scales + means

    def describe(self) -> dict[str, Any]:
        """Return what was inferred: parts, target, how each column is used, and notes for a person."""
        table = self.table
        features = {encoder.name: len(encoder.features) for encoder in table.preprocessing.encoders}
        target: dict[str, Any] = {"task": table.target.task, "columns": list(table.target.columns)}
        if table.target.classes:
            target["classes"] = {
                part: {label: int((values.targets == i).sum()) for i, label in enumerate(table.target.classes)}
                for part, values in table.parts.items()
            }
        if len(table.target.classes) == 2:
            target["positive"] = table.target.classes[1]
        if table.target.means:
            target["mean"] = dict(zip(table.target.columns, table.target.means, strict=True))
            target["deviation"] = dict(zip(table.target.columns, table.target.scales, strict=True))
        columns = [
            {
                "name": plan.name,
                "kind": plan.kind if plan.name in features else "unused",
                "features": features.get(plan.name, 0),
                "note": plan.note or ("" if plan.name in features else "no level has enough rows"),
            }
            for plan in table.plans
        ]
        return {
            "source": table.where,
            "rows": {part: len(values.targets) for part, values in table.parts.items()},
            "target": target,
            "inputs": len(table.preprocessing.features),
            "columns": columns,
            "notes": [*table.notes, *(_unused(column) for column in columns if column["kind"] == "unused")],
        }

    def _class_weights(self) -> tuple[float, ...] | None:
        written, target = self.options.class_weights, self.table.target
        if written == "none":
            return None
        if isinstance(written, dict):
            return tuple(float(written.get(label, 1.0)) for label in target.classes)
        import numpy as np
        from sklearn.utils.class_weight import compute_class_weight

        numbers = np.arange(len(target.classes))
        weights = compute_class_weight("balanced", classes=numbers, y=self.table.parts["training"].targets)
        return tuple(weights.tolist())

    def _check_options(self) -> None:
        """Refuse options of the other task."""
        options, target, where = self.options, self.table.target, self.table.where
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


def _unused(column: Mapping[str, Any]) -> str:
    return f"column '{column['name']}' is not used ({column['note']})"
