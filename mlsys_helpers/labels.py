"""Chapter 05: where labels come from, and how far to believe them.

In the order of the chapter: labels that arrive by themselves; labels by hand, from annotators
who disagree; where each label came from; labels from rules (weak supervision), from a model
(semi-supervision), and from asking for the rows that teach most (active learning).

Throughout, classes are the whole numbers 0 … K-1, and -1 stands for no label: an annotator who
did not vote, a function that abstains, a row that nobody has labelled. Votes are an array of
shape (n, m), a row an item and a column an annotator or labeling function; where somebody voted
on an item more than once, of shape (n, m, r).
"""

import re
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import logsumexp, xlogy
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from mlsys_helpers import _checks
from mlsys_helpers.plotting import COLORS, get_axes

__all__ = [
    "arrival_times",
    "natural_labels",
    "agreement",
    "simulate_annotators",
    "vote_array",
    "majority_vote",
    "DawidSkene",
    "curve_over_seeds",
    "plot_learning_curves",
    "audit_lineage",
    "keyword_lf",
    "regex_lf",
    "lookup_lf",
    "model_lf",
    "labeling_function",
    "apply_lfs",
    "lf_summary",
    "LabelModel",
    "perturbation_labels",
    "uncertainty",
    "query",
    "committee_disagreement",
    "active_learning_curve",
]

_NONE = -1  # no label, no vote, abstain


# --- Natural labels --------------------------------------------------------------------------


def arrival_times(flights, airports):
    """When each flight arrived at its gate, by the clocks of the flights data.

    Parameters
    ----------
    flights : DataFrame
        Rows of `datasets.load_flights`.
    airports : DataFrame
        As `datasets.load_airports`: the time zone of each destination. Places that it lacks
        are those of the data, in Puerto Rico and the Virgin Islands.

    Returns
    -------
    Series of timestamps in UTC
        Missing where no arrival was recorded: that label never comes.

    Raises
    ------
    ValueError
        If a column is not there.

    References
    ----------
    Chapter 05, Natural labels. Data card: ``datasets/flights/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_airports, load_flights
    >>> from mlsys_helpers.labels import arrival_times
    >>> flights = load_flights().head(3)
    >>> arrival_times(flights, load_airports()).dt.strftime("%H:%M").tolist()
    ['14:30', '14:50', '14:23']
    """
    _frame(flights, "flights", ["time_hour", "minute", "dep_delay", "arr_time", "dest"])
    _frame(airports, "airports", ["faa", "tzone"])
    scheduled = flights["time_hour"] + pd.to_timedelta(flights["minute"], unit="min")
    left = scheduled + pd.to_timedelta(flights["dep_delay"], unit="min")
    zones = flights["dest"].map(airports.set_index("faa")["tzone"]).fillna("America/Puerto_Rico")
    left_at = pd.Series(np.nan, flights.index)  # minute of the day on the destination's clock
    for zone, rows in left.groupby(zones.to_numpy()):
        local = rows.dt.tz_convert(zone)
        left_at[rows.index] = local.dt.hour * 60 + local.dt.minute
    arrived_at = flights["arr_time"] // 100 * 60 + flights["arr_time"] % 100
    elapsed = (arrived_at - left_at) % (24 * 60)  # no flight takes a day
    return (left + pd.to_timedelta(elapsed, unit="min")).rename("arrived")


def natural_labels(events, outcomes, window, now=None):
    """Labels that arrive by themselves: 1 if the outcome comes within the window, else 0.

    Parameters
    ----------
    events : Series of timestamps
        When each prediction was made. The index names the event; each name once.
    outcomes : Series of timestamps
        When the outcome that counts as positive was seen, under the event's name. Missing, or
        not there at all, where it never was.
    window : Timedelta or str
        How long to wait, above 0: ``"6h"``, say. Without an outcome by then, the label is 0.
    now : timestamp, optional
        The moment at which somebody looks. By default long after the last window has closed.

    Returns
    -------
    DataFrame with the index of events
        ``label``, 1, 0 or missing (known only after `now`), and ``known_at``: the moment of
        the outcome for label 1, the end of the window for label 0.

    Raises
    ------
    ValueError
        If events is empty, has missing entries or a name twice, window is not above 0, the
        clocks differ in their time zone, or an outcome comes before its prediction.

    References
    ----------
    Chapter 05, Natural labels.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.labels import natural_labels
    >>> shown = pd.Series(pd.to_datetime(["2013-01-01 08:00", "2013-01-01 09:00"]), ["a", "b"])
    >>> clicked = pd.Series(pd.to_datetime(["2013-01-01 11:30"]), ["b"])
    >>> natural_labels(shown, clicked, "2h")["label"].tolist()  # b is a premature negative
    [0, 0]
    >>> natural_labels(shown, clicked, "3h")["label"].tolist()
    [0, 1]
    """
    events, outcomes = _moments(events, "events"), _moments(outcomes, "outcomes")
    if events.empty or events.isna().any():
        raise ValueError("events must hold at least one timestamp, and none may be missing")
    try:
        window = pd.Timedelta(window)
        seen = outcomes.reindex(events.index)
        early = int((seen < events).sum())
        if now is not None:
            now = pd.Timestamp(now)
            _ = events.iloc[0] < now
    except (TypeError, ValueError) as error:
        raise ValueError(f"events, outcomes, window and now do not fit: {error}") from None
    if not window > pd.Timedelta(0):
        raise ValueError(f"window must be above 0, got {window}")
    if early:
        raise ValueError(f"outcomes must not come before their prediction; {early} of them do")
    closes = events + window
    positive = seen <= closes
    known_at = closes.where(~positive, seen)
    label = positive.astype("Int8")
    if now is not None:
        label = label.mask(known_at > now)
    return pd.DataFrame({"label": label, "known_at": known_at})


# --- Hand labels -----------------------------------------------------------------------------


