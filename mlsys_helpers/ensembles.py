"""Chapter 11: many models for one prediction.

In the order of the chapter: what a vote is worth when voters err together; bagging, boosting and
stacking as scikit-learn estimators; bias and variance, measured; what an ensemble gains and costs.

A *base learner* is any scikit-learn model, a pipeline on a data frame too. It is cloned before it
is fitted, and what it answers is looked at: labels that `fit` never saw, probabilities of the
wrong shape or that do not sum to one, are refused by the learner's name.
"""

import pickle
from time import perf_counter

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import check_cv
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data
from tqdm.auto import tqdm

from mlsys_helpers import _checks
from mlsys_helpers.plotting import COLORS, get_axes

__all__ = [
    "majority_vote_accuracy",
    "error_correlation",
    "BaggingEnsemble",
    "BoostingEnsemble",
    "plot_boosting_round",
    "StackingEnsemble",
    "bias_variance",
    "plot_bias_variance",
    "measure_models",
    "gain_over_first",
]


# --- Why errors must differ ------------------------------------------------------------------


def majority_vote_accuracy(p, n, correlation=0.0, dependence="beta-binomial"):
    """How often the majority of n voters is right, when each is right with probability p.

    Two answers are possible, and a tie counts half. All voters are alike, and any two of them
    are right together as often as `correlation` says. For three voters or more that does not
    settle how often *all* err together, so a model of the dependence has to be named:

    - "beta-binomial": rows differ in difficulty. On each row the voters' common chance of being
      right is drawn from a Beta distribution of mean p, and they then answer independently.
    - "common cause": with probability `correlation` all voters give the same answer, as copies
      would; otherwise they answer independently.

    Parameters
    ----------
    p : float in [0, 1]
    n : int
        Number of voters, from 1 to ten million.
    correlation : float in [0, 1], default 0
        Between "voter i is right" and "voter j is right".
    dependence : {"beta-binomial", "common cause"}

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 11, Errors must differ. N. de Condorcet, Essai sur l'application de l'analyse
    (1785); S. Berg, "Condorcet's jury theorem, dependency among jurors", Social Choice and
    Welfare 10 (1993), which has the beta-binomial.

    Examples
    --------
    >>> from mlsys_helpers.ensembles import majority_vote_accuracy
    >>> for correlation in (0, 0.5, 1):
    ...     print(correlation, round(majority_vote_accuracy(0.7, 3, correlation), 3))
    0 0.784
    0.5 0.714
    1 0.7
    """
    _checks.number(p, "p", low=0, high=1)
    n = _checks.whole_number(n, "n")
    _checks.number(n, "n", high=10_000_000)
    _checks.number(correlation, "correlation", low=0, high=1)
    _checks.one_of(dependence, "dependence", ("beta-binomial", "common cause"))
    # Within 1e-8 of 0 and 1 the beta function has too few digits left for the difference.
    if p in (0, 1) or n <= 2 or correlation > 1 - 1e-8:
        return float(p)
    independent = stats.binom(n, p)
    if correlation < 1e-8 or dependence == "common cause":
        return float(correlation * p + (1 - correlation) * _more_than_half(independent, n))
    strength = 1 / correlation - 1  # a + b of the Beta distribution
    return _more_than_half(stats.betabinom(n, p * strength, (1 - p) * strength), n)


