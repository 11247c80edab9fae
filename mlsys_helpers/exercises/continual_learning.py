"""The exercises of chapter 17."""

import numpy as np
import pandas as pd

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "a row may be learned from the moment when its label is known, whenever it was asked.",
    "of those known by now, leave out those that the update before has had: known by `last`.",
    "a comparison with a missing timestamp is False, which is what a missing label deserves.",
)
def learnable(attempt):
    hours = pd.to_datetime([f"2013-07-01 {h:02}:00" for h in range(24)])
    asked = pd.Series(hours[[1, 2, 3, 8, 9, 10, 11, 4]])
    known = pd.Series(hours[[5, 9, 14, 13, 12, 12, 20, 0]])
    known[7] = pd.NaT  # cancelled
    given = asked.copy(), known.copy()
    rows = attempt(asked, known, hours[10], hours[12])
    expect(asked.equals(given[0]) and known.equals(given[1]), "Leave asked and known as they were.")
    rows = np.asarray(rows)
    expect(
        rows.shape == (8,) and rows.dtype == bool, "Return True or False for each row, as an array."
    )
    expect(not rows[7], "Row 7 was cancelled: its label never comes, so there is nothing to learn.")
    expect(
        not rows[2] and not rows[3] and not rows[6],
        "Rows 2, 3 and 6 were asked in time, but their labels are not known at 12:00 yet.",
    )
    expect(
        not rows[0] and not rows[1],
        "Rows 0 and 1 were known by 10:00: the update before has learned them already.",
    )
    expect(rows[4] and rows[5], "Rows 4 and 5 are known at 12:00 exactly, and that is in time.")
    edge = np.asarray(attempt(asked, known, hours[9], hours[20]))
    expect(
        not edge[1], "Row 1 was known at 9:00 exactly, when the update before was: it had that row."
    )
    expect(edge.tolist() == [False, False, True, True, True, True, True, False], "Try 9:00–20:00.")


@exercise(
    "if k old rows join n new ones, the old ones' share is k / (n + k); solve that for k.",
    "rng.choice(held, k, replace=False) draws k rows, none twice; k may not exceed len(held).",
)
def replay(attempt):
    rng = np.random.default_rng(0)
    new, held = np.arange(900, 930), np.arange(100, 200)
    for n, kept, share in ((30, 100, 0.5), (30, 100, 0.25), (40, 100, 0.2), (30, 100, 0.75)):
        old = _old_rows(attempt, new[:n] if n == 30 else np.arange(900, 940), held[:kept], share)
        k = round(n * share / (1 - share))
        expect(
            abs(len(old) - k) <= 1,
            f"{n} new rows, share {share}: {len(old)} old rows are {len(old) / (n + len(old)):.0%} "
            "of the batch. The share is that of the old rows in the *whole* batch.",
        )
        expect(
            len(set(old)) == len(old),
            "A row was drawn twice. Draw without replacement: none twice.",
        )
    expect(len(_old_rows(attempt, new, held, 0.0)) == 0, "A share of 0 mixes nothing in.")
    short = np.arange(5)
    try:
        old = _old_rows(attempt, new, short, 0.5)
    except ValueError:
        old = []
    expect(sorted(old) == short.tolist(), "Only 5 rows are held, 30 are wanted: take all 5.")
    try:
        old = _old_rows(attempt, new, held[:0], 0.5)
    except ValueError:
        old = None
    expect(old == [], "At the start nothing is held yet: the batch is the new rows.")
    same = [_old_rows(attempt, new, held, 0.25, np.random.default_rng(7)) for _ in range(2)]
    expect(same[0] == same[1], "Draw with the rng that is given: one seed, one batch.")
    drawn = [_old_rows(attempt, new, held, 0.25, rng) for _ in range(400)]
    expect(
        any(sorted(rows) != sorted(drawn[0]) for rows in drawn),
        "400 batches in a row got the same old rows. Draw anew, with rng, for each batch.",
    )
    counts = np.bincount(np.concatenate(drawn), minlength=200)[100:]  # 40 each, give or take 6
    expect(
        counts.min() > 10 and counts.max() < 75,
        f"In 400 batches one row was replayed {counts.max()} times and another {counts.min()} "
        "times. Each row that is held must have the same chance.",
    )


