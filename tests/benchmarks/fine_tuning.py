"""Few labels: fine-tuning a pre-trained encoder against the same network from chance, and a bag of embeddings.

    python -m tests.benchmarks.fine_tuning [--model PLACE] [--labels 0.01 0.02 0.05 0.2] [--seeds 5] [--trials 6]

The task is the built-in study ``languages``: in which of 15 languages is a name written? Each way is a study of so many
random trials with the same epochs; the trial that is best on the validation part is scored on the test part. A seed
changes the split of the data, the labels that are known, the configurations and the initial weights. The encoder is
that of the built-in study ``locale_names``, whose texts hold none of these names; ``--model`` names one that is there.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from tuner import study
from tuner.keeping import rebuild
from tuner.loading import LoadedTrainable, load_objective
from tuner.results import Results
from tuner.spec import parse_spec
from tuner.study import read_spec, stored_spec
from tuner.training import predict
from tuner.workers.trainable_worker import TrainableWorker
from tuner.workers.worker import Leaving

WAYS = ("fine-tuned", "from chance", "bag of embeddings")
COMMON: dict[str, Any] = {"batch_size": [16, 32], "optimizer": "adamw", "schedule": "cosine", "l1": 0, "l2": 0}


def pretrained(folder: Path) -> str:
    """Return the place of an encoder that was pre-trained here."""
    settings = ["budget.trials=1", "space.learning_rate=5e-3"]
    storage = f"sqlite:///{folder / 'tuner.db'}"
    study.start("locale_names", settings=settings, workers=1, storage=storage)
    return str(folder / "tuner-models" / "locale_names")


def spaces(encoder: dict[str, Any], share: float) -> dict[str, dict[str, Any]]:
    """Return what is searched in each way: the two networks have one shape, and the tokens are the same kind."""
    shape = ("depth", "heads", "head_width", "feed_forward", "positions", "tokenizer", "vocabulary", "max_length")
    tokens = {name: encoder[name] for name in ("tokenizer", "vocabulary", "max_length")}
    common = {**COMMON, "data_fraction": share}
    return {
        "fine-tuned": {**common, "frozen": "0..2"},
        "from chance": {**common, "network": "transformer", **{name: encoder[name] for name in shape}},
        "bag of embeddings": {**common, "network": "bag_of_embeddings", **tokens},
    }


def scored(folder: Path, way: str, space: dict[str, Any], model: str, options: argparse.Namespace, seed: int) -> float:
    """Return the accuracy on the test part of the best of a study's trials."""
    spec, where = read_spec("languages")
    values = spec.model_dump(mode="json") | {
        "name": f"{way} {space['data_fraction']} {seed}",
        "seed": seed,
        "space": space,
        "training": {"epochs": options.epochs, "cohort": 1},
        "search": {"sampler": "random", "pruner": "none"},
        "budget": {"trials": options.trials},
    }
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
    parser.add_argument("--labels", type=float, nargs="+", default=[0.01, 0.02, 0.05, 0.2])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        started = time.process_time()
        model = str(Path(options.model).resolve()) if options.model else pretrained(folder)
        print(f"encoder {model}; {time.process_time() - started:.0f} CPU seconds in this process")
        from tuner.models import open_model

        encoder = dict(open_model(model).card["params"])
        print(f"{'labels':>8}  " + "  ".join(f"{way:>24}" for way in WAYS))
        for share in options.labels:
            line = []
            for way, space in spaces(encoder, share).items():
                found = [scored(folder, way, space, model, options, seed) for seed in range(options.seeds)]
                spread = statistics.stdev(found) if len(found) > 1 else 0.0
                line.append(f"{statistics.mean(found):.3f} ± {spread:.3f}")
            print(f"{share:8.3f}  " + "  ".join(f"{text:>24}" for text in line), flush=True)


if __name__ == "__main__":
    main()
