"""A report says what came out of a study of any kind, escapes what it shows, and asks no network."""

from __future__ import annotations

import html
import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

import storage
import tuner
from tests.tuner import studies
from tests.tuner.cli import samples
from tuner import attributes
from tuner.confirmation import Candidate, Confirmation, Estimate
from tuner.errors import NoFinishedTrialError, UsageError
from tuner.reporting.importance import importances
from tuner.reporting.report import render
from tuner.results import Results
from tuner.spec import parse_spec
from tuner.study import load

NASTY = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>\"&`\x1b[31m"
SCRIPT = re.compile(r"<script.*?</script>", re.DOTALL)


class Reader(HTMLParser):
    """What a browser makes of a page: its elements, their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self._silent = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._silent = tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def snippets(page: str) -> list[str]:
    """What is there to be copied."""
    return [html.unescape(code) for code in re.findall(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)]


def charts(page: str) -> list[dict[str, Any]]:
    (found,) = re.findall(r"^const charts = (.*);$", page, re.MULTILINE)
    read: list[dict[str, Any]] = json.loads(found)
    return read


def axes(page: str) -> list[str]:
    """The titles of the charts' axes, across before up."""
    layouts = [chart["layout"] for chart in charts(page)]
    named = [layout[axis].get("title", {}) for layout in layouts for axis in ("xaxis", "yaxis")]
    return [title["text"] for title in named if title]


