"""Chapter 08: turning what is recorded into columns that a model can learn from.

In the order of the chapter: features by hand; missing values (made, reported, tested, filled);
buckets; categories, hashed into a fixed number of columns; crosses. Scaling is scikit-learn's.

Throughout, a missing value is None, NaN, NaT or pandas' NA, and share is a number from 0 to 1.
"""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse, stats
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils import murmurhash3_32
from sklearn.utils.validation import check_is_fitted, validate_data

from mlsys_helpers import _checks

__all__ = [
    "clean_text",
    "thread_features",
    "missing_report",
    "make_missing",
    "little_mcar_test",
    "drop_sparse_columns",
    "RandomCategoryImputer",
    "imputation_bias",
    "bucketize",
    "HashingEncoder",
    "expected_used_buckets",
    "expected_collisions",
    "cross_features",
]

_MECHANISMS = ("MCAR", "MAR", "MNAR")


# --- Features by hand ------------------------------------------------------------------------

_CONTRACTIONS = {
    r"\bwon't\b": "will not",
    r"\bcan't\b": "can not",
    r"\bshan't\b": "shall not",
    r"\blet's\b": "let us",
    r"n't\b": " not",
    r"'re\b": " are",
    r"'ve\b": " have",
    r"'ll\b": " will",
    r"'d\b": " would",
    r"\bi'm\b": "i am",
    r"\b(he|she|it|that|there|here|what|who|where|how)'s\b": r"\1 is",
    r"'s\b": "",  # of all others: taken for a possessive
}


