"""The exercises of chapter 11."""

import numpy as np

from mlsys_helpers.ensembles import majority_vote_accuracy
from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "exactly k of n are right with probability comb(n, k) * p**k * (1 - p)**(n - k).",
    "a majority is k from n // 2 + 1 to n; range leaves its end out.",
)
def majority(attempt):
    def said(p, n):
        answer = attempt(p, n)
        expect(np.ndim(answer) == 0 and not isinstance(answer, str), "Return one number.")
        return float(answer)

    three = said(0.7, 3)
    expect(
        not np.isclose(three, 3 * 0.7**2 * 0.3),
        "That is exactly two of three. When all three are right, it is a majority, too.",
    )
    expect(not np.isclose(three, 0.7**3), "That is all three right; two are a majority, too.")
    expect(
        not np.isclose(three, 0.7**2 * 0.3 + 0.7**3),
        "Two of three are right in comb(3, 2) = 3 ways: any of the three may be the one wrong.",
    )
    expect(not np.isclose(three, 0.7), "0.7 is what a single voter reaches.")
    expect(np.isclose(three, 0.784), "Three voters at 0.7 are right with probability 0.784.")
    expect(np.isclose(said(0.7, 1), 0.7), "The majority of one voter is that voter.")
    for p, n in ((0.4, 5), (0.6, 21), (1.0, 3), (0.0, 3)):
        due = majority_vote_accuracy(p, n)
        expect(np.isclose(said(p, n), due), f"For p = {p} and n = {n}, {due:.4g} is due.")


@exercise(
    "which models have seen row i? Those whose bootstrap holds i, once or several times.",
    "unseen = np.ones(votes.shape, dtype=bool), then unseen[rows, j] = False for each model j.",
    "the number of models that are left differs from row to row, so divide by it.",
)
def out_of_bag_vote(attempt):
    votes = np.array([[1, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]])
    bootstraps = [[0, 0, 1, 4, 4], [0, 2, 2, 3, 4], [1, 1, 1, 3, 4], [0, 0, 0, 4, 4]]
    bootstraps = [np.array(rows) for rows in bootstraps]
    due = np.array([1.0, 0.5, 2 / 3, 0.0, np.nan])

    def answer(votes, bootstraps):
        given, n = np.asarray(attempt(votes, bootstraps)), len(votes)
        expect(given.dtype.kind not in "US", "Return numbers, not text.")
        given = given.astype(float)
        expect(given.shape == (n,), f"{n} rows, so {n} numbers are due; you gave {given.shape}.")
        return given

    result = answer(votes, bootstraps)

    def is_like(other):
        return np.allclose(result[:4], np.asarray(other)[:4], equal_nan=True)

    held = np.array([[row in rows for rows in bootstraps] for row in range(5)])
    expect(
        not is_like(votes.mean(axis=1)),
        "You let all models vote. Those that saw the row know its answer: leave them out.",
    )
    in_bag = (votes * held).sum(axis=1) / np.maximum(held.sum(axis=1), 1)
    expect(
        not is_like(in_bag), "You let those vote that did see the row. It is the others that may."
    )
    expect(
        not is_like((votes * ~held).sum(axis=1) / 4),
        "Divide by the number of models that did not see the row, not by the number of models.",
    )
    expect(
        np.isnan(result[4]),
        "All bootstraps hold row 4, so nobody may judge it: NaN is due there.",
    )
    expect(is_like(due), f"{due.tolist()} is due.")
    single = answer(np.array([[1, 1], [0, 1]]), [np.array([0, 0]), np.array([1, 1])])
    expect(np.allclose(single, [1, 0]), "Row 0 is judged by the second model, row 1 by the first.")
    votes = np.array([[0, 1, 1, 0, 1], [1, 1, 0, 0, 1], [1, 1, 1, 1, 1]])
    bootstraps = [
        np.array(rows) for rows in ([0, 1, 1], [1, 1, 1], [1, 2, 1], [0, 1, 2], [1, 1, 2])
    ]
    due = [1, np.nan, 1]
    result = answer(votes, bootstraps)
    expect(np.allclose(result, due, equal_nan=True), f"Here {due} is due.")


