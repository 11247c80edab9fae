"""Chapter 11 against known answers: closed forms, simulation, scikit-learn's own ensembles."""

from fractions import Fraction
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from mlsys_helpers import ensembles as en
from mlsys_helpers.datasets import load_breast_cancer, load_digits, load_flight_features
from mlsys_helpers.exercises._engine import CORRECT, judge

X_CANCER, Y_CANCER = load_breast_cancer()
X3, Y3 = make_classification(300, 6, n_informative=4, n_classes=3, random_state=0)
X2, Y2 = make_classification(300, 5, flip_y=0.1, random_state=1)
STUMP = DecisionTreeClassifier(max_depth=1, random_state=0)
PAIR = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3, random_state=0))]


@parametrize_with_checks(
    [
        en.BaggingEnsemble(),
        en.BaggingEnsemble(DecisionTreeRegressor()),
        en.BaggingEnsemble(KNeighborsClassifier()),
        en.BoostingEnsemble(),
        en.StackingEnsemble(PAIR),
    ]
)
def test_the_estimators_keep_scikit_learns_contract(estimator, check):
    check(estimator)


# --- Votes


def test_three_voters_of_seventy_per_cent():
    assert en.majority_vote_accuracy(0.7, 3) == pytest.approx(0.784)
    for dependence in ("beta-binomial", "common cause"):
        assert en.majority_vote_accuracy(0.7, 3, 1, dependence) == pytest.approx(0.7)
        assert en.majority_vote_accuracy(0.7, 1, 0.3, dependence) == pytest.approx(0.7)
        assert en.majority_vote_accuracy(0.7, 2, 0.3, dependence) == pytest.approx(0.7)  # ties half


def test_the_common_cause_is_a_mixture():
    independent = stats.binom(11, 0.7).sf(5)
    assert en.majority_vote_accuracy(0.7, 11) == pytest.approx(independent)
    mixed = en.majority_vote_accuracy(0.7, 11, 0.25, "common cause")
    assert mixed == pytest.approx(0.25 * 0.7 + 0.75 * independent)


@pytest.mark.parametrize("n", [3, 4, 15])
@pytest.mark.parametrize("dependence", ["beta-binomial", "common cause"])
def test_the_vote_and_its_correlation_are_those_of_a_simulation(n, dependence):
    p, correlation, rows = 0.65, 0.3, 200_000
    rng = np.random.default_rng(n)
    if dependence == "beta-binomial":
        strength = 1 / correlation - 1
        right = rng.random((rows, n)) < rng.beta(p * strength, (1 - p) * strength, (rows, 1))
    else:
        right = rng.random((rows, n)) < p
        right = np.where(rng.random((rows, 1)) < correlation, right[:, :1], right)
    assert right.mean() == pytest.approx(p, abs=0.005)
    assert np.corrcoef(right[:, :2].T)[0, 1] == pytest.approx(correlation, abs=0.01)
    share = right.mean(axis=1)
    majority = ((share > 0.5).mean() + (share >= 0.5).mean()) / 2
    # Four standard errors of a share over the rows.
    due = en.majority_vote_accuracy(p, n, correlation, dependence)
    assert majority == pytest.approx(due, abs=4 * 0.5 / np.sqrt(rows))


def test_many_correlated_voters_stop_at_the_ceiling():
    ceiling = stats.beta(0.7 * 4, 0.3 * 4).sf(0.5)  # correlation 0.2 is a + b = 4
    assert en.majority_vote_accuracy(0.7, 100_001, 0.2) == pytest.approx(ceiling, abs=1e-4)
    assert en.majority_vote_accuracy(0.7, 10_001) == pytest.approx(1)


@given(
    p=st.floats(0.01, 0.99),
    n=st.integers(0, 30).map(lambda k: 2 * k + 1),
    correlation=st.floats(0.001, 0.999),
    dependence=st.sampled_from(["beta-binomial", "common cause"]),
)
@settings(max_examples=60)
def test_properties_of_a_vote(p, n, correlation, dependence):
    vote = en.majority_vote_accuracy(p, n, correlation, dependence)
    mirrored = en.majority_vote_accuracy(1 - p, n, correlation, dependence)
    assert vote + mirrored == pytest.approx(1, abs=1e-6)
    independent = en.majority_vote_accuracy(p, n)
    low, high = sorted((p, independent))
    assert low - 1e-6 <= vote <= high + 1e-6  # between copies and independence, on p's own side


def test_a_vote_is_right_where_the_beta_function_has_no_digits_left():
    for p in (1e-300, 0.01, 0.7, 0.99):
        for n in (1, 2, 3, 4, 101):
            independent = en.majority_vote_accuracy(p, n)
            for nearly_0 in (1e-300, 1e-12, 1e-9, 1e-7):
                vote = en.majority_vote_accuracy(p, n, nearly_0)
                assert vote == pytest.approx(independent, abs=1e-5)
            assert en.majority_vote_accuracy(p, n, 1 - 1e-12) == pytest.approx(p)


def test_error_correlation_is_that_of_right_and_wrong():
    rng = np.random.default_rng(0)
    y = rng.choice(["a", "b", "c"], 200)
    answers = pd.DataFrame({name: rng.choice(["a", "b", "c"], 200) for name in "xyz"})
    found = en.error_correlation(y, answers)
    due = np.corrcoef((answers.to_numpy() == y[:, None]).T)
    assert np.allclose(found, due)
    assert list(found.index) == list(found.columns) == ["x", "y", "z"]
    copies = en.error_correlation([0, 0, 1], np.array([[0, 0], [1, 1], [1, 1]]))
    assert np.allclose(copies, 1)


def test_the_beta_binomial_foretells_the_vote_of_bagged_trees_on_flights():
    flights = load_flight_features()
    columns = ["departure_hour", "recent_mean_delay", "waiting_flights", "visib", "pressure"]
    before = flights["date"] < "2013-09-01"
    drawn = [
        part.groupby("late").sample(1500, random_state=0)
        for part in (flights[before], flights[~before])
    ]
    (X, y), (X_new, y_new) = [(part[columns], part["late"].to_numpy()) for part in drawn]
    model = en.BaggingEnsemble(n_estimators=51, random_state=0).fit(X, y)
    answers = np.transpose([tree.predict(X_new) for tree in model.estimators_])
    alike = en.error_correlation(y_new, answers).to_numpy()
    p, c = (answers == y_new[:, None]).mean(), alike[np.triu_indices(51, 1)].mean()
    measured = ((answers.mean(axis=1) > 0.5) == y_new).mean()
    assert measured == pytest.approx(en.majority_vote_accuracy(p, 51, c), abs=0.03)
    assert measured < en.majority_vote_accuracy(p, 51) - 0.1