def clean_text(text):
    """Expand contractions, remove punctuation, make everything lower case.

    Parameters
    ----------
    text : str
        English. Apply it to a column with ``column.map(clean_text)``.

    Returns
    -------
    str
        Words and numbers with one space between them; empty if there are none.

    Raises
    ------
    TypeError
        If text is not a string.

    Notes
    -----
    The rules are guesses: "he'd" becomes "he would" even where it stood for "he had", and an
    ending 's counts as "is" after a pronoun and as a possessive elsewhere. Count capitals,
    links and exclamation marks *before* you throw them away (`thread_features`).

    References
    ----------
    Chapter 08, Feature engineering by hand.

    Examples
    --------
    >>> from mlsys_helpers.feature_engineering import clean_text
    >>> clean_text("It's FREE!!! You won't believe Anna's trick...")
    'it is free you will not believe anna trick'
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {type(text).__name__}")
    text = text.lower().replace("’", "'")
    for contraction, words in _CONTRACTIONS.items():
        text = re.sub(contraction, words, text)
    return " ".join(re.sub(r"[^\w\s]|_", " ", text).split())


def thread_features(comments, users, threads):
    """What may give a spam comment away: of the comment, of its author, of its thread.

    Parameters
    ----------
    comments : DataFrame
        A row a comment: ``user``, ``thread``, ``posted`` (time), ``text``, ``likes``,
        ``reposts``.
    users : DataFrame
        A row a user: ``user``, ``created`` (time), ``posts``, ``likes``, ``followers``,
        ``following``. Counts are those known when the comment is judged.
    threads : DataFrame
        A row a thread: ``thread``, ``impressions``.

    Returns
    -------
    DataFrame, a row for each comment, with its index
        ``comment_…``: likes, reposts, words, links, exclamations, share of capitals among the
        letters. ``user_…``: age of the account in days when the comment was posted, posts a
        day (of at least one day), likes a post, followers for each account followed (none
        counts as one). ``thread_…``: impressions, and comments posted before this one.

    Raises
    ------
    TypeError
        If an argument is not a DataFrame, or a text not a string.
    ValueError
        If a column is not there or holds missing values, a count is no number or below 0, a
        time is none, a user or thread occurs twice or is unknown, or a comment is older than
        its author's account.

    References
    ----------
    Chapter 08, Feature engineering by hand.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.feature_engineering import thread_features
    >>> day = pd.to_datetime(["2013-06-01", "2013-06-03"])
    >>> comments = pd.DataFrame({"user": ["a"], "thread": [7], "posted": day[1],
    ...     "text": ["WIN now! http://x.example"], "likes": [0], "reposts": [3]})
    >>> users = pd.DataFrame({"user": ["a"], "created": day[0], "posts": [90], "likes": [9],
    ...     "followers": [2], "following": [400]})
    >>> threads = pd.DataFrame({"thread": [7], "impressions": [52_000]})
    >>> thread_features(comments, users, threads)[["comment_links", "user_posts_a_day"]].values
    array([[ 1., 45.]])
    """
    _check_table(comments, "comments", ["user", "thread", "text"], "posted", ["likes", "reposts"])
    counts = ["posts", "likes", "followers", "following"]
    _check_table(users, "users", ["user"], "created", counts)
    _check_table(threads, "threads", ["thread"], None, ["impressions"])
    author = _look_up(users, "users", comments, "user")
    thread = _look_up(threads, "threads", comments, "thread")
    age = (comments["posted"] - author["created"]) / pd.Timedelta(days=1)
    if (age < 0).any():
        raise ValueError("comments holds a comment posted before its author's account was created")
    for text in comments["text"]:
        if not isinstance(text, str):
            raise TypeError(f"comments['text'] must hold strings, got {text!r}")
    text = comments["text"].astype(object)
    letters = text.map(lambda t: max(1, sum(map(str.isalpha, t))))
    order = comments.groupby("thread")["posted"].rank(method="first").astype(int)
    return pd.DataFrame(
        {
            "comment_likes": comments["likes"],
            "comment_reposts": comments["reposts"],
            "comment_words": text.map(lambda t: len(clean_text(t).split())),
            "comment_links": text.map(lambda t: len(re.findall(r"https?://", t))),
            "comment_exclamations": text.map(lambda t: t.count("!")),
            "comment_capitals": text.map(lambda t: sum(map(str.isupper, t))) / letters,
            "user_age_days": age,
            "user_posts_a_day": author["posts"] / age.clip(lower=1),
            "user_likes_a_post": author["likes"] / author["posts"].clip(lower=1),
            "user_followers_ratio": author["followers"] / author["following"].clip(lower=1),
            "thread_impressions": thread["impressions"],
            "thread_comments_before": order - 1,
        },
        index=comments.index,
    )


def _look_up(table, name, comments, key):
    """The row of the table for each comment, by the key that both hold."""
    if table[key].duplicated().any():
        raise ValueError(f"{name} must hold each {key} once")
    unknown = comments.loc[~comments[key].isin(table[key]), key]
    if len(unknown):
        raise ValueError(f"{name} lacks the {key} {unknown.tolist()[0]!r} of a comment")
    return table.set_index(key).loc[comments[key]].set_index(comments.index)


def _check_table(frame, name, others, time, counts):
    times = [time] if time else []
    _needs(frame, name, [*others, *times, *counts])
    for column in [*others, *times]:
        _checks.column(frame[column], f"{name}[{column!r}]")
    for column in counts:
        _checks.numbers(frame[column], f"{name}[{column!r}]", low=0)
    for column in times:
        if not pd.api.types.is_datetime64_any_dtype(frame[column]):
            raise ValueError(
                f"{name}[{column!r}] must hold times (pandas.to_datetime makes them), "
                f"got {frame[column].dtype}"
            )


# --- Handling missing values -----------------------------------------------------------------


def missing_report(frame, by=None):
    """How much is missing in each column, and if that differs between groups of rows.

    Parameters
    ----------
    frame : DataFrame of shape (n, d)
    by : Series or array-like of shape (n,), optional
        The group of each row, such as ``weather["precip"] > 0``. A missing group is left out.

    Returns
    -------
    DataFrame of d rows, the fullest of gaps first
        Index: the columns of frame. ``missing`` (rows), ``share``, and with `by` a column for
        each group with the share missing in it.

    Raises
    ------
    TypeError
        If frame is not a DataFrame.
    ValueError
        If frame is empty or `by` has another length.

    References
    ----------
    Chapter 08, Handling missing values.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_weather
    >>> from mlsys_helpers.feature_engineering import missing_report
    >>> weather = load_weather()[["wind_gust", "pressure"]]
    >>> wet = load_weather()["precip"].gt(0).map({True: "wet", False: "dry"})
    >>> missing_report(weather, by=wet).round(2)
               missing  share   dry   wet
    wind_gust    20778    0.8  0.80  0.79
    pressure      2729    0.1  0.07  0.53
    """
    _needs(frame, "frame")
    gone = frame.isna()
    report = pd.DataFrame({"missing": gone.sum(), "share": gone.mean()})
    if by is not None:
        by = np.asarray(by)
        if by.shape != (len(frame),):
            raise ValueError(f"by must have shape ({len(frame)},), got {by.shape}")
        report = report.join(gone.groupby(by).mean().T)
    return report.sort_values("share", ascending=False, kind="stable")


def make_missing(frame, column, mechanism, share=0.3, *, by=None, random_state=None):
    """A copy of the table in which values of one column are missing, for a reason that you know.

    Parameters
    ----------
    frame : DataFrame of shape (n, d)
    column : str
        Values that are missing in it already stay so.
    mechanism : {"MCAR", "MAR", "MNAR"}
        "MCAR", completely at random: every value is as likely to go. "MAR", at random given
        the column `by`: the higher its value, the likelier. "MNAR", not at random: the higher
        the value itself, the likelier.
    share : float in [0, 1], default 0.3
        Of the present values, how many go on average.
    by : str, for "MAR" only
        Another column, without missing values.
    random_state : int, numpy Generator or None

    Returns
    -------
    DataFrame
        A whole-number column becomes one of floats, to hold the gaps.

    Raises
    ------
    TypeError
        If frame is not a DataFrame.
    ValueError
        If frame is empty, a column is not there or cannot be put in order, `by` is missing,
        of no use or has gaps, or share is out of range.

    Notes
    -----
    With r the rank of the deciding value, from 0 to 1, the chance to go is share + 2 (r - 1/2)
    min(share, 1 - share), which is share on average.

    References
    ----------
    Chapter 08, Handling missing values. D. B. Rubin, "Inference and missing data",
    Biometrika 63 (1976).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from mlsys_helpers.feature_engineering import make_missing
    >>> frame = pd.DataFrame({"income": np.arange(10_000.0)})
    >>> gappy = make_missing(frame, "income", "MNAR", share=0.5, random_state=0)
    >>> print(frame["income"].mean().round(-2), gappy["income"].mean().round(-2))
    5000.0 3300.0
    """
    _needs(frame, "frame", [column], "column")
    _checks.one_of(mechanism, "mechanism", _MECHANISMS)
    _checks.number(share, "share", low=0, high=1)
    if (by is None) == (mechanism == "MAR"):
        needed = "is needed for" if by is None else "is of no use to"
        raise ValueError(f"by {needed} the mechanism {mechanism!r}")
    if mechanism == "MAR":
        _needs(frame, "frame", [by], "by")
        if by == column:
            raise ValueError(f"by must be another column than {column!r}; for that use 'MNAR'")
        if frame[by].isna().any():
            raise ValueError(f"by: {by!r} holds missing values; they cannot decide")
    present = frame[column].notna().to_numpy()
    chance = np.full(present.sum(), float(share))
    if mechanism != "MCAR":
        decides = frame.loc[present, by if mechanism == "MAR" else column]
        if isinstance(decides.dtype, pd.CategoricalDtype) and not decides.cat.ordered:
            raise ValueError(f"{decides.name!r} must hold ordered categories, its have no order")
        try:
            rank = (decides.rank().to_numpy() - 0.5) / len(decides)
        except TypeError:
            raise ValueError(f"{decides.name!r} must hold values that can be ordered") from None
        chance += 2 * min(share, 1 - share) * (rank - 0.5)
    gone = np.zeros(len(frame), dtype=bool)
    gone[present] = _checks.generator(random_state).random(len(chance)) < chance
    gappy = frame.copy()
    gappy[column] = frame[column].mask(gone)
    return gappy


class _LittleTest(NamedTuple):
    """What `little_mcar_test` finds; the mean and covariance are those of maximum likelihood."""

    statistic: float
    df: int
    p_value: float
    patterns: int
    mean: pd.Series
    covariance: pd.DataFrame


def little_mcar_test(frame, *, tolerance=1e-8, max_iterations=10_000):
    """Little's test: can the values be missing completely at random?

    Rows are grouped by pattern, that is by which columns are missing. If values are missing
    completely at random, every group's means are those of the whole, up to chance.

    Parameters
    ----------
    frame : DataFrame of shape (n, p)
        Numbers, at least two columns, any pattern of gaps. Rows without any value are ignored.
    tolerance : float, default 1e-8
        The estimates stand when no entry moves more than this, in standard deviations.
    max_iterations : int, default 10,000

    Returns
    -------
    named tuple
        ``statistic`` is the sum over patterns j of n_j (m_j - μ_j)ᵀ Σ_j⁻¹ (m_j - μ_j), over
        the columns that the pattern has, with μ and Σ (divisor n) estimated by maximum
        likelihood under normality. ``df`` is the sum of the patterns' numbers of columns,
        less p; ``p_value`` comes from the chi-square of so many degrees of freedom;
        ``patterns`` counts the patterns; ``mean`` and ``covariance`` are μ and Σ.

    Raises
    ------
    TypeError
        If frame is not a DataFrame.
    ValueError
        If there are fewer than two columns, nothing is missing, a column holds no numbers or
        only one value, is infinite or follows from others, no two patterns share a column, the
        estimates do not settle, or an argument is out of range.

    Notes
    -----
    A small p-value speaks against MCAR. A large one does not prove it; and no test can tell
    MAR from MNAR, since what would tell is missing. The estimates are found by the EM algorithm
    from each pattern's counts, means and products, for all patterns at once.

    References
    ----------
    Chapter 08, Handling missing values. R. J. A. Little, "A test of missing completely at
    random for multivariate data with missing values", JASA 83 (1988).

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_weather
    >>> from mlsys_helpers.feature_engineering import little_mcar_test
    >>> test = little_mcar_test(load_weather()[["temp", "visib", "pressure"]])
    >>> print(test.patterns, test.df, test.p_value < 0.001)
    3 3 True
    """
    _checks.number(tolerance, "tolerance", low=0, open_low=True)
    _checks.whole_number(max_iterations, "max_iterations")
    X = _number_table(frame)
    X = X[~np.isnan(X).all(axis=1)]
    location, scale = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
    for name, spread in zip(frame.columns, scale, strict=True):
        if not spread > 0:
            raise ValueError(f"frame: column {name!r} holds one value only; leave it out")
    known, n, mean, products = _by_pattern((X - location) / scale)
    df = int(known.sum() - X.shape[1])
    if len(n) == 1 and known.all():
        raise ValueError("frame: nothing is missing, there is nothing to test")
    if df <= 0:
        raise ValueError("frame: no two patterns of missing values share a column")
    mu, sigma = _normal_by_em(known, n, mean, products, tolerance, max_iterations)
    off = np.where(known, mean - mu, 0)
    statistic = float((n * np.einsum("jp,jpq,jq->j", off, _inverse(sigma, known), off)).sum())
    return _LittleTest(
        statistic,
        df,
        float(stats.chi2.sf(statistic, df)),
        len(n),
        pd.Series(location + scale * mu, frame.columns),
        pd.DataFrame(sigma * np.outer(scale, scale), frame.columns, frame.columns),
    )


def _by_pattern(X):
    """For each pattern: which columns it has, its rows, their means and sums of products."""
    known, group = np.unique(~np.isnan(X), axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    n = np.bincount(group.ravel())
    starts = np.cumsum(n) - n
    filled = np.nan_to_num(X[order])
    mean = np.add.reduceat(filled, starts) / n[:, None]
    products = [np.add.reduceat(filled * column[:, None], starts) for column in filled.T]
    return known, n, mean, np.stack(products, axis=1)


def _inverse(sigma, known):
    """For each pattern the inverse of its part of sigma, with zeros where it has no column."""
    both = known[:, :, None] & known[:, None, :]
    rest = np.eye(len(sigma)) * ~known[:, :, None]
    return np.linalg.inv(np.where(both, sigma, rest)) - rest


def _normal_by_em(known, n, mean, products, tolerance, max_iterations):
    """Maximum-likelihood mean and covariance (divisor n) of a normal with gaps."""
    total = n.sum()
    mu, sigma = np.zeros(known.shape[1]), np.eye(known.shape[1])
    for _ in range(max_iterations):
        # Expect: fill each row from what it has, by regression; known columns stay as they are.
        inverse = _inverse(sigma, known)
        slope = inverse @ sigma  # of shape (patterns, from, to)
        left = np.einsum("j,jpq->pq", n, sigma - sigma @ slope)  # what the filling cannot know
        off = np.where(known, mean - mu, 0)
        shift = np.einsum("jp,jpq->jq", off, slope)
        # Maximise: mean and covariance of the filled rows, and of what is left.
        seen = known[:, :, None] & known[:, None, :]
        cross = n[:, None, None] * mean[:, :, None] * mu
        around = products - cross - cross.swapaxes(1, 2) + n[:, None, None] * np.outer(mu, mu)
        around = np.where(seen, around, 0)  # sums of products around mu
        step = n @ shift / total
        new_sigma = (slope.swapaxes(1, 2) @ around @ slope).sum(axis=0) + left
        new_sigma = new_sigma / total - np.outer(step, step)
        moved = max(np.abs(step).max(), np.abs(new_sigma - sigma).max())
        mu, sigma = mu + step, (new_sigma + new_sigma.T) / 2
        if np.linalg.eigvalsh(sigma)[0] < 1e-9:
            raise ValueError("frame: a column follows from the others; leave one of them out")
        if moved < tolerance:
            return mu, sigma
    raise ValueError(f"frame: the estimates do not settle within {max_iterations} iterations")


def drop_sparse_columns(frame, max_missing=0.5):
    """The table without the columns in which too much is missing: column deletion.

    Decide on the training rows, and give the rows to come the same columns:
    ``future[train.columns]``.

    Parameters
    ----------
    frame : DataFrame of shape (n, d)
    max_missing : float in [0, 1], default 0.5
        A column stays when its share of missing values is at most this.

    Returns
    -------
    DataFrame

    Raises
    ------
    TypeError
        If frame is not a DataFrame.
    ValueError
        If frame is empty or max_missing out of range.

    References
    ----------
    Chapter 08, Handling missing values.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_weather
    >>> from mlsys_helpers.feature_engineering import drop_sparse_columns
    >>> weather = load_weather()
    >>> set(weather.columns) - set(drop_sparse_columns(weather).columns)
    {'wind_gust'}
    """
    _needs(frame, "frame")
    _checks.number(max_missing, "max_missing", low=0, high=1)
    return frame.loc[:, (frame.isna().mean() <= max_missing).to_numpy()].copy()


class RandomCategoryImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fill each gap with a random draw from the column's observed values.

    A value is drawn as often as it occurred in the rows of `fit`, so shares and spread stay
    (other than with the mean, median or mode), while the filled values mean nothing for their
    row.

    Parameters
    ----------
    random_state : int, numpy Generator or None
        With an int, `transform` draws the same for the same rows.

    Attributes
    ----------
    categories_ : list of ndarray
        The values observed in each column, in order of appearance.
    frequencies_ : list of ndarray
        Their shares; each sums to 1.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Raises
    ------
    ValueError
        If X is empty, names a column twice or holds an infinite number; on `fit`, if a column
        has no observed value; on `transform`, if columns differ from those of `fit`.

    Notes
    -----
    Columns may hold numbers, strings, or both. A DataFrame gives a DataFrame with its index and
    dtypes (object where a dtype cannot hold what was learned), anything else an array. 1, 1.0
    and True are one value. A value that was not seen in `fit` stays as it is.

    References
    ----------
    Chapter 08, Handling missing values.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.feature_engineering import RandomCategoryImputer
    >>> houses = pd.DataFrame({"married": ["yes", "no", None, "yes", None]})
    >>> RandomCategoryImputer(random_state=0).fit_transform(houses)["married"].tolist()
    ['yes', 'no', 'yes', 'yes', 'yes']
    """

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn each column's observed values and their shares; y is ignored."""
        _checks.generator(self.random_state)
        columns = _columns(self, X, reset=True)
        self.categories_, self.frequencies_ = [], []
        for name, values in columns.items():
            shares = values.value_counts(normalize=True, sort=False, dropna=True)
            shares = shares[shares > 0]  # a categorical lists those that did not occur, too
            if shares.empty:
                raise ValueError(f"column {name!r} has no observed value to draw from; delete it")
            self.categories_.append(np.asarray(shares.index))
            self.frequencies_.append(shares.to_numpy())
        return self

    def transform(self, X):
        """X with its gaps filled."""
        check_is_fitted(self)
        columns = _columns(self, X, reset=False)
        rng = _checks.generator(self.random_state)
        learned = zip(self.categories_, self.frequencies_, strict=True)
        for (name, values), (categories, shares) in zip(columns.items(), learned, strict=True):
            gone = values.isna().to_numpy()
            drawn = rng.choice(categories, gone.sum(), p=shares)
            columns[name] = _fill(values, gone, drawn)
        filled = pd.concat(columns, axis="columns")
        return filled if isinstance(X, pd.DataFrame) else filled.to_numpy()

    def __sklearn_tags__(self):
        seeded = isinstance(self.random_state, (int, np.integer))
        return _takes_categories(super().__sklearn_tags__(), non_deterministic=not seeded)


