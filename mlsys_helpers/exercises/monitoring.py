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
    "part.get(name, 0) is the count of a category, 0 where a machine never met it.",
    "the last bin is all the rows of the parts less those counted in the bins before.",
)
def same_bins(attempt):
    def counts(reference, parts):
        answer = attempt(reference, parts)
        expect(
            isinstance(answer, (tuple, list, np.ndarray)) and len(answer) == 2,
            "Return two arrays: the counts of the reference, and those of the parts.",
        )
        old, new = (np.asarray(side) for side in answer)
        expect(
            old.ndim == new.ndim == 1 and all(side.dtype.kind in "iuf" for side in (old, new)),
            "Each of the two must be an array of counts, one number for each bin.",
        )
        expect(
            len(old) == len(new),
            f"PSI needs the same bins on both sides: yours have {len(old)} and {len(new)}.",
        )
        expect(
            len(old) == len(reference) + 1,
            f"With the reference {reference} and the parts {parts} there are "
            f"{len(reference) + 1} bins, yours have {len(old)}: one for each category of the "
            "reference, and always one for all others.",
        )
        return old.tolist(), new.tolist()

    old, new = counts({"UA": 60, "AA": 40}, [{"AA": 10, "UA": 20}, {"UA": 5, "U2": 7}])
    expect(
        old != [40, 60, 0] and new != [10, 25, 7],
        "The bins come in the order of the reference, UA before AA, not in that of the alphabet.",
    )
    expect(old == [60, 40, 0], "The reference has 60 UA, 40 AA, and nothing in the last bin.")
    expect(new != [20, 10, 0], "Count all the parts, not the first alone.")
    expect(new != [5, 10, 7], "UA is in both parts: add its counts; the last must not replace.")
    expect(
        new[:2] not in ([15, 20], [15, 27]),
        "Match categories by name: the parts do not list them in the reference's order.",
    )
    expect(new[:2] == [25, 10], "The parts have 20 + 5 UA and 10 AA.")
    expect(new[2] == 7, "U2 is new to the reference: its 7 rows belong into the last bin.")
    old, new = counts(
        {"EWR": 5, "JFK": 3, "LGA": 2},
        [{"LGA": 4}, {}, {"BOS": 1, "JFK": 1, "PHL": 2}, {"BOS": 3, "LGA": 1}],
    )
    expect(old == [5, 3, 2, 0], "The reference keeps its own counts: 5, 3, 2, and 0 others.")
    expect(new[0] == 0, "No machine met EWR: that is a count of 0.")
    expect(new[1:3] == [1, 5], "Add over all parts, however many: 1 JFK and 4 + 1 LGA.")
    expect(new[3] == 6, "All new categories share the last bin: 1 + 2 + 3 rows of BOS and PHL.")
    expect(
        counts({"a": 2}, [{"a": 1}]) == ([2, 0], [1, 0]),
        "Without a new category the last bin is there, and empty on both sides.",
    )
    expect(
        counts({"a": 2, "b": 1}, []) == ([2, 1, 0], [0, 0, 0]),
        "Without any part all the current counts are 0.",
    )
