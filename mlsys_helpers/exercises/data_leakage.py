"""The exercises of chapter 09."""

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "the moment of prediction is at -notice on the clock of known_at.",
    "a column may be used if its hour is not None and at most -notice.",
)
def usable_columns(attempt):
    known_at = {"arr_delay": 5, "carrier": -2160, "weather": -3, "recent": -2, "dep_delay": 0}
    names = attempt(known_at, 2)
    expect(not isinstance(names, dict), "Return the names of the columns, as a list.")
    names = list(names)
    expect(
        "dep_delay" not in names,
        "The delay is known at departure (0), which is after the moment of prediction (-2).",
    )
    expect("arr_delay" not in names, "5 is five hours *after* departure: too late.")
    expect("recent" in names, "What is known at the moment of prediction itself may be used.")
    expect(names == ["carrier", "weather", "recent"], "Keep the order of known_at.")
    names = list(attempt({"gate": None, "carrier": -2160}, 0))
    expect("gate" not in names, "None is never: such a column is not known at any time.")
    expect(
        list(attempt({"dep_delay": 0, "weather": -3}, 0)) == ["dep_delay", "weather"],
        "With a notice of 0 the prediction is made at departure.",
    )


@exercise(
    "sort the times; the newest stand at the end.",
    "ceil(share * n) rows are needed at least. The oldest of them sets the limit.",
    "every row at or after the limit is a test row, so ties stay together.",
)
def newest_rows(attempt):
    times = np.array([5, 1, 9, 3, 7, 2, 8, 4, 6, 0])
    test = np.asarray(attempt(times, 0.2))
    expect(test.shape == (10,), "Return one value for each row.")
    expect(test.dtype == bool, "Return a boolean array, true for the test rows.")
    expect(
        not np.array_equal(test, times < 2), "Those are the *oldest* rows. The test is the future."
    )
    expect(
        not np.array_equal(test, np.arange(10) >= 8),
        "Those are the last rows of the table. The rows are in no order: go by the times.",
    )
    expect(np.array_equal(test, times >= 8), "Of ten rows, the test rows are the two newest.")
    tied = np.array([1, 2, 2, 2, 3, 1])
    test = np.asarray(attempt(tied, 1 / 3))
    expect(
        len(set(test[tied == 2].tolist())) == 1,
        "Rows of one time stay on one side: three rows have the time 2.",
    )
    expect(
        np.array_equal(test, tied >= 2),
        "At least a third of six rows are two. One row has the time 3, so those of time 2 join it.",
    )
    test = np.asarray(attempt(times, 0.25))
    expect(test.sum() == 3, "At least 0.25 of ten rows are three rows: round up.")
    for times, limit in ((np.arange(7.0), 4), (np.array([1, 2, 3, 3, 3, 4, 5]), 3)):
        test = np.asarray(attempt(times, 0.3))
        expect(
            np.array_equal(test, times >= limit),
            f"Of the times {times.tolist()}, 0.3 of seven rows are 2.1, so at least three: those "
            f"from {limit} on. A quantile between two rows cuts too late: count the rows.",
        )


@exercise(
    "mean and standard deviation of X_train, along axis 0, serve both arrays.",
    "where the standard deviation is 0, divide by 1.",
)
def standardise(attempt):
    X_train = np.array([[1.0, 10.0], [3.0, 10.0], [5.0, 40.0]])
    X_test = np.array([[3.0, 1000.0], [9.0, 20.0]])
    pair = attempt(X_train, X_test)
    expect(isinstance(pair, (tuple, list)) and len(pair) == 2, "Return two arrays: train and test.")
    train, test = map(np.asarray, pair)
    mean, spread = X_train.mean(0), X_train.std(0)
    both = np.vstack([X_train, X_test])
    expect(
        not np.allclose(train, (X_train - both.mean(0)) / both.std(0)),
        "The test rows have been looked at: mean and spread come from the training rows alone.",
    )
    expect(
        not np.allclose(train, (X_train - X_train.mean()) / X_train.std()),
        "Each column has its own mean and spread: use axis=0.",
    )
    expect(
        not np.allclose(train, (X_train - mean) / X_train.std(0, ddof=1)),
        "The divisor is n, as in scikit-learn's StandardScaler.",
    )
    expect(np.allclose(train, (X_train - mean) / spread), "The training rows are not right yet.")
    expect(
        not np.allclose(test, (X_test - X_test.mean(0)) / X_test.std(0)),
        "The test rows have been scaled by their own statistics. At inference one row comes alone.",
    )
    expect(
        np.allclose(test, (X_test - mean) / spread), "The test rows get the training statistics."
    )
    with np.errstate(all="ignore"):
        train, test = attempt(np.array([[2.0], [2.0]]), np.array([[5.0]]))
    expect(np.all(np.asarray(train) == 0), "A constant column becomes 0 in training, not NaN.")
    expect(np.all(np.isfinite(test)), "A constant column must not turn the test rows infinite.")
    expect(
        np.allclose(test, 3),
        "A constant column is divided by 1: with 2 in training, a 5 in the test becomes 3.",
    )


@exercise(
    "the sum of a category less the row's own label, over its count less one.",
    "np.unique(category, return_inverse=True) and np.bincount give sums and counts.",
    "a category of one row: (y.sum() - y) / (len(y) - 1).",
)
def others_mean(attempt):
    category = np.array(["a", "b", "a", "b", "a"])
    y = np.array([1, 0, 0, 1, 1])
    means = np.asarray(attempt(category, y), dtype=float)
    expect(means.shape == (5,), "Return one number for each row.")
    expect(
        not np.allclose(means, [2 / 3, 1 / 2, 2 / 3, 1 / 2, 2 / 3]),
        "Each row's own label is in its mean: that is the leak. Take it out.",
    )
    expect(
        not np.allclose(means, [1 / 3, 0, 2 / 3, 0, 1 / 3])
        and not np.allclose(means, [1 / 3, 1 / 2, 2 / 3, 0, 1 / 3]),
        "The own label is out of the sum, but its row is still in the count.",
    )
    expect(
        np.allclose(means, [1 / 2, 1, 1, 0, 1 / 2]),
        "Row 0 is in category a, whose other rows have the labels 0 and 1: one half.",
    )
    category, y = np.array([1, 2, 2, 2]), np.array([1, 0, 0, 1])
    with np.errstate(all="ignore"):
        means = np.asarray(attempt(category, y), dtype=float)
    expect(
        np.isfinite(means).all(),
        "A category with one row has no others: give it the mean of all other rows.",
    )
    expect(
        not np.isclose(means[0], 1 / 2),
        "For the lone row, the mean of *all* rows holds its own label. Leave it out there, too.",
    )
    expect(np.allclose(means, [1 / 3, 1 / 2, 1 / 2, 0]), "The lone row gets 1/3: 0, 0 and 1.")
    category, y = np.array(["a", "a", "b", "c"]), np.array([1, 0, 1, 0])
    means = np.asarray(attempt(category, y), dtype=float)
    expect(
        np.allclose(means[2:], [1 / 3, 2 / 3]),
        "Two lone rows, with the labels 1 and 0: each leaves out its *own* label, so the first "
        "gets 1/3 and the second 2/3.",
    )
    expect(np.allclose(means, [0, 1, 1 / 3, 2 / 3]), "The rows of category a get each other's.")
