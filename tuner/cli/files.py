"""``tuner init`` and ``check``: study files, written and tried."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tuner.cli.options import common, data_option, settings_option, target_option
from tuner.cli.printing import hint, pairs, print_data, say_hidden, wrapped
from tuner.cli.tables import print_table, terminal_width
from tuner.columns import Column
from tuner.errors import UsageError
from tuner.output import duration, number, params_line, score

if TYPE_CHECKING:
    from tuner.tryout import Tryout

_DEFAULT_NAME = "study"
_EXAMPLE = "breast_cancer"
"""The built-in study whose data a template uses until somebody names their own."""


@click.command(short_help="Write a study file to start from.")
@click.argument("name", required=False)
@data_option
@target_option
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
@click.option("--stdout", is_flag=True, help="Print the file instead of writing it.")
@common(output=False, storage=False)
def init(*, name: str | None, data: str | None, target: tuple[str, ...], force: bool, stdout: bool) -> None:
    """Write NAME.toml: a copy of the built-in study NAME, or a file that shows every key with its default.

    \b
    tuner init digits
    tuner init churn --data churn.csv --target churned
    tuner init --stdout
    """
    name, text = _study_file(name and name.removesuffix(".toml"), data, target)
    if stdout:
        click.echo(text, nl=False)
        return
    path = Path(f"{name}.toml")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path}: it is there already; --force overwrites it") from None
    if data is not None and Path(data).suffix and not Path(data).expanduser().exists():
        hint(f"note: {data}: there is no such file yet")
    hint(f"{path} is written; `tuner check {path}` tries it, `tuner start {path}` runs it")


@click.command(short_help="Try a study file on one epoch.")
@click.argument("source", required=False, metavar="[NAME|FILE|MODULE:ATTR]")
@data_option
@target_option
@settings_option
@common(storage=False)
def check(
    *, source: str | None, data: str | None, target: tuple[str, ...], settings: tuple[str, ...], output: str
) -> None:
    """Read a study file and its data, say what was inferred, and train one configuration for one epoch.

    Nothing is stored. A plain function runs once.

    \b
    tuner check churn.toml
    tuner check --data churn.csv --target churned
    """
    from tuner import sources
    from tuner.models.naming import located
    from tuner.study import storage_url
    from tuner.tryout import try_out

    targets = list(target) if len(target) > 1 else target[0] if target else None
    with redirect_stdout(sys.stderr):  # what an objective prints is no result
        spec, where = sources.read_spec(source, data=data, target=targets, settings=settings)
        tried = try_out(located(spec, storage_url()), where=where)
    if output == "table":
        _print_tryout(spec.name, tried)
        hint(f"\n{where} is ready: `{_start_command(source, data, target, settings)}`")
        return
    print_data(
        {
            "name": spec.name,
            "data": dict(tried.data),
            "space": tried.space.to_json() if tried.space is not None else {},
            "params": dict(tried.params),
            "scores": dict(tried.scores),
            "network_parameters": tried.weights,
            "seconds": tried.seconds,
        },
        output,
    )


def _start_command(source: str | None, data: str | None, target: tuple[str, ...], settings: tuple[str, ...]) -> str:
    """The command that starts what was tried."""
    words = ["tuner", "start", *filter(None, [source])]
    given = {"--data": filter(None, [data]), "--target": target, "-S": settings}
    return shlex.join([*words, *(word for flag, values in given.items() for value in values for word in (flag, value))])


def _study_file(name: str | None, data: str | None, target: tuple[str, ...]) -> tuple[str, str]:
    """The name and the text of the study file to write."""
    from tuner import study_file
    from tuner.loading import DEFAULT, recognised
    from tuner.spec import check_name
    from tuner.template import study_template

    if data is None and target:
        raise UsageError(f"--target {target[0]}: of which table? write --data FILE too")
    if data is None and name in study_file.built_in_names():
        return name, study_file.read_text(name)
    objective = recognised(data) if data is not None else DEFAULT
    if data is not None and not target and objective == DEFAULT:
        raise UsageError(f"--data {data}: which column is to be predicted? write --target COLUMN too")
    name = name or (study_file.name_for(data) if data else _DEFAULT_NAME)
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(f"'{name}': {error}") from None
    if data is None:
        settings = study_file.read(_EXAMPLE)[0]["data"]
    else:
        settings = {"source": data}
        if target:
            settings["target"] = list(target) if len(target) > 1 else target[0]
    return name, study_template(name, data=settings, file=f"{name}.toml", objective=objective)


def _print_tryout(name: str, tried: Tryout) -> None:
    facts = [("study", name), *_described(tried.data)]
    width = terminal_width()
    room = width and width - max(len(key) for key, _ in facts) - 4
    pairs([(key, wrapped(value, room)) for key, value in facts])
    for key, value in tried.data.items():
        if _is_table(value):
            click.echo()
            _print_records(key, value)
    if tried.space is not None:
        click.echo()
        _print_space(tried)
    click.echo()
    weights = f", {tried.weights:,} weights" if tried.weights is not None else ""
    scores = ", ".join(f"{key} {score(value)}" for key, value in tried.scores.items())
    unit = "call" if tried.space is None else "fit" if tried.weights is None else "epoch"
    tried_facts = [("tried", params_line(tried.params)), (f"one {unit}", f"{duration(tried.seconds)}{weights}")]
    pairs([(key, wrapped(value, width and width - 12)) for key, value in [*tried_facts, ("scores", scores)]])


def _described(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was inferred from the data, one line for each thing."""
    facts: list[tuple[str, str]] = []
    for key, value in data.items():
        if isinstance(value, Mapping):
            inner = {k: v for k, v in value.items() if not isinstance(v, Mapping)}
            if inner:
                facts.append((key, ", ".join(f"{_inline(k)} {_inline(v)}" for k, v in inner.items())))
            facts += [(f"{key} {k}", said) for k, v in value.items() if isinstance(v, Mapping) for _, said in _flat(v)]
        elif isinstance(value, list) and not _is_table(value):
            facts += [(key if index == 0 else "", str(item)) for index, item in enumerate(value)]
        elif not isinstance(value, list):
            facts.append((key, _said(value)))
    return facts