def _more_than_half(votes, n):
    """The chance of a majority, and half of the chance of a tie."""
    return float(votes.sf(n // 2) + (votes.pmf(n // 2) / 2 if n % 2 == 0 else 0))


def error_correlation(y_true, predictions):
    """How alike the errors of several models are: the correlation of "is right", pair by pair.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels.
    predictions : DataFrame or array-like of shape (n, m)
        The labels that each of m models predicts, a column each.

    Returns
    -------
    DataFrame of shape (m, m)
        1 where two models err on the same rows, 0 where they err independently, below 0 where
        one tends to be right when the other is wrong. Its rows and columns are named as those of
        `predictions`.

    Raises
    ------
    ValueError
        If lengths differ, labels are missing, there are fewer than two models, two have one name,
        or one of them is always right or always wrong: such a model's errors vary with nothing.

    References
    ----------
    Chapter 11, Errors must differ. K. Tumer and J. Ghosh, "Error correlation and error reduction
    in ensemble classifiers", Connection Science 8 (1996).

    Examples
    --------
    >>> from mlsys_helpers.ensembles import error_correlation
    >>> predictions = [[0, 0, 1], [0, 0, 1], [1, 1, 1], [0, 0, 1]]
    >>> error_correlation([0, 0, 1, 1], predictions).round(2).values.tolist()
    [[1.0, 1.0, -0.58], [1.0, 1.0, -0.58], [-0.58, -0.58, 1.0]]
    """
    y_true = _checks.column(y_true, "y_true")
    predictions = pd.DataFrame(predictions)
    if predictions.shape[1] < 2:
        raise ValueError(f"predictions must hold at least 2 models, got {predictions.shape[1]}")
    _distinct(predictions.columns, "predictions")
    right = {}
    for name in predictions:
        column = _checks.column(predictions[name], f"predictions[{name!r}]", len(y_true))
        right[name] = column == y_true
        if len(set(right[name])) == 1:
            always = "right" if right[name][0] else "wrong"
            raise ValueError(f"predictions[{name!r}] is always {always}: its errors do not vary")
    return pd.DataFrame(right).astype(float).corr()


# --- Bagging ---------------------------------------------------------------------------------


class BaggingEnsemble(BaseEstimator):
    """Bootstrap aggregating: a model on each of many bootstraps, then the vote or the mean.

    A bootstrap is n rows drawn from the n training rows with replacement. Classifiers that give
    probabilities are averaged, others vote; regressors are averaged.

    Parameters
    ----------
    estimator : classifier or regressor, optional
        The base learner; by default a decision tree. What it is, the ensemble is.
    n_estimators : int, default 10
    oob_score : bool, default False
        Judge each training row by the models that did not see it.
    random_state : int, numpy Generator or None

    Attributes
    ----------
    estimators_ : list of fitted base learners
    estimators_samples_ : list of ndarray of shape (n,)
        The rows of each bootstrap.
    classes_ : ndarray of shape (k,), of classifiers only
    oob_score_ : float
        With ``oob_score=True``: accuracy, or R² of regressors, over the rows that at least one
        bootstrap left out.

    Raises
    ------
    ValueError
        When fitted, if a parameter is out of range, X or y do not fit, y holds one class only,
        or no row (of regressors: fewer than two) is out of the bag. When it predicts, if a base
        learner's answer has the wrong shape, sums or labels.
    TypeError
        When fitted, if estimator is neither a classifier nor a regressor.

    References
    ----------
    Chapter 11, Bagging. L. Breiman, "Bagging predictors", Machine Learning 24 (1996).

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.ensembles import BaggingEnsemble
    >>> X, y = load_breast_cancer()
    >>> tree = DecisionTreeClassifier(random_state=0)
    >>> bagged = BaggingEnsemble(tree, n_estimators=50, random_state=0)
    >>> bool(cross_val_score(bagged, X, y).mean() > cross_val_score(tree, X, y).mean() + 0.02)
    True
    """

    def __init__(self, estimator=None, n_estimators=10, *, oob_score=False, random_state=None):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.oob_score = oob_score
        self.random_state = random_state

    def fit(self, X, y):
        """Draw the bootstraps and fit a clone of the base learner to each."""
        base = _base_learner(self.estimator)
        _checks.whole_number(self.n_estimators, "n_estimators")
        rng = _checks.generator(self.random_state)
        X, y = _training_rows(self, X, y)
        self.estimators_samples_ = self._bootstraps(len(y), rng)
        self.estimators_ = [
            _fresh(base, rng).fit(_rows(X, rows), y[rows]) for rows in self.estimators_samples_
        ]
        if self.oob_score:
            self.oob_score_ = self._out_of_bag_score(X, y)
        return self

    def _bootstraps(self, n, rng):
        return [rng.integers(n, size=n) for _ in range(self.n_estimators)]

    def _out_of_bag_score(self, X, y):
        total, n_models = 0, np.zeros(len(y))
        for model, rows in zip(self.estimators_, self.estimators_samples_, strict=True):
            out = np.bincount(rows, minlength=len(y)) == 0
            if out.any():
                answers = self._answers(model, _rows(X, np.flatnonzero(out)))
                everyone = np.zeros((len(y), *answers.shape[1:]))
                everyone[out] = answers
                total, n_models = total + everyone, n_models + out
        seen = n_models > 0
        needed = 1 if is_classifier(self) else 2  # R² of a single row is not defined
        if seen.sum() < needed:
            raise ValueError(
                f"oob_score needs rows that a bootstrap left out, at least {needed}; "
                f"there are {seen.sum() or 'none'}"
            )
        mean = (total[seen].T / n_models[seen]).T
        return self._score(y[seen], self._decide(mean))

    def predict(self, X):
        """The class of the highest mean probability (or of most votes); or the mean value."""
        return self._decide(self._mean_answer(X))

    @available_if(is_classifier)
    def predict_proba(self, X):
        """Mean probability, or share of the votes, of each class, of shape (n, k)."""
        return self._mean_answer(X)

    def score(self, X, y):
        """Accuracy of a classifier, R² of a regressor."""
        return self._score(y, self.predict(X))

    def _mean_answer(self, X):
        check_is_fitted(self)
        X = _table(self, X)
        return np.mean([self._answers(model, X) for model in self.estimators_], axis=0)

    def _answers(self, model, X):
        return _class_shares(model, X, self.classes_) if is_classifier(self) else _values(model, X)

    def _decide(self, mean):
        return self.classes_[mean.argmax(axis=1)] if is_classifier(self) else mean

    def _score(self, y, predicted):
        return (accuracy_score if is_classifier(self) else r2_score)(y, predicted)

    def __sklearn_tags__(self):
        tags, base = super().__sklearn_tags__(), get_tags(_base_learner(self.estimator))
        tags.estimator_type = base.estimator_type
        tags.classifier_tags, tags.regressor_tags = base.classifier_tags, base.regressor_tags
        if tags.classifier_tags:
            tags.classifier_tags.multi_label = False
        tags.target_tags.required = True
        tags.input_tags.allow_nan = base.input_tags.allow_nan
        return tags


# --- Boosting --------------------------------------------------------------------------------


class BoostingEnsemble(ClassifierMixin, BaseEstimator):
    """AdaBoost for any number of classes (SAMME): each round looks at what went wrong before.

    All rows begin with the same weight. In each round a base learner is fitted to the weighted
    rows; its weighted error e gives it the say a = log((1 - e) / e) + log(k - 1) in the vote of
    k classes, and the rows that it got wrong are multiplied by exp(a).

    Parameters
    ----------
    estimator : classifier, optional
        The base learner, whose `fit` must take ``sample_weight``; by default a tree of depth 1.
    n_estimators : int, default 50
        Rounds. Fewer are made when one has no error, or does no better than guessing.
    learning_rate : float, default 1
        Above 0, at most 10; multiplies each say.
    random_state : int, numpy Generator or None

    Attributes
    ----------
    estimators_ : list of fitted base learners
    estimator_weights_, estimator_errors_ : ndarray of shape (rounds,)
        The say and the weighted error of each.
    sample_weights_ : ndarray of shape (rounds, n)
        The weights that each round was trained with; each row sums to one.
    classes_ : ndarray of shape (k,)

    Raises
    ------
    ValueError
        When fitted, if a parameter is out of range, X or y do not fit, y holds one class only,
        or the first base learner does no better than guessing; when a base learner's labels have
        the wrong shape or are none of `classes_`.
    TypeError
        When fitted, if estimator is no classifier, or its `fit` takes no ``sample_weight``.

    References
    ----------
    Chapter 11, Boosting. Y. Freund and R. Schapire, "A decision-theoretic generalization of
    on-line learning", JCSS 55 (1997); J. Zhu et al., "Multi-class AdaBoost", Statistics and Its
    Interface 2 (2009).

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.ensembles import BoostingEnsemble
    >>> X, y = load_breast_cancer()
    >>> boosted = BoostingEnsemble(n_estimators=20, random_state=0).fit(X, y)
    >>> first, *_, last = boosted.staged_predict(X)
    >>> print((first == y).mean().round(2), (last == y).mean().round(2))
    0.92 0.99
    """

    def __init__(self, estimator=None, n_estimators=50, *, learning_rate=1.0, random_state=None):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X, y):
        """Fit round after round, and weigh the rows anew after each."""
        base = self._weak_learner()
        if not has_fit_parameter(base, "sample_weight"):
            raise TypeError(f"estimator must take sample_weight in fit, which {base!r} does not")
        _checks.whole_number(self.n_estimators, "n_estimators")
        _checks.number(self.learning_rate, "learning_rate", low=0, high=10, open_low=True)
        rng = _checks.generator(self.random_state)
        X, y = _training_rows(self, X, y)
        k, weights = len(self.classes_), np.full(len(y), 1 / len(y))
        rounds = []
        for _ in range(self.n_estimators):
            model = _fresh(base, rng).fit(X, y, sample_weight=weights)
            wrong = _labels(model, X, self.classes_) != y
            error = weights @ wrong
            if error >= 1 - 1 / k - 1e-12:  # no better than guessing
                break
            say = 1.0
            if error > 0:
                say = self.learning_rate * (np.log((1 - error) / error) + np.log(k - 1))
            rounds.append((model, say, error, weights))
            if error <= 0:
                break
            weights = weights * np.exp(say * wrong)
            weights = np.maximum(weights / weights.sum(), np.finfo(float).eps)
            weights = weights / weights.sum()
        if not rounds:
            raise ValueError(f"estimator must do better than guessing, got an error of {error:.3g}")
        self.estimators_, *numbers = map(list, zip(*rounds, strict=True))
        self.estimator_weights_, self.estimator_errors_, self.sample_weights_ = map(
            np.array, numbers
        )
        return self

    def predict(self, X):
        """The class for which the base learners have the most to say."""
        *_, last = self.staged_predict(X)
        return last

    def staged_predict(self, X):
        """Yield the ensemble's predictions after each round."""
        for votes in self._staged_votes(X):
            yield self.classes_[votes.argmax(axis=1)]

    def decision_function(self, X):
        """The share of the say that each class has; of two classes, second minus first.

        A score for ranking in [-1, 1] (two classes) or [0, 1], of shape (n,) or (n, k), and no
        probability.
        """
        *_, votes = self._staged_votes(X)
        votes = votes / self.estimator_weights_.sum()
        return votes[:, 1] - votes[:, 0] if len(self.classes_) == 2 else votes

    def _weak_learner(self):
        return _base_learner(self.estimator, DecisionTreeClassifier(max_depth=1), True)

    def _staged_votes(self, X):
        check_is_fitted(self)
        X, votes = _table(self, X), 0
        for model, say in zip(self.estimators_, self.estimator_weights_, strict=True):
            votes = votes + say * (_labels(model, X, self.classes_)[:, None] == self.classes_)
            yield votes

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        base = get_tags(self._weak_learner())
        tags.input_tags.allow_nan = base.input_tags.allow_nan
        return tags


def plot_boosting_round(model, X, y, number, ax=None):
    """Draw one round of boosting on two features: rows by weight, and what the ensemble says.

    Parameters
    ----------
    model : BoostingEnsemble
        Fitted to X and y; two classes.
    X : DataFrame or array-like of shape (n, 2)
        Column names, if there are any, label the axes.
    y : array-like of shape (n,)
    number : int
        The round, from 1. Rows are as large as the weights that this round is trained with; the
        background is the vote of rounds 1 to `number`; circles mark what this round gets wrong.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If X has not two columns or holds what is not finite, y holds other labels or rows than at
        fit, or there is no such round.
    TypeError
        If model is no BoostingEnsemble.

    References
    ----------
    Chapter 11, Boosting.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.ensembles import BoostingEnsemble, plot_boosting_round
    >>> X, y = load_breast_cancer()
    >>> X = X[["mean radius", "mean texture"]].to_numpy()
    >>> model = BoostingEnsemble(n_estimators=5, random_state=0).fit(X, y)
    >>> ax = plot_boosting_round(model, X, y, 3)
    >>> len(ax.collections)  # the areas, two classes, and the rows that are wrong
    4
    """
    if not isinstance(model, BoostingEnsemble):
        raise TypeError(f"model must be a BoostingEnsemble, got {type(model).__name__}")
    check_is_fitted(model)
    names = list(
        X.columns if isinstance(X, pd.DataFrame) else getattr(model, "feature_names_in_", ())
    )
    X = np.asarray(X, dtype=float)
    if X.ndim != 2 or X.shape[1] != 2 or len(model.classes_) != 2:
        raise ValueError(f"X must have shape (n, 2) and y 2 classes, got shape {X.shape}")
    assert_all_finite(X, input_name="X")
    y = _checks.column(y, "y", len(X))
    if not np.isin(y, model.classes_).all():
        raise ValueError(f"y must hold the labels {model.classes_.tolist()} of the fit")
    if len(y) != model.sample_weights_.shape[1]:
        raise ValueError(
            f"y must have the {model.sample_weights_.shape[1]} rows of the fit, got {len(y)}"
        )
    _checks.whole_number(number, "number")
    if number > len(model.estimators_):
        raise ValueError(f"number must be at most {len(model.estimators_)}, got {number}")
    weights = model.sample_weights_[number - 1]

    def table(X):  # as the model was fitted
        return pd.DataFrame(X, columns=names) if hasattr(model, "feature_names_in_") else X

    wrong = model.estimators_[number - 1].predict(table(X)) != y
    ax = get_axes(ax, figsize=(5, 4.6))
    low, high = X.min(axis=0), X.max(axis=0)
    x0, x1 = (
        np.linspace(a - (b - a) / 20, b + (b - a) / 20, 120) for a, b in zip(low, high, strict=True)
    )
    grid = np.stack([part.ravel() for part in np.meshgrid(x0, x1)], axis=1)
    for said, _ in zip(model.staged_predict(table(grid)), range(number), strict=False):
        second = said == model.classes_[1]
    colors = [COLORS["blue"], COLORS["red"]]
    ax.contourf(
        x0, x1, second.reshape(120, 120), levels=[-0.5, 0.5, 1.5], colors=colors, alpha=0.18
    )
    for label, color, marker in zip(model.classes_, colors, "o^", strict=True):
        here = y == label
        size = 22 * weights[here] * len(y)
        ax.scatter(*X[here].T, size, color=color, marker=marker, alpha=0.75, linewidths=0)
    ax.scatter(
        *X[wrong].T,
        22 * weights[wrong] * len(y) + 30,
        facecolors="none",
        edgecolors=COLORS["black"],
        linewidths=0.8,
    )
    xlabel, ylabel = names or ("feature 1", "feature 2")
    error = model.estimator_errors_[number - 1]
    ax.set(title=f"Round {number}: error {error:.2f}", xlabel=f"{xlabel}", ylabel=f"{ylabel}")
    ax.grid(False)
    return ax


# --- Stacking --------------------------------------------------------------------------------


class StackingEnsemble(ClassifierMixin, BaseEstimator):
    """Stacking: a meta-learner combines the scores of several base learners.

    The meta-learner is trained on *out-of-fold* scores: those that a base learner gives to rows
    that it was not fitted to. Then the base learners are fitted once more, to all rows.

    Parameters
    ----------
    estimators : list of (name, classifier)
        The base learners. Each must have ``predict_proba`` or ``decision_function``.
    final_estimator : classifier, optional
        The meta-learner; by default logistic regression.
    cv : int, splitter or list of (fit rows, score rows), default 5
        The folds, as in scikit-learn. Each row must be scored exactly once, by a fit without it.
    out_of_fold : bool, default True
        False trains the meta-learner on scores of rows that the base learners were fitted to. It
        is a leak, and here so that its price can be measured.

    Attributes
    ----------
    estimators_ : list of classifiers, fitted to all rows
    final_estimator_ : the fitted meta-learner
    meta_features_ : ndarray of shape (n, m)
        What the meta-learner was trained on: of two classes, a column for each base learner.
    classes_ : ndarray of shape (k,)

    Raises
    ------
    ValueError
        When fitted, if estimators is empty or a name occurs twice, X or y do not fit, y holds
        one class only, or the folds do not score each row once or fit to what they score; when a
        base learner's scores have the wrong shape or sums.
    TypeError
        When fitted, if a base learner or final_estimator is no classifier, or a base learner has
        neither ``predict_proba`` nor ``decision_function``.

    References
    ----------
    Chapter 11, Stacking. D. Wolpert, "Stacked generalization", Neural Networks 5 (1992).

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.ensembles import StackingEnsemble
    >>> X, y = load_breast_cancer()
    >>> learners = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3))]
    >>> stacked = StackingEnsemble(learners).fit(X[::2], y[::2])
    >>> print(stacked.meta_features_.shape, bool(stacked.score(X[1::2], y[1::2]) > 0.9))
    (285, 2) True
    """

    def __init__(self, estimators, final_estimator=None, *, cv=5, out_of_fold=True):
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.out_of_fold = out_of_fold

    def fit(self, X, y):
        """Fit base learners fold by fold, then the meta-learner, then base learners to all."""
        learners, meta = _named_learners(self.estimators), self._meta_learner()
        X, y = _training_rows(self, X, y)
        self.estimators_ = [clone(learner).fit(X, y) for learner in learners.values()]
        if self.out_of_fold:
            folds = _folds(self.cv, X, y)
            parts = [self._out_of_fold(learner, X, y, folds) for learner in learners.values()]
            self.meta_features_ = np.hstack(parts)
        else:
            self.meta_features_ = self._in_fold(X)
        self.final_estimator_ = clone(meta).fit(self.meta_features_, y)
        return self

    def _out_of_fold(self, learner, X, y, folds):
        scores = [None] * len(folds)
        for i, (fit_rows, rows) in enumerate(folds):
            model = clone(learner).fit(_rows(X, fit_rows), y[fit_rows])
            scores[i] = _meta_columns(model, _rows(X, rows), self.classes_)
        order = np.argsort(np.concatenate([rows for _, rows in folds]))
        return np.concatenate(scores)[order]

    def _in_fold(self, X):
        return np.hstack([_meta_columns(model, X, self.classes_) for model in self.estimators_])

    def predict(self, X):
        """The meta-learner's class."""
        return self._meta().predict(self._in_fold(_table(self, X)))

    @available_if(lambda self: hasattr(self._meta_learner(), "predict_proba"))
    def predict_proba(self, X):
        """The meta-learner's probabilities, of shape (n, k)."""
        return self._meta().predict_proba(self._in_fold(_table(self, X)))

    def _meta_learner(self):
        return _base_learner(self.final_estimator, LogisticRegression(), True, "final_estimator")

    def _meta(self):
        check_is_fitted(self)
        return self.final_estimator_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        learners = [learner for _, learner in self.estimators]
        tags.input_tags.allow_nan = all(get_tags(one).input_tags.allow_nan for one in learners)
        return tags


# --- Bias and variance -----------------------------------------------------------------------


def bias_variance(model, draw, truth, *, repeats=50, random_state=None):
    """Split a model's squared error into bias², variance and noise, on data drawn at will.

    The model is fitted to `repeats` training sets, and judged on the same rows with new labels
    each time. For labels 0 and 1 and a classifier, squared error is the share of errors.

    Parameters
    ----------
    model : regressor, or classifier of the labels 0 and 1
    draw : callable
        ``draw(rng)`` gives a training set (X, y); ``draw(rng, X)`` gives (X, y) with new labels
        for these rows.
    truth : callable
        ``truth(X)`` gives the mean of y at each row.
    repeats : int, default 50
        At least 2.
    random_state : int, numpy Generator or None
        Models compared with the same seed see the same sets. What is random in a model gets a
        new seed for each set, so it counts as variance.

    Returns
    -------
    dict of float
        ``bias2``, squared distance of the mean prediction to the truth, less what the finite
        number of repeats adds to it; ``variance`` of the predictions over training sets;
        ``noise``, squared distance of the labels to the truth; ``error``, squared distance of
        predictions to labels. All are means over rows; error = bias2 + variance + noise but for
        chance.

    Raises
    ------
    ValueError
        If repeats is out of range, or predictions, labels or truth are no numbers of the right
        length.

    References
    ----------
    Chapter 11, Bias and variance. S. Geman, E. Bienenstock and R. Doursat, "Neural networks and
    the bias/variance dilemma", Neural Computation 4 (1992).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from mlsys_helpers.ensembles import bias_variance
    >>> def draw(rng, X=None):
    ...     X = rng.uniform(0, 6, size=(80, 1)) if X is None else X
    ...     return X, np.sin(X[:, 0]) + rng.normal(0, 0.3, len(X))
    >>> for depth in (1, None):
    ...     tree = DecisionTreeRegressor(max_depth=depth)
    ...     parts = bias_variance(tree, draw, lambda X: np.sin(X[:, 0]), random_state=0)
    ...     print({name: round(value, 2) for name, value in parts.items()})
    {'bias2': 0.06, 'variance': 0.03, 'noise': 0.09, 'error': 0.18}
    {'bias2': 0.0, 'variance': 0.09, 'noise': 0.09, 'error': 0.18}
    """
    _checks.whole_number(repeats, "repeats", low=2)
    rng = _checks.generator(random_state)
    seeds = np.random.default_rng(int(rng.integers(2**32)))  # draws for models, not for data
    X_test = draw(rng)[0]
    expected = _checks.numbers(truth(X_test), "truth(X)", len(X_test))
    predicted, labels = np.empty((2, repeats, len(X_test)))
    for i in range(repeats):
        X, y = draw(rng)
        labels[i] = _checks.numbers(draw(rng, X_test)[1], "labels of draw(rng, X)", len(X_test))
        answers = _fresh(model, seeds).fit(X, y).predict(X_test)
        predicted[i] = _checks.numbers(answers, "predictions of model", len(X_test))
    variance = predicted.var(axis=0, ddof=1).mean()
    distance = ((predicted.mean(axis=0) - expected) ** 2).mean()
    return {
        "bias2": float(distance - variance / repeats),
        "variance": float(variance),
        "noise": float(((labels - expected) ** 2).mean()),
        "error": float(((labels - predicted) ** 2).mean()),
    }


def plot_bias_variance(parts, ax=None):
    """Draw bias², variance and noise of several models as stacked bars, and the error as a dot.

    Parameters
    ----------
    parts : dict of dict
        Name → what `bias_variance` returned.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If parts is empty, lacks a part, or a part is no finite number.

    References
    ----------
    Chapter 11, Bias and variance.

    Examples
    --------
    >>> from mlsys_helpers.ensembles import plot_bias_variance
    >>> tree = {"bias2": 0.0, "variance": 0.1, "noise": 0.09, "error": 0.19}
    >>> plot_bias_variance({"deep tree": tree}).get_xlabel()
    'squared error'
    """
    names = {"noise": "grey", "bias2": "blue", "variance": "orange"}
    try:
        table = pd.DataFrame(parts).T[[*names, "error"]]
    except (TypeError, ValueError, KeyError):
        table = pd.DataFrame()
    if table.empty:
        raise ValueError("parts must hold bias2, variance, noise and error of at least one model")
    numbers = {name: _checks.numbers(table[name], f"parts: {name}") for name in table}
    table = pd.DataFrame(numbers, index=table.index.map(str))
    ax = get_axes(ax)
    left = np.zeros(len(table))
    for name, color in names.items():
        label = "bias²" if name == "bias2" else name
        ax.barh(table.index, table[name], left=left, color=COLORS[color], label=label, height=0.6)
        left = left + table[name].to_numpy()
    ax.plot(table["error"], table.index, "o", color=COLORS["black"], label="error, measured")
    ax.set(xlabel="squared error")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1), fontsize=11)
    return ax