def agreement(votes, measure="krippendorff", level="nominal"):
    """How far annotators agree, beyond what chance would give.

    Parameters
    ----------
    votes : array-like of shape (n, m)
        Class numbers, -1 where there is no vote.
    measure : {"krippendorff", "cohen", "fleiss", "percent"}, default "krippendorff"
        "cohen" is for two annotators, and uses the items that both voted on. "fleiss" is for
        items that have equally many votes. "krippendorff" takes any number of votes, and
        leaves out items with fewer than two. "percent" is the share of pairs of votes on the
        same item that agree, the mean over items with at least two, not corrected for chance.
    level : {"nominal", "ordinal", "interval", "ratio"}, default "nominal"
        For "krippendorff": how much it counts to be far apart. All others are nominal.

    Returns
    -------
    float
        1 for perfect agreement, 0 for that of chance (for "percent", of none); may be negative.

    Raises
    ------
    ValueError
        If votes are out of range or do not suit the measure, or all are for one class: then
        nothing is left to correct for.

    References
    ----------
    Chapter 05, Label multiplicity. J. Cohen, "A coefficient of agreement for nominal scales",
    Educational and Psychological Measurement 20 (1960). J. L. Fleiss, "Measuring nominal scale
    agreement among many raters", Psychological Bulletin 76 (1971). K. Krippendorff, "Computing
    Krippendorff's alpha-reliability" (2011).

    Examples
    --------
    >>> from mlsys_helpers.labels import agreement
    >>> votes = [[1, 1, -1], [0, 0, 0], [1, 0, 1], [0, -1, 0]]  # three annotators, -1 for no vote
    >>> print(round(agreement(votes), 3))
    0.625
    """
    _checks.one_of(measure, "measure", ("krippendorff", "cohen", "fleiss", "percent"))
    _checks.one_of(level, "level", ("nominal", "ordinal", "interval", "ratio"))
    if level != "nominal" and measure != "krippendorff":
        raise ValueError(f"level={level!r} is for the measure 'krippendorff', got {measure!r}")
    votes = _votes(votes, dimensions=(2,))
    if measure == "cohen" and votes.shape[1] != 2:
        raise ValueError(f"votes must be of 2 annotators for 'cohen', got {votes.shape[1]}")
    counts = _counts(votes).sum(axis=1)
    if measure == "cohen":
        both = (votes != _NONE).all(axis=1)
        votes, counts = votes[both], counts[both]
    per_item = counts.sum(axis=1)
    if measure == "fleiss" and (per_item.min() < 2 or per_item.min() != per_item.max()):
        raise ValueError(
            "votes must hold equally many votes, at least 2, on each item for 'fleiss', got "
            f"{per_item.min():g} to {per_item.max():g}; 'krippendorff' takes any number"
        )
    counts, per_item = counts[per_item > 1], per_item[per_item > 1]
    if len(counts) == 0:
        raise ValueError("votes must hold an item with at least 2 votes")
    pairs = per_item * (per_item - 1)
    agreed = ((counts * (counts - 1)).sum(axis=1) / pairs).mean()
    if measure == "percent":
        return float(agreed)
    if (counts.sum(axis=0) > 0).sum() < 2:
        raise ValueError(f"votes are all for one class, so {measure!r} has no chance to correct")
    if measure == "krippendorff":
        return _krippendorff(counts, per_item, level)
    if measure == "cohen":
        shares = [np.bincount(column, minlength=counts.shape[1]) / len(votes) for column in votes.T]
        by_chance = np.dot(*shares)
    else:
        by_chance = ((counts.sum(axis=0) / counts.sum()) ** 2).sum()
    return float((agreed - by_chance) / (1 - by_chance))


def _krippendorff(counts, per_item, level):
    """1 - observed / expected disagreement, both summed over pairs of votes."""
    total = counts.sum(axis=0)
    values = np.arange(len(total))
    rank = values
    if level == "ordinal":
        rank = np.cumsum(total) - total / 2  # the middle of the ranks that a value takes up
    apart = np.abs(rank[:, None] - rank[None, :]).astype(float)
    if level == "nominal":
        apart = (apart > 0).astype(float)
    elif level == "ratio":
        apart /= np.maximum(values[:, None] + values[None, :], 1)
    weights = counts / (per_item - 1)[:, None]
    observed = np.einsum("ic,ik,ck->", weights, counts, apart**2)
    expected = total @ apart**2 @ total / (total.sum() - 1)
    return float(1 - observed / expected)


def simulate_annotators(truth, confusion, coverage=1.0, repeats=0.0, random_state=None):
    """Votes of annotators whose errors are known, since they are made up.

    Parameters
    ----------
    truth : array-like of shape (n,)
        Class numbers.
    confusion : array-like of shape (m, K, K)
        ``confusion[a, j, k]``: how often annotator a says k where j is true; rows sum to 1.
    coverage : float or array-like of shape (m,), default 1.0
        The probability, from 0 to 1, that an annotator votes on an item.
    repeats : float, default 0.0
        The probability, from 0 to 1, that a vote is cast a second time, with errors of its own.
    random_state : int, numpy Generator or None

    Returns
    -------
    ndarray of integers, shape (n, m), or (n, m, 2) where repeats is above 0
        -1 where there is no vote.

    Raises
    ------
    ValueError
        If an argument is out of range, or shapes do not fit.

    References
    ----------
    Chapter 05, Label multiplicity.

    Examples
    --------
    >>> from mlsys_helpers.labels import simulate_annotators
    >>> careful, contrary = [[0.9, 0.1], [0.1, 0.9]], [[0, 1], [1, 0]]
    >>> simulate_annotators([0, 1, 1], [careful, contrary], random_state=0).tolist()
    [[0, 1], [0, 0], [1, 0]]
    """
    confusion = _array(confusion, "confusion")
    if confusion.ndim != 3 or confusion.shape[1] != confusion.shape[2] or confusion.size == 0:
        raise ValueError(f"confusion must have shape (m, K, K), got {confusion.shape}")
    if not (np.allclose(confusion.sum(axis=2), 1) and (confusion >= 0).all()):
        raise ValueError("confusion must hold probabilities whose rows sum to 1")
    annotators, n_classes, _ = confusion.shape
    truth = _class_numbers(truth, "truth", high=n_classes - 1)
    if np.ndim(coverage) == 0:
        coverage = np.full(annotators, coverage)
    coverage = _checks.numbers(coverage, "coverage", annotators, low=0, high=1)
    _checks.number(repeats, "repeats", low=0, high=1)
    rng = _checks.generator(random_state)

    shape = (len(truth), annotators, 2 if repeats else 1)
    upper = confusion.cumsum(axis=2)[:, truth, :].transpose(1, 0, 2)  # (n, m, K)
    draws = rng.random(shape)
    votes = (draws[..., None] >= upper[:, :, None, :-1]).sum(axis=-1)
    cast = rng.random(shape) < [1.0, repeats][: shape[2]]
    cast &= (rng.random(shape[:2]) < coverage)[..., None]
    votes = np.where(cast, votes, _NONE)
    return votes if repeats else votes[:, :, 0]


def vote_array(table, item="item", annotator="annotator", label="label"):
    """Turn a table of votes, one a row, into an array.

    Parameters
    ----------
    table : DataFrame
        One row a vote. Where the annotator column is categorical, its categories are the
        annotators, those who have not voted included.
    item, annotator, label : str
        The columns. Labels are class numbers.

    Returns
    -------
    votes : ndarray of integers, shape (n, m) or (n, m, r)
        -1 where there is no vote; the third axis holds repeated votes, in the table's order.
    items, annotators : Index of length n and m
        What rows and columns stand for, sorted.

    Raises
    ------
    ValueError
        If the table is empty or lacks a column, something is missing in one of them, or a label
        is not a class number.

    References
    ----------
    Chapter 05, Label multiplicity.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.labels import vote_array
    >>> table = pd.DataFrame({"item": [7, 7, 9], "annotator": list("bab"), "label": [1, 0, 1]})
    >>> votes, items, annotators = vote_array(table)
    >>> print(votes.tolist(), items.tolist(), annotators.tolist())
    [[0, 1], [-1, 1]] [7, 9] ['a', 'b']
    """
    _frame(table, "table", [item, annotator, label])
    labels = _class_numbers(table[label], label)
    for name in (item, annotator):
        if table[name].isna().any():
            raise ValueError(f"{name} holds {table[name].isna().sum()} missing values")
    rows, items = pd.factorize(table[item], sort=True)
    people = table[annotator].astype("category").cat
    turn = table.groupby([rows, people.codes.to_numpy()]).cumcount().to_numpy()
    votes = np.full((len(items), len(people.categories), turn.max() + 1), _NONE)
    votes[rows, people.codes, turn] = labels
    votes = votes if votes.shape[2] > 1 else votes[:, :, 0]
    return votes, pd.Index(items), pd.Index(people.categories)


