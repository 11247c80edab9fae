"""The exercises of chapter 05."""

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "there are three answers; begin with np.full(len(predicted), np.nan).",
    "happened <= predicted + window is False where happened is NaN, which is what you want.",
    "an outcome later than now is not known yet, and a window that is open proves nothing.",
)
def windowed_labels(attempt):
    predicted = np.array([0.0, 0.0, 0.0, 7.0, 7.0, 6.0])
    happened = np.array([3.0, 9.0, np.nan, 8.0, np.nan, 11.0])
    label = np.asarray(attempt(predicted, happened, 5, 10), dtype=float)
    expect(label.shape == (6,), "Return one label for each prediction.")
    expect(label[0] == 1, "The outcome came after 3 of 5 hours: that is a 1.")
    expect(
        label[1] != 1,
        "The outcome came after 9 hours, and the window is 5: it is too late to count.",
    )
    expect(
        label[2] == 0 and label[1] == 0,
        "Where the window has closed without the outcome, the label is 0.",
    )
    expect(
        label[4] != 0,
        "Prediction 4 was made at 7 with a window of 5, and it is 10: no news is not yet a 0.",
    )
    expect(
        not np.isnan(label[3]),
        "Prediction 3 has its outcome already: that is a 1, though the window is open.",
    )
    expect(
        label[5] != 1,
        "The outcome of prediction 5 comes at 11, and it is only 10: nobody can know it yet.",
    )
    expected = np.array([1, 0, 0, 1, np.nan, np.nan])
    expect(np.array_equal(label, expected, equal_nan=True), f"The labels are {expected.tolist()}.")
    later = attempt(np.array([0.0, 8.0]), np.array([12.0, 14.0]), 5, 10)
    closed, still_open = np.asarray(later, dtype=float)
    expect(
        closed == 0,
        "At 10 the window from 0 to 5 has closed, whatever happens at 12: that is a 0.",
    )
    expect(
        np.isnan(still_open),
        "The window from 8 to 13 is open at 10, and what happens at 14 is not known yet.",
    )
    edge = np.asarray(attempt(np.array([0.0, 0.0]), np.array([5.0, np.nan]), 5, 5), dtype=float)
    expect(edge[0] == 1, "The end of the window is included: an outcome after exactly 5 hours.")
    expect(edge[1] == 0, "At the end of the window it is closed.")


