"""The exercises of chapter 04."""

import numpy as np
from scipy.stats import chisquare

from mlsys_helpers.exercises._engine import exercise, expect


class _Item:
    """An item that a stream gives away; the stream counts those that are still held."""

    def __init__(self, number, stream):
        self.number = number
        self.stream = stream
        stream.alive += 1

    def __del__(self):
        self.stream.alive -= 1


class _Stream:
    """Items one after the other, once, noting the most that were held at a time."""

    def __init__(self, length):
        self.length = length
        self.given = self.alive = self.most_alive = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.most_alive = max(self.most_alive, self.alive)
        if self.given == self.length:
            raise StopIteration
        self.given += 1
        return _Item(self.given, self)

    def __deepcopy__(self, memo):
        return self  # a stream cannot be had twice

    def __repr__(self):
        return f"<a stream of {self.length} items>"


@exercise(
    "keep a list: the first k items go in as they come.",
    "the n-th item enters with probability k / n: draw rng.integers(n), which is below n.",
    "if the number drawn is below k, it is also the place in the list that the item takes.",
)
def reservoir(attempt):
    rng = np.random.default_rng(0)
    stream = _Stream(200)
    sample = attempt(stream, 5, rng)
    expect(
        isinstance(sample, list) and all(isinstance(item, _Item) for item in sample),
        "Return a list of the items themselves.",
    )
    expect(len(sample) == 5, "The stream had more than k items, so k of them are due.")
    expect(len(set(map(id, sample))) == 5, "An item is in the sample twice.")
    expect(
        stream.given == 200,
        "You stopped before the end of the stream: the later items have no chance.",
    )
    expect(
        stream.most_alive <= 5 + 3,
        f"At one time you held {stream.most_alive} items. A stream may not fit into memory: "
        "hold k of them.",
    )
    expect(
        len(attempt(_Stream(3), 5, rng)) == 3,
        "A stream of fewer than k items is returned whole, without gaps.",
    )
    repeats, length, k = 3000, 8, 3
    held = np.zeros(length)
    for _ in range(repeats):
        for item in attempt(iter(range(length)), k, rng):
            held[item] += 1
    share = held / repeats
    due = k / length
    expect(
        share[-1] < 0.99,
        "The last item is always held: an item enters with probability k / n, not for certain.",
    )
    expect(
        share[:k].mean() > due / 2,
        "The first k items are held far too seldom: how often does a new one enter?",
    )
    expect(share[0] < 0.99, "The first item is never thrown out: its place must be drawn, too.")
    # Held or not, item by item: the counts vary less than independent ones by (1 - k/n).
    statistic = chisquare(held, repeats * k / length).statistic / (1 - due) * (1 - 1 / length)
    expect(
        statistic < 30,  # chi-square with 7 degrees of freedom exceeds this once in 10,000 times
        "Not all items are equally likely. With 8 items and k = 3, each should be held by "
        f"{due:.1%}; in order, they are held by {', '.join(f'{value:.1%}' for value in share)}.",
    )


@exercise(
    "go through counts.items(), and collect the rows of each stratum in a list.",
    "rng.choice(members, count, replace=False) draws from the row numbers of one stratum.",
    "the inclusion probability is count / len(members), once for each row drawn.",
)
def draw_strata(attempt):
    strata = np.array(["a", "b", "b", "a", "b", "c", "b", "b", "b", "b", "c", "b"])
    counts = {"a": 1, "b": 4, "c": 2}
    rng = np.random.default_rng(0)
    pair = attempt(strata, counts, rng)
    expect(
        isinstance(pair, (tuple, list)) and len(pair) == 2,
        "Return two arrays: rows, inclusion probabilities.",
    )
    rows, inclusion = map(np.asarray, pair)
    expect(len(rows) == 7, f"7 rows are due in all, not {len(rows)}.")
    expect(rows.dtype.kind in "iu", "The first array must hold row numbers, not labels.")
    expect(((rows >= 0) & (rows < 12)).all(), "A row number is outside of the table.")
    drawn = strata[rows]
    got = {label: int((drawn == label).sum()) for label in counts}
    expect(got == counts, f"The strata got {got} rows.")
    expect(len(set(rows.tolist())) == 7, "A row was drawn twice: draw without replacement.")
    expect(
        inclusion.shape == rows.shape,
        "An inclusion probability is due for each row drawn, no more.",
    )
    expect(
        not np.allclose(inclusion, 7 / 12),
        "That is the inclusion probability of a simple random sample. Here each stratum has its "
        "own: count / size.",
    )
    due = np.array([{"a": 1 / 2, "b": 4 / 8, "c": 1.0}[label] for label in drawn])
    expect(
        np.allclose(inclusion, due),
        "The inclusion probability in a stratum is the rows drawn from it over the rows it has.",
    )
    samples = [set(map(int, attempt(strata, counts, rng)[0])) for _ in range(1000)]
    never = set(range(12)).difference(*samples)
    expect(not never, f"Some rows were never drawn in 1,000 samples: {never}.")
    both = np.mean([{1, 2} <= sample for sample in samples])  # due 4/8 · 3/7 = 0.21 ± 0.013
    expect(
        0.15 < both < 0.28,
        "Neighbours in a stratum are drawn together too often, or hardly ever: each set of rows "
        "must be equally likely.",
    )


