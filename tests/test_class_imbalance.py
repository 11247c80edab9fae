"""Chapter 06 against known answers: closed forms, published figures, scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline
from imblearn.under_sampling import RandomUnderSampler
from scipy.special import expit, logit
from sklearn import metrics
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from mlsys_helpers import class_imbalance as ci

COLUMNS = ["method", "metric", "mean", "difference", "low", "high"]
COST = [[0, 400], [40, 0]]


@st.composite
def labels_and_scores(draw):
    """Both classes present, scores on a coarse grid so that ties are common."""
    labels = [0, 1, *draw(st.lists(st.integers(0, 1), min_size=1, max_size=30))]
    scores = draw(st_numpy.arrays(int, len(labels), elements=st.integers(0, 8)))
    return np.array(labels), scores / 8


@pytest.fixture(scope="module")
def rare():
    """A generated set whose truth is known: 4 % positives, logit-linear in three columns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 3))
    p = expit(X @ [1.5, 1.0, 0.0] - 4.4)
    return X, (rng.random(4000) < p).astype(int), p


# --- Metrics


def test_always_negative_has_accuracy_99_and_recall_0():
    y = np.array([0] * 99 + [1])
    lazy = DummyClassifier(strategy="most_frequent").fit(y[:, None], y)
    row = ci.threshold_table(y, lazy.predict_proba(y[:, None])[:, 1], [0.5]).iloc[0]
    assert row["accuracy"] == 0.99
    assert row["recall"] == row["precision"] == row["f1"] == 0


@given(labels_and_scores())
def test_threshold_table_is_scikit_learns(data):
    y_true, y_score = data
    table = ci.threshold_table(y_true, y_score)
    assert table["threshold"].tolist() == sorted(set(y_score.tolist()), reverse=True)
    for row in table.itertuples():
        y_pred = y_score >= row.threshold
        counts = metrics.confusion_matrix(y_true, y_pred).ravel().tolist()
        assert [row.tn, row.fp, row.fn, row.tp] == counts
        assert row.accuracy == pytest.approx(metrics.accuracy_score(y_true, y_pred))
        assert row.precision == pytest.approx(metrics.precision_score(y_true, y_pred))
        assert row.recall == pytest.approx(metrics.recall_score(y_true, y_pred))
        assert row.f1 == pytest.approx(metrics.f1_score(y_true, y_pred))
    fpr, tpr, _ = metrics.roc_curve(y_true, y_score, drop_intermediate=False)
    assert np.allclose(table["false_positive_rate"], fpr[1:])
    assert np.allclose(table["recall"], tpr[1:])


@given(labels_and_scores())
def test_a_lower_threshold_raises_both_rates(data):
    table = ci.threshold_table(*data)
    assert table["recall"].is_monotonic_increasing
    assert table["false_positive_rate"].is_monotonic_increasing


def test_f1_both_ways():
    table = ci.threshold_table([0, 1, 1, 0, 1], [0.9, 0.8, 0.4, 0.3, 0.2])
    precision, recall = table["precision"], table["recall"]
    harmonic = (2 * precision * recall / (precision + recall)).fillna(0)
    assert np.allclose(table["f1"], harmonic)


def test_given_thresholds_need_no_order_and_may_lie_outside():
    table = ci.threshold_table([0, 1], [0.2, 0.7], [0.5, 2.0, -1.0, np.inf, -np.inf])
    assert table["tp"].tolist() == [1, 0, 1, 0, 1]
    assert table["fp"].tolist() == [0, 0, 1, 0, 1]
    assert table["precision"].tolist() == [1.0, 0.0, 0.5, 0.0, 0.5]


@given(labels_and_scores(), st.sampled_from([0.2, 0.5, 0.9, 1.0]))
def test_choose_threshold_is_brute_force(data, at_least):
    y_true, y_score = data
    table = ci.threshold_table(y_true, y_score)
    candidates = table["threshold"].tolist()

    def measure(metric, threshold):
        return getattr(metrics, metric)(y_true, y_score >= threshold, zero_division=0)

    best_f1 = max(candidates, key=lambda t: (round(measure("f1_score", t), 12), t))
    assert ci.choose_threshold(y_true, y_score, "f1") == best_f1

    enough = [t for t in candidates if measure("recall_score", t) >= at_least]
    assert ci.choose_threshold(y_true, y_score, "recall", at_least=at_least) == max(enough)

    precise = [t for t in candidates if measure("precision_score", t) >= at_least]
    if precise:
        expected = max(precise, key=lambda t: (measure("recall_score", t), t))
        got = ci.choose_threshold(y_true, y_score, "precision", at_least=at_least)
        assert got == expected
    else:
        with pytest.raises(ValueError, match="at_least"):
            ci.choose_threshold(y_true, y_score, "precision", at_least=at_least)

    def cost(threshold):
        return ci.expected_cost(y_true, (y_score >= threshold).astype(int), COST)

    cheapest = min([np.inf, *candidates], key=lambda t: (round(cost(t), 9), -t))
    assert ci.choose_threshold(y_true, y_score, "cost", cost=COST) == cheapest