# --- Bagging


AS_ROWS = partial(
    make_pipeline, "passthrough"
)  # keeps theirs from weighting rows: ties break alike


class OnTheseBootstraps(en.BaggingEnsemble):
    """Our ensemble on bootstraps that were drawn elsewhere."""

    def _bootstraps(self, n, rng):
        return self.given


def on_bootstraps_of(theirs, base, X, y, monkeypatch, **options):
    """Our ensemble on their bootstraps, each learner with the seed that theirs has."""
    learners = iter(theirs.estimators_)
    monkeypatch.setattr(en, "_fresh", lambda base, rng: clone(next(learners)))
    ours = OnTheseBootstraps(base, len(theirs.estimators_), **options)
    ours.given = theirs.estimators_samples_
    return ours.fit(X, y)


@pytest.mark.parametrize(
    "base",
    [
        GaussianNB(),
        KNeighborsClassifier(3),
        LogisticRegression(),
        AS_ROWS(DecisionTreeClassifier()),
    ],
    ids=["bayes", "neighbours", "logistic", "tree"],
)
def test_bagging_equals_scikit_learns_on_the_same_bootstraps(base, monkeypatch):
    theirs = BaggingClassifier(base, 40, oob_score=True, random_state=0).fit(X3[:200], Y3[:200])
    ours = on_bootstraps_of(theirs, base, X3[:200], Y3[:200], monkeypatch, oob_score=True)
    # Weighted rows (theirs) and repeated rows (ours) are the same up to the solver's tolerance.
    atol = 1e-3 if isinstance(base, LogisticRegression) else 1e-9
    assert np.allclose(ours.predict_proba(X3[200:]), theirs.predict_proba(X3[200:]), atol=atol)
    assert (ours.predict(X3[200:]) == theirs.predict(X3[200:])).all()
    assert ours.oob_score_ == pytest.approx(theirs.oob_score_)


def test_bagging_votes_as_scikit_learns_where_there_are_no_probabilities(monkeypatch):
    theirs = BaggingClassifier(RidgeClassifier(), 9, random_state=0).fit(X3[:200], Y3[:200])
    ours = on_bootstraps_of(theirs, RidgeClassifier(), X3[:200], Y3[:200], monkeypatch)
    assert np.allclose(ours.predict_proba(X3[200:]), theirs.predict_proba(X3[200:]))
    shares = ours.predict_proba(X3) * 9
    assert np.allclose(shares, shares.round())  # nine whole votes


@pytest.mark.parametrize("base", [LinearRegression(), AS_ROWS(DecisionTreeRegressor(max_depth=4))])
def test_bagged_regressors_are_averaged_as_scikit_learns(base, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 3))
    y = X[:, 0] + X[:, 1] ** 2 + rng.normal(size=150)
    theirs = BaggingRegressor(base, 40, oob_score=True, random_state=0).fit(X, y)
    ours = on_bootstraps_of(theirs, base, X, y, monkeypatch, oob_score=True)
    assert np.allclose(ours.predict(X), theirs.predict(X))
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y))
    assert ours.oob_score_ == pytest.approx(theirs.oob_score_)


def test_the_out_of_bag_share_is_the_closed_form():
    for n in (2, 10, 500):
        model = en.BaggingEnsemble(DummyClassifier(), 400, random_state=0)
        model.fit(np.zeros((n, 1)), np.arange(n) % 2)
        left_out = [np.setdiff1d(np.arange(n), rows).size / n for rows in model.estimators_samples_]
        assert all(len(rows) == n for rows in model.estimators_samples_)
        error = np.std(left_out) / np.sqrt(400)
        assert np.mean(left_out) == pytest.approx((1 - 1 / n) ** n, abs=4 * error)


def test_bootstraps_are_independent_given_the_data_and_not_of_it():
    rng, n, repeats = np.random.default_rng(0), 40, 4000
    over_sets, within = np.empty((2, repeats, 2))
    fixed = rng.normal(size=n)
    draw = en.BaggingEnsemble(n_estimators=2)._bootstraps
    for i in range(repeats):
        data = rng.normal(size=n)
        first, second = draw(n, rng)
        over_sets[i] = data[first].mean(), data[second].mean()
        within[i] = fixed[first].mean(), fixed[second].mean()
    # Var of a bootstrap mean is s²(2 - 1/n)/n over sets, of which s²/n is common to both.
    assert np.corrcoef(over_sets.T)[0, 1] == pytest.approx(1 / (2 - 1 / n), abs=4 / repeats**0.5)
    assert np.corrcoef(within.T)[0, 1] == pytest.approx(0, abs=4 / repeats**0.5)


def test_out_of_bag_is_the_test_score_on_independent_rows():
    X, y = make_classification(3000, 8, flip_y=0.1, random_state=2)
    model = en.BaggingEnsemble(n_estimators=60, oob_score=True, random_state=0)
    model.fit(X[:1500], y[:1500])
    # Each is a share over 1,500 rows: three standard errors of their difference.
    assert model.oob_score_ == pytest.approx(model.score(X[1500:], y[1500:]), abs=3 * 0.5 / 27)


def test_bagging_helps_trees_and_not_neighbours():
    X, y = map(np.asarray, load_digits())
    X = X.reshape(len(X), -1)
    gain = {}
    for base in (DecisionTreeClassifier(), KNeighborsClassifier(1)):
        gains = []
        for seed in range(5):
            rows = np.random.default_rng(seed).permutation(len(y))
            fit, judge = rows[:500], rows[500:1200]
            single = clone(base).fit(X[fit], y[fit]).score(X[judge], y[judge])
            many = en.BaggingEnsemble(base, 20, random_state=seed).fit(X[fit], y[fit])
            gains.append(many.score(X[judge], y[judge]) - single)
        gain[type(base)] = gains
    assert min(gain[DecisionTreeClassifier]) > 0.05
    assert abs(np.mean(gain[KNeighborsClassifier])) < 0.01


def test_each_base_learner_gets_a_seed_and_the_same_seed_gives_the_same_ensemble():
    base = make_pipeline(StandardScaler(), DecisionTreeClassifier(max_features=1))
    first, second = (en.BaggingEnsemble(base, 5, random_state=7).fit(X2, Y2) for _ in range(2))
    assert (first.predict_proba(X2) == second.predict_proba(X2)).all()
    seeds = [model[-1].random_state for model in first.estimators_]
    assert len(set(seeds)) == 5 and base[-1].random_state is None
    other = en.BaggingEnsemble(base, 5, random_state=8).fit(X2, Y2)
    assert (first.predict_proba(X2) != other.predict_proba(X2)).any()


