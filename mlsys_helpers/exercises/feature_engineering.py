"""The exercises of chapter 08."""

from itertools import product
from string import ascii_lowercase
from unittest import mock

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "learn one number, the median, and use it for both parts.",
    "np.nanmedian(train) ignores the gaps; np.where(np.isnan(values), middle, values) fills them.",
    "the indicator is np.isnan(values).astype(int), taken before the gaps are filled.",
)
def fill_gaps(attempt):
    train = np.array([1.0, np.nan, 3.0, 100.0, np.nan])
    test = np.array([np.nan, 7.0, 9.0])
    parts = attempt(train, test)
    expect(
        isinstance(parts, (tuple, list)) and len(parts) == 4,
        "Return four arrays: train filled, its indicator, test filled, its indicator.",
    )
    train_filled, train_gone, test_filled, test_gone = map(np.asarray, parts)
    expect(
        train_filled.shape == (5,) and test_filled.shape == (3,),
        "No row may be lost: fill the gaps instead of deleting them.",
    )
    expect(
        not (np.isnan(train_filled).any() or np.isnan(test_filled).any()),
        "Some gaps are still there. The median of numbers with a NaN is NaN, unless it ignores it.",
    )
    expect(
        not np.isclose(train_filled[1], np.mean([1, 3, 100])),
        "That is the mean. One value of 100 moves it far; the median stays.",
    )
    expect(
        not np.isclose(test_filled[0], 8),
        "The test gap got a median of the test rows. When the first row arrives in production "
        "there are none: use what the training rows taught.",
    )
    expect(
        not np.isclose(train_filled[1], 7),
        "That is the median of train and test together: the training rows have seen the test.",
    )
    expect(
        np.allclose(train_filled, [1, 3, 3, 100, 3]) and np.allclose(test_filled, [3, 7, 9]),
        "Gaps must become 3, the median of the training rows, and other values stay.",
    )
    expect(
        train_gone.shape == (5,) and test_gone.shape == (3,),
        "Each indicator has an entry for each row.",
    )
    expect(
        not np.array_equal(train_gone.astype(float), [1, 0, 1, 1, 0]),
        "The indicator is the wrong way round: 1 stands for missing.",
    )
    expect(
        np.array_equal(train_gone.astype(float), [0, 1, 0, 0, 1])
        and np.array_equal(test_gone.astype(float), [1, 0, 0]),
        "The indicator must be 1 where a value was missing *before* it was filled, else 0.",
    )


@exercise(
    "(values - low) / (high - low) is between 0 and 1 for the training rows.",
    "from [0, 1] to [-1, 1]: times 2, minus 1. low and high come from the training rows.",
)
def to_minus_one_one(attempt):
    train, test = np.array([10.0, 12.0, 30.0]), np.array([15.0, 40.0])
    pair = attempt(train, test)
    expect(
        isinstance(pair, (tuple, list)) and len(pair) == 2 and np.shape(pair[1]) == (2,),
        "Return two arrays: train scaled, test scaled.",
    )
    scaled, later = (np.asarray(part, dtype=float) for part in pair)
    expect(not np.allclose(scaled, [0, 0.1, 1]), "That is [0, 1]; stretch it to [-1, 1].")
    expect(
        not np.isclose(scaled.std(), 1),
        "That is standardisation: mean 0 and variance 1, with no fixed range.",
    )
    expect(
        not np.allclose(scaled, [-1, -13 / 15, 1 / 3]),
        "The range was taken from train and test together. Test rows may not teach anything.",
    )
    expect(
        not any(np.isclose(scaled[i], 0) for i in (0, 1)) and not np.isclose(scaled.mean(), 0),
        "A value or the mean of train became 0. What must become 0 is the middle of the range, "
        "halfway between smallest and largest: neither mean nor median, nor the smallest.",
    )
    expect(
        np.allclose(scaled, [-1, -0.8, 1]), "10 must become -1 and 30 must become 1; 12 is -0.8."
    )
    expect(
        not np.allclose(later, [-1, 1]),
        "The test rows were scaled by their own range: 15 now means something else than before.",
    )
    expect(
        not np.allclose(later, [-0.5, 1]),
        "40 lies beyond the training range. Do not cut it off: it must become 2.",
    )
    expect(np.allclose(later, [-0.5, 2]), "By the range of train, 15 is -0.5 and 40 is 2.")