def majority_vote(votes, random_state=0):
    """The class with the most votes on each item.

    Parameters
    ----------
    votes : array-like of shape (n, m) or (n, m, r)
        Class numbers, -1 where there is no vote.
    random_state : int, numpy Generator or None, default 0
        Draws between classes that are tied.

    Returns
    -------
    ndarray of n integers
        -1 where there is no vote at all.

    Raises
    ------
    ValueError
        If votes are out of range, or there are none.

    References
    ----------
    Chapter 05, Label multiplicity.

    Examples
    --------
    >>> from mlsys_helpers.labels import majority_vote
    >>> majority_vote([[1, 1, 0], [0, -1, 0], [-1, -1, -1]]).tolist()
    [1, 0, -1]
    """
    rng = _checks.generator(random_state)
    counts = _counts(_votes(votes)).sum(axis=1)
    winner = (counts + rng.random(counts.shape) / 2).argmax(axis=1)  # less than a vote
    return np.where(counts.any(axis=1), winner, _NONE)


class _VoteModel(BaseEstimator):
    """What `DawidSkene` and `LabelModel` share: EM over votes that are independent given truth.

    It takes votes where other estimators take X. Since votes are class numbers and -1, and not
    any numbers, scikit-learn's `check_estimator` does not apply; its conventions do.
    """

    def __init__(self, n_classes=None, class_prior=None, max_iter=1000, tol=1e-9):
        self.n_classes = n_classes
        self.class_prior = class_prior
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, votes, y=None):
        """Learn from votes of shape (n, m) or (n, m, r); y is ignored. Returns self."""
        _checks.whole_number(self.max_iter, "max_iter")
        _checks.number(self.tol, "tol", low=0)
        votes = _votes(votes, self.n_classes)
        votes = votes[(votes != _NONE).reshape(len(votes), -1).any(axis=1)]  # the rest is silent
        self.classes_ = np.arange(self.n_classes or max(2, votes.max() + 1))
        self.n_features_in_ = votes.shape[1]
        given, answers = self._given_prior(), self._answers(votes)
        shares = _counts(votes, len(self.classes_)).sum(axis=1)
        proba = shares / shares.sum(axis=1, keepdims=True)  # to begin with, all are right
        history = []
        for _ in range(self.max_iter):
            self.class_prior_ = proba.mean(axis=0) if given is None else given
            self.confusion_ = _shares(np.einsum("ij,imk->mjk", proba, answers))
            joint = self._log_joint(answers)
            evidence = logsumexp(joint, axis=1)
            proba = np.exp(joint - evidence[:, None])
            history.append(evidence.sum())
            if len(history) > 1 and history[-1] - history[-2] <= self.tol * len(answers):
                break
        else:
            warnings.warn(f"EM has not settled in {self.max_iter} steps", ConvergenceWarning, 2)
        self.log_likelihood_ = np.array(history)
        self.n_iter_ = len(history)
        return self

    def predict_proba(self, votes):
        """Probabilities of the classes, shape (n, K)."""
        check_is_fitted(self)
        answers = self._answers(_votes(votes, len(self.classes_), empty=True))
        if answers.shape[1] != self.n_features_in_:
            raise ValueError(
                f"votes must have {self.n_features_in_} columns, as in fit, got {answers.shape[1]}"
            )
        joint = self._log_joint(answers)
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))

    def predict(self, votes):
        """The most probable class of each item."""
        return self.predict_proba(votes).argmax(axis=1)

    def fit_predict(self, votes, y=None):
        """Learn from votes, and give the most probable class of each item."""
        return self.fit(votes).predict(votes)

    def _log_joint(self, answers):
        """log P(class, answers) of each item and class."""
        log_confusion = np.log(np.maximum(self.confusion_, 1e-300))  # 0 as good as impossible
        log_prior = np.log(np.maximum(self.class_prior_, 1e-300))
        by_class = log_confusion.transpose(0, 2, 1).reshape(-1, len(self.classes_))
        return log_prior + answers.reshape(len(answers), -1) @ by_class

    def _given_prior(self):
        if self.class_prior is None:
            return None
        prior = _checks.numbers(self.class_prior, "class_prior", len(self.classes_), 0, 1)
        if not np.isclose(prior.sum(), 1):
            raise ValueError(f"class_prior must sum to 1, got {prior.sum():g}")
        return prior


class DawidSkene(_VoteModel):
    """True labels and each annotator's errors, learned together from votes alone.

    Each annotator has a confusion matrix: how often they say k where j is true. EM starts from
    the shares of votes and takes turns: with the labels as believed, count each annotator's
    errors; with these errors, weigh each vote anew (Dawid and Skene 1979).

    Parameters
    ----------
    n_classes : int, optional
        By default one more than the highest vote, and at least 2.
    class_prior : array-like of shape (K,), optional
        How common each class is, if known. By default it is learned.
    max_iter : int, default 1000
    tol : float, default 1e-9
        Stop when a step gains no more log-likelihood than this an item.

    Attributes
    ----------
    confusion_ : ndarray of shape (m, K, K)
        ``confusion_[a, j, k]``: how often annotator a says k where j is true. Rows of which
        nothing is known (an annotator who never votes, a class that never occurs) are uniform.
    class_prior_ : ndarray of shape (K,)
    log_likelihood_ : ndarray of shape (n_iter_,)
        After each step; it never falls.
    classes_, n_features_in_, n_iter_

    Raises
    ------
    ValueError
        When fitted or asked, if votes are out of range or have another number of columns, or
        a parameter is out of range.

    Notes
    -----
    It assumes that annotators err independently of each other given the true class, and that
    they are right more often than not: which class is which is settled by the majority. Votes
    that are repeated count as votes of their own. Annotators who copy from each other, and
    repeats from memory, break this.

    References
    ----------
    Chapter 05, Label multiplicity. A. P. Dawid and A. M. Skene, "Maximum likelihood estimation
    of observer error-rates using the EM algorithm", Applied Statistics 28 (1979).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.labels import DawidSkene, simulate_annotators
    >>> truth = np.arange(2000) % 2
    >>> good, biased = [[0.9, 0.1], [0.1, 0.9]], [[0.3, 0.7], [0.0, 1.0]]
    >>> votes = simulate_annotators(truth, [good, good, biased], random_state=0)
    >>> model = DawidSkene().fit(votes)
    >>> model.confusion_[2].round(1).tolist()
    [[0.3, 0.7], [0.0, 1.0]]
    >>> print((model.predict(votes) == truth).mean() > 0.9)
    True
    """

    def _answers(self, votes):
        """How often each annotator gave each class to each item; silence is no answer."""
        return _counts(votes, len(self.classes_))


def _shares(said):
    """Rows that sum to 1, from counts; uniform where there are none."""
    total = said.sum(axis=2, keepdims=True)
    return np.where(total > 0, said / np.where(total > 0, total, 1), 1 / said.shape[2])


# --- Curves over seeds -----------------------------------------------------------------------