def test_a_bootstrap_that_lacks_a_class_is_no_obstacle():
    X, y = np.arange(12.0)[:, None], np.array([0] * 11 + [1])
    model = en.BaggingEnsemble(n_estimators=8, random_state=0).fit(X, y)
    known = {len(tree.classes_) for tree in model.estimators_}
    assert known == {1, 2}
    assert np.allclose(model.predict_proba(X).sum(axis=1), 1)


# --- Boosting


@pytest.mark.parametrize(
    ("X", "y", "base"),
    [
        (X2, Y2, STUMP),
        (X3, Y3, STUMP),
        (X3, Y3, DecisionTreeClassifier(max_depth=2, random_state=0)),
        (X_CANCER.to_numpy(), Y_CANCER.to_numpy(), GaussianNB()),
    ],
)
@pytest.mark.parametrize("learning_rate", [1.0, 0.3])
def test_boosting_equals_scikit_learns(X, y, base, learning_rate):
    options = {"n_estimators": 25, "learning_rate": learning_rate, "random_state": 0}
    ours = en.BoostingEnsemble(base, **options).fit(X, y)
    theirs = AdaBoostClassifier(base, **options).fit(X, y)
    rounds = len(theirs.estimators_)
    assert len(ours.estimators_) == rounds
    assert np.allclose(ours.estimator_weights_, theirs.estimator_weights_[:rounds])
    assert np.allclose(ours.estimator_errors_, theirs.estimator_errors_[:rounds])
    assert (ours.predict(X) == theirs.predict(X)).all()
    for own, other in zip(ours.staged_predict(X), theirs.staged_predict(X), strict=True):
        assert (own == other).all()
    k = len(ours.classes_)  # theirs give -1/(k - 1) of the say to each class not chosen
    scores = theirs.decision_function(X)
    expected = scores / 2 if k == 2 else (scores * (k - 1) + 1) / k
    assert np.allclose(ours.decision_function(X), expected)


def test_after_each_round_the_last_learner_is_useless():
    model = en.BoostingEnsemble(STUMP, 20).fit(X2, Y2)
    assert np.allclose(model.sample_weights_.sum(axis=1), 1)
    assert np.allclose(model.sample_weights_[0], 1 / len(Y2))
    for i in range(len(model.estimators_) - 1):
        wrong = model.estimators_[i].predict(X2) != Y2
        assert model.sample_weights_[i] @ wrong == pytest.approx(model.estimator_errors_[i])
        assert model.sample_weights_[i + 1] @ wrong == pytest.approx(0.5)


def test_of_k_classes_the_last_learner_is_as_good_as_guessing():
    model = en.BoostingEnsemble(STUMP, 5).fit(X3, Y3)
    for i in range(len(model.estimators_) - 1):
        wrong = model.estimators_[i].predict(X3) != Y3
        assert model.sample_weights_[i + 1] @ wrong == pytest.approx(2 / 3)


def test_training_error_keeps_below_the_bound_of_freund_and_schapire():
    model = en.BoostingEnsemble(STUMP, 40).fit(X2, Y2)
    bound = np.cumprod(2 * np.sqrt(model.estimator_errors_ * (1 - model.estimator_errors_)))
    errors = [(said != Y2).mean() for said in model.staged_predict(X2)]
    assert (np.array(errors) <= bound + 1e-12).all()


def test_a_learner_without_error_ends_the_boosting():
    X, y = np.arange(6.0)[:, None], np.array([0, 0, 0, 1, 1, 1])
    model = en.BoostingEnsemble(n_estimators=10).fit(X, y)
    assert len(model.estimators_) == 1 and model.estimator_errors_[0] == 0
    assert (model.predict(X) == y).all()


def test_a_constant_learner_is_used_once_or_refused():
    X, y = np.zeros((10, 1)), np.array([0] * 7 + [1] * 3)
    constant = DummyClassifier(strategy="most_frequent")
    model = en.BoostingEnsemble(constant, 10).fit(X, y)
    assert len(model.estimators_) == 1  # reweighted, it is as good as guessing: stop
    assert (model.predict(X) == 0).all()
    with pytest.raises(ValueError, match="better than guessing"):
        en.BoostingEnsemble(constant, 10).fit(X, np.arange(10) % 2)


def test_false_labels_gather_the_weight():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = (np.square(X).sum(axis=1) > 1.39).astype(int)
    false = rng.random(400) < 0.1
    model = en.BoostingEnsemble(DecisionTreeClassifier(max_depth=3), 50, random_state=0)
    model.fit(X, np.where(false, 1 - y, y))
    assert model.sample_weights_[-1][false].sum() > 2.5 * false.mean()


def test_plot_boosting_round_draws_that_round():
    model = en.BoostingEnsemble(STUMP, 5).fit(X2[:, :2], Y2)
    ax = en.plot_boosting_round(model, X2[:, :2], Y2, 4)
    first, second, circles = ax.collections[-3:]
    sizes = np.concatenate([first.get_sizes(), second.get_sizes()])
    due = np.concatenate([model.sample_weights_[3][rows] for rows in (Y2 == 0, Y2 == 1)])
    assert np.allclose(sizes / sizes.sum(), due)
    wrong = model.estimators_[3].predict(X2[:, :2]) != Y2
    assert len(circles.get_offsets()) == wrong.sum()


def test_plot_boosting_round_takes_tables_and_labels_its_axes():
    frame = pd.DataFrame(X2[:, :2], columns=["visibility", "wind"])
    model = en.BoostingEnsemble(STUMP, 3).fit(frame, Y2)
    for X in (frame, frame.to_numpy()):
        ax = en.plot_boosting_round(model, X, Y2, 2)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("visibility", "wind")
    ax = en.plot_boosting_round(FITTED, frame, Y2, 2)  # fitted to an array
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("visibility", "wind")
    ax = en.plot_boosting_round(FITTED, frame.to_numpy(), Y2, 2)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 1", "feature 2")


# --- Stacking


@pytest.mark.parametrize(
    ("X", "y", "learners"),
    [
        (X2, Y2, PAIR),
        (X3, Y3, PAIR),
        (X2, Y2, [*PAIR, ("svm", LinearSVC(random_state=0))]),
        (X3, Y3, [("ridge", RidgeClassifier()), ("bayes", GaussianNB())]),
    ],
)
@pytest.mark.parametrize("cv", [5, StratifiedKFold(3, shuffle=True, random_state=0)])
def test_stacking_equals_scikit_learns_on_the_same_folds(X, y, learners, cv):
    ours = en.StackingEnsemble(learners, cv=cv).fit(X[:200], y[:200])
    theirs = StackingClassifier(learners, cv=cv).fit(X[:200], y[:200])
    assert np.allclose(ours.predict_proba(X[200:]), theirs.predict_proba(X[200:]))
    assert (ours.predict(X[200:]) == theirs.predict(X[200:])).all()
    assert np.allclose(ours.final_estimator_.coef_, theirs.final_estimator_.coef_)


