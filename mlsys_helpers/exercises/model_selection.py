"""The exercises of chapter 10."""

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "a value's class is the number of edges that lie below it.",
    "np.searchsorted(edges, y) counts them; try a value that equals an edge.",
)
def buckets(attempt):
    y, edges = np.array([200.0, -5.0, 16.0, 59.5]), [15, 60]
    classes = np.asarray(attempt(y, edges))
    expect(classes.shape == (4,), "Return one class for each value.")
    expect(
        not np.array_equal(classes, [3, 1, 2, 2]), "The classes begin with 0, below the first edge."
    )
    expect(
        np.array_equal(classes, [2, 0, 1, 1]),
        "The classes 2, 0, 1, 1 are due: above both edges, below both, and twice between them.",
    )
    expect(classes.dtype.kind in "iu", "Classes are integers.")
    classes = np.asarray(attempt(np.array([15.0, 60.0, 15.1]), edges))
    expect(
        not np.array_equal(classes, [1, 2, 1]),
        "A value that equals an edge belongs to the bucket *below* it: 15 minutes is not more "
        "than 15.",
    )
    expect(
        np.array_equal(classes, [0, 1, 1]),
        "The classes 0, 1, 1 are due: 15.1 is above 15, so do not round.",
    )
    classes = np.asarray(attempt(np.array([3.0, -1.0, 1.5, 0.5]), [0, 1, 2]))
    expect(
        np.array_equal(classes, [3, 0, 2, 1]), "Use all edges, however many there are: here three."
    )


@exercise(
    "one row dominates another if it is nowhere worse and somewhere better.",
    "compare all points with one row at a time: (points >= row).all(axis=1).",
    "a row does not dominate its equal, so equals stay on the front together.",
)
def pareto_front(attempt):
    points = np.array([[1.0, 5.0], [3.0, 3.0], [2.0, 2.0], [5.0, 1.0], [3.0, 1.0]])
    front = np.asarray(attempt(points))
    expect(front.shape == (5,) and front.dtype == bool, "Return a true or false for each row.")
    expect(
        not np.array_equal(front, ~np.array([True, True, False, True, False])),
        "It is the wrong way round: those are the rows that are dominated.",
    )
    expect(
        front[0] and front[3],
        "The best in one objective is on the front, even if it is the worst in the other.",
    )
    expect(front[1], "(3, 3) is on the front: no other row is at least as good in both objectives.")
    expect(not front[2], "(2, 2) is dominated by (3, 3), which is better in both.")
    expect(
        not front[4],
        "(3, 1) is dominated by (3, 3): equal in one objective and better in the other is enough.",
    )
    front = np.asarray(attempt(np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]])))
    expect(front[0] and front[1], "Two equal rows do not dominate each other: both stay.")
    expect(not front[2], "(0, 0) is dominated.")
    front = np.asarray(attempt(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])))
    expect(np.array_equal(front, [True, True, False]), "There may be more than two objectives.")
    front = np.asarray(attempt(np.array([[1.0, 5.0], [3.0, 4.0], [4.0, 1.0], [0.0, 5.0]])))
    expect(
        front[2] and front[1],
        "A row stays unless one and the same row is at least as good in all: the sum of the "
        "objectives does not decide.",
    )
    expect(not front[3], "(0, 5) is dominated by (1, 5): equal in one and better in the other.")
    front = np.asarray(attempt(np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 2.0], [9.0, 0.0, 0.0]])))
    expect(
        front[2],
        "(9, 0, 0) is the best in one objective: *how many* objectives are better does not decide.",
    )
    expect(
        np.array_equal(front, [False, True, True]),
        "Compare in *every* objective: (1, 1, 2) dominates (1, 1, 1) by the third.",
    )
    chain = np.array([[9.0, 9.0], [0.0, 10.0], [10.0, 0.0], [1.0, 9.5], [9.5, 1.0], [2.0, 2.0]])
    expect(
        np.array_equal(np.asarray(attempt(chain)), [True] * 5 + [False]),
        "Compare with all the rows: (9, 9), the first, dominates (2, 2), the last.",
    )


