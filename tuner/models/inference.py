"""Kept networks put to use: new samples in, answers out, without study, storage or training data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import DataError, TunerError, UsageError
from tuner.failures import is_out_of_memory
from tuner.loading import make_trainable
from tuner.models.naming import WEIGHTS, find_model, open_model, open_models, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl
    import torch
    from torch import Tensor, nn

    from storage import Model
    from tuner.models.samples import Samples
    from tuner.trainable import Trainable


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a network answers to new samples."""

    frame: pl.DataFrame
    """A row for each of the data's, in its order: the file it is, where it is one, and the answers.

    Where a row could not be read its answers are null.
    """
    columns: pl.DataFrame | None
    """What else the data holds, row by row; of arrays nothing."""
    faults: Mapping[int, str]
    """Row → why it has no answer."""
    scores: Mapping[str, float]
    """The model's metrics, where the data says what is right."""
    scored: int
    """So many rows they are of."""
    notes: Sequence[str]
    warnings: Sequence[str]
    """Why the answers may mean nothing."""

    def with_data(self) -> pl.DataFrame:
        """Return the data's columns with the answers after them.

        An answer whose name is taken is ``predicted …``, as often as it takes to be free.
        """
        if self.columns is None:
            return self.frame
        taken, renamed = {*self.columns.columns, *self.frame.columns}, {}
        for name in self.frame.columns:
            if name in self.columns.columns:
                free = f"predicted {name}"
                while free in taken:
                    free = f"predicted {free}"
                renamed[name] = free
                taken.add(free)
        return self.columns.hstack(self.frame.rename(renamed))


class Predictor:
    """A kept network, ready to answer."""

    def __init__(self, model: Model, *, device: str = "auto", settings: Iterable[str] = ()) -> None:
        """Make the network of a model, and give it its weights.

        ``settings`` (``data.key=value``) say how new data is read where that differs from the data of training.

        Raises:
            DataError: when the model does not hold what its objective needs.
            UsageError: when networks of its objective do not predict, for a device that is not there, and for settings
                of anything but ``data``.
            ObjectiveError: when the objective's own code fails.
        """
        self.card = model.card
        """From where the model comes: its study, trial, hyperparameters and scores."""
        self.device = _device(device)
        self._where = shown(model.place)
        self._trainable = _trainable(model, self._where, list(settings))
        self._module = self._network(model)

    def predict(self, data: Any, *, probabilities: bool = False, batch_size: int | None = None) -> pl.DataFrame:
        """Return the answers to new samples: a path, or a DataFrame, array or list that holds them.

        A row for each of theirs, in their order; null where one could not be read. Classes are named, numbers are in
        the target's units. With ``probabilities`` there is a column for each class too.

        Raises:
            DataError: when they are not what the network learned from, naming the file, the column and the remedy.
        """
        return self.predictions(data, probabilities=probabilities, batch_size=batch_size).frame

    def predictions(self, data: Any, *, probabilities: bool = False, batch_size: int | None = None) -> Predictions:
        """Return the answers as :meth:`predict` does, with what else is to be told: scores, rows without one."""
        import polars as pl

        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batches of {batch_size}: a batch has 1 sample or more")
        params = self.card["params"]
        with _own_errors():
            samples = self._trainable.samples(Path(data).expanduser() if isinstance(data, str) else data, params)
        columns: dict[str, list[Any]] = {}
        kept: list[Tensor] = []
        answered = 0
        with _own_errors(), samples.reading():
            for outputs in self._outputs(samples, batch_size or samples.most):
                _note_strange(outputs, answered, samples.faults)
                for name, answers in self._trainable.answers(outputs, probabilities=probabilities).items():
                    columns.setdefault(name, []).extend(answers)
                if samples.targets is not None:
                    kept.append(outputs)
                answered += len(outputs)
        for row in samples.faults:
            for answers in columns.values():
                answers[row] = None
        scores, scored = self._scores(kept, samples)
        return Predictions(
            frame=pl.DataFrame({**samples.names, **columns}, strict=False),
            columns=samples.columns,
            faults=dict(sorted(samples.faults.items())),
            scores=scores,
            scored=scored,
            notes=samples.notes,
            warnings=samples.warnings,
        )

    def _outputs(self, samples: Samples, most: int) -> Iterator[Tensor]:
        """Yield what the network says of the samples, some at a time, on the host; of none, that in its shape."""
        import torch

        from tuner.training.data import gather
        from tuner.training.feeding import chunks

        if len(samples):
            batches = chunks(samples.feeds, most, self.device)
        else:
            none = torch.empty(0, dtype=torch.long)
            batches = iter([tuple(gather(feed, none).to(self.device) for feed in samples.feeds)])
        with torch.inference_mode():
            for inputs in batches:
                yield self._inferred(inputs, samples.where).cpu()

    def _inferred(self, inputs: tuple[Tensor, ...], where: str) -> Tensor:
        try:
            return self._trainable.infer(self._module, inputs)
        except Exception as error:
            if self._overrides("samples") or isinstance(error, TunerError) or is_out_of_memory(error):
                raise
            shapes = ", ".join(str(list(one.shape[1:])) for one in inputs)
            raise DataError(
                f"{where}: the network cannot be called with samples {shapes}: {_first_line(error)}; where they are to "
                f"be read otherwise, write {type(self._trainable).__name__}.samples(data, params)"
            ) from error

    def _overrides(self, method: str) -> bool:
        """Whether the objective has a method of its own in place of the default one."""
        from tuner.trainable import Trainable

        return getattr(type(self._trainable), method) is not getattr(Trainable, method)

    def _scores(self, outputs: Sequence[Tensor], samples: Samples) -> tuple[dict[str, float], int]:
        import torch

        if samples.targets is None:
            return {}, 0
        places = [place for place, row in enumerate(samples.labelled) if row not in samples.faults]
        if not places:
            return {}, 0
        rows = torch.tensor([samples.labelled[place] for place in places])
        with _own_errors():
            scores = self._trainable.scores(torch.cat(list(outputs))[rows], samples.targets[torch.tensor(places)])
        return scores, len(places)

    def _network(self, model: Model) -> nn.Module:
        from tuner.models.warm_start import WarmStart, parsed

        kept = {name: content for name, content in model.files.items() if name != WEIGHTS}
        if WEIGHTS not in model.files:
            raise DataError(f"the model '{self._where}' has no {WEIGHTS}")
        weights = WarmStart(where=self._where, weights=parsed(model.files[WEIGHTS], self._where))
        params = self.card["params"]
        with _own_errors():
            self._trainable.restore(kept, params)
            module = self._made(params)
        fit = weights.fit(module)
        if not fit.whole:
            raise DataError(f"the weights of the model '{self._where}' do not fit its network: {fit.said()}")
        weights.apply(module)
        return module.to(self.device).eval()

    def _made(self, params: Mapping[str, Any]) -> nn.Module:
        try:
            return self._trainable.network(params)
        except Exception as error:
            if self._overrides("restore") or isinstance(error, TunerError):
                raise
            name = type(self._trainable).__name__
            raise UsageError(
                f"{name}.network(params) fails where load() has not been called ({_first_line(error)}); write "
                f"{name}.artifacts(params) to keep what it needs, and {name}.restore(files, params) to read it again"
            ) from error


