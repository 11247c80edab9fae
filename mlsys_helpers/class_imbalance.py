"""Chapter 06: when the class that matters is rare.

In the order of the chapter: metrics and thresholds; data-level methods, which change the training
rows; algorithm-level methods, which change the loss or the decision; all of them side by side.

Throughout, 1 is the positive (rare) class, a row is predicted positive when its score is *at
least* the threshold (where two costs tie, class 0 is predicted), and ``cost[i, j]`` is the cost
of predicting class i when class j is true.
"""

from itertools import islice

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    roc_auc_score,
)
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import check_X_y
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm.auto import tqdm

from mlsys_helpers import _checks
from mlsys_helpers.plotting import COLORS, get_axes, label_line, percent_axis

__all__ = [
    "threshold_table",
    "choose_threshold",
    "plot_confusion",
    "plot_roc",
    "plot_precision_recall",
    "NetworkClassifier",
    "restore_base_rate",
    "two_phase_fit",
    "DynamicSampler",
    "expected_cost",
    "minimum_cost_predict",
    "minimum_cost_threshold",
    "inverse_frequency_weights",
    "effective_number",
    "class_balanced_weights",
    "focal_loss",
    "focal_loss_gradient",
    "FocalLoss",
    "compare_imbalance_methods",
    "plot_method_comparison",
]


# --- Metrics ---------------------------------------------------------------------------------


def threshold_table(y_true, y_score, thresholds=None):
    """The confusion matrix and its metrics at every threshold.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels 0 and 1, both present.
    y_score : array-like of shape (n,)
        Finite scores; higher means more likely positive.
    thresholds : array-like of shape (m,), optional
        Where to look; may be infinite. By default each distinct score, the highest first.

    Returns
    -------
    DataFrame of m rows
        ``threshold``, counts ``tp``, ``fp``, ``fn``, ``tn``, and ``accuracy``, ``precision``,
        ``recall``, ``false_positive_rate``, ``f1`` in [0, 1]. Precision is 0 where nothing is
        predicted positive.

    Raises
    ------
    ValueError
        If an argument is empty, of another length, not finite, or y_true holds one class only.

    References
    ----------
    Chapter 06, Metrics. C. J. van Rijsbergen, Information Retrieval (1979).

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import threshold_table
    >>> table = threshold_table([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> table[["threshold", "recall", "false_positive_rate"]].values.tolist()
    [[0.8, 0.5, 0.0], [0.4, 0.5, 0.5], [0.35, 1.0, 0.5], [0.1, 1.0, 1.0]]
    """
    y_true = _checks.binary_labels(y_true, "y_true")
    y_score = _checks.numbers(y_score, "y_score", len(y_true))
    if thresholds is None:
        thresholds = np.unique(y_score)[::-1]
    thresholds = _checks.numbers(thresholds, "thresholds", finite=False)

    order = np.argsort(y_score)
    predicted = len(y_score) - np.searchsorted(y_score[order], thresholds, side="left")
    found = np.concatenate([[0], np.cumsum(y_true[order][::-1])])
    tp = found[predicted]
    fp = predicted - tp
    fn = y_true.sum() - tp
    tn = len(y_true) - predicted - fn
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "tp": tp,
            "fp": fp,
            "fn": fn,
            "tn": tn,
            "accuracy": (tp + tn) / len(y_true),
            "precision": tp / np.maximum(predicted, 1),
            "recall": tp / (tp + fn),
            "false_positive_rate": fp / (fp + tn),
            "f1": 2 * tp / (2 * tp + fp + fn),
        }
    )


def choose_threshold(y_true, y_score, objective="f1", *, at_least=None, cost=None):
    """The threshold that serves an objective best.

    Choose it on rows that the model has not been trained on, and judge it on others again.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels 0 and 1, both present.
    y_score : array-like of shape (n,)
        Finite scores; higher means more likely positive.
    objective : {"f1", "recall", "precision", "cost"}, default "f1"
        "f1" maximises F1. "recall" takes the highest threshold whose recall is at least
        `at_least`. "precision" takes, of the thresholds whose precision is at least `at_least`,
        the one of highest recall. "cost" minimises the mean cost.
    at_least : float in (0, 1], for "recall" and "precision" only
    cost : array-like of shape (2, 2), for "cost" only
        ``cost[i, j]``: cost of predicting i when j is true.

    Returns
    -------
    float
        Predict positive where the score is at least this. Of equally good thresholds the
        highest; infinity where, by cost, it is best never to predict positive.

    Raises
    ------
    ValueError
        If an argument is out of range, missing or of no use to the objective, or no threshold
        reaches `at_least`.

    References
    ----------
    Chapter 06, Metrics.

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import choose_threshold
    >>> y_true, y_score = [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]
    >>> choose_threshold(y_true, y_score, "recall", at_least=1.0)
    0.35
    >>> choose_threshold(y_true, y_score, "cost", cost=[[0, 1], [10, 0]])  # alarms are dear
    0.8
    """
    _checks.one_of(objective, "objective", ("f1", "recall", "precision", "cost"))
    for value, name, users in (
        (at_least, "at_least", ("recall", "precision")),
        (cost, "cost", ("cost",)),
    ):
        if value is not None and objective not in users:
            raise ValueError(f"{name} is of no use to the objective {objective!r}: leave it out")
    table = threshold_table(y_true, y_score)
    if objective == "f1":
        best = table["f1"].argmax()
    elif objective == "cost":
        cost = _cost_matrix(cost, 2)
        never = threshold_table(y_true, y_score, [np.inf])
        table = pd.concat([never, table], ignore_index=True)
        total = (table[["tn", "fn", "fp", "tp"]] * cost.ravel()).sum(axis="columns")
        best = np.isclose(total, total.min(), rtol=1e-12, atol=0).argmax()  # the first, if tied
    else:
        _checks.number(at_least, "at_least", low=0, high=1, open_low=True)
        reached = table.index[table[objective] >= at_least]
        if reached.empty:
            raise ValueError(
                f"at_least={at_least} is never reached: the highest {objective} is "
                f"{table[objective].max():.3g}"
            )
        best = reached[0] if objective == "recall" else table.loc[reached, "recall"].idxmax()
    return float(table["threshold"][best])


