"""Chapter 07: more training rows from the rows you have.

In the order of the chapter: transformations of images that keep the label; words replaced by
their neighbours; perturbations, from noise to adversarial examples.

An image is an array of shape (height, width) or (height, width, channels). Functions that take
many images take them in one array, images first.
"""

import re
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pandas as pd
from scipy import ndimage, sparse, stats
from scipy.sparse.linalg import svds
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm.auto import tqdm

from mlsys_helpers import _checks
from mlsys_helpers.plotting import COLORS, get_axes, label_line, percent_axis

__all__ = [
    "crop",
    "flip",
    "rotate",
    "shift",
    "augment_images",
    "label_preservation",
    "augmentation_curve",
    "augmentation_gain",
    "plot_augmentation",
    "cooccurrences",
    "ppmi",
    "WordNeighbours",
    "substitute_words",
    "add_noise",
    "fgsm",
    "RobustNetwork",
    "robustness_curve",
    "plot_robustness",
]


# --- Images ----------------------------------------------------------------------------------


def crop(image, keep, top=0.5, left=0.5):
    """Cut a window out of an image and enlarge it to the image's size.

    Parameters
    ----------
    image : array-like of shape (height, width) or (height, width, channels)
    keep : float in (0, 1]
        Height and width of the window, as a share of the image's. 1 changes nothing.
    top, left : float in [0, 1], default 0.5
        Where the window lies: 0 at the top or left edge, 1 at the bottom or right.

    Returns
    -------
    ndarray
        Of the image's shape and dtype; between pixels, values are interpolated linearly.

    Raises
    ------
    ValueError
        If the image has another shape, is empty or holds anything but finite numbers, or a
        parameter is out of range.

    References
    ----------
    Chapter 07, Label-preserving transformations.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.data_augmentation import crop
    >>> crop(np.arange(25).reshape(5, 5), keep=0.6, top=0, left=0)[0].tolist()
    [0, 0, 1, 2, 2]
    """
    image = _image(image)
    _checks.number(keep, "keep", low=0, high=1, open_low=True)
    at = np.array([_checks.number(top, "top", 0, 1), _checks.number(left, "left", 0, 1)])
    # Pixel i covers [i, i + 1); its centre, i + 1/2, is where the window is looked up.
    start = at * (1 - keep) * image.shape[:2]
    return _resample(image, np.eye(2) * keep, start + keep / 2 - 0.5, mode="nearest")


def flip(image, axis="horizontal"):
    """Mirror an image.

    Parameters
    ----------
    image : array-like of shape (height, width) or (height, width, channels)
    axis : {"horizontal", "vertical"}, default "horizontal"
        "horizontal" exchanges left and right, "vertical" top and bottom.

    Returns
    -------
    ndarray
        Of the image's shape and dtype; the same values.

    Raises
    ------
    ValueError
        If the image has another shape, is empty or holds anything but finite numbers, or there
        is no such axis.

    References
    ----------
    Chapter 07, Label-preserving transformations.

    Examples
    --------
    >>> from mlsys_helpers.data_augmentation import flip
    >>> flip([[1, 2], [3, 4]]).tolist()
    [[2, 1], [4, 3]]
    """
    image = _image(image)
    _checks.one_of(axis, "axis", ("horizontal", "vertical"))
    return np.flip(image, axis=1 if axis == "horizontal" else 0).copy()


def rotate(image, degrees, fill=0.0):
    """Turn an image about its centre, counter-clockwise.

    Parameters
    ----------
    image : array-like of shape (height, width) or (height, width, channels)
    degrees : float
        Negative ones turn clockwise.
    fill : float, default 0
        What stands where the image does not reach.

    Returns
    -------
    ndarray
        Of the image's shape and dtype; between pixels, values are interpolated linearly.

    Raises
    ------
    ValueError
        If the image has another shape, is empty or holds anything but finite numbers, or a
        parameter is no finite number.

    References
    ----------
    Chapter 07, Label-preserving transformations.

    Examples
    --------
    >>> from mlsys_helpers.data_augmentation import rotate
    >>> rotate([[1, 2], [3, 4]], 90).tolist()
    [[2, 4], [1, 3]]
    """
    image = _image(image)
    angle = np.deg2rad(_checks.number(degrees, "degrees"))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]).round(15)
    centre = (np.array(image.shape[:2]) - 1) / 2
    return _resample(image, turn, centre - turn @ centre, fill)


def shift(image, down, right, fill=0.0):
    """Move an image by pixels, or by parts of one.

    Parameters
    ----------
    image : array-like of shape (height, width) or (height, width, channels)
    down, right : float
        Pixels; negative ones move up and left.
    fill : float, default 0
        What stands where the image has left.

    Returns
    -------
    ndarray
        Of the image's shape and dtype; between pixels, values are interpolated linearly.

    Raises
    ------
    ValueError
        If the image has another shape, is empty or holds anything but finite numbers, or a
        parameter is no finite number.

    References
    ----------
    Chapter 07, Label-preserving transformations.

    Examples
    --------
    >>> from mlsys_helpers.data_augmentation import shift
    >>> shift([[1, 2], [3, 4]], down=1, right=0).tolist()
    [[0, 0], [1, 2]]
    >>> shift([[0.0, 1.0, 0.0]], down=0, right=0.5).tolist()
    [[0.0, 0.5, 0.5]]
    """
    image = _image(image)
    moved = [_checks.number(down, "down"), _checks.number(right, "right")]
    return _resample(image, np.eye(2), -np.array(moved, dtype=float), fill)