def test_a_forest_as_meta_learner_gives_probabilities():
    stack = en.StackingEnsemble(PAIR, RandomForestClassifier(5, random_state=0)).fit(X2, Y2)
    assert np.allclose(stack.predict_proba(X2).sum(axis=1), 1)


def test_in_fold_equals_scikit_learns_prefit():
    fitted = [(name, clone(model).fit(X2, Y2)) for name, model in PAIR]
    theirs = StackingClassifier(fitted, cv="prefit").fit(X2, Y2)
    ours = en.StackingEnsemble(PAIR, out_of_fold=False).fit(X2, Y2)
    assert np.allclose(ours.predict_proba(X2), theirs.predict_proba(X2))


def test_in_fold_scores_trust_whoever_learned_by_heart():
    tree = DecisionTreeClassifier(random_state=0)
    learners, losses = [("logistic", LogisticRegression()), ("tree", tree)], []
    for seed in range(8):
        X, y = make_classification(1200, 10, flip_y=0.3, random_state=seed)
        stacks = [en.StackingEnsemble(learners, out_of_fold=honest) for honest in (True, False)]
        honest, leaky = (stack.fit(X[:600], y[:600]) for stack in stacks)
        assert leaky.final_estimator_.coef_[0, 1] > 5 * honest.final_estimator_.coef_[0, 1]
        areas = [roc_auc_score(y[600:], one.predict_proba(X[600:])[:, 1]) for one in stacks]
        losses.append(areas[0] - areas[1])
    assert np.mean(losses) > 4 * np.std(losses) / np.sqrt(8)


def test_rows_of_a_fold_are_scored_by_models_that_did_not_see_them():
    class Memory(ClassifierMixin, BaseEstimator):
        """Gives probability 1 to rows that it was fitted to."""

        def fit(self, X, y):
            self.classes_, self.rows_ = np.unique(y), set(X[:, 0])
            return self

        def predict_proba(self, X):
            seen = np.array([row in self.rows_ for row in X[:, 0]], dtype=float)
            return np.stack([1 - seen, seen], axis=1)

    X, y = np.arange(20.0)[:, None], np.arange(20) % 2
    honest = en.StackingEnsemble([("memory", Memory())]).fit(X, y)
    leaky = en.StackingEnsemble([("memory", Memory())], out_of_fold=False).fit(X, y)
    assert (honest.meta_features_ == 0).all() and (leaky.meta_features_ == 1).all()


def test_a_fold_that_lacks_a_class_is_no_obstacle():
    y = np.array([0] * 10 + [1] * 10 + [2])
    X = np.arange(21.0)[:, None]
    folds = [(range(20), [20]), (range(5, 21), range(5)), ([*range(5), 20], range(5, 20))]
    model = en.StackingEnsemble([("tree", DecisionTreeClassifier())], cv=folds).fit(X, y)
    assert model.meta_features_.shape == (21, 3) and model.meta_features_[20, 2] == 0


# --- Pipelines on data frames


FRAME = load_flight_features().groupby("late").sample(150, random_state=0)
Y_FRAME = FRAME.pop("late").to_numpy()
FRAME = FRAME[["carrier", "temp", "departure_hour", "pressure"]]  # a category, missing values


@pytest.mark.parametrize(
    "ensemble",
    [
        en.BaggingEnsemble(
            HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype"), 3
        ),
        en.BoostingEnsemble(
            HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype"), 3
        ),
        en.StackingEnsemble(
            [("trees", HistGradientBoostingClassifier(max_iter=5)), ("base", DummyClassifier())]
        ),
    ],
    ids=["bagging", "boosting", "stacking"],
)
def test_data_frames_reach_the_base_learners_as_they_are(ensemble):
    before = FRAME.copy()
    ensemble.fit(FRAME, np.where(Y_FRAME == 1, "late", "on time"))
    assert list(ensemble.feature_names_in_) == list(FRAME.columns)
    assert set(ensemble.predict(FRAME)) == {"late", "on time"}
    pd.testing.assert_frame_equal(FRAME, before)
    with pytest.raises(ValueError, match="feature names"):
        ensemble.predict(FRAME[["temp", "carrier", "departure_hour", "pressure"]])


# --- Bias and variance


def curve(X):
    return np.sin(X[:, 0])


def draw(rng, X=None):
    X = rng.uniform(0, 6, size=(60, 1)) if X is None else X
    return X, curve(X) + rng.normal(0, 0.5, size=len(X))


@pytest.mark.parametrize(
    "model", [DecisionTreeRegressor(max_depth=1), DecisionTreeRegressor(), LinearRegression()]
)
def test_the_parts_add_up_to_the_error(model):
    parts = en.bias_variance(model, draw, curve, repeats=200, random_state=0)
    total = parts["bias2"] + parts["variance"] + parts["noise"]
    # The rest is -2 mean((y - f)(prediction - f)), whose factors are independent: at 60 * 200
    # labels of sd 0.5 its standard error is 2 * 0.5 * sqrt((bias2 + variance) / 12,000).
    error = np.sqrt((parts["bias2"] + parts["variance"]) / 12_000)
    assert parts["error"] == pytest.approx(total, abs=3 * error)
    assert parts["noise"] == pytest.approx(0.25, abs=4 * 0.25 * np.sqrt(2 / 12_000))


def test_bias_and_variance_of_a_mean_are_known():
    parts = en.bias_variance(
        DummyRegressor(), lambda rng, X=None: (np.zeros((25, 1)), rng.normal(3, 2, 25)),
        lambda X: np.full(len(X), 3.0), repeats=4000, random_state=0,
    )  # fmt: skip
    assert parts["variance"] == pytest.approx(4 / 25, rel=4 * np.sqrt(2 / 4000))  # sigma² / n
    assert parts["bias2"] == pytest.approx(0, abs=3 * 0.16 / 4000 * 2)
    constant = DummyRegressor(strategy="constant", constant=5)
    parts = en.bias_variance(constant, draw, lambda X: np.zeros(len(X)), repeats=3)
    assert parts["bias2"] == 25 and parts["variance"] == 0


