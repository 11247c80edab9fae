"""The exercises of chapter 14."""

import numpy as np
import pandas as pd

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "give each row the number of its bin first: int(p * bins), and a p of 1 belongs to the last.",
    "in each bin that holds rows: its share of the rows times |mean of y − mean of p|.",
)
def calibration_error(attempt):
    y = np.array([0, 1, 0, 0, 1, 1])
    p = np.array([0.1, 0.2, 0.3, 0.4, 0.8, 0.9])
    error = attempt(y, p, 2)  # bins of 4 and 2 rows, off by 0 and by 0.15
    expect(np.ndim(error) == 0, "Return one number.")
    expect(
        not np.isclose(error, 0.075),
        "That is the plain mean over the bins. A bin counts as often as it has rows.",
    )
    expect(
        not np.isclose(error, 0.25 / 3),
        "Those bins hold equally many rows. Cut the range from 0 to 1 into parts of equal width.",
    )
    expect(not np.isclose(error, 0.15), "That is the largest error of a bin, not their mean.")
    expect(
        not np.isclose(error, np.abs(y - p).mean()),
        "Take the means within a bin before the difference: single rows are 0 or 1, never 0.3.",
    )
    expect(np.isclose(error, 0.05), "Bins of 4 and 2 rows, off by 0 and by 0.15: 2 / 6 of 0.15.")
    off = attempt(np.array([0, 1, 1]), np.array([0.45, 0.75, 0.75]), 2)
    expect(
        not np.isclose(off, (0.45 - 2 * 0.25) / 3) and not np.isclose(off, (0.5 - 0.45) / 3),
        "Too high in one bin does not make up for too low in another: take the absolute value.",
    )
    expect(np.isclose(off, (0.45 + 0.5) / 3), "Off by 0.45 for one row, by 0.25 for two.")
    both_ends = attempt(np.array([0, 1]), np.array([0.0, 1.0]), 4)
    expect(
        np.isclose(both_ends, 0), "A probability of 1 belongs to the last bin; empty bins to none."
    )
    both_wrong = attempt(np.array([1, 1]), np.array([0.1, 0.9]), 5)
    expect(
        np.isclose(both_wrong, 0.5),
        "Two bins, off by 0.9 and by 0.1: compare the share of ones with p itself, not whether an "
        "answer was right with how sure it was.",
    )
    narrow = attempt(np.array([0, 1, 1, 0, 1]), np.array([0.3, 0.35, 0.45, 0.55, 0.7]), 3)
    expect(
        np.isclose(narrow, 0.2 * 0.3 + 0.6 * abs(2 / 3 - 0.45) + 0.2 * 0.3),
        "With bins=3 the bounds are 1/3 and 2/3, of the whole range from 0 to 1: "
        "not from the smallest p to the largest, and not always two bins.",
    )


@exercise(
    "make a changed copy, predict twice, compare row by row.",
    "X.index[mask] gives the labels of the rows where the mask is true.",
)
def rows_that_fall(attempt):
    def kinked(X):
        """Rises with the waiting flights, but for a kink at 3 and 4."""
        waiting, hour = X["waiting"].to_numpy(), X["hour"].to_numpy()
        return waiting - 4.0 * (waiting >= 4) - 4.0 * (hour >= 11)

    X = pd.DataFrame({"waiting": [0, 3, 2, 3, 9], "hour": [6, 7, 8, 9, 10]}, index=list("abcde"))
    found = attempt(kinked, X, "waiting", 1)
    expect(np.ndim(found) == 1, "Return the labels of the rows, in one dimension.")
    found = np.asarray(found).tolist()
    expect(
        not (len(found) == len(X) and set(found) <= {True, False}),
        "That is a truth value for each row. Return the labels: X.index[mask].",
    )
    expect(found != [1, 3], "Those are positions. Return the labels of the index.")
    expect(found != list("ace"), "Those are the rows that rise. Which ones fall?")
    expect(found != list("abcde"), "Most of these rise, and may. Only a fall is a failure.")
    expect(found != list("bde"), "Change `column` alone: the other columns stay as they are.")
    expect(found == list("bd"), "From 3 to 4 waiting flights the prediction falls: rows b and d.")
    found = np.asarray(attempt(lambda X: np.zeros(len(X)), X, "waiting", 1)).tolist()
    expect(found == [], "A prediction that stays as it is has not fallen.")
    found = np.asarray(attempt(kinked, X, "waiting", 2)).tolist()
    expect(found == list("bcd"), "Add `step`, not 1: two more flights take row c from 2 to 4.")
    found = np.asarray(attempt(kinked, X, "hour", 1)).tolist()
    expect(found == ["e"], "Add to `column`, whatever its name: here to the hour, 10 to 11 in e.")
    mixed = X.iloc[::-1] / 10
    found = np.asarray(attempt(lambda X: -(X["waiting"].to_numpy() ** 2), mixed, "waiting", 0.1))
    expect(
        found.tolist() == list("edcba"),
        "Any fall counts, by however little, and steps may be fractions: all five rows fall, "
        "in the order of X.",
    )


