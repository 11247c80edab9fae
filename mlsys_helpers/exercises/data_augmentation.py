"""The exercises of chapter 07."""

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "np.isin(y, list(safe)) tells which images may be flipped; only those get a copy.",
    "X[rows][:, :, ::-1] turns the last axis round, which runs from left to right.",
    "np.concatenate puts the copies behind the originals; do the same with the labels.",
)
def flip_where_safe(attempt):
    X = np.arange(36.0).reshape(4, 3, 3)
    y = np.array([0, 6, 8, 0])
    pair = attempt(X, y, {0, 8})
    expect(
        isinstance(pair, (tuple, list)) and len(pair) == 2,
        "Return two things: the images and their labels.",
    )
    images, labels = map(np.asarray, pair)
    expect(
        len(images) != 8,
        "Every image was copied. A flipped 6 is no 6: copy only the images whose label is safe.",
    )
    expect(
        len(images) != 3,
        "Only the copies are there. The originals stay; the copies come behind them.",
    )
    expect(images.shape == (7, 3, 3), "Four images and three copies are seven images of 3 by 3.")
    expect(len(labels) == 7, "There must be a label for every image, copies included.")
    expect(np.array_equal(images[:4], X), "The first images must be the originals, as they were.")
    safe = X[[0, 2, 3]]
    expect(
        not np.array_equal(images[4:], safe[:, ::-1, :]),
        "That exchanges top and bottom. Left and right lie along the last axis.",
    )
    expect(
        not np.array_equal(images[4:], safe[::-1]),
        "That reverses the order of the images, and flips none.",
    )
    expect(not np.array_equal(images[4:], safe), "The copies are not flipped yet.")
    expect(np.array_equal(images[4:], safe[:, :, ::-1]), "The copies are not the flipped images.")
    expect(labels.tolist() == [0, 6, 8, 0, 0, 8, 0], "Each copy keeps the label of its image.")
    images, labels = attempt(X, y, set())
    expect(len(images) == 4 and len(labels) == 4, "Where no label is safe, nothing is added.")


@exercise(
    "mark all rows, copies too, whose image is a test image: np.isin(original, test_images).",
    "train on the rows that are not marked; test on those that are marked and no copies.",
    "np.flatnonzero turns a mask into row numbers.",
)
def split_by_original(attempt):
    original = np.array([0, 1, 2, 3, 0, 1, 2, 3, 3, 0])
    is_copy = np.arange(10) >= 4
    pair = attempt(original, is_copy, np.array([1, 3]))
    expect(
        isinstance(pair, (tuple, list)) and len(pair) == 2,
        "Return two things: row numbers for training, and for testing.",
    )
    train, test = (np.asarray(part) for part in pair)
    expect(train.dtype != bool, "Return row numbers, not masks: np.flatnonzero makes them.")
    train, test = sorted(train.tolist()), sorted(test.tolist())
    expect(
        train != [1, 3] or test != [0, 2, 4, 6, 9],
        "The two are swapped: training first, then testing.",
    )
    expect(
        not is_copy[test].any(),
        "Copies are among the test rows. The world sends no copies: test on untouched images.",
    )
    expect(
        not np.isin(original[train], [1, 3]).any(),
        "The training rows hold copies of a test image: the model would learn it by heart.",
    )
    expect(test == [1, 3], "Test on all the test images, and on no other.")
    expect(
        train != [0, 2],
        "The copies of training images are gone. They are what the augmentation was for.",
    )
    expect(train == [0, 2, 4, 6, 9], "Train on every row that has nothing to do with the test.")
    order = np.array([4, 8, 0, 3, 9, 1, 5, 2, 7, 6])
    train, test = attempt(original[order], is_copy[order], np.array([1, 3]))
    expect(
        sorted(order[train]) == [0, 2, 4, 6, 9] and sorted(order[test]) == [1, 3],
        "The originals need not come first: go by `original` and `is_copy`.",
    )


