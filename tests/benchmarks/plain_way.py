"""The plain way to tune a table, as a peer to measure against: Optuna, SQLite, DataLoader, torch.optim.

Same data, same split, same space, same epochs, same early stopping, same sampler and pruner as the tuner's study.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tuner.loading import LoadedTrainable, load_objective
from tuner.search import strategies
from tuner.sources import read_spec
from tuner.spec import StudySpec


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a trial trained."""

    params: Mapping[str, Any]
    epochs: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a study came to."""

    seconds: float
    cpu_seconds: float
    """Of all processes: on a machine that others use too, it says more than the seconds do."""
    trials: int
    best: float
    epochs: int
    reached: float | None = None
    """Seconds until a trial had ended that reached what was sought."""
    tried: tuple[Tried, ...] = ()
    """By the trials' numbers."""

    def __str__(self) -> str:
        rate = self.trials / self.seconds * 60
        return (
            f"{self.trials} trials, {self.epochs} epochs in {self.seconds:.1f} s ({self.cpu_seconds:.1f} s of CPU): "
            f"{rate:.0f} trials a minute, best validation accuracy {self.best:.4f}"
        )


class Clock:
    """Time that passes, on the wall and on the CPUs, in this process and in those that it has started and seen end."""

    def __init__(self) -> None:
        self.started = datetime.now()
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()

    def read(self) -> tuple[float, float]:
        """Return the seconds and the CPU seconds since."""
        return time.perf_counter() - self._wall, _cpu_seconds() - self._cpu


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def outcome(study: optuna.Study, clock: Clock, target: float | None) -> Outcome:
    """Return what a study that has just ended came to."""
    seconds, cpu_seconds = clock.read()
    trials = study.get_trials(deepcopy=False)
    ended = [
        trial.datetime_complete
        for trial in trials
        if target is not None
        and trial.datetime_complete
        and max(trial.intermediate_values.values(), default=0) >= target
    ]
    return Outcome(
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        trials=len(trials),
        best=study.best_value,
        epochs=sum(len(trial.intermediate_values) for trial in trials),
        reached=(min(ended) - clock.started).total_seconds() if ended else None,
        tried=tuple(Tried(params=trial.params, epochs=len(trial.intermediate_values)) for trial in trials),
    )