def many(url: str, *, name: str = "many", parameter: str = "rate", choices: tuple[str, ...] = ("a", "b")) -> Results:
    """A study of plain Optuna with 30 finished trials, whose values follow from the parameter alone."""
    study = optuna.create_study(study_name=name, storage=storage.open_storage(url), direction="minimize")
    distributions = {parameter: FloatDistribution(1e-4, 1.0, log=True), "kind": CategoricalDistribution(choices)}
    for number in range(30):
        rate = 10 ** (-4 * (number % 30) / 30)
        params = {parameter: rate, "kind": choices[number // 3 % 2]}
        study.add_trial(create_trial(value=rate, params=params, distributions=distributions))
    return load(name, storage=url)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tuner.db'}"


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Results:
    results = studies.create(tmp_path_factory.mktemp("iris"), search={"sampler": "random", "first": None})
    studies.work(results)
    return results


def test_the_best_trial_and_the_optimism_of_its_score_are_said_first(url: str) -> None:
    samples.write(url=url)
    text = Reader(render(load("churn", storage=url))).text
    assert "churn Trial 1 is the best of 4 that finished: accuracy 0.9375 on the validation part." in text
    assert "the best of 4 is in part luck" in text
    assert "7 of 10 done: 4 finished, 1 pruned, 1 diverged, 1 failed" in text
    assert "accuracy (maximize)" in text


def test_a_trained_study_is_told_in_full(iris: Results) -> None:
    page = render(iris)
    text = Reader(page).text
    best = iris.best()[0]
    assert "The best of" in text
    assert "tuner confirm quick --storage" in text
    for said in ("training 90, validation 30, test 30", "species (classification)", "setosa 50, versicolor 50"):
        assert said in text
    assert f"Trial {best.number} in full Verdict: {best.attributes['verdict']}." in text
    assert "true ↓ said → setosa versicolor virginica" in text
    assert {"loss", "accuracy", "epoch", "trial"} <= set(axes(page))


def test_the_hyperparameters_and_the_study_file_can_be_copied(iris: Results) -> None:
    copied = snippets(render(iris))
    (space,) = (snippet for snippet in copied if snippet.startswith("[space]"))
    assert tomllib.loads(space)["space"] == iris.best()[0].params
    (file,) = (snippet for snippet in copied if snippet.startswith("name: "))
    assert parse_spec(yaml.safe_load(file), where="test") == iris.spec


def test_the_usual_configuration_stands_beside_the_best(url: str) -> None:
    study = optuna.create_study(study_name="usual", storage=storage.open_storage(url))
    study.add_trial(create_trial(value=2.0, user_attrs={attributes.USUAL: True}))
    study.add_trial(create_trial(value=1.0))
    text = Reader(render(load("usual", storage=url))).text
    assert "The usual configuration (trial 0) scored value 2.0000 in the search." in text


def test_a_confirmation_takes_the_place_of_the_optimistic_score(url: str) -> None:
    samples.write(url=url)
    results = load("churn", storage=url)
    candidates = [
        Candidate(
            trial=trial,
            searched={"accuracy": searched},
            confirmed={"accuracy": Estimate(scores=(mean - 0.01, mean + 0.01), half_width=0.02)},
            ended=2,
            as_good=True,
        )
        for trial, searched, mean in ((3, 0.875, 0.87), (1, 0.9375, 0.86))
    ]
    test = {"accuracy": Estimate(scores=(0.8,), half_width=0.05), "f1": Estimate(scores=(0.7,), half_width=0.06)}
    found = Confirmation(study="churn", seeds=2, candidates=candidates, test=test, test_samples=64, looks=2)
    results.storage.set_study_user_attr(results.study_id, attributes.CONFIRMATION, found.to_json())
    page = render(results)
    text = Reader(page).text
    assert (
        "Trial 3 is the one to use: accuracy 0.8700 ± 0.0200 from 2 fresh seeds on the validation part, and 0.8000 ± "
        "0.0500 on the 64 samples of the test part. In the search it had scored 0.8750." in text
    )
    assert "in part luck" not in text
    assert "Trial 3 in full" in text
    assert "f1 0.7000 ± 0.0600" in text
    assert "looked at 2 times" in text
    (dots,) = (chart for chart in charts(page) if "a fresh seed" in [trace.get("name") for trace in chart["data"]])
    assert dots["data"][0]["x"] == pytest.approx([0.85, 0.87, 0.86, 0.88])


def test_a_trial_found_after_the_confirmation_is_not_called_confirmed(url: str) -> None:
    samples.write(url=url)
    results = load("churn", storage=url)
    estimate = Estimate(scores=(0.7,), half_width=None)
    old = Candidate(trial=0, searched={"accuracy": 0.75}, confirmed={"accuracy": estimate}, ended=1, as_good=True)
    found = Confirmation(study="churn", seeds=1, candidates=[old], test={}, test_samples=0, looks=0)
    results.storage.set_study_user_attr(results.study_id, attributes.CONFIRMATION, found.to_json())
    text = Reader(render(results)).text
    assert "Trial 1 is the best of 4 that finished" in text
    assert "found after the confirmation below" in text


def test_what_mattered_is_told_from_chance(url: str) -> None:
    page = render(many(url))
    assert "Grey bars tell nothing" in Reader(page).text
    found = importances(optuna.load_study(study_name="many", storage=url), 0)
    assert not isinstance(found, str)
    assert [(one.name, one.beyond_chance) for one in found] == [("rate", True), ("kind", False)]
    assert sum(one.share for one in found) == pytest.approx(1)
    rate, kind = (chart["layout"]["xaxis"] for chart in charts(page) if chart["layout"].get("showlegend") is False)
    assert (rate["title"]["text"], rate["type"]) == ("rate", "log")
    assert kind["categoryarray"] == ["a", "b"]


@pytest.mark.parametrize(("count", "why"), [(4, "4 trials finished; 20 are needed"), (25, "no hyperparameter tells")])
def test_why_nothing_is_told_of_importance_is_said(url: str, count: int, why: str) -> None:
    study = optuna.create_study(study_name="few", storage=storage.open_storage(url))
    for number in range(count):
        params = {"x": number / 100}
        study.add_trial(create_trial(value=1.0, params=params, distributions={"x": FloatDistribution(0, 1)}))
    assert why in Reader(render(load("few", storage=url))).text


def test_several_metrics_have_a_front_and_a_search_each(url: str) -> None:
    samples.write_two_metrics(url=url)
    page = render(load("front", storage=url))
    text = Reader(page).text
    assert "The Pareto front holds 2 of the 3 trials that finished" in text
    assert "value_0 by trial" in text
    assert "value_1 by trial" in text
    assert axes(page)[:2] == ["value_0", "value_1"]


def test_a_study_of_plain_optuna_shows_what_it_reported(url: str) -> None:
    study = optuna.create_study(study_name="plain", storage=storage.open_storage(url))

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        for step in range(3):
            trial.report(x + step, step)
        if trial.number == 2:
            raise optuna.TrialPruned
        return x

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(objective, n_trials=4)
    page = render(load("plain", storage=url))
    text = Reader(page).text
    assert "a study of plain Optuna" in text
    assert "[space]" not in text
    names = [trace.get("name") for trace in charts(page)[0]["data"]]
    assert names == ["finished", "pruned (last report)", "best so far"]
    assert axes(page)[-2:] == ["step", "value"]


def test_a_running_study_is_told_as_far_as_it_has_come(url: str) -> None:
    samples.write(url=url)
    results = load("churn", storage=url)
    results.storage.claim(results.study_id, 2)
    text = Reader(render(results)).text
    assert "2 running" in text
    assert "to now" in text


def test_failures_are_told_by_class_with_a_reason(url: str) -> None:
    samples.write(url=url)
    text = Reader(render(load("churn", storage=url))).text
    assert "diverged 1 trial 5 loss or weights are not finite after epoch 2" in text
    assert "objective_error 1 trial 6 ValueError: \\x1b[31mboom" in text


def test_a_study_without_a_finished_trial_has_no_report(url: str) -> None:
    optuna.create_study(study_name="empty", storage=storage.open_storage(url))
    with pytest.raises(NoFinishedTrialError, match="'empty' has no finished trial"):
        render(load("empty", storage=url))


def nasty(url: str) -> str:
    """The page of a study in which whatever a person, a table or an error names is markup."""
    results = many(url, name=NASTY, parameter=NASTY, choices=(NASTY, "b"))
    kept, study_id = results.storage, results.study_id
    kept.set_study_system_attr(study_id, attributes.METRIC_NAMES, [NASTY])
    target = {"columns": [NASTY], "task": NASTY, "classes": {"training": {NASTY: 3, "b": 2}}}
    data = {"source": NASTY, "rows": {NASTY: 1}, "target": target, "notes": [NASTY]}
    kept.set_study_user_attr(study_id, attributes.DATA, data)
    kept.set_study_user_attr(study_id, attributes.SPEC, {"objective": {"name": NASTY}, "space": {NASTY: [NASTY]}})
    kept.set_study_user_attr(study_id, attributes.STOPPED, NASTY)
    noted = {
        attributes.VERDICT: NASTY,
        attributes.VALIDATION: {NASTY: 0.5, "confusion_matrix": [[1, 2], [3, 4]]},
        attributes.FINAL: {"examples": [{NASTY: NASTY}]},
    }
    study = optuna.load_study(study_name=NASTY, storage=kept)
    study.add_trial(create_trial(value=1e-6, user_attrs=noted, intermediate_values={0: 2.0, 1: 1.0}))
    failure = {"class": NASTY, "reason": NASTY}
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={attributes.FAILURE: failure}))
    return render(results)


