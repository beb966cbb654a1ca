"""``tuner keep`` and ``models``."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tuner import study as api
from tuner.cli.options import common, study_argument
from tuner.cli.printing import again, hint, print_data, say_hidden
from tuner.cli.tables import print_table
from tuner.columns import Column
from tuner.models.cards import trials_of, trials_told
from tuner.output import ago, number, score

if TYPE_CHECKING:
    from tuner.models.keeping import KeptModel

MODEL_KEYS = (
    "name",
    "study",
    "trial",
    "trials",
    "objective",
    "scores",
    "network_parameters",
    "bytes",
    "kept",
    "place",
    "damaged",
)


@click.command(short_help="Keep the network of a trial under a name.")
@study_argument
@click.option(
    "--trial", "trials", type=int, multiple=True, metavar="N", help="Which trial; repeatable. Default: the best."
)
@click.option(
    "--ensemble",
    type=click.IntRange(min=1),
    metavar="N",
    help="The N best trials as one model, an ensemble. Default: 1, or [model] ensemble.",
)
@click.option("--name", help="What to call it. Default: [model] keep_as, else the study's name.")
@click.option("--force", "--replace", is_flag=True, help="Overwrite the model of that name if it is there.")
@common()
def keep(
    *,
    study: str,
    trials: tuple[int, ...],
    ensemble: int | None,
    name: str | None,
    force: bool,
    storage: str | None,
    output: str,
) -> None:
    """Keep the network of a trial of STUDY as a folder of weights (safetensors), what prepares its inputs, and a card.

    Several trials become one model, an ensemble: it answers with the mean of their probabilities, or of their numbers,
    which is often better than the best of them. Where a trial's last checkpoint is gone, it is trained again first; its
    network follows from its number.

    \b
    tuner keep churn
    tuner keep churn --ensemble 5 --name churn_five
    tuner keep churn --trial 16 --name churn_small
    """
    with redirect_stdout(sys.stderr):  # what an objective prints is no result
        kept = api.keep(study, trial=trials, ensemble=ensemble, as_name=name, replace=force, storage=storage)
    for trial in kept.pruned:
        hint(f"note: trial {trial} was pruned: its network is that of the epochs it had")
    if kept.replaced_by_runs:
        hint(f"note: [model] keep_as = '{kept.name}': the next run of the study overwrites it; --name gives another")
    if output != "table":
        print_data(_kept(kept), output)
        return
    retrained = f", trained again for {kept.epochs_trained} epochs" if kept.epochs_trained else ""
    click.echo(f"model '{kept.name}': {trials_told(kept.trials)}{retrained}, {_scores_told(kept)}")
    hint(kept.place)
    _hint_next(kept, storage)


def _kept(kept: KeptModel) -> dict[str, Any]:
    """Return what was kept for programs; these keys are a stable interface."""
    return {
        "name": kept.name,
        "place": kept.place,
        "trial": kept.trials[0] if len(kept.trials) == 1 else None,
        "trials": list(kept.trials),
        "epochs_trained": kept.epochs_trained,
        "scores": dict(kept.scores),
        "alone": [dict(scores) for scores in kept.alone],
    }


def _scores_told(kept: KeptModel) -> str:
    """Return the scores and, of several networks, between which theirs are."""
    told = []
    for metric, value in kept.scores.items():
        alone = sorted(scores[metric] for scores in kept.alone)
        told.append(f"{metric} {score(value)}" + (f" ({_between(alone)} alone)" if len(alone) > 1 else ""))
    return ", ".join(told)


def _between(alone: Sequence[float]) -> str:
    low, high = score(alone[0]), score(alone[-1])
    return low if low == high else f"{low} to {high}"


def _hint_next(kept: KeptModel, storage: str | None) -> None:
    from tuner.models.naming import open_models

    if kept.no_predictions:
        hint(f"it {kept.no_predictions}")
        return
    by_name = open_models(api.storage_url(storage)).place(kept.name) == kept.place  # [model] where may say another
    command = again("predict", kept.name if by_name else kept.place, _like(kept.source), storage=storage)
    hint(f"\nNext:\n  {command}  what it answers to new data")


def _like(source: str) -> str:
    """Return a name that new data may have which is of the kind of ``source``."""
    path = Path(source)
    return "new/" if source and path.is_dir() else f"new{path.suffix or '.csv'}"


@click.command(short_help="List the models that were kept.")
@click.option("--where", metavar="URL", default="", help="The folder or fsspec URL of the models.")
@common()
def models(*, where: str, storage: str | None, output: str) -> None:
    """List the models that were kept: in --where, else TUNER_MODELS, else tuner-models beside the SQLite file.

    \b
    tuner models
    tuner models -o json
    """
    from tuner.models.naming import open_models, summaries

    store = open_models(api.storage_url(storage), where)
    records = [_record(card, store.place(card["name"])) for card in summaries(store)]
    if output != "table":
        print_data(records, output, keys=MODEL_KEYS)
    elif not records:
        hint(f"there are no models in {store.place('').rstrip('/')} yet; `tuner keep STUDY` makes one")
    else:
        say_hidden(print_table(_columns(records)))


def _record(card: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return a model for programs; these keys are a stable interface."""
    if "damaged" in card:
        return {**dict.fromkeys(MODEL_KEYS), "name": card["name"], "place": place, "damaged": card["damaged"]}
    return {
        **{key: card.get(key) for key in MODEL_KEYS},
        "trials": trials_of(card),
        "objective": card["objective"].get("name", "table"),
        "bytes": sum(file["bytes"] for file in card["files"].values()),
        "place": place,
    }


def _columns(records: list[dict[str, Any]]) -> list[Column]:
    now = dt.datetime.now().astimezone()

    def column(title: str, cells: list[Any], *, left: bool = False, rank: int = 0) -> Column:
        return Column(title=title, cells=[str(cell) for cell in cells], left=left, rank=rank)

    whole = [record for record in records if record["damaged"] is None]
    said = {id(record): f"{record['study']}, {trials_told(record['trials'])}" for record in whole}
    scores = {
        id(record): ", ".join(f"{metric} {score(value)}" for metric, value in record["scores"].items())
        for record in whole
    }
    kept = {id(record): ago(dt.datetime.fromisoformat(record["kept"]), now) for record in whole}
    return [
        column("model", [record["name"] for record in records], left=True),
        column("from study", [said.get(id(record), record["damaged"]) for record in records], left=True),
        column("scores", [scores.get(id(record), "") for record in records], left=True, rank=1),
        column("weights", [number(record["network_parameters"] or "") for record in records], rank=2),
        column("kept", [kept.get(id(record), "") for record in records], left=True, rank=3),
    ]
