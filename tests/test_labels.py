"""Chapter 05 against known answers: published tables, planted truths, libraries."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from mlsys_helpers import datasets
from mlsys_helpers import labels as lb
from mlsys_helpers.datasets import load_airports, load_flights, load_posts

GOOD = [[0.9, 0.1], [0.1, 0.9]]
BIASED = [[0.5, 0.5], [0.02, 0.98]]
CARELESS = [[0.6, 0.4], [0.4, 0.6]]

# Krippendorff (2011), "Computing Krippendorff's alpha-reliability", section C: 4 observers, 12
# units, values 1 to 5, gaps.
_K = -1
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _K, _K, _K],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _K, 3],
        [_K, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _K],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _K],
    ]
).T

# Dawid and Skene (1979), table 1: fitness of 45 patients for surgery, classes 1 to 4, by five
# anaesthetists, the first of whom saw each form three times (the first three digits).
ANAESTHETISTS = (
    "1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 "
    "2322223 4444444 2223343 1111111 2223212 1211111 1112111 1111111 1111111 "
    "2222221 2221322 2222222 2222221 2223222 2212222 1111111 1111111 2322222 "
    "1111111 1111111 1121121 1111111 3333233 1111111 2222222 2223232 4334343 "
    "2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222"
)


def anaesthetists():
    ratings = np.array([[int(digit) - 1 for digit in patient] for patient in ANAESTHETISTS.split()])
    votes = np.full((45, 5, 3), -1)
    votes[:, 0, :] = ratings[:, :3]
    votes[:, 1:, 0] = ratings[:, 3:]
    return votes


@pytest.fixture(scope="module")
def flights():
    return load_flights()


@pytest.fixture(scope="module")
def posts():
    return load_posts()


# --- Natural labels


def test_arrivals_agree_with_every_clock_of_the_data(flights):
    airports = load_airports()
    arrived = lb.arrival_times(flights, airports)
    zones = flights["dest"].map(airports.set_index("faa")["tzone"]).fillna("America/Puerto_Rico")
    strange = []
    for zone in zones.unique():
        own = arrived[(zones == zone) & arrived.notna()].dt.tz_convert(zone)
        clock = flights["arr_time"][own.index] % 2400  # midnight is 2400 there
        strange += own[own.dt.hour * 100 + own.dt.minute != clock].dt.date.astype(str).tolist()
    assert strange == ["2013-03-10"]  # 2:03 in the night that had no hour from 2 to 3
    assert (arrived.isna() == flights["arr_time"].isna()).all()
    scheduled = flights["time_hour"] + pd.to_timedelta(flights["minute"], unit="min")
    left = scheduled + pd.to_timedelta(flights["dep_delay"], unit="min")
    on_ground = (arrived - left) / pd.Timedelta("1min") - flights["air_time"]
    assert on_ground.min() > 0 and on_ground.max() < 4 * 60  # taxiing, not a wrong time zone


def test_the_share_of_premature_negatives_falls_to_0(flights):
    predicted = flights["time_hour"] - pd.Timedelta("2h")
    arrived = lb.arrival_times(flights, load_airports())
    late = flights["arr_delay"] > 60
    shares = []
    for hours in (2, 5, 8, 12, 24, 48):
        labels = lb.natural_labels(predicted, arrived[late], f"{hours}h")["label"]
        assert (labels[~late] == 0).all()
        shares.append(1 - labels.sum() / late.sum())
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1 and shares[-1] == 0


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.none() | st.integers(0, 50)), min_size=1),
    st.integers(1, 60),
    st.integers(0, 120),
)
def test_natural_labels_by_brute_force(pairs, window, now):
    start, hour = pd.Timestamp("2013-01-01"), pd.Timedelta("1h")
    events = pd.Series([start + made * hour for made, _ in pairs])
    outcomes = pd.Series(
        [pd.NaT if wait is None else start + (made + wait) * hour for made, wait in pairs],
        dtype="datetime64[ns]",
    )
    found = lb.natural_labels(events, outcomes, window * hour, now=start + now * hour)
    for (made, wait), label in zip(pairs, found["label"], strict=True):
        seen = wait is not None and wait <= window
        known = made + (wait if seen else window)
        assert pd.isna(label) if known > now else label == int(seen)
    final = lb.natural_labels(events, outcomes, window * hour)["label"]
    assert final.notna().all()
    wider = lb.natural_labels(events, outcomes, (window + 5) * hour)["label"]
    assert (wider >= final).all()  # a longer window only finds more


# --- Agreement


def test_cohen_by_hand():
    votes = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [20, 5, 10, 15], axis=0)
    assert lb.agreement(votes, "percent") == pytest.approx(0.7)
    assert lb.agreement(votes, "cohen") == pytest.approx(0.4)


votes_of_two = st_numpy.arrays(int, (20, 2), elements=st.integers(0, 3))
votes_of_four = st_numpy.arrays(int, (15, 4), elements=st.integers(0, 2))


@given(votes_of_two)
def test_cohen_is_scikit_learns(votes):
    if len(np.unique(votes)) > 1:
        expected = cohen_kappa_score(votes[:, 0], votes[:, 1])
        assert lb.agreement(votes, "cohen") == pytest.approx(expected)


@given(votes_of_four)
def test_fleiss_is_statsmodels(votes):
    if len(np.unique(votes)) > 1:
        expected = fleiss_kappa(aggregate_raters(votes)[0])
        assert lb.agreement(votes, "fleiss") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("level", "alpha"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_krippendorffs_textbook_example(level, alpha):
    assert lb.agreement(KRIPPENDORFF, level=level) == pytest.approx(alpha, abs=5e-4)


def test_krippendorff_leaves_out_what_cannot_be_compared():
    alone = np.full((3, 4), -1)
    alone[:, 2] = 5
    assert lb.agreement(np.vstack([KRIPPENDORFF, alone])) == lb.agreement(KRIPPENDORFF)


@given(votes_of_four, st.permutations(range(4)))
def test_the_order_of_annotators_does_not_matter(votes, order):
    if len(np.unique(votes)) > 1:
        for measure in ("krippendorff", "fleiss"):
            assert lb.agreement(votes[:, order], measure) == pytest.approx(
                lb.agreement(votes, measure)
            )


def test_perfect_agreement_is_1_and_that_of_chance_0():
    same = np.repeat(np.arange(30) % 3, 4).reshape(30, 4)
    for measure in ("krippendorff", "fleiss", "percent"):
        assert lb.agreement(same, measure) == pytest.approx(1)
    rng = np.random.default_rng(0)
    guesses = rng.integers(3, size=(20_000, 4))
    assert abs(lb.agreement(guesses)) < 4 / np.sqrt(20_000 * 6)  # 6 pairs an item
    assert abs(lb.agreement(guesses, "fleiss")) < 4 / np.sqrt(20_000 * 6)


def test_clear_rules_raise_agreement_even_wrong_ones(flights):
    delay = flights["arr_delay"].dropna().to_numpy()[:3000, None]
    delay = delay + np.random.default_rng(0).normal(scale=5, size=(3000, 3))
    vague = lb.agreement(delay > [15, 30, 60])
    for rule in (60, 120):
        assert lb.agreement(delay > [rule] * 3) > vague + 0.2


# --- Votes, majority, made-up annotators


def test_a_table_becomes_an_array_with_gaps_repeats_and_silent_annotators():
    table = pd.DataFrame(
        {"item": ["x", "y", "x", "x"], "annotator": ["b", "a", "a", "b"], "label": [1, 2, 0, 2]}
    )
    votes, items, annotators = lb.vote_array(table)
    assert items.tolist() == ["x", "y"] and annotators.tolist() == ["a", "b"]
    assert votes.tolist() == [[[0, -1], [1, 2]], [[2, -1], [-1, -1]]]
    table["annotator"] = pd.Categorical(table["annotator"], ["a", "b", "never"])
    votes, _, annotators = lb.vote_array(table.iloc[:3])
    assert annotators.tolist() == ["a", "b", "never"]
    assert votes.tolist() == [[0, 1, -1], [2, -1, -1]]


@settings(deadline=None)
@given(st_numpy.arrays(int, (6, 3, 2), elements=st.integers(-1, 3)))
def test_table_and_array_are_the_same_votes(votes):
    if (votes == -1).all():
        return
    item, annotator, turn = np.nonzero(votes != -1)
    table = pd.DataFrame(
        {"item": item, "annotator": annotator, "label": votes[item, annotator, turn]}
    )
    back, items, annotators = lb.vote_array(table)
    back = back[:, :, None] if back.ndim == 2 else back
    for i, row in zip(items, back, strict=True):
        for a, cast in zip(annotators, row, strict=True):
            assert cast[cast != -1].tolist() == votes[i, a][votes[i, a] != -1].tolist()


def test_majority_by_hand_and_ties_by_lot():
    votes = [[2, 2, 0], [-1, 1, -1], [-1, -1, -1]]
    assert lb.majority_vote(votes).tolist() == [2, 1, -1]
    ties = lb.majority_vote(np.tile([0, 1], (10_000, 1)), random_state=1)
    assert abs(ties.mean() - 0.5) < 4 * 0.5 / 100
    assert np.array_equal(ties, lb.majority_vote(np.tile([0, 1], (10_000, 1)), random_state=1))


def test_made_up_annotators_err_as_they_should():
    truth = np.repeat([0, 1, 2], 20_000)
    confusion = np.array([[[0.7, 0.2, 0.1], [0, 1, 0], [0.25, 0.25, 0.5]], np.eye(3)])
    votes = lb.simulate_annotators(truth, confusion, [0.5, 1], repeats=0.2, random_state=0)
    assert votes.shape == (60_000, 2, 2)
    assert np.array_equal(votes[:, 1, 0], truth)
    assert abs((votes[:, 0, 0] >= 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(60_000)
    again = (votes[:, :, 1] >= 0) & (votes[:, :, 0] >= 0)
    assert not ((votes[:, :, 1] >= 0) & (votes[:, :, 0] < 0)).any()
    assert abs(again[:, 1].mean() - 0.2) < 4 * 0.4 / np.sqrt(60_000)
    for true in range(3):
        own = votes[truth == true, 0, 0]
        found = np.bincount(own[own >= 0], minlength=3) / (own >= 0).sum()
        assert np.abs(found - confusion[0, true]).max() < 4 * 0.5 / np.sqrt(10_000)


# --- Dawid and Skene


def test_dawid_and_skenes_own_patients():
    model = lb.DawidSkene().fit(anaesthetists())
    # table 4 of the paper: how common the four classes are
    assert np.abs(model.class_prior_ - [0.40, 0.42, 0.11, 0.07]).max() < 0.006
    assert model.confusion_.shape == (5, 4, 4)


def test_em_is_that_of_the_paper_in_plain_loops():
    votes = anaesthetists()
    counts = np.array([[[(a == k).sum() for k in range(4)] for a in row] for row in votes])
    proba = counts.sum(axis=1) / counts.sum(axis=(1, 2))[:, None]
    for _ in range(30):
        prior = proba.mean(axis=0)
        confusion = np.zeros((5, 4, 4))
        for a in range(5):
            for j in range(4):
                for k in range(4):
                    confusion[a, j, k] = (proba[:, j] * counts[:, a, k]).sum()
                confusion[a, j] /= confusion[a, j].sum()
        for i in range(45):
            for j in range(4):
                proba[i, j] = prior[j] * np.prod(confusion[:, j, :] ** counts[i])
            proba[i] /= proba[i].sum()
    with pytest.warns(ConvergenceWarning, match="30 steps"):
        model = lb.DawidSkene(max_iter=30, tol=0).fit(votes)
    assert np.allclose(model.confusion_, confusion, atol=1e-9)
    assert np.allclose(model.predict_proba(votes), proba, atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@settings(max_examples=60, deadline=None)
@given(st_numpy.arrays(int, (25, 4, 2), elements=st.integers(-1, 2)))
def test_the_log_likelihood_never_falls(votes):
    if (votes == -1).all():
        return
    for estimator in (lb.DawidSkene(max_iter=200), lb.LabelModel(max_iter=200)):
        model = estimator.fit(votes if isinstance(estimator, lb.DawidSkene) else _first(votes))
        assert (np.diff(model.log_likelihood_) > -1e-8).all()
        assert np.allclose(model.confusion_.sum(axis=2), 1)
        assert np.allclose(model.class_prior_.sum(), 1)


def _first(votes):
    """The first vote where there is one; an array that holds at least one vote."""
    return np.where(votes[:, :, 0] >= 0, votes[:, :, 0], votes[:, :, 1])


def test_planted_confusion_matrices_are_recovered():
    truth = np.random.default_rng(0).choice(3, p=[0.5, 0.3, 0.2], size=20_000)
    planted = np.array(
        [
            [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.05, 0.05, 0.9]],
            [[0.9, 0.1, 0.0], [0.3, 0.7, 0.0], [0.1, 0.1, 0.8]],
            [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]],
            [[0.95, 0.0, 0.05], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]],
            [[0.7, 0.15, 0.15], [0.0, 0.9, 0.1], [0.1, 0.1, 0.8]],
        ]
    )
    votes = lb.simulate_annotators(truth, planted, coverage=0.8, random_state=1)
    model = lb.DawidSkene().fit(votes)
    assert np.abs(model.confusion_ - planted).max() < 0.03
    assert np.abs(model.class_prior_ - [0.5, 0.3, 0.2]).max() < 0.02
    inferred = (model.predict(votes) == truth).mean()
    assert inferred > (lb.majority_vote(votes) == truth).mean() + 0.01


@pytest.mark.parametrize("seed", range(5))
def test_a_biased_and_a_careless_annotator_are_seen_through(seed):
    truth = np.random.default_rng(seed).integers(2, size=3000)
    planted = np.array([GOOD, GOOD, CARELESS, BIASED, GOOD])
    coverage = [0.5, 0.5, 0.8, 0.8, 0.0]  # the last one never votes
    votes = lb.simulate_annotators(truth, planted, coverage, repeats=0.1, random_state=seed)
    model = lb.DawidSkene().fit(votes)
    assert np.abs(model.confusion_ - planted)[:4].max() < 0.1
    assert (model.confusion_[4] == 0.5).all()
    voted = (votes >= 0).any(axis=(1, 2))
    right = (model.predict(votes) == truth)[voted].mean()
    assert right > (lb.majority_vote(votes) == truth)[voted].mean() + 0.02


def test_an_annotator_who_never_votes_changes_nothing():
    votes = lb.simulate_annotators(np.arange(500) % 2, [GOOD, CARELESS, BIASED], random_state=0)
    silent = np.column_stack([votes, np.full(500, -1)])
    plain, other = lb.DawidSkene().fit(votes), lb.DawidSkene().fit(silent)
    assert np.allclose(plain.predict_proba(votes), other.predict_proba(silent))


def test_a_repeated_vote_counts_as_a_vote():
    votes = np.array([[[1, 1], [0, -1]], [[0, -1], [0, -1]], [[1, -1], [1, -1]]])
    assert lb.majority_vote(votes).tolist() == [1, 0, 1]
    model = lb.DawidSkene(class_prior=[0.5, 0.5], max_iter=500).fit(votes[1:])
    model.confusion_ = np.array([[[0.8, 0.2], [0.3, 0.7]], [[0.6, 0.4], [0.1, 0.9]]])
    one, two = 0.7**2 * 0.1, 0.2**2 * 0.6  # twice 1 by the first, once 0 by the second
    assert model.predict_proba(votes[:1])[0, 1] == pytest.approx(one / (one + two))


def test_items_without_a_vote_get_the_prior():
    votes = lb.simulate_annotators(np.arange(90) % 3, [np.eye(3) * 0.7 + 0.1] * 3, random_state=0)
    model = lb.DawidSkene().fit(np.vstack([votes, np.full((5, 3), -1)]))
    assert np.allclose(model.class_prior_, lb.DawidSkene().fit(votes).class_prior_)
    assert np.allclose(model.predict_proba(np.full((2, 3), -1)), model.class_prior_)


def test_a_shared_misreading_cannot_be_seen():
    truth = np.random.default_rng(0).integers(2, size=4000)
    hard = np.random.default_rng(1).random(4000) < 0.3
    misread = np.where(hard, 1, truth)
    votes = lb.simulate_annotators(misread, [GOOD] * 5, random_state=2)
    model = lb.DawidSkene().fit(votes)
    assert model.predict_proba(votes).max(axis=1).mean() > 0.97
    assert (model.predict(votes) == truth).mean() < 0.87


# --- Data lineage


def project(seed, bad=True):
    """A generated project: 2,500 labels, eight annotators, three channels, three rules."""
    rng = np.random.default_rng(seed)
    errors = [BIASED if bad and who == 6 else GOOD for who in range(8)]
    who = rng.integers(8, size=2500)
    votes = lb.simulate_annotators(rng.integers(2, size=2500), errors, random_state=rng)
    return pd.DataFrame(
        {
            "label": votes[np.arange(2500), who],
            "annotator": np.array(list("abcdefgh"))[who],
            "channel": rng.choice(["app", "web", "phone"], 2500),
            "rule": rng.choice(["v1", "v2", "v3"], 2500),
        }
    )


BY = ["annotator", "channel", "rule"]


@pytest.mark.parametrize("bad", [True, False])
def test_the_planted_annotator_is_flagged_and_none_other_at_5_percent(bad):
    found = innocent = 0
    for seed in range(200):
        audit = lb.audit_lineage(project(seed, bad), "label", BY)
        flagged = set(audit.loc[audit["flagged"], "value"])
        found += "g" in flagged
        innocent += bool(flagged - ({"g"} if bad else set()))
    if bad:
        assert found == 200
    assert innocent <= stats.binom.ppf(0.999, 200, 0.05)


def test_a_flagged_source_is_set_aside_before_the_others_are_judged():
    frame = project(0)
    frame.loc[frame["annotator"] == "g", "channel"] = "phone"  # the bias now shows in the channel
    audit = lb.audit_lineage(frame, "label", BY)
    assert audit.loc[audit["flagged"], "value"].tolist() == ["g"]


def test_the_audit_tells_what_is_odd():
    frame = pd.DataFrame({"label": ["no", "yes"] * 200, "who": ["ann"] * 300 + ["bob"] * 100})
    frame.loc[frame["who"] == "bob", "label"] = ["yes"] * 80 + ["no"] * 20
    audit = lb.audit_lineage(frame, "label", "who")
    bob = audit.iloc[0]
    assert (bob["value"], bob["rows"], bob["flagged"]) == ("bob", 100, True)
    assert (bob["share"], bob["elsewhere"]) == ((0.8, 0.5) if bob["label"] == "yes" else (0.2, 0.5))
    p = stats.chi2_contingency([[20, 80], [150, 150]]).pvalue
    assert bob["p_value"] == pytest.approx(2 * p)  # two sources, Bonferroni
    assert not audit["flagged"][1] and np.isnan(audit["p_value"][1])  # nothing left to compare


def test_small_sources_are_not_judged():
    frame = pd.DataFrame({"label": [0, 1] * 100 + [1] * 15, "who": ["a"] * 200 + ["b"] * 15})
    audit = lb.audit_lineage(frame, "label", "who")
    assert audit["p_value"].isna().all() and not audit["flagged"].any()
    assert lb.audit_lineage(frame, "label", "who", min_rows=10)["flagged"].any()


# --- Weak supervision

TEXTS = pd.DataFrame(
    {"text": ["Refund now", "refunds", "is there a refund?", None], "key": [1, 2, None, 9]}
)


def test_keywords_are_whole_words_in_any_case():
    assert lb.keyword_lf(["refund"], 1)(TEXTS).tolist() == [1, -1, 1, -1]
    assert lb.keyword_lf(["is there", "C++"], 0)(TEXTS).tolist() == [-1, -1, 0, -1]


def test_an_expression_may_vote_where_it_is_not_found():
    lf = lb.regex_lf(r"\?$", 0, otherwise=1, name="asks")
    assert lf(TEXTS).tolist() == [1, 1, 0, -1]
    assert lf.name == "asks"


def test_look_ups_abstain_where_they_find_nothing():
    for table in ({1: 1, 2: 0}, pd.Series([1, 0], index=[1, 2])):
        assert lb.lookup_lf(table, "key")(TEXTS).tolist() == [1, 0, -1, -1]


def test_a_model_votes_where_it_is_sure():
    model = LogisticRegression().fit([[-1.0], [1.0]], [3, 7])
    frame = pd.DataFrame({"x": [-9.0, 0.1, 9.0]})
    assert lb.model_lf(model, ["x"], 0.9)(frame).tolist() == [3, -1, 7]
    assert lb.model_lf(model, ["x"], 0.5)(frame).tolist() == [3, 7, 7]
    named = LogisticRegression().fit(pd.DataFrame({"x": [-1.0, 1.0]}), [0, 1])
    assert lb.model_lf(named, ["x"])(frame).tolist() == [0, -1, 1]


def test_the_decorator_with_and_without_parentheses():
    @lb.labeling_function
    def short(row):
        return 1 if len(str(row.text)) < 8 else -1

    @lb.labeling_function("by another name")
    def other(row):
        return 0

    assert (short.name, other.name) == ("short", "by another name")
    votes = lb.apply_lfs([short, other], TEXTS)
    assert votes.columns.tolist() == ["short", "by another name"]
    assert votes.to_numpy().tolist() == [[-1, 0], [1, 0], [-1, 0], [1, 0]]


@settings(deadline=None)
@given(st_numpy.arrays(int, (12, 4), elements=st.integers(-1, 2)), st.integers(0, 2**32))
def test_the_summary_by_brute_force(votes, seed):
    y = np.random.default_rng(seed).integers(-1, 3, size=12)
    summary = lb.lf_summary(votes, y)
    for j, row in summary.reset_index(drop=True).iterrows():
        cast = [i for i in range(12) if votes[i, j] >= 0]
        others = {i: [v for k, v in enumerate(votes[i]) if k != j and v >= 0] for i in cast}
        assert row["labels"] == sorted({int(votes[i, j]) for i in cast})
        assert row["coverage"] * 12 == pytest.approx(len(cast))
        assert row["overlap"] * 12 == pytest.approx(sum(bool(others[i]) for i in cast))
        conflict = sum(any(v != votes[i, j] for v in others[i]) for i in cast)
        assert row["conflict"] * 12 == pytest.approx(conflict)
        known = [i for i in cast if y[i] >= 0]
        assert row["judged"] == len(known)
        if known:
            assert row["accuracy"] == pytest.approx(np.mean([votes[i, j] == y[i] for i in known]))
        else:
            assert np.isnan(row["accuracy"])


ACCURACIES = np.array([0.9, 0.8, 0.7, 0.65, 0.6])


def symmetric(accuracies):
    return [[[a, 1 - a], [1 - a, a]] for a in accuracies]


@pytest.mark.parametrize("seed", range(5))
def test_planted_accuracies_are_recovered_within_2_percent(seed):
    truth = np.random.default_rng(seed).integers(2, size=10_000)
    votes = lb.simulate_annotators(truth, symmetric(ACCURACIES), 0.8, random_state=seed)
    model = lb.LabelModel().fit(votes)
    sample = lb.lf_summary(votes, truth)["accuracy"]  # what the functions did on these rows
    assert np.abs(model.accuracies_ - ACCURACIES).max() < 0.02
    assert np.abs(model.accuracies_ - sample).max() < 0.02
    covered = (votes >= 0).any(axis=1)
    right = (model.predict(votes) == truth)[covered].mean()
    assert right >= (lb.majority_vote(votes) == truth)[covered].mean()


def test_functions_that_vote_for_one_class_only():
    rng = np.random.default_rng(0)
    truth = (rng.random(10_000) < 0.4).astype(int)
    votes = np.full((10_000, 6), -1)
    for j, (label, if_right, if_wrong) in enumerate(
        [(1, 0.5, 0.05), (1, 0.4, 0.1), (1, 0.6, 0.2), (0, 0.5, 0.1), (0, 0.6, 0.1), (0, 0.3, 0.05)]
    ):
        fires = rng.random(10_000) < np.where(truth == label, if_right, if_wrong)
        votes[fires, j] = label
    model = lb.LabelModel().fit(votes)
    assert np.abs(model.accuracies_ - lb.lf_summary(votes, truth)["accuracy"]).max() < 0.04
    covered = (votes >= 0).any(axis=1)
    right = (model.predict(votes) == truth)[covered].mean()
    assert right >= (lb.majority_vote(votes) == truth)[covered].mean()


def test_the_label_model_is_bayes_on_what_it_learned():
    votes = lb.simulate_annotators(np.arange(2000) % 2, symmetric(ACCURACIES), 0.7, random_state=3)
    model = lb.LabelModel(class_prior=[0.5, 0.5]).fit(votes)
    for row, proba in zip(votes[:50], model.predict_proba(votes[:50]), strict=True):
        joint = [
            0.5 * np.prod([model.confusion_[j, c, vote] for j, vote in enumerate(row)])
            for c in (0, 1)  # -1 is the last column: to abstain
        ]
        assert np.allclose(proba, np.array(joint) / sum(joint))


def test_copies_of_a_function_break_the_label_model():
    truth = np.random.default_rng(0).integers(2, size=10_000)
    honest = lb.simulate_annotators(truth, symmetric([0.75, 0.75, 0.75]), random_state=1)
    copied = lb.simulate_annotators(truth, symmetric([0.6]), random_state=2)
    model = lb.LabelModel(class_prior=[0.5, 0.5])
    alone = model.fit(np.hstack([honest, copied])).predict(np.hstack([honest, copied])) == truth
    votes = np.hstack([honest, copied.repeat(4, axis=1)])
    right = (model.fit(votes).predict(votes) == truth).mean()
    assert model.accuracies_[3:].min() > 0.95  # it believes them, and they are right on 60 %
    assert right < 0.65 < 0.8 < alone.mean()


def posts_functions(flights):
    """Labeling functions for posts: all four kinds, and one of our own."""
    trouble = (flights["arr_delay"] > 60) | flights["dep_time"].isna()
    fate = pd.concat(
        [trouble[trouble].astype(int), trouble[flights["arr_delay"] < -15].astype(int)]
    )
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    hotel = load_posts(2000, kind="hotel", random_state=1)
    mood = make_pipeline(TfidfVectorizer(), LogisticRegression())
    mood.fit(hotel["text"], hotel["complaint"])

    @lb.labeling_function("money")
    def money(post):
        return 1 if "?" not in post.text and ("refund" in post.text or "paid" in post.text) else -1

    return [
        lb.keyword_lf(["thank you", "cannot wait", "photo"], 0),
        lb.keyword_lf(["stuck", "waiting", "delay", "delayed"], 1),
        lb.regex_lf(r"(can|what|is|how|does)\b[^.?]*\?", 0, name="asks"),
        lb.lookup_lf(fate, "flight"),
        lb.model_lf(mood, "text", threshold=0.7),
        money,
    ]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_end_model_goes_where_no_function_fires(flights, seed):
    from sklearn.feature_extraction.text import TfidfVectorizer

    posts, lfs = load_posts(random_state=seed), posts_functions(flights)
    train, test = posts[:4000], posts[4000:]
    votes, test_votes = lb.apply_lfs(lfs, train), lb.apply_lfs(lfs, test)
    covered = (votes >= 0).any(axis=1)
    model = lb.LabelModel().fit(votes)
    majority = (lb.majority_vote(votes) == train["complaint"])[covered].mean()
    assert (model.predict(votes) == train["complaint"])[covered].mean() >= majority

    words = TfidfVectorizer().fit(train["text"])
    X, labels = words.transform(train["text"][covered]), model.predict(votes[covered])
    end_model = LogisticRegression().fit(X, labels)
    silent = ~(test_votes >= 0).any(axis=1)
    y = test["complaint"][silent]
    by_label_model = (model.predict(test_votes[silent]) == y).mean()
    by_end_model = (end_model.predict(words.transform(test["text"][silent])) == y).mean()
    assert silent.sum() > 200
    assert by_end_model > by_label_model + 0.15


# --- What both models owe to scikit-learn (check_estimator does not apply: X is votes)


@pytest.mark.parametrize("model", [lb.DawidSkene, lb.LabelModel])
def test_the_conventions_of_scikit_learn(model):
    votes = lb.simulate_annotators(np.arange(300) % 2, [GOOD] * 3, 0.8, random_state=0)
    estimator = model(class_prior=[0.4, 0.6], max_iter=500, tol=1e-8)
    assert estimator.get_params() == {
        "n_classes": None,
        "class_prior": [0.4, 0.6],
        "max_iter": 500,
        "tol": 1e-8,
    }
    assert clone(estimator).get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        estimator.predict(votes)
    assert estimator.fit(votes, y=None) is estimator
    assert estimator.class_prior == [0.4, 0.6]  # stored untouched
    assert estimator.n_features_in_ == 3 and estimator.classes_.tolist() == [0, 1]
    assert estimator.n_iter_ == len(estimator.log_likelihood_)
    again = pickle.loads(pickle.dumps(estimator))
    assert np.array_equal(again.predict_proba(votes), estimator.predict_proba(votes))
    assert np.array_equal(estimator.fit_predict(votes), estimator.predict(votes))
    frame = pd.DataFrame(votes)
    assert np.array_equal(clone(estimator).fit(frame).predict(frame), estimator.predict(votes))
    assert np.allclose(estimator.predict_proba(votes).sum(axis=1), 1)
    estimator.set_params(n_classes=4, class_prior=None).fit(votes)
    assert estimator.predict_proba(votes).shape == (300, 4)


# --- Semi-supervision


def test_labels_bear_shaking_as_often_as_the_normal_distribution_says():
    model = LogisticRegression().fit([[-1.0], [1.0]], [0, 1])  # decides at 0
    X = np.full((20_000, 1), 0.5)

    def shake(X, rng):
        return X + rng.normal(size=X.shape)

    labels, share = lb.perturbation_labels(model, X, shake, copies=3, random_state=0)
    p = stats.norm.cdf(0.5)  # one copy stays on its side
    assert abs(share.mean() - p) < 4 * np.sqrt(p * (1 - p) / 60_000)
    kept = (labels == 1).mean()
    assert abs(kept - p**3) < 4 * np.sqrt(p**3 * (1 - p**3) / 20_000)
    assert set(labels) == {-1, 1}
    again, _ = lb.perturbation_labels(model, X, shake, copies=3, random_state=0)
    assert np.array_equal(labels, again)


def test_without_a_change_every_label_is_kept():
    X, y = datasets.load_breast_cancer()
    model = LogisticRegression(max_iter=10_000).fit(X.to_numpy(), y)
    labels, share = lb.perturbation_labels(model, X, lambda X, rng: X)
    assert np.array_equal(labels, model.predict(X.to_numpy())) and (share == 1).all()


def test_kept_labels_are_better_than_the_others():
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=2000).fit(X[:60], y[:60])
    labels, share = lb.perturbation_labels(
        model, X[60:], lambda X, rng: X + rng.normal(scale=3, size=X.shape), random_state=0
    )
    right = model.predict(X[60:]) == y[60:]
    kept = labels != -1
    assert 0.2 < kept.mean() < 0.95
    assert right[kept].mean() > right[~kept].mean() + 0.15
    assert ((share == 1) == kept).all()


def test_a_trial_is_repeated_for_every_size_and_seed():
    table = lb.curve_over_seeds(lambda n, seed: {"a": n + seed, "b": 0}, [10, 20], seeds=[3, 5])
    assert table["score"][table["method"] == "a"].tolist() == [13, 15, 23, 25]
    assert len(table) == 8 and table["seed"].unique().tolist() == [3, 5]
    assert len(lb.curve_over_seeds(lambda n, seed: {"a": 0}, [1])) == 10


def test_curves_are_drawn_as_mean_and_band():
    table = pd.DataFrame(
        [
            {"method": method, "seed": seed, "labels": n, "score": seed / 10 + n}
            for method in "ab"
            for seed in range(11)
            for n in (1, 2)
        ]
    )
    ax = lb.plot_learning_curves(table)
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    assert np.allclose(ax.lines[0].get_ydata(), [1.5, 2.5])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(1.1) and band.max() == pytest.approx(2.9)
    assert ax.get_xlabel() == "labels" and ax.get_ylabel() == "score"


# --- Active learning

FIVE = np.array(
    [
        [0.48, 0.47, 0.03, 0.01, 0.01],
        [0.40, 0.15, 0.15, 0.15, 0.15],
        [0.39, 0.30, 0.29, 0.01, 0.01],
        [0.90, 0.04, 0.03, 0.02, 0.01],
    ]
)


def test_five_classes_by_hand():
    assert np.allclose(lb.uncertainty(FIVE, "least_confidence"), [0.52, 0.60, 0.61, 0.10])
    assert np.allclose(lb.uncertainty(FIVE, "margin"), [0.99, 0.75, 0.91, 0.14])
    entropy = [-(row * np.log(row)).sum() for row in FIVE]
    assert np.allclose(lb.uncertainty(FIVE, "entropy"), entropy)
    assert lb.query(FIVE, "least_confidence", n=4).tolist() == [2, 1, 0, 3]
    assert lb.query(FIVE, "margin", n=4).tolist() == [0, 2, 1, 3]
    assert lb.query(FIVE, "entropy", n=4).tolist() == [1, 2, 0, 3]


@given(st.lists(st.integers(0, 499), min_size=2, max_size=30, unique=True))
def test_for_two_classes_all_strategies_rank_alike(thousandths):
    p = np.array(thousandths) / 1000
    proba = np.column_stack([p, 1 - p])
    orders = [
        lb.query(proba, strategy, n=len(p)).tolist()
        for strategy in ("least_confidence", "margin", "entropy")
    ]
    assert orders[0] == orders[1] == orders[2] == np.argsort(-p).tolist()


def test_of_equals_the_earlier_one_is_asked_for():
    assert lb.query([[0.3, 0.7], [0.7, 0.3], [0.3, 0.7]], n=3).tolist() == [0, 1, 2]


def test_the_committee_by_hand():
    probas = np.array([[[0.9, 0.1]], [[0.6, 0.4]], [[0.2, 0.8]]])
    votes = -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))
    assert lb.committee_disagreement(probas, "vote_entropy") == pytest.approx([votes])
    mean = probas.mean(axis=0)[0]
    expected = np.mean([stats.entropy(member[0], mean) for member in probas])
    assert lb.committee_disagreement(probas, "kl") == pytest.approx([expected])
    certain = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert lb.committee_disagreement(certain, "kl") == pytest.approx([np.log(2)])
    same = np.repeat(FIVE[None], 4, axis=0)
    for measure in ("vote_entropy", "kl"):
        assert lb.committee_disagreement(same, measure) == pytest.approx(np.zeros(4), abs=1e-15)


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, test_size=0.4, stratify=y, random_state=0)


READER = LogisticRegression(C=10, max_iter=1000)


@pytest.mark.parametrize("strategy", ["random", "margin", "committee"])
def test_a_curve_buys_new_rows_only_and_can_be_repeated(digits, strategy):
    X, X_test, y, y_test = digits
    options = {"start": 30, "batch": 7, "rounds": 3, "seeds": [4, 5]}
    curve = lb.active_learning_curve(READER, X, y, X_test, y_test, strategy, **options)
    assert curve["labels"].tolist() == [30, 37, 44, 51] * 2
    for _, own in curve.groupby("seed"):
        rows = np.concatenate(list(own["rows"]))
        assert len(rows) == len(set(rows)) == 51
        first = READER.fit(X[rows[:30]], y[rows[:30]]).score(X_test, y_test)
        assert own["score"].iloc[0] == pytest.approx(first)
    again = lb.active_learning_curve(READER, X, y, X_test, y_test, strategy, **options)
    assert curve["score"].equals(again["score"])


def test_every_strategy_begins_with_the_same_rows(digits):
    X, X_test, y, y_test = digits
    firsts = [
        lb.active_learning_curve(READER, X, y, X_test, y_test, s, rounds=1, seeds=1)["rows"][0]
        for s in ("random", "margin", "entropy")
    ]
    assert np.array_equal(firsts[0], firsts[1]) and np.array_equal(firsts[0], firsts[2])


def test_margin_saves_labels_on_digits_and_entropy_wastes_them_on_noise(digits):
    X, X_test, y, y_test = digits
    rng = np.random.default_rng(0)
    broken = rng.random(len(y)) < 0.3
    X_broken, y_broken = X.copy(), y.copy()
    X_broken[broken] = rng.permuted(X_broken[broken], axis=1)
    y_broken[broken] = rng.integers(10, size=broken.sum())

    def at(X, y, strategy, labels):
        curve = lb.active_learning_curve(READER, X, y, X_test, y_test, strategy, seeds=6)
        return curve[curve["labels"] == labels].set_index("seed")["score"]

    gain = at(X, y, "margin", 160) - at(X, y, "random", 160)
    assert gain.mean() > 3 * stats.sem(gain) > 0
    loss = at(X_broken, y_broken, "random", 160) - at(X_broken, y_broken, "entropy", 160)
    assert loss.mean() > 3 * stats.sem(loss) > 0


# --- Generated posts


def test_posts_are_the_same_on_every_machine_and_true_to_their_card(posts):
    assert posts.equals(load_posts())
    assert not posts.equals(load_posts(random_state=1))
    assert posts["text"][2] == "sleeping on the floor of JFK tonight"
    flights = load_flights()
    known = posts[posts["flight"].notna()]
    assert abs(len(known) / len(posts) - 1 / 3) < 4 * np.sqrt(2 / 9 / len(posts))
    booked = flights.loc[known["flight"].astype(int)]
    trouble = ((booked["arr_delay"] > 60) | booked["dep_time"].isna()).to_numpy()
    for rows, share in ((trouble, 0.75), (~trouble, 0.3)):
        complain = known["complaint"].to_numpy()[rows]
        assert abs(complain.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(complain))


def test_hotel_reviews_share_the_mood_and_no_flight(posts):
    hotel = load_posts(500, kind="hotel")
    assert hotel["flight"].isna().all()
    text = " ".join(hotel["text"])
    assert "rude" in text and "lovely" in text
    assert "flight" not in text and "refund" not in text
    with pytest.raises(ValueError, match="kind must be one of"):
        load_posts(kind="bank")
    with pytest.raises(ValueError, match="n_posts must be"):
        load_posts(0)


def test_the_posts_have_a_card():
    card = (datasets._FOLDER / "posts" / "README.md").read_text(encoding="utf-8")
    for part in ("Source", "Licence", "How it was made", "What it is used for", "Columns"):
        assert f"## {part}" in card
    for column in load_posts(1).columns:
        assert f"`{column}`" in card
    sentences = sum(len(datasets._POSTS[kind]) for kind in ("complaint", "other", "either"))
    assert f"{sentences} sentences" in card


# --- Bad input

V = np.array([[0, 1], [1, 1], [0, 0], [-1, 1]])
PROBA = np.array([[0.6, 0.4], [0.1, 0.9]])
X4, Y4 = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])
LOGISTIC = LogisticRegression()
FITTED = LogisticRegression().fit(X4, Y4)
WORDED = LogisticRegression().fit(X4, list("abab"))
VOTES = pd.DataFrame({"item": [1, 2], "annotator": ["a", "b"], "label": [0, 1]})
LINEAGE = pd.DataFrame({"label": [0, 1] * 20, "who": ["a", "b"] * 20})
DAY = pd.Timestamp("2013-01-01")
EVENTS = pd.Series([DAY, DAY + pd.Timedelta("1h")], ["a", "b"])
SEEN = pd.Series([DAY + pd.Timedelta("2h")], ["a"])
KEYWORD = lb.keyword_lf(["refund"], 1)
NO_ROWS = TEXTS.iloc[:0]


def _returns(value):
    return lb.apply_lfs([lb.labeling_function("mine")(lambda row: value)], TEXTS)


def _curve(**options):
    given = {"model": LOGISTIC, "X": X4, "y": Y4, "X_test": X4, "y_test": Y4, "start": 2}
    return lb.active_learning_curve(**(given | {"batch": 1, "rounds": 1, "seeds": 1} | options))


BAD_INPUT = {
    "events as a list": (lb.natural_labels, ([DAY], SEEN, "2h"), "events must be a Series"),
    "no events": (lb.natural_labels, (EVENTS[:0], SEEN, "2h"), "events must hold at least one"),
    "missing event": (lb.natural_labels, (EVENTS.where([True, False]), SEEN, "2h"), "events must"),
    "event twice": (lb.natural_labels, (EVENTS.set_axis(["a", "a"]), SEEN, "2h"), "events names"),
    "outcome twice": (lb.natural_labels, (EVENTS, pd.concat([SEEN, SEEN]), "2h"), "outcomes names"),
    "outcomes as numbers": (lb.natural_labels, (EVENTS, SEEN.astype(int), "2h"), "outcomes must"),
    "no window": (lb.natural_labels, (EVENTS, SEEN, "0h"), "window must be above 0"),
    "negative window": (lb.natural_labels, (EVENTS, SEEN, "-1h"), "window must be above 0"),
    "window None": (lb.natural_labels, (EVENTS, SEEN, None), "window must be above 0"),
    "window as a word": (lb.natural_labels, (EVENTS, SEEN, "soon"), "window and now do not fit"),
    "other time zone": (
        lb.natural_labels,
        (EVENTS.dt.tz_localize("UTC"), SEEN, "2h"),
        "do not fit",
    ),
    "now in another zone": (lb.natural_labels, (EVENTS, SEEN, "2h", DAY.tz_localize("UTC")), "now"),
    "outcome first": (
        lb.natural_labels,
        (EVENTS, SEEN - pd.Timedelta("9h"), "2h"),
        "outcomes must not come before",
    ),
    "no clock": (lb.arrival_times, (TEXTS, TEXTS), "flights has no column 'time_hour'"),
    "flights as a list": (lb.arrival_times, ([], TEXTS), "flights must be a DataFrame"),
    "measure": (lb.agreement, (V, "kappa"), "measure must be one of"),
    "level": (lb.agreement, (V, "krippendorff", "metric"), "level must be one of"),
    "level of cohen": (lb.agreement, (V, "cohen", "ordinal"), "level='ordinal' is for"),
    "cohen of three": (lb.agreement, (np.c_[V, V[:, :1]], "cohen"), "2 annotators for 'cohen'"),
    "cohen without pairs": (lb.agreement, ([[0, -1], [-1, 1]], "cohen"), "at least 2 votes"),
    "fleiss with gaps": (lb.agreement, (V, "fleiss"), "equally many votes.*1 to 2"),
    "single votes": (lb.agreement, ([[0, -1], [-1, 1]],), "an item with at least 2 votes"),
    "one class": (lb.agreement, ([[1, 1], [1, 1]],), "votes are all for one class"),
    "votes below -1": (lb.agreement, ([[0, -2]],), "votes must hold class numbers.*-2"),
    "votes of a half": (lb.majority_vote, ([[0, 0.5]],), "votes must hold class numbers.*0.5"),
    "missing votes": (lb.majority_vote, ([[0, np.nan]],), "votes holds 1 missing"),
    "text votes": (lb.majority_vote, ([["a", "b"]],), "votes must hold numbers"),
    "no votes": (lb.majority_vote, ([],), "votes must have shape"),
    "votes in a row": (lb.majority_vote, ([0, 1],), "votes must have shape"),
    "ragged votes": (lb.majority_vote, ([[0, 1], [0]],), "votes must be an array"),
    "silence": (lb.majority_vote, ([[-1, -1]],), "votes holds no vote"),
    "repeats where none may be": (
        lb.agreement,
        (V[:, :, None],),
        r"votes must have shape \(n, m\)",
    ),
    "confusion shape": (lb.simulate_annotators, ([0, 1], [[0.9, 0.1]]), "confusion must have"),
    "confusion ragged": (lb.simulate_annotators, ([0], [[[1], [0, 1]]]), "confusion must be"),
    "confusion sums": (lb.simulate_annotators, ([0], [[[0.9, 0], [0, 1]]]), "rows sum to 1"),
    "truth": (lb.simulate_annotators, ([2], [GOOD]), "truth must hold class numbers 0 to 1"),
    "coverage": (lb.simulate_annotators, ([0], [GOOD], 1.2), "coverage.*1.2"),
    "coverages": (lb.simulate_annotators, ([0], [GOOD], [1, 1]), "coverage must have 1"),
    "repeats": (lb.simulate_annotators, ([0], [GOOD], 1, -0.1), "repeats.*-0.1"),
    "random_state": (lb.simulate_annotators, ([0], [GOOD], 1, 0, "a"), "random_state"),
    "table as a list": (lb.vote_array, ([1],), "table must be a DataFrame"),
    "empty table": (lb.vote_array, (VOTES[:0],), "table is empty"),
    "table column": (lb.vote_array, (VOTES,), {"item": "post"}, "table has no column 'post'"),
    "missing annotator": (lb.vote_array, (VOTES.replace("a", None),), "annotator holds 1 missing"),
    "label -1": (lb.vote_array, (VOTES.replace(1, -1),), {"item": "annotator"}, "label must hold"),
    "votes out of range": (lb.DawidSkene(n_classes=2).fit, ([[0, 2]],), "numbers 0 to 1.*got 2"),
    "one class only": (lb.DawidSkene(n_classes=1).fit, (V,), "n_classes must be"),
    "no steps": (lb.DawidSkene(max_iter=0).fit, (V,), "max_iter must be"),
    "tolerance": (lb.DawidSkene(tol=-1).fit, (V,), "tol must be"),
    "prior length": (lb.LabelModel(class_prior=[1]).fit, (V,), "class_prior must have 2"),
    "prior sum": (lb.LabelModel(class_prior=[0.5, 0.1]).fit, (V,), "class_prior must sum to 1"),
    "prior range": (lb.LabelModel(class_prior=[1.5, -0.5]).fit, (V,), "class_prior must hold"),
    "silent fit": (lb.DawidSkene().fit, ([[-1, -1]],), "votes holds no vote"),
    "other columns": (lb.DawidSkene().fit(V).predict, (V[:, :1],), "votes must have 2 columns"),
    "new class": (lb.DawidSkene().fit(V).predict, (V + 2,), "votes must hold class numbers 0 to 1"),
    "functions that repeat": (lb.LabelModel().fit, (V[:, :, None],), r"shape \(n, m\)"),
    "no lineage": (lb.audit_lineage, (LINEAGE, "label", "rule"), "frame has no column 'rule'"),
    "empty lineage": (lb.audit_lineage, (LINEAGE[:0], "label", "who"), "frame is empty"),
    "no columns": (lb.audit_lineage, (LINEAGE, "label", []), "by must name at least one"),
    "label as lineage": (lb.audit_lineage, (LINEAGE, "label", "label"), "by must name"),
    "unknown source": (
        lb.audit_lineage,
        (LINEAGE.replace("a", None), "label", "who"),
        "who holds 20 missing",
    ),
    "one label": (lb.audit_lineage, (LINEAGE.replace(1, 0), "label", "who"), "label must hold at"),
    "alpha": (lb.audit_lineage, (LINEAGE, "label", "who", 1), "alpha must be"),
    "min_rows": (lb.audit_lineage, (LINEAGE, "label", "who", 0.05, 0), "min_rows must be"),
    "no words": (lb.keyword_lf, ([], 1), "words must be a list"),
    "a word": (lb.keyword_lf, ("refund", 1), "words must be a list"),
    "an empty word": (lb.keyword_lf, ([" "], 1), "words must be a list"),
    "label of a keyword": (lb.keyword_lf, (["refund"], -1), "label must be"),
    "pattern": (lb.regex_lf, ("(", 1), "pattern must be a regular expression"),
    "pattern None": (lb.regex_lf, (None, 1), "pattern must be a regular expression"),
    "otherwise": (lb.regex_lf, ("a", 1), {"otherwise": -2}, "otherwise must be"),
    "text column": (KEYWORD, (TEXTS.rename(columns={"text": "body"}),), "no column 'text'"),
    "numbers as text": (lb.keyword_lf(["a"], 1, "key"), (TEXTS,), "key must hold text"),
    "empty look-up": (lb.lookup_lf, ({}, "key"), "table must be"),
    "look-up list": (lb.lookup_lf, ([1], "key"), "table must be"),
    "look-up key twice": (lb.lookup_lf, (pd.Series([0, 1], [5, 5]), "key"), "holds a key twice"),
    "look-up labels": (lb.lookup_lf, ({1: "yes"}, "key"), "table must hold numbers"),
    "look-up column": (lb.lookup_lf({1: 1}, "id"), (TEXTS,), "frame has no column 'id'"),
    "model without proba": (lb.model_lf, (Perceptron(), "x"), "model must be a fitted"),
    "model class": (lb.model_lf, (LogisticRegression, "x"), "model must be a fitted"),
    "model unfitted": (lb.model_lf, (LOGISTIC, "x"), "the model's classes is empty"),
    "model of words": (lb.model_lf, (WORDED, "x"), "the model's classes must hold numbers"),
    "model threshold": (lb.model_lf, (FITTED, ["x"], 0), "threshold must be"),
    "model column": (lb.model_lf(FITTED, ["x", "z"]), (TEXTS,), "frame has no column 'x'"),
    "no functions": (lb.apply_lfs, ([], TEXTS), "lfs must hold at least one"),
    "function twice": (lb.apply_lfs, ([KEYWORD, KEYWORD], TEXTS), "each name once"),
    "bare function": (lb.apply_lfs, ([len], TEXTS), "lfs must hold labeling functions"),
    "empty corpus": (lb.apply_lfs, ([KEYWORD], NO_ROWS), "frame is empty"),
    "empty corpus, one function": (KEYWORD, (NO_ROWS,), "frame is empty"),
    "text corpus": (lb.apply_lfs, ([KEYWORD], ["a", "b"]), "frame must be a DataFrame"),
    "function of words": (_returns, ("yes",), "what 'mine' returns must hold numbers"),
    "function of nothing": (_returns, (None,), "what 'mine' returns holds 4 missing"),
    "function of -2": (_returns, (-2,), "what 'mine' returns must hold class numbers"),
    "summary length": (lb.lf_summary, (V, [0, 1]), "y must have 4"),
    "summary label": (lb.lf_summary, (V, [0, 1, 0, -2]), "y must hold class numbers"),
    "model that cannot predict": (lb.perturbation_labels, (3, X4, abs), "model must be a fitted"),
    "perturb": (lb.perturbation_labels, (FITTED, X4, "shake"), "perturb must be a function"),
    "copies": (lb.perturbation_labels, (FITTED, X4, abs, 0), "copies must be"),
    "share": (lb.perturbation_labels, (FITTED, X4, abs, 2, 0), "agreement must be"),
    "no rows": (lb.perturbation_labels, (FITTED, X4[:0], abs), "X must be a table"),
    "other shape": (
        lb.perturbation_labels,
        (FITTED, X4, lambda X, rng: X[:2]),
        "perturb must keep the shape",
    ),
    "labels of words": (
        lb.perturbation_labels,
        (WORDED, X4, lambda X, rng: X),
        "what the model predicts must hold numbers",
    ),
    "curve column": (lb.plot_learning_curves, (VOTES,), "table has no column 'method'"),
    "no trial": (lb.curve_over_seeds, (3, [1]), "trial must be a function"),
    "trial without scores": (lb.curve_over_seeds, (max, [1]), "trial must return a dict"),
    "no sizes": (lb.curve_over_seeds, (max, []), "sizes must hold at least one"),
    "no seeds": (lb.curve_over_seeds, (max, [1], []), "seeds must hold at least one"),
    "strategy": (lb.query, (PROBA, "random"), "strategy must be one of"),
    "too many": (lb.query, (PROBA, "margin", 3), "n must be at most the number of rows, 2"),
    "none": (lb.query, (PROBA, "margin", 0), "n must be"),
    "one column": (lb.uncertainty, (PROBA[:, :1],), "proba must have shape"),
    "proba sums": (lb.uncertainty, (PROBA / 2,), "proba must hold probabilities"),
    "proba NaN": (lb.uncertainty, (PROBA * np.nan,), "proba must hold probabilities"),
    "proba words": (lb.uncertainty, ([["a", "b"]],), "proba must be an array of numbers"),
    "one member": (lb.committee_disagreement, (PROBA[None],), "at least two members"),
    "flat committee": (lb.committee_disagreement, (PROBA,), "probas must have shape"),
    "committee measure": (lb.committee_disagreement, ([PROBA, PROBA], "js"), "measure must be"),
    "curve strategy": (_curve, (), {"strategy": "luck"}, "strategy must be one of"),
    "curve model": (_curve, (), {"model": Perceptron()}, "model must be a classifier"),
    "curve of one class": (_curve, (), {"y": [1, 1, 1, 1]}, "y must hold at least two"),
    "curve lengths": (_curve, (), {"y": [0, 1]}, "y must have 4"),
    "curve test": (_curve, (), {"y_test": [0, 1]}, "y_test must have 4"),
    "curve start": (_curve, (), {"start": 1}, "start must be"),
    "curve batch": (_curve, (), {"batch": 0}, "batch must be"),
    "curve too long": (_curve, (), {"rounds": 3}, "at most the 4 rows, got 5"),
    "curve seeds": (_curve, (), {"seeds": 0}, "seeds must be"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_by_name(case):
    function, args, *options, message = BAD_INPUT[case]
    with pytest.raises((ValueError, TypeError), match=message):
        function(*args, **(options[0] if options else {}))


def test_inputs_are_never_changed(digits):
    X, X_test, y, y_test = (array.copy() for array in digits)
    votes, proba = V.copy(), PROBA.copy()
    frames = [VOTES.copy(), LINEAGE.copy(), TEXTS.copy()]
    series = [EVENTS.copy(), SEEN.copy()]
    for array in (X, X_test, y, y_test, votes, proba):
        array.flags.writeable = False
    lb.agreement(votes)
    lb.majority_vote(votes)
    lb.lf_summary(votes, [0, 1, 0, -1])
    for model in (lb.DawidSkene(), lb.LabelModel()):
        model.fit(votes).predict_proba(votes)
    lb.query(proba)
    lb.committee_disagreement([proba, proba])
    model = READER.fit(X[:50], y[:50])

    def shake(X, rng):
        X += rng.normal(size=X.shape)  # a careless one
        return X

    lb.perturbation_labels(model, X, shake, random_state=0)
    lb.active_learning_curve(READER, X, y, X_test, y_test, rounds=1, seeds=1)
    lb.vote_array(frames[0])
    lb.audit_lineage(frames[1], "label", "who")
    lb.apply_lfs([KEYWORD], frames[2])
    lb.natural_labels(*series, "3h", now=DAY)
    for frame, before in zip(frames, (VOTES, LINEAGE, TEXTS), strict=True):
        pd.testing.assert_frame_equal(frame, before)
    assert series[0].equals(EVENTS) and series[1].equals(SEEN)


# --- Exercises: the mistakes that people make, and a word of the diagnosis that each must meet


def _no_news_is_0(predicted, happened, window, now):
    in_time = (happened <= predicted + window) & (happened <= now)
    return np.where(in_time, 1.0, 0.0)


def _waits_for_the_window(predicted, happened, window, now):
    label = np.where(happened <= predicted + window, 1.0, 0.0)
    return np.where(predicted + window <= now, label, np.nan)


def _ignores_the_window(predicted, happened, window, now):
    label = np.where(happened <= now, 1.0, 0.0)
    return np.where((predicted + window > now) & (label == 0), np.nan, label)


def _sees_the_future(predicted, happened, window, now):
    label = np.where(happened <= predicted + window, 1.0, 0.0)
    return np.where((predicted + window > now) & (label == 0), np.nan, label)


def _without_the_end(predicted, happened, window, now):
    label = np.full(len(predicted), np.nan)
    in_time = happened < predicted + window
    label[in_time & (happened <= now)] = 1
    label[~in_time & (predicted + window <= now)] = 0
    return label


def _knows_what_comes_after_the_window(predicted, happened, window, now):
    label = np.where(happened > predicted + window, 0.0, np.nan)
    label[np.isnan(happened) & (predicted + window <= now)] = 0
    label[(happened <= predicted + window) & (happened <= now)] = 1
    return label


def _waits_for_every_outcome(predicted, happened, window, now):
    label = np.full(len(predicted), np.nan)
    label[(predicted + window <= now) & ~(happened > now)] = 0
    label[(happened <= predicted + window) & (happened <= now)] = 1
    return label


def _any_class_alike(first, second):
    by_chance = 1 / len(np.union1d(first, second))
    return ((first == second).mean() - by_chance) / (1 - by_chance)


def _classes_from_0(first, second):
    classes = range(len(np.union1d(first, second)))
    by_chance = sum((first == c).mean() * (second == c).mean() for c in classes)
    return ((first == second).mean() - by_chance) / (1 - by_chance)


def _pooled(first, second):
    both = np.concatenate([first, second])
    by_chance = sum((both == c).mean() ** 2 for c in np.unique(both))
    return ((first == second).mean() - by_chance) / (1 - by_chance)


def _two_classes_only(first, second):
    a, b = first.mean(), second.mean()
    by_chance = a * b + (1 - a) * (1 - b)
    return ((first == second).mean() - by_chance) / (1 - by_chance)


def _not_divided(first, second):
    classes = np.union1d(first, second)
    by_chance = sum((first == c).mean() * (second == c).mean() for c in classes)
    return (first == second).mean() - by_chance


def _counts_silence(votes, accuracies, prior):
    one = prior * np.prod(np.where(votes == 1, accuracies, 1 - accuracies))
    zero = (1 - prior) * np.prod(np.where(votes == 1, 1 - accuracies, accuracies))
    return one / (one + zero)


def _no_prior(votes, accuracies, prior):
    cast, a = votes[votes >= 0], accuracies[votes >= 0]
    one, zero = np.prod(np.where(cast == 1, a, 1 - a)), np.prod(np.where(cast == 0, a, 1 - a))
    return one / (one + zero)


def _not_normalised(votes, accuracies, prior):
    cast, a = votes[votes >= 0], accuracies[votes >= 0]
    return prior * np.prod(np.where(cast == 1, a, 1 - a))


def _weigh(votes, accuracies, prior):
    cast, a = votes[votes >= 0], accuracies[votes >= 0]
    one = prior * np.prod(np.where(cast == 1, a, 1 - a))
    return one / (one + (1 - prior) * np.prod(np.where(cast == 0, a, 1 - a)))


def _three_classes_only(proba, n):
    ordered = np.sort(proba, axis=1)
    return np.argsort(ordered[:, -1] - ordered[:, 1], kind="stable")[:n]


def _lowest_classes(proba, n):
    ordered = np.sort(proba, axis=1)
    return np.argsort(ordered[:, 1] - ordered[:, 0], kind="stable")[:n]


WRONG_ANSWERS = {
    "windowed_labels": [
        (_no_news_is_0, "not yet a 0"),
        (_waits_for_the_window, "has its outcome already"),
        (_ignores_the_window, "too late to count"),
        (_sees_the_future, "nobody can know"),
        (_without_the_end, "included"),
        (_knows_what_comes_after_the_window, "happens at 14 is not known"),
        (_waits_for_every_outcome, "whatever happens at 12"),
    ],
    "kappa": [
        (lambda first, second: (first == second).mean(), "share on which they agree"),
        (_pooled, "pooled"),
        (_not_divided, "Divide"),
        (_two_classes_only, "more than two classes"),
        (_any_class_alike, "one over the number of classes"),
        (_classes_from_0, "the classes are 5 and 7"),
    ],
    "weigh": [
        (lambda votes, accuracies, prior: (votes[votes >= 0] == 1).mean(), "same weight"),
        (_counts_silence, "abstains"),
        (_no_prior, "prior has no effect"),
        (lambda *args: 1 - _no_prior(*args), "class 0"),
        (_not_normalised, "0.9 · 0.4"),
        (lambda v, a, prior: _weigh(v, np.maximum(a, 1 - a), prior), "the first is mostly wrong"),
        (lambda v, a, prior: _weigh(v[:2], a[:2], prior), "All three vote"),
    ],
    "closest_calls": [
        (lambda proba, n: np.argsort(proba.max(axis=1), kind="stable")[:n], "least confident"),
        (
            lambda proba, n: np.argsort(
                np.sort(proba, axis=1)[:, -2] - np.sort(proba, axis=1)[:, -1], kind="stable"
            )[:n],
            "surest rows",
        ),
        (lambda proba, n: np.argsort(np.diff(np.sort(proba, axis=1))[:, -1])[:n][::-1], "first"),
        (_lowest_classes, "least probable"),
        (_three_classes_only, "With four classes, too"),
        (
            lambda proba, n: np.sort(proba, axis=1)[:, -1] - np.sort(proba, axis=1)[:, -2],
            "n positions",
        ),
    ],
}
