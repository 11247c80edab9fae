"""The exercises of chapter 12."""

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "the mean of all rows is the mean of the two means, weighted by their rows.",
    "within: (n * var_n + m * var_m) / (n + m). Which part of the variance is still missing?",
    "between: the two means lie apart, and gap ** 2 * n * m / (n + m) ** 2 is what that adds.",
)
def merge_moments(attempt):
    one, other = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), np.array([10.0, 14.0])
    count, mean, variance = _triple(attempt, one, other)
    both = np.concatenate([one, other])
    expect(count == 8, "The rows of both parts count: 6 and 2.")
    expect(
        not np.isclose(mean, (one.mean() + other.mean()) / 2),
        "That is the mean of the two means. Weigh each by its rows.",
    )
    expect(np.isclose(mean, both.mean()), "The mean of all rows is another one.")
    within = (6 * one.var() + 2 * other.var()) / 8
    expect(
        not np.isclose(variance, within),
        "That is the variance within the parts. Their means lie apart, which adds to it.",
    )
    expect(
        not np.isclose(variance, one.var() + other.var()),
        "Variances of two parts of one table are not added up.",
    )
    expect(
        not np.isclose(variance, both.var(ddof=1)),
        "Here the variance is divided by the number of rows, not by one less.",
    )
    expect(np.isclose(variance, both.var()), "The variance of all rows is another one.")
    rng = np.random.default_rng(0)
    for sizes in ((5, 1), (1, 7), (40, 40)):
        one, other = (rng.normal(size=size) for size in sizes)
        both = np.concatenate([one, other])
        found = _triple(attempt, one, other)
        expect(
            np.allclose(found, (len(both), both.mean(), both.var())),
            "It must hold for parts of any size, a single row included.",
        )
    one, other = 1e8 + np.array([0.0, 1.0, 2.0]), 1e8 + np.array([3.0, 4.0, 5.0])
    found = _triple(attempt, one, other)
    expect(
        np.isclose(found[2], 35 / 12, rtol=1e-3),
        "Numbers near 1e8 lose their digits when they are squared. Work with the gap of the means.",
    )


def _triple(attempt, one, other):
    result = attempt(*((len(part), part.mean(), part.var()) for part in (one, other)))
    expect(
        not isinstance(result, (dict, set)) and np.shape(result) == (3,),
        "Return three numbers: count, mean, variance.",
    )
    return result


@exercise(
    "a worker's gradient of the mean loss, times its rows, is its gradient of the sum.",
    "(gradients * rows[:, None]).sum(axis=0) is the gradient of the sum over all rows.",
)
def average_gradient(attempt):
    gradients, rows = np.array([[1.0, 0.0, 2.0], [5.0, 4.0, -2.0]]), np.array([300, 100])
    result = np.asarray(attempt(gradients, rows))
    expect(result.shape == (3,), "Return one number for each parameter.")
    expect(
        not np.allclose(result, gradients.mean(axis=0)),
        "That is the plain mean. The first worker had three times the rows.",
    )
    expect(not np.allclose(result, gradients.sum(axis=0)), "That is the sum. The loss is a mean.")
    expect(
        not np.allclose(result, (gradients * rows[:, None]).sum(axis=0)),
        "That is the gradient of the sum over all rows. Divide by their number.",
    )
    expect(
        not np.allclose(result, (gradients / rows[:, None]).sum(axis=0) / (1 / rows).sum()),
        "The worker with more rows must weigh more, not less.",
    )
    expect(np.allclose(result, [2.0, 1.0, 1.0]), "Weigh each gradient by its rows.")
    gradients, rows = np.array([[1.0, 3.0], [3.0, 9.0], [8.0, 0.0]]), np.array([10, 20, 10])
    expect(
        np.allclose(attempt(gradients, rows), [3.75, 5.25]),
        "It must hold for any number of workers.",
    )
    expect(
        np.allclose(attempt(gradients, np.array([10, 0, 30])), [6.25, 0.75]),
        "A worker without rows has nothing to say.",
    )


@exercise(
    "go through the arrivals, and count the updates made so far.",
    "a dict holds for each worker the number of updates when it took its weights; at first 0.",
    "after its gradient is applied, a worker takes the newest weights: one update more.",
)
def staleness(attempt):
    result = _whole_numbers(attempt([1, 2, 3, 1, 2, 3]), 6)
    expect(
        result not in ([0, 0, 0, 3, 3, 3], [0, 1, 2, 3, 3, 3], [1, 2, 3, 3, 3, 3]),
        "A worker's own update is not one that it missed: it takes the weights after it.",
    )
    expect(
        result != [0, 0, 0, 2, 2, 2],
        "All took their first weights before the first update: the second and the third to "
        "arrive are stale already.",
    )
    expect(result == [0, 1, 2, 2, 2, 2], "Three workers in turn miss the two others' updates.")
    expect(
        _whole_numbers(attempt([7, 7, 7, 7]), 4) == [0, 0, 0, 0],
        "One worker alone is never stale.",
    )
    expect(
        _whole_numbers(attempt(["b", "b", "a", "b", "a"]), 5) == [0, 0, 2, 1, 1],
        "Workers may come in any order, and a slow one misses more.",
    )
    expect(_whole_numbers(attempt([]), 0) == [], "Nobody came: an empty list.")


def _whole_numbers(result, length):
    expect(np.shape(result) == (length,), "Return one number for each arrival.")
    return np.asarray(result).tolist()


@exercise(
    "(stages - 1) / (micro_batches + stages - 1) is the bubble. Try 1, 2, 3, … micro-batches.",
    "solved: micro_batches >= (stages - 1) * (1 - bubble) / bubble, rounded up, and at least 1.",
)
def enough_micro_batches(attempt):
    result = attempt(4, 0.25)
    expect(np.ndim(result) == 0, "Return one number.")
    expect(
        not np.isclose(result, 12),
        "M is not all of the denominator: K - 1 slots come on top of the M.",
    )
    expect(not np.isclose(result, 8), "With 8 micro-batches the bubble is 3 / 11, above 0.25.")
    expect(not np.isclose(result, 10), "A bubble of exactly this share is good enough.")
    expect(result == 9, "3 / (9 + 3) is 0.25.")
    result = attempt(8, 0.3)
    expect(
        not np.isclose(result, 16),
        "7 / (16 + 7) is above 0.3: round up.",
    )
    expect(result == 17, "7 / (17 + 7) is below 0.3, and 7 / (16 + 7) is not.")
    expect(attempt(1, 0.1) == 1, "One stage waits for nobody, and there is at least one batch.")
    expect(attempt(2, 0.9) == 1, "With one micro-batch two stages wait half of their time.")
    expect(attempt(16, 0.05) == 285, "15 / (285 + 15) is 0.05.")