# --- What it gains and costs -----------------------------------------------------------------


def measure_models(models, train, test, *, progress=True):
    """Fit each model; what it gives for new rows, how long that takes, and how large it is.

    Parameters
    ----------
    models : dict
        Name → unfitted classifier of two classes with ``predict_proba`` or
        ``decision_function``.
    train : pair (X, y)
    test : DataFrame or array-like of shape (n, d)
    progress : bool, default True
        Show a bar, a step a model.

    Returns
    -------
    scores : DataFrame of n rows
        A column for each model: probability of, or score for, the second class.
    costs : DataFrame
        A row for each model: ``fit`` in seconds, ``predict`` in milliseconds for all of `test`,
        ``one`` in milliseconds for a single row (the best of five), ``size`` of the pickled model
        in kilobytes.

    Raises
    ------
    ValueError
        If models or test is empty, train is no pair, y has not two classes, or scores have the
        wrong shape.
    TypeError
        If a model is no classifier or has neither method.

    References
    ----------
    Chapter 11, Is it worth it?

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.ensembles import BaggingEnsemble, measure_models
    >>> X, y = load_breast_cancer()
    >>> models = {"tree": DecisionTreeClassifier(random_state=0)}
    >>> models["bagged"] = BaggingEnsemble(models["tree"], n_estimators=20, random_state=0)
    >>> scores, costs = measure_models(models, (X[::2], y[::2]), X[1::2], progress=False)
    >>> bool(costs["size"]["bagged"] > 10 * costs["size"]["tree"])
    True
    """
    if not isinstance(models, dict) or not models:
        raise ValueError(f"models must be a dict of at least one model, got {models!r}")
    _named_learners(models.items(), "models")
    if not isinstance(train, (tuple, list)) or len(train) != 2:
        raise ValueError(f"train must be a pair (X, y), got {type(train).__name__}")
    X, y = train
    test = test if isinstance(test, pd.DataFrame) else np.asarray(test)
    if test.ndim != 2:
        raise ValueError(f"test must have two dimensions, got shape {test.shape}")
    y = _checks.column(y, "y", len(X))
    found = _checks.classes(y, "y")
    if len(found) != 2 or len(test) == 0:
        raise ValueError(f"two classes and a test row are needed, got {len(found)}, {len(test)}")
    scores, costs = {}, {}
    for name, model in tqdm(models.items(), "models", disable=not progress):
        start = perf_counter()
        fitted = clone(model).fit(X, y)
        fit = perf_counter() - start
        start = perf_counter()
        scores[name] = _meta_columns(fitted, test, found)[:, 0]
        predict = perf_counter() - start
        row, one = _rows(test, [0]), []
        for _ in range(5):
            start = perf_counter()
            _meta_columns(fitted, row, found)
            one.append(perf_counter() - start)
        costs[name] = {"fit": fit, "predict": 1e3 * predict, "one": 1e3 * min(one)}
        costs[name]["size"] = len(pickle.dumps(fitted)) / 1e3
    return pd.DataFrame(scores, index=getattr(test, "index", None)), pd.DataFrame(costs).T