def test_all_that_is_shown_is_escaped(url: str) -> None:
    page = nasty(url)
    plain = Reader(page)
    assert plain.tags.count("script") == 2
    assert not {"img", "b", "a", "link", "iframe", "object", "form"} & set(plain.tags)
    assert not [name for name, _ in plain.attributes if name.startswith("on") or name in {"src", "href"}]
    assert plain.text.count("<img src=x onerror='alert(2)'>") > 10
    assert "\x1b" not in page


def test_labels_of_charts_are_text_and_end_no_script(url: str) -> None:
    written = SCRIPT.findall(nasty(url))[-1].split("const charts = ")[1].split("\n")[0]
    assert "<" not in written
    labels: list[str] = []

    def collect(value: Any) -> None:
        if isinstance(value, str):
            labels.append(value)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            collect(inner)

    collect(json.loads(written.removesuffix(";")))
    assert not [label for label in labels if "<" in label]
    assert [label for label in labels if "&lt;img" in label]


def test_a_page_asks_no_network_and_runs_only_its_own_scripts(url: str) -> None:
    samples.write(url=url)
    page = render(load("churn", storage=url))
    plain = Reader(page)
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    nonces = [value for name, value in plain.attributes if name == "nonce"]
    assert len(nonces) == plain.tags.count("script") == 2
    assert f"'nonce-{nonces[0]}'" in policy
    outside = SCRIPT.sub("", page)
    assert not re.search(r"https?://|url\(|@import|<link", outside)
    assert page.count("* plotly.js v") == 1
    assert render(load("churn", storage=url)) != page, "a nonce is of one page"


def test_passwords_do_not_reach_a_report(url: str) -> None:
    samples.write(url=url)
    results = load("churn", storage=url)
    where = "s3://key:hunter2@bucket/churn.csv"
    results.storage.set_study_user_attr(results.study_id, attributes.DATA, {"source": where})
    results.storage.set_study_user_attr(results.study_id, attributes.SPEC, {"data": {"source": where}})
    page = render(results)
    assert "hunter2" not in page
    assert page.count("s3://key:***@bucket/churn.csv") == 2


def test_a_file_is_written_once_unless_told_otherwise(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    samples.write(url=url)
    path = tuner.report("churn", storage=url)
    assert path == Path("churn.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(UsageError, match=r"^churn\.html: it is there already; --force overwrites it$"):
        tuner.report("churn", storage=url)
    assert tuner.report("churn", storage=url, replace=True) == path
    assert tuner.report("churn", to=tmp_path / "other.html", storage=url).is_file()


@pytest.mark.parametrize(
    ("name", "file"), [("../up", "__up.html"), ("/etc/x", "_etc_x.html"), ("a b", "a b.html"), ("é.1", "é.1.html")]
)
def test_the_name_of_a_study_is_never_a_path(
    name: str, file: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    samples.write(name, url=url)
    assert tuner.report(name, storage=url) == Path(file)
    assert (tmp_path / file).is_file()