def augment_images(X, y, transforms, copies=1, *, random_state=None):
    """The images, followed by changed copies of them with the same labels.

    Give it training images only: a copy of a test image is no new image.

    Parameters
    ----------
    X : array-like of shape (n, height, width) or (n, height, width, channels)
    y : array-like of shape (n,)
        Labels; each copy keeps that of its image.
    transforms : list of functions
        ``transform(image, rng) -> image`` of the same shape, applied one after the other;
        ``rng`` is a numpy Generator to draw angles and the like from.
    copies : int, default 1
        Changed copies of each image; 0 changes nothing.
    random_state : int, numpy Generator or None

    Returns
    -------
    X_augmented : ndarray of shape (n * (1 + copies), …)
        The originals first, in their order; the dtype is that of X.
    y_augmented : ndarray of shape (n * (1 + copies),)

    Raises
    ------
    ValueError
        If X is no array of images, lengths differ, a parameter is out of range, or a transform
        gives another shape or something that is not finite.
    TypeError
        If transforms is not a list of functions.

    References
    ----------
    Chapter 07, Label-preserving transformations. P. Y. Simard, D. Steinkraus and J. C. Platt,
    "Best practices for convolutional neural networks applied to visual document analysis",
    ICDAR (2003).

    Examples
    --------
    >>> from mlsys_helpers.data_augmentation import augment_images, rotate
    >>> from mlsys_helpers.datasets import load_digits
    >>> X, y = load_digits()
    >>> tilt = [lambda image, rng: rotate(image, rng.uniform(-10, 10))]
    >>> X_more, y_more = augment_images(X[:100], y[:100], tilt, copies=4, random_state=0)
    >>> X_more.shape, y_more.shape
    ((500, 8, 8), (500,))
    """
    X = _images(X)
    y = _checks.column(y, "y", len(X))
    if not isinstance(transforms, (list, tuple)) or not all(map(callable, transforms)):
        raise TypeError(f"transforms must be a list of functions, got {transforms!r}")
    copies = _checks.whole_number(copies, "copies", low=0)
    rng = _checks.generator(random_state)
    augmented = np.tile(X, (1 + copies,) + (1,) * (X.ndim - 1))
    for i in range(len(X), len(augmented)):
        image = augmented[i].copy()
        for transform in transforms:
            image = np.asarray(transform(image, rng))
            if image.shape != X.shape[1:]:
                raise ValueError(
                    f"each of transforms must keep the shape {X.shape[1:]}, got {image.shape}"
                )
        if image.dtype.kind not in "buif" or not np.isfinite(image).all():
            raise ValueError("each of transforms must give finite numbers")
        augmented[i] = _in_dtype(image, X.dtype)
    return augmented, np.tile(y, 1 + copies)


def label_preservation(judge, X, y, transforms):
    """How often a judge still sees the old label after each transformation, class by class.

    Parameters
    ----------
    judge : fitted classifier
        Takes what X holds; it must not have been trained on these rows.
    X : array-like of n images or texts
    y : array-like of shape (n,)
        Their labels.
    transforms : dict
        Name → function ``(X) -> X`` that changes all of them.

    Returns
    -------
    DataFrame, a row for each transformation and a column for each class
        Shares in [0, 1]. Give the judge's own errors away with ``{"as it is": lambda X: X}``.

    Raises
    ------
    ValueError
        If lengths differ, transforms is empty, or one of them loses or adds rows.
    TypeError
        If judge has no ``predict``, or a transform is no function.

    References
    ----------
    Chapter 07, Label-preserving transformations.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from mlsys_helpers.data_augmentation import label_preservation
    >>> judge = DummyClassifier(strategy="most_frequent").fit(np.zeros((3, 1)), [0, 1, 1])
    >>> table = label_preservation(judge, np.zeros((4, 1)), [0, 0, 1, 1], {"none": lambda X: X})
    >>> table.loc["none"].tolist()
    [0.0, 1.0]
    """
    if not hasattr(judge, "predict"):
        raise TypeError(f"judge must be a fitted classifier, got {judge!r}")
    if not isinstance(transforms, dict) or not transforms:
        raise ValueError(f"transforms must be a dict of at least one function, got {transforms!r}")
    y = _checks.column(y, "y", len(X))
    rows = {}
    for name, transform in transforms.items():
        if not callable(transform):
            raise TypeError(f"transforms[{name!r}] must be a function, got {transform!r}")
        changed = transform(X)
        if len(changed) != len(y):
            raise ValueError(f"transforms[{name!r}] must keep {len(y)} rows, got {len(changed)}")
        rows[name] = pd.Series(judge.predict(changed) == y).groupby(y).mean()
    return pd.DataFrame(rows).T


# --- Does it help? ---------------------------------------------------------------------------