def gain_over_first(y_true, scores, metric, *, groups=None, repeats=500, random_state=None):
    """Each model's metric, and its gain over the first with an interval of 95 %.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels 0 and 1, both present.
    scores : DataFrame of shape (n, m)
        A column for each model.
    metric : callable
        ``metric(y_true, score)`` gives a finite number; higher is better.
    groups : array-like of shape (n,), optional
        Rows of one group are drawn together: the day of a flight, say. At least two of them; by
        default each row is its own group.
    repeats : int, default 500
        Bootstraps of the groups, at least 20.
    random_state : int, numpy Generator or None

    Returns
    -------
    DataFrame, a row for each model
        ``metric`` on all rows, ``gain`` over the first model, ``low`` and ``high``.

    Raises
    ------
    ValueError
        If an argument is out of range, lengths differ, y_true holds one class only, or metric
        gives what is no finite number.
    TypeError
        If metric is no function.

    References
    ----------
    Chapter 11, Is it worth it? B. Efron and R. Tibshirani, An Introduction to the Bootstrap
    (1993).

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.metrics import roc_auc_score
    >>> from mlsys_helpers.ensembles import gain_over_first
    >>> scores = pd.DataFrame({"a": [1, 3, 2, 4] * 25, "b": [1, 2, 3, 4] * 25})
    >>> gain_over_first([0, 0, 1, 1] * 25, scores, roc_auc_score, random_state=0)["gain"].tolist()
    [0.0, 0.25]
    """
    y_true = _checks.binary_labels(y_true, "y_true")
    if not isinstance(scores, pd.DataFrame) or scores.shape[1] == 0:
        raise ValueError(
            f"scores must be a DataFrame with a column a model, got {type(scores).__name__}"
        )
    _distinct(scores.columns, "scores")
    if not callable(metric):
        raise TypeError(f"metric must be a function of labels and scores, got {metric!r}")
    columns = {name: _checks.numbers(scores[name], name, len(y_true)) for name in scores}
    groups = np.arange(len(y_true)) if groups is None else groups
    groups = _checks.column(groups, "groups", len(y_true))
    _checks.whole_number(repeats, "repeats", low=20)
    rng = _checks.generator(random_state)
    members = list(pd.Series(groups).groupby(groups).indices.values())
    if len(members) < 2:
        raise ValueError("groups must hold at least 2 groups, got 1")

    def judge(rows):
        found = [metric(y_true[rows], score[rows]) for score in columns.values()]
        return _checks.numbers(found, "what metric gives")

    whole, drawn = judge(np.arange(len(y_true))), []
    while len(drawn) < repeats:
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        if 0 < y_true[rows].mean() < 1:
            drawn.append(judge(rows))
    gains = np.array(drawn) - np.array(drawn)[:, :1]
    low, high = np.quantile(gains, [0.025, 0.975], axis=0)
    return pd.DataFrame(
        {"metric": whole, "gain": whole - whole[0], "low": low, "high": high}, index=scores.columns
    )