@exercise(
    "with n rows held back, the rank is ceil((n + 1) * (1 - alpha)), counted from 1.",
    "np.sort(held_back)[rank - 1] is the limit; a class is in if 1 - proba is at most that.",
    "a rank above n means that even the largest value is too small a limit.",
)
def prediction_sets(attempt):
    held_back = np.array([0.9, 0.1, 0.3, 0.2, 0.8, 0.4, 0.6, 0.5, 0.7])  # n = 9
    proba = np.array([[0.1, 0.9], [0.2, 0.8], [0.35, 0.65], [0.5, 0.5]])
    sets = np.asarray(attempt(held_back, proba, 0.25))  # rank 8: the limit is 0.8
    expect(sets.shape == (4, 2), "Return a truth value for each row and class.")
    expect(sets.dtype == bool, "Return truth values: is the class in the set?")
    expect(
        not np.array_equal(sets, proba >= 0.8 - 1e-9),
        "The limit is on 1 − probability: a class is in if that is *at most* the limit.",
    )
    expect(
        not np.array_equal(sets, 1 - proba <= 0.7 + 1e-9),
        "The limit is too small: the new row counts, too. Take n + 1, and round *up*.",
    )
    expect(
        not np.array_equal(sets, 1 - proba <= held_back[7]),
        "Sort the held-back values: rank 8 is the 8th *smallest*, not the 8th in the list.",
    )
    expect(
        not sets.all(),
        "The limit is too large: rank 8, counted from 1, is entry 7 of the sorted values "
        '(`np.quantile` needs method="inverted_cdf").',
    )
    expect(
        np.array_equal(sets, 1 - proba <= 0.8),
        "Of 9 values the 8th smallest, 0.8, is the limit for alpha = 0.25; a tie is in.",
    )
    sets = np.asarray(attempt(held_back, proba * [0.1, 0] + [0, 0.95], 0.05))
    expect(sets.all(), "9 rows can promise no more than 0.9: for 0.95 no class can be ruled out.")
    back, flat = np.array([0.1, 0.3, 0.2]), np.array([[0.75, 0.15, 0.1], [0.4, 0.3, 0.3]])
    sets = np.asarray(attempt(back, flat, 0.3))  # rank 3 of 3: the limit is 0.3
    expect(
        not np.all(sets),
        "n = 3 and alpha = 0.3 give rank 3, which is not above n: the largest value is the limit.",
    )
    expect(
        np.array_equal(sets, 1 - flat <= 0.3),
        "1 − 0.75 is below the limit, 0.3, and nothing else is: a set may be empty.",
    )
    sets = np.asarray(attempt(back, flat, 0.44))  # 4 · 0.56 = 2.24, up to rank 3
    expect(np.array_equal(sets, 1 - flat <= 0.3), "4 · 0.56 = 2.24 goes *up* to rank 3.")


@exercise(
    "sum over the strata first, above and below the line; divide once.",
    "a is tables[:, 0, 0], b is [:, 0, 1], c is [:, 1, 0], d is [:, 1, 1]; n sums all four.",
)
def pooled_odds_ratio(attempt):
    stones = np.array([[[81, 6], [234, 36]], [[192, 71], [55, 25]]])
    ratio = attempt(stones)
    expect(np.ndim(ratio) == 0, "Return one number for all strata, not one for each.")
    (a, b), (c, d) = stones.sum(axis=0)
    expect(
        not np.isclose(ratio, a * d / (b * c)),
        "That is the crude odds ratio of the totals: the paradox itself. Stay within the strata.",
    )
    each = stones[:, 0, 0] * stones[:, 1, 1] / (stones[:, 0, 1] * stones[:, 1, 0])
    expect(
        not np.isclose(ratio, each.mean()),
        "That is the plain mean (or the median) of the strata's ratios: a small stratum counts "
        "as much as a large.",
    )
    expect(
        not np.isclose(ratio, 1 / 1.4472, atol=1e-3),
        "That is the second group against the first: a·d belongs above the line.",
    )
    (a, b), (c, d) = stones.transpose(1, 2, 0)
    expect(
        not np.isclose(ratio, (a * d).sum() / (b * c).sum()),
        "Divide each product by the number of cases of its stratum.",
    )
    expect(np.isclose(ratio, 1.4472, atol=1e-3), "For the kidney stones it is 1.447.")
    one = attempt(np.array([[[30, 10], [20, 40]]]))
    expect(np.isclose(one, 6), "With one stratum it is that stratum's odds ratio, a·d / (b·c).")
    three = np.array([[[1, 3], [1, 3]], [[4, 1], [1, 4]], [[0, 5], [2, 8]]])
    due = (3 / 8 + 16 / 10) / (3 / 8 + 1 / 10 + 10 / 15)
    expect(
        np.isclose(attempt(three), due),
        f"For three strata, one with an empty cell, it is {due:.3f}: sum over all of them.",
    )