def _fill(values, gone, drawn):
    try:
        values[gone] = drawn
    except TypeError:  # a categorical or whole-number column that cannot hold what was learned
        values = values.astype(object)
        values[gone] = drawn
    return values


def imputation_bias(
    frame, column, remedies, share=0.5, *, by, mechanisms=_MECHANISMS, repeats=20, random_state=0
):
    """How far each remedy moves a column's mean and spread, under each mechanism.

    Values are removed from a complete column, the remedy is applied, and what it gives is
    compared with the column as it was.

    Parameters
    ----------
    frame : DataFrame of shape (n, d)
        Numbers; `column` and `by` without gaps.
    column : str
    remedies : dict
        Name → "drop column", "drop rows", or a transformer that fills gaps (cloned).
    share : float in (0, 1), default 0.5
        Of the values removed, on average.
    by : str
        The column that decides under MAR.
    mechanisms : sequence of {"MCAR", "MAR", "MNAR"}
    repeats : int, default 20
        Draws of the gaps, at least 2.
    random_state : int, numpy Generator or None

    Returns
    -------
    DataFrame, a row for each mechanism and remedy
        ``mechanism``, ``remedy``; ``bias``: mean after less mean before, in standard
        deviations of the complete column, on average over the draws, and its standard
        ``error``; ``spread``: standard deviation after over before. NaN where the column is
        dropped.

    Raises
    ------
    TypeError
        If frame is not a DataFrame, or a remedy neither a transformer nor one of the two words.
    ValueError
        If an argument is out of range, a column is not there, constant or has gaps, a draw
        leaves no value, or a remedy leaves gaps.

    References
    ----------
    Chapter 08, Handling missing values. R. J. A. Little and D. B. Rubin, Statistical Analysis
    with Missing Data, 3rd edition (2019).

    Examples
    --------
    >>> from sklearn.impute import SimpleImputer
    >>> from mlsys_helpers.datasets import load_weather
    >>> from mlsys_helpers.feature_engineering import imputation_bias
    >>> weather = load_weather()[["humid", "visib"]].dropna().head(2000)
    >>> remedies = {"drop rows": "drop rows", "mean": SimpleImputer()}
    >>> table = imputation_bias(weather, "humid", remedies, by="visib", mechanisms=["MNAR"])
    >>> table[["remedy", "bias", "spread"]].round(1)
          remedy  bias  spread
    0  drop rows  -0.6     0.7
    1       mean  -0.6     0.5
    """
    if not isinstance(remedies, dict) or not remedies:
        raise ValueError(f"remedies must be a dict of at least one remedy, got {remedies!r}")
    for name, remedy in remedies.items():
        is_word = isinstance(remedy, str) and remedy in ("drop column", "drop rows")
        if not is_word and (not hasattr(remedy, "transform") or isinstance(remedy, type)):
            raise TypeError(
                f"remedies[{name!r}] must be 'drop column', 'drop rows' or a transformer, "
                f"got {remedy!r}"
            )
    _needs(frame, "frame", [column], "column")
    _needs(frame, "frame", [by], "by")
    _checks.number(share, "share", low=0, high=1, open_low=True, open_high=True)
    _checks.whole_number(repeats, "repeats", low=2)
    complete = _checks.numbers(frame[column], f"frame[{column!r}]")
    if not complete.std() > 0:
        raise ValueError(f"frame[{column!r}] holds one value only")
    if not pd.api.types.is_list_like(mechanisms) or len(mechanisms) == 0:
        raise ValueError(f"mechanisms must be a sequence of {_MECHANISMS}, got {mechanisms!r}")
    rng = _checks.generator(random_state)
    rows = []
    for mechanism in mechanisms:
        decides = by if mechanism == "MAR" else None
        draws = [
            make_missing(frame, column, mechanism, share, by=decides, random_state=rng)
            for _ in range(repeats)
        ]
        if any(gappy[column].isna().all() for gappy in draws):
            raise ValueError(f"share {share} leaves no value of {column!r} in some draw; lower it")
        for name, remedy in remedies.items():
            after = [_after(remedy, gappy, column, name) for gappy in draws]
            means = np.array([values.mean() for values in after])
            bias = (means - complete.mean()) / complete.std()
            rows.append(
                {
                    "mechanism": mechanism,
                    "remedy": name,
                    "bias": bias.mean(),
                    "error": bias.std(ddof=1) / np.sqrt(repeats),
                    "spread": np.mean([values.std() for values in after]) / complete.std(),
                }
            )
    return pd.DataFrame(rows)