def test_never_predicting_positive_can_be_cheapest():
    for scale in (1, 0.1, 10):  # a tie, too, in whatever unit
        cost = np.array([[0, 9], [3, 0]]) * scale
        y_true, y_score = [0, 1, 0, 0], [0.15, 0.05, 0.1, 0.2]
        assert ci.choose_threshold(y_true, y_score, "cost", cost=cost) == np.inf
    ci.plot_roc(y_true, y_score, threshold=np.inf)  # and can be drawn


def test_the_plots_draw_what_the_metrics_say(rare):
    _, y, p = rare
    ax = ci.plot_confusion(y, p >= 0.2, labels=("no", "yes"))
    counts = [int(text.get_text().split()[1].replace(",", "")) for text in ax.texts]
    assert counts == metrics.confusion_matrix(y, p >= 0.2).ravel().tolist()

    ax = ci.plot_roc(y, p, label="model", threshold=0.2)
    fpr, tpr, _ = metrics.roc_curve(y, p, drop_intermediate=False)
    assert np.allclose(np.transpose(ax.lines[1].get_data()), np.c_[fpr, tpr])
    assert f"{metrics.roc_auc_score(y, p):.3f}" in "".join(t.get_text() for t in ax.texts)
    assert ax.get_xlabel() and ax.get_ylabel()

    ax = ci.plot_precision_recall(y, p, ax=ax, label="model", threshold=0.2)
    assert f"{metrics.average_precision_score(y, p):.3f}" in ax.texts[-1].get_text()
    assert ax.get_xlabel() == "recall"


# --- Data-level methods


def test_resampling_before_the_split_overstates_the_score(rare):
    X, y, _ = rare
    tree, sampler = DecisionTreeClassifier(random_state=0), RandomOverSampler(random_state=0)
    leaky = cross_val_score(tree, *sampler.fit_resample(X, y), scoring="f1").mean()
    honest = cross_val_score(make_pipeline(sampler, tree), X, y, scoring="f1").mean()
    assert leaky > 0.9 > 0.5 > honest


@given(
    st_numpy.arrays(float, 5, elements=st.floats(0, 1)),
    st.floats(0.01, 0.99),
    st.floats(0.01, 0.99),
)
def test_restore_base_rate_is_elkans_theorem_2(p, b, b_new):
    expected = b_new * (p - p * b) / (b - p * b + b_new * p - b * b_new)
    restored = ci.restore_base_rate(p, trained_rate=b, true_rate=b_new)
    assert np.allclose(restored, expected)
    back = ci.restore_base_rate(restored, trained_rate=b_new, true_rate=b)
    assert np.allclose(back, p)


def test_restore_base_rate_repairs_a_model_trained_on_equal_classes():
    rng = np.random.default_rng(1)
    y = (rng.random(200_000) < 0.03).astype(int)
    x = rng.normal(loc=y, scale=1)  # so that P(y = 1 | x) is known
    truth = expit(logit(0.03) + x - 0.5)
    believed = expit(x - 0.5)  # Bayes with equal classes
    restored = ci.restore_base_rate(believed, trained_rate=0.5, true_rate=0.03)
    assert np.allclose(restored, truth)
    standard_error = np.sqrt(0.03 * 0.97 / len(y))
    assert abs(restored.mean() - y.mean()) < 3 * standard_error


class _Diary:
    """A classifier that writes down what it is given."""

    def __init__(self, pages=None):
        self.pages = pages

    def get_params(self, deep=True):
        return {"pages": self.pages}

    def set_params(self, **params):
        self.pages = params["pages"]
        return self

    def partial_fit(self, X, y, classes):
        self.seen = [*getattr(self, "seen", []), np.bincount(y).tolist()]
        return self


def test_two_phases_resampled_rows_first_then_the_rows_as_they_are(rare):
    X, y, _ = rare
    diary = _Diary()
    fitted = ci.two_phase_fit(diary, X, y, RandomUnderSampler(random_state=0), epochs=(2, 3))
    positives = int(y.sum())
    assert fitted.seen == [[positives] * 2] * 2 + [np.bincount(y).tolist()] * 3
    assert not hasattr(diary, "seen")


def test_with_one_phase_only_it_is_partial_fit(rare):
    X, y, _ = rare
    plain = SGDClassifier(loss="log_loss", random_state=0)
    fitted = ci.two_phase_fit(plain, X, y, RandomUnderSampler(random_state=0), epochs=(0, 3))
    for _ in range(3):
        plain.partial_fit(X, y, classes=[0, 1])
    assert np.array_equal(fitted.coef_, plain.coef_)


def test_the_second_phase_mends_the_probabilities(rare):
    X, y, _ = rare
    network = ci.NetworkClassifier(random_state=0)
    sampler = RandomOverSampler(random_state=0)
    means = [
        ci.two_phase_fit(network, X, y, sampler, epochs).predict_proba(X)[:, 1].mean()
        for epochs in ((12, 0), (12, 8))
    ]
    assert means[0] > 4 * y.mean()
    assert means[1] == pytest.approx(y.mean(), rel=0.25)


def test_dynamic_shares_follow_the_published_rule():
    y = np.repeat(["a", "b", "c"], [60, 30, 10])
    sampler = ci.DynamicSampler(random_state=0)
    rows = sampler.sample(y)
    assert len(rows) == 33  # the mean size of the classes
    assert sorted(sampler.shares_.values()) == [1 / 3] * 3
    y_true, y_pred = list("aabbcc"), list("aabacb")
    f1 = metrics.f1_score(y_true, y_pred, labels=["a", "b", "c"], average=None)
    sampler.update(y_true, y_pred)
    expected = (1 - f1) / (1 - f1).sum()
    assert np.allclose(list(sampler.shares_.values()), expected)


