"""The exercises of chapter 06."""

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "count three kinds of rows first: positive and predicted so, predicted so, positive.",
    "tp = ((y_true == 1) & (y_pred == 1)).sum() is the upper part of both fractions.",
    "before you divide, ask if the number of rows predicted positive is 0.",
)
def precision_recall(attempt):
    y_true, y_pred = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0]), np.array([1] * 1 + [0] * 8 + [1])
    pair = attempt(y_true, y_pred)
    expect(np.shape(pair) == (2,), "Return two numbers: precision, recall.")
    precision, recall = pair
    expect(
        not (np.isclose(precision, 0.25) and np.isclose(recall, 0.5)),
        "The two are swapped: precision is of the predicted rows, recall of the positive ones.",
    )
    expect(
        not np.isclose(recall, 0.1),
        "Recall is a share of the positive rows, not of all rows.",
    )
    expect(np.isclose(precision, 1 / 2), "Two rows were predicted positive and one of them is.")
    expect(np.isclose(recall, 1 / 4), "Four rows are positive and one of them was predicted so.")
    precision, recall = attempt(np.array([1, 0, 0]), np.array([0, 0, 0]))
    expect(
        precision == 0 and recall == 0,
        "Nothing was predicted positive: the precision is then 0, and the recall is 0 too.",
    )


@exercise(
    "every score that occurs is a candidate; try them from the highest down.",
    "recall at threshold t is the share of the positive rows whose score is at least t.",
    "the first candidate that reaches the recall is the answer.",
)
def highest_threshold(attempt):
    y_true = np.array([0, 0, 0, 1, 0, 1, 0, 1, 1])
    y_score = np.array([0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9])
    threshold = attempt(y_true, y_score, 0.5)
    expect(
        not np.isclose(threshold, 0.05),
        "The lowest score finds everything, and takes all rows. Take the highest that will do.",
    )
    expect(
        not np.isclose(threshold, 0.5),
        "A row whose score *equals* the threshold is predicted positive, and a recall of exactly "
        "min_recall is enough.",
    )
    expect(
        not np.isclose(threshold, 0.3),
        "Recall counts the positive rows only: of the four, two must reach the threshold.",
    )
    expect(np.isclose(threshold, 0.6), "Two of the four positives score 0.6 or more.")
    expect(np.isclose(attempt(y_true, y_score, 1.0), 0.2), "For recall 1 every positive counts.")
    expect(
        np.isclose(attempt(y_true, y_score, 0.6), 0.4),
        "Two of four positives are not yet a recall of 0.6; the third must reach the threshold.",
    )
    order = np.array([3, 7, 0, 8, 5, 1, 6, 2, 4])
    expect(
        np.isclose(attempt(y_true[order], y_score[order], 0.5), 0.6),
        "The answer must not depend on the order of the rows.",
    )


@exercise(
    "split first: X[is_test] and y[is_test] are returned as they are.",
    "rng.choice(rows, size) draws row numbers with repetition; draw from the rare training rows.",
    "keep every training row, and add as many rare ones as the classes differ by.",
)
def oversample_after_split(attempt):
    rng = np.random.default_rng(0)
    X = np.arange(200).reshape(100, 2)  # every row is unlike every other
    y = (np.arange(100) % 10 == 0).astype(int)
    is_test = np.arange(100) % 4 == 0
    parts = attempt(X, y, is_test, rng)
    expect(
        isinstance(parts, (tuple, list)) and len(parts) == 4,
        "Return four things: X_train, y_train, X_test, y_test.",
    )
    X_train, y_train, X_test, y_test = map(np.asarray, parts)
    expect(
        np.array_equal(X_test, X[is_test]) and np.array_equal(y_test, y[is_test]),
        "The test rows must stay as they are: they stand for the world, which is imbalanced.",
    )
    expect(
        not np.isin(X_train[:, 0], X[is_test, 0]).any(),
        "Test rows are among the training rows. Split first, and draw from what is left.",
    )
    expect(
        np.isin(X[~is_test, 0], X_train[:, 0]).all(),
        "Some training rows are gone. Oversampling adds rows and throws none away.",
    )
    expect((y_train == 1).sum() == (y_train == 0).sum(), "The training classes are not equal yet.")
    expect(
        np.array_equal(y_train, y[X_train[:, 0] // 2]),
        "Rows and labels no longer belong together: draw row numbers, and use them for both.",
    )


@exercise(
    "write down the expected cost of warning, and of not warning, at probability p.",
    "warning costs (1 - p) c10 + p c11 and silence costs (1 - p) c00 + p c01. When are they equal?",
)
def cheapest_threshold(attempt):
    threshold = attempt(np.array([[0, 400], [40, 0]]))
    expect(
        not np.isclose(threshold, 0.1),
        "That is the ratio of the two costs. The false alarm costs nothing when the flight *is* "
        "late, so its price belongs in the denominator, too.",
    )
    expect(
        not np.isclose(threshold, 400 / 440),
        "The dearer a missed late flight is, the *lower* the threshold must be. Is the matrix "
        "read as cost[predicted, true]?",
    )
    expect(
        np.isclose(threshold, 40 / 440, atol=1e-3),
        "Set the two expected costs equal and solve for p.",
    )
    expect(
        np.isclose(attempt(np.array([[1, 10], [3, 2]])), 0.2, atol=1e-3),
        "A right prediction may cost something, too: c00 and c11 are not always 0.",
    )
    equal = attempt(np.array([[0, 1], [1, 0]]))
    expect(np.isclose(equal, 0.5, atol=1e-3), "Equal costs ask for one half.")


@exercise(
    "p is the probability of class 1; first find the probability of the *true* class.",
    "p_t = np.where(y == 1, p, 1 - p), and np.log is the natural logarithm.",
)
def focal(attempt):
    y, p = np.array([1, 0, 1, 0]), np.array([0.9, 0.1, 0.1, 0.9])
    loss = np.asarray(attempt(y, p, 0))
    expect(loss.shape == (4,), "Return one loss for each row, not their sum or mean.")
    expect((loss >= 0).all(), "A loss is not negative: the logarithm of a probability is.")
    for base, log in ((10, np.log10), (2, np.log2)):
        expect(
            not np.allclose(loss, -log([0.9, 0.9, 0.1, 0.1])),
            f"That is the logarithm to base {base}. Use the natural one.",
        )
    expect((loss > 0).all(), "The rows of class 0 have a loss, too.")
    expect(
        not np.allclose(loss, -np.log(p)),
        "For a row of class 0 the probability of its true class is 1 - p.",
    )
    expect(
        np.allclose(loss, -np.log([0.9, 0.9, 0.1, 0.1])), "At gamma = 0 it must be cross-entropy."
    )
    loss = np.asarray(attempt(y, p, 2))
    expect(
        not np.allclose(loss, -np.array([0.81, 0.81, 0.01, 0.01]) * np.log([0.9, 0.9, 0.1, 0.1])),
        "The factor must fade the *easy* rows: it is (1 - p_t) to the power gamma.",
    )
    expected = -np.array([0.01, 0.01, 0.81, 0.81]) * np.log([0.9, 0.9, 0.1, 0.1])
    expect(np.allclose(loss, expected), "The factor is (1 - p_t) ** gamma, row by row.")