def test_bagging_lowers_variance_and_boosting_bias():
    deep = DecisionTreeRegressor()
    single = en.bias_variance(deep, draw, curve, random_state=0)
    bagged = en.bias_variance(en.BaggingEnsemble(deep, 20), draw, curve, random_state=0)
    assert bagged["variance"] < 0.7 * single["variance"]
    assert abs(bagged["bias2"] - single["bias2"]) < 0.02

    def ring(rng, X=None):
        X = rng.normal(size=(150, 2)) if X is None else X
        return X, far(X)

    def far(X):
        return (np.square(X).sum(axis=1) > 1.39).astype(int)

    stump = en.bias_variance(STUMP, ring, far, repeats=15, random_state=0)
    boosted = en.bias_variance(
        en.BoostingEnsemble(STUMP, 30), ring, far, repeats=15, random_state=0
    )
    assert boosted["bias2"] < 0.4 * stump["bias2"]
    for parts in (stump, boosted):  # labels without noise: the share of errors is the two parts
        assert parts["noise"] == 0
        assert parts["error"] == pytest.approx(parts["bias2"] + parts["variance"])


def test_plot_bias_variance_stacks_the_parts():
    parts = {"a": {"bias2": 0.1, "variance": 0.2, "noise": 0.3, "error": 0.6}}
    ax = en.plot_bias_variance(parts)
    assert sorted(round(bar.get_width(), 2) for bar in ax.patches) == [0.1, 0.2, 0.3]
    assert ax.lines[0].get_xdata()[0] == 0.6
    numbered = en.plot_bias_variance({3: parts["a"], 7: parts["a"]})
    assert [label.get_text() for label in numbered.get_yticklabels()] == ["3", "7"]


# --- What it gains and costs


def test_measured_scores_are_those_of_the_model():
    models = {"logistic": LogisticRegression(), "ridge": RidgeClassifier()}
    scores, costs = en.measure_models(models, (X2[:200], Y2[:200]), X2[200:], progress=False)
    fitted = LogisticRegression().fit(X2[:200], Y2[:200])
    assert np.allclose(scores["logistic"], fitted.predict_proba(X2[200:])[:, 1])
    ridge = RidgeClassifier().fit(X2[:200], Y2[:200])
    assert np.allclose(scores["ridge"], ridge.decision_function(X2[200:]))
    assert (costs > 0).all(axis=None) and list(costs.columns) == ["fit", "predict", "one", "size"]
    assert not hasattr(models["logistic"], "coef_")  # the model given is not fitted
    listed, _ = en.measure_models(models, [X2[:200].tolist(), Y2[:200]], X2[200:].tolist())
    pd.testing.assert_frame_equal(listed, scores)


def test_a_gain_and_its_interval():
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2
    good, same = y + rng.normal(0, 1, 600), rng.normal(size=600)
    scores = pd.DataFrame({"first": same, "copy": same, "good": good})
    table = en.gain_over_first(y, scores, roc_auc_score, random_state=0)
    assert table.loc["copy", ["gain", "low", "high"]].eq(0).all()
    assert table.loc["good", "metric"] == pytest.approx(roc_auc_score(y, good))
    assert table.loc["good", "low"] > 0
    again = en.gain_over_first(y, scores, roc_auc_score, random_state=0)
    pd.testing.assert_frame_equal(table, again)


def test_the_interval_of_a_gain_holds_the_truth_as_often_as_it_says():
    def difference(y, score):  # a mean, so that the truth is known: 0
        return score.mean()

    y, held = np.arange(80) % 2, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scores = pd.DataFrame({"a": np.zeros(80), "b": rng.normal(size=80)})
        row = en.gain_over_first(y, scores, difference, repeats=200, random_state=seed).loc["b"]
        held += row["low"] <= 0 <= row["high"]
    assert 0.88 <= held / 200 <= 0.99  # 95 %, less what a bootstrap of 80 rows lacks


def test_rows_of_one_group_are_drawn_together():
    y, groups = np.arange(200) % 2, np.arange(200) // 20
    rng = np.random.default_rng(0)
    shift = np.repeat(rng.normal(size=10), 20)
    scores = pd.DataFrame({"a": np.zeros(200), "b": shift})
    widths = []
    for by in (None, groups):
        table = en.gain_over_first(
            y, scores, lambda y, score: score.mean(), groups=by, random_state=0
        )
        widths.append(table.loc["b", "high"] - table.loc["b", "low"])
    assert widths[1] > 3 * widths[0]  # sqrt(20) = 4.5 times, as only ten groups were seen


# --- Base learners as black boxes


class BlackBox(ClassifierMixin, BaseEstimator):
    """A base learner whose answers are what they are told to be."""

    def __init__(self, proba=None, labels=None):
        self.proba = proba
        self.labels = labels

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), dtype=int) if self.labels is None else self.labels(len(X))


class BlackBoxWithProbabilities(BlackBox):
    def predict_proba(self, X):
        return self.proba(len(X))


PROBA = {
    "wrong shape": (lambda n: np.full((n, 3), 1 / 3), "probabilities of shape"),
    "one column": (lambda n: np.ones((n, 1)), "probabilities of shape"),
    "one row too few": (lambda n: np.full((n - 1, 2), 0.5), "probabilities of shape"),
    "sums to two": (lambda n: np.ones((n, 2)), "do not sum to one"),
    "below zero": (lambda n: np.tile([-0.5, 1.5], (n, 1)), "do not sum to one"),
    "missing": (lambda n: np.full((n, 2), np.nan), "do not sum to one"),
}
LABELS = {
    "wrong shape": (lambda n: np.zeros((n, 1), dtype=int), "labels, got shape"),
    "too few": (lambda n: np.zeros(n - 1, dtype=int), "labels, got shape"),
    "unknown label": (lambda n: np.full(n, 7), "none of the classes"),
}


@pytest.mark.parametrize("case", PROBA)
def test_bad_probabilities_are_refused_by_the_learners_name(case):
    proba, message = PROBA[case]
    box = BlackBoxWithProbabilities(proba)
    with pytest.raises(ValueError, match=f"BlackBoxWithProbabilities.*{message}"):
        en.BaggingEnsemble(box, 2).fit(X2, Y2).predict(X2)
    with pytest.raises(ValueError, match=f"BlackBoxWithProbabilities.*{message}"):
        en.StackingEnsemble([("box", box)]).fit(X2, Y2)
    with pytest.raises(ValueError, match=f"BlackBoxWithProbabilities.*{message}"):
        en.measure_models({"box": box}, (X2, Y2), X2, progress=False)


@pytest.mark.parametrize("case", LABELS)
def test_bad_labels_are_refused_by_the_learners_name(case):
    labels, message = LABELS[case]
    with pytest.raises(ValueError, match=f"BlackBox.*{message}"):
        en.BaggingEnsemble(BlackBox(labels=labels), 2).fit(X2, Y2).predict(X2)
    with pytest.raises(ValueError, match=f"BlackBox.*{message}"):
        en.BoostingEnsemble(BlackBox(labels=labels), 2).fit(X2, Y2)


