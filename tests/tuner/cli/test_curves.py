from __future__ import annotations

import math

from tuner.cli.curves import plot, resample, running_best, sparkline


def test_the_running_best_keeps_what_is_best_and_skips_what_is_no_value() -> None:
    assert running_best([None, 0.5, 0.25, math.nan, 0.75], maximize=True) == [0.5, 0.5, 0.5, 0.75]
    assert running_best([0.5, 0.25, None, 0.75], maximize=False) == [0.5, 0.25, 0.25, 0.25]


def test_a_sparkline_is_as_wide_as_it_may_be() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert len(sparkline(list(range(1000)), 40)) == 40
    assert sparkline([math.nan], 8) == ""


def test_a_plot_fills_its_box() -> None:
    lines = plot([[0.0, 1.0]], width=10, height=4)
    assert [len(line) for line in lines] == [10] * 4
    assert lines[0].strip("⠀")
    assert lines[-1].strip("⠀")


def test_a_plot_of_one_value_is_a_line_in_the_middle() -> None:
    lines = plot([[3.0, 3.0, 3.0]], width=4, height=2)
    assert lines[0].strip("⠀") == ""
    assert len(set(lines[1])) == 1


def test_values_that_are_not_finite_leave_a_gap() -> None:
    (line,) = plot([[1.0, math.inf, math.nan, 1.0]], width=4, height=1)
    assert line.count("⠀") == 2
    assert plot([[math.nan]], width=4, height=1) == []


def test_thinning_keeps_both_ends() -> None:
    assert resample(list(map(float, range(101))), 3) == [0.0, 50.0, 100.0]