def _after(remedy, gappy, column, name):
    """The column's values once the remedy has been applied; NaN if the column is gone."""
    if isinstance(remedy, str):
        return np.array([np.nan]) if remedy == "drop column" else gappy[column].dropna().to_numpy()
    filled = clone(remedy).set_output(transform="pandas").fit_transform(gappy)
    if column not in filled or filled[column].isna().any():
        raise ValueError(f"remedies[{name!r}] must fill the gaps of {column!r} and keep its name")
    return filled[column].to_numpy(dtype=float)


# --- Discretization --------------------------------------------------------------------------


def bucketize(values, edges, labels=None):
    """The bucket of each number: bucket i holds what is at least edges[i] and below edges[i+1].

    Parameters
    ----------
    values : array-like of shape (n,)
        Numbers; missing ones stay missing.
    edges : array-like of shape (k + 1,)
        Rising, at least two. May begin with -inf and end with inf.
    labels : sequence of k distinct names, optional
        By default the intervals themselves.

    Returns
    -------
    Series of n entries, an ordered category
        With the index of values if it is a Series. Missing where a value lies below the first
        edge, or not below the last; so an infinite value is in no bucket, except that -inf is in
        one that begins with it.

    Raises
    ------
    ValueError
        If values holds anything but numbers or has not one dimension, edges do not rise, or
        labels are too few, too many or not distinct.

    References
    ----------
    Chapter 08, Discretization. Gives what `pandas.cut` gives with ``right=False``.

    Examples
    --------
    >>> from mlsys_helpers.feature_engineering import bucketize
    >>> bucketize([17.9, 18, 24, 25, 130], [0, 18, 25, 120], ["minor", "18-24", "25+"]).tolist()
    ['minor', '18-24', '18-24', '25+', nan]
    """
    numbers = _numbers_or_missing(values, "values")
    edges = np.asarray(edges)
    if edges.ndim != 1 or len(edges) < 2 or edges.dtype.kind not in "iuf":
        raise ValueError(f"edges must be at least two numbers, got {edges.tolist()}")
    if not (edges[:-1] < edges[1:]).all():
        raise ValueError(f"edges must rise, got {edges.tolist()}")
    if labels is None:
        names = pd.IntervalIndex.from_breaks(edges, closed="left")
    else:
        names = list(labels)
        if len(names) != len(edges) - 1 or len(set(names)) != len(names):
            raise ValueError(f"labels must be {len(edges) - 1} distinct names, got {names}")
    bucket = np.searchsorted(edges, numbers, side="right") - 1  # NaN sorts last
    bucket[(bucket == len(edges) - 1) | np.isnan(numbers)] = -1
    index = values.index if isinstance(values, pd.Series) else None
    return pd.Series(pd.Categorical.from_codes(bucket, names, ordered=True), index)