# --- What base learners are given, and what they answer ---------------------------------------


def _base_learner(estimator, default=None, classifiers_only=False, name="estimator"):
    if estimator is None:
        return DecisionTreeClassifier() if default is None else default
    wanted = "a classifier" if classifiers_only else "a classifier or a regressor"
    fits = not isinstance(estimator, type) and hasattr(estimator, "fit")
    if not fits or not (
        is_classifier(estimator) or (is_regressor(estimator) and not classifiers_only)
    ):
        raise TypeError(f"{name} must be {wanted}, got {estimator!r}")
    return estimator


def _named_learners(estimators, argument="estimators"):
    try:
        pairs = [(name, learner) for name, learner in estimators]
        named = dict(pairs)
    except (TypeError, ValueError):
        raise ValueError(
            f"{argument} must be pairs of name and classifier, got {estimators!r}"
        ) from None
    if not pairs or len(named) < len(pairs):
        raise ValueError(
            f"{argument} must be at least one, with distinct names, got {estimators!r}"
        )
    for name, learner in pairs:
        if isinstance(learner, type) or not hasattr(learner, "fit") or not is_classifier(learner):
            raise TypeError(f"{argument}: {name!r} must be a classifier, got {learner!r}")
    return named


def _distinct(names, argument):
    """Refuse two columns of one name."""
    if not names.is_unique:
        twice = names[names.duplicated()][0]
        raise ValueError(f"{argument} must name its columns apart, got {twice!r} twice")