@exercise(
    "a row drawn with probability 0.1 stands for ten rows: divide by the probability.",
    "the sum of values / inclusion estimates the total of all rows.",
)
def estimated_mean(attempt):
    values, inclusion = np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.1, 0.5, 1.0])
    estimate = attempt(values, inclusion, 30)
    expect(np.ndim(estimate) == 0, "Return one number.")
    expect(
        not np.isclose(estimate, 0.75),
        "That is the plain mean of the sample: it believes that all rows were equally likely.",
    )
    expect(not np.isclose(estimate, 13), "That is the total. The mean is asked for.")
    expect(
        not np.isclose(estimate, (values * inclusion).sum() / 30),
        "A row that is *seldom* drawn must count *more*: divide by the probability.",
    )
    expect(
        not np.isclose(estimate, 13 / 4),
        "The total is of all rows: divide it by n_rows, not by the rows drawn.",
    )
    expect(
        not np.isclose(estimate, 13 / 23),
        "That divides by the estimated number of rows (the estimator of Hájek). Here the number "
        "is known.",
    )
    expect(np.isclose(estimate, 13 / 30), "The rows stand for 10, 10, 2 and 1 rows.")


@exercise(
    "what each stratum gets is in proportion to its size times its spread.",
    "scale the products so that their sum is n.",
)
def neyman(attempt):
    sizes, spreads = np.array([100, 900, 1000]), np.array([0.5, 0.1, 0.06])
    counts = np.asarray(attempt(sizes, spreads, 40))
    expect(counts.shape == (3,), "Return a number for each stratum.")
    expect(np.isclose(counts.sum(), 40), f"The numbers sum to {counts.sum():.4g}, and n is 40.")
    expect(
        not np.allclose(counts, 40 * sizes / 2000),
        "That is the proportional allocation: it does not look at the spreads.",
    )
    expect(
        not np.allclose(counts, 40 * spreads / spreads.sum()),
        "A large stratum needs more rows than a small one of the same spread: the size counts.",
    )
    squared = sizes * spreads**2
    expect(
        not np.allclose(counts, 40 * squared / squared.sum()),
        "In proportion to the standard deviation, not to the variance.",
    )
    expect(
        np.allclose(counts, [10, 18, 12]),
        "The sizes times the spreads are 50, 90 and 60, so n is shared as 5 : 9 : 6, unrounded.",
    )
    counts = np.asarray(attempt(np.array([10, 20]), np.array([1.0, 0.0]), 7))
    expect(np.allclose(counts, [7, 0]), "Where nothing varies, no look-up is needed.")
    counts = np.asarray(attempt(sizes, spreads, 41))
    expect(np.allclose(counts, [10.25, 18.45, 12.3]), "Return the numbers without rounding them.")


@exercise(
    "the weight is exp(log_p - log_q), up to a factor that cancels.",
    "subtract the largest log_p - log_q before np.exp: then the largest weight is 1.",
    "the effective sample size is (sum of w)² / (sum of w²).",
)
def importance_weights(attempt):
    log_p, log_q = np.log([0.1, 0.2, 0.3, 0.4]), np.log([0.25] * 4)
    pair = attempt(log_p, log_q)
    expect(
        isinstance(pair, (tuple, list)) and len(pair) == 2,
        "Return two things: the weights, the effective sample size.",
    )
    weights, size = np.asarray(pair[0]), pair[1]
    expect(weights.shape == (4,), "A weight for each draw is due.")
    expect(np.isclose(weights.sum(), 1), f"The weights sum to {weights.sum():.4g}, not to 1.")
    inverse = 1 / np.array([0.1, 0.2, 0.3, 0.4])
    expect(
        not np.allclose(weights, inverse / inverse.sum()),
        "Those are the weights Q / P. A draw that P likes more than Q does must count more.",
    )
    expect(np.allclose(weights, [0.1, 0.2, 0.3, 0.4]), "The weights are in proportion to P / Q.")
    expect(
        not np.isclose(size, 0.3),
        "That is the sum of the squared weights: its inverse is the effective sample size.",
    )
    expect(np.isclose(size, 10 / 3), "Weights 1, 2, 3, 4 are worth 100 / 30 draws.")
    weights, size = attempt(log_p - 2000, log_q)
    expect(
        np.allclose(weights, [0.1, 0.2, 0.3, 0.4]) and np.isclose(size, 10 / 3),
        "When log_p is far below zero, np.exp gives 0: subtract the largest difference first.",
    )
    weights, size = attempt(log_q, log_q)
    expect(np.isclose(size, 4), "Where P = Q, each draw counts in full.")