def load_model(
    name: str, *, storage: str | None = None, where: str = "", device: str = "auto", settings: Iterable[str] = ()
) -> Predictor:
    """Return the model that was kept under ``name``, or lies in that folder or at that URL, ready to answer.

    Models are looked for in ``where``, else where ``TUNER_MODELS`` says, else beside the SQLite file of ``storage``,
    which is not opened. ``settings``, such as ``data.encoding=cp437``, say how new data is read.

    Raises:
        UsageError, DataError: when there is none, it is damaged, or it cannot predict.
    """
    from tuner.study import storage_url

    return Predictor(
        open_model(find_model(name, open_models(storage_url(storage), where))), device=device, settings=settings
    )


def _trainable(model: Model, where: str, settings: Sequence[str]) -> Trainable:
    from tuner.study_file import override

    card = model.card
    missing = [key for key in ("objective", "data", "params", "seed") if key not in card]
    if missing:
        raise DataError(f"the card of the model '{where}' does not say its {missing[0]}; keep its trial again")
    strange = next((setting for setting in settings if not setting.startswith("data.")), None)
    if strange is not None:
        raise UsageError(f"-S {strange}: only how new data is read may be said of a kept model, as -S data.key=value")
    data = override({"data": card["data"]}, settings)["data"]
    trainable = make_trainable(card["objective"], data, seed=card["seed"], where=f"the model '{where}'")
    if trainable.no_predictions:
        raise UsageError(f"the model '{where}' {trainable.no_predictions}")
    return trainable


def _device(wanted: str) -> torch.device:
    """Return the device that is asked for; ``auto`` is a GPU where there is one.

    Raises:
        UsageError: when this machine has none of that name.
    """
    import torch

    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"device '{wanted}' is not there; write auto, cpu, cuda or cuda:1") from None
    return device


@contextmanager
def _own_errors() -> Iterator[None]:
    """Tell an error of an objective's own code from one of ours."""
    try:
        yield
    except (TunerError, OSError):
        raise
    except Exception as error:
        from tuner.tryout import objectives_own

        raise objectives_own(error) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _note_strange(outputs: Tensor, start: int, faults: dict[int, str]) -> None:
    """Note the rows of which the network says nothing that is a number."""
    if not outputs.is_floating_point():
        return
    strange = ~outputs.flatten(1).isfinite().all(1) if outputs.ndim > 1 else ~outputs.isfinite()
    for row in strange.nonzero().flatten().tolist():
        faults.setdefault(start + row, "its numbers are too large: the network's answer is none")
