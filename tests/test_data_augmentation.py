"""Chapter 07 against known answers: closed forms, planted truths, numpy, scipy and torch."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import ndimage, stats
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from mlsys_helpers import data_augmentation as da
from mlsys_helpers import datasets
from mlsys_helpers.datasets import FEEDBACK_WORDS, load_digits, load_docstrings, make_feedback

FREE = {"low": -np.inf, "high": np.inf}
IMAGES = st_numpy.arrays(
    st.sampled_from([np.float64, np.float32, np.uint8]),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    elements=st.integers(0, 16),
)
TRANSFORMS = {
    "crop": lambda image: da.crop(image, 0.7, top=0.2, left=1),
    "flip": da.flip,
    "rotate": lambda image: da.rotate(image, 33),
    "shift": lambda image: da.shift(image, 0.4, -1.3),
}


def pixel_rows(images):
    return images.reshape(len(images), -1)


@pytest.fixture(scope="module")
def digits():
    return load_digits()


@pytest.fixture(scope="module")
def halves(digits):
    """Rows of pixels to train on and to test on."""
    X, y = pixel_rows(digits[0]), digits[1]
    order = np.random.default_rng(0).permutation(len(X))
    return X[order[:900]], y[order[:900]], X[order[900:]], y[order[900:]]


@pytest.fixture(scope="module")
def networks(halves):
    X, y, *_ = halves
    kinds = {"plain": {}, "noise": {"epsilon": 0.15, "perturbation": "noise"}}
    kinds["adversarial"] = {"epsilon": 0.15}
    return {
        name: [da.RobustNetwork(random_state=seed, **options).fit(X, y) for seed in range(3)]
        for name, options in kinds.items()
    }


@pytest.fixture(scope="module")
def feedback():
    return make_feedback(2000, random_state=0)


@pytest.fixture(scope="module")
def near(feedback):
    return da.WordNeighbours(window=3, dimensions=20).fit(feedback["text"])


# --- Images


@given(IMAGES, st.sampled_from(sorted(TRANSFORMS)))
def test_shape_dtype_and_range_are_kept(image, name):
    new = TRANSFORMS[name](image)
    assert new.shape == image.shape and new.dtype == image.dtype
    low, high = min(0, image.min()), image.max()  # what is empty is filled with 0
    assert new.min() >= low - 1e-6 and new.max() <= high + 1e-6
    assert not np.shares_memory(new, image)


@given(IMAGES, st.sampled_from(["horizontal", "vertical"]))
def test_flipping_twice_is_the_identity(image, axis):
    assert np.array_equal(da.flip(da.flip(image, axis), axis), image)


def test_flips_are_numpys(digits):
    image = digits[0][7]
    assert np.array_equal(da.flip(image), np.fliplr(image))
    assert np.array_equal(da.flip(image, "vertical"), np.flipud(image))


@pytest.mark.parametrize("quarters", [-2, -1, 0, 1, 2, 3, 4])
def test_quarter_turns_are_numpys_rot90(digits, quarters):
    image = digits[0][11]
    assert np.allclose(da.rotate(image, 90 * quarters), np.rot90(image, quarters))


@pytest.mark.parametrize("degrees", [-120, -7.5, 13, 45, 200])
def test_rotation_is_scipys(digits, degrees):
    image = digits[0][3]
    expected = ndimage.rotate(image, degrees, reshape=False, order=1)
    assert np.allclose(da.rotate(image, degrees), expected)


def test_a_half_turn_is_both_flips_and_turns_add_up(digits):
    image = digits[0][5]
    both = da.flip(da.flip(image), "vertical")
    assert np.allclose(da.rotate(image, 180), both)
    assert np.allclose(da.rotate(da.rotate(image, 270), 90), image)


def test_shift_by_whole_pixels_moves_and_fills():
    image = np.arange(9.0).reshape(3, 3)
    assert da.shift(image, 1, -1).tolist() == [[0, 0, 0], [1, 2, 0], [4, 5, 0]]
    assert da.shift(image, 0, 1, fill=9)[:, 0].tolist() == [9, 9, 9]
    assert np.array_equal(da.shift(image, 0, 0), image)


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_shift_is_scipys(down, right):
    image = np.arange(16.0).reshape(4, 4)
    expected = ndimage.shift(image, (down, right), order=1)
    assert np.allclose(da.shift(image, down, right), expected)


def test_crop_keeps_the_window():
    image = np.zeros((10, 10))
    image[:5, 5:] = 1
    assert np.allclose(da.crop(image, 0.4, top=0, left=1), 1)
    assert np.array_equal(da.crop(image, 1), image)
    ramp = np.tile(np.arange(100.0), (100, 1))
    middle = da.crop(ramp, 0.5)  # half the width, so half the slope, about the same centre
    assert np.allclose(np.diff(middle[0]), 0.5) and np.isclose(middle.mean(), ramp.mean())


def test_channels_are_moved_together():
    image = np.random.default_rng(0).random((6, 5, 3))
    for transform in TRANSFORMS.values():
        by_channel = np.stack([transform(image[..., c]) for c in range(3)], axis=2)
        assert np.allclose(transform(image), by_channel)


def test_whole_numbers_are_rounded_and_never_wrap():
    image = np.array([[0, 255, 255]], dtype=np.uint8)
    assert da.shift(image, 0, 0.5).tolist() == [[0, 128, 255]]
    assert da.shift(image, 0, 1, fill=-5).tolist() == [[0, 0, 255]]


@pytest.mark.parametrize("transform", TRANSFORMS.values())
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(4), r"image must have shape .* got \(4,\)"),
        (np.zeros((2, 2, 3, 1)), "image must have shape"),
        (np.zeros((0, 3)), "image is empty"),
        ([[0.0, np.nan]], "image must hold finite numbers"),
        ([["a", "b"]], "image must hold numbers"),
        ([[True, False]], "image must hold numbers"),
        ([[1, 2], [3]], "image must be one array"),
    ],
)
def test_what_is_no_image_is_refused(transform, image, message):
    with pytest.raises(ValueError, match=message):
        transform(image)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: da.crop(i, 0), "keep must be a number above 0 and at most 1, got 0"),
        (lambda i: da.crop(i, 1.1), "keep must be"),
        (lambda i: da.crop(i, 0.5, top=-0.1), "top must be"),
        (lambda i: da.crop(i, 0.5, left=2), "left must be"),
        (lambda i: da.flip(i, "diagonal"), "axis must be one of"),
        (lambda i: da.rotate(i, np.inf), "degrees must be a number"),
        (lambda i: da.rotate(i, "10"), "degrees must be a number"),
        (lambda i: da.rotate(i, 10, fill=np.nan), "fill must be a number"),
        (lambda i: da.shift(i, None, 1), "down must be a number"),
        (lambda i: da.shift(i, 1, np.nan), "right must be a number"),
    ],
)
def test_bad_parameters_of_transforms_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((3, 3)))


@given(st.integers(0, 3), st.integers(0, 10))
def test_augment_images_keeps_originals_and_copies_labels(copies, seed):
    X = np.random.default_rng(seed).random((4, 3, 3)).astype(np.float32)
    y = np.array(["a", "b", "a", "c"])
    noisy_flip = [lambda i, rng: da.flip(i), lambda i, rng: i * rng.random()]
    X_new, y_new = da.augment_images(X, y, noisy_flip, copies, random_state=seed)
    assert X_new.shape == (4 * (1 + copies), 3, 3) and X_new.dtype == X.dtype
    assert np.array_equal(X_new[:4], X)
    assert y_new.tolist() == y.tolist() * (1 + copies)
    again, _ = da.augment_images(X, y, noisy_flip, copies, random_state=seed)
    assert np.array_equal(X_new, again)
    ratio = X_new[4:] / np.tile(X[:, :, ::-1], (copies, 1, 1))
    assert np.allclose(ratio, ratio[:, :1, :1], rtol=1e-4)  # every copy is of its own image


def test_transforms_are_applied_in_order_and_may_be_none(digits):
    X, y = digits[0][:3], digits[1][:3]
    add_then_double = [lambda i, rng: i + 1, lambda i, rng: 2 * i]
    assert np.allclose(da.augment_images(X, y, add_then_double)[0][3:], 2 * (X + 1))
    assert np.allclose(da.augment_images(X, y, [])[0][3:], X)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"X": np.zeros((3, 9))}, ValueError, r"X must have shape .* got \(3, 9\)"),
        ({"X": np.zeros((0, 3, 3))}, ValueError, "X is empty"),
        ({"X": np.full((3, 2, 2), np.nan)}, ValueError, "X must hold finite"),
        ({"y": [0, 1]}, ValueError, "y must have 3 entries"),
        ({"y": [0, None, 1]}, ValueError, "y holds 1 missing"),
        ({"copies": -1}, ValueError, "copies must be a whole number of at least 0, got -1"),
        ({"copies": 1.5}, ValueError, "copies must be a whole number"),
        ({"transforms": da.flip}, TypeError, "transforms must be a list of functions"),
        ({"transforms": ["flip"]}, TypeError, "transforms must be a list of functions"),
        ({"transforms": [lambda i, rng: i[:1]]}, ValueError, "keep the shape"),
        ({"transforms": [lambda i, rng: i * np.nan]}, ValueError, "finite"),
        ({"random_state": -1}, ValueError, "random_state"),
    ],
)
def test_bad_input_of_augment_images_is_refused(options, error, message):
    given_options = {"X": np.zeros((3, 2, 2)), "y": [0, 1, 2], "transforms": []} | options
    with pytest.raises(error, match=message):
        da.augment_images(**given_options)


def test_label_preservation_depends_on_the_label(digits):
    """A 6 upside down is a 9; a mirrored 0 stays, a mirrored 5 does not."""
    X, y = digits
    order = np.random.default_rng(0).permutation(len(X))
    known, others = order[:900], order[900:]
    moves = [
        lambda i, rng: da.rotate(i, rng.uniform(-15, 15)),
        lambda i, rng: da.shift(i, *rng.uniform(-1, 1, 2)),
    ]
    judge = make_pipeline(FunctionTransformer(pixel_rows), KNeighborsClassifier(5))
    judge.fit(*da.augment_images(X[known], y[known], moves, 3, random_state=0))
    upside_down = np.array([da.rotate(i, 180) for i in X[others]])
    table = da.label_preservation(
        judge,
        X[others],
        y[others],
        {
            "none": lambda X: X,
            "nudge": lambda X: np.array([da.shift(i, 0.3, 0.3) for i in X]),
            "mirror": lambda X: X[:, :, ::-1],
            "upside down": lambda X: upside_down,
        },
    )
    assert table.shape == (4, 10)
    assert table.loc["none"].min() > 0.9 and table.loc["nudge"].mean() > 0.9
    assert table.loc["mirror", [0, 8]].min() > 0.7
    assert table.loc["mirror", [3, 5, 6, 7]].max() < 0.1
    assert (judge.predict(upside_down)[y[others] == 6] == 9).mean() > 0.9


def test_label_preservation_counts_by_class():
    X, y = np.arange(6)[:, None], ["a", "a", "a", "b", "b", "c"]
    judge = KNeighborsClassifier(1).fit(X, y)
    table = da.label_preservation(judge, X, y, {"down": lambda X: X - 1, "up": lambda X: X + 1})
    assert table.loc["down"].tolist() == [1, 0.5, 0]
    assert table.loc["up"].tolist() == pytest.approx([2 / 3, 0.5, 1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"judge": "nobody"}, TypeError, "judge must be"),
        ({"y": [0]}, ValueError, "y must have 2 entries"),
        ({"transforms": {}}, ValueError, "transforms must be a dict"),
        ({"transforms": [da.flip]}, ValueError, "transforms must be a dict"),
        ({"transforms": {"a": 1}}, TypeError, r"transforms\['a'\] must be a function"),
        ({"transforms": {"a": lambda X: X[:1]}}, ValueError, r"transforms\['a'\] must keep 2"),
    ],
)
def test_bad_input_of_label_preservation_is_refused(options, error, message):
    judge = DummyClassifier().fit([[0], [1]], [0, 1])
    fine = {"judge": judge, "X": np.zeros((2, 1)), "y": [0, 1], "transforms": {"a": lambda X: X}}
    with pytest.raises(error, match=message):
        da.label_preservation(**(fine | options))


# --- Does it help?


class _Recorder(KNeighborsClassifier):
    """Remembers what it was trained and tested on."""

    seen = ()

    def fit(self, X, y):
        _Recorder.seen += (("fit", X.ravel().tolist(), y.tolist()),)
        return super().fit(X, y)

    def score(self, X, y):
        _Recorder.seen += (("score", X.ravel().tolist(), y.tolist()),)
        return super().score(X, y)


def test_whole_number_images_are_rounded_and_kept_in_range():
    X = np.full((1, 2, 2), 250, np.uint8)
    bright, _ = da.augment_images(X, [0], [lambda image, rng: image + 10.6], copies=1)
    dark, _ = da.augment_images(X, [0], [lambda image, rng: image - 0.4 - 249], copies=1)
    assert (bright[1] == 255).all() and (dark[1] == 1).all() and bright.dtype == np.uint8
    with pytest.raises(ValueError, match="finite numbers"):
        da.augment_images(X, [0], [lambda image, rng: image * np.nan], copies=1)


def test_copies_never_reach_the_test_and_sizes_are_nested():
    X, y = np.arange(40.0)[:, None], np.repeat([0, 1], 20)
    _Recorder.seen = ()
    ways = {"none": None, "copies": lambda X, y, rng: (np.r_[X, X + 0.5], np.r_[y, y])}
    table = da.augmentation_curve(
        _Recorder(1), X, y, ways, [2, 5], repeats=3, random_state=1, progress=False
    )
    assert table.groupby(["method", "size"]).size().tolist() == [3, 3, 3, 3]
    calls = iter(_Recorder.seen)
    for _ in range(3):
        runs = [(next(calls), next(calls)) for _ in range(4)]
        tests = {tuple(score[1]) for _, score in runs}
        assert len(tests) == 1  # the same test rows for every method and size
        (test,) = tests
        assert len(test) == 2 * (20 - 5) and all(value == int(value) for value in test)
        small, small_copies, large, large_copies = (fit for fit, _ in runs)
        assert set(small[1]) < set(large[1]) and len(small[1]) == 4 and len(large[1]) == 10
        for plain, copies in ((small, small_copies), (large, large_copies)):
            assert copies[1][: len(plain[1])] == plain[1]  # the same rows, and their copies
        assert not {int(value) for value in large_copies[1]} & set(test)


def test_the_rows_drawn_do_not_depend_on_the_augmenters():
    X, y = np.random.default_rng(0).normal(size=(60, 2)), np.repeat([0, 1], 30)
    model, options = KNeighborsClassifier(1), {"random_state": 4, "progress": False}
    alone = da.augmentation_curve(model, X, y, {"none": None}, [3, 9], **options)
    greedy = {"greedy": lambda X, y, rng: (X + rng.random(X.shape), y), "none": None}
    beside = da.augmentation_curve(model, X, y, greedy, [3, 9], **options)
    beside = beside[beside["method"] == "none"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, beside)


def test_x_test_stands_in_for_the_test_rows():
    X, y = np.repeat([0.0, 1.0], 10)[:, None], np.repeat([0, 1], 10)
    options = {"repeats": 1, "progress": False}
    as_is = da.augmentation_curve(KNeighborsClassifier(1), X, y, {"a": None}, [3], **options)
    swapped = da.augmentation_curve(
        KNeighborsClassifier(1), X, y, {"a": None}, [3], X_test=1 - X, **options
    )
    assert as_is["accuracy"].tolist() == [1.0] and swapped["accuracy"].tolist() == [0.0]


def test_gain_at_20_labels_a_class_over_10_seeds(digits):
    """None to see on digits that fill their frame, a large one where the test images move."""
    X, y = digits
    model = make_pipeline(FunctionTransformer(pixel_rows), SVC(C=10, gamma=0.2))

    def move(image, rng):
        image = da.rotate(image, rng.uniform(-15, 15))
        return da.shift(image, *rng.uniform(-1, 1, 2))

    def flip(image, rng):
        return da.flip(image) if rng.random() < 0.5 else image

    def copies(transform):
        return lambda X, y, rng: da.augment_images(X, y, [transform], 4, random_state=rng)

    options = {"sizes": [20], "random_state": 0, "progress": False}
    rng = np.random.default_rng(0)
    moved = np.array([move(image, rng) for image in X])
    ways = {"none": None, "moves": copies(move)}
    on_moved = da.augmentation_gain(
        da.augmentation_curve(model, X, y, ways, X_test=moved, **options)
    )
    assert on_moved.loc[("moves", 20), "low"] > 0.3
    still = da.augmentation_gain(
        da.augmentation_curve(model, X, y, ways | {"flips": copies(flip)}, **options)
    )
    assert abs(still.loc[("moves", 20), "gain"]) < 0.03
    assert still.loc[("flips", 20), "high"] < 0  # wrong labels do harm


def test_gain_is_the_paired_t_interval():
    rng = np.random.default_rng(3)
    base, better = rng.random(8), rng.random(8)
    table = pd.DataFrame(
        [("none", 5, r, base[r]) for r in range(8)] + [("more", 5, r, better[r]) for r in range(8)],
        columns=["method", "size", "repeat", "accuracy"],
    )
    row = da.augmentation_gain(table).loc[("more", 5)]
    interval = stats.ttest_rel(better, base).confidence_interval(0.95)
    assert row["gain"] == pytest.approx((better - base).mean())
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert row["accuracy"] == pytest.approx(better.mean())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"y": [0] * 20}, ValueError, "y must hold at least two classes"),
        ({"y": [0, 1]}, ValueError, "y must have 20 entries"),
        ({"sizes": []}, ValueError, "sizes is empty"),
        ({"sizes": [0]}, ValueError, "each of sizes must be a whole number of at least 1"),
        ({"sizes": [10]}, ValueError, "sizes must be below 10, the smallest class"),
        ({"repeats": 0}, ValueError, "repeats must be"),
        ({"augmenters": {}}, ValueError, "augmenters must be a dict"),
        ({"augmenters": {"a": 3}}, TypeError, r"augmenters\['a'\]"),
        ({"X_test": np.zeros((3, 1))}, ValueError, "X_test must have 20 rows"),
        ({"random_state": "x"}, ValueError, "random_state"),
    ],
)
def test_bad_input_of_augmentation_curve_is_refused(options, error, message):
    fine = {"X": np.zeros((20, 1)), "y": [0, 1] * 10, "augmenters": {"a": None}, "sizes": [2]}
    with pytest.raises(error, match=message):
        da.augmentation_curve(KNeighborsClassifier(1), progress=False, **(fine | options))


def _curve(methods=("a", "b"), repeats=2, x="size"):
    rows = [(m, s, r, 0.5) for m in methods for s in (1, 10) for r in range(repeats)]
    return pd.DataFrame(rows, columns=["method", x, "repeat", "accuracy"])


def test_bad_tables_are_refused():
    with pytest.raises(ValueError, match="table must hold at least two methods and two repeats"):
        da.augmentation_gain(_curve(methods=["a"]))
    with pytest.raises(ValueError, match="table must hold at least two methods and two repeats"):
        da.augmentation_gain(_curve(repeats=1))
    for plot in (da.augmentation_gain, da.plot_augmentation):
        with pytest.raises(ValueError, match="table must be a DataFrame with the columns method"):
            plot(_curve().drop(columns="repeat"))
        with pytest.raises(ValueError, match="table is empty"):
            plot(_curve().iloc[:0])
    with pytest.raises(ValueError, match="curve must be a DataFrame"):
        da.plot_robustness([1, 2])
    with pytest.raises(ValueError, match="each of colors must be one of"):
        da.plot_augmentation(_curve(), colors={"a": "mauve"})


@pytest.mark.parametrize(
    ("plot", "x"), [(da.plot_augmentation, "size"), (da.plot_robustness, "epsilon")]
)
def test_plots_show_means_bands_and_names(plot, x):
    table = _curve(["one", "two", "three"], x=x)
    table["accuracy"] = np.random.default_rng(0).random(len(table))
    ax = plot(table, colors={"two": "red"})
    for line, name in zip(ax.lines, ("one", "two", "three"), strict=True):
        expected = table[table["method"] == name].groupby(x)["accuracy"].mean()
        assert np.allclose(line.get_ydata(), expected)
    assert len(ax.collections) == 3
    assert sorted(text.get_text() for text in ax.texts) == ["one", "three", "two"]
    ax.figure.canvas.draw()
    heights = sorted(text.get_window_extent().y0 for text in ax.texts)
    assert np.diff(heights).min() > 10  # no name over another
    assert plot(table, ax=ax) is ax


# --- Words


def test_cooccurrences_are_a_plain_recount():
    rng = np.random.default_rng(0)
    words = list("abcde")
    texts = [" ".join(rng.choice([*words, "other"], rng.integers(1, 9))) for _ in range(30)]
    for window in (1, 2, 4):
        expected = np.zeros((5, 5))
        for text in texts:
            tokens = text.split()
            for i, j in itertools.permutations(range(len(tokens)), 2):
                if abs(i - j) <= window and {tokens[i], tokens[j]} <= set(words):
                    expected[words.index(tokens[i]), words.index(tokens[j])] += 1
        assert np.array_equal(da.cooccurrences(texts, words, window).toarray(), expected)


def test_no_pair_reaches_into_the_next_text():
    assert da.cooccurrences(["a", "b"], ["a", "b"], window=5).sum() == 0
    assert da.cooccurrences(["a b c"], ["a", "c"], window=10**9).sum() == 2  # the whole text


def test_ppmi_by_hand_and_its_invariants():
    counts = np.array([[0, 6, 2], [6, 0, 0], [2, 0, 4]])
    table = da.ppmi(counts).toarray()
    expected = np.zeros((3, 3))
    expected[0, 1] = expected[1, 0] = np.log(6 * 20 / (8 * 6))
    expected[2, 2] = np.log(4 * 20 / (6 * 6))
    assert np.allclose(table, expected)
    assert np.allclose(da.ppmi(7 * counts).toarray(), expected)


@given(st_numpy.arrays(float, (4, 4), elements=st.integers(0, 9)))
def test_ppmi_is_its_formula(counts):
    if counts.sum() == 0:
        with pytest.raises(ValueError, match="not all 0"):
            da.ppmi(counts)
        return
    p = counts / counts.sum()
    chance = np.outer(p.sum(axis=1), p.sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(p > 0, np.maximum(np.log(p / chance), 0), 0)
    assert np.allclose(da.ppmi(counts).toarray(), expected)


def test_independent_words_have_no_information():
    assert da.ppmi(np.outer([1, 2, 3], [1, 2, 3])).nnz == 0


def test_planted_synonyms_are_the_nearest(near):
    groups = [group for topic in FEEDBACK_WORDS["topic"].values() for group in topic]
    found = [set(near.nearest(word, 3).index) <= set(group) for group in groups for word in group]
    assert np.mean(found) > 0.9
    for thing in ("suitcase", "meal", "crew", "seat"):
        (group,) = [group for group in groups if thing in group]
        assert set(near.nearest(thing, 3).index) == set(group) - {thing}


def test_opposites_keep_the_same_company(near):
    """By design of the generated text, and in real text, too."""
    moods = {word for (group,) in FEEDBACK_WORDS["mood"].values() for word in group}
    nearest = {word: set(near.nearest(word, 3).index) for word in moods}
    assert all(words <= moods for words in nearest.values())
    (praise,) = FEEDBACK_WORDS["mood"]["praise"]
    assert any(nearest[word] - set(praise) for word in praise)
    real = da.WordNeighbours(min_count=5).fit(load_docstrings()["sentence"])
    for word, opposite in (("lower", "upper"), ("maximum", "minimum"), ("left", "right")):
        assert real.nearest(word, 1).index[0] == opposite


def test_words_in_the_same_company_have_the_same_vector():
    texts = ["my bag was lost", "my suitcase was lost", "my meal was cold", "my soup was cold"] * 3
    neighbours = da.WordNeighbours(dimensions=4).fit(texts)
    assert neighbours.nearest("bag", 1).index[0] == "suitcase"
    assert neighbours.nearest("bag", 1).iloc[0] == pytest.approx(1)
    assert neighbours.nearest("soup", 1).index[0] == "meal"


def test_the_vectors_are_those_of_the_full_decomposition(feedback):
    texts = feedback["text"][:300]
    neighbours = da.WordNeighbours(window=2, dimensions=10).fit(texts)
    table = da.ppmi(da.cooccurrences(texts, neighbours.words_, 2)).toarray()
    u, s, _ = np.linalg.svd(table)
    full = u[:, :10] * np.sqrt(s[:10])
    full /= np.linalg.norm(full, axis=1, keepdims=True)
    vectors = neighbours.vectors_
    assert np.allclose(vectors @ vectors.T, full @ full.T, atol=1e-6)  # signs and order are free
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_word_neighbours_follow_scikit_learns_conventions(near):
    with pytest.warns(SkipTestWarning, match="Can't test estimator WordNeighbours which requires"):
        check_estimator(da.WordNeighbours())  # what it can check of an estimator on texts
    unfitted = clone(near)
    assert unfitted.get_params() == {"window": 3, "dimensions": 20, "min_count": 2}
    assert not hasattr(unfitted, "words_")
    assert unfitted.fit(["late plane, late plane"]) is unfitted
    assert unfitted.dimensions == 20  # stored as given, though there are two words only


def test_case_and_rare_words(near):
    assert "Suitcase" in near and "suitcase" in near and "zeppelin" not in near and 3 not in near
    assert near.nearest("SUITCASE", 2).index.tolist() == near.nearest("suitcase", 2).index.tolist()
    few = da.WordNeighbours(min_count=2).fit(["Late plane, late crew", "the plane"])
    assert few.words_ == ["late", "plane"] and few.vectors_.shape == (2, 1)
    assert len(few.nearest("late", 10)) == 1


@pytest.mark.parametrize(
    ("texts", "options", "error", "message"),
    [
        ([], {}, ValueError, "texts is empty"),
        (["", " . "], {}, ValueError, "at least two words"),
        (["one one"], {}, ValueError, r"at least two words .* got 1"),
        (["a b"], {}, ValueError, r"occur 2 times \(min_count\), got 0"),
        (["a", "b", "a", "b"], {}, ValueError, "no two known words within the window"),
        ("one text", {}, TypeError, "texts must be a list of strings"),
        (None, {}, TypeError, "texts must be a list of strings"),
        (["a", None], {}, TypeError, "texts must be a list of strings, got None"),
        (["a b a b"], {"window": 0}, ValueError, "window must be a whole number of at least 1"),
        (["a b a b"], {"dimensions": 0}, ValueError, "dimensions must be"),
        (["a b a b"], {"min_count": 0.5}, ValueError, "min_count must be"),
    ],
)
def test_an_empty_corpus_and_other_bad_input_is_refused(texts, options, error, message):
    with pytest.raises(error, match=message):
        da.WordNeighbours(**options).fit(texts)


def test_bad_input_of_the_parts_is_refused(near):
    with pytest.raises(ValueError, match="texts is empty"):
        da.cooccurrences([], ["a"])
    with pytest.raises(ValueError, match="words must hold each word once"):
        da.cooccurrences(["a"], ["a", "a"])
    with pytest.raises(ValueError, match="words is empty"):
        da.cooccurrences(["a"], [])
    for counts, message in (
        (np.ones((2, 3)), "counts must be square"),
        (-np.eye(2), "at least 0"),
        ([[np.nan, 1], [1, 1]], "finite"),
        ("abc", "counts must be a table of numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            da.ppmi(counts)
    with pytest.raises(ValueError, match=r"word must be one of the .* learned, got 'zeppelin'"):
        near.nearest("zeppelin")
    with pytest.raises(ValueError, match="k must be"):
        near.nearest("bag", k=0)
    with pytest.raises(NotFittedError):
        da.WordNeighbours().nearest("bag")


def test_substitution_keeps_what_it_must(near):
    text = "My SUITCASE, unloaded (at the zeppelin!) was lovely."
    assert da.substitute_words(text, near, rate=0) == text
    changed = da.substitute_words(text, near, rate=1, random_state=0)
    assert "zeppelin!)" in changed and changed.count(" ") == text.count(" ")
    assert "SUITCASE" not in changed
    assert da.substitute_words("", near, rate=1) == ""
    assert da.substitute_words(["12 + 3", "zeppelin"], near, rate=1) == ["12 + 3", "zeppelin"]


@settings(max_examples=25)
@given(st.floats(0, 1), st.integers(1, 5), st.integers(0, 99))
def test_substitutes_are_near_and_places_are_shared(near, rate, k, seed):
    texts = list(make_feedback(20, random_state=seed)["text"])
    options = {"rate": rate, "random_state": seed}
    nearest = da.substitute_words(texts, near, k=k, **options)
    random = da.substitute_words(texts, near, how="random", **options)
    assert nearest == da.substitute_words(texts, near, k=k, **options)
    for old, new, other in zip(texts, nearest, random, strict=True):
        words = [da._split(text) for text in (old, new, other)]
        for before, after, at_random in zip(*words, strict=True):
            assert (before == after) == (before == at_random)
            assert after == before or after in near.nearest(before, k).index


@pytest.mark.parametrize("how", ["nearest", "random"])
def test_the_rate_is_the_share_replaced(near, feedback, how):
    texts = list(feedback["text"])
    changed = da.substitute_words(texts, near, rate=0.3, how=how, random_state=0)
    pairs = [
        (old, new)
        for before, after in zip(texts, changed, strict=True)
        for old, new in zip(da._split(before), da._split(after), strict=True)
    ]
    share = np.mean([old != new for old, new in pairs])
    error = np.sqrt(0.3 * 0.7 / len(pairs))
    assert abs(share - 0.3) < 4 * error


def test_random_substitutes_are_any_other_word_with_equal_chance(near):
    changed = da.substitute_words(["bag"] * 8000, near, rate=1, how="random", random_state=0)
    counts = pd.Series(changed).value_counts()
    assert "bag" not in counts and len(counts) == len(near.words_) - 1
    assert stats.chisquare(counts).pvalue > 1e-4
    nearest = da.substitute_words(["bag"] * 3000, near, rate=1, k=3, random_state=0)
    assert stats.chisquare(pd.Series(nearest).value_counts()).pvalue > 1e-4


def _true_label(text, label):
    words = set(da._split(text))
    groups = FEEDBACK_WORDS[label].items()
    found = [name for name, parts in groups if words & {w for part in parts for w in part}]
    return found[0] if len(found) == 1 else None


def _kept(texts, feedback, label):
    truth = [_true_label(text, label) for text in texts]
    return np.mean([a == b for a, b in zip(truth, feedback[label], strict=True)])


def test_neighbours_keep_the_topic_where_random_words_break_it(near, feedback):
    texts = list(feedback["text"])
    assert _kept(texts, feedback, "topic") == _kept(texts, feedback, "mood") == 1
    options = {"rate": 0.3, "random_state": 0}
    nearest = da.substitute_words(texts, near, **options)
    random = da.substitute_words(texts, near, how="random", **options)
    assert _kept(nearest, feedback, "topic") > 0.9
    assert _kept(random, feedback, "topic") < 0.4
    assert _kept(nearest, feedback, "mood") < 0.8  # opposites are neighbours


def test_neighbours_help_for_the_topic_and_harm_for_the_mood(near, feedback):
    posts = feedback["text"].to_numpy(object)

    def copies(how):
        def augment(X, y, rng):
            new = [da.substitute_words(X, near, 0.3, how=how, random_state=rng) for _ in range(4)]
            return np.concatenate([X, *new]), np.tile(y, 5)

        return augment

    ways = {"none": None, "nearest": copies("nearest"), "random": copies("random")}
    reader = make_pipeline(CountVectorizer(), MultinomialNB())
    gains = {
        label: da.augmentation_gain(
            da.augmentation_curve(
                reader, posts, feedback[label].to_numpy(object), ways, [10], progress=False
            )
        )
        for label in ("topic", "mood")
    }
    assert gains["topic"].loc[("nearest", 10), "low"] > 0.03
    assert gains["mood"].loc[("nearest", 10), "high"] < -0.03
    assert gains["topic"].loc[("random", 10), "high"] < 0.02


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rate": -0.1}, ValueError, "rate must be a number at least 0 and at most 1, got -0.1"),
        ({"rate": 1.01}, ValueError, "rate must be"),
        ({"rate": np.nan}, ValueError, "rate must be"),
        ({"rate": "0.2"}, ValueError, "rate must be"),
        ({"k": 0}, ValueError, "k must be a whole number of at least 1, got 0"),
        ({"how": "near"}, ValueError, "how must be one of"),
        ({"texts": []}, ValueError, "texts is empty"),
        ({"texts": [3]}, TypeError, "texts must be a list of strings, got 3"),
        ({"neighbours": None}, TypeError, "neighbours must be a WordNeighbours"),
        ({"neighbours": da.WordNeighbours()}, NotFittedError, "not fitted"),
        ({"random_state": -3}, ValueError, "random_state"),
    ],
)
def test_bad_input_of_substitute_words_is_refused(near, options, error, message):
    with pytest.raises(error, match=message):
        da.substitute_words(**({"texts": ["a bag"], "neighbours": near} | options))


# --- Perturbation


def test_noise_has_its_size():
    X = np.full((200, 50), 0.5)
    normal = da.add_noise(X, 0.1, random_state=0, **FREE) - X
    assert abs(normal.mean()) < 4 * 0.1 / 100 and abs(normal.std() - 0.1) < 4 * 0.1 / 141
    sign = da.add_noise(X, 0.1, "sign", random_state=0) - X
    assert np.allclose(np.abs(sign), 0.1)
    assert abs((sign > 0).mean() - 0.5) < 4 * 0.5 / 100
    assert np.array_equal(da.add_noise(X, 0), X)


@given(st.floats(0, 2), st.sampled_from(["normal", "sign"]), st.integers(0, 9))
def test_noise_keeps_the_range(size, kind, seed):
    X = np.random.default_rng(seed).random((3, 2, 2))
    noisy = da.add_noise(X, size, kind, random_state=seed)
    assert noisy.shape == X.shape and noisy.min() >= 0 and noisy.max() <= 1


def _two_classes(halves):
    X, y, *_ = halves
    rows = np.isin(y, [3, 8])
    return X[rows], y[rows]


def test_fgsm_closed_form_for_logistic_regression(halves):
    """The margin falls by epsilon times the sum of |w|, for every row."""
    X, y = _two_classes(halves)
    model = LogisticRegression().fit(X, y)
    w, sign = model.coef_[0], np.where(y == 8, 1, -1)
    moved = da.fgsm(model, X, y, 0.07, **FREE)
    assert np.allclose(moved, X - 0.07 * sign[:, None] * np.sign(w))
    fall = sign * (model.decision_function(X) - model.decision_function(moved))
    assert np.allclose(fall, 0.07 * np.abs(w).sum())
    for steps in (2, 3, 7):  # the gradient's sign stays, and 2.5 ε of way is more than enough
        assert np.allclose(da.fgsm(model, X, y, 0.07, steps=steps, **FREE), moved)


def test_one_step_is_fgsm_and_more_are_projected_gradient_descent(halves, networks):
    """Against the formulas, written out: Goodfellow et al. (2015) and Madry et al. (2018)."""
    X, y = halves[2][:50], halves[3][:50]
    network, epsilon = networks["plain"][0], 0.15

    def sign(rows):
        return np.sign(da._loss_gradient(network, rows, y))

    one = np.clip(X + epsilon * sign(X), 0, 1)
    assert np.allclose(da.fgsm(network, X, y, epsilon), one, atol=1e-15)
    low, high = np.maximum(X - epsilon, 0), np.minimum(X + epsilon, 1)
    moved = X
    for _ in range(5):
        moved = np.minimum(np.maximum(moved + epsilon / 2 * sign(moved), low), high)
    assert np.allclose(da.fgsm(network, X, y, epsilon, steps=5), moved)
    assert not np.allclose(moved, one)


def test_random_signs_move_the_margin_by_the_root_of_the_sum_of_squares(halves):
    X, y = _two_classes(halves)
    model = LogisticRegression().fit(X, y)
    repeats = np.repeat(X[:1], 20_000, axis=0)
    noisy = da.add_noise(repeats, 0.1, "sign", random_state=0, **FREE)
    spread = model.decision_function(noisy).std()
    assert spread == pytest.approx(0.1 * np.linalg.norm(model.coef_), rel=0.03)


def _loss(model, X, y):
    proba = model.predict_proba(X)
    return -np.log(proba[np.arange(len(y)), np.searchsorted(model.classes_, y)])


@pytest.mark.parametrize("kind", ["logistic", "two classes", "network"])
def test_the_gradient_is_the_finite_difference(halves, kind):
    X, y, *_ = halves
    if kind == "two classes":
        X, y = _two_classes(halves)
    model = LogisticRegression(max_iter=1000) if kind != "network" else None
    model = (model or da.RobustNetwork(steps=60, random_state=0)).fit(X, y)
    X, y = X[:6] + 0.001, y[:6]
    gradient = da._loss_gradient(model, X, y)
    for pixel in (10, 20, 37, 51):
        step = np.zeros(64)
        step[pixel] = 1e-5
        slope = (_loss(model, X + step, y) - _loss(model, X - step, y)) / 2e-5
        assert np.allclose(gradient[:, pixel], slope, atol=1e-6)


def test_a_torch_module_is_attacked_as_torch_says(halves):
    X, y, *_ = halves
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 10)).double()
    inputs = torch.tensor(X[:50], requires_grad=True)
    torch.nn.functional.cross_entropy(module(inputs), torch.tensor(y[:50])).backward()
    expected = np.clip(X[:50] + 0.1 * inputs.grad.sign().numpy(), 0, 1)
    assert np.allclose(da.fgsm(module, X[:50], y[:50], 0.1), expected)
    single = torch.nn.Linear(64, 10)  # 32 bits, as torch makes them
    assert da.fgsm(single, X[:5], y[:5], 0.1).shape == (5, 64)


@settings(max_examples=20)
@given(st.floats(0, 0.6), st.integers(1, 4), st.integers(0, 20))
def test_no_pixel_moves_further_than_epsilon_or_leaves_its_range(halves, epsilon, steps, seed):
    X, y, *_ = halves
    rows = np.random.default_rng(seed).integers(len(X), size=5)
    model = LogisticRegression(max_iter=50, tol=0.1).fit(X[:100], y[:100])
    moved = da.fgsm(model, X[rows], y[rows], epsilon, steps=steps)
    assert np.abs(moved - X[rows]).max() <= epsilon + 1e-12
    assert moved.min() >= 0 and moved.max() <= 1


def test_images_may_stay_images(halves, networks):
    X, y, *_ = halves
    network = networks["plain"][0]
    flat = da.fgsm(network, X[:7], y[:7], 0.1)
    images = da.fgsm(network, X[:7].reshape(7, 8, 8), y[:7], 0.1)
    assert np.array_equal(images, flat.reshape(7, 8, 8))


def test_labels_may_be_names(halves):
    X, y, *_ = halves
    names = np.array(list("abcdefghij"))[y]
    by_name = da.RobustNetwork(steps=30, random_state=0).fit(X, names)
    by_number = da.RobustNetwork(steps=30, random_state=0).fit(X, y)
    assert set(by_name.predict(X[:50])) <= set("abcdefghij")
    expected = da.fgsm(by_number, X[:9], y[:9], 0.1)
    assert np.array_equal(da.fgsm(by_name, X[:9], names[:9], 0.1), expected)


def test_aimed_steps_hurt_and_random_ones_of_the_same_size_do_not(halves, networks):
    *_, X, y = halves
    for attack, low, high in (("fgsm", 0.0, 0.15), ("noise", 0.85, 1.0)):
        curve = da.robustness_curve({"a": networks["plain"]}, X, y, [0.2], attack=attack)
        assert low <= curve["accuracy"].min() and curve["accuracy"].max() <= high


def test_adversarial_training_lifts_the_curve(halves, networks):
    *_, X, y = halves
    curve = da.robustness_curve(networks, X, y, [0, 0.05, 0.1, 0.15, 0.2])
    assert len(curve) == 3 * 3 * 5
    mean = curve.pivot_table(index="method", columns="epsilon", values="accuracy")
    gain = mean.loc["adversarial"] - mean.loc["plain"]
    assert (gain[[0.05, 0.1, 0.15, 0.2]] > 0.03).all() and gain[0.1] > 0.15
    assert gain[0] > -0.03  # what it costs on true images
    assert gain[0.1] > 2 * (mean.loc["noise", 0.1] - mean.loc["plain", 0.1])
    assert (mean.diff(axis=1).iloc[:, 1:] < 0).all(axis=None)  # stronger attacks hurt more


def test_more_steps_are_a_stronger_attack_and_the_order_stays(halves, networks):
    *_, X, y = halves
    curves = [da.robustness_curve(networks, X, y, [0.15], steps=steps) for steps in (1, 10)]
    one, ten = (curve.groupby("method")["accuracy"].mean() for curve in curves)
    assert (ten <= one).all() and ten["adversarial"] > ten["plain"] + 0.2
    network, rows = networks["plain"][0], slice(0, 200)
    losses = [
        _loss(network, da.fgsm(network, X[rows], y[rows], 0.15, steps=steps), y[rows]).mean()
        for steps in (1, 10)
    ]
    assert losses[1] > losses[0]


def test_robustness_at_zero_is_the_score_and_any_model_takes_noise(halves):
    X, y, X_test, y_test = halves
    model = KNeighborsClassifier(1).fit(X, y)
    curve = da.robustness_curve({"knn": model}, X_test, y_test, [0, 0.1], attack="noise")
    assert curve["accuracy"][0] == model.score(X_test, y_test)
    assert curve["repeat"].tolist() == [0, 0] and curve["epsilon"].tolist() == [0, 0.1]


@parametrize_with_checks([da.RobustNetwork(steps=100, random_state=0)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_the_network_is_the_same_for_the_same_seed_and_leaves_torch_alone(halves):
    X, y, *_ = halves
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first, second = (
        da.RobustNetwork(0.1, steps=20, random_state=3).fit(X, y).predict_proba(X) for _ in range(2)
    )
    assert np.array_equal(first, second)
    assert torch.equal(state, torch.get_rng_state()) and torch.get_num_threads() == threads


def test_without_epsilon_the_loss_is_that_of_the_batch(halves):
    """Both halves of the loss are then the same, so the kind of perturbation has no say."""
    X, y, *_ = halves
    kinds = [
        da.RobustNetwork(0, kind, steps=15, random_state=0).fit(X, y).predict_proba(X[:20])
        for kind in ("adversarial", "noise")
    ]
    assert np.array_equal(*kinds)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": -0.1}, "epsilon must be a number at least 0, got -0.1"),
        ({"epsilon": np.nan}, "epsilon must be"),
        ({"perturbation": "evil"}, "perturbation must be one of"),
        ({"hidden": 0}, "hidden must be"),
        ({"steps": 0}, "steps must be"),
        ({"batch_size": 2.5}, "batch_size must be"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0"),
        ({"random_state": -1}, "random_state"),
        ({"learning_rate": 1e300, "steps": 30}, "training diverged; lower learning_rate"),
    ],
)
def test_bad_parameters_of_the_network_are_refused(options, message):
    X, y = np.random.default_rng(0).random((20, 3)), np.arange(20) % 2
    with pytest.raises(ValueError, match=message):
        da.RobustNetwork(**options).fit(X, y)


def test_bad_data_of_the_network_is_refused():
    X, y = np.random.default_rng(0).random((20, 3)), np.arange(20) % 2
    with pytest.raises(ValueError, match=r"X must hold pixels from 0 to 1, got 1\.5"):
        da.RobustNetwork(epsilon=0.1).fit(np.where(X.max() == X, 1.5, X), y)
    with pytest.raises(ValueError, match="1 class"):
        da.RobustNetwork().fit(X, np.zeros(20))
    with pytest.raises(ValueError, match="NaN"):
        da.RobustNetwork().fit(np.full((20, 3), np.nan), y)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epsilon": -0.1}, ValueError, "epsilon must be a number at least 0, got -0.1"),
        ({"epsilon": np.inf}, ValueError, "epsilon must be"),
        ({"steps": 0}, ValueError, "steps must be"),
        ({"X": np.full((2, 3), 1.5)}, ValueError, "X must hold pixels from 0 to 1, got 1.5"),
        ({"X": np.full((2, 3), np.nan)}, ValueError, "X must hold finite numbers"),
        ({"X": np.zeros((0, 3))}, ValueError, "X is empty"),
        ({"y": [0]}, ValueError, "y must have 2 entries"),
        ({"y": [0, 7]}, ValueError, r"y must hold the classes \[0, 1\], got 7"),
        ({"low": 1.0}, ValueError, "low must be below high"),
        ({"low": "0"}, ValueError, "low and high must hold numbers"),
        ({"high": np.nan}, ValueError, "low and high holds 1 missing"),
        ({"model": RidgeClassifier()}, TypeError, "model must be a LogisticRegression"),
        ({"model": LogisticRegression()}, NotFittedError, "not fitted"),
        ({"model": da.RobustNetwork()}, NotFittedError, "not fitted"),
    ],
)
def test_bad_input_of_fgsm_is_refused(options, error, message):
    X, y = np.random.default_rng(0).random((20, 3)), np.arange(20) % 2
    fine = {"model": LogisticRegression().fit(X, y), "X": X[:2], "y": y[:2], "epsilon": 0.1}
    with pytest.raises(error, match=message):
        da.fgsm(**(fine | options))


def test_a_torch_module_that_does_not_fit_is_refused():
    X = np.full((2, 3), 0.5)
    with pytest.raises(ValueError, match="y must be below 2, got 2"):
        da.fgsm(torch.nn.Linear(3, 2), X, [0, 2], 0.1)
    with pytest.raises(ValueError, match="y must hold class numbers"):
        da.fgsm(torch.nn.Linear(3, 2), X, [0, 0.5], 0.1)
    with pytest.raises(ValueError, match="model must give logits"):
        da.fgsm(torch.nn.Flatten(0), X, [0, 1], 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": -1}, "size must be a number at least 0, got -1"),
        ({"kind": "pink"}, "kind must be one of"),
        ({"X": [[2.0]]}, "X must hold pixels from 0 to 1, got 2"),
        ({"X": []}, "X is empty"),
        ({"low": 2}, "low must be below high"),
        ({"random_state": 0.5}, "random_state"),
    ],
)
def test_bad_input_of_add_noise_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        da.add_noise(**({"X": [[0.5]], "size": 0.1} | options))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"models": {}}, ValueError, "models must be a dict"),
        ({"models": {"a": 3}}, TypeError, r"models\['a'\] must be fitted classifiers"),
        ({"epsilons": []}, ValueError, "epsilons is empty"),
        ({"epsilons": [0, -0.1]}, ValueError, "epsilons must be at least 0, got -0.1"),
        ({"epsilons": [np.nan]}, ValueError, "epsilons holds 1 missing"),
        ({"attack": "words"}, ValueError, "attack must be one of"),
        ({"X": [[3.0], [0.0]]}, ValueError, "X must hold pixels"),
        ({"y": [1]}, ValueError, "y must have 2 entries"),
        ({"models": {"a": DummyClassifier().fit([[0], [1]], [0, 1])}}, TypeError, "gradient"),
    ],
)
def test_bad_input_of_robustness_curve_is_refused(options, error, message):
    X, y = np.array([[0.0], [1.0]]), np.array([0, 1])
    fine = {"models": {"a": LogisticRegression().fit(X, y)}, "X": X, "y": y, "epsilons": [0.1]}
    with pytest.raises(error, match=message):
        da.robustness_curve(**(fine | options))


def test_inputs_are_never_changed(digits, halves, near, networks):
    X, y = digits[0][:30].copy(), digits[1][:30].copy()
    counts, before = np.eye(3), (X.copy(), y.copy())
    for array in (X, y, counts):
        array.flags.writeable = False
    for transform in TRANSFORMS.values():
        transform(X[0])
    scribble = [lambda image, rng: np.multiply(image, 0, out=image)]
    da.augment_images(X, y, scribble)
    da.label_preservation(networks["plain"][0], pixel_rows(X), y, {"a": lambda X: X})
    da.ppmi(counts)
    da.add_noise(X, 0.5)
    da.fgsm(networks["plain"][0], X, y, 0.3, steps=2)
    da.robustness_curve({"a": networks["plain"]}, pixel_rows(X), y, [0.1])
    texts = ["my bag", "a meal"]
    da.substitute_words(texts, near, 1)
    assert texts == ["my bag", "a meal"]
    assert np.array_equal(X, before[0]) and np.array_equal(y, before[1])


# --- Data


def test_digits_are_scikit_learns_scaled(digits):
    from sklearn.datasets import load_digits as bundled

    X, y = digits
    assert np.array_equal(X * 16, bundled().images) and np.array_equal(y, bundled().target)
    assert X.min() == 0 and X.max() == 1
    assert (np.bincount(y).min(), np.bincount(y).max()) == (174, 183)


@pytest.mark.parametrize("name", ["flower", "china"])
def test_photographs(name):
    image = datasets.load_photograph(name)
    assert image.shape == (427, 640, 3) and image.min() >= 0 and image.max() == 1
    with pytest.raises(ValueError, match="name must be one of 'flower', 'china', got 'cat'"):
        datasets.load_photograph("cat")


def test_docstrings_are_plain_sentences_with_one_label_each():
    table = load_docstrings()
    assert table.shape == (15_825, 2) and table["sentence"].is_unique
    counts = {"networkx": 2539, "numpy": 2108, "pandas": 2444}
    counts |= {"scikit-learn": 3298, "scipy": 4271, "torch": 1165}
    assert table["library"].value_counts().to_dict() == counts
    lengths = table["sentence"].str.split().str.len()
    assert lengths.between(6, 40).all() and lengths.sum() == 190_762
    assert table["sentence"].str.fullmatch(r"[A-Z][A-Za-z ,;:'()\-]+\.").all()


def test_feedback_is_what_its_words_say():
    table = make_feedback(500, random_state=1)
    for label in ("topic", "mood"):
        assert [_true_label(text, label) for text in table["text"]] == table[label].tolist()
    assert make_feedback(5, random_state=1).equals(table.head(5))
    cross = pd.crosstab(*(make_feedback(4000)[label] for label in ("topic", "mood")))
    assert stats.chi2_contingency(cross).pvalue > 1e-4  # drawn independently
    words = [w for groups in FEEDBACK_WORDS.values() for parts in groups.values() for w in parts]
    words = [word for part in words for word in part]
    assert len(words) == len(set(words)) == 4 * 3 * 4 + 2 * 4  # each in one group only
    for bad in (0, 2.5, "many"):
        with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
            make_feedback(bad)


@pytest.mark.parametrize("folder", ["digits", "photographs", "docstrings", "feedback"])
def test_each_dataset_has_a_card(folder):
    card = (datasets._FOLDER / folder / "README.md").read_text(encoding="utf-8")
    for part in ("Source", "Licence", "How it was made", "What it is used for", "Columns"):
        assert f"## {part}" in card


def test_importing_the_module_does_not_load_torch():
    import subprocess
    import sys

    code = "import sys, mlsys_helpers.data_augmentation as da; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


# --- Exercises: the mistakes that people make, and a word of the diagnosis that each must meet


def _flips_all(X, y, safe):
    return np.concatenate([X, X[:, :, ::-1]]), np.concatenate([y, y])


def _only_copies(X, y, safe):
    rows = np.isin(y, list(safe))
    return X[rows][:, :, ::-1], y[rows]


def _flip(X, y, safe, turn, labels=True):
    rows = np.isin(y, list(safe))
    return np.concatenate([X, turn(X[rows])]), np.concatenate([y, y[rows]]) if labels else y


def _random_rows(original, is_copy, test_images):
    rows = np.arange(len(original))
    test = rows[np.isin(rows, test_images)]
    return np.setdiff1d(rows, test), test


def _split(original, is_copy, test_images, *, train=None, test=None):
    marked = np.isin(original, test_images)
    train = ~marked if train is None else train(marked, is_copy)
    test = marked & ~is_copy if test is None else test(marked, is_copy)
    return np.flatnonzero(train), np.flatnonzero(test)


def _pmi(counts, first=1, second=0):
    chance = np.outer(counts.sum(axis=first), counts.sum(axis=second)) / counts.sum()
    return counts / chance


def _ppmi_by(counts, first, second):
    """PPMI by the sums of these axes: right only for 1 and 0, but for a symmetric table."""
    return np.log(np.maximum(_pmi(counts, first, second), 1))


def _on_met(counts, function):
    """function(ratio) where two words meet, else 0."""
    ratio = _pmi(counts)
    return np.where(counts > 0, function(np.where(counts > 0, ratio, 1)), 0)


def _step(X, y, w, b, epsilon, move):
    p = 1 / (1 + np.exp(-(X @ w + b)))
    return X + epsilon * move((p - y)[:, None] * w)


WRONG_ANSWERS = {
    "flip_where_safe": [
        (_flips_all, "A flipped 6 is no 6"),
        (_only_copies, "originals stay"),
        (lambda X, y, safe: _flip(X, y, safe, lambda Z: Z[:, ::-1]), "top and bottom"),
        (lambda X, y, safe: _flip(X, y, safe, lambda Z: Z[::-1]), "order of the images"),
        (lambda X, y, safe: _flip(X, y, safe, lambda Z: Z), "not flipped yet"),
        (
            lambda X, y, safe: _flip(X, y, safe, lambda Z: Z[:, :, ::-1], labels=False),
            "a label for every image",
        ),
    ],
    "split_by_original": [
        (_random_rows, "copies of a test image"),
        (lambda o, c, t: _split(o, c, t, test=lambda m, c: m), "The world sends no copies"),
        (lambda o, c, t: _split(o, c, t, train=lambda m, c: ~m & ~c), "are gone"),
        (lambda o, c, t: _split(o, c, t)[::-1], "swapped"),
        (lambda o, c, t: (~np.isin(o, t), np.isin(o, t) & ~c), "not masks"),
    ],
    "ppmi_table": [
        (lambda counts: np.log(_pmi(counts)), "NaN or an infinity"),
        (lambda counts: _on_met(counts, np.log), "positive"),
        (lambda counts: np.maximum(_on_met(counts, np.log2), 0), "natural"),
        (lambda counts: _pmi(counts), "ratio"),
        (lambda counts: np.log(np.maximum(counts, 1)), "frequent words win"),
        (lambda counts: _ppmi_by(counts, 1, 1), "a's share is its row"),
        (lambda counts: _ppmi_by(counts, 0, 0), "b's its column"),
    ],
    "fgsm_step": [
        (lambda X, y, w, b, e: np.clip(_step(X, y, w, b, -e, np.sign), 0, 1), "helped"),
        (lambda X, y, w, b, e: np.clip(X + e * np.sign(w), 0, 1), "same way"),
        (lambda X, y, w, b, e: np.clip(_step(X, y, w, b, e, lambda g: g), 0, 1), "Take its sign"),
        (lambda X, y, w, b, e: _step(X, y, w, b, e, np.sign), "Clip"),
        (
            lambda X, y, w, b, e: np.clip(
                _step(X, y, w, b, e, lambda g: np.where(g >= 0, 1, -1)), 0, 1
            ),
            "sign of 0 is 0",
        ),
    ],
}
