"""``tuner keep`` and ``models``."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tuner import study as api
from tuner.cli.options import common, study_argument
from tuner.cli.printing import again, hint, print_data, say_hidden
from tuner.cli.tables import print_table
from tuner.columns import Column
from tuner.output import ago, number, score

if TYPE_CHECKING:
    from tuner.models.keeping import KeptModel

MODEL_KEYS = (
    "name",
    "study",
    "trial",
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
@click.option("--trial", type=int, metavar="N", help="Which trial. Default: the best one.")
@click.option("--name", help="What to call it. Default: the study's name.")
@click.option("--force", "--replace", is_flag=True, help="Overwrite the model of that name if it is there.")
@common()
def keep(*, study: str, trial: int | None, name: str | None, force: bool, storage: str | None, output: str) -> None:
    """Keep the network of a trial of STUDY as a folder of weights (safetensors), what prepares its inputs, and a card.

    Where the trial's last checkpoint is gone, it is trained again first; its network follows from its number.

    \b
    tuner keep churn
    tuner keep churn --trial 16 --name churn_small
    """
    with redirect_stdout(sys.stderr):  # what an objective prints is no result
        kept = api.keep(study, trial=trial, as_name=name, replace=force, storage=storage)
    if kept.pruned:
        hint(f"note: trial {kept.trial} was pruned: its network is that of the epochs it had")
    if output != "table":
        record = {"name": kept.name, "place": kept.place, "trial": kept.trial, "epochs_trained": kept.epochs_trained}
        print_data({**record, "scores": dict(kept.scores)}, output)
        return
    scores = ", ".join(f"{metric} {score(value)}" for metric, value in kept.scores.items())
    retrained = f", trained again for {kept.epochs_trained} epochs" if kept.epochs_trained else ""
    click.echo(f"model '{kept.name}': trial {kept.trial}{retrained}, {scores}")
    hint(kept.place)
    _hint_next(kept, storage)


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
        "objective": card["objective"].get("name", "table"),
        "bytes": sum(file["bytes"] for file in card["files"].values()),
        "place": place,
    }


def _columns(records: list[dict[str, Any]]) -> list[Column]:
    now = dt.datetime.now().astimezone()

    def column(title: str, cells: list[Any], *, left: bool = False, rank: int = 0) -> Column:
        return Column(title=title, cells=[str(cell) for cell in cells], left=left, rank=rank)

    whole = [record for record in records if record["damaged"] is None]
    said = {id(record): f"{record['study']}, trial {record['trial']}" for record in whole}
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