def augmentation_curve(
    model, X, y, augmenters, sizes, *, repeats=10, X_test=None, random_state=0, progress=True
):
    """Accuracy against the number of training rows, for each way of adding rows.

    In each repeat the rows of every class are shuffled. The first ones are for training, the
    small training sets being parts of the large ones; those beyond the largest size are for the
    test. All methods and sizes of a repeat meet the same test rows, which are never augmented.

    Parameters
    ----------
    model : unfitted classifier
        Cloned for each fit.
    X : array-like of n images, texts or rows
    y : array-like of shape (n,)
        Labels, at least two classes.
    augmenters : dict
        Name → function ``(X, y, rng) -> (X, y)``, called with training rows only, or None for
        no augmentation. The first is the baseline of `augmentation_gain`.
    sizes : list of int
        Training rows of each class, before augmentation.
    repeats : int, default 10
    X_test : array-like of n images, texts or rows, optional
        What is tested in place of the rows of X, row by row: the same images as they come from
        a worse camera, say.
    random_state : int, numpy Generator or None
    progress : bool, default True
        Show a bar, a step a repeat.

    Returns
    -------
    DataFrame
        ``method``, ``size``, ``repeat`` and ``accuracy``, a row for each fit.

    Raises
    ------
    ValueError
        If lengths differ, augmenters or sizes are empty, a parameter is out of range, or a class
        has no row left for the test.
    TypeError
        If an augmenter is no function.

    References
    ----------
    Chapter 07, Label-preserving transformations.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from mlsys_helpers.data_augmentation import augmentation_curve
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer()
    >>> jitter = lambda X, y, rng: (X + rng.normal(0, 0.01, X.shape), y)
    >>> ways = {"as it is": None, "jitter": jitter}
    >>> table = augmentation_curve(
    ...     KNeighborsClassifier(1), X, y, ways, sizes=[5, 20], repeats=2, progress=False
    ... )
    >>> table.shape
    (8, 4)
    """
    X = np.asarray(X)
    X_test = X if X_test is None else np.asarray(X_test)
    y = _checks.column(y, "y", len(X))
    if len(X_test) != len(X):
        raise ValueError(f"X_test must have {len(X)} rows, as X has, got {len(X_test)}")
    if not isinstance(augmenters, dict) or not augmenters:
        raise ValueError(f"augmenters must be a dict of at least one, got {augmenters!r}")
    for name, augment in augmenters.items():
        if augment is not None and not callable(augment):
            raise TypeError(f"augmenters[{name!r}] must be a function or None, got {augment!r}")
    sizes = [_checks.whole_number(size, "each of sizes") for size in sizes]
    if not sizes:
        raise ValueError("sizes is empty")
    _checks.whole_number(repeats, "repeats")
    classes = _checks.classes(y, "y")
    smallest = pd.Series(y).value_counts().min()
    if smallest <= max(sizes):
        raise ValueError(f"sizes must be below {smallest}, the smallest class; got {max(sizes)}")
    rng = _checks.generator(random_state)

    rows = []
    for repeat in tqdm(range(repeats), "repeats", disable=not progress):
        rng_rows, rng_copies = rng.spawn(2)  # the rows do not depend on the augmenters
        shuffled = [rng_rows.permutation(np.flatnonzero(y == label)) for label in classes]
        test = np.concatenate([own[max(sizes) :] for own in shuffled])
        for size in sizes:
            train = np.concatenate([own[:size] for own in shuffled])
            for name, augment in augmenters.items():
                X_train, y_train = X[train], y[train]
                if augment is not None:
                    X_train, y_train = augment(X_train, y_train, rng_copies)
                accuracy = clone(model).fit(X_train, y_train).score(X_test[test], y[test])
                rows.append((name, size, repeat, accuracy))
    return pd.DataFrame(rows, columns=["method", "size", "repeat", "accuracy"])


def augmentation_gain(table):
    """What each method adds to the accuracy of the first one, with an interval.

    Parameters
    ----------
    table : DataFrame
        From `augmentation_curve`, with at least two repeats.

    Returns
    -------
    DataFrame, a row for each other method and size
        ``accuracy`` of the method, ``gain`` over the first method in the same repeats, and its
        95 % interval ``low`` to ``high``, by Student's t over the repeats. The interval is for
        other training rows from the same data: repeats share most of their test rows.

    Raises
    ------
    ValueError
        If the table lacks a column, or holds one repeat or one method only.

    References
    ----------
    Chapter 07, Label-preserving transformations.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.data_augmentation import augmentation_gain
    >>> table = pd.DataFrame({"method": ["none", "shift"] * 3, "size": 5,
    ...     "repeat": [0, 0, 1, 1, 2, 2], "accuracy": [0.8, 0.9, 0.7, 0.9, 0.6, 0.9]})
    >>> augmentation_gain(table)[["gain", "low", "high"]].round(2).values.tolist()
    [[0.2, -0.05, 0.45]]
    """
    table = _curve_table(table)
    wide = table.pivot(index=["size", "repeat"], columns="method", values="accuracy")
    methods = table["method"].unique()
    if len(methods) < 2 or table["repeat"].nunique() < 2:
        raise ValueError("table must hold at least two methods and two repeats")
    rows = []
    for method in methods[1:]:
        gains = (wide[method] - wide[methods[0]]).groupby("size")
        accuracy = wide[method].groupby("size").mean()
        half = gains.sem() * stats.t.ppf(0.975, gains.count() - 1)
        columns = {"accuracy": accuracy, "gain": gains.mean()}
        columns |= {"low": gains.mean() - half, "high": gains.mean() + half}
        rows.append(pd.DataFrame(columns))
    return pd.concat(rows, keys=methods[1:], names=["method"])


def plot_augmentation(table, ax=None, colors=None):
    """Draw accuracy against training rows: the mean of the repeats, and a band from end to end.

    Parameters
    ----------
    table : DataFrame
        From `augmentation_curve`.
    ax : matplotlib Axes or None
    colors : dict, optional
        Method → name in `plotting.COLORS`; by default they are given out in turn.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the table lacks a column.

    References
    ----------
    Chapter 07, Label-preserving transformations.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.data_augmentation import plot_augmentation
    >>> table = pd.DataFrame({"method": ["none"] * 4, "size": [5, 5, 20, 20],
    ...     "repeat": [0, 1, 0, 1], "accuracy": [0.8, 0.7, 0.9, 0.9]})
    >>> plot_augmentation(table).get_xlabel()
    'training rows of each class'
    """
    table = _curve_table(table)
    ax = get_axes(ax)
    sizes = np.sort(table["size"].unique())
    _plot_bands(ax, table, "size", colors)
    ax.set(xscale="log", xlabel="training rows of each class", ylabel="accuracy")
    ax.set_xticks(sizes, sizes)
    ax.minorticks_off()
    percent_axis(ax)
    return ax


