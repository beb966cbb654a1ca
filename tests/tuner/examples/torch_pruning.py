"""A training loop of one's own that reports each epoch and lets poor trials be pruned."""

import optuna
import torch
from torch import nn


def make_network(trial: optuna.Trial) -> nn.Module:
    layers: list[nn.Module] = []
    width = 2
    for i in range(trial.suggest_int("layers", 1, 3)):
        units = trial.suggest_int(f"units_{i}", 4, 32)
        layers += [nn.Linear(width, units), nn.ReLU()]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, 2))


def objective(trial: optuna.Trial) -> float:
    torch.manual_seed(trial.number)
    targets = torch.arange(200) % 2
    inputs = torch.randn(200, 2) + targets.unsqueeze(1)
    network = make_network(trial)
    name = trial.suggest_categorical("optimizer", ["Adam", "RMSprop", "SGD"])
    optimizer = getattr(torch.optim, name)(network.parameters(), lr=trial.suggest_float("lr", 1e-5, 1e-1, log=True))
    accuracy = 0.0
    for epoch in range(10):
        loss = nn.functional.cross_entropy(network(inputs[:100]), targets[:100])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        accuracy = float((network(inputs[100:]).argmax(1) == targets[100:]).float().mean())
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    study.optimize(objective, n_trials=100, timeout=600)
    print(study.best_value)