@exercise(
    "sort the scores: the largest drawn is the i-th smallest with the probability given.",
    "np.diff((np.arange(n + 1) / n) ** k) holds those probabilities, and they sum to 1.",
)
def best_of_k(attempt):
    scores = np.array([0.7, 0.5, 0.9, 0.6])
    value = attempt(scores, 2)
    expect(np.ndim(value) == 0, "Return one number.")
    expect(
        not np.isclose(value, 0.9),
        "That is the best of all trials. The best of two is often another one.",
    )
    expect(not np.isclose(value, 0.675), "That is the mean of a single trial: k does not count.")
    rising = np.diff((np.arange(5) / 4) ** 2)
    expect(
        not np.isclose(value, scores @ rising),
        "The scores must be sorted before they meet their probabilities.",
    )
    expect(
        not np.isclose(value, np.sort(scores)[::-1] @ rising),
        "The scores are sorted the wrong way round: that is the *worst* of k.",
    )
    expect(
        not np.isclose(value, (0.6 + 2 * 0.7 + 3 * 0.9) / 6),
        "That is drawn *without* replacement: the same trial may not come twice.",
    )
    expect(
        np.isclose(value, np.sort(scores) @ rising),
        "Of the 16 pairs, 1, 3, 5 and 7 have the maximum 0.5, 0.6, 0.7 and 0.9.",
    )
    expect(np.isclose(attempt(scores, 1), 0.675), "The best of one trial is the mean of them all.")
    more = np.array([0.2, 0.8, 0.4])
    due = np.sort(more) @ np.diff((np.arange(4) / 3) ** 5)
    expect(
        np.isclose(attempt(more, 5), due),
        f"Of three scores, 0.2, 0.8 and 0.4, the best of k = 5 is {due:.3f} on average: any n, "
        "and any k, also above n.",
    )


@exercise(
    "with x = n ** -rate, the score is a straight line in x: limit at x = 0, slope -gap.",
    "np.polyfit(x, scores, 1) gives slope and limit; integers need a float before ** -rate.",
)
def forecast_score(attempt):
    sizes = np.array([100, 400, 900, 2500])
    scores = 0.9 - 2 * sizes.astype(float) ** -0.5
    value = attempt(sizes, scores, 0.5, 10_000)
    expect(np.ndim(value) == 0, "Return one number.")
    expect(
        not np.isclose(value, 0.9),
        "That is the limit, which no number of rows reaches. Forecast for `at` rows.",
    )
    line = np.polyval(np.polyfit(sizes, scores, 1), 10_000)
    expect(
        not np.isclose(value, line),
        "That is a straight line in the number of rows: it would rise beyond 1 one day.",
    )
    log_line = np.polyval(np.polyfit(np.log(sizes), scores, 1), np.log(10_000))
    expect(
        not np.isclose(value, log_line),
        "That is a straight line in the logarithm of the rows, and has no limit. Use n ** -rate.",
    )
    expect(not np.isclose(value, 0.92), "The gap is subtracted: more rows come from below.")
    expect(np.isclose(value, 0.88), "The points lie on 0.9 - 2 / √n exactly, so 0.88 is due.")
    value = attempt(sizes, 0.9 - 2 * sizes.astype(float) ** -0.25, 0.25, 160_000)
    expect(
        not np.isclose(value, 0.7),
        "That is the score at 10,000 rows. Forecast for `at` rows, here 160,000.",
    )
    expect(np.isclose(value, 0.8), "With rate 0.25, 0.9 - 2 / 160,000^0.25 = 0.8: use `rate`.")
    integers = np.array([1, 2, 4])
    expect(
        np.isclose(attempt(integers, 0.9 - 0.4 / integers, 1, 10), 0.86),
        "The rate may be 1 and the sizes integers: make them floats before ** -rate.",
    )
    noisy = scores + np.array([0.01, -0.01, 0.0, 0.01])
    x = sizes.astype(float) ** -0.5
    due = np.polyval(np.polyfit(x, noisy, 1), 0.01)
    expect(
        np.isclose(attempt(sizes, noisy, 0.5, 10_000), due),
        "With noise, all sizes count: fit by least squares, not through two of the points.",
    )