@exercise(
    "the error is the weight of the wrong rows: weights[wrong].sum().",
    "the wrong rows are multiplied by exp(say), which is (1 - error) / error.",
    "at the end, divide the new weights by their sum.",
)
def reweigh(attempt):
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    wrong = np.array([True, False, True, False])
    pair = attempt(weights, wrong)
    expect(
        isinstance(pair, (tuple, list)) and len(pair) == 2,
        "Return two things: the say, and the new weights.",
    )
    expect(np.ndim(pair[0]) == 0, "The say comes first, one number; the new weights come second.")
    say, new = float(pair[0]), np.asarray(pair[1], dtype=float)
    expect(new.shape == (4,), f"4 rows, so 4 weights are due; you gave {new.shape}.")
    expect(
        not np.isclose(say, 0),
        "Your say is 0: you counted the wrong rows (2 of 4). Add up their weights, 0.4.",
    )
    due = np.log(0.6 / 0.4)
    expect(
        not np.isclose(say, -due), "Your say has the wrong sign: a good learner has more to say."
    )
    expect(
        not np.isclose(say, due / 2),
        "Half of the logarithm is the say of another convention; ln((1 - e) / e) is asked for.",
    )
    expect(np.isclose(say, due), f"With a weight of 0.4 wrong, a say of {due:.4f} is due.")
    expect(np.isclose(new.sum(), 1), f"The new weights sum to {new.sum():.4g}, not to 1.")
    expect(
        new[0] > weights[0] or new[1] < weights[1],
        "You made the rows lighter that were wrong; they are to be heavier.",
    )
    expect(
        np.isclose(new[wrong].sum(), 0.5),
        f"On the new weights the wrong rows weigh {new[wrong].sum():.3f}. One half is due: "
        "multiply them by exp(say), and leave the others as they are until you scale.",
    )
    expect(
        np.allclose(new, [0.125, 1 / 6, 0.375, 1 / 3]), "Rows of one kind keep their proportions."
    )
    even = attempt(np.full(10, 0.1), np.arange(10) < 1)
    expect(np.isclose(float(even[0]), np.log(9)), "One of ten wrong: the say is ln 9.")
    due = np.where(np.arange(10) < 1, 1 / 2, 1 / 18)
    expect(_near(even[1], due), "One of ten wrong: it weighs 1/2 now, each of the others 1/18.")
    say, new = attempt(np.array([0.1, 0.5, 0.4]), np.array([True, True, False]))
    expect(np.isclose(float(say), np.log(2 / 3)), f"An error of 0.6: a say of {np.log(2 / 3):.4f}.")
    expect(_near(new, [1 / 12, 5 / 12, 1 / 2]), "An error of 0.6: 1/12, 5/12 and 1/2 are due.")


def _near(weights, due):
    weights = np.asarray(weights, dtype=float)
    return weights.shape == np.shape(due) and np.allclose(weights, due)


@exercise(
    "np.setdiff1d(np.arange(len(y)), rows) are the rows that are not in this fold.",
    "scores[rows] = … writes to the rows' own places, whatever their order.",
)
def out_of_fold(attempt):
    _try_folds(attempt, [0, 1, 0, 0, 1, 1], [[5, 0], [2, 1], [3, 4]])
    _try_folds(attempt, [1, 0, 0, 1, 0, 1, 0], [[6, 1, 3], [0], [5, 4, 2]])
    _try_folds(attempt, [0, 1, 1, 0, 1], [[2, 0], [4], [1], [3]])


def _try_folds(attempt, labels, folds):
    n, y, folds = len(labels), np.array(labels), [np.array(rows) for rows in folds]
    X = np.arange(float(n))[:, None]
    seen = []

    def fit_score(X_fit, y_fit, X_score):
        fit_rows, score_rows = (np.asarray(part)[:, 0].tolist() for part in (X_fit, X_score))
        seen.append((fit_rows, np.asarray(y_fit).tolist(), score_rows))
        return score(np.asarray(X_score)[:, 0], fit_rows)

    def score(rows, fit_rows):  # tells of which rows the model is
        return rows + 10 * np.exp2(fit_rows).sum()

    scores = np.asarray(attempt(fit_score, X, y, folds), dtype=float)
    expect(scores.shape == (n,), f"{n} rows, so {n} scores are due; you gave {scores.shape}.")
    expect(seen, "You never called fit_score.")
    rests = [sorted(set(range(n)) - set(rows.tolist())) for rows in folds]
    for fit_rows, labels, score_rows in seen:
        overlap = sorted(set(fit_rows) & set(score_rows))
        expect(
            not overlap,
            f"Rows {overlap} were scored by a model that was fitted to them: that is the leak.",
        )
        expect(
            labels == [int(y[int(row)]) for row in fit_rows],
            "The labels of a fit do not belong to its rows.",
        )
        expect(
            sorted(fit_rows) in rests,
            f"A model was fitted to the rows {sorted(fit_rows)}. All rows outside of one fold are "
            f"due, once each: {' or '.join(map(str, rests))}.",
        )
    due = np.empty(n)
    for rows, rest in zip(folds, rests, strict=True):
        due[rows] = score(rows, rest)
    expect(
        np.array_equal(scores, due) or not np.array_equal(np.sort(scores), np.sort(due)),
        "The scores are not in the order of the rows: write each fold's to its own places.",
    )
    expect(np.array_equal(scores, due), "Some scores are not what fit_score gave for their rows.")