# --- Words -----------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def cooccurrences(texts, words, window=3):
    """How often each of the words stands near each other one.

    Parameters
    ----------
    texts : list of str
    words : list of str
        In lower case, each once. Other words keep their place and are not counted.
    window : int, default 3
        Two words are near if at most this many steps apart, in the same text.

    Returns
    -------
    scipy sparse array of shape (len(words), len(words))
        Symmetric counts.

    Raises
    ------
    ValueError
        If texts or words are empty, a word occurs twice in words, or window is below 1.
    TypeError
        If texts is no list of strings.

    References
    ----------
    Chapter 07, Words replaced by their neighbours.

    Examples
    --------
    >>> from mlsys_helpers.data_augmentation import cooccurrences
    >>> cooccurrences(["the plane was late"], ["late", "plane", "the"], window=2).toarray()
    array([[0., 1., 0.],
           [1., 0., 1.],
           [0., 1., 0.]])
    """
    texts = _texts(texts)
    words = _checks.column(words, "words").tolist()
    numbers = {word: i for i, word in enumerate(words)}
    if len(numbers) < len(words):
        raise ValueError("words must hold each word once")
    longest = max((len(_split(text)) for text in texts), default=1)
    window = max(1, min(_checks.whole_number(window, "window"), longest))
    gap = [-1] * window  # so that no pair reaches from one text into the next
    line = np.array(
        [i for text in texts for i in [*(numbers.get(w, -1) for w in _split(text)), *gap]]
    )
    near = sparse.csr_array((len(words), len(words)))
    for step in range(1, window + 1):
        pairs = np.stack([line[:-step], line[step:]])
        first, second = pairs[:, (pairs >= 0).all(axis=0)]
        near = near + sparse.csr_array((np.ones(len(first)), (first, second)), shape=near.shape)
    return near + near.T


def ppmi(counts):
    """Positive pointwise mutual information of a table of counts.

    For a pair it is log(p(a, b) / (p(a) p(b))), and 0 where that is negative: how much more
    often the two meet than if their words were shuffled.

    Parameters
    ----------
    counts : array-like or scipy sparse array of shape (m, m)
        At least 0.

    Returns
    -------
    scipy sparse array of shape (m, m)
        At least 0; 0 where the words never meet.

    Raises
    ------
    ValueError
        If counts are not square, negative, not finite or all 0.

    References
    ----------
    Chapter 07, Words replaced by their neighbours. O. Levy, Y. Goldberg and I. Dagan,
    "Improving distributional similarity with lessons learned from word embeddings", TACL 3
    (2015).

    Examples
    --------
    >>> from mlsys_helpers.data_augmentation import ppmi
    >>> ppmi([[0, 3], [3, 2]]).toarray().round(3).tolist()  # log(3 * 8 / (3 * 5)) = 0.47
    [[0.0, 0.47], [0.47, 0.0]]
    """
    try:
        counts = sparse.coo_array(counts, dtype=float)
    except (TypeError, ValueError):
        raise ValueError("counts must be a table of numbers") from None
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"counts must be square, got shape {counts.shape}")
    if not np.isfinite(counts.data).all() or (counts.data < 0).any() or counts.sum() == 0:
        raise ValueError("counts must be finite, at least 0, and not all 0")
    counts.eliminate_zeros()
    total, row, column = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    first, second = counts.coords
    information = np.log(counts.data * total / (row[first] * column[second]))
    positive = sparse.csr_array((np.maximum(information, 0), (first, second)), shape=counts.shape)
    positive.eliminate_zeros()
    return positive


class WordNeighbours(BaseEstimator):
    """Which words stand in the same company: vectors learned from a corpus, and their cosines.

    Counts of words near each other become PPMI, and a truncated singular value decomposition
    makes of each word's row a short vector, u times the root of the singular value.

    Parameters
    ----------
    window : int, default 3
        Words at most this many steps apart count as company.
    dimensions : int, default 50
        Length of the vectors; fewer where there are fewer words.
    min_count : int, default 2
        Words that occur less often are not learned.

    Attributes
    ----------
    words_ : list of str
        The words learned, in alphabetical order, in lower case.
    vectors_ : ndarray of shape (len(words_), dimensions)
        Of length 1, or 0 for a word without company.

    Raises
    ------
    ValueError
        When fitted, if a parameter is out of range, texts is empty or holds too few words.
    TypeError
        When fitted, if texts is no list of strings.

    References
    ----------
    Chapter 07, Words replaced by their neighbours. O. Levy, Y. Goldberg and I. Dagan,
    "Improving distributional similarity with lessons learned from word embeddings", TACL 3
    (2015).

    Examples
    --------
    >>> from mlsys_helpers.data_augmentation import WordNeighbours
    >>> from mlsys_helpers.datasets import load_docstrings
    >>> neighbours = WordNeighbours(min_count=5).fit(load_docstrings()["sentence"])
    >>> neighbours.nearest("compute", k=3).index.tolist()
    ['computes', 'computed', 'calculate']
    >>> neighbours.nearest("lower", k=1).index.tolist()  # the same company, the opposite sense
    ['upper']
    """

    def __init__(self, window=3, dimensions=50, min_count=2):
        self.window = window
        self.dimensions = dimensions
        self.min_count = min_count

    def fit(self, texts, y=None):
        """Learn the vectors from texts, a list of strings; labels are not looked at."""
        texts = _texts(texts)
        _checks.whole_number(self.dimensions, "dimensions")
        _checks.whole_number(self.min_count, "min_count")
        counts = Counter(word for text in texts for word in _split(text))
        self.words_ = sorted(word for word in counts if counts[word] >= self.min_count)
        if len(self.words_) < 2:
            raise ValueError(
                f"texts must hold at least two words that occur {self.min_count} times "
                f"(min_count), got {len(self.words_)}"
            )
        company = cooccurrences(texts, self.words_, self.window)
        if company.sum() == 0:
            raise ValueError("texts hold no two known words within the window")
        information = ppmi(company)
        size = min(self.dimensions, len(self.words_) - 1)
        u, s, _ = svds(information, k=size, v0=np.ones(len(self.words_)))
        vectors = u * np.sqrt(s)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        self.vectors_ = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-9)
        self._numbers = {word: i for i, word in enumerate(self.words_)}
        return self

    def __contains__(self, word):
        """Whether the word was learned; its case does not matter."""
        check_is_fitted(self)
        return isinstance(word, str) and word.lower() in self._numbers

    def nearest(self, word, k=5):
        """The k words with the highest cosine, as a Series of cosines, the nearest first.

        Raises ValueError if the word was not learned, or k is below 1.
        """
        if word not in self:
            raise ValueError(f"word must be one of the {len(self.words_)} learned, got {word!r}")
        _checks.whole_number(k, "k")
        own = self._numbers[word.lower()]
        (nearest,) = self._nearest([own], k)
        cosines = self.vectors_[nearest] @ self.vectors_[own]
        return pd.Series(cosines, [self.words_[i] for i in nearest], name=word)

    def _nearest(self, numbers, k):
        """For each word number those of the k nearest words; words tied go by the alphabet."""
        cosines = (self.vectors_[numbers] @ self.vectors_.T).round(9)
        cosines[np.arange(len(numbers)), numbers] = -np.inf  # no word is its own neighbour
        k = min(k, len(self.words_) - 1)
        return np.argsort(-cosines, axis=1, kind="stable")[:, :k]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