def curve_over_seeds(trial, sizes, seeds=10):
    """Repeat a trial for each size and seed: the scores behind a curve with a band.

    Parameters
    ----------
    trial : callable
        ``trial(size, seed)`` returns a dict, method → score.
    sizes : iterable of numbers
        Numbers of labels, say.
    seeds : int or iterable of int, default 10
        Repeats, or their seeds; as a number, the seeds are 0, 1, 2 …

    Returns
    -------
    DataFrame
        Columns ``method``, ``seed``, ``labels`` (the size) and ``score``.

    Raises
    ------
    TypeError
        If trial is no function, or returns no dict.
    ValueError
        If there is no size or no seed.

    References
    ----------
    Chapter 05, Label multiplicity.

    Examples
    --------
    >>> from mlsys_helpers.labels import curve_over_seeds
    >>> table = curve_over_seeds(lambda n, seed: {"guess": 0.5, "learn": 1 - 1 / n}, [10, 20])
    >>> print(table.groupby(["method", "labels"])["score"].mean().to_dict())
    {('guess', 10): 0.5, ('guess', 20): 0.5, ('learn', 10): 0.9, ('learn', 20): 0.95}
    """
    if not callable(trial):
        raise TypeError(f"trial must be a function of size and seed, got {trial!r}")
    records = []
    sizes, seeds = list(sizes), _seeds(seeds)
    if not sizes:
        raise ValueError("sizes must hold at least one size")
    for size in sizes:
        for seed in seeds:
            scores = trial(size, seed)
            if not isinstance(scores, dict):
                raise TypeError(f"trial must return a dict of scores, got {scores!r}")
            for method, score in scores.items():
                records.append({"method": method, "seed": seed, "labels": size, "score": score})
    return pd.DataFrame(records)


def _seeds(seeds):
    """The seeds 0 … n-1 for a number n, otherwise what is given; at least one."""
    if np.ndim(seeds) == 0:
        return range(_checks.whole_number(seeds, "seeds"))
    if len(seeds) == 0:
        raise ValueError("seeds must hold at least one seed")
    return seeds


def plot_learning_curves(table, y="score", ax=None):
    """Draw a score against the number of labels: mean and range over the seeds.

    Parameters
    ----------
    table : DataFrame
        Columns ``method``, ``seed``, ``labels`` and the score.
    y : str, default "score"
        The score's column.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes
        A line for the mean of each method, a band from its second lowest to its second highest
        seed (of ten; in general the 10th to the 90th percentile).

    Raises
    ------
    ValueError
        If a column is not there.

    References
    ----------
    Chapter 05, Label multiplicity.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.labels import plot_learning_curves
    >>> row = {"method": "random", "seed": 0}
    >>> table = pd.DataFrame([row | {"labels": n, "score": n / 50} for n in (10, 20, 40)])
    >>> plot_learning_curves(table).get_xlabel()
    'labels'
    """
    _frame(table, "table", ["method", "seed", "labels", y])
    ax = get_axes(ax)
    styles = zip(["blue", "orange", "green", "purple", "sky", "red"], "o^sDvP", strict=True)
    for method, (color, marker) in zip(table["method"].unique(), styles, strict=False):
        scores = table[table["method"] == method].groupby("labels")[y]
        mean = scores.mean()
        ax.plot(mean, color=COLORS[color], marker=marker, markersize=6, label=method)
        band = scores.quantile(0.1), scores.quantile(0.9)
        ax.fill_between(mean.index, *band, color=COLORS[color], alpha=0.15, linewidth=0)
    ax.set(xlabel="labels", ylabel=y)
    ax.legend()
    return ax


# --- Data lineage ----------------------------------------------------------------------------


def audit_lineage(frame, label, by, alpha=0.05, min_rows=20):
    """Find the sources whose labels differ from everybody else's.

    Each value of each column (an annotator, a channel, a version of the rules) is compared with
    all other rows by a chi-square test. The most unusual one is flagged if it passes the
    Bonferroni-corrected level, its rows are set aside, and the rest is compared again, so that
    one bad source does not make the good ones look odd.

    Parameters
    ----------
    frame : DataFrame
        One row a label, with its lineage.
    label : str
        The column of labels, of any type; at least two different ones.
    by : str or list of str
        The columns of the lineage.
    alpha : float in (0, 1), default 0.05
        The probability of flagging anything where all sources are alike.
    min_rows : int, default 20
        Sources with fewer rows are not judged.

    Returns
    -------
    DataFrame, a row for each source
        ``column``, ``value``, ``rows``; ``label``, the one that is most unusual here, its
        ``share`` here and ``elsewhere``; ``p_value``, corrected, missing where there was
        nothing to compare with; ``flagged``. The flagged ones come first, as they were found.

    Raises
    ------
    ValueError
        If the frame is empty, lacks a column, holds one label only or missing values.

    Notes
    -----
    It compares sources that should be alike: where items are dealt out at random. Sources that
    get other items have other labels and no fault. A flag says where to look.

    References
    ----------
    Chapter 05, Data lineage.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.labels import audit_lineage
    >>> frame = pd.DataFrame({"who": ["ann", "bob", "eve"] * 100, "label": 0})
    >>> frame.loc[frame.index % 2 == 0, "label"] = 1
    >>> frame.loc[frame["who"] == "eve", "label"] = 1
    >>> audit_lineage(frame, "label", "who").query("flagged")["value"].tolist()
    ['eve']
    """
    by = [by] if isinstance(by, str) else list(by)
    _frame(frame, "frame", [label, *by])
    _checks.number(alpha, "alpha", low=0, high=1, open_low=True, open_high=True)
    _checks.whole_number(min_rows, "min_rows")
    if not by or label in by:
        raise ValueError(f"by must name at least one column, and not the label, got {by!r}")
    for name in (label, *by):
        if frame[name].isna().any():
            raise ValueError(f"{name} holds {frame[name].isna().sum()} missing values; name them")
    codes, names = pd.factorize(frame[label], sort=True)
    if len(names) < 2:
        raise ValueError(f"label must hold at least two labels, got {names.tolist()}")
    one_hot = np.eye(len(names))[codes]
    sources = {
        (column, value): rows
        for column in by
        for value, rows in frame.groupby(column).indices.items()
    }
    kept = np.ones(len(frame), dtype=bool)
    flagged = []
    while True:
        found = [_compare(*item, kept, one_hot, min_rows) for item in sources.items()]
        found = pd.DataFrame(found).sort_values(["p_value", "rows"], kind="stable")
        found["p_value"] = (found["p_value"] * found["p_value"].count()).clip(upper=1)
        found["label"] = names[found["label"]]
        worst = found.iloc[0]
        if not worst["p_value"] <= alpha:  # nor where it is missing
            break
        flagged.append(worst)
        kept[sources.pop((worst["column"], worst["value"]))] = False
    table = pd.concat([pd.DataFrame(flagged), found], ignore_index=True)
    return table.assign(flagged=np.arange(len(table)) < len(flagged))


def _compare(source, rows, kept, one_hot, min_rows):
    """One source against all other rows that are kept: the label that stands out, and p."""
    own = one_hot[rows[kept[rows]]].sum(axis=0)
    others = one_hot[kept].sum(axis=0) - own
    record = {"column": source[0], "value": source[1], "rows": len(rows), "label": 0}
    record |= {"share": np.nan, "elsewhere": np.nan, "p_value": np.nan}
    if min(own.sum(), others.sum()) >= min_rows:
        share, elsewhere = own / own.sum(), others / others.sum()
        odd = int(np.abs(share - elsewhere).argmax())
        record |= {"label": odd, "share": share[odd], "elsewhere": elsewhere[odd]}
        table = np.array([own, others])[:, own + others > 0]
        record["p_value"] = stats.chi2_contingency(table).pvalue if table.shape[1] > 1 else 1.0
    return record