@given(st.integers(1, 500), st.integers(0, 2**32 - 1))
def test_a_dynamic_draw_has_its_size_and_its_shares(size, seed):
    y = np.repeat([0, 1, 2], [80, 15, 5])
    sampler = ci.DynamicSampler(sample_size=size, random_state=seed)
    sampler.sample(y)
    sampler.update([0, 1, 2, 2], [0, 1, 1, 2])
    rows = sampler.sample(y)
    assert len(rows) == size
    counts = np.bincount(y[rows], minlength=3)
    assert (np.abs(counts - size * np.array(list(sampler.shares_.values()))) <= 1).all()
    assert np.array_equal(
        np.sort(ci.DynamicSampler(size, seed).sample(y)),
        np.sort(ci.DynamicSampler(size, seed).sample(y)),
    )


def test_dynamic_sampling_takes_labels_of_any_type():
    for y in (list("aab"), np.array([0.5, 0.5, 1.5]), np.array([0, 1, 1], dtype=object)):
        sampler = ci.DynamicSampler(random_state=0)
        sampler.sample(y)
        assert list(sampler.update(y, y).shares_) == sorted(set(np.asarray(y).tolist()))


def test_a_perfect_model_brings_equal_shares_back():
    sampler = ci.DynamicSampler(random_state=0)
    sampler.sample([0, 0, 1])
    assert sampler.update([0, 1], [0, 1]).shares_ == {0: 0.5, 1: 0.5}


# --- Algorithm-level methods


def test_costs_by_hand():
    assert ci.expected_cost([0, 0, 1, 1], [0, 1, 0, 1], [[1, 8], [4, 2]]) == (1 + 4 + 8 + 2) / 4
    three = [[0, 1, 10], [1, 0, 1], [2, 1, 0]]
    proba = [[0.5, 0.3, 0.2], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]]
    # row one: 0.3 + 2.0 = 2.3 against 0.7 against 1.3
    assert ci.minimum_cost_predict(proba, three).tolist() == [1, 1, 2]


@given(st.floats(0, 1), st_numpy.arrays(float, (2, 2), elements=st.integers(0, 50)))
def test_minimum_cost_predict_is_elkans_threshold(p, cost):
    (c00, c01), (c10, c11) = cost
    if c10 <= c00 or c01 <= c11:
        with pytest.raises(ValueError, match="cost must make a wrong prediction dearer"):
            ci.minimum_cost_threshold(cost)
        return
    threshold = ci.minimum_cost_threshold(cost)
    assert threshold == pytest.approx((c10 - c00) / (c10 - c00 + c01 - c11))
    if abs(p - threshold) > 1e-9:
        assert ci.minimum_cost_predict([[1 - p, p]], cost)[0] == int(p > threshold)


def test_on_calibrated_scores_the_formula_finds_the_cheapest_threshold():
    rng = np.random.default_rng(2)
    p = rng.beta(0.3, 4, size=400_000)
    y = (rng.random(len(p)) < p).astype(int)
    best = ci.minimum_cost_threshold(COST)
    cost_at = {t: ci.expected_cost(y, (p >= t).astype(int), COST) for t in (best / 2, best, 0.5)}
    found = ci.choose_threshold(y, p, "cost", cost=COST)
    assert min(cost_at, key=cost_at.get) == best
    assert found == pytest.approx(best, abs=0.02)


def test_inverse_frequency_is_scikit_learns_balanced_times_the_classes():
    y = np.repeat([3, 5, 9], [70, 20, 10])
    balanced = compute_class_weight("balanced", classes=np.array([3, 5, 9]), y=y)
    assert np.allclose(list(ci.inverse_frequency_weights(y).values()), 3 * balanced)


@pytest.mark.parametrize(
    ("n", "beta", "expected"),
    [(100, 0.999, 95.208), (1_000, 0.999, 632.305), (5_000, 0.9999, 3_934.845), (7, 0, 1)],
)
def test_effective_number_as_published(n, beta, expected):
    assert ci.effective_number(n, beta) == pytest.approx(expected, abs=5e-4)


@given(st.integers(1, 10_000), st.floats(0, 0.9999))
def test_effective_number_is_the_geometric_sum(n, beta):
    powers = beta ** np.arange(n)
    assert ci.effective_number(n, beta) == pytest.approx(powers.sum(), rel=1e-6)


def test_effective_number_tends_to_n():
    assert ci.effective_number(250, 1) == 250
    assert ci.effective_number(250, 1 - 1e-9) == pytest.approx(250, rel=1e-5)


def test_class_balanced_weights_and_their_limits():
    y = np.repeat([0, 1], [900, 100])
    assert ci.class_balanced_weights(y, 0) == {0: 1, 1: 1}
    inverse = ci.inverse_frequency_weights(y)
    at_one = ci.class_balanced_weights(y, 1)
    assert at_one[1] / at_one[0] == pytest.approx(inverse[1] / inverse[0])
    weights = ci.class_balanced_weights(y, 0.999)
    expected = np.array([1 / ci.effective_number(n, 0.999) for n in (900, 100)])
    assert np.allclose(list(weights.values()), 2 * expected / expected.sum())