def substitute_words(texts, neighbours, rate=0.2, *, k=3, how="nearest", random_state=None):
    """Texts in which some of the words are replaced.

    Parameters
    ----------
    texts : str or list of str
    neighbours : WordNeighbours
        Fitted. Words that it has not learned stay, as do punctuation and spaces.
    rate : float in [0, 1], default 0.2
        Chance of each known word to be replaced. 0 changes nothing.
    k : int, default 3
        "nearest" draws one of the k nearest words.
    how : {"nearest", "random"}, default "nearest"
        "random" draws any other learned word instead. With the same seed it replaces words at
        the same places.
    random_state : int, numpy Generator or None

    Returns
    -------
    str or list of str
        As texts came. New words are in lower case.

    Raises
    ------
    ValueError
        If texts is an empty list, or a parameter is out of range.
    TypeError
        If texts are no strings, or neighbours is no WordNeighbours.

    References
    ----------
    Chapter 07, Words replaced by their neighbours. J. Wei and K. Zou, "EDA: easy data
    augmentation techniques for boosting performance on text classification tasks", EMNLP (2019).

    Examples
    --------
    >>> from mlsys_helpers.data_augmentation import WordNeighbours, substitute_words
    >>> from mlsys_helpers.datasets import make_feedback
    >>> neighbours = WordNeighbours(dimensions=20).fit(make_feedback(2000)["text"])
    >>> substitute_words("Your suitcase?", neighbours, rate=1, k=3, random_state=0) in (
    ...     "Your bag?", "Your luggage?", "Your trunk?")
    True
    """
    if not isinstance(neighbours, WordNeighbours):
        raise TypeError(f"neighbours must be a WordNeighbours, got {neighbours!r}")
    check_is_fitted(neighbours)
    _checks.number(rate, "rate", low=0, high=1)
    _checks.whole_number(k, "k")
    _checks.one_of(how, "how", ("nearest", "random"))
    given = [texts] if isinstance(texts, str) else _texts(texts)
    rng = _checks.generator(random_state)

    found = [word for text in given for word in _WORD.findall(text)]
    numbers = np.array([neighbours._numbers.get(word.lower(), -1) for word in found], dtype=int)
    replaced = np.flatnonzero((rng.random(len(found)) < rate) & (numbers >= 0))
    old = numbers[replaced]
    if how == "nearest" and len(old):
        distinct, row = np.unique(old, return_inverse=True)
        nearest = neighbours._nearest(distinct, k)
        new = nearest[row, rng.integers(nearest.shape[1], size=len(old))]
    else:
        new = rng.integers(len(neighbours.words_) - 1, size=len(old))
        new += new >= old  # any word but the old one
    for place, number in zip(replaced, new, strict=True):
        found[place] = neighbours.words_[number]
    words = iter(found)
    changed = [_WORD.sub(lambda _: next(words), text) for text in given]
    return changed[0] if isinstance(texts, str) else changed


# --- Perturbation ----------------------------------------------------------------------------


def add_noise(X, size, kind="normal", *, low=0.0, high=1.0, random_state=None):
    """Images with random noise, kept within the range of a pixel.

    Parameters
    ----------
    X : array-like
        Images, or rows of pixels, from low to high.
    size : float
        At least 0, in the unit of a pixel: the standard deviation of "normal" noise, the exact
        step of "sign" noise.
    kind : {"normal", "sign"}, default "normal"
        "sign" moves every pixel by `size`, up or down with equal chance: a random perturbation
        of the same size as that of `fgsm`.
    low, high : float, default 0 and 1
        Range of a valid pixel; may be infinite.
    random_state : int, numpy Generator or None

    Returns
    -------
    ndarray of floats
        Of the shape of X.

    Raises
    ------
    ValueError
        If X is empty or holds values that are not finite or out of range, or a parameter is out
        of range.

    References
    ----------
    Chapter 07, Perturbation. C. M. Bishop, "Training with noise is equivalent to Tikhonov
    regularization", Neural Computation 7 (1995).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.data_augmentation import add_noise
    >>> add_noise(np.full((2, 2), 0.5), 0.1, "sign", random_state=0).round(1).tolist()
    [[0.6, 0.6], [0.6, 0.4]]
    """
    X = _pixels(X, low, high)
    _checks.number(size, "size", low=0)
    _checks.one_of(kind, "kind", ("normal", "sign"))
    rng = _checks.generator(random_state)
    noise = rng.normal(size=X.shape) if kind == "normal" else rng.choice([-1.0, 1.0], X.shape)
    return np.clip(X + size * noise, low, high)