def test_scores_are_needed_where_a_meta_learner_is():
    with pytest.raises(TypeError, match="BlackBox has neither predict_proba nor decision_function"):
        en.StackingEnsemble([("box", BlackBox())]).fit(X2, Y2)
    bagged = en.BaggingEnsemble(BlackBox(), 3, random_state=0).fit(X2, Y2)  # there it votes
    assert (bagged.predict_proba(X2)[:, 0] == 1).all()
    voting = en.StackingEnsemble(PAIR, RidgeClassifier()).fit(X2, Y2)
    assert not hasattr(voting, "predict_proba") and len(voting.predict(X2)) == len(Y2)


def test_bad_scores_are_refused():
    class Scores(BlackBox):
        def decision_function(self, X):
            return np.full((len(X), 2), 0.5)

    with pytest.raises(ValueError, match="Scores must give finite scores of shape"):
        en.StackingEnsemble([("box", Scores())]).fit(X2, Y2)


def test_a_constant_base_learner_adds_nothing_to_a_stack():
    constant = ("constant", DummyClassifier())
    with_it = en.StackingEnsemble([*PAIR, constant]).fit(X2, Y2)
    without = en.StackingEnsemble(PAIR).fit(X2, Y2)
    assert np.allclose(with_it.predict_proba(X2), without.predict_proba(X2), atol=0.01)
    bagged = en.BaggingEnsemble(DummyClassifier(), 3, random_state=0).fit(X2, Y2)
    assert len(set(bagged.predict(X2))) == 1


@pytest.mark.parametrize(
    "ensemble", [en.BaggingEnsemble(), en.BoostingEnsemble(), en.StackingEnsemble(PAIR)]
)
def test_one_class_is_refused(ensemble):
    with pytest.raises(ValueError, match="at least two classes, got 1 class"):
        ensemble.fit(X2, np.zeros(len(X2)))


def test_inputs_are_never_changed():
    X, y = X2.copy(), Y2.copy()
    weights = STUMP.get_params()
    for model in (en.BaggingEnsemble(STUMP), en.BoostingEnsemble(STUMP), en.StackingEnsemble(PAIR)):
        model.fit(X, y).predict(X)
    assert (X == X2).all() and (y == Y2).all() and STUMP.get_params() == weights


# --- Bad input


def fit(model, X=X2, y=Y2):
    return lambda: model.fit(X, y)