def test_focal_loss_as_published():
    cross_entropy = ci.focal_loss([1, 1], [0.9, 0.968], gamma=0)
    focal = ci.focal_loss([1, 1], [0.9, 0.968], gamma=2)
    ratio = cross_entropy / focal
    assert ratio[0] == pytest.approx(100)
    assert ratio[1] == pytest.approx(1000, rel=0.03)


probabilities = st_numpy.arrays(float, 6, elements=st.floats(0.001, 0.999))


@given(probabilities)
def test_gamma_0_is_cross_entropy(p):
    y = np.array([0, 1, 0, 1, 0, 1])
    assert ci.focal_loss(y, p, gamma=0).mean() == pytest.approx(metrics.log_loss(y, p))
    assert np.allclose(ci.focal_loss_gradient(y, p, gamma=0), p - y)


@given(probabilities, st.floats(0, 5), st.sampled_from([None, 0.25, 0.9]))
def test_the_gradient_is_the_finite_difference(p, gamma, alpha):
    y, x, step = np.array([0, 1, 0, 1, 0, 1]), logit(p), 1e-5
    above, below = (ci.focal_loss(y, expit(x + d), gamma, alpha) for d in (step, -step))
    gradient = ci.focal_loss_gradient(y, p, gamma, alpha)
    assert np.allclose(gradient, (above - below) / (2 * step), rtol=1e-4, atol=1e-7)


@given(probabilities, st.floats(0, 5), st.sampled_from([None, 0.25, 0.9]))
def test_the_torch_loss_is_the_numpy_loss(p, gamma, alpha):
    y = np.array([0, 1, 0, 1, 0, 1])
    logits = torch.tensor(logit(p), requires_grad=True)
    target = torch.tensor(y, dtype=torch.float64)
    loss = ci.FocalLoss(gamma, alpha, reduction="none")(logits, target)
    assert np.allclose(loss.detach(), ci.focal_loss(y, p, gamma, alpha))
    loss.sum().backward()
    assert np.allclose(logits.grad, ci.focal_loss_gradient(y, p, gamma, alpha), atol=1e-9)
    for reduction in ("mean", "sum"):
        reduced = ci.FocalLoss(gamma, alpha, reduction)(logits, target)
        assert reduced.item() == pytest.approx(getattr(loss, reduction)().item())


@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2])
def test_the_torch_loss_stays_finite_far_out(gamma):
    logits = torch.tensor([200.0, -200.0, 200.0, -200.0], requires_grad=True)
    target = torch.tensor([1.0, 1.0, 0.0, 0.0])
    ci.FocalLoss(gamma)(logits, target).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[1] < 0 < logits.grad[2]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.float64])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_targets_come_in_any_dtype(dtype, alpha):
    logits, target = torch.tensor([2.0, -2.0, 0.5]), torch.tensor([1, 0, 0])
    expected = ci.focal_loss(target.numpy(), expit(logits.double().numpy()), 2, alpha).mean()
    got = ci.FocalLoss(2, alpha)(logits, target.to(dtype))
    assert got.item() == pytest.approx(expected, rel=1e-5)


def test_gamma_0_is_torchs_loss():
    logits, target = torch.linspace(-3, 3, 8), torch.tensor([0.0, 1.0] * 4)
    ours, theirs = ci.FocalLoss(gamma=0), torch.nn.BCEWithLogitsLoss()
    assert ours(logits, target).item() == pytest.approx(theirs(logits, target).item())


@parametrize_with_checks([ci.NetworkClassifier(steps=100, batch_size=16, learning_rate=0.02)])
def test_the_network_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


def test_the_network_learns_what_can_be_learned(rare):
    X, y, p = rare
    network = ci.NetworkClassifier(steps=1000, random_state=0).fit(X[:3000], y[:3000])
    learned = metrics.roc_auc_score(y[3000:], network.predict_proba(X[3000:])[:, 1])
    best = metrics.roc_auc_score(y[3000:], p[3000:])
    assert learned > best - 0.03


def test_the_network_leaves_torchs_random_numbers_alone(rare):
    X, y, _ = rare
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    ci.NetworkClassifier(steps=1, random_state=0).fit(X, y)
    assert torch.rand(1) == expected


# --- All methods side by side


def test_equal_methods_differ_by_nothing(rare):
    X, y, _ = rare
    methods = {"one": LogisticRegression(), "other": lambda X, y: LogisticRegression().fit(X, y)}
    table = ci.compare_imbalance_methods(methods, X, y, progress=False)
    other = table[table["method"] == "other"]
    assert (other[["difference", "low", "high"]] == 0).all(axis=None)


