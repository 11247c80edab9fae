"""The exercises of chapter 16."""

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "make shares of both arrays: each count over the number of rows of its own side.",
    "np.where(counts == 0, 0.5, counts) replaces the zeros; the divisor is still counts.sum().",
)
def psi_of_counts(attempt):
    value = attempt(np.array([50, 50]), np.array([30, 20]))
    expect(np.ndim(value) == 0, "Return one number: the sum over the bins.")
    expect(
        not np.isclose(value, -0.04055, atol=1e-4),
        "PSI is never negative: the difference and the logarithm must have the same sign.",
    )
    for base, log in ((10, np.log10), (2, np.log2)):
        expect(
            not np.isclose(value, 0.1 * log(0.6 / 0.4), atol=1e-5),
            f"That is the logarithm to base {base}. Use the natural one.",
        )
    expect(
        not np.isclose(value, 0.6 * np.log(1.2) + 0.4 * np.log(0.8), atol=1e-5),
        "That is the Kullback-Leibler divergence: the factor is the *difference* of the shares.",
    )
    expect(
        np.isclose(value, 0.0405465, atol=1e-5),
        "From half and half to shares of 0.6 and 0.4 PSI is 0.04055. Did you use shares, each of "
        "its own total?",
    )
    value = attempt(np.array([90, 10, 0]), np.array([80, 10, 10]))
    expect(np.isfinite(value), "An empty bin must not give infinity or NaN: take 0 as 0.5.")
    expected = -0.1 * np.log(80 / 90) + 0.095 * np.log(0.1 / 0.005)
    expect(
        np.isclose(value, expected, atol=1e-6),
        "An empty bin counts as half a row of its side, and the other shares stay as they are.",
    )
    expect(
        np.isclose(attempt(np.array([80, 10, 10]), np.array([90, 10, 0])), expected, atol=1e-6),
        "The same holds for an empty bin of the current side: PSI is symmetric.",
    )
    expect(
        np.isclose(attempt(np.array([50, 50]), np.array([70, 30])), 0.1694596, atol=1e-5),
        "From half and half to 0.7 and 0.3 PSI is 0.16946.",
    )
    expect(
        np.isclose(
            attempt(np.array([1, 2, 3, 4]), np.array([40, 30, 20, 10])), 0.9128696, atol=1e-5
        ),
        "Sum over all bins, however many there are: with shares 0.1, 0.2, 0.3, 0.4 that become "
        "0.4, 0.3, 0.2, 0.1 PSI is 0.91287.",
    )


@exercise(
    "values[max(0, i - n + 1) : i + 1] are the last n values at window i.",
    "count those of them that are >= enter, and return i as soon as there are k.",
)
def first_alert(attempt):
    calm = attempt(np.array([0, 1, 0, 0, 0, 1, 1, 0]), 1, 2, 3)
    expect(np.ndim(calm) == 0, "Return one number: the index of the window.")
    expect(
        calm != 1, "One window is not enough: at window 1 only one of the last 3 values is high."
    )
    expect(
        calm != 5, "The windows must be among the last n: the high value of window 1 is long gone."
    )
    expect(calm != 7, "The last n windows include the current one.")
    expect(calm == 6, "At window 6 two of the last three values (windows 4 to 6) are high.")
    split = attempt(np.array([0, 1, 0, 1]), 1, 2, 3)
    expect(split == 3, "The k windows need not follow each other: high, low, high is 2 of 3.")
    expect(
        attempt(np.array([0.2, 0.2]), 0.2, 2, 3) == 1,
        "A value equal to `enter` counts, and at the start fewer than n windows may do.",
    )
    expect(attempt(np.array([0, 1, 0, 0, 1]), 1, 2, 3) == -1, "Where it never happens return -1.")
    expect(
        attempt(np.array([3, 0, 0]), 2, 1, 1) == 0, "With k = n = 1 the first high value is enough."
    )
    expect(
        attempt(np.array([1, 1, 0, 0, 1, 0, 1]), 1, 3, 5) == 4,
        "k and n are arguments: with k = 3 and n = 5 window 4 is the first with three of five.",
    )


@exercise(
    "the merged mean weighs both means by their counts.",
    "m2 = m2_a + m2_b + d² n_a n_b / n, where d is the difference of the two means.",
    "n may be 0: then there is nothing to divide by.",
)
def merge_moments(attempt):
    def moments(values):
        return len(values), float(np.mean(values)), float(((values - np.mean(values)) ** 2).sum())

    x = np.array([1.0, 2.0, 3.0, 10.0, 14.0, 30.0])
    merged = attempt(moments(x[:2]), moments(x[2:]))
    expect(np.shape(merged) == (3,), "Return three numbers: count, mean, m2.")
    count, mean, m2 = merged
    expect(count == 6, "The counts add up.")
    expect(
        not np.isclose(mean, (x[:2].mean() + x[2:].mean()) / 2),
        "The mean of the two means is right only for parts of equal size: weigh by the counts.",
    )
    expect(np.isclose(mean, x.mean()), "The mean must be that of all six values.")
    parts = moments(x[:2])[2] + moments(x[2:])[2]
    expect(
        not np.isclose(m2, parts),
        "The two sums are around two different means: a term for their distance is missing.",
    )
    expect(
        np.isclose(m2, moments(x)[2]),
        "m2 must be the sum of squared distances of all six values from their common mean.",
    )
    far = attempt(moments(x + 1e9), moments(x + 1e9 + 3))
    both = np.concatenate([x, x + 3])
    expect(far[0] == 12, "The counts add up: of two parts of six values there are 12.")
    expect(np.isclose(far[1] - 1e9, 11.5), "The mean of two equal parts lies between their means.")
    expect(
        np.isclose(far[2], moments(both)[2], rtol=1e-6),
        "Far from 0 the digits are lost: do not go through sums of squares.",
    )
    empty = (0, 0.0, 0.0)
    expect(np.allclose(attempt(empty, empty), empty), "Two empty parts give an empty one.")
    expect(
        np.allclose(attempt(empty, moments(x)), moments(x))
        and np.allclose(attempt(moments(x), empty), moments(x)),
        "An empty part changes nothing, on either side.",
    )