def plot_confusion(y_true, y_pred, ax=None, labels=("negative", "positive")):
    """Draw the confusion matrix: counts, their shares of the true class, errors in orange.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Labels 0 and 1; both must occur in y_true.
    ax : matplotlib Axes or None
    labels : pair of str
        What to call class 0 and class 1.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If y_true or y_pred hold other labels or differ in length, y_true holds one class only,
        or labels is not a pair.

    References
    ----------
    Chapter 06, Metrics.

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import plot_confusion
    >>> ax = plot_confusion([0, 0, 1, 1], [0, 1, 1, 1], labels=("on time", "late"))
    >>> [text.get_text().split()[0] for text in ax.texts]
    ['TN', 'FP', 'FN', 'TP']
    """
    y_true = _checks.binary_labels(y_true, "y_true")
    y_pred = _checks.binary_labels(y_pred, "y_pred", len(y_true), both=False)
    if not isinstance(labels, (tuple, list)) or len(labels) != 2:
        raise ValueError(f"labels must be a pair, got {labels!r}")
    counts = confusion_matrix(y_true, y_pred)
    shares = counts / counts.sum(axis=1, keepdims=True)
    ax = get_axes(ax, figsize=(5, 4.2))
    ax.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5))
    for (row, column), name in np.ndenumerate([["TN", "FP"], ["FN", "TP"]]):
        color = COLORS["blue" if row == column else "orange"]
        strength = 0.08 + 0.5 * shares[row, column]
        ax.axvspan(
            column - 0.5, column + 0.5, 1 - row / 2, 0.5 - row / 2, color=color, alpha=strength
        )
        text = f"{name}\n{counts[row, column]:,}\n{shares[row, column]:.1%}"
        ax.text(column, row, text, ha="center", va="center", size=14)
    ax.set_xticks([0, 1], [f"predicted\n{label}" for label in labels])
    ax.set_yticks([0, 1], [f"truly\n{label}" for label in labels])
    ax.grid(False)
    return ax


def plot_roc(y_true, y_score, ax=None, label=None, color="blue", threshold=None):
    """Draw the true positive rate (recall) against the false positive rate.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels 0 and 1, both present.
    y_score : array-like of shape (n,)
        Finite scores; higher means more likely positive.
    ax : matplotlib Axes or None
    label : str, optional
        Written beside the curve, with the area under it.
    color : str
        A name in `plotting.COLORS`.
    threshold : float, optional
        Marks the point of this threshold.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        As `threshold_table`.

    References
    ----------
    Chapter 06, Metrics. T. Fawcett, "An introduction to ROC analysis", Pattern Recognition
    Letters 27 (2006).

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import plot_roc
    >>> ax = plot_roc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], label="model")
    >>> ax.get_ylabel()
    'true positive rate = recall'
    """
    y_true, y_score = _to_plot(y_true, y_score, color, threshold)
    table = threshold_table(y_true, y_score)
    ax = get_axes(ax, figsize=(5, 4.6))
    ax.plot([0, 1], [0, 1], color=COLORS["grey"], linewidth=1, linestyle="--")
    x = [0, *table["false_positive_rate"]]
    y = [0, *table["recall"]]
    ax.plot(x, y, color=COLORS[color])
    if threshold is not None:
        _mark(ax, y_true, y_score, threshold, "false_positive_rate", "recall", color)
    if label:
        text = f"{label}: area {roc_auc_score(y_true, y_score):.3f}"
        _name_curve(ax, text, color, y=0.06, step=0.08)
    ax.set(xlabel="false positive rate", ylabel="true positive rate = recall")
    percent_axis(ax, "x")
    percent_axis(ax, "y")
    return ax


def plot_precision_recall(y_true, y_score, ax=None, label=None, color="blue", threshold=None):
    """Draw precision against recall, with the base rate as the line of no skill.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels 0 and 1, both present.
    y_score : array-like of shape (n,)
        Finite scores; higher means more likely positive.
    ax : matplotlib Axes or None
    label : str, optional
        Written beside the curve, with the average precision.
    color : str
        A name in `plotting.COLORS`.
    threshold : float, optional
        Marks the point of this threshold.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        As `threshold_table`.

    References
    ----------
    Chapter 06, Metrics. T. Saito and M. Rehmsmeier, "The precision-recall plot is more
    informative than the ROC plot when evaluating binary classifiers on imbalanced datasets",
    PLOS ONE 10 (2015).

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import plot_precision_recall
    >>> ax = plot_precision_recall([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], label="model")
    >>> ax.get_ylabel()
    'precision'
    """
    y_true, y_score = _to_plot(y_true, y_score, color, threshold)
    table = threshold_table(y_true, y_score)
    ax = get_axes(ax, figsize=(5, 4.6))
    ax.axhline(np.mean(y_true), color=COLORS[color], linewidth=1, linestyle="--")
    ax.plot(table["recall"], table["precision"], color=COLORS[color])
    if threshold is not None:
        _mark(ax, y_true, y_score, threshold, "recall", "precision", color)
    if label:
        text = f"{label}: average precision {average_precision_score(y_true, y_score):.3f}"
        _name_curve(ax, text, color, y=0.94, step=-0.08)
    ax.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    percent_axis(ax, "x")
    percent_axis(ax, "y")
    return ax


def _to_plot(y_true, y_score, color, threshold):
    """Check what both curves are drawn from, before anything is drawn."""
    _checks.one_of(color, "color", tuple(COLORS))
    if threshold is not None:
        _checks.numbers([threshold], "threshold", finite=False)
    y_true = _checks.binary_labels(y_true, "y_true")
    return y_true, _checks.numbers(y_score, "y_score", len(y_true))