def _folds(cv, X, y):
    """Pairs of rows to fit to and rows to score: each scored once, by a fit without it."""
    everyone, folds = np.arange(len(y)), list(check_cv(cv, y, classifier=True).split(X, y))
    scored = np.concatenate([np.ravel(rows) for _, rows in folds]) if folds else everyone[:0]
    if not np.array_equal(np.sort(scored), everyone):
        raise ValueError("cv must score each row exactly once")
    for fit_rows, rows in folds:
        if not np.isin(fit_rows, everyone).all():
            raise ValueError(f"cv must fit to rows from 0 to {len(y) - 1}")
        if np.isin(rows, fit_rows).any():
            raise ValueError("cv must not score rows that it fits to: that is the leak")
    return folds


def _fresh(estimator, rng):
    """An unfitted copy; everything random in it gets a seed of its own."""
    model = clone(estimator)
    names = [name for name in sorted(model.get_params()) if name.endswith("random_state")]
    return model.set_params(**{name: int(rng.integers(2**31)) for name in names})


def _table(estimator, X, reset=False):
    """X as base learners want it: a data frame as it is, anything else as a matrix."""
    if isinstance(X, pd.DataFrame):
        return validate_data(estimator, X, reset=reset, skip_check_array=True)
    return validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite=False)