@exercise(
    "first the share of items on which both say the same.",
    "chance: for each class, the product of the two annotators' own shares of it; then the sum.",
    "kappa = (agreed - by_chance) / (1 - by_chance).",
)
def kappa(attempt):
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    value = attempt(first, second)
    expect(np.ndim(value) == 0, "Return one number.")
    expect(
        not np.isclose(value, 0.7),
        "0.7 is the share on which they agree. Take out what chance would give.",
    )
    expect(
        not np.isclose(value, 0.2),
        "Agreement less chance is 0.2. Divide by what is left beyond chance.",
    )
    pooled = np.mean([first.mean(), second.mean()])
    by_chance = pooled**2 + (1 - pooled) ** 2
    expect(
        not np.isclose(value, (0.7 - by_chance) / (1 - by_chance), atol=1e-6),
        "Each annotator has shares of their own; you pooled the two (that is Scott's pi).",
    )
    expect(np.isclose(value, 0.4), "They agree on 0.7, and by chance on 0.5.")
    three = attempt(np.array([0, 1, 2, 2, 1, 0]), np.array([0, 1, 2, 1, 1, 2]))
    expect(np.isclose(three, 0.5), "There may be more than two classes; sum over all of them.")
    apart = attempt(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
    expect(np.isclose(apart, -1), "Two who always differ are worse than chance: kappa is -1.")
    same = attempt(np.array([5, 7, 7]), np.array([5, 7, 7]))
    expect(np.isclose(same, 1), "Class numbers need not begin at 0.")
    rare = attempt(np.array([5, 7, 7, 7, 7]), np.array([5, 7, 7, 7, 5]))
    expect(
        not np.isclose(rare, 0.6),
        "Chance is not one over the number of classes: it depends on how often each is said.",
    )
    expect(
        np.isclose(rare, 6 / 11),
        "They agree on 0.8, by chance on 0.2 · 0.4 + 0.8 · 0.6 = 0.56; the classes are 5 and 7.",
    )


@exercise(
    "write down the probability of all votes if the label is 1, and if it is 0.",
    "a function that abstains has no say: leave it out.",
    "then Bayes: prior * if_one / (prior * if_one + (1 - prior) * if_zero).",
)
def weigh(attempt):
    accuracies = np.array([0.9, 0.6, 0.7])
    value = attempt(np.array([1, 0, -1]), accuracies, 0.5)
    expect(np.ndim(value) == 0, "Return one number: the probability of class 1.")
    value = float(value)
    expect(0 <= value <= 1, "A probability lies between 0 and 1; divide by the sum of both cases.")
    expect(
        not np.isclose(value, 0.5),
        "That gives each vote the same weight. A function that is right 9 times in 10 says more.",
    )
    with_third = 0.9 * 0.4 * 0.3 / (0.9 * 0.4 * 0.3 + 0.1 * 0.6 * 0.7)
    expect(
        not np.isclose(value, with_third),
        "You counted the function that abstains (-1) as a vote for 0.",
    )
    expect(
        not np.isclose(value, 1 - 0.36 / 0.42),
        "That is the probability of class 0.",
    )
    expect(np.isclose(value, 0.36 / 0.42), "0.9 · 0.4 if the label is 1, 0.1 · 0.6 if it is 0.")
    rare = attempt(np.array([1, 0, -1]), accuracies, 0.1)
    expect(
        not np.isclose(rare, 0.36 / 0.42),
        "The prior has no effect. Where complaints are rare, it takes more to believe in one.",
    )
    expect(np.isclose(rare, 0.4), "With prior 0.1: 0.1 · 0.36 against 0.9 · 0.06.")
    poor = attempt(np.array([1, 1, 0]), np.array([0.3, 0.8, 0.6]), 0.5)
    expect(
        np.isclose(poor, 0.096 / (0.096 + 0.084)),
        "0.3 · 0.8 · 0.4 against 0.7 · 0.2 · 0.6. All three vote, and the first is mostly wrong.",
    )
    silent = attempt(np.array([-1, -1, -1]), accuracies, 0.3)
    expect(np.isclose(silent, 0.3), "Where nobody votes, what is left is the prior.")


@exercise(
    "sort each row; the two highest are then its last two entries.",
    "the margin is the highest minus the second highest; np.argsort gives positions.",
)
def closest_calls(attempt):
    proba = np.array(
        [
            [0.90, 0.05, 0.05],
            [0.40, 0.30, 0.30],
            [0.10, 0.44, 0.46],
            [0.26, 0.48, 0.26],
            [0.49, 0.01, 0.50],
        ]
    )
    rows = np.asarray(attempt(proba, 2))
    expect(rows.shape == (2,), "Return n positions.")
    expect(
        rows.tolist() != [0, 3],
        "Those are the surest rows. A *small* margin is a close call.",
    )
    expect(
        rows.tolist() != [1, 2],
        "Those have the least confident highest probability; the margin looks at the second, too.",
    )
    expect(
        rows.tolist() != [0, 1],
        "That looks at the least probable classes. Compare the highest with the second highest.",
    )
    expect(rows.tolist() != [2, 4], "The smallest margin comes first: 0.01 before 0.02.")
    expect(rows.tolist() == [4, 2], "The margins are 0.85, 0.10, 0.02, 0.22 and 0.01.")
    expect(np.asarray(attempt(proba, 5)).tolist() == [4, 2, 1, 3, 0], "With n = 5, all rows.")
    four = np.array([[0.30, 0.24, 0.23, 0.23], [0.45, 0.44, 0.06, 0.05]])
    expect(
        np.asarray(attempt(four, 1)).tolist() == [1],
        "With four classes, too, the two highest count: 0.45 and 0.44 are the closest.",
    )