def fgsm(model, X, y, epsilon, *, steps=1, low=0.0, high=1.0):
    """Adversarial examples by the fast gradient sign method.

    Every pixel moves by `epsilon` in the direction in which the loss of the true label grows:
    X + ε · sign(∂ loss / ∂ X). With more steps, each of 2.5 ε / steps, the gradient is taken anew
    after each, and what has gone further than ε is brought back: projected gradient descent
    (PGD), begun at the image itself. It finds worse examples within the same distance. Accuracy
    after any attack is an upper bound: another attack may find more.

    Parameters
    ----------
    model : LogisticRegression, RobustNetwork or torch.nn.Module
        Fitted. A torch module gives logits of shape (n, k), one for each class number.
    X : array-like of shape (n, d) or (n, height, width)
        Pixels from low to high, in the shape that the model takes, or as images where it takes
        rows.
    y : array-like of shape (n,)
        The true labels.
    epsilon : float
        At least 0: no pixel moves further.
    steps : int, default 1
    low, high : float, default 0 and 1
        Range of a valid pixel, to which the result is clipped; may be infinite.

    Returns
    -------
    ndarray of floats
        Of the shape of X.

    Raises
    ------
    ValueError
        If X is empty or holds values that are not finite or out of range, y holds labels that
        the model does not know, lengths differ, or a parameter is out of range.
    TypeError
        If the gradient of such a model is not known.

    References
    ----------
    Chapter 07, Perturbation. I. J. Goodfellow, J. Shlens and C. Szegedy, "Explaining and
    harnessing adversarial examples", ICLR (2015). A. Madry et al., "Towards deep learning models
    resistant to adversarial attacks", ICLR (2018), for more steps.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.data_augmentation import fgsm
    >>> from mlsys_helpers.datasets import load_digits
    >>> X, y = load_digits()
    >>> model = LogisticRegression(max_iter=1000).fit(X[:1000].reshape(1000, -1), y[:1000])
    >>> X_adversarial = fgsm(model, X[1000:], y[1000:], epsilon=0.1)
    >>> print(X_adversarial.shape, abs(X_adversarial - X[1000:]).max().round(3))
    (797, 8, 8) 0.1
    """
    start = _pixels(X, low, high)
    y = _checks.column(y, "y", len(start))
    _checks.number(epsilon, "epsilon", low=0)
    _checks.whole_number(steps, "steps")
    moved = start
    for _ in range(steps):  # a single step of 2.5 ε is brought back to ε: FGSM
        step = 2.5 * epsilon / steps * np.sign(_loss_gradient(model, moved, y))
        moved = np.clip(np.clip(moved + step, start - epsilon, start + epsilon), low, high)
    return moved


def _loss_gradient(model, X, y):
    """The slope of each row's cross-entropy in its pixels, in the shape of X."""
    if isinstance(model, LogisticRegression):
        check_is_fitted(model)
        _known(y, model.classes_)
        proba = model.predict_proba(X.reshape(len(X), -1))
        error = proba - (y[:, None] == model.classes_)
        if len(model.coef_) == 1:  # two classes share one row of weights
            error = error[:, 1:]
        return (error @ model.coef_).reshape(X.shape)
    if isinstance(model, RobustNetwork):
        check_is_fitted(model)
        _known(y, model.classes_)
        target = np.searchsorted(model.classes_, y)
        return _torch_gradient(model.network_, X.reshape(len(X), -1), target).reshape(X.shape)
    if any(base.__module__.startswith("torch.nn") for base in type(model).__mro__):
        target = _checks.numbers(y, "y", low=0)
        if (target != target.astype(int)).any():
            raise ValueError("y must hold class numbers, as the model is a torch module")
        return _torch_gradient(model, X, target.astype(int))
    raise TypeError(
        "model must be a LogisticRegression, a RobustNetwork or a torch module; "
        f"its gradient is needed, got {model!r}"
    )


def _torch_gradient(network, X, target):
    import torch

    kind = next((weights.dtype for weights in network.parameters()), torch.float64)
    X = torch.tensor(X, dtype=kind, requires_grad=True)
    with _one_thread():
        logits = network(X)
        if logits.ndim != 2 or len(logits) != len(X):
            raise ValueError(f"model must give logits of shape (n, k), got {tuple(logits.shape)}")
        if target.max() >= logits.shape[1]:
            raise ValueError(f"y must be below {logits.shape[1]}, got {target.max()}")
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(target), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, X)
    return gradient.numpy().astype(float)