# --- Encoding categorical features -----------------------------------------------------------


class HashingEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """The hashing trick: each category sets the column (bucket) that its hash points to.

    There is no list of categories to learn, store or update: one that was never seen has its
    bucket already, the same one in every process and on every machine.

    Parameters
    ----------
    n_buckets : int, default 1024
        Columns of the result. All columns of X share them.
    alternate_sign : bool, default False
        Set -1 instead of 1 by another bit of the hash, so that collisions cancel on average.
    sparse_output : bool, default True
        A sparse matrix; False for a dense array, which ``set_output(transform="pandas")`` needs.

    Attributes
    ----------
    n_features_in_, feature_names_in_
        As in scikit-learn. Nothing else is learned.

    Raises
    ------
    ValueError
        If n_buckets is out of range, alternate_sign is no bool, X is empty, names a column
        twice or holds an infinite number, or columns differ from those of `fit`.
    TypeError
        If an entry is neither a string, a number nor missing, but a list, say.

    Notes
    -----
    What is hashed is ``"column=category"``, by MurmurHash3, as scikit-learn's `FeatureHasher`
    does for dicts of strings. A missing value is a category of its own, hashed as ``"column"``.
    Whole numbers are written without a point, so that 3 and 3.0 are the same category: pandas
    turns one into the other as soon as a gap turns up. True is 1.

    References
    ----------
    Chapter 08, Encoding categorical features. K. Weinberger et al., "Feature hashing for large
    scale multitask learning", ICML (2009).

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_flights
    >>> from mlsys_helpers.feature_engineering import HashingEncoder
    >>> planes = load_flights()[["tailnum"]]
    >>> encoder = HashingEncoder(n_buckets=4096).fit(planes)
    >>> encoder.transform(planes).shape
    (336776, 4096)
    """

    def __init__(self, n_buckets=1024, alternate_sign=False, sparse_output=True):
        self.n_buckets = n_buckets
        self.alternate_sign = alternate_sign
        self.sparse_output = sparse_output

    def fit(self, X, y=None):
        """Check the parameters and remember the columns; y is ignored."""
        self._n_features_out = _checks.whole_number(self.n_buckets, "n_buckets")
        if not isinstance(self.alternate_sign, (bool, np.bool_)):
            raise ValueError(f"alternate_sign must be True or False, got {self.alternate_sign!r}")
        _columns(self, X, reset=True)
        return self

    def transform(self, X):
        """Hash X of shape (n, d) into a matrix of shape (n, n_buckets)."""
        check_is_fitted(self)
        columns = _columns(self, X, reset=False)
        hashes = np.column_stack([_hash(name, values) for name, values in columns.items()])
        rows = np.repeat(np.arange(len(hashes)), hashes.shape[1])
        bucket = np.abs(hashes).ravel() % self.n_buckets
        sign = np.where(self.alternate_sign & (hashes.ravel() < 0), -1.0, 1.0)
        shape = (len(hashes), self.n_buckets)
        encoded = sparse.csr_matrix((sign, (rows, bucket)), shape)  # adds what meets in a bucket
        return encoded if self.sparse_output else encoded.toarray()

    def __sklearn_tags__(self):
        return _takes_categories(super().__sklearn_tags__())