def _old_rows(attempt, new, held, share, rng=None):
    """The rows of `held` in the attempt's batch, once its form and its new rows are right."""
    batch = np.asarray(attempt(new, held, share, np.random.default_rng(1) if rng is None else rng))
    expect(
        batch.ndim == 1 and (batch.size == 0 or batch.dtype.kind in "iuf"),
        "Return one list of row numbers.",
    )
    batch = batch.tolist()
    expect(
        set(batch) <= {*new.tolist(), *held.tolist()},
        "There are rows in the batch that are neither in new nor in held: return row numbers, "
        "not positions.",
    )
    expect(
        sorted(row for row in batch if row >= 900) == new.tolist(),
        "All the new rows belong in the batch, each once: old rows come on top of them.",
    )
    return [int(row) for row in batch if row < 900]


@exercise(
    "first ask whether every loss of the challenger is a finite number.",
    "average both losses within each day, and take the differences of the days.",
    "t is the mean difference over its standard error: std(ddof=1) / sqrt(number of days).",
)
def promote(attempt):
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(30), 50)
    champion = rng.gamma(2, 0.15, 1_500)
    better = champion - 0.05 + rng.normal(0, 0.05, 1_500)
    given = champion.copy(), better.copy()
    answer = attempt(champion, better, day)
    expect(
        np.array_equal(champion, given[0]) and np.array_equal(better, given[1]),
        "Leave the losses as they were.",
    )
    expect(np.shape(answer) == () and np.asarray(answer).dtype == bool, "Return True or False.")
    expect(
        not attempt(champion, champion + 0.05 + rng.normal(0, 0.05, 1_500), day),
        "You promoted a challenger whose losses are higher. A loss is bad: lower is better.",
    )
    expect(answer, "The challenger is better on every one of 30 days: promote it.")
    broken = better.copy()
    broken[7] = np.nan
    expect(not attempt(champion, broken, day), "A challenger with a NaN loss must be refused.")
    expect(
        not attempt(champion, champion.copy(), day),
        "The challenger that is the champion, again, is not better.",
    )
    promoted = 0
    for _ in range(200):
        luck = np.repeat(rng.normal(0, 0.1, 30), 50)
        promoted += bool(attempt(champion, champion + luck + rng.normal(0, 0.1, 1_500), day))
    expect(
        promoted < 24,
        f"{promoted} of 200 equally good challengers were promoted, and 10 should be. The rows of "
        "one day share their luck: the unit of the test is the day, and a mean above 0 is not "
        "enough.",
    )
    slight = champion - np.repeat(rng.normal(0.02, 0.05, 30), 50)
    expect(attempt(champion, slight, day), "A small gain on most of 30 days is enough for t > 1.7.")
    rows = rng.permutation(1_500)[:1_200]
    try:
        answer = attempt(champion[rows], slight[rows], day[rows])
    except (ValueError, IndexError):
        answer = False
    expect(answer, "In production, days need not be equally long, nor their rows in order.")


@exercise(
    "you look for the vector u that makes u @ item_factors close to counts.",
    "that is least squares, u = np.linalg.lstsq(item_factors.T, counts, rcond=None)[0].",
    "to ignore what is missing, take only the columns and the counts that are there.",
)
def fold_in(attempt):
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(3, 20))
    truth = np.array([1.0, -2.0, 0.5])
    counts = truth @ factors
    given = counts.copy(), factors.copy()
    vector = np.asarray(attempt(counts, factors))
    expect(
        np.array_equal(counts, given[0]) and np.array_equal(factors, given[1]),
        "Leave the counts and the factors as they were.",
    )
    expect(vector.shape == (3,), "Return the user's vector, one number a factor.")
    expect(
        not np.allclose(vector, factors @ counts),
        "That is the projection without the division: right only where the factors are "
        "orthonormal, which these are not.",
    )
    expect(np.allclose(vector, truth), "The vector must rebuild these counts: u @ item_factors.")
    holes = counts.copy()
    holes[[2, 5, 11]] = np.nan
    vector = np.asarray(attempt(holes, factors))
    expect(np.isfinite(vector).all(), "Three counts are missing; the others are enough.")
    expect(
        np.allclose(vector, truth),
        "A missing count is not a count of 0: leave those items out of the least squares.",
    )
    noisy = counts + rng.normal(size=20)
    expected = np.linalg.lstsq(factors.T, noisy, rcond=None)[0]
    expect(np.allclose(attempt(noisy, factors), expected), "Noisy counts: least squares, no more.")