FITTED = en.BoostingEnsemble(STUMP, 3).fit(X2[:, :2], Y2)
TINY = np.arange(4.0)[:, None], np.array([0, 1, 0, 1])
TWO_ROWS = np.arange(2.0)[:, None], np.arange(2.0)
SCORES = pd.DataFrame({"a": [0.1, 0.9]})
PARTS = {"bias2": 0.1, "variance": 0.2, "noise": 0.3, "error": 0.6}
MODELS = {"logistic": LogisticRegression()}
BAD_INPUT = {
    "p above 1": (lambda: en.majority_vote_accuracy(1.1, 3), "p must be"),
    "p missing": (lambda: en.majority_vote_accuracy(np.nan, 3), "p must be"),
    "no voters": (lambda: en.majority_vote_accuracy(0.7, 0), "n must be"),
    "too many voters": (lambda: en.majority_vote_accuracy(0.7, 10**30), "n must be"),
    "half a voter": (lambda: en.majority_vote_accuracy(0.7, 2.5), "n must be"),
    "correlation below 0": (lambda: en.majority_vote_accuracy(0.7, 3, -0.1), "correlation must"),
    "no such dependence": (lambda: en.majority_vote_accuracy(0.7, 3, 0, "x"), "dependence must"),
    "one model": (lambda: en.error_correlation([0, 1], [[0], [1]]), "at least 2 models"),
    "always right": (lambda: en.error_correlation([0, 1], [[0, 1], [1, 1]]), "always right"),
    "always wrong": (lambda: en.error_correlation([0, 1], [[1, 0], [0, 0]]), "always wrong"),
    "other length": (lambda: en.error_correlation([0, 1, 0], [[0, 1], [1, 1]]), "3 entries"),
    "two models of one name": (
        lambda: en.error_correlation([0, 1], pd.DataFrame([[0, 1], [0, 0]], columns=["a", "a"])),
        "predictions must name its columns apart, got 'a' twice",
    ),
    "labels missing": (lambda: en.error_correlation([0, None], [[0, 1], [1, 1]]), "y_true holds"),
    "no estimators": (fit(en.BaggingEnsemble(n_estimators=0)), "n_estimators must be"),
    "no learner": (fit(en.BaggingEnsemble("tree")), "a classifier or a regressor"),
    "a class as learner": (fit(en.BaggingEnsemble(GaussianNB)), "a classifier or a regressor"),
    "odd seed": (fit(en.BaggingEnsemble(random_state="x")), "random_state must be"),
    "lengths differ": (fit(en.BaggingEnsemble(), y=Y2[:5]), "inconsistent numbers of samples"),
    "a label missing": (fit(en.BaggingEnsemble(), y=np.full(300, np.nan)), "NaN"),
    "a text label missing": (fit(en.BaggingEnsemble(), y=["a", None] * 150), "150 labels are miss"),
    "a table without rows": (fit(en.BaggingEnsemble(), pd.DataFrame({"a": []}), []), "a row and"),
    "a table without columns": (fit(en.BaggingEnsemble(), pd.DataFrame(X2)[[]]), "a column at"),
    "R² of one row": (
        fit(en.BaggingEnsemble(LinearRegression(), 1, oob_score=True, random_state=0), *TWO_ROWS),
        "at least 2; there are",
    ),
    "rate of a million": (fit(en.BoostingEnsemble(learning_rate=1e6)), "at most 10, got"),
    "no rounds": (fit(en.BoostingEnsemble(n_estimators=0)), "n_estimators must be"),
    "rate of 0": (
        fit(en.BoostingEnsemble(learning_rate=0)),
        "learning_rate must be a number above 0",
    ),
    "boosted regressor": (fit(en.BoostingEnsemble(LinearRegression())), "must be a classifier"),
    "no sample_weight": (fit(en.BoostingEnsemble(KNeighborsClassifier())), "take sample_weight"),
    "no base learners": (fit(en.StackingEnsemble([])), "at least one"),
    "not pairs": (fit(en.StackingEnsemble([GaussianNB()])), "pairs of name and classifier"),
    "a name twice": (fit(en.StackingEnsemble([PAIR[0], PAIR[0]])), "distinct names"),
    "stacked regressor": (fit(en.StackingEnsemble([("a", LinearRegression())])), "be a classifier"),
    "folds that overlap": (
        fit(en.StackingEnsemble(PAIR, cv=[(np.arange(200), np.arange(150, 300))])),
        "score each row exactly once",
    ),
    "no folds": (fit(en.StackingEnsemble(PAIR, cv=[])), "score each row exactly once"),
    "a fold that is no array": (fit(en.StackingEnsemble(PAIR, cv=[(1, 2)])), "each row exactly"),
    "folds that leak": (
        fit(en.StackingEnsemble(PAIR, cv=[(np.arange(300), np.arange(300))])),
        "that is the leak",
    ),
    "folds of rows beyond": (
        fit(en.StackingEnsemble(PAIR, cv=[([300, 301], np.arange(300))])),
        "rows from 0 to 299",
    ),
    "a name that is a list": (fit(en.StackingEnsemble([(["a"], GaussianNB())])), "pairs of name"),
    "a regressor on top": (
        fit(en.StackingEnsemble(PAIR, LinearRegression())),
        "final_estimator must be a classifier",
    ),
    "a missing value": (
        lambda: en.plot_boosting_round(FITTED, np.full((300, 2), np.nan), Y2, 1),
        "X contains NaN",
    ),
    "labels of another kind": (
        lambda: en.plot_boosting_round(FITTED, X2[:, :2], np.where(Y2, "a", "b"), 1),
        r"labels \[0, 1\]",
    ),
    "three columns": (lambda: en.plot_boosting_round(FITTED, X2[:, :3], Y2, 1), "shape"),
    "no such round": (lambda: en.plot_boosting_round(FITTED, X2[:, :2], Y2, 4), "at most 3"),
    "round 0": (lambda: en.plot_boosting_round(FITTED, X2[:, :2], Y2, 0), "number must be"),
    "other rows": (lambda: en.plot_boosting_round(FITTED, X2[:9, :2], Y2[:9], 1), "of the fit"),
    "no booster": (lambda: en.plot_boosting_round(STUMP, X2, Y2, 1), "BoostingEnsemble"),
    "one repeat": (lambda: en.bias_variance(STUMP, draw, curve, repeats=1), "repeats must be"),
    "truth too short": (
        lambda: en.bias_variance(LinearRegression(), draw, lambda X: [1.0], repeats=2),
        r"truth\(X\) must have",
    ),
    "text predicted": (
        lambda: en.bias_variance(
            DummyRegressor(), draw, lambda X: np.array(["a"] * len(X)), repeats=2
        ),
        "must hold numbers",
    ),
    "no parts": (lambda: en.plot_bias_variance({}), "parts must hold"),
    "a part missing": (lambda: en.plot_bias_variance({"a": {"bias2": 1}}), "parts must hold"),
    "parts as text": (lambda: en.plot_bias_variance("a"), "parts must hold"),
    "parts of no model": (lambda: en.plot_bias_variance(PARTS), "parts must hold"),
    "noise missing": (
        lambda: en.plot_bias_variance({"a": PARTS | {"noise": np.nan}}),
        "parts: noise holds 1 missing",
    ),
    "a regressor measured": (
        lambda: en.measure_models({"a": LinearRegression()}, (X2, Y2), X2),
        "models: 'a' must be a classifier",
    ),
    "no pair": (lambda: en.measure_models(MODELS, X2, X2), "train must be a pair"),
    "a row as test": (lambda: en.measure_models(MODELS, (X2, Y2), X2[0]), "two dimensions"),
    "no test": (lambda: en.measure_models(MODELS, (X2, Y2), None), "two dimensions"),
    "no models": (lambda: en.measure_models({}, (X2, Y2), X2), "models must be"),
    "three classes": (lambda: en.measure_models(MODELS, (X3, Y3), X3), "two classes"),
    "no test rows": (lambda: en.measure_models(MODELS, (X2, Y2), X2[:0]), "a test row"),
    "no scores": (
        lambda: en.measure_models({"a": BlackBox()}, (X2, Y2), X2, progress=False),
        "neither predict_proba",
    ),
    "scores are no frame": (
        lambda: en.gain_over_first([0, 1], [[1, 2]], roc_auc_score),
        "scores must be a DataFrame",
    ),
    "scores too short": (
        lambda: en.gain_over_first([0, 1, 1], SCORES, roc_auc_score),
        "3 entries",
    ),
    "one class": (lambda: en.gain_over_first([1, 1], SCORES, roc_auc_score), "one class only"),
    "too few repeats": (
        lambda: en.gain_over_first([0, 1], SCORES, average_precision_score, repeats=5),
        "repeats must be",
    ),
    "scores of one name": (
        lambda: en.gain_over_first([0, 1], pd.concat([SCORES, SCORES], axis=1), roc_auc_score),
        "scores must name its columns apart",
    ),
    "a metric by name": (
        lambda: en.gain_over_first([0, 1], SCORES, "roc_auc"),
        "metric must be a function",
    ),
    "a metric that is missing": (
        lambda: en.gain_over_first([0, 1], SCORES, lambda y, score: np.nan),
        "what metric gives holds 1 missing",
    ),
    "one group": (
        lambda: en.gain_over_first([0, 1], SCORES, roc_auc_score, groups=[1, 1]),
        "at least 2 groups",
    ),
    "groups too short": (
        lambda: en.gain_over_first([0, 1], SCORES, roc_auc_score, groups=[1]),
        "groups must have",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_by_name(case):
    call, message = BAD_INPUT[case]
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_an_out_of_bag_score_needs_rows_that_were_left_out():
    class All(en.BaggingEnsemble):
        def _bootstraps(self, n, rng):
            return [np.arange(n)] * self.n_estimators

    with pytest.raises(ValueError, match="oob_score needs rows"):
        All(oob_score=True).fit(*TINY)


# --- Exercises: the mistakes that people make, and a word of the diagnosis that each must meet


def _majority(k_range, ways=True):
    from math import comb

    def attempt(p, n):
        return sum((comb(n, k) if ways else 1) * p**k * (1 - p) ** (n - k) for k in k_range(n))

    return attempt


def _oob(seen_votes=False, divide_by_all=False, nan=True):
    def attempt(votes, bootstraps):
        counted = np.array(
            [[(row in rows) == seen_votes for rows in bootstraps] for row in range(len(votes))]
        )
        n_models = counted.sum(axis=1)
        share = (votes * counted).sum(axis=1) / (
            votes.shape[1] if divide_by_all else np.maximum(n_models, 1)
        )
        return np.where((n_models > 0) | (not nan), share, np.nan)

    return attempt


def _reweigh(
    error=lambda w, wrong: w[wrong].sum(),
    say=lambda e: np.log((1 - e) / e),
    scale=True,
    heavier=True,
):
    def attempt(weights, wrong):
        a = say(error(weights, wrong))
        new = weights * np.exp(a * (wrong if heavier else ~wrong))
        return a, (new / new.sum() if scale else new)

    return attempt


def _signed(weights, wrong):
    e = weights[wrong].sum()
    a = np.log((1 - e) / e)
    new = weights * np.exp(np.where(wrong, a, -a))
    return a, new / new.sum()


def _in_fold(fit_score, X, y, folds):
    return fit_score(X, y, X)


def _in_fold_order(fit_score, X, y, folds):
    rest = [np.setdiff1d(np.arange(len(y)), rows) for rows in folds]
    return np.concatenate(
        [fit_score(X[r], y[r], X[rows]) for r, rows in zip(rest, folds, strict=True)]
    )


def _fits_the_fold(fit_score, X, y, folds):
    scores = np.empty(len(y))
    for rows in folds:
        rest = np.setdiff1d(np.arange(len(y)), rows)
        scores[rest] = fit_score(X[rows], y[rows], X[rest])
    return scores


def _other_labels(fit_score, X, y, folds):
    scores = np.empty(len(y))
    for rows in folds:
        rest = np.setdiff1d(np.arange(len(y)), rows)
        scores[rows] = fit_score(X[rest], y[: len(rest)], X[rows])
    return scores


def _nan_in_row_4(votes, bootstraps):
    return np.where(np.arange(len(votes)) == 4, np.nan, _oob(nan=False)(votes, bootstraps))


def _never_below_0(error):
    return max(np.log((1 - error) / error), 0)


def _by_half(weights, wrong):
    new = weights * np.where(wrong, 1.5, 1)
    return new / new.sum()


def _own_folds(fit_score, X, y, folds):
    own = np.array_split(np.arange(len(y)), len(folds))
    return np.concatenate([_in_fold_order(fit_score, X, y, own)])


def _one_call(fit_score, X, y, folds):
    rest = np.setdiff1d(np.arange(len(y)), folds[0])
    return np.resize(fit_score(X[rest], y[rest], X[folds[0]]), len(y))


WRONG_ANSWERS = {
    "majority": [
        (_majority(lambda n: [n // 2 + 1]), "exactly two of three"),
        (_majority(lambda n: [n]), "all three right"),
        (_majority(lambda n: range(n // 2 + 1, n + 1), ways=False), "3 ways"),
        (lambda p, n: p, "single voter"),
        (_majority(lambda n: range(n // 2, n + 1)), "with probability 0.784"),
        (lambda p, n: 0.784 if n == 3 and p == 0.7 else p, "For p = 0.4"),
        (lambda p, n: "0.784", "one number"),
        (lambda p, n: p**3 + 3 * p**2 * (1 - p) if n > 1 else p, "For p = 0.4"),
    ],
    "out_of_bag_vote": [
        (lambda votes, bootstraps: votes.mean(axis=1), "all models vote"),
        (_oob(seen_votes=True), "did see the row"),
        (_oob(divide_by_all=True), "not by the number of models"),
        (_oob(nan=False), "NaN is due"),
        (lambda votes, bootstraps: 0.5, "5 numbers"),
        (lambda votes, bootstraps: [1, 0.5, 2 / 3, 0, np.nan], "2 numbers"),
        (_nan_in_row_4, "1, nan, 1"),
        (lambda votes, bootstraps: _oob()(votes, bootstraps).astype(str), "not text"),
    ],
    "reweigh": [
        (_reweigh(error=lambda w, wrong: wrong.mean()), "Add up their weights"),
        (_reweigh(say=lambda e: np.log(e / (1 - e))), "wrong sign"),
        (_reweigh(say=lambda e: np.log((1 - e) / e) / 2), "another convention"),
        (_reweigh(scale=False), "not to 1"),
        (_reweigh(heavier=False), "to be heavier"),
        (_signed, "One half is due"),
        (lambda weights, wrong: _reweigh()(weights, wrong)[1], "two things"),
        (lambda weights, wrong: _reweigh()(weights, wrong)[::-1], "The say comes first"),
        (lambda weights, wrong: (_reweigh()(weights, wrong)[0], _by_half(weights, wrong)), "1/18"),
        (lambda weights, wrong: _reweigh(say=_never_below_0)(weights, wrong), "error of 0.6"),
    ],
    "out_of_fold": [
        (_in_fold, "that is the leak"),
        (_in_fold_order, "order of the rows"),
        (_fits_the_fold, "outside of one fold"),
        (_other_labels, "do not belong"),
        (lambda fit_score, X, y, folds: np.zeros(len(y)), "never called"),
        (_own_folds, "outside of one fold"),
        (_one_call, "not what fit_score gave"),
    ],
}


# --- Exercises: right answers of another kind


def _row_by_row(fit_score, X, y, folds):
    scores = [0.0] * len(y)
    for fold in folds:
        rest = [i for i in range(len(y)) if i not in fold]
        for i in fold:
            [scores[i]] = fit_score([X[j] for j in rest], [y[j] for j in rest], [X[i]])
    return scores


def _on_tables(fit_score, X, y, folds):
    X, y = pd.DataFrame(X), pd.Series(y)
    scores = pd.Series(0.0, index=X.index)
    for fold in folds:
        scores[fold] = fit_score(X.drop(fold), y.drop(fold), X.loc[fold])
    return scores


RIGHT_ANSWERS = {
    "majority": [
        lambda p, n: np.array(stats.binom.sf(n // 2, n, p)),
        lambda p, n: Fraction(stats.binom.sf(n // 2, n, p)),
    ],
    "out_of_bag_vote": [
        lambda votes, bootstraps: _oob()(votes, bootstraps).tolist(),
        lambda votes, bootstraps: pd.Series(_oob()(votes, bootstraps), range(len(votes), 0, -1)),
    ],
    "reweigh": [
        lambda weights, wrong: [np.array(_reweigh()(weights, wrong)[0]), *_lists(weights, wrong)],
        lambda weights, wrong: (_reweigh()(weights, wrong)[0], pd.Series(*_lists(weights, wrong))),
    ],
    "out_of_fold": [_row_by_row, _on_tables],
}


def _lists(weights, wrong):
    return [_reweigh()(weights, wrong)[1].tolist()]


@pytest.mark.parametrize("name", RIGHT_ANSWERS)
def test_right_answers_of_another_kind_are_accepted(name):
    for attempt in RIGHT_ANSWERS[name]:
        verdict = judge(f"ensembles.{name}", attempt)
        assert verdict.status == CORRECT, verdict.message