def _training_rows(estimator, X, y):
    """X and y for `fit`, in one order and of one length; the classes of y are noted."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    X, y = _table(estimator, X, reset=True), column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    if 0 in X.shape:
        raise ValueError(f"X must have a row and a column at least, got shape {X.shape}")
    if y.dtype == object and pd.isna(y).any():
        raise ValueError(f"y contains NaN: {pd.isna(y).sum()} labels are missing")
    assert_all_finite(y, input_name="y")
    if is_classifier(estimator):
        check_classification_targets(y)
        estimator.classes_ = _checks.classes(y, "y")
    return X, y


def _rows(X, rows):
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def _labels(model, X, classes):
    """The labels that a base learner predicts; each must be one of the classes."""
    labels = np.asarray(model.predict(X))
    if labels.shape != (len(X),):
        raise ValueError(f"{_name(model)} must predict {len(X)} labels, got shape {labels.shape}")
    strange = labels[~np.isin(labels, classes)]
    if len(strange):
        raise ValueError(f"{_name(model)} predicts {strange[0]!r}, which is none of the classes")
    return labels


def _values(model, X):
    """The values that a base learner predicts."""
    return _checks.numbers(model.predict(X), f"predictions of {_name(model)}", len(X))


def _class_shares(model, X, classes):
    """Probabilities of all classes; of a base learner that has none, its vote."""
    if not hasattr(model, "predict_proba"):
        return (_labels(model, X, classes)[:, None] == classes).astype(float)
    own = np.asarray(getattr(model, "classes_", classes))
    proba = np.asarray(model.predict_proba(X), dtype=float)
    if proba.shape != (len(X), len(own)):
        raise ValueError(
            f"{_name(model)} must give probabilities of shape ({len(X)}, {len(own)}), "
            f"got {proba.shape}"
        )
    if not (proba >= 0).all() or not np.allclose(proba.sum(axis=1), 1, atol=1e-5):
        raise ValueError(f"{_name(model)} gives probabilities that do not sum to one")
    if not np.isin(own, classes).all():
        raise ValueError(f"{_name(model)} knows a class that is none of {classes.tolist()}")
    shares = np.zeros((len(X), len(classes)))  # a bootstrap or fold may lack a class
    shares[:, np.searchsorted(classes, own)] = proba
    return shares


def _meta_columns(model, X, classes):
    """What a meta-learner sees: probabilities, or else scores; of two classes one column."""
    if hasattr(model, "predict_proba"):
        shares = _class_shares(model, X, classes)
        return shares[:, 1:] if len(classes) == 2 else shares
    if not hasattr(model, "decision_function"):
        raise TypeError(f"{_name(model)} has neither predict_proba nor decision_function")
    scores = np.asarray(model.decision_function(X), dtype=float)
    scores = scores[:, None] if scores.ndim == 1 else scores
    wanted = (len(X), 1 if len(classes) == 2 else len(classes))
    if scores.shape != wanted or not np.isfinite(scores).all():
        raise ValueError(
            f"{_name(model)} must give finite scores of shape {wanted}, got {scores.shape}"
        )
    return scores


def _name(model):
    return type(model).__name__