def test_every_method_gets_the_same_rows_and_groups_stay_together(rare):
    X, y, _ = rare
    groups = np.arange(len(y)) // 10
    X = np.column_stack([X, np.arange(len(y))])
    seen = {"first": [], "second": []}

    class Spy(LogisticRegression):
        def predict_proba(self, X):
            self.tested_.append(set(X[:, -1].astype(int) // 10))
            return super().predict_proba(X[:, :3])

    def method(name):
        def fit(X, y):
            spy = Spy().fit(X[:, :3], y)
            rows = set(X[:, -1].astype(int) // 10)
            spy.tested_ = []
            seen[name].append((rows, spy.tested_))
            return spy

        return fit

    methods = {name: method(name) for name in seen}
    ci.compare_imbalance_methods(methods, X, y, groups=groups, folds=4, progress=False)
    assert seen["first"] == seen["second"]
    for fitted, (chosen, tested) in seen["first"]:
        assert not fitted & chosen and not fitted & tested and not chosen & tested
        assert fitted | chosen | tested == set(groups)
    assert set.union(*(tested for _, (_, tested) in seen["first"])) == set(groups)


def test_the_interval_is_the_corrected_t():
    differences = pd.Series([0.1, 0.3, 0.2, 0.4, 0.0])
    # by hand: variance 0.025, factor 1/5 + 1/4 = 0.45, t(0.975, 4) = 2.776445
    expected = 2.776445 * np.sqrt(0.45 * 0.025)
    assert ci._corrected_half_width(differences, test_to_fit=0.25) == pytest.approx(
        expected, rel=1e-6
    )


def test_resampling_helps_at_one_half_and_spoils_the_probabilities(rare):
    X, y, _ = rare
    methods = {
        "as it is": LogisticRegression(),
        "undersampling": make_pipeline(RandomUnderSampler(random_state=0), LogisticRegression()),
    }
    table = ci.compare_imbalance_methods(methods, X, y, progress=False)
    table = table[table["method"] == "undersampling"].set_index("metric")
    assert table["low"]["brier"] > 0
    assert table["low"]["average_precision"] < 0 < table["high"]["average_precision"]
    assert np.allclose(table["high"] - table["difference"], table["difference"] - table["low"])


def test_the_comparison_is_drawn_method_by_method(rare):
    X, y, _ = rare
    methods = {name: LogisticRegression(C=c) for name, c in {"a": 1, "b": 0.1, "c": 10}.items()}
    table = ci.compare_imbalance_methods(methods, X, y, progress=False)
    ax = ci.plot_method_comparison(table, "brier")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c"]


# --- Bad input

Y, P = np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.4, 0.6])
X4 = np.arange(8.0).reshape(4, 2)
LOGISTIC, SGD, UNDER = LogisticRegression(), SGDClassifier(), RandomUnderSampler()
PROBA = np.column_stack([1 - P, P])


def _drawn(y):
    """A dynamic sampler that has seen these labels, and takes strings as lists of labels."""
    sampler = ci.DynamicSampler(random_state=0)
    sampler.sample(list(y))
    update = sampler.update
    sampler.update = lambda y_true, y_pred: update(list(y_true), list(y_pred))
    return sampler


class _Constant:
    """A fitted model whose probabilities are what it is given."""

    def __init__(self, proba, classes=(0, 1)):
        self.predict_proba = lambda X: proba
        self.classes_ = np.array(classes)


def _compare(method, **options):
    X, y = np.zeros((40, 2)), np.arange(40) % 2
    methods = {"good": LOGISTIC, "bad": method}
    ci.compare_imbalance_methods(methods, X, y, folds=2, progress=False, **options)


BAD_INPUT = {
    "empty labels": (ci.threshold_table, ([], []), "y_true is empty"),
    "scalar": (ci.threshold_table, (1, 0.5), "y_true"),
    "None": (ci.threshold_table, (None, P), "y_true"),
    "one class": (ci.threshold_table, ([1, 1], [0.1, 0.2]), "y_true holds one class"),
    "other labels": (ci.threshold_table, ([1, 2], [0.1, 0.2]), "y_true.*2"),
    "labels -1 and 1": (ci.threshold_table, ([-1, 1], [0.1, 0.2]), "y_true.*-1"),
    "text labels": (ci.threshold_table, (["no", "yes"], [0.1, 0.2]), "y_true.*no"),
    "missing label": (ci.threshold_table, ([0, 1, None], P[:3]), "y_true holds 1 missing"),
    "NaN label": (ci.threshold_table, ([0, 1, np.nan], P[:3]), "y_true holds 1 missing"),
    "two columns": (ci.threshold_table, (PROBA, P), "y_true.*dimension"),
    "score of two columns": (ci.threshold_table, (Y, PROBA), "y_score.*dimension"),
    "NaN score": (ci.threshold_table, (Y, [0.1, np.nan, 0.2, 0.3]), "y_score"),
    "infinite score": (ci.threshold_table, (Y, [0.1, np.inf, 0.2, 0.3]), "y_score"),
    "text score": (ci.threshold_table, (Y, list("abcd")), "y_score.*numbers"),
    "length": (ci.threshold_table, (Y, P[:3]), "y_score must have 4"),
    "dates as scores": (ci.threshold_table, (Y, pd.date_range("2020", periods=4)), "y_score"),
    "numbers as text": (ci.restore_base_rate, (["0.5"], 0.5, 0.1), "proba must hold numbers"),
    "masked label": (
        ci.threshold_table,
        (np.ma.array([0, 1, 1], mask=[0, 0, 1]), P[:3]),
        "y_true holds 1 missing",
    ),
    "ragged scores": (ci.threshold_table, ([0, 1], [[1], 2]), "y_score"),
    "complex scores": (ci.threshold_table, ([0, 1], [1j, 2]), "y_score"),
    "huge scores": (ci.threshold_table, ([0, 1], [1, 10**400]), "y_score"),
    "at_least without use": (ci.choose_threshold, (Y, P), {"at_least": 0.9}, "at_least is of no"),
    "cost without use": (ci.choose_threshold, (Y, P), {"cost": COST}, "cost is of no use"),
    "color": (ci.plot_roc, (Y, P), {"color": "C0"}, "color must be one of"),
    "threshold as text": (ci.plot_roc, (Y, P), {"threshold": "0.5"}, "threshold must hold numbers"),
    "empty thresholds": (ci.threshold_table, (Y, P, []), "thresholds is empty"),
    "objective": (ci.choose_threshold, (Y, P, "f2"), "objective.*'f2'"),
    "no at_least": (ci.choose_threshold, (Y, P, "recall"), "at_least.*None"),
    "no cost": (ci.choose_threshold, (Y, P, "cost"), "cost"),
    "confusion labels": (ci.plot_confusion, (Y, Y, None, ("a",)), "labels"),
    "confusion lengths": (ci.plot_confusion, (Y, Y[:2]), "y_pred"),
    "roc": (ci.plot_roc, ([0, 0], [0.1, 0.2]), "y_true"),
    "precision-recall": (ci.plot_precision_recall, (Y, P[:1]), "y_score"),
    "proba above 1": (ci.restore_base_rate, ([1.2], 0.5, 0.1), "proba.*1.2"),
    "rate of 0": (ci.restore_base_rate, ([0.5], 0.0, 0.1), "trained_rate"),
    "rate of 1": (ci.restore_base_rate, ([0.5], 0.5, 1), "true_rate"),
    "NaN rate": (ci.restore_base_rate, ([0.5], 0.5, np.nan), "true_rate"),
    "no partial_fit": (ci.two_phase_fit, (LOGISTIC, X4, Y, UNDER), "estimator.*partial_fit"),
    "no fit_resample": (ci.two_phase_fit, (SGD, X4, Y, LOGISTIC), "sampler.*fit_resample"),
    "two-phase one class": (ci.two_phase_fit, (SGD, X4, [1] * 4, UNDER), "y must hold"),
    "two-phase NaN": (ci.two_phase_fit, (SGD, X4 * np.nan, Y, UNDER), "X contains NaN"),
    "one epoch": (ci.two_phase_fit, (SGD, X4, Y, UNDER, 3), "epochs"),
    "no epochs": (ci.two_phase_fit, (SGD, X4, Y, UNDER, (0, 0)), "epochs must not both"),
    "sampler class": (ci.two_phase_fit, (SGD, X4, Y, RandomUnderSampler), "sampler must be"),
    "two-phase lengths": (ci.two_phase_fit, (SGD, X4, Y[:3], UNDER), "y must have 4"),
    "negative seed": (ci.DynamicSampler, (None, -1), "random_state"),
    "missing among text": (ci.DynamicSampler().sample, (["a", np.nan, "b"],), "y holds 1 missing"),
    "mixed labels": (
        ci.DynamicSampler().sample,
        (np.array(["a", 1], dtype=object),),
        "y must hold labels of one type",
    ),
    "class without validation": (
        _drawn("aabbcc").update,
        ("aabb", "aabb"),
        "y_true must hold each",
    ),
    "unknown prediction": (_drawn("aabb").update, ("aabb", "aabc"), "y_pred no other"),
    "negative epochs": (ci.two_phase_fit, (SGD, X4, Y, UNDER, (1, -1)), "epochs"),
    "sample size": (ci.DynamicSampler, (0,), "sample_size"),
    "dynamic one class": (ci.DynamicSampler().sample, ([1, 1],), "y must hold"),
    "dynamic missing": (ci.DynamicSampler().sample, ([0, 1, None],), "y holds 1 missing"),
    "update first": (ci.DynamicSampler().update, ([0, 1], [0, 1]), "sample first"),
    "cost shape": (ci.expected_cost, (Y, Y, [[0, 1, 2], [1, 0, 2]]), "cost"),
    "cost NaN": (ci.expected_cost, (Y, Y, [[0, np.nan], [1, 0]]), "cost"),
    "cost text": (ci.expected_cost, (Y, Y, [["a", 1], [1, 0]]), "cost"),
    "unknown class": (ci.expected_cost, (Y, Y + 1, COST), "y_pred"),
    "fraction as class": (ci.expected_cost, (P, Y, COST), "y_true"),
    "proba of one column": (ci.minimum_cost_predict, (P, COST), "proba.*shape"),
    "proba sums": (ci.minimum_cost_predict, (PROBA * 0.9, COST), "proba.*sum"),
    "proba NaN": (ci.minimum_cost_predict, (PROBA * np.nan, COST), "proba"),
    "errors cost nothing": (ci.minimum_cost_threshold, ([[0, 0], [1, 0]],), "cost"),
    "three classes": (ci.minimum_cost_threshold, (np.ones((3, 3)),), "cost.*2"),
    "weights of one class": (ci.inverse_frequency_weights, ([1, 1],), "y must hold"),
    "weights of nothing": (ci.inverse_frequency_weights, ([],), "y is empty"),
    "beta": (ci.effective_number, (10, 1.1), "beta.*1.1"),
    "beta NaN": (ci.effective_number, (10, np.nan), "beta"),
    "n": (ci.effective_number, (0, 0.9), "n must"),
    "balanced beta": (ci.class_balanced_weights, (Y, -0.1), "beta"),
    "balanced missing": (ci.class_balanced_weights, ([0, np.nan], 0.9), "y holds 1 missing"),
    "gamma": (ci.focal_loss, (Y, P, -1), "gamma"),
    "alpha": (ci.focal_loss, (Y, P, 2, 1), "alpha"),
    "p above 1": (ci.focal_loss, (Y, P + 1), "p must"),
    "p length": (ci.focal_loss_gradient, (Y, P[:2]), "p must have 4"),
    "torch gamma": (ci.FocalLoss, (-1,), "gamma"),
    "torch alpha": (ci.FocalLoss, (2, 0), "alpha"),
    "torch reduction": (ci.FocalLoss, (2, None, "max"), "reduction"),
    "torch target": (ci.FocalLoss(), (torch.zeros(2), torch.tensor([1.0, 2.0])), "target"),
    "torch list": (ci.FocalLoss(), (torch.zeros(2), [1, 0]), "target must be a torch tensor"),
    "torch numpy": (ci.FocalLoss(), (np.zeros(2), torch.zeros(2)), "logits must be a torch"),
    "complex gamma": (ci.focal_loss, (Y, P, np.complex128(2)), "gamma must be a number"),
    "a span of time": (ci.focal_loss, (Y, P, np.timedelta64(2)), "gamma must be a number"),
    "torch shapes": (ci.FocalLoss(), (torch.zeros(3), torch.zeros(3, 1)), "target"),
    "no methods": (ci.compare_imbalance_methods, ({}, X4, Y), "methods"),
    "methods as a list": (ci.compare_imbalance_methods, ([LOGISTIC], X4, Y), "methods"),
    "method is a class": (_compare, (LogisticRegression,), r"methods\['bad'\]"),
    "method is nothing": (_compare, (None,), r"methods\['bad'\]"),
    "no probabilities": (_compare, (Perceptron(),), r"methods\['bad'\].*predict_proba"),
    "other classes": (_compare, (lambda X, y: _Constant(0, "ab"),), r"methods\['bad'\].*classes"),
    "three columns": (
        _compare,
        (lambda X, y: _Constant(np.ones((len(X), 3))),),
        r"\['bad'\].*shape",
    ),
    "None as probabilities": (_compare, (lambda X, y: _Constant(None),), r"\['bad'\].*shape"),
    "too few groups": (_compare, (LOGISTIC,), {"groups": np.arange(40) % 3}, "folds=2.*groups"),
    "too many folds": (
        ci.compare_imbalance_methods,
        ({"a": LOGISTIC}, np.zeros((40, 1)), np.arange(40) % 2),
        {"folds": 30},
        "folds=30 needs at least 30",
    ),
    "X is nothing": (ci.compare_imbalance_methods, ({"a": LOGISTIC}, None, Y), "X must be a table"),
    "table": (ci.plot_method_comparison, (None, "brier"), "table must be"),
    "rows": (ci.compare_imbalance_methods, ({"a": LOGISTIC}, X4[:3], Y), "y must have 3"),
    "metric": (
        ci.plot_method_comparison,
        (pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"metric": "brier"}]), "auc"),
        "metric.*'auc'",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_by_name(case):
    function, args, *options, message = BAD_INPUT[case]
    with pytest.raises((ValueError, TypeError), match=message):
        function(*args, **(options[0] if options else {}))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("hidden", 0),
        ("steps", 0),
        ("batch_size", 0.5),
        ("learning_rate", 0),
        ("learning_rate", 1e300),
        ("random_state", "a"),
        ("loss", "focal"),
        ("loss", ci.FocalLoss),
        ("loss", ci.FocalLoss(reduction="none")),
    ],
)
def test_the_network_refuses_parameters_by_name(parameter, value):
    with pytest.raises((ValueError, TypeError), match=parameter):
        ci.NetworkClassifier(**{parameter: value}).fit(X4 * 1e3, Y)