# --- Weak supervision ------------------------------------------------------------------------


class _LabelingFunction(NamedTuple):
    """A name, and a function that takes a table and gives a vote for each row."""

    name: str
    vote: object

    def __call__(self, frame):
        """Class numbers of shape (n,), -1 where the function abstains."""
        _frame(frame, "frame", [])
        votes = self.vote(frame)
        return _class_numbers(votes, f"what {self.name!r} returns", low=_NONE, length=len(frame))


def keyword_lf(words, label, column="text", name=None):
    """A labeling function: this label where any of the words occurs, whole and in any case.

    Parameters
    ----------
    words : list of str
        Words or phrases, at least one.
    label : int
        The class to vote for.
    column : str, default "text"
        Where a text is missing, it abstains.
    name : str, optional
        By default made of the first word.

    Returns
    -------
    labeling function
        Takes a DataFrame, gives votes of shape (n,).

    Raises
    ------
    ValueError
        If words is empty or not a list of words, or label is no class number; when called, if
        the column is not there.

    References
    ----------
    Chapter 05, Weak supervision.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.labels import keyword_lf
    >>> money = keyword_lf(["refund", "compensation"], label=1)
    >>> money(pd.DataFrame({"text": ["Refund, please!", "no refunds today"]})).tolist()
    [1, -1]
    """
    words = [] if isinstance(words, str) else list(words)
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise ValueError("words must be a list of at least one word, and none of them empty")
    pattern = rf"\b(?:{'|'.join(map(re.escape, words))})\b"
    return regex_lf(pattern, label, column, name=name or f"keyword {words[0]}")


def regex_lf(pattern, label, column="text", *, otherwise=-1, name=None):
    r"""A labeling function: this label where a regular expression is found, in any case.

    Parameters
    ----------
    pattern : str
        As in Python's `re`.
    label : int
        The class to vote for where it is found.
    column : str, default "text"
        Where a text is missing, it abstains.
    otherwise : int, default -1
        What to vote where it is not found: by default nothing.
    name : str, optional
        By default the pattern.

    Returns
    -------
    labeling function
        Takes a DataFrame, gives votes of shape (n,).

    Raises
    ------
    ValueError
        If the pattern cannot be read, or a label is no class number; when called, if the column
        is not there.

    References
    ----------
    Chapter 05, Weak supervision.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.labels import regex_lf
    >>> waited = regex_lf(r"\d+ hours? late", label=1, name="hours late")
    >>> waited(pd.DataFrame({"text": ["3 hours late!", "3 hours to Miami"]})).tolist()
    [1, -1]
    """
    try:
        expression = re.compile(pattern, re.IGNORECASE)
    except (re.error, TypeError) as error:
        raise ValueError(
            f"pattern must be a regular expression, got {pattern!r}: {error}"
        ) from None
    _checks.whole_number(label, "label", low=0)
    _checks.whole_number(otherwise, "otherwise", low=_NONE)

    def vote(frame):
        _frame(frame, "frame", [column])
        texts = frame[column]
        if not all(isinstance(text, str) for text in texts.dropna()):
            raise ValueError(f"{column} must hold text")
        found = np.array([bool(expression.search(text)) for text in texts.fillna("")])
        return np.where(texts.isna(), _NONE, np.where(found, label, otherwise))

    return _LabelingFunction(name or pattern, vote)


def lookup_lf(table, key, name=None):
    """A labeling function: the label that a table holds under a row's key.

    Parameters
    ----------
    table : dict or Series
        Key → class number; as a Series, with the keys as its index.
    key : str
        The column that holds the keys. Where one is missing or unknown, it abstains.
    name : str, optional
        By default made of the key's name.

    Returns
    -------
    labeling function
        Takes a DataFrame, gives votes of shape (n,).

    Raises
    ------
    ValueError
        If the table is empty, holds a key twice or anything but class numbers; when called, if
        the column is not there.

    References
    ----------
    Chapter 05, Weak supervision.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.labels import lookup_lf
    >>> was_late = lookup_lf({1545: 1, 1714: 0}, key="flight")
    >>> was_late(pd.DataFrame({"flight": [1714, 1545, 3, None]})).tolist()
    [0, 1, -1, -1]
    """
    if not isinstance(table, (dict, pd.Series)) or len(table) == 0:
        raise ValueError("table must be a dict or Series with at least one key")
    table = pd.Series(table)
    if not table.index.is_unique:
        raise ValueError("table holds a key twice")
    table = pd.Series(_class_numbers(table, "table"), table.index)

    def vote(frame):
        _frame(frame, "frame", [key])
        return frame[key].map(table).astype("Float64").fillna(_NONE).astype(int)

    return _LabelingFunction(name or f"look-up {key}", vote)


def model_lf(model, columns, threshold=0.9, name=None):
    """A labeling function: what another model says, where it is sure.

    Parameters
    ----------
    model : fitted classifier
        With ``predict_proba``; its classes are class numbers.
    columns : str or list of str
        What the model is given: one column, or a table of several.
    threshold : float in (0, 1], default 0.9
        It abstains where the highest probability is below this.
    name : str, optional
        By default made of the model's name.

    Returns
    -------
    labeling function
        Takes a DataFrame, gives votes of shape (n,).

    Raises
    ------
    TypeError
        If the model has no ``predict_proba``.
    ValueError
        If its classes are no class numbers, or threshold is out of range; when called, if a
        column is not there.

    References
    ----------
    Chapter 05, Weak supervision.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.labels import model_lf
    >>> model = LogisticRegression().fit([[-2], [-1], [1], [2]], [0, 0, 1, 1])
    >>> sure = model_lf(model, ["x"], threshold=0.8)
    >>> sure(pd.DataFrame({"x": [-3, 0, 3]})).tolist()
    [0, -1, 1]
    """
    if not hasattr(model, "predict_proba") or isinstance(model, type):
        raise TypeError(f"model must be a fitted classifier with predict_proba, got {model!r}")
    _checks.number(threshold, "threshold", low=0, high=1, open_low=True)
    classes = _class_numbers(getattr(model, "classes_", []), "the model's classes")

    def vote(frame):
        _frame(frame, "frame", [columns] if isinstance(columns, str) else list(columns))
        given = frame[columns]
        by_name = hasattr(model, "feature_names_in_") or isinstance(columns, str)
        proba = model.predict_proba(given if by_name else given.to_numpy())
        return np.where(proba.max(axis=1) >= threshold, classes[proba.argmax(axis=1)], _NONE)

    return _LabelingFunction(name or type(model).__name__, vote)


def labeling_function(name=None):
    """Make a labeling function of your own function, which looks at one row at a time.

    Parameters
    ----------
    name : str, optional
        By default that of the function.

    Returns
    -------
    decorator
        For a function that takes a row, whose columns are attributes (``row.text``), and
        returns a class number, or -1 to abstain.

    References
    ----------
    Chapter 05, Weak supervision.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.labels import labeling_function
    >>> @labeling_function("asks")
    ... def asks(post):
    ...     return 0 if post.text.endswith("?") else -1
    >>> asks(pd.DataFrame({"text": ["is there wifi?", "no wifi"]})).tolist()
    [0, -1]
    """
    if callable(name):  # used without parentheses
        return labeling_function()(name)

    def decorate(function):
        def vote(frame):
            return [function(row) for row in frame.itertuples(index=False)]

        return _LabelingFunction(name or function.__name__, vote)

    return decorate