def _name_curve(ax, text, color, y, step):
    """Write a curve's name in the empty corner, above or below the names that are there."""
    names = [other for other in ax.texts if other.get_ha() == "right"]
    label_line(ax, 1, y + step * len(names), text, color, xytext=(0, 0), ha="right")


def _mark(ax, y_true, y_score, threshold, x, y, color):
    point = threshold_table(y_true, y_score, [threshold]).iloc[0]
    ax.plot(point[x], point[y], "o", color=COLORS[color], markersize=9)
    label = label_line(ax, point[x], point[y], f"threshold {threshold:.2g}", color, xytext=(10, 2))
    label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})


# --- Data-level methods ----------------------------------------------------------------------


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """A small torch network with one hidden layer, whose loss can be replaced.

    Parameters
    ----------
    loss : callable, optional
        ``loss(logits, target)`` on float tensors of shape (batch,), giving a scalar. By default
        binary cross-entropy.
    hidden : int, default 32
        Units in the hidden layer.
    steps : int, default 200
        Steps of the optimiser in `fit`, whatever the number of rows, so that methods that add
        or remove rows are trained equally long. `partial_fit` makes one pass over its rows.
    batch_size : int, default 256
    learning_rate : float, default 0.005
        Of the Adam optimiser.
    random_state : int, numpy Generator or None

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
    network_ : torch.nn.Sequential

    Raises
    ------
    ValueError
        When fitted, if a parameter is out of range, X or y do not fit, or training diverges.

    References
    ----------
    Chapter 06, Data-level methods.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from mlsys_helpers.class_imbalance import FocalLoss, NetworkClassifier
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer()
    >>> network = NetworkClassifier(loss=FocalLoss(gamma=2), random_state=0)
    >>> print(make_pipeline(StandardScaler(), network).fit(X, y).score(X, y) > 0.95)
    True
    """

    def __init__(
        self,
        loss=None,
        hidden=32,
        steps=200,
        batch_size=256,
        learning_rate=0.005,
        random_state=None,
    ):
        self.loss = loss
        self.hidden = hidden
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X, y):
        """Train from scratch on X of shape (n, d) and labels y."""
        _checks.whole_number(self.steps, "steps")
        self._start(X, y)
        return self._train(X, y, self.steps)

    def partial_fit(self, X, y, classes=None):
        """Train for one more pass; `classes` names both classes if the first y lacks one."""
        if not hasattr(self, "network_"):
            self._start(X, y, classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes must stay {self.classes_.tolist()}, got {classes!r}")
        return self._train(X, y, steps=None)

    def predict_proba(self, X):
        """Probabilities of both classes, shape (n, 2)."""
        import torch

        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        with torch.no_grad():
            positive = self.network_(torch.tensor(X)).squeeze(1).sigmoid().numpy()
        return np.column_stack([1 - positive, positive])

    def predict(self, X):
        """The more probable class of each row."""
        positive = self.predict_proba(X)[:, 1] >= 0.5
        return self.classes_[positive.astype(int)]

    def _start(self, X, y, classes=None):
        import torch

        X, y = validate_data(self, X, y, dtype=np.float64)
        kind = type_of_target(y if classes is None else classes, raise_unknown=True)
        if kind != "binary":
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}."
            )
        name = "y" if classes is None else "classes"
        self.classes_ = _checks.classes(y if classes is None else np.asarray(classes), name)
        _checks.whole_number(self.hidden, "hidden")
        _checks.number(self.learning_rate, "learning_rate", low=0, open_low=True)
        if self.loss is not None and (not callable(self.loss) or isinstance(self.loss, type)):
            raise TypeError(f"loss must be a function of logits and target, got {self.loss!r}")
        seed = int(_checks.generator(self.random_state).integers(2**31))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network_ = torch.nn.Sequential(
                torch.nn.Linear(X.shape[1], self.hidden),
                torch.nn.ReLU(),
                torch.nn.Linear(self.hidden, 1),
            ).double()  # in double precision the digits hold on other processors too
        self._optimiser = torch.optim.Adam(self.network_.parameters(), lr=self.learning_rate)
        self._rng = np.random.default_rng(seed)

    def _train(self, X, y, steps):
        """Take so many steps; by default, as many as one pass over the rows has batches."""
        import torch

        X, y = validate_data(self, X, y, dtype=np.float64, reset=False)
        _checks.whole_number(self.batch_size, "batch_size")
        if not np.isin(y, self.classes_).all():
            raise ValueError(f"y must hold the classes {self.classes_.tolist()} only")
        X, target = torch.tensor(X), torch.tensor((y == self.classes_[1]).astype(float))
        loss = self.loss or torch.nn.functional.binary_cross_entropy_with_logits
        for rows in islice(self._batches(len(X)), steps or -(-len(X) // self.batch_size)):
            self._optimiser.zero_grad()
            value = loss(self.network_(X[rows]).squeeze(1), target[rows])
            if value.ndim != 0:
                raise ValueError(f"loss must give one number, got shape {tuple(value.shape)}")
            value.backward()
            self._optimiser.step()
        if not all(torch.isfinite(weights).all() for weights in self.network_.parameters()):
            raise ValueError(f"training diverged; lower learning_rate, now {self.learning_rate}")
        return self

    def _batches(self, n_rows):
        """Row numbers of batch after batch, shuffled anew after each pass, without end."""
        while True:
            rows = self._rng.permutation(n_rows)
            yield from np.split(rows, range(self.batch_size, n_rows, self.batch_size))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def restore_base_rate(proba, trained_rate, true_rate):
    """Undo what random under- or oversampling did to the probabilities.

    A model trained where positives make up `trained_rate` of the rows believes in that rate.
    This moves its probabilities to the rate at which positives really come; their order stays.
    It holds where each class's rows were drawn at random, not after SMOTE or Tomek links.

    Parameters
    ----------
    proba : array-like of shape (n,)
        Probabilities of the positive class, in [0, 1]: ``model.predict_proba(X)[:, 1]``.
    trained_rate, true_rate : float in (0, 1)
        Share of positives in the rows trained on (after resampling, ``y_resampled.mean()``),
        and in the world.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 06, Data-level methods. C. Elkan, "The foundations of cost-sensitive learning",
    IJCAI (2001), Theorem 2.

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import restore_base_rate
    >>> restore_base_rate([0.5, 0.9], trained_rate=0.5, true_rate=0.03).round(3).tolist()
    [0.03, 0.218]
    """
    proba = _checks.numbers(proba, "proba", low=0, high=1)
    for rate, name in ((trained_rate, "trained_rate"), (true_rate, "true_rate")):
        _checks.number(rate, name, low=0, high=1, open_low=True, open_high=True)
    return expit(logit(proba) + logit(true_rate) - logit(trained_rate))  # odds, multiplied


def two_phase_fit(estimator, X, y, sampler, epochs=(8, 4)):
    """Two-phase learning: train on resampled rows, then fine-tune on the rows as they are.

    Parameters
    ----------
    estimator : classifier with ``partial_fit``
        One call of ``partial_fit`` is one epoch. It is cloned, not changed.
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
        Class labels, at least two.
    sampler : imbalanced-learn sampler
        Anything with ``fit_resample``. It is cloned, not changed.
    epochs : pair of int, default (8, 4)
        Epochs on the resampled rows, and on the rows as they are.

    Returns
    -------
    classifier
        The fitted clone.

    Raises
    ------
    TypeError
        If the estimator has no ``partial_fit`` or the sampler no ``fit_resample``.
    ValueError
        If X or y do not fit, y holds one class only, or epochs is not a pair of whole numbers.

    References
    ----------
    Chapter 06, Data-level methods. H. Lee, M. Park and J. Kim, "Plankton classification on
    imbalanced large scale database via convolutional neural networks with transfer learning",
    ICIP (2016).

    Examples
    --------
    >>> from imblearn.under_sampling import RandomUnderSampler
    >>> from sklearn.linear_model import SGDClassifier
    >>> from mlsys_helpers.class_imbalance import two_phase_fit
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer()
    >>> sampler = RandomUnderSampler(random_state=0)
    >>> model = two_phase_fit(SGDClassifier(loss="log_loss", random_state=0), X, y, sampler)
    >>> print(model.score(X, y) > 0.85)
    True
    """
    for thing, name, method in (
        (estimator, "estimator", "partial_fit"),
        (sampler, "sampler", "fit_resample"),
    ):
        if not hasattr(thing, method) or isinstance(thing, type):
            raise TypeError(f"{name} must be an object with {method}, got {thing!r}")
    if len(X) != len(y):
        raise ValueError(f"y must have {len(X)} entries, as many as X has rows, got {len(y)}")
    check_X_y(X, y)
    classes = _checks.classes(y, "y")
    if np.shape(epochs) != (2,):
        raise ValueError(f"epochs must be a pair of whole numbers, got {epochs!r}")
    first, second = (_checks.whole_number(n, "each of epochs", low=0) for n in epochs)
    if first + second == 0:
        raise ValueError("epochs must not both be 0")

    model = clone(estimator)
    X_resampled, y_resampled = clone(sampler, safe=False).fit_resample(X, y)
    for _ in range(first):
        model.partial_fit(X_resampled, y_resampled, classes=classes)
    for _ in range(second):
        model.partial_fit(X, y, classes=classes)
    return model


class DynamicSampler:
    """Dynamic sampling: draw more of the class that the model still does badly on.

    Before each epoch `sample` draws the rows to train on; after it `update` compares the model's
    predictions with the truth, on validation rows, and sets each class's share of the next draw
    to (1 - F1 of the class) / (sum of 1 - F1 over the classes).

    Parameters
    ----------
    sample_size : int, optional
        Rows in a draw, at least 1. By default the mean size of the classes, as published.
    random_state : int, numpy Generator or None

    Attributes
    ----------
    shares_ : dict
        Share of each class in the next draw, once `sample` has seen the classes; equal at first.

    References
    ----------
    Chapter 06, Data-level methods. S. Pouyanfar et al., "Dynamic sampling in convolutional
    neural networks for imbalanced data classification", MIPR (2018).

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import DynamicSampler
    >>> y = [0] * 90 + [1] * 10
    >>> sampler = DynamicSampler(random_state=0)
    >>> rows = sampler.sample(y)  # 25 of each class, the rare one with repetition
    >>> len(rows)
    50
    >>> sampler = sampler.update([0, 0, 1, 1], [0, 0, 0, 1])  # F1 is 0.8 and 0.667
    >>> print({label: round(share, 3) for label, share in sampler.shares_.items()})
    {0: 0.375, 1: 0.625}
    """

    def __init__(self, sample_size=None, random_state=None):
        if sample_size is not None:
            _checks.whole_number(sample_size, "sample_size")
        self.sample_size = sample_size
        self.random_state = random_state
        self._rng = _checks.generator(random_state)

    def sample(self, y):
        """Row numbers (positions, not index labels) to train on in the next epoch, shuffled.

        Parameters
        ----------
        y : array-like of shape (n,)
            Class labels of the training rows, at least two classes.

        Returns
        -------
        ndarray of integers
            A class with fewer rows than its share asks for is drawn with repetition.
        """
        y = _checks.column(y, "y")
        classes = _checks.classes(y, "y")
        if not hasattr(self, "shares_"):
            self.shares_ = {label: 1 / len(classes) for label in classes.tolist()}
        if set(classes.tolist()) != set(self.shares_):
            raise ValueError(f"y must hold the classes {list(self.shares_)}, got {classes}")
        size = self.sample_size or round(len(y) / len(classes))
        bounds = np.cumsum([0, *self.shares_.values()]) * size
        counts = np.diff(np.round(bounds).astype(int))
        rows = []
        for label, count in zip(self.shares_, counts, strict=True):
            own = np.flatnonzero(y == label)
            rows.append(self._rng.choice(own, count, replace=count > len(own)))
        return self._rng.permutation(np.concatenate(rows))

    def update(self, y_true, y_pred):
        """Set the shares of the next draw by each class's F1.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (m,)
            Truth and prediction on validation rows; every class must occur in y_true. A class
            that is predicted without an error gets no rows in the next draw.

        Returns
        -------
        self
        """
        y_true = _checks.column(y_true, "y_true")
        y_pred = _checks.column(y_pred, "y_pred", len(y_true))
        if not hasattr(self, "shares_"):
            raise ValueError("update needs a draw before it: call sample first")
        labels = list(self.shares_)
        if set(y_true.tolist()) != set(labels) or not set(y_pred.tolist()) <= set(labels):
            raise ValueError(
                f"y_true must hold each of the classes {labels}, and y_pred no other; "
                f"got {pd.unique(y_true).tolist()} and {pd.unique(y_pred).tolist()}"
            )
        hits = np.array([((y_true == c) & (y_pred == c)).sum() for c in labels])
        f1 = 2 * hits / [(y_true == c).sum() + (y_pred == c).sum() for c in labels]
        error = 1 - f1
        shares = error / error.sum() if error.sum() > 0 else np.full(len(labels), 1 / len(labels))
        self.shares_ = dict(zip(labels, shares.tolist(), strict=True))
        return self


# --- Algorithm-level methods -----------------------------------------------------------------


def expected_cost(y_true, y_pred, cost):
    """The mean cost of the predictions.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Class numbers 0 … k-1.
    cost : array-like of shape (k, k)
        ``cost[i, j]``: cost of predicting i when j is true, in any unit.

    Returns
    -------
    float
        Cost a row, in the unit of `cost`.

    Raises
    ------
    ValueError
        If the cost matrix is not square, or a class has no row in it.

    References
    ----------
    Chapter 06, Algorithm-level methods. C. Elkan, "The foundations of cost-sensitive learning",
    IJCAI (2001).

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import expected_cost
    >>> expected_cost([0, 0, 0, 1], [0, 0, 1, 0], cost=[[0, 400], [40, 0]])
    110.0
    """
    cost = _cost_matrix(cost)
    y_true = _class_numbers(y_true, "y_true", len(cost))
    y_pred = _class_numbers(y_pred, "y_pred", len(cost), len(y_true))
    return float(cost[y_pred, y_true].mean())


def minimum_cost_predict(proba, cost):
    """For each row the class whose prediction costs least on average.

    Parameters
    ----------
    proba : array-like of shape (n, k)
        Calibrated class probabilities; rows sum to 1.
    cost : array-like of shape (k, k)
        ``cost[i, j]``: cost of predicting i when j is true.

    Returns
    -------
    ndarray of shape (n,)
        Class numbers: argmin over i of the sum over j of cost[i, j] P(j | x).

    Raises
    ------
    ValueError
        If shapes do not fit, or rows are not probabilities.

    References
    ----------
    Chapter 06, Algorithm-level methods. C. Elkan, "The foundations of cost-sensitive learning",
    IJCAI (2001).

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import minimum_cost_predict
    >>> proba = [[0.95, 0.05], [0.9, 0.1]]
    >>> minimum_cost_predict(proba, cost=[[0, 400], [40, 0]]).tolist()
    [0, 1]
    """
    cost = _cost_matrix(cost)
    try:
        proba = np.asarray(proba, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"proba must hold numbers: {error}") from None
    if proba.ndim != 2 or proba.shape[1] != len(cost) or len(proba) == 0:
        raise ValueError(f"proba must have shape (n, {len(cost)}), got {proba.shape}")
    fits = (proba >= 0).all(axis=1) & np.isclose(proba.sum(axis=1), 1, atol=1e-3)
    if not fits.all():
        row = fits.argmin()
        raise ValueError(
            f"proba must hold probabilities whose rows sum to 1, got {proba[row]} in row {row}"
        )
    return (proba @ cost.T).argmin(axis=1)


def minimum_cost_threshold(cost):
    """The probability from which predicting positive costs least.

    Parameters
    ----------
    cost : array-like of shape (2, 2)
        ``cost[i, j]``: cost of predicting i when j is true. Being wrong must cost more than
        being right, for either class.

    Returns
    -------
    float in (0, 1)
        (c10 - c00) / (c10 - c00 + c01 - c11), for calibrated probabilities.

    Raises
    ------
    ValueError
        If being wrong does not cost more than being right.

    References
    ----------
    Chapter 06, Algorithm-level methods. C. Elkan, "The foundations of cost-sensitive learning",
    IJCAI (2001), equation 2.

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import minimum_cost_threshold
    >>> round(minimum_cost_threshold([[0, 400], [40, 0]]), 4)
    0.0909
    """
    (c00, c01), (c10, c11) = _cost_matrix(cost, 2)
    if c10 <= c00 or c01 <= c11:
        raise ValueError(
            "cost must make a wrong prediction dearer than a right one for either class, "
            f"got {[[c00, c01], [c10, c11]]}"
        )
    return float((c10 - c00) / (c10 - c00 + c01 - c11))


def inverse_frequency_weights(y):
    """For each class the weight N / n_i, number of all rows over number of its rows.

    Parameters
    ----------
    y : array-like of shape (n,)
        Class labels, at least two classes.

    Returns
    -------
    dict
        Weight of each class, fit for scikit-learn's ``class_weight``. Elsewhere, ``y.map(weights)``
        gives a weight for each row, and ``weights[1] / weights[0]`` is ``scale_pos_weight``.

    Raises
    ------
    ValueError
        If y is empty, holds missing values, or one class only.

    References
    ----------
    Chapter 06, Algorithm-level methods. scikit-learn's ``class_weight="balanced"`` is this,
    divided by the number of classes.

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import inverse_frequency_weights
    >>> inverse_frequency_weights([0] * 99 + [1])[1]
    100.0
    """
    y = _checks.column(y, "y")
    classes = _checks.classes(y, "y")
    return {label: len(y) / (y == label).sum().item() for label in classes.tolist()}


def effective_number(n, beta):
    """How many different examples n rows of a class are worth, when they overlap.

    Parameters
    ----------
    n : int or array-like of int
        Rows of the class, at least 1.
    beta : float in [0, 1]
        0 says that a class is known from one example; 1 that every example is new.

    Returns
    -------
    float or ndarray
        (1 - beta**n) / (1 - beta), and its limit n at beta = 1.

    Raises
    ------
    ValueError
        If n is below 1 or beta outside [0, 1].

    References
    ----------
    Chapter 06, Algorithm-level methods. Y. Cui et al., "Class-balanced loss based on effective
    number of samples", CVPR (2019).

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import effective_number
    >>> effective_number([100, 1000], beta=0.999).round(3).tolist()
    [95.208, 632.305]
    """
    _checks.number(beta, "beta", low=0, high=1)
    counts = _checks.numbers(np.atleast_1d(n), "n", low=1)
    result = counts if beta == 1 else (1 - beta**counts) / (1 - beta)
    return float(result[0]) if np.ndim(n) == 0 else result


def class_balanced_weights(y, beta=0.999):
    """For each class a weight in inverse proportion to its effective number of rows.

    Parameters
    ----------
    y : array-like of shape (n,)
        Class labels, at least two classes.
    beta : float in [0, 1], default 0.999
        0 gives equal weights, 1 gives inverse frequency.

    Returns
    -------
    dict
        Weight of each class, with mean 1 over the classes, fit for scikit-learn's
        ``class_weight`` (elsewhere, see `inverse_frequency_weights`).

    Raises
    ------
    ValueError
        If y is empty, holds missing values or one class only, or beta is outside [0, 1].

    References
    ----------
    Chapter 06, Algorithm-level methods. Y. Cui et al., "Class-balanced loss based on effective
    number of samples", CVPR (2019).

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import class_balanced_weights
    >>> weights = class_balanced_weights([0] * 1000 + [1] * 100, beta=0.999)
    >>> {label: round(weight, 3) for label, weight in weights.items()}
    {0: 0.262, 1: 1.738}
    """
    y = _checks.column(y, "y")
    classes = _checks.classes(y, "y")
    weights = 1 / effective_number([(y == label).sum() for label in classes], beta)
    return dict(zip(classes.tolist(), (weights / weights.mean()).tolist(), strict=True))


def focal_loss(y, p, gamma=2.0, alpha=None):
    """Cross-entropy that fades where the model is already right.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels 0 and 1.
    p : array-like of shape (n,)
        Predicted probability of class 1, in [0, 1].
    gamma : float, default 2
        Focus, at least 0. 0 gives cross-entropy.
    alpha : float in (0, 1), optional
        Weight of class 1; class 0 then weighs 1 - alpha.

    Returns
    -------
    ndarray of shape (n,)
        Loss of each row in nats: -(1 - p_t)**gamma * log(p_t), where p_t is the probability
        given to the true class, kept above 1e-15 so that the loss is finite.

    Raises
    ------
    ValueError
        If an argument is out of range or lengths differ.

    References
    ----------
    Chapter 06, Algorithm-level methods. T.-Y. Lin et al., "Focal loss for dense object
    detection", ICCV (2017).

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import focal_loss
    >>> easy, hard = focal_loss([1, 1], [0.9, 0.1], gamma=2)
    >>> print(easy.round(5), hard.round(3))
    0.00105 1.865
    """
    p_t, weight, _ = _focal_parts(y, p, gamma, alpha)
    return -weight * (1 - p_t) ** gamma * np.log(p_t)


def focal_loss_gradient(y, p, gamma=2.0, alpha=None):
    """The slope of the focal loss in the logit, where p = 1 / (1 + exp(-logit)).

    Parameters
    ----------
    y, p, gamma, alpha
        As in `focal_loss`.

    Returns
    -------
    ndarray of shape (n,)
        Negative where a larger logit lowers the loss. At gamma = 0 it is p - y.

    Raises
    ------
    ValueError
        If an argument is out of range or lengths differ.

    References
    ----------
    Chapter 06, Algorithm-level methods. T.-Y. Lin et al., "Focal loss for dense object
    detection", ICCV (2017), appendix B.

    Examples
    --------
    >>> from mlsys_helpers.class_imbalance import focal_loss_gradient
    >>> focal_loss_gradient([1, 0], [0.9, 0.1], gamma=0).round(3).tolist()
    [-0.1, 0.1]
    """
    p_t, weight, sign = _focal_parts(y, p, gamma, alpha)
    return weight * sign * (1 - p_t) ** gamma * (gamma * p_t * np.log(p_t) + p_t - 1)


def _focal_parts(y, p, gamma, alpha):
    """Probability of the true class, weight of the row, and the label as +1 or -1."""
    y = _checks.binary_labels(y, "y", both=False)
    p = _checks.numbers(p, "p", len(y), low=0, high=1)
    _check_focal_parameters(gamma, alpha)
    positive = y == 1
    p_t = np.maximum(np.where(positive, p, 1 - p), 1e-15)
    weight = 1.0 if alpha is None else np.where(positive, alpha, 1 - alpha)
    return p_t, weight, np.where(positive, 1, -1)


def _check_focal_parameters(gamma, alpha):
    _checks.number(gamma, "gamma", low=0)
    if alpha is not None:
        _checks.number(alpha, "alpha", low=0, high=1, open_low=True, open_high=True)


class FocalLoss:
    """The focal loss on torch tensors, called as torch's own losses are: ``loss(logits, target)``.

    Parameters
    ----------
    gamma : float, default 2
        Focus, at least 0. 0 gives binary cross-entropy.
    alpha : float in (0, 1), optional
        Weight of class 1; class 0 then weighs 1 - alpha.
    reduction : {"mean", "sum", "none"}, default "mean"

    Raises
    ------
    ValueError
        If a parameter is out of range; on the call, if logits and target differ in shape, or
        target holds anything but 0 and 1.
    TypeError
        On the call, if logits or target are not tensors.

    References
    ----------
    Chapter 06, Algorithm-level methods. T.-Y. Lin et al., "Focal loss for dense object
    detection", ICCV (2017).

    Examples
    --------
    >>> import torch
    >>> from mlsys_helpers.class_imbalance import FocalLoss
    >>> network = torch.nn.Linear(3, 1)
    >>> X, y = torch.ones(4, 3), torch.tensor([0, 0, 0, 1])
    >>> loss = FocalLoss(gamma=2)(network(X).squeeze(1), y)
    >>> loss.backward()
    >>> network.weight.grad.shape
    torch.Size([1, 3])
    """

    def __init__(self, gamma=2.0, alpha=None, reduction="mean"):
        _check_focal_parameters(gamma, alpha)
        _checks.one_of(reduction, "reduction", ("mean", "sum", "none"))
        self.gamma = gamma
        self.alpha = alpha
        self.reduction = reduction

    def __call__(self, logits, target):
        """The loss of logits (any shape) against targets 0 and 1 (the same shape, any dtype)."""
        from torch import is_tensor
        from torch.nn.functional import logsigmoid

        for value, name in ((logits, "logits"), (target, "target")):
            if not is_tensor(value):
                raise TypeError(f"{name} must be a torch tensor, got {type(value).__name__}")
        if logits.shape != target.shape:
            raise ValueError(
                f"target must have the shape of logits, {tuple(logits.shape)}, "
                f"got {tuple(target.shape)}"
            )
        if not ((target == 0) | (target == 1)).all():
            raise ValueError("target must hold 0 and 1 only")
        target = target.to(logits.dtype)
        sign = 2 * target - 1
        log_p_t = logsigmoid(sign * logits)
        log_one_minus_p_t = logsigmoid(-sign * logits)  # no 1 - p: nothing is lost by rounding
        loss = -(self.gamma * log_one_minus_p_t).exp() * log_p_t
        if self.alpha is not None:
            loss = loss * (target * self.alpha + (1 - target) * (1 - self.alpha))
        return loss if self.reduction == "none" else getattr(loss, self.reduction)()

    def __repr__(self):
        return f"FocalLoss(gamma={self.gamma}, alpha={self.alpha}, reduction={self.reduction!r})"


# --- All methods side by side ----------------------------------------------------------------


def compare_imbalance_methods(
    methods, X, y, *, groups=None, folds=5, random_state=0, progress=True
):
    """Judge methods on the same folds, each against the first one.

    In each fold a method is trained on three quarters of the training rows, its threshold is
    chosen (for F1) on the remaining quarter, and it is judged on the test rows as they are.

    Parameters
    ----------
    methods : dict
        Name → unfitted classifier (cloned for each fold), or a function ``(X, y) → fitted
        classifier``. The first one is the baseline. Classifiers need ``predict_proba``, and
        the classes 0 and 1.
    X : array-like or DataFrame of shape (n, d)
        What missing values or categories mean is left to the methods.
    y : array-like of shape (n,)
        Labels 0 and 1, both present.
    groups : array-like of shape (n,), optional
        Rows of one group stay on one side of every split: the day of a flight, say.
    folds : int, default 5
        At least 2. Every fold, and every part of it, must hold both classes.
    random_state : int, numpy Generator or None
    progress : bool, default True
        Show a bar, a step a fold.

    Returns
    -------
    DataFrame, a row for each method and metric
        ``method``, ``metric`` (average_precision, roc_auc, f1_at_half, f1_at_chosen, brier),
        ``mean`` over the folds, ``difference`` to the baseline, and its 95 % interval ``low``
        to ``high``, by Nadeau and Bengio's corrected t, since folds share training rows. For
        brier lower is better, for all others higher.

    Raises
    ------
    ValueError
        If methods is empty, y holds other labels, lengths differ, there are too few rows or
        groups for the folds, or a method's probabilities do not have shape (n, 2).
    TypeError
        If a method is neither a classifier nor a function.

    References
    ----------
    Chapter 06, Which method helped? C. Nadeau and Y. Bengio, "Inference for the generalization
    error", Machine Learning 52 (2003).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.class_imbalance import compare_imbalance_methods
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer()
    >>> methods = {
    ...     "as it is": LogisticRegression(max_iter=10_000),
    ...     "class weights": LogisticRegression(max_iter=10_000, class_weight="balanced"),
    ... }
    >>> table = compare_imbalance_methods(methods, X, y, progress=False)
    >>> print(table["metric"].nunique(), table["method"].unique().tolist())
    5 ['as it is', 'class weights']
    """
    if not isinstance(methods, dict) or not methods:
        raise ValueError(f"methods must be a dict of at least one method, got {methods!r}")
    for name, method in methods.items():
        if isinstance(method, type) or not (hasattr(method, "fit") or callable(method)):
            raise TypeError(f"methods[{name!r}] must be a classifier or function, got {method!r}")
    X = X if isinstance(X, pd.DataFrame) else np.asarray(X)
    if X.ndim != 2:
        raise ValueError(f"X must be a table of shape (n, d), got shape {X.shape}")
    y = _checks.binary_labels(y, "y", len(X))
    _checks.whole_number(folds, "folds", low=2)
    if groups is not None:
        groups = _checks.column(groups, "groups", len(y))
    seed = int(_checks.generator(random_state).integers(2**31))

    scores = {name: [] for name in methods}
    splits = _splits(y, groups, folds, seed)
    for fit_rows, choose_rows, test_rows in tqdm(splits, "folds", folds, disable=not progress):
        for name, method in methods.items():
            model = _fit(method, _rows(X, fit_rows), y[fit_rows])
            p_choose = _positive(name, model, _rows(X, choose_rows))
            p_test = _positive(name, model, _rows(X, test_rows))
            threshold = choose_threshold(y[choose_rows], p_choose)
            scores[name].append(_scores(y[test_rows], p_test, threshold))
    tables = {name: pd.DataFrame(rows) for name, rows in scores.items()}
    return pd.DataFrame(_differences(tables, test_to_fit=1 / (0.75 * (folds - 1))))


def plot_method_comparison(table, metric, ax=None):
    """Draw each method's difference to the baseline in one metric, with its interval.

    Parameters
    ----------
    table : DataFrame
        From `compare_imbalance_methods`.
    metric : str
        One of its metrics.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the table lacks the metric.

    References
    ----------
    Chapter 06, Which method helped?

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.class_imbalance import plot_method_comparison
    >>> row = {"metric": "f1_at_half", "mean": 0.2, "difference": 0.0, "low": 0.0, "high": 0.0}
    >>> table = pd.DataFrame([{"method": "as it is"} | row, {"method": "SMOTE"} | row])
    >>> plot_method_comparison(table, "f1_at_half").get_xlabel()
    'f1_at_half minus that of "as it is"'
    """
    columns = ["method", "metric", "mean", "difference", "low", "high"]
    if not isinstance(table, pd.DataFrame) or not set(columns) <= set(table.columns):
        raise ValueError(f"table must be a DataFrame with the columns {', '.join(columns)}")
    _checks.one_of(metric, "metric", tuple(table["metric"].unique()))
    chosen = table[table["metric"] == metric]
    baseline, others = chosen["method"].iloc[0], chosen.iloc[1:]
    ax = get_axes(ax)
    ax.axvline(0, color=COLORS["grey"], linewidth=1, linestyle="--")
    error = [others["difference"] - others["low"], others["high"] - others["difference"]]
    ax.errorbar(others["difference"], others["method"], xerr=error, fmt="o", color=COLORS["blue"])
    ax.set_ylim(len(others) - 0.5, -0.5)  # the first method on top
    ax.set(xlabel=f'{metric} minus that of "{baseline}"', ylabel="")
    return ax


def _splits(y, groups, folds, seed):
    """For each fold the rows to fit to, to choose the threshold on, and to test on."""
    units, what = np.bincount(y).min(), "rows of each class"
    if groups is not None:
        units, what = min(units, len(pd.unique(groups))), "groups, and rows of each class"
    if units < max(folds, 8):  # the threshold is chosen on a quarter of what a fold leaves
        raise ValueError(f"folds={folds} needs at least {max(folds, 8)} {what}, got {units}")

    def split(rows, n):
        splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
        splitter = splitter(n, shuffle=True, random_state=seed)
        own_groups = None if groups is None else groups[rows]
        for first, second in splitter.split(rows, y[rows], own_groups):
            yield rows[first], rows[second]

    for train, test in split(np.arange(len(y)), folds):
        parts = (*next(split(train, 4)), test)
        if any(len(set(y[part])) < 2 for part in parts):
            raise ValueError(f"folds={folds} leaves a part with one class only: too few rows")
        yield parts


def _differences(tables, test_to_fit):
    """A record for each method and metric: its mean, and its difference to the first method."""
    baseline = next(iter(tables.values()))
    for name, table in tables.items():
        for metric in table:
            difference = table[metric] - baseline[metric]
            half = _corrected_half_width(difference, test_to_fit)
            yield {
                "method": name,
                "metric": metric,
                "mean": table[metric].mean(),
                "difference": difference.mean(),
                "low": difference.mean() - half,
                "high": difference.mean() + half,
            }


def _scores(y_true, y_score, threshold):
    return {
        "average_precision": average_precision_score(y_true, y_score),
        "roc_auc": roc_auc_score(y_true, y_score),
        "f1_at_half": f1_score(y_true, y_score >= 0.5, zero_division=0),
        "f1_at_chosen": f1_score(y_true, y_score >= threshold, zero_division=0),
        "brier": brier_score_loss(y_true, y_score),
    }


def _corrected_half_width(differences, test_to_fit):
    """Half the 95 % interval of a mean over folds whose training rows overlap.

    test_to_fit is the number of rows judged on over the number of rows fitted to.
    """
    folds = len(differences)
    variance = (1 / folds + test_to_fit) * differences.var(ddof=1)
    return stats.t.ppf(0.975, folds - 1) * np.sqrt(variance)


def _fit(method, X, y):
    return clone(method).fit(X, y) if hasattr(method, "fit") else method(X, y)


def _positive(name, model, X):
    """The model's probabilities of class 1; anything else is refused by the method's name."""
    if not hasattr(model, "predict_proba"):
        raise TypeError(f"methods[{name!r}] must give a model with predict_proba, got {model!r}")
    classes = np.asarray(getattr(model, "classes_", [0, 1])).tolist()
    if classes != [0, 1]:
        raise ValueError(f"methods[{name!r}] must predict the classes 0 and 1, got {classes}")
    proba = np.asarray(model.predict_proba(X))
    if proba.shape != (len(X), 2):
        raise ValueError(
            f"methods[{name!r}] must give probabilities of shape ({len(X)}, 2), got {proba.shape}"
        )
    return _checks.numbers(proba[:, 1], f"probabilities of methods[{name!r}]", low=0, high=1)


def _rows(X, rows):
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


# --- Checks ----------------------------------------------------------------------------------


def _cost_matrix(cost, classes=None):
    try:
        cost = np.array(cost, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"cost must be a square matrix of numbers, got {cost!r}") from None
    if cost.ndim != 2 or cost.shape[0] != cost.shape[1] or len(cost) < 2:
        raise ValueError(f"cost must be a square matrix, got shape {cost.shape}")
    if classes is not None and len(cost) != classes:
        raise ValueError(f"cost must have shape ({classes}, {classes}), got {cost.shape}")
    if not np.isfinite(cost).all():
        raise ValueError("cost must hold finite numbers")
    return cost


def _class_numbers(values, name, classes, length=None):
    array = _checks.numbers(values, name, length, low=0, high=classes - 1)
    if (array != array.astype(int)).any():
        raise ValueError(f"{name} must hold class numbers 0 to {classes - 1}")
    return array.astype(int)