def run(
    source: str,
    *,
    trials: int,
    processes: int,
    settings: tuple[str, ...] = (),
    target: float | None = None,
    tried: Sequence[Tried] = (),
) -> Outcome:
    """Run the study the plain way in so many processes, until a trial reaches the target.

    Where it is said what another study ``tried``, each trial asks the sampler and the pruner, as always, and trains
    what the one of its number did, for as many epochs: then the work is the same, whatever the weights began with.
    """
    spec, _ = read_spec(source, settings=settings)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'plain.db'}"
        clock = Clock()
        with _quiet():
            optuna.create_study(study_name=spec.name, storage=url, direction="maximize")
        shares = [trials // processes + (i < trials % processes) for i in range(processes)]
        context = multiprocessing.get_context("spawn")
        workers = [
            context.Process(target=work, args=(url, spec, share, i, target, tried)) for i, share in enumerate(shares)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return outcome(optuna.load_study(study_name=spec.name, storage=url), clock, target)


@contextmanager
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def work(
    url: str,
    spec: StudySpec,
    trials: int,
    index: int,
    target: float | None,
    tried: Sequence[Tried],
) -> None:
    """Run one process's share."""
    torch.set_num_threads(1)
    torch.manual_seed(spec.seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    loaded = load_objective(spec, where="benchmark")
    assert isinstance(loaded, LoadedTrainable)
    dataset = loaded.trainable.load()
    strategy = strategies.resolve(
        spec.search, loaded.space, objectives=1, epochs=spec.training.epochs, where="benchmark"
    )
    study = optuna.load_study(
        study_name=spec.name,
        storage=url,
        sampler=strategies.make_sampler(strategy, seed=100 * spec.seed + index),
        pruner=strategies.make_pruner(strategy),
    )
    inputs, classes = dataset.training.inputs[0].shape[1], int(dataset.training.targets.max()) + 1

    def objective(trial: optuna.Trial) -> float:
        params = loaded.space.suggest(trial)
        same = tried[trial.number] if tried else None
        if same is not None:
            params = loaded.space.suggest(optuna.trial.FixedTrial(dict(same.params)))
        model = network(params, inputs, classes)
        training = DataLoader(
            TensorDataset(dataset.training.inputs[0], dataset.training.targets),
            batch_size=params["batch_size"],
            shuffle=True,
        )
        validation = DataLoader(TensorDataset(dataset.validation.inputs[0], dataset.validation.targets), batch_size=512)
        return train(trial, model, params, spec, training, validation, ends_after=same.epochs if same else None)

    def stop_at_target(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        if target is not None and any(trial.value is not None and trial.value >= target for trial in study.trials):
            study.stop()

    study.optimize(objective, n_trials=trials, callbacks=[stop_at_target])


def network(params: Mapping[str, Any], inputs: int, classes: int) -> nn.Module:
    """Return a multilayer perceptron."""
    activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU}
    layers: list[nn.Module] = []
    width = inputs
    for _ in range(params["depth"]):
        layers += [
            nn.Linear(width, params["width"]),
            activations[params["activation"]](),
            nn.Dropout(params["dropout"]),
        ]
        width = params["width"]
    return nn.Sequential(*layers, nn.Linear(width, classes))


def train(
    trial: optuna.Trial,
    model: nn.Module,
    params: Mapping[str, Any],
    spec: StudySpec,
    training: DataLoader[Any],
    validation: DataLoader[Any],
    *,
    ends_after: int | None,
) -> float:
    """Train and return the best validation accuracy; with ``ends_after``, for so many epochs, whatever they bring."""
    epochs, stopping = spec.training.epochs, spec.training.early_stopping
    optimizer = make_optimizer(model, params)
    scheduler = make_schedule(optimizer, params, epochs, len(training))
    loss_function = nn.CrossEntropyLoss()
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    best, stale = 0.0, 0
    for epoch in range(1, epochs + 1):
        model.train()
        for x, y in training:
            optimizer.zero_grad()
            loss = loss_function(model(x), y)
            loss = loss + params["l1"] * sum(w.abs().sum() for w in weights)
            loss = loss + params["l2"] * sum((w**2).sum() for w in weights)
            loss.backward()
            optimizer.step()
            if scheduler is not None and params["schedule"] != "reduce_on_plateau":
                scheduler.step()
        model.eval()
        right, total, validation_loss = 0, 0, 0.0
        with torch.no_grad():
            for x, y in validation:
                outputs = model(x)
                right += int((outputs.argmax(1) == y).sum())
                validation_loss += float(loss_function(outputs, y)) * len(y)
                total += len(y)
        if params["schedule"] == "reduce_on_plateau" and scheduler is not None:
            scheduler.step(validation_loss / total)
        accuracy = right / total
        best, stale = (accuracy, 0) if accuracy > best else (best, stale + 1)
        trial.report(accuracy, epoch)
        prune = trial.should_prune()
        if epoch == ends_after:
            break
        if ends_after is not None:
            continue
        if prune:
            raise optuna.TrialPruned
        if stopping.patience and stale >= stopping.patience:
            break
    return best


def make_optimizer(model: nn.Module, params: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Return the optimizer of ``params``."""
    rate = params["learning_rate"]
    name = params["optimizer"]
    if name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=rate, momentum=params["momentum"])
    kinds = {
        "rmsprop": torch.optim.RMSprop,
        "adagrad": torch.optim.Adagrad,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    optimizer: torch.optim.Optimizer = kinds[name](model.parameters(), lr=rate)
    return optimizer


def make_schedule(optimizer: torch.optim.Optimizer, params: Mapping[str, Any], epochs: int, steps: int) -> Any:
    """Return the learning-rate schedule of ``params``, or ``None`` for a constant rate."""
    schedules = torch.optim.lr_scheduler
    name = params["schedule"]
    if name == "cosine":
        return schedules.CosineAnnealingLR(optimizer, T_max=epochs * steps)
    if name == "one_cycle":
        return schedules.OneCycleLR(
            optimizer, max_lr=params["learning_rate"], total_steps=epochs * steps, cycle_momentum=False
        )
    if name == "reduce_on_plateau":
        return schedules.ReduceLROnPlateau(optimizer, patience=params["plateau_patience"])
    return None