def apply_lfs(lfs, frame):
    r"""The votes of labeling functions on every row.

    Parameters
    ----------
    lfs : list of labeling functions
        At least one, each with a name of its own.
    frame : DataFrame of n rows
        At least one row.

    Returns
    -------
    DataFrame of shape (n, m)
        Class numbers, -1 where a function abstains; a column a function, by its name.

    Raises
    ------
    TypeError
        If something in lfs is no labeling function.
    ValueError
        If lfs is empty or a name occurs twice, the frame is empty, or a function returns
        anything but class numbers and -1.

    References
    ----------
    Chapter 05, Weak supervision.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.labels import apply_lfs, keyword_lf, regex_lf
    >>> money, asks = keyword_lf(["refund"], label=1), regex_lf(r"\?$", label=0)
    >>> posts = pd.DataFrame({"text": ["a refund, now", "refund?", "hello"]})
    >>> apply_lfs([money, asks], posts).values.tolist()
    [[1, -1], [1, 0], [-1, -1]]
    """
    lfs = list(lfs)
    for lf in lfs:
        if not isinstance(lf, _LabelingFunction):
            raise TypeError(
                f"lfs must hold labeling functions, got {lf!r}; decorate it with labeling_function"
            )
    names = [lf.name for lf in lfs]
    if not lfs or len(set(names)) < len(names):
        raise ValueError(f"lfs must hold at least one function, each name once, got {names}")
    _frame(frame, "frame", [])
    return pd.DataFrame({lf.name: lf(frame) for lf in lfs}, index=frame.index)


def lf_summary(votes, y=None):
    """What each labeling function covers, and how it gets on with the others.

    Parameters
    ----------
    votes : DataFrame or array-like of shape (n, m)
        From `apply_lfs`: class numbers, -1 where a function abstains.
    y : array-like of shape (n,), optional
        True labels where they are known, -1 elsewhere: a few hundred hand-made ones, say.

    Returns
    -------
    DataFrame, a row for each function
        ``labels`` that it votes for; ``coverage``, the share of rows it votes on; ``overlap``,
        the share on which another votes, too; ``conflict``, the share on which another votes
        differently. With y also ``judged``, on how many known rows it votes, and ``accuracy``
        there, missing where there are none.

    Raises
    ------
    ValueError
        If votes or y are out of range, or lengths differ.

    References
    ----------
    Chapter 05, Weak supervision.

    Examples
    --------
    >>> from mlsys_helpers.labels import lf_summary
    >>> summary = lf_summary([[1, -1], [1, 0], [-1, -1], [1, 1]], y=[1, 0, -1, 1])
    >>> summary[["coverage", "overlap", "conflict", "accuracy"]].round(2).values.tolist()
    [[0.75, 0.5, 0.25, 0.67], [0.5, 0.5, 0.25, 1.0]]
    """
    names = votes.columns if isinstance(votes, pd.DataFrame) else None
    votes = _votes(votes, dimensions=(2,), empty=True)
    cast = votes != _NONE
    others = _counts(votes).sum(axis=1, keepdims=True) - _counts(votes)  # (n, m, K)
    total = others.sum(axis=2)
    same = np.take_along_axis(others, np.maximum(votes, 0)[:, :, None], axis=2)[:, :, 0]
    summary = pd.DataFrame(
        {
            "labels": [np.unique(column[column != _NONE]).tolist() for column in votes.T],
            "coverage": cast.mean(axis=0),
            "overlap": (cast & (total > 0)).mean(axis=0),
            "conflict": (cast & (total > same)).mean(axis=0),
        },
        index=names,
    )
    if y is not None:
        y = _class_numbers(y, "y", low=_NONE, length=len(votes))[:, None]
        judged = (cast & (y != _NONE)).sum(axis=0)
        right = (cast & (votes == y)).sum(axis=0)
        summary["judged"] = judged
        summary["accuracy"] = np.where(judged > 0, right / np.maximum(judged, 1), np.nan)
    return summary


class LabelModel(_VoteModel):
    """Probable labels from the votes of labeling functions, each weighed by its accuracy.

    The model of `DawidSkene`, where to abstain is an answer like any other: a function that only
    ever votes for class 1 will be silent more often where class 0 is true. How often each
    function gives which answer to which class is learned from where the functions agree and
    disagree; no true label is used.

    Parameters
    ----------
    n_classes : int, optional
        By default one more than the highest vote, and at least 2.
    class_prior : array-like of shape (K,), optional
        How common each class is: from a few hand-made labels, say. By default it is learned,
        which needs functions that vote for every class.
    max_iter : int, default 1000
    tol : float, default 1e-9
        Stop when a step gains no more log-likelihood than this an item.

    Attributes
    ----------
    accuracies_ : ndarray of shape (m,)
        How often each function is right when it votes; 1/K for one that never votes.
    confusion_ : ndarray of shape (m, K, K + 1)
        ``confusion_[f, j, k]``: how often function f votes k where j is true; the last column
        is for abstaining.
    class_prior_, classes_, log_likelihood_, n_features_in_, n_iter_
        As in `DawidSkene`.

    Raises
    ------
    ValueError
        When fitted or asked, if votes are out of range, have another number of columns or a
        third axis, or a parameter is out of range.

    Notes
    -----
    It assumes that the functions answer independently of each other given the true class, and
    that they are right more often than not. Copies of one function agree with each other, and
    so pass for accurate.

    References
    ----------
    Chapter 05, Weak supervision. A. Ratner et al., "Data programming: creating large training
    sets, quickly", NIPS (2016), and "Training complex models with multi-task weak supervision",
    AAAI (2019), whose parameters are these.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.labels import LabelModel, simulate_annotators
    >>> truth = np.arange(10_000) % 2
    >>> errors = [[[a, 1 - a], [1 - a, a]] for a in (0.9, 0.7, 0.6)]
    >>> votes = simulate_annotators(truth, errors, coverage=0.7, random_state=0)
    >>> LabelModel(class_prior=[0.5, 0.5]).fit(votes).accuracies_.round(1).tolist()
    [0.9, 0.7, 0.6]
    """

    def fit(self, votes, y=None):
        """Learn from votes of shape (n, m); y is ignored. Returns self."""
        super().fit(votes)
        said = self.class_prior_[:, None] * self.confusion_[:, :, :-1]
        right, voted = np.trace(said, axis1=1, axis2=2), said.sum(axis=(1, 2))
        chance = 1 / len(self.classes_)
        self.accuracies_ = np.where(voted > 0, right / np.where(voted > 0, voted, 1), chance)
        return self

    def _answers(self, votes):
        """How often each function gave each class, or none, to each item."""
        votes = _votes(votes, len(self.classes_), dimensions=(2,), empty=True)
        counts = _counts(votes, len(self.classes_))
        return np.concatenate([counts, 1 - counts.sum(axis=2, keepdims=True)], axis=2)


# --- Semi-supervision ------------------------------------------------------------------------