def test_the_network_refuses_a_change_on_the_way():
    network = ci.NetworkClassifier().partial_fit(X4, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="classes must stay"):
        network.partial_fit(X4, Y, classes=[5, 6])
    with pytest.raises(ValueError, match="batch_size"):
        network.set_params(batch_size=0).partial_fit(X4, Y)
    with pytest.raises(ValueError, match="classes must hold at least two"):
        ci.NetworkClassifier().partial_fit(X4, Y, classes=[0])


def test_inputs_are_never_changed(rare):
    X, y, p = (array.copy() for array in rare)
    proba, cost = np.column_stack([1 - p, p]), np.array(COST)
    everything = (X, y, p, proba, cost)
    before = [array.copy() for array in everything]
    for array in everything:
        array.flags.writeable = False
    ci.threshold_table(y, p)
    ci.choose_threshold(y, p, "cost", cost=cost)
    ci.restore_base_rate(p, 0.5, 0.1)
    ci.minimum_cost_predict(proba, cost)
    ci.focal_loss_gradient(y, p)
    ci.class_balanced_weights(y)
    ci.DynamicSampler(random_state=0).sample(y)
    ci.two_phase_fit(ci.NetworkClassifier(), X, y, RandomUnderSampler(random_state=0), (1, 1))
    ci.compare_imbalance_methods({"a": LogisticRegression()}, X, y, progress=False)
    assert all(map(np.array_equal, everything, before))