def expected_used_buckets(n_categories, n_buckets):
    """How many buckets hold at least one category, on average over hash functions.

    Parameters
    ----------
    n_categories : int or array-like of int
        Distinct categories n, at least 0.
    n_buckets : int or array-like of int
        Buckets m, at least 1.

    Returns
    -------
    float or ndarray
        m (1 - (1 - 1/m)ⁿ).

    Raises
    ------
    ValueError
        If an argument is out of range or not whole.

    References
    ----------
    Chapter 08, Encoding categorical features. W. Feller, An Introduction to Probability Theory
    and Its Applications, volume 1 (1968), on occupancy.

    Examples
    --------
    >>> from mlsys_helpers.feature_engineering import expected_used_buckets
    >>> print(round(expected_used_buckets(4043, 4096)))
    2570
    """
    n = _whole_numbers(n_categories, "n_categories", low=0)
    m = _whole_numbers(n_buckets, "n_buckets", low=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # of one bucket, below
        used = -m * np.expm1(n * np.log1p(-1 / m))  # keeps the digits where m is large
    return np.where(np.equal(m, 1), np.minimum(n, 1), used)[()]


def expected_collisions(n_categories, n_buckets):
    """How many categories find their bucket taken by an earlier one, on average.

    It counts those that come second (or later), not all that share a bucket: of two categories
    in one bucket it counts one. On average n (1 - (1 - 1/m)ⁿ⁻¹) share a bucket.

    Parameters
    ----------
    n_categories, n_buckets : int or array-like of int
        As in `expected_used_buckets`.

    Returns
    -------
    float or ndarray
        n less the expected number of used buckets.

    Raises
    ------
    ValueError
        If an argument is out of range or not whole.

    References
    ----------
    Chapter 08, Encoding categorical features.

    Examples
    --------
    >>> from mlsys_helpers.feature_engineering import expected_collisions
    >>> print(round(expected_collisions(23, 365), 2))  # birthdays of a class of 23
    0.68
    """
    used = expected_used_buckets(n_categories, n_buckets)
    return _whole_numbers(n_categories, "n_categories", low=0) - used


# --- Feature crossing ------------------------------------------------------------------------


def cross_features(frame, columns, n_buckets=None):
    """One category for each combination of the columns' values, hashed if you like.

    Parameters
    ----------
    frame : DataFrame of shape (n, d)
    columns : sequence of at least two distinct column names
        Strings or numbers; bucketize what is continuous first. A missing value is a value of
        its own, written ∅.
    n_buckets : int, optional
        Give bucket numbers instead of names, for combinations too many to list.

    Returns
    -------
    Series of n entries, named after the columns: ``"married × children"``
        Strings such as ``"yes × 2"``; with `n_buckets` whole numbers from 0 to n_buckets - 1,
        those that `HashingEncoder` gives the strings.

    Raises
    ------
    TypeError
        If frame is not a DataFrame, or an entry neither a string, a number nor missing.
    ValueError
        If frame is empty, columns are too few, repeated or not there, an entry is infinite, or
        n_buckets is out of range.

    References
    ----------
    Chapter 08, Feature crossing. H.-T. Cheng et al., "Wide & deep learning for recommender
    systems", DLRS (2016).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.feature_engineering import cross_features
    >>> buyers = pd.DataFrame({"married": ["yes", "no"], "children": [2, 0]})
    >>> cross_features(buyers, ["married", "children"]).tolist()
    ['yes × 2', 'no × 0']
    """
    names = list(columns) if pd.api.types.is_list_like(columns) else [columns]
    if len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(f"columns must be at least two distinct names, got {names}")
    _needs(frame, "frame", names, "columns")
    if n_buckets is not None:
        _checks.whole_number(n_buckets, "n_buckets")
    name = " × ".join(map(str, names))
    parts = [_texts(column, frame[column])[1] for column in names]
    for sign in "×∅":  # doubled inside a value, so that no two combinations read the same
        parts = [part.str.replace(sign, 2 * sign) for part in parts]
    crossed = parts[0].fillna("∅").str.cat([part.fillna("∅") for part in parts[1:]], sep=" × ")
    if n_buckets is not None:
        crossed = _hash(name, crossed).abs() % n_buckets
    return crossed.rename(name)


# --- Shared parts ----------------------------------------------------------------------------


def _needs(frame, name, columns=(), argument=None):
    """Refuse what is not a table with rows, columns of distinct names, and those asked for."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{name} must be a DataFrame, got {type(frame).__name__}")
    if frame.empty:
        raise ValueError(f"{name} is empty, its shape is {frame.shape}")
    if not frame.columns.is_unique:
        raise ValueError(f"{name} must have columns of distinct names, got {list(frame.columns)}")
    if columns and frame.columns.nlevels > 1:
        raise ValueError(f"{name} must have one level of column names, got {list(frame.columns)}")
    for column in columns:
        if column not in frame.columns:
            raise ValueError(f"{argument or name} must name a column of {name}, got {column!r}")


def _numbers_or_missing(values, name):
    """One-dimensional numbers as floats, NaN where missing."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
    present = ~pd.isna(array)
    numbers = np.full(len(array), np.nan)
    if present.any():
        numbers[present] = _checks.numbers(array[present], name, finite=False)
    return numbers


def _number_table(frame):
    """The table as floats, NaN where missing; refused column by column."""
    _needs(frame, "frame")
    if frame.shape[1] < 2:
        raise ValueError("frame must have at least two columns: means are compared across gaps")
    columns = []
    for name, values in frame.items():
        numbers = _numbers_or_missing(values, f"frame: column {name!r}")
        if np.isnan(numbers).all():
            raise ValueError(f"frame: column {name!r} holds no number; leave it out")
        if np.isinf(numbers).any():
            raise ValueError(f"frame: column {name!r} must hold finite numbers, got inf")
        columns.append(numbers)
    return np.column_stack(columns)


def _whole_numbers(values, name, low):
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or (array < low).any():
        raise ValueError(f"{name} must be whole and at least {low}, got {values!r}")
    return array.astype(float)


def _columns(estimator, X, reset):
    """X as a dict of Series by column name, checked as scikit-learn checks; copies, not views."""
    if isinstance(X, pd.DataFrame) and not X.columns.is_unique:
        raise ValueError(f"X must have columns of distinct names, got {list(X.columns)}")
    mixed = X.astype(object) if isinstance(X, pd.DataFrame) else X  # dates beside numbers, too
    checked = validate_data(
        estimator, mixed, reset=reset, dtype=None, ensure_all_finite="allow-nan"
    )
    if not isinstance(X, pd.DataFrame):
        names = getattr(estimator, "feature_names_in_", None)
        names = [f"x{i}" for i in range(checked.shape[1])] if names is None else names
        X = pd.DataFrame(checked, columns=names)
    columns = {name: values.copy() for name, values in X.items()}
    for name, values in columns.items():
        _refuse_infinite(name, values)
    return columns


def _refuse_infinite(name, values):
    for value in (np.inf, -np.inf):
        if values.isin([value]).any():
            raise ValueError(f"column {name!r} must hold no infinite number, got {value}")


def _takes_categories(tags, non_deterministic=False):
    tags.input_tags.categorical = True
    tags.input_tags.string = True
    tags.input_tags.allow_nan = True
    tags.non_deterministic = non_deterministic
    return tags


def _texts(name, values):
    """The distinct categories of a column as text, and the text of each row; missing stays so."""
    _refuse_infinite(name, values)
    try:
        codes, categories = pd.factorize(values)
    except TypeError:
        raise TypeError(f"column {name!r}: argument must be a string or number") from None
    texts = pd.Series([_as_text(category) for category in categories], dtype=object)
    return texts, pd.Series(texts.reindex(codes).to_numpy(), values.index, dtype=object)


def _as_text(category):
    """The category as text; a whole number without a point, whatever its type."""
    if isinstance(category, (bool, np.bool_)):
        return str(int(category))
    if isinstance(category, (float, np.floating)) and category == int(category):
        return str(int(category))
    return str(category)


def _hash(name, values):
    """The signed 32-bit hash of "name=category" for each row, of "name" where missing."""
    texts, by_row = _texts(name, values)
    hashed = {text: murmurhash3_32(f"{name}={text}") for text in texts}
    missing = murmurhash3_32(str(name))
    return by_row.map(hashed).fillna(missing).astype("int64")