def perturbation_labels(model, X, perturb, copies=8, agreement=1.0, random_state=None):
    """A model's own labels for unlabelled rows, kept where small changes do not alter them.

    Parameters
    ----------
    model : fitted classifier
        Its classes are class numbers.
    X : array-like of shape (n, d)
        Unlabelled rows.
    perturb : callable
        ``perturb(X, rng)`` returns X with a small random change that leaves the true label as
        it is; rng is a numpy Generator.
    copies : int, default 8
        How often to perturb.
    agreement : float in (0, 1], default 1.0
        A label is kept if at least this share of the copies get it, too.
    random_state : int, numpy Generator or None

    Returns
    -------
    labels : ndarray of n integers
        The model's prediction, -1 where it is not kept.
    share : ndarray of shape (n,)
        The share of copies with the same prediction.

    Raises
    ------
    TypeError
        If the model has no ``predict``, or perturb is no function.
    ValueError
        If an argument is out of range, or perturb changes the shape.

    References
    ----------
    Chapter 05, Semi-supervision. P. Bachman, O. Alsharif and D. Precup, "Learning with
    pseudo-ensembles", NIPS (2014).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.labels import perturbation_labels
    >>> model = LogisticRegression().fit([[-1.0], [1.0]], [0, 1])
    >>> def shake(X, rng):
    ...     return X + rng.normal(scale=0.3, size=X.shape)
    >>> labels, share = perturbation_labels(model, [[-2], [0.01], [2]], shake, random_state=0)
    >>> labels.tolist()
    [0, -1, 1]
    """
    if not hasattr(model, "predict") or isinstance(model, type):
        raise TypeError(f"model must be a fitted classifier, got {model!r}")
    if not callable(perturb):
        raise TypeError(f"perturb must be a function of X and a Generator, got {perturb!r}")
    _checks.whole_number(copies, "copies")
    _checks.number(agreement, "agreement", low=0, high=1, open_low=True)
    X = _array(X, "X")
    if X.ndim != 2 or len(X) == 0:
        raise ValueError(f"X must be a table with at least one row, got shape {X.shape}")
    rng = _checks.generator(random_state)
    labels = _class_numbers(model.predict(X), "what the model predicts")
    same = np.zeros(len(X))
    for _ in range(copies):
        changed = np.asarray(perturb(X.copy(), rng))
        if changed.shape != X.shape:
            raise ValueError(f"perturb must keep the shape {X.shape}, got {changed.shape}")
        same += model.predict(changed) == labels
    share = same / copies
    return np.where(share >= agreement, labels, _NONE), share


# --- Active learning -------------------------------------------------------------------------


def uncertainty(proba, strategy="margin"):
    """How unsure a model is of each row.

    Parameters
    ----------
    proba : array-like of shape (n, K)
        Probabilities of at least two classes; rows sum to 1.
    strategy : {"least_confidence", "margin", "entropy"}, default "margin"
        1 less the highest probability; 1 less the lead of the highest over the second; or the
        entropy, in nats.

    Returns
    -------
    ndarray of shape (n,)
        At least 0, higher for rows that the model is less sure of.

    Raises
    ------
    ValueError
        If proba are no probabilities, or there is no such strategy.

    References
    ----------
    Chapter 05, Active learning. B. Settles, "Active learning literature survey", University of
    Wisconsin-Madison, Computer Sciences Technical Report 1648 (2009).

    Examples
    --------
    >>> from mlsys_helpers.labels import uncertainty
    >>> proba = [[0.5, 0.5, 0.0], [0.4, 0.3, 0.3]]
    >>> uncertainty(proba, "margin").round(2).tolist()
    [1.0, 0.9]
    >>> uncertainty(proba, "entropy").round(2).tolist()
    [0.69, 1.09]
    """
    _checks.one_of(strategy, "strategy", ("least_confidence", "margin", "entropy"))
    proba = _probabilities(proba, "proba", 2)
    if strategy == "entropy":
        return -xlogy(proba, proba).sum(axis=1)
    second, first = np.sort(proba, axis=1)[:, -2:].T
    return 1 - first if strategy == "least_confidence" else 1 - (first - second)


def query(proba, strategy="margin", n=1):
    """The rows to have labelled next: those that the model is least sure of.

    Parameters
    ----------
    proba : array-like of shape (n_rows, K)
        The model's probabilities for the rows without a label.
    strategy : {"least_confidence", "margin", "entropy"}, default "margin"
        As in `uncertainty`.
    n : int, default 1
        How many, from 1 to n_rows.

    Returns
    -------
    ndarray of n integers
        Positions of rows, the least sure one first; of equals the earlier one.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 05, Active learning.

    Examples
    --------
    >>> from mlsys_helpers.labels import query
    >>> proba = [[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [1.0, 0.0, 0.0]]
    >>> print(query(proba, "margin", n=2), query(proba, "entropy", n=2))
    [0 1] [1 0]
    """
    unsure = uncertainty(proba, strategy)
    if _checks.whole_number(n, "n") > len(unsure):
        raise ValueError(f"n must be at most the number of rows, {len(unsure)}, got {n}")
    return np.argsort(-unsure.round(12), kind="stable")[:n]  # equal but for rounding is equal


def committee_disagreement(probas, measure="vote_entropy"):
    """How far the members of a committee of models disagree on each row.

    Parameters
    ----------
    probas : array-like of shape (members, n, K)
        Each member's probabilities, at least two members.
    measure : {"vote_entropy", "kl"}, default "vote_entropy"
        The entropy of the members' votes, each for its most probable class; or the mean
        Kullback–Leibler divergence of the members from their mean. Both in nats.

    Returns
    -------
    ndarray of shape (n,)
        0 where all agree.

    Raises
    ------
    ValueError
        If probas are no probabilities, there is one member only, or no such measure.

    References
    ----------
    Chapter 05, Active learning. H. S. Seung, M. Opper and H. Sompolinsky, "Query by committee",
    COLT (1992). A. McCallum and K. Nigam, "Employing EM and pool-based active learning for text
    classification", ICML (1998).

    Examples
    --------
    >>> from mlsys_helpers.labels import committee_disagreement
    >>> probas = [[[0.9, 0.1], [0.8, 0.2]], [[0.9, 0.1], [0.4, 0.6]]]  # two members, two rows
    >>> committee_disagreement(probas).round(2).tolist()
    [0.0, 0.69]
    """
    _checks.one_of(measure, "measure", ("vote_entropy", "kl"))
    probas = _probabilities(probas, "probas", 3)
    if len(probas) < 2:
        raise ValueError("probas must be of at least two members, got 1")
    if measure == "vote_entropy":
        votes = probas.argmax(axis=2)[..., None] == np.arange(probas.shape[2])
        share = votes.mean(axis=0)
        return np.abs(xlogy(share, share).sum(axis=1))  # no -0
    mean = probas.mean(axis=0)
    divergence = xlogy(probas, probas) - xlogy(probas, mean)
    return np.maximum(divergence.sum(axis=2).mean(axis=0), 0)