def _flat(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    if all(isinstance(value, Mapping) for value in values.values()):
        return [
            (key, f"{key}: " + ", ".join(f"{_inline(k)} {_inline(v)}" for k, v in inner.items()))
            for key, inner in values.items()
        ]
    return [("", ", ".join(f"{_inline(key)} {_inline(value)}" for key, value in values.items()))]


def _said(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, list) else number(value)


def _inline(value: Any) -> str:
    """Return names or numbers as they stand among others: a comma in a name is none between two of them."""
    said = [_said(one) for one in (value if isinstance(value, list) else [value])]
    return " + ".join(f"'{one}'" if "," in one else one for one in said)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _print_records(title: str, records: list[Mapping[str, Any]]) -> None:
    keys = list(dict.fromkeys(key for record in records for key in record))
    columns = [
        Column(
            title=title.removesuffix("s") if index == 0 else key,
            cells=[_said(record.get(key, "")) for record in records],
            left=any(isinstance(record.get(key), str) for record in records),
            rank=index,
        )
        for index, key in enumerate(keys)
    ]
    say_hidden(print_table(columns), form="json")


def _print_space(tried: Tryout) -> None:
    from tuner.space import Fixed
    from tuner.template import written

    assert tried.space is not None
    parameters = [tried.space[name] for name in tried.space]
    conditions = [
        "; ".join(f"{parent} is {' or '.join(map(str, allowed))}" for parent, allowed in parameter.when.items())
        for parameter in parameters
    ]
    values = [(written(parameter) or "not set").strip('"') for parameter in parameters]
    columns = [
        Column(title="hyperparameter", cells=list(tried.space), left=True),
        Column(
            title="",
            cells=["fixed" if isinstance(parameter, Fixed) else "searched" for parameter in parameters],
            left=True,
        ),
        Column(title="values", cells=[value.replace('"', "") for value in values], left=True),
        Column(title="only where", cells=conditions, left=True, rank=1),
    ]
    say_hidden(print_table(columns), form="json")
