from __future__ import annotations

import torch

from tuner.training.costs import Machine, Step, best_together, calibrate, step_seconds

MACHINE = Machine(kernel_seconds=3e-6, flops=60e9, passages=((2**20, 80e9), (2**23, 60e9), (2**25, 25e9)))


def mlp_step(parameters: int, batch: int) -> Step:
    return Step(kernels=40, flops=6.0 * parameters * batch, bytes=16 * parameters)


def test_small_networks_are_all_trained_together() -> None:
    assert best_together(MACHINE, mlp_step(3_500, 16), 16) == 16


def test_networks_that_fill_the_cache_are_trained_alone() -> None:
    assert best_together(MACHINE, mlp_step(2_000_000, 64), 16) == 1


def test_networks_in_between_are_trained_in_groups_that_fit_the_cache() -> None:
    size = best_together(MACHINE, mlp_step(85_000, 16), 16)
    assert 1 < size < 16
    assert size * 85_000 * 16 <= 2**24


def test_fusing_is_never_expected_to_be_slower_than_training_one_by_one() -> None:
    for parameters in (1_000, 10_000, 100_000, 1_000_000):
        step = mlp_step(parameters, 32)
        size = best_together(MACHINE, step, 16)
        assert step_seconds(MACHINE, step, size) / size <= step_seconds(MACHINE, step, 1)


def test_a_working_set_between_two_measured_ones_passes_at_a_speed_between_theirs() -> None:
    assert MACHINE.bytes_a_second(1.0) == MACHINE.bytes_a_second(2**20) == 80e9
    assert 60e9 < MACHINE.bytes_a_second(2**22) < 80e9
    assert MACHINE.bytes_a_second(2**30) == 25e9


def test_the_machine_at_hand_can_be_measured() -> None:
    machine = calibrate(torch.device("cpu"))
    assert 0.0 < machine.kernel_seconds < machine.flops
    assert calibrate(torch.device("cpu")) is machine