def active_learning_curve(
    model, X, y, X_test, y_test, strategy="margin", *, start=20, batch=20, rounds=10, seeds=10
):
    """Play active learning on rows whose labels are known: the score as labels are bought.

    It begins with some random rows. In each round the model is trained on the labelled rows and
    judged on the test rows; then the strategy picks the next batch.

    Parameters
    ----------
    model : classifier with ``predict_proba``
        Cloned for each training.
    X, X_test : array-like of shape (n, d) and (n_test, d)
    y, y_test : array-like of shape (n,) and (n_test,)
    strategy : str, default "margin"
        "random", a strategy of `uncertainty`, or "committee": vote entropy of five models, each
        trained on labelled rows drawn with repetition.
    start, batch, rounds : int
        Rows labelled at first and in each round, and rounds. All must fit into the n rows.
    seeds : int or list of int, default 10
        Repeats, each with other random rows to begin with; the same for every strategy.

    Returns
    -------
    DataFrame
        ``method`` (the strategy), ``seed``, ``labels`` and ``score``, the accuracy, for each of
        rounds + 1 trainings; ``rows``, the positions of the rows that were bought before it.

    Raises
    ------
    TypeError
        If the model has no ``predict_proba``.
    ValueError
        If an argument is out of range, lengths differ, y holds one class only, or there are
        not enough rows.

    References
    ----------
    Chapter 05, Active learning. B. Settles, "Active learning literature survey", University of
    Wisconsin-Madison, Computer Sciences Technical Report 1648 (2009).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.labels import active_learning_curve
    >>> X, y = load_breast_cancer()
    >>> X = (X - X.mean()) / X.std()
    >>> curve = active_learning_curve(
    ...     LogisticRegression(), X[:400], y[:400], X[400:], y[400:], rounds=3, seeds=2
    ... )
    >>> curve["labels"].tolist()
    [20, 40, 60, 80, 20, 40, 60, 80]
    """
    strategies = ("random", "least_confidence", "margin", "entropy", "committee")
    _checks.one_of(strategy, "strategy", strategies)
    if not hasattr(model, "predict_proba") or isinstance(model, type):
        raise TypeError(f"model must be a classifier with predict_proba, got {model!r}")
    X, X_test = np.asarray(X), np.asarray(X_test)
    y = _checks.column(y, "y", len(X))
    y_test = _checks.column(y_test, "y_test", len(X_test))
    _checks.classes(y, "y")
    for value, name in ((start, "start"), (batch, "batch"), (rounds, "rounds")):
        _checks.whole_number(value, name, low=2 if name == "start" else 1)
    if start + batch * rounds > len(y):
        raise ValueError(
            f"start + batch * rounds must be at most the {len(y)} rows, "
            f"got {start + batch * rounds}"
        )
    records = []
    for seed in _seeds(seeds):
        rng = _checks.generator(seed)
        labelled = bought = rng.choice(len(y), start, replace=False)
        while len(np.unique(y[labelled])) < 2:  # no classifier can begin with one class
            labelled = bought = rng.choice(len(y), start, replace=False)
        for step in range(rounds + 1):
            fitted = clone(model).fit(X[labelled], y[labelled])
            record = {"method": strategy, "seed": seed, "labels": len(labelled)}
            record |= {"score": (fitted.predict(X_test) == y_test).mean(), "rows": bought}
            records.append(record)
            if step < rounds:
                rest = np.setdiff1d(np.arange(len(y)), labelled)
                bought = rest[_pick(strategy, fitted, X, y, labelled, rest, batch, rng)]
                labelled = np.concatenate([labelled, bought])
    return pd.DataFrame(records)


def _pick(strategy, fitted, X, y, labelled, rest, batch, rng):
    """Positions in rest of the rows to buy."""
    if strategy == "random":
        return rng.choice(len(rest), batch, replace=False)
    if strategy != "committee":
        return query(fitted.predict_proba(X[rest]), strategy, batch)
    classes, probas = np.unique(y[labelled]), []
    for _ in range(5):
        rows = rng.choice(labelled, len(labelled))
        while len(np.unique(y[rows])) < 2:
            rows = rng.choice(labelled, len(labelled))
        member = clone(fitted).fit(X[rows], y[rows])
        proba = np.zeros((len(rest), len(classes)))
        proba[:, np.searchsorted(classes, member.classes_)] = member.predict_proba(X[rest])
        probas.append(proba)
    return np.argsort(-committee_disagreement(probas), kind="stable")[:batch]


# --- Checks ----------------------------------------------------------------------------------


def _frame(frame, name, columns):
    """Refuse what is not a DataFrame with a row, or lacks a column."""
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(f"{name} must be a DataFrame, got {type(frame).__name__}")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"{name} has no column {missing[0]!r}, only {list(frame.columns)}")
    if len(frame) == 0:
        raise ValueError(f"{name} is empty")


def _moments(series, name):
    """A Series of timestamps with distinct names."""
    if not isinstance(series, pd.Series) or not pd.api.types.is_datetime64_any_dtype(series):
        raise ValueError(f"{name} must be a Series of timestamps, got {type(series).__name__}")
    if not series.index.is_unique:
        raise ValueError(f"{name} names an event twice in its index")
    return series


def _array(values, name, dtype=float):
    """An array, refused by name where its rows differ in length or hold anything but numbers."""
    try:
        return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from None


def _class_numbers(values, name, low=0, high=np.inf, length=None):
    """A column of whole numbers from low to high, as integers."""
    array = _checks.numbers(values, name, length)
    strange = array[(array != np.round(array)) | (array < low) | (array > high)]
    if len(strange):
        wanted = "class numbers 0, 1, 2 …" if high == np.inf else f"class numbers 0 to {high}"
        wanted += "" if low == 0 else ", or -1 for none"
        raise ValueError(f"{name} must hold {wanted}, got {strange[0]:g}")
    return array.astype(int)


def _votes(votes, n_classes=None, dimensions=(2, 3), empty=False):
    """An array of class numbers and -1, with a vote in it unless it may be empty of votes."""
    if n_classes is not None:
        _checks.whole_number(n_classes, "n_classes", low=2)
    array = _array(votes, "votes", dtype=None)
    if array.ndim not in dimensions or array.size == 0:
        wanted = " or ".join({2: "(n, m)", 3: "(n, m, r)"}[d] for d in dimensions)
        raise ValueError(f"votes must have shape {wanted} and not be empty, got {array.shape}")
    high = np.inf if n_classes is None else n_classes - 1
    flat = _class_numbers(array.ravel(), "votes", low=_NONE, high=high)
    if not empty and (flat == _NONE).all():
        raise ValueError("votes holds no vote, only -1")
    return flat.reshape(array.shape)


def _counts(votes, n_classes=None):
    """How often each annotator gave each class to each item, shape (n, m, K)."""
    n_classes = n_classes or max(2, votes.max() + 1)
    votes = votes[:, :, None] if votes.ndim == 2 else votes
    one_hot = votes[..., None] == np.arange(n_classes)
    return one_hot.sum(axis=2).astype(float)


def _probabilities(values, name, dimensions):
    """Probabilities of at least two classes along the last axis."""
    array = _array(values, name)
    if array.ndim != dimensions or array.shape[-1] < 2 or array.size == 0:
        shape = "(n, K)" if dimensions == 2 else "(members, n, K)"
        raise ValueError(f"{name} must have shape {shape}, K at least 2, got {array.shape}")
    if not ((array >= 0) & (array <= 1)).all() or not np.allclose(array.sum(axis=-1), 1):
        raise ValueError(f"{name} must hold probabilities from 0 to 1 that sum to 1 in each row")
    return array