class RobustNetwork(ClassifierMixin, BaseEstimator):
    """A small torch network that can be trained on perturbed images beside the true ones.

    With `epsilon` above 0, half of the loss of each step is that of the batch as it is, half
    that of the batch with every pixel moved by epsilon, within [0, 1].

    Parameters
    ----------
    epsilon : float, default 0
        Size of the perturbation in training; 0 trains on the images as they are.
    perturbation : {"adversarial", "noise"}, default "adversarial"
        "adversarial" moves each pixel by the gradient's sign, taken anew in each step; "noise"
        moves it up or down at random.
    hidden : int, default 64
        Units in the hidden layer.
    steps : int, default 400
        Steps of the optimiser, each on one batch.
    batch_size : int, default 64
    learning_rate : float, default 0.003
        Of the Adam optimiser.
    random_state : int, numpy Generator or None

    Attributes
    ----------
    classes_ : ndarray
    network_ : torch.nn.Sequential
        Gives logits, in double precision.

    Raises
    ------
    ValueError
        When fitted, if a parameter is out of range, X or y do not fit, X leaves [0, 1] while
        epsilon is above 0, or training diverges.

    References
    ----------
    Chapter 07, Perturbation. I. J. Goodfellow, J. Shlens and C. Szegedy, "Explaining and
    harnessing adversarial examples", ICLR (2015), section 6.

    Examples
    --------
    >>> from mlsys_helpers.data_augmentation import RobustNetwork
    >>> from mlsys_helpers.datasets import load_digits
    >>> X, y = load_digits()
    >>> X = X.reshape(len(X), -1)
    >>> network = RobustNetwork(epsilon=0.1, random_state=0).fit(X[:1000], y[:1000])
    >>> print(network.score(X[1000:], y[1000:]) > 0.85)
    True
    """

    def __init__(
        self,
        epsilon=0.0,
        perturbation="adversarial",
        hidden=64,
        steps=400,
        batch_size=64,
        learning_rate=0.003,
        random_state=None,
    ):
        self.epsilon = epsilon
        self.perturbation = perturbation
        self.hidden = hidden
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X, y):
        """Train on rows of pixels X of shape (n, d) and labels y."""
        import torch

        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self._check_parameters(X)
        self.classes_, target = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("y must hold at least two classes, got 1 class")
        rng = _checks.generator(self.random_state)
        with torch.random.fork_rng(devices=[]), _one_thread():
            torch.manual_seed(int(rng.integers(2**31)))
            self.network_ = torch.nn.Sequential(
                torch.nn.Linear(X.shape[1], self.hidden),
                torch.nn.ReLU(),
                torch.nn.Linear(self.hidden, len(self.classes_)),
            ).double()  # in double precision the digits hold on other processors too
            self._train(torch.tensor(X), torch.tensor(target), rng)
        return self

    def _train(self, X, target, rng):
        import torch

        optimiser = torch.optim.Adam(self.network_.parameters(), lr=self.learning_rate)
        loss = torch.nn.functional.cross_entropy
        for _ in range(self.steps):
            rows = rng.integers(len(X), size=min(self.batch_size, len(X)))
            batch, labels = X[rows], target[rows]
            perturbed = self._perturb(batch, labels, rng) if self.epsilon else batch
            optimiser.zero_grad()
            value = loss(self.network_(batch), labels) + loss(self.network_(perturbed), labels)
            (value / 2).backward()
            optimiser.step()
        if not all(torch.isfinite(weights).all() for weights in self.network_.parameters()):
            raise ValueError(f"training diverged; lower learning_rate, now {self.learning_rate}")

    def _perturb(self, batch, labels, rng):
        import torch

        if self.perturbation == "noise":
            return torch.tensor(add_noise(batch.numpy(), self.epsilon, "sign", random_state=rng))
        gradient = torch.tensor(_torch_gradient(self.network_, batch.numpy(), labels.numpy()))
        return (batch + self.epsilon * gradient.sign()).clamp(0, 1)

    def predict_proba(self, X):
        """Probabilities of the classes, shape (n, k)."""
        import torch

        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        with torch.no_grad(), _one_thread():
            return self.network_(torch.tensor(X)).softmax(dim=1).numpy()

    def predict(self, X):
        """The most probable class of each row."""
        numbers = self.predict_proba(X).argmax(axis=1)
        return self.classes_[numbers]

    def _check_parameters(self, X):
        _checks.number(self.epsilon, "epsilon", low=0)
        _checks.one_of(self.perturbation, "perturbation", ("adversarial", "noise"))
        for name in ("hidden", "steps", "batch_size"):
            _checks.whole_number(getattr(self, name), name)
        _checks.number(self.learning_rate, "learning_rate", low=0, open_low=True)
        if self.epsilon:
            _pixels(X, 0, 1)


def robustness_curve(models, X, y, epsilons, *, attack="fgsm", steps=1, random_state=0):
    """Accuracy against the strength of a perturbation, for one model or several.

    Parameters
    ----------
    models : dict
        Name → fitted model, or a list of them that differ by their seed. "fgsm" attacks each
        with its own gradient, and takes the models that `fgsm` takes; "noise" takes any.
    X : array-like of shape (n, d)
        Rows of pixels in [0, 1] that no model was trained on.
    y : array-like of shape (n,)
    epsilons : list of float
        Strengths, at least 0. 0 is the accuracy on the images as they are.
    attack : {"fgsm", "noise"}, default "fgsm"
        "noise" moves every pixel by epsilon, up or down at random.
    steps : int, default 1
        Of `fgsm`.
    random_state : int, numpy Generator or None
        For "noise".

    Returns
    -------
    DataFrame
        ``method``, ``repeat`` (the place in the list), ``epsilon`` and ``accuracy``.

    Raises
    ------
    ValueError
        If models or epsilons are empty, epsilon is negative, or X and y do not fit.
    TypeError
        If a model has no ``predict``, or no gradient where one is needed.

    References
    ----------
    Chapter 07, Perturbation.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.data_augmentation import robustness_curve
    >>> from mlsys_helpers.datasets import load_digits
    >>> X, y = load_digits()
    >>> X = X.reshape(len(X), -1)
    >>> model = LogisticRegression(max_iter=1000).fit(X[:1000], y[:1000])
    >>> curve = robustness_curve({"logistic": model}, X[1000:], y[1000:], [0, 0.1])
    >>> print(curve["accuracy"].round(1).tolist())
    [0.9, 0.6]
    """
    if not isinstance(models, dict) or not models:
        raise ValueError(f"models must be a dict of at least one, got {models!r}")
    _checks.one_of(attack, "attack", ("fgsm", "noise"))
    X = _pixels(X, 0, 1)
    y = _checks.column(y, "y", len(X))
    epsilons = _checks.numbers(epsilons, "epsilons")
    if (epsilons < 0).any():
        raise ValueError(f"epsilons must be at least 0, got {epsilons.min():g}")
    rng = _checks.generator(random_state)
    rows = []
    for name, group in models.items():
        for repeat, model in enumerate(group if isinstance(group, (list, tuple)) else [group]):
            if not hasattr(model, "predict"):
                raise TypeError(f"models[{name!r}] must be fitted classifiers, got {model!r}")
            for epsilon in epsilons:
                if attack == "fgsm":
                    changed = fgsm(model, X, y, epsilon, steps=steps)
                else:
                    changed = add_noise(X, epsilon, "sign", random_state=rng)
                rows.append((name, repeat, epsilon, np.mean(model.predict(changed) == y)))
    return pd.DataFrame(rows, columns=["method", "repeat", "epsilon", "accuracy"])