@exercise(
    "count the edges at or below a value; the bucket is one less.",
    "np.searchsorted(edges, values, side='right') counts them; NaN counts as above all.",
    "what lies at or above the last edge, and what is missing, is set to -1 at the end.",
)
def bucket_numbers(attempt):
    edges = np.array([0.0, 18.0, 25.0, 120.0])
    inside = np.asarray(attempt(np.array([0.0, 17.99, 18.0, 24.99, 25.0, 119.9]), edges))
    expect(inside.shape == (6,), "Return one number for each value.")
    expect(
        not np.array_equal(inside, [1, 1, 2, 2, 3, 3]),
        "The first bucket has number 0.",
    )
    expect(
        not np.array_equal(inside, [-1, 0, 0, 1, 1, 2]),
        "A value that *equals* an edge belongs to the bucket that begins there.",
    )
    expect(
        np.array_equal(inside, [0, 0, 1, 1, 2, 2]),
        "18 is in bucket 1, and 24.99 still is; 25 begins bucket 2.",
    )
    outside = np.asarray(attempt(np.array([-1.0, 120.0, 130.0, np.nan]), edges))
    expect(outside[0] == -1, "A value below the first edge is in no bucket: -1.")
    expect(
        outside[1] != 2,
        "120 is where the last bucket *ends*; like every bucket it does not hold its end.",
    )
    expect((outside[1:3] == -1).all(), "A value at or above the last edge is in no bucket: -1.")
    expect(outside[3] == -1, "A missing value (NaN) is in no bucket: -1.")


@exercise(
    "a hash function turns a name into a whole number; % m brings it below m.",
    "zlib.crc32(name.encode()) % m; Python's own hash() is another in every process.",
)
def hash_buckets(attempt):
    names = [f"N{number}" for number in range(10_000, 12_000)]
    found = attempt(names, 64)
    expect(np.shape(found) == (2000,), "Return one bucket for each name.")
    buckets = np.asarray(found)
    expect(buckets.dtype.kind in "iu", "A bucket is a whole number.")
    expect(
        ((buckets >= 0) & (buckets < 64)).all(), "Buckets go from 0 to m - 1. Is the % m missing?"
    )
    expect(
        np.array_equal(np.asarray(attempt(names, 64)), buckets),
        "The same name got two buckets in two calls. A hash is not a random draw.",
    )
    with mock.patch("builtins.hash", _hash_of_another_process):
        elsewhere = np.asarray(attempt(names, 64))
    expect(
        np.array_equal(elsewhere, buckets)
        and not np.array_equal(buckets, [hash(name) % 64 for name in names]),
        "Python's hash() of a string is another one in every process, so a model that is trained "
        "today reads other columns tomorrow. Take a fixed one, such as zlib.crc32.",
    )
    expect(
        np.array_equal(np.asarray(attempt(names[::-1], 64)), buckets[::-1])
        and np.array_equal(np.asarray(attempt(names[7:9], 64)), buckets[7:9]),
        "A name's bucket depends on which other names there are. That is a list of categories in "
        "disguise: the next new name would move them all.",
    )
    largest = np.bincount(buckets, minlength=64).max()
    expect(
        largest < 70,  # about 31 on average; 70 has a chance below 1e-8 for a good hash
        f"{largest} of 2,000 names share one of 64 buckets; evenly it would be about 31. Use all "
        "of the name, and a function that mixes.",
    )
    try:
        odd = np.asarray(attempt(["not built yet", "é", ""], 64))
    except (ValueError, TypeError, IndexError) as error:
        expect(
            False, f"A name may be any text, letters and none included, not only N10000: {error}."
        )
    expect(
        odd.shape == (3,) and ((odd >= 0) & (odd < 64)).all(),
        "Each of the names 'not built yet', 'é' and '' needs a bucket from 0 to m - 1, too.",
    )
    letters = ["".join(pair) for pair in product(ascii_lowercase, repeat=2)]
    largest = np.bincount(np.asarray(attempt(letters, 64)), minlength=64).max()
    expect(
        largest < 40,  # about 11 on average; 40 has a chance below 1e-8 for a good hash
        f"{largest} of the 676 names aa to zz share one of 64 buckets; evenly it would be about "
        "11. Hash the letters, not only the digits.",
    )


def _hash_of_another_process(value, own=hash):
    """What hash() would say with another salt; numbers have none."""
    return own(("salt", value)) if isinstance(value, (str, bytes, tuple)) else own(value)