def test_labels_may_come_as_booleans_series_or_lists():
    expected = ci.threshold_table(Y, P)
    for labels in (Y.astype(bool), Y.tolist(), pd.Series(Y, index=[9, 9, 3, 1]), pd.array(Y)):
        pd.testing.assert_frame_equal(ci.threshold_table(labels, P), expected)


# --- Exercises: the mistakes that people make, and a word of the diagnosis that each must meet


def _swapped(y_true, y_pred):
    tp = ((y_true == 1) & (y_pred == 1)).sum()
    return tp / y_true.sum(), tp / y_pred.sum()


def _of_all_rows(y_true, y_pred):
    tp = ((y_true == 1) & (y_pred == 1)).sum()
    return tp / y_pred.sum(), tp / len(y_true)


def _divides_by_zero(y_true, y_pred):
    tp = int(((y_true == 1) & (y_pred == 1)).sum())
    return tp / int(y_pred.sum()), tp / int(y_true.sum())


def _only_precision(y_true, y_pred):
    return ((y_true == 1) & (y_pred == 1)).sum() / y_pred.sum()


def _lowest(y_true, y_score, min_recall):
    return y_score.min()


def _strictly_above(y_true, y_score, min_recall):
    for threshold in np.unique(y_score)[::-1]:
        if (y_score[y_true == 1] > threshold).mean() >= min_recall:
            return threshold