def plot_robustness(curve, ax=None, colors=None):
    """Draw accuracy against the strength of the perturbation: mean and band of the repeats.

    Parameters
    ----------
    curve : DataFrame
        From `robustness_curve`.
    ax : matplotlib Axes or None
    colors : dict, optional
        Method → name in `plotting.COLORS`; by default they are given out in turn.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the table lacks a column.

    References
    ----------
    Chapter 07, Perturbation.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.data_augmentation import plot_robustness
    >>> curve = pd.DataFrame({"method": "plain", "repeat": 0, "epsilon": [0, 0.1],
    ...     "accuracy": [0.9, 0.2]})
    >>> plot_robustness(curve).get_xlabel()
    'ε, the most that a pixel moves (pixels reach from 0 to 1)'
    """
    curve = _curve_table(curve, "curve", "epsilon")
    ax = get_axes(ax)
    ax.set_ylim(0, 1.02)
    _plot_bands(ax, curve, "epsilon", colors)
    ax.set(xlabel="ε, the most that a pixel moves (pixels reach from 0 to 1)", ylabel="accuracy")
    percent_axis(ax)
    return ax


# --- Shared parts ----------------------------------------------------------------------------


def _plot_bands(ax, table, x, colors):
    """For each method a line through the means, a band from lowest to highest, and its name."""
    names = table["method"].unique()
    palette = ("grey", "blue", "orange", "green", "purple", "red")
    colors = dict(zip(names, palette * len(names), strict=False)) | (colors or {})
    ends = {}
    for name in names:
        own = table[table["method"] == name].groupby(x)["accuracy"].agg(["min", "mean", "max"])
        color = COLORS[_checks.one_of(colors[name], "each of colors", tuple(COLORS))]
        ax.plot(own.index, own["mean"], "o-", color=color, markersize=4)
        ax.fill_between(own.index, own["min"], own["max"], color=color, alpha=0.15, linewidth=0)
        ends[name] = own["mean"].iloc[-1]
    _name_ends(ax, table[x].max(), ends, colors)


def _name_ends(ax, x, ends, colors, gap=15):
    """Write each line's name at its end, at least gap points apart."""
    low, high = ax.get_ylim()
    points = ax.get_window_extent().height * 72 / ax.figure.dpi / (high - low)
    names = sorted(ends, key=ends.get)
    wanted = np.array([ends[name] for name in names]) * points
    steps = gap * np.arange(len(names))
    heights = np.maximum.accumulate(wanted - steps) + steps  # no name less than gap above the last
    heights -= (heights - wanted).mean()
    heights += max(0, low * points + 8 - heights[0])  # above the axis
    for name, height, end in zip(names, heights, wanted, strict=True):
        label_line(ax, x, ends[name], name, colors[name], xytext=(8, height - end))


def _curve_table(table, name="table", x="size"):
    columns = ["method", x, "repeat", "accuracy"]
    if not isinstance(table, pd.DataFrame) or not set(columns) <= set(table.columns):
        raise ValueError(f"{name} must be a DataFrame with the columns {', '.join(columns)}")
    if table.empty:
        raise ValueError(f"{name} is empty")
    return table


def _resample(image, matrix, offset, fill=0.0, mode="constant"):
    """The image looked up at matrix @ (row, column) + offset, in its own dtype."""
    _checks.number(fill, "fill")
    planes = image.reshape(*image.shape[:2], -1).astype(float)
    new = np.stack(
        [
            ndimage.affine_transform(plane, matrix, offset, order=1, mode=mode, cval=fill)
            for plane in np.moveaxis(planes, 2, 0)
        ],
        axis=2,
    ).reshape(image.shape)
    return _in_dtype(new, image.dtype)


def _in_dtype(image, dtype):
    """The image in another dtype; whole numbers are rounded and kept within their range."""
    if np.issubdtype(dtype, np.integer):
        image = np.clip(np.round(image), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return image.astype(dtype)


def _numeric(values, name):
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be one array: {error}") from None
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold numbers, got dtype {array.dtype}")
    if array.size == 0:
        raise ValueError(f"{name} is empty")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must hold finite numbers")
    return array


def _image(image, name="image", shape="(height, width", first=2):
    """An image (of 2 dimensions, or 3 with its channels) or, with first=3, an array of them."""
    image = _numeric(image, name)
    if image.ndim not in (first, first + 1):
        raise ValueError(
            f"{name} must have shape {shape}) or {shape}, channels), got {image.shape}"
        )
    return image


def _images(X):
    return _image(X, "X", "(n, height, width", first=3)


def _pixels(X, low, high):
    """X as floats, refused if it leaves the range of a pixel."""
    _checks.numbers([low, high], "low and high", finite=False)
    if not low < high:
        raise ValueError(f"low must be below high, got {low!r} and {high!r}")
    X = _numeric(X, "X").astype(float)
    if X.min() < low or X.max() > high:
        outside = X.min() if X.min() < low else X.max()
        raise ValueError(f"X must hold pixels from {low:g} to {high:g}, got {outside:g}")
    return X


def _known(y, classes):
    strange = [label for label in pd.unique(y).tolist() if label not in classes]
    if strange:
        raise ValueError(f"y must hold the classes {classes.tolist()}, got {strange[0]!r}")


def _texts(texts):
    """A list of strings, refused if it is one string, or empty."""
    if isinstance(texts, str) or not hasattr(texts, "__iter__"):
        raise TypeError(f"texts must be a list of strings, got {texts!r:.60}")
    texts = list(texts)
    if not texts:
        raise ValueError("texts is empty")
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"texts must be a list of strings, got {text!r:.60}")
    return texts


def _split(text):
    return [word.lower() for word in _WORD.findall(text)]


@contextmanager
def _one_thread():
    """One thread for torch: the digits then do not depend on how many there are."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