@exercise(
    "by chance, a and b would meet row sum times column sum / N times, with N all counts.",
    "PPMI is log(count / chance), and 0 where that is negative.",
    "the logarithm of 0 is -inf and warns; take it only where counts > 0.",
)
def ppmi_table(attempt):
    counts = np.array([[0.0, 6.0, 2.0], [6.0, 0.0, 0.0], [2.0, 0.0, 4.0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        table = np.asarray(attempt(counts))
    expect(table.shape == (3, 3), "Return a number for every pair: an array like counts.")
    expect(
        np.isfinite(table).all(),
        "There is a NaN or an infinity: where two words never meet, the answer is 0.",
    )
    expected = np.array([[0, np.log(6 * 20 / 48), 0], [0, 0, 0], [0, 0, np.log(4 * 20 / 36)]])
    expected[1, 0] = expected[0, 1]
    expect(
        (table >= 0).all(),
        "The first P is for positive: where two words meet less often than by chance, it is 0.",
    )
    expect(
        not np.allclose(table, expected / np.log(2))
        and not np.allclose(table, expected / np.log(10)),
        "That is another logarithm. Use the natural one.",
    )
    expect(
        not np.allclose(table, np.maximum(np.log(np.where(counts > 0, counts, 1)), 0)),
        "That is the logarithm of the counts: frequent words win. Divide by what chance gives.",
    )
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / 20
    expect(
        not np.allclose(table, np.maximum(counts / chance, 0)),
        "That is the ratio. Take its logarithm.",
    )
    expect(np.allclose(table, expected), "It is log(count * N / (row sum * column sum)).")
    expect(np.allclose(attempt(counts * 5), expected), "Five times the text must change nothing.")
    lopsided = np.array([[0.0, 6.0, 1.0], [2.0, 0.0, 1.0], [3.0, 0.0, 4.0]])
    chance = np.outer([7, 3, 7], [5, 6, 6]) / 17
    right = np.maximum(np.log(np.where(lopsided > 0, lopsided / chance, 1)), 0)
    expect(
        np.allclose(attempt(lopsided), right),
        "Wrong for a table that is not symmetric: a's share is its row, b's its column.",
    )


@exercise(
    "p = 1 / (1 + np.exp(-(X @ w + b))) is the belief in class 1.",
    "the gradient of a row is (p - y) * w; of all rows, (p - y)[:, None] * w.",
    "move by epsilon times the sign, whatever the size of the gradient, then np.clip to [0, 1].",
)
def fgsm_step(attempt):
    X = np.array([[0.5, 0.5, 0.5], [0.4, 0.6, 0.5]])
    w, b = np.array([2.0, -0.5, 0.0]), 0.1
    moved = np.asarray(attempt(X, np.array([1, 0]), w, b, 0.1))
    expect(moved.shape == X.shape, "Return an array of the shape of X.")
    right = X + 0.1 * np.array([[-1, 1, 0], [1, -1, 0]])
    expect(
        not np.allclose(moved, 2 * X - right),
        "That makes the loss smaller: the model is helped. Step the other way.",
    )
    expect(
        not np.allclose(moved, X + 0.1 * np.sign(w)),
        "Both rows moved the same way. The gradient depends on the label: (p - y) * w.",
    )
    p = 1 / (1 + np.exp(-(X @ w + b)))
    expect(
        not np.allclose(moved, X + 0.1 * (p - [1, 0])[:, None] * w),
        "That steps along the gradient itself. Take its sign, so that every pixel moves in full.",
    )
    expect(
        np.abs(moved - X).max() < 0.1 + 1e-9,
        "A pixel moved further than epsilon.",
    )
    expect(
        np.allclose(moved[:, 2], X[:, 2]),
        "The third weight is 0: that pixel has no say, and the sign of 0 is 0.",
    )
    expect(np.allclose(moved, right), "Each pixel moves by epsilon times the gradient's sign.")
    edge = np.array([[0.02, 0.97, 0.5]])
    moved = np.asarray(attempt(edge, np.array([1]), w, b, 0.1))
    expect(
        moved.min() >= 0 and moved.max() <= 1,
        "A pixel left its range: no image has ink below 0 or above 1. Clip the result.",
    )
    expect(np.allclose(moved, [[0, 1, 0.5]]), "At the edge of the range a pixel stops there.")
    still = attempt(X, np.array([1, 0]), w, b, 0.0)
    expect(np.allclose(still, X), "At epsilon = 0 nothing moves.")
