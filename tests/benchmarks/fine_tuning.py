"""Few labels: fine-tuning a pre-trained encoder against the same network from chance, and a bag of embeddings.

    python -m tests.benchmarks.fine_tuning [--model PLACE] [--labels 0.01 0.02 0.05] [--seeds 15] [--trials 3]

The task is the built-in study ``languages``: in which of 15 languages is a name written? Each way is a study of so many
random trials from one space, with the same epochs; the trial that is best on the validation part is scored on the test
part. A seed changes the split of the data, the labels that are known, the configurations and the initial weights, and
is the same for all ways: their results are compared in pairs. The encoder is that of the built-in study
``locale_names``, whose texts hold none of these names; ``--model`` names one that is there.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from tuner import study
from tuner.loading import LoadedTrainable, load_objective
from tuner.models.keeping import rebuild
from tuner.results import Results
from tuner.sources import read_spec
from tuner.spec import parse_spec
from tuner.study import stored_spec
from tuner.training import predict
from tuner.workers.trainable_worker import TrainableWorker
from tuner.workers.worker import Leaving

WAYS = ("fine-tuned", "from chance", "bag of embeddings")
SHAPE = ("depth", "heads", "head_width", "feed_forward", "activation", "positions")
TOKENS = ("tokenizer", "vocabulary", "lowercase")
SPACE: dict[str, Any] = {
    "learning_rate": "5e-4..1e-2:log",
    "weight_decay": "1e-3..3e-1:log",
    "dropout": "0..0.2",
    "warmup": "0..0.3",
    "batch_size": 16,
    "optimizer": "adamw",
    "schedule": "cosine",
    "l1": 0,
    "l2": 0,
}
"""What is searched, or fixed, in each way."""
PARTS = {"validation": 0.05, "test": 0.35}
"""As many labels to learn from as in the study, but fewer that choose the trial: each epoch looks at them."""


def pretrained(folder: Path) -> str:
    """Return the place of an encoder that was pre-trained here."""
    storage = f"sqlite:///{folder / 'tuner.db'}"
    study.start("locale_names", workers=1, storage=storage)
    return str(folder / "tuner-models" / "locale_names")


def spaces(encoder: dict[str, Any], share: float) -> dict[str, dict[str, Any]]:
    """Return the space of each way: one search, of networks that have one shape, or of a bag of the same tokens."""
    common = {**SPACE, "data_fraction": share}
    shape = {name: encoder[name] for name in SHAPE}
    tokens = {name: encoder[name] for name in TOKENS}
    return {
        "fine-tuned": {**common, "pooling": "mean", "frozen": 0, "layer_decay": 1},
        "from chance": {**common, "pooling": "mean", "network": "transformer", **shape, **tokens},
        "bag of embeddings": {**common, "network": "bag_of_embeddings", **tokens},
    }


def scored(folder: Path, way: str, space: dict[str, Any], model: str, options: argparse.Namespace, seed: int) -> float:
    """Return the accuracy on the test part of the best of a study's trials."""
    spec, where = read_spec("languages")
    values = spec.model_dump(mode="json") | {
        "name": f"{way} {space['data_fraction']} {seed}",
        "seed": seed,
        "space": space,
        "training": {"epochs": options.epochs, "early_stopping": {"patience": 0}},
        "search": {"sampler": "random", "pruner": "none"},
        "budget": {"trials": options.trials},
    }
    values["data"] |= PARTS
    values["objective"] |= {"pretrained": model if way == "fine-tuned" else ""}
    results = study.create(parse_spec(values, where=where), where=where, storage=f"sqlite:///{folder / 'few.db'}")
    work(results)
    rebuilt = rebuild(results)
    test = rebuilt.member.dataset.test if rebuilt.member.dataset is not None else None
    assert test is not None
    right = predict(rebuilt.member.module, test.feeds).argmax(-1) == test.targets
    return float(right.double().mean())


def work(results: Results) -> None:
    """Run the study in this process."""
    spec = stored_spec(results)
    loaded = load_objective(spec, where="benchmark")
    assert isinstance(loaded, LoadedTrainable)
    leaving = Leaving(results.storage, results.study_id, None)
    TrainableWorker(results.storage, results.study_id, spec, loaded, device="cpu", leaving=leaving).run()


def main() -> None:
    """Print a line for each share of the labels, as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a kept encoder; default: one is pre-trained first")
    parser.add_argument("--labels", type=float, nargs="+", default=[0.01, 0.02, 0.05])
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        started = time.process_time()
        model = str(Path(options.model).resolve()) if options.model else pretrained(folder)
        print(f"encoder {model}; {time.process_time() - started:.0f} CPU seconds in this process")
        from tuner.models.naming import open_model

        encoder = dict(open_model(model).card["params"])
        print(f"{'labels':>8}  " + "  ".join(f"{way:>18}" for way in WAYS) + "  fine-tuned - from chance")
        for share in options.labels:
            found: dict[str, list[float]] = {}
            for way, space in spaces(encoder, share).items():
                found[way] = [scored(folder, way, space, model, options, seed) for seed in range(options.seeds)]
            print(f"{share:8.3f}  " + line(found), flush=True)


def line(found: dict[str, list[float]]) -> str:
    """Return each way's mean accuracy and its standard deviation, and the difference of pairs of the same seed."""
    means = [f"{statistics.mean(its):.3f} ± {statistics.stdev(its):.3f}" for its in found.values()]
    pairs = zip(found["fine-tuned"], found["from chance"], strict=True)
    differences = [tuned - chance for tuned, chance in pairs]
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    ahead = sum(difference > 0 for difference in differences)
    gain = f"{statistics.mean(differences):+.3f} ± {error:.3f} (standard error), {ahead} of {len(differences)} ahead"
    return "  ".join(f"{text:>18}" for text in means) + "  " + gain


if __name__ == "__main__":
    main()