def _share_of_all(y_true, y_score, min_recall):
    for threshold in np.unique(y_score)[::-1]:
        if (y_score >= threshold).mean() >= min_recall:
            return threshold


def _in_row_order(y_true, y_score, min_recall):
    for threshold in y_score[::-1]:
        if (y_score[y_true == 1] >= threshold).mean() >= min_recall:
            return threshold


def _grow(X, y, rng):
    rare = np.flatnonzero(y == 1)
    rows = np.r_[np.arange(len(y)), rng.choice(rare, (y == 0).sum() - len(rare))]
    return X[rows], y[rows]


def _draws_from_all(X, y, is_test, rng):
    rows, rare = np.flatnonzero(~is_test), np.flatnonzero(y == 1)
    missing = (y[rows] == 0).sum() - (y[rows] == 1).sum()
    rows = np.r_[rows, rng.choice(rare, missing)]
    return X[rows], y[rows], X[is_test], y[is_test]


def _balances_the_test_too(X, y, is_test, rng):
    return *_grow(X[~is_test], y[~is_test], rng), *_grow(X[is_test], y[is_test], rng)


def _undersamples(X, y, is_test, rng):
    rows = np.flatnonzero(~is_test)
    rare = rows[y[rows] == 1]
    rows = np.r_[rare, rng.choice(rows[y[rows] == 0], len(rare), replace=False)]
    return X[rows], y[rows], X[is_test], y[is_test]


def _forgets_to_oversample(X, y, is_test, rng):
    return X[~is_test], y[~is_test], X[is_test], y[is_test]


def _negative(y, p, gamma):
    p_t = np.where(y == 1, p, 1 - p)
    return (1 - p_t) ** gamma * np.log(p_t)


WRONG_ANSWERS = {
    "precision_recall": [
        (_swapped, "swapped"),
        (_of_all_rows, "not of all rows"),
        (_divides_by_zero, "ZeroDivisionError"),
        (_only_precision, "two numbers"),
    ],
    "highest_threshold": [
        (_lowest, "takes all rows"),
        (_strictly_above, "equals"),
        (_share_of_all, "positive rows only"),
        (_in_row_order, "order of the rows"),
    ],
    "oversample_after_split": [
        (_draws_from_all, "Test rows are among"),
        (_balances_the_test_too, "stay as they are"),
        (_undersamples, "are gone"),
        (_forgets_to_oversample, "not equal"),
    ],
    "cheapest_threshold": [
        (lambda cost: cost[1, 0] / cost[0, 1], "ratio of the two costs"),
        (lambda cost: cost[0, 1] / (cost[0, 1] + cost[1, 0]), "lower"),
        (lambda cost: cost[1, 0] / (cost[0, 1] + cost[1, 0]), "not always 0"),
    ],
    "focal": [
        (_negative, "not negative"),
        (lambda y, p, gamma: -((1 - p) ** gamma) * np.log(p), "class 0"),
        (lambda y, p, gamma: -y * (1 - p) ** gamma * np.log(p), "have a loss, too"),
        (
            lambda y, p, gamma: (
                -(np.where(y == 1, p, 1 - p) ** gamma) * np.log(np.where(y == 1, p, 1 - p))
            ),
            "easy",
        ),
        (
            lambda y, p, gamma: (
                -((1 - np.where(y == 1, p, 1 - p)) ** gamma) * np.log10(np.where(y == 1, p, 1 - p))
            ),
            "base 10",
        ),
        (lambda y, p, gamma: -np.log(np.where(y == 1, p, 1 - p)).mean(), "each row"),
    ],
}
