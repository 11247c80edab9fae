"""Chapter 04 against known answers: closed forms, full enumeration, numpy, networkx."""

import math
from collections import Counter
from itertools import combinations, pairwise, permutations, product
from time import perf_counter

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency, chisquare, hypergeom, norm

from mlsys_helpers import sampling as sp
from mlsys_helpers.datasets import load_flights

ONE_IN_10_000 = 1e-4  # a test that fails by chance this seldom, and has a fixed seed
COLUMNS = ["bias", "spread", "rmse", "bias_error"]

labels_and_counts = st.lists(
    st.tuples(st.integers(1, 12), st.floats(0, 1)), min_size=1, max_size=6
).map(
    lambda pairs: (
        np.random.default_rng(len(pairs)).permutation(
            np.repeat([f"s{i}" for i in range(len(pairs))], [size for size, _ in pairs])
        ),
        {f"s{i}": max(1, round(size * share)) for i, (size, share) in enumerate(pairs)},
    )
)
weight_lists = st.lists(st.integers(0, 50), min_size=1, max_size=20).filter(any)


class CountingGenerator(np.random.Generator):
    """Counts the random numbers that are drawn."""

    drawn = 0

    def random(self, *size):
        self.drawn += size[0] if size else 1
        return super().random(*size)


def counting(seed=0):
    return CountingGenerator(np.random.PCG64(seed))


# --- Non-probability sampling


def test_a_convenience_sample_is_consecutive_and_may_begin_anywhere():
    starts = set()
    for seed in range(60):
        rows = sp.convenience_sample(8, 4, random_state=seed)
        assert np.array_equal(np.diff(rows), [1, 1, 1])
        starts.add(rows[0])
    assert starts == {0, 1, 2, 3, 4}
    assert sp.convenience_sample(8, 8).tolist() == list(range(8))


@pytest.mark.parametrize("waves", [0, 1, 2, 5])
def test_a_snowball_without_limit_is_networkx_ego_graph(waves):
    graph = nx.gnp_random_graph(30, 0.08, seed=1)
    found = sp.snowball_sample(graph, [0], waves)
    assert set(found) == set(nx.ego_graph(graph, 0, radius=waves))
    distance = nx.single_source_shortest_path_length(graph, 0)
    assert [distance[node] for node in found] == sorted(distance[node] for node in found)


def test_a_snowball_keeps_to_its_fan_out_and_draws_it():
    star = nx.star_graph(range(20))  # node 0 is linked to all others
    drawn = [frozenset(sp.snowball_sample(star, [0], 1, 3, seed)) for seed in range(50)]
    assert all(len(nodes) == 4 for nodes in drawn)
    assert len(set(drawn)) > 30
    assert sp.snowball_sample(star, [5, 5], 2, fan_out=4, random_state=0)[:2] == [5, 0]
    assert len(sp.snowball_sample(star, [5], 2, fan_out=4, random_state=0)) == 6


def test_a_snowball_ends_when_nothing_new_is_named():
    assert sp.snowball_sample(nx.path_graph(4), [0], waves=10**9) == [0, 1, 2, 3]


def test_a_snowball_follows_directed_links_forwards():
    graph = nx.DiGraph([("a", "b"), ("b", "c"), ("d", "a")])
    assert sp.snowball_sample(graph, "a", waves=3) == ["a", "b", "c"]


def test_a_snowball_finds_the_well_connected_more_often():
    graph = nx.barabasi_albert_graph(300, 2, seed=0)
    degree = np.array([graph.degree[node] for node in graph])
    rng = np.random.default_rng(0)
    found = [
        node
        for _ in range(200)
        for node in sp.snowball_sample(graph, [int(rng.integers(300))], 2, 2, rng)[1:]
    ]
    assert degree[found].mean() > 2 * degree.mean()


def test_a_judgement_sample_takes_the_highest_rated():
    scores = np.array([0.3, 9.0, -1.0, 9.0, 4.0])
    assert sp.judgement_sample(scores, 3).tolist() == [1, 3, 4]
    noisy = [sp.judgement_sample(scores, 1, noise=3, random_state=i)[0] for i in range(200)]
    assert {1, 3} < set(noisy)
    assert Counter(noisy)[1] > Counter(noisy)[2]


@given(labels_and_counts, st.integers(0, 99))
def test_quotas_are_met_exactly(data, seed):
    labels, quotas = data
    rows = sp.quota_sample(labels, quotas, seed)
    assert len(set(rows.tolist())) == len(rows)
    assert Counter(labels[rows].tolist()) == Counter(quotas)


def test_a_quota_is_filled_with_the_first_to_come():
    labels = list("abababab")
    for seed in range(20):
        rows = sp.quota_sample(labels, {"a": 2, "b": 1}, seed)
        start = np.random.default_rng(seed).integers(8)
        coming = [(start + i) % 8 for i in range(8)]
        assert (
            rows.tolist()
            == [r for r in coming if r % 2 == 0][:2] + [r for r in coming if r % 2 == 1][:1]
        )


def test_quotas_that_cannot_be_met_are_refused():
    with pytest.raises(ValueError, match=r"at most 2 for 'b'.*got 3"):
        sp.quota_sample(list("aabba"), {"b": 3})
    with pytest.raises(ValueError, match="strata that exist, got 'c'"):
        sp.quota_sample(list("aabba"), {"c": 1})


# --- What judges a design


def test_sampling_error_of_a_mean_is_known():
    designs = {"fair": lambda rng: rng.normal(2, 3, size=9).mean(), "off": lambda rng: 2.5}
    table = sp.sampling_error(designs, truth=2, repeats=4000, progress=False)
    assert table.columns.tolist() == COLUMNS
    assert abs(table["bias"]["fair"]) < 4 / math.sqrt(4000)  # four standard errors: spread is 1
    assert table["spread"]["fair"] == pytest.approx(1, abs=4 / math.sqrt(2 * 4000))
    assert table.loc["off"].tolist() == [0.5, 0, 0.5, 0]
    assert np.allclose(table["rmse"] ** 2, table["bias"] ** 2 + table["spread"] ** 2)


def test_sampling_error_depends_on_the_seed_alone():
    designs = {"a": lambda rng: rng.random(), "b": lambda rng: rng.random()}
    first, again = (sp.sampling_error(designs, 0.5, 20, 7, progress=False) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(sp.sampling_error(designs, 0.5, 20, 8, progress=False))


def test_plot_sampling_error_draws_the_table():
    table = pd.DataFrame(
        {"bias": [0.0, -2.0], "spread": [1.0, 0.5], "rmse": [1.0, 2.06], "bias_error": [0.1, 0.1]},
        index=["fair", "wrong"],
    )
    ax = sp.plot_sampling_error(table)
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in points] == [0, -2]
    assert points[0].get_color() != points[1].get_color()
    bars = [segment for bar in ax.collections for segment in bar.get_segments()]
    assert [np.ptp(bar[:, 0]) for bar in bars] == [2, 1]
    assert [text.get_text() for text in ax.texts] == ["RMSE 1.00", "RMSE 2.06"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fair", "wrong"]


# --- Probability sampling


def test_all_simple_random_samples_are_equally_likely():
    rng = np.random.default_rng(0)
    drawn = Counter(frozenset(sp.simple_random_sample(5, 2, rng)[0].tolist()) for _ in range(5000))
    assert len(drawn) == 10
    assert chisquare(list(drawn.values())).pvalue > ONE_IN_10_000
    rows, inclusion = sp.simple_random_sample(5, 2)
    assert inclusion.tolist() == [0.4, 0.4] and len(rows) == 2


def test_a_simple_sample_misses_the_rare_carrier_as_the_hypergeometric_says():
    is_rare = (load_flights()["carrier"] == "OO").to_numpy()
    assert (is_rare.sum(), len(is_rare)) == (32, 336_776)
    rng = np.random.default_rng(0)
    draws = [is_rare[sp.simple_random_sample(len(is_rare), 3000, rng)[0]] for _ in range(1000)]
    missed = np.mean([not draw.any() for draw in draws])
    expected = hypergeom.pmf(0, len(is_rare), 32, 3000)
    assert expected == pytest.approx(0.7510, abs=1e-4)
    assert abs(missed - expected) < 3 * math.sqrt(expected * (1 - expected) / 1000)


def test_horvitz_thompson_is_unbiased_over_all_samples():
    """Exactly: the mean over every sample that a design can draw is the total."""
    y = np.array([3.0, -1.0, 4.0, 10.0, 5.0])
    simple = [sp.horvitz_thompson(y[list(s)], [2 / 5] * 2) for s in combinations(range(5), 2)]
    assert np.mean(simple) == pytest.approx(y.sum())
    stratified = [
        sp.horvitz_thompson(y[[*a, *b]], [1 / 2, 2 / 3, 2 / 3])
        for a, b in product(combinations([0, 1], 1), combinations([2, 3, 4], 2))
    ]
    assert np.mean(stratified) == pytest.approx(y.sum())
    p = np.array([0.1, 0.2, 0.3, 0.2, 0.2])  # two draws with replacement: Hansen and Hurwitz
    pairs = list(product(range(5), repeat=2))
    estimates = [sp.horvitz_thompson(y[list(s)], 2 * p[list(s)]) for s in pairs]
    assert np.average(estimates, weights=[p[i] * p[j] for i, j in pairs]) == pytest.approx(y.sum())


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_horvitz_thompson_of_all_rows_is_their_sum(values):
    total = sp.horvitz_thompson(values, np.ones(len(values)))
    assert total == pytest.approx(math.fsum(values), abs=1e-6)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=3),
    st.integers(0, 15),
    st.sampled_from(["neyman", "proportional", "equal"]),
)
def test_allocation_is_the_best_of_all_in_whole_numbers(strata, extra, method):
    sizes = {i: size for i, (size, _) in enumerate(strata)}
    spreads = {i: spread for i, (_, spread) in enumerate(strata)}
    n = min(len(sizes) + extra, sum(sizes.values()))
    counts = sp.allocate(sizes, n, method, spreads if method == "neyman" else None)
    assert counts.sum() == n
    assert all(1 <= counts[i] <= sizes[i] for i in sizes)
    score = {
        "neyman": {i: sizes[i] * spreads[i] for i in sizes},
        "proportional": sizes,
        "equal": dict.fromkeys(sizes, 1),
    }[method]

    def variance(m):
        return sum(score[i] ** 2 / m[i] for i in sizes)

    every = product(*(range(1, size + 1) for size in sizes.values()))
    best = min(variance(m) for m in every if sum(m) == n)
    assert variance(counts) == pytest.approx(best)


def test_allocation_equals_the_formulas_where_they_give_whole_numbers():
    sizes = pd.Series({"a": 100, "b": 900, "c": 1000})
    assert sp.allocate(sizes, 40).to_dict() == {"a": 2, "b": 18, "c": 20}
    assert sp.allocate(sizes, 42, "equal").to_dict() == {"a": 14, "b": 14, "c": 14}
    spreads = {"c": 0.06, "a": 0.5, "b": 0.1}  # in any order
    assert sp.allocate(sizes, 40, "neyman", spreads).to_dict() == {"a": 10, "b": 18, "c": 12}


def test_a_stratum_too_small_for_its_share_is_taken_whole():
    sizes = {"rare": 3, "a": 500, "b": 500}
    assert sp.allocate(sizes, 31, "equal").to_dict() == {"rare": 3, "a": 14, "b": 14}
    counts = sp.allocate(sizes, 31, "neyman", {"rare": 1e6, "a": 1, "b": 3})
    assert counts.to_dict() == {"rare": 3, "a": 7, "b": 21}


@given(labels_and_counts, st.integers(0, 99))
def test_a_stratified_sample_draws_what_is_asked(data, seed):
    labels, counts = data
    rows, inclusion = sp.stratified_sample(labels, counts, seed)
    assert len(set(rows.tolist())) == len(rows)
    assert Counter(labels[rows].tolist()) == Counter(counts)
    sizes = Counter(labels.tolist())
    assert inclusion.tolist() == [counts[s] / sizes[s] for s in labels[rows].tolist()]
    assert (1 / inclusion).sum() == pytest.approx(len(labels))  # the rows stand for all rows


def test_every_carrier_is_in_a_stratified_sample():
    flights = load_flights()
    rows, _ = sp.stratified_sample(flights["carrier"], 300, random_state=0)
    assert len(rows) == 300
    assert flights["carrier"].iloc[rows].nunique() == 16
    by_rows = sp.stratified_sample(flights.groupby("carrier").indices, 300, random_state=0)
    assert np.array_equal(rows, by_rows[0])  # a column or its row numbers: the same


@pytest.fixture(scope="module")
def population():
    """A generated set in three strata of very unlike spread, so that the formulas are exact."""
    rng = np.random.default_rng(0)
    strata = np.repeat(["a", "b", "c"], [500, 300, 200])
    y = rng.normal(np.repeat([0.0, 5.0, 20.0], [500, 300, 200]))
    y *= np.repeat([1.0, 2.0, 6.0], [500, 300, 200])
    return pd.DataFrame({"stratum": strata, "y": y})


def test_stratified_error_is_what_a_stratified_sample_shows(population):
    y, groups = population["y"].to_numpy(), population.groupby("stratum").indices
    known = population.groupby("stratum")["y"].agg(["size", "std"])
    designs, theory = {}, {}
    for method, spreads in (("proportional", None), ("equal", None), ("neyman", known["std"])):
        counts = sp.allocate(known["size"], 60, method, spreads)

        def draw(rng, counts=counts):
            rows, inclusion = sp.stratified_sample(groups, counts, rng)
            return sp.horvitz_thompson(y[rows], inclusion) / len(y)

        designs[method] = draw
        theory[method] = sp.stratified_error(known["size"], known["std"], counts)
    table = sp.sampling_error(designs, y.mean(), 2000, progress=False)
    assert (table["bias"].abs() < 4 * table["bias_error"]).all()
    for method, error in theory.items():  # the spread of 2,000 is known to 1/√4000 = 1.6 %
        assert table["spread"][method] == pytest.approx(error, rel=4 / math.sqrt(4000))
    assert theory["neyman"] < theory["proportional"]


def test_neymans_variance_formula():
    """With n_h in proportion to N_h S_h: (Σ W S)² / n - Σ W S² / N (Cochran 1977, 5.5)."""
    sizes = pd.Series({"a": 100, "b": 900, "c": 1000})
    spreads = pd.Series({"a": 0.5, "b": 0.1, "c": 0.06})
    counts = sp.allocate(sizes, 40, "neyman", spreads)
    share = sizes / 2000
    variance = (share * spreads).sum() ** 2 / 40 - (share * spreads**2).sum() / 2000
    assert sp.stratified_error(sizes, spreads, counts) == pytest.approx(math.sqrt(variance))


def test_stratified_error_of_one_stratum_is_that_of_a_simple_sample():
    assert sp.stratified_error({"all": 50}, {"all": 3.0}, {"all": 10}) == pytest.approx(
        math.sqrt((1 - 10 / 50) * 9 / 10)
    )
    assert sp.stratified_error({"all": 50}, {"all": 3.0}, {"all": 50}) == 0


@given(weight_lists, st.data())
def test_a_weighted_sample_without_replacement(weights, data):
    above_zero = [i for i, weight in enumerate(weights) if weight]
    n = data.draw(st.integers(1, len(above_zero)))
    rows, inclusion = sp.weighted_sample(weights, n, random_state=data.draw(st.integers(0, 99)))
    assert len(set(rows.tolist())) == n
    assert set(rows.tolist()) <= set(above_zero)  # a weight of 0 is never drawn
    assert ((inclusion > 0) & (inclusion <= 1)).all()
    assert (inclusion == 1).sum() >= sum(w * n >= 1.001 * sum(weights) for w in weights)


def test_weighted_inclusion_is_what_happens():
    """Row by row, with two heavy rows that are taken for certain and one that never is."""
    weights, n, repeats = np.array([1, 2, 3, 4, 0, 2, 90, 45]), 5, 20_000
    due = np.array([1, 2, 3, 4, 0, 2, 0, 0]) * 3 / 12
    due[[6, 7]] = 1
    rng, counts = np.random.default_rng(0), np.zeros(8)
    for _ in range(repeats):
        rows, inclusion = sp.weighted_sample(weights, n, random_state=rng)
        counts[rows] += 1
        assert np.allclose(inclusion, due[rows])
    error = np.sqrt(due * (1 - due) / repeats)
    assert (np.abs(counts / repeats - due) <= 4 * error).all()
    assert counts[[3, 6, 7]].tolist() == [repeats] * 3


def test_weighted_inclusion_survives_weights_of_very_different_size():
    rows, inclusion = sp.weighted_sample([1, 1, 1e17], 2, random_state=0)
    assert rows[0] == 2
    assert inclusion.tolist() == [1.0, 0.5]
    for seed in range(50):
        _, inclusion = sp.weighted_sample([0.1, 0.1, 3, 1e6, 0.1, 0.5], 6, random_state=seed)
        assert inclusion.max() <= 1
        assert inclusion == pytest.approx(np.ones(6))


def test_equal_weights_draw_every_set_of_rows():
    rng = np.random.default_rng(0)
    drawn = Counter(
        frozenset(sp.weighted_sample(np.ones(5), 2, random_state=rng)[0].tolist())
        for _ in range(5000)
    )
    assert len(drawn) == 10
    assert chisquare(list(drawn.values())).pvalue > ONE_IN_10_000


def test_with_replacement_each_draw_is_in_proportion():
    weights = np.array([0.0, 1, 2, 0, 3, 4])
    rows, inclusion = sp.weighted_sample(weights, 20_000, replace=True, random_state=0)
    counts = np.bincount(rows, minlength=6)
    assert counts[[0, 3]].tolist() == [0, 0]
    kept = weights > 0
    assert chisquare(counts[kept], 2000 * weights[kept]).pvalue > ONE_IN_10_000
    assert np.allclose(inclusion, 2000 * weights[rows])


@pytest.mark.parametrize("replace", [True, False])
def test_the_weighted_estimate_has_no_bias_and_the_spread_of_the_formula(population, replace):
    y = population["y"].to_numpy()
    weights = np.abs(y) + np.random.default_rng(1).exponential(3, len(y))  # a fair guess
    p = weights / weights.sum()

    def draw(rng):
        rows, inclusion = sp.weighted_sample(weights, 20, replace, rng)
        return sp.horvitz_thompson(y[rows], inclusion) / len(y)

    row = sp.sampling_error({"weighted": draw}, y.mean(), 3000, progress=False).iloc[0]
    assert abs(row["bias"]) < 4 * row["bias_error"]
    variance = (p * (y / p - y.sum()) ** 2).sum() / 20 / len(y) ** 2
    if not replace:  # Hartley and Rao (1962), to the order N: (1 - (n - 1) p) in each term
        variance = (p * (1 - 19 * p) * (y / p - y.sum()) ** 2).sum() / 20 / len(y) ** 2
    assert row["spread"] == pytest.approx(math.sqrt(variance), rel=4 / math.sqrt(6000))


# --- Importance sampling


def test_the_normal_tail():
    tail = norm.sf(4)
    assert tail == pytest.approx(3.167e-5, rel=1e-4)
    rng = np.random.default_rng(0)
    assert (rng.normal(size=10_000) > 4).sum() == 0  # plain Monte Carlo sees nothing
    x = rng.normal(4, size=100_000)
    result = sp.importance_estimate(x > 4, norm.logpdf(x), norm.logpdf(x, 4))
    assert result.estimate == pytest.approx(tail, rel=0.03)
    # The relative variance of a draw is known: e^16 Φ(-8) / Φ(-4)² - 1.
    relative = math.exp(16) * norm.sf(8) / tail**2 - 1
    assert result.standard_error == pytest.approx(tail * math.sqrt(relative / 1e5), rel=0.05)


def test_the_estimate_has_no_bias_and_its_standard_error_is_right():
    tail, estimates, errors = norm.sf(4), [], []
    for seed in range(400):
        x = np.random.default_rng(seed).normal(4, size=2000)
        result = sp.importance_estimate(x > 4, norm.logpdf(x), norm.logpdf(x, 4))
        estimates.append(result.estimate)
        errors.append(result.standard_error)
    spread = np.std(estimates)
    assert abs(np.mean(estimates) - tail) < 4 * spread / math.sqrt(400)
    assert np.mean(errors) == pytest.approx(spread, rel=4 / math.sqrt(800))


def test_the_self_normalised_standard_error_is_right():
    estimates, errors = [], []
    for seed in range(400):
        x = np.random.default_rng(seed).normal(0.5, 1.2, size=2000)
        log_p, log_q = norm.logpdf(x) + 3, norm.logpdf(x, 0.5, 1.2)  # P times a constant
        result = sp.importance_estimate(x**2, log_p, log_q, self_normalised=True)
        estimates.append(result.estimate)
        errors.append(result.standard_error)
    spread = np.std(estimates)
    assert abs(np.mean(estimates) - 1) < 4 * spread / math.sqrt(400)  # E[X²] = 1
    assert np.mean(errors) == pytest.approx(spread, rel=4 / math.sqrt(800))


def test_both_forms_are_the_sums_of_the_formulas():
    p, q = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.2, 0.2, 0.2, 0.4])
    f = np.array([1.0, 10.0, 100.0, 1000.0])
    draws = np.repeat(np.arange(4), (10 * q).astype(int))  # exactly as often as Q says
    with np.errstate(divide="ignore"):
        log_p = np.log(p)[draws]
    plain = sp.importance_estimate(f[draws], log_p, np.log(q)[draws])
    normalised = sp.importance_estimate(f[draws], log_p, np.log(q)[draws], self_normalised=True)
    assert plain.estimate == pytest.approx((p * f).sum())
    assert normalised.estimate == pytest.approx((p * f).sum())
    weights = (p / q)[draws]
    assert plain.effective_size == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert plain.largest_share == pytest.approx(2.5 / 10)


def test_what_q_never_draws_is_missing():
    p, q, f = np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([2.0, 8.0])
    draws = np.zeros(10, dtype=int)  # Q draws the first value only
    result = sp.importance_estimate(f[draws], np.log(p)[draws], np.log(q[draws]))
    assert result.estimate == pytest.approx(1)  # and not (2 + 8) / 2: half of P is out of reach
    assert result.effective_size == 10  # which no diagnosis shows


def test_effective_sample_size():
    assert sp.effective_sample_size([1, 2, 3, 4]) == pytest.approx(10 / 3)
    assert sp.effective_sample_size([0, 0, 5]) == 1
    x = np.random.default_rng(0).normal(size=500)
    result = sp.importance_estimate(x, norm.logpdf(x), norm.logpdf(x))
    assert result.effective_size == pytest.approx(500)  # P = Q
    assert result.estimate == pytest.approx(x.mean())
    assert result.standard_error == pytest.approx(x.std(ddof=1) / math.sqrt(500))
    assert result.largest_share == pytest.approx(1 / 500)
    x = np.random.default_rng(0).normal(0.5, size=100_000)
    size = sp.importance_estimate(x, norm.logpdf(x), norm.logpdf(x, 0.5)).effective_size
    assert size == pytest.approx(100_000 * math.exp(-(0.5**2)), rel=0.02)  # n exp(-μ²)


@given(st.lists(st.floats(1e-150, 1e150), min_size=1, max_size=20), st.floats(1e-100, 1e100))
def test_effective_sample_size_knows_no_unit(weights, factor):
    size = sp.effective_sample_size(weights)
    assert 1 - 1e-9 <= size <= len(weights) + 1e-9
    assert sp.effective_sample_size(np.array(weights) * factor) == pytest.approx(size)


def test_exploding_weights_are_diagnosed():
    x = np.random.default_rng(0).normal(3, size=10_000)
    result = sp.importance_estimate(x > 0, norm.logpdf(x), norm.logpdf(x, 3), self_normalised=True)
    assert result.effective_size < 100
    assert result.largest_share > 0.1


@pytest.mark.parametrize("shift", [-600, 600])
def test_small_and_large_densities_keep_their_standard_error(shift):
    near = sp.importance_estimate([1, 2, 5], [-1, -2, -3], [0, 0, 0])
    far = sp.importance_estimate([1, 2, 5], np.array([-1, -2, -3]) + shift, [0, 0, 0])
    factor = math.exp(shift)
    assert far.estimate == pytest.approx(near.estimate * factor, rel=1e-12, abs=0)
    assert far.standard_error == pytest.approx(near.standard_error * factor, rel=1e-12, abs=0)
    assert far[2:] == pytest.approx(near[2:])


def test_far_logarithms_do_not_underflow_when_self_normalised():
    log_p = np.log([0.1, 0.2, 0.3, 0.4])
    near, far = (
        sp.importance_estimate([1, 2, 3, 4], log_p + shift, np.zeros(4), self_normalised=True)
        for shift in (0, -5000)
    )
    assert np.allclose(near, far)
    assert near.estimate == pytest.approx(3)


# --- Reservoir sampling


def _by_update(k, stream, method, rng):
    sampler = sp.ReservoirSampler(k, method, rng)
    for item in stream:
        sampler.update(item)
    return sampler.sample_


WAYS = {
    "R": lambda k, stream, rng: sp.reservoir_sample(stream, k, "R", rng),
    "L": lambda k, stream, rng: sp.reservoir_sample(stream, k, "L", rng),
    "R by update": lambda k, stream, rng: _by_update(k, stream, "R", rng),
    "L by update": lambda k, stream, rng: _by_update(k, stream, "L", rng),
    "equal weights": lambda k, stream, rng: sp.weighted_reservoir_sample(
        ((item, 3.0) for item in stream), k, rng
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_set_of_items_is_equally_likely(way):
    rng = np.random.default_rng(0)
    drawn = Counter(frozenset(WAYS[way](2, iter(range(6)), rng)) for _ in range(6000))
    assert len(drawn) == 15
    assert chisquare(list(drawn.values())).pvalue > ONE_IN_10_000


@pytest.mark.parametrize("method", ["R", "L"])
def test_inclusion_is_k_over_n_at_every_moment_of_stopping(method):
    k, length, repeats = 3, 30, 5000
    held = np.zeros((length + 1, length))
    rng = np.random.default_rng(1)
    for _ in range(repeats):
        sampler = sp.ReservoirSampler(k, method, rng)
        for item in range(length):
            sampler.update(item)
            held[item + 1][sampler.sample_] += 1
    for n in range(1, length + 1):
        counts, share = held[n, :n], min(1, k / n)
        if n <= k:
            assert (counts == repeats).all()
            continue
        assert counts.sum() == k * repeats
        # Counts with the covariance of draws without replacement: chi-square on n - 1 degrees.
        statistic = ((counts - repeats * share) ** 2).sum()
        statistic /= repeats * share * (1 - share) * n / (n - 1)
        assert chi2.sf(statistic, n - 1) > ONE_IN_10_000


def _expected_replacements(k, n):
    return k * sum(1 / i for i in range(k + 1, n + 1))


def test_the_expected_replacements_of_the_course_map():
    assert _expected_replacements(10, 100_000) == pytest.approx(91.61, abs=0.005)
    assert _expected_replacements(100, 1_000_000) == pytest.approx(920.53, abs=0.005)


@pytest.mark.parametrize(
    ("method", "k", "n", "repeats"),
    [("L", 10, 100_000, 300), ("L", 100, 1_000_000, 30), ("R", 10, 100_000, 15)],
)
def test_replacements_are_as_expected(method, k, n, repeats):
    rng = np.random.default_rng(2)
    replaced = [
        sp.ReservoirSampler(k, method, rng).extend(range(n)).replacements_ for _ in range(repeats)
    ]
    entering = k / np.arange(k + 1, n + 1)
    deviation = math.sqrt((entering * (1 - entering)).sum() / repeats)
    assert abs(np.mean(replaced) - entering.sum()) < 4 * deviation
    assert np.isclose(entering.sum(), _expected_replacements(k, n))


def test_l_draws_random_numbers_only_at_replacements():
    for stream in (range(50), range(100_000)):
        rng = counting()
        sampler = sp.ReservoirSampler(10, "L", rng).extend(stream)
        assert rng.drawn == 3 * (1 + sampler.replacements_)
    rng = counting()
    sp.ReservoirSampler(10, "R", rng).extend(range(1000))
    assert rng.drawn == 990  # one for each item after the fill


@given(st.integers(1, 5), st.lists(st.integers(0, 60), max_size=4), st.integers(0, 999))
def test_a_stream_in_parts_is_the_stream(k, cuts, seed):
    """However the items come, one by one or in parts that end while L passes over."""
    cuts = [0, *sorted(cuts), 60]
    for method in ("R", "L"):
        whole = sp.ReservoirSampler(k, method, seed).extend(range(60))
        parts = sp.ReservoirSampler(k, method, seed)
        for start, end in pairwise(cuts):
            parts.extend(range(start, end))
            assert parts.seen_ == end
        assert parts.sample_ == whole.sample_ == _by_update(k, range(60), method, seed)
        assert parts.replacements_ == whole.replacements_


class _Item:
    alive = most = 0

    def __init__(self):
        _Item.alive += 1
        _Item.most = max(_Item.most, _Item.alive)

    def __del__(self):
        _Item.alive -= 1


@pytest.mark.parametrize("way", WAYS)
def test_the_stream_is_never_held(way):
    _Item.alive = _Item.most = 0
    sample = WAYS[way](7, (_Item() for _ in range(3000)), np.random.default_rng(0))
    assert len(sample) == 7
    assert _Item.most <= 7 + 3  # the reservoir, and the one or two that are looked at


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_shorter_than_the_reservoir_is_kept_whole(way):
    for length in (0, 1, 4, 5):
        sample = WAYS[way](5, iter(range(length)), np.random.default_rng(0))
        assert sorted(sample) == list(range(length))


def test_l_is_ten_times_faster_than_r():
    seconds = {}
    for method in ("R", "L"):
        start = perf_counter()
        sp.reservoir_sample(range(2_000_000), 100, method, random_state=0)
        seconds[method] = perf_counter() - start
    assert seconds["R"] > 10 * seconds["L"]


def _successive(weights, k):
    """The probability of each set of k under successive sampling, over all orders of drawing."""
    chance = Counter()
    for order in permutations(range(len(weights)), k):
        probability, left = 1.0, sum(weights)
        for i in order:
            probability *= weights[i] / left
            left -= weights[i]
        chance[frozenset(order)] += probability
    return chance


def _agree(drawn, chance, repeats):
    sets = list(chance)
    assert set(drawn) <= set(sets)
    observed = [drawn[s] for s in sets]
    assert chisquare(observed, [repeats * chance[s] for s in sets]).pvalue > ONE_IN_10_000


@pytest.mark.parametrize(
    ("weights", "k"),
    [([1, 2, 3, 4], 2), ([4, 3, 2, 1], 2), ([0.1, 50, 1, 1, 7], 3), ([2, 5, 1], 1)],
)
def test_the_weighted_reservoir_is_successive_sampling_at_every_moment(weights, k):
    rng, repeats = np.random.default_rng(3), 8000
    drawn = [Counter() for _ in weights]
    for _ in range(repeats):
        sampler = sp.WeightedReservoirSampler(k, rng)
        for item, weight in enumerate(weights):
            sampler.update(item, weight)
            drawn[item][frozenset(sampler.sample_)] += 1
    for item in range(k, len(weights)):
        _agree(drawn[item], _successive(weights[: item + 1], k), repeats)


def test_the_weighted_reservoir_draws_as_numpys_choice_does():
    weights, repeats = np.array([1, 2, 3, 4, 10]), 5000
    rng = np.random.default_rng(4)
    ours, theirs = Counter(), Counter()
    for _ in range(repeats):
        ours[frozenset(sp.weighted_reservoir_sample(enumerate(weights), 3, rng))] += 1
        theirs[frozenset(rng.choice(5, 3, replace=False, p=weights / 20).tolist())] += 1
    table = [[counts[s] for s in set(ours) | set(theirs)] for counts in (ours, theirs)]
    assert chi2_contingency(table).pvalue > ONE_IN_10_000


def test_inclusion_by_weight_is_not_k_times_the_share():
    chance = _successive([1, 2, 3, 4], 2)
    inclusion = [sum(p for s, p in chance.items() if i in s) for i in range(4)]
    assert np.allclose(inclusion, [0.2345, 0.4413, 0.6083, 0.7159], atol=1e-4)
    assert sum(inclusion) == pytest.approx(2)


def test_the_weighted_reservoir_jumps():
    rng = counting()
    sampler = sp.WeightedReservoirSampler(10, rng)
    for item in range(20_000):
        sampler.update(item, 1 + item % 7)
    assert rng.drawn == 10 + 1 + 2 * sampler.replacements_
    assert sampler.replacements_ < 150  # about k (H_n - H_k) = 76
    assert sampler.seen_ == 20_000


@settings(max_examples=50)
@given(weight_lists, st.integers(1, 5), st.integers(-20, 20))
def test_the_unit_of_the_weights_does_not_matter(weights, k, power):
    pairs = list(enumerate(weights))
    scaled = [(item, weight * 2.0**power) for item, weight in pairs]
    sample = sp.weighted_reservoir_sample(pairs, k, 0)
    assert sample == sp.weighted_reservoir_sample(scaled, k, 0)
    assert len(sample) == min(k, sum(weight > 0 for weight in weights))
    assert all(weights[item] > 0 for item in sample)


def test_items_need_no_order():
    items = [{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}]  # dicts cannot be compared
    sample = sp.weighted_reservoir_sample([(item, 1) for item in items], 2, 0)
    assert all(item in items for item in sample)


# --- Any helper


def test_the_same_seed_gives_the_same_sample():
    weights, graph = np.arange(1, 30), nx.gnp_random_graph(30, 0.2, seed=0)
    for draw in (
        lambda seed: sp.convenience_sample(1000, 5, seed),
        lambda seed: sp.snowball_sample(graph, [0], 2, 2, seed),
        lambda seed: sp.judgement_sample(weights, 5, 9.0, seed),
        lambda seed: sp.quota_sample(np.arange(60) % 3, {0: 2, 2: 3}, seed),
        lambda seed: sp.simple_random_sample(1000, 5, seed)[0],
        lambda seed: sp.stratified_sample(np.arange(60) % 3, 9, seed)[0],
        lambda seed: sp.weighted_sample(weights, 5, False, seed)[0],
        lambda seed: sp.weighted_sample(weights, 5, True, seed)[0],
        lambda seed: sp.reservoir_sample(range(1000), 5, "L", seed),
        lambda seed: sp.weighted_reservoir_sample(enumerate(weights), 5, seed),
    ):
        assert list(draw(1)) == list(draw(1)) == list(draw(np.random.default_rng(1)))
        assert any(list(draw(1)) != list(draw(seed)) for seed in (2, 3, 4))


def test_inputs_are_never_changed():
    weights, labels = np.array([1.0, 2.0, 3.0]), np.array(["a", "a", "b"], dtype=object)
    groups = {"a": np.array([1, 0]), "b": np.array([2])}
    sizes, spreads = pd.Series({"a": 2, "b": 1}), pd.Series({"b": 1.0, "a": 2.0})
    frozen = (weights, labels, *groups.values())
    for array in frozen:
        array.flags.writeable = False
    before = (sizes.copy(), spreads.copy())
    sp.quota_sample(groups, sizes, 0)
    sp.stratified_sample(groups, sizes, 0)
    sp.stratified_sample(labels, 2, 0)
    sp.allocate(sizes, 2, "neyman", spreads)
    sp.stratified_error(sizes, spreads, sizes)
    sp.weighted_sample(weights, 2, random_state=0)
    sp.judgement_sample(weights, 2, 1.0, 0)
    sp.horvitz_thompson(weights, weights / 3)
    sp.importance_estimate(weights, weights, weights)
    sp.effective_sample_size(weights)
    for series, old in zip((sizes, spreads), before, strict=True):
        pd.testing.assert_series_equal(series, old)


SIZES, SPREADS = {"a": 5, "b": 2}, {"a": 1.0, "b": 0.5}
TWICE = pd.Series([1, 1, 1], index=["a", "a", "b"])
PATH = nx.path_graph(4)
TABLE = pd.DataFrame([[0.0] * 4], columns=COLUMNS)

BAD_INPUT = {
    "convenience n above rows": (sp.convenience_sample, (5, 6), "n must be at most.*5, got 6"),
    "convenience n of 0": (sp.convenience_sample, (5, 0), "n must be a whole number"),
    "no rows": (sp.convenience_sample, (0, 1), "n_rows must be"),
    "negative seed": (sp.convenience_sample, (5, 2, -1), "random_state"),
    "seed not in graph": (sp.snowball_sample, (PATH, [9], 1), r"seeds must be nodes.*\[9\]"),
    "seed alone": (sp.snowball_sample, (PATH, 9, 1), r"seeds must be nodes.*\[9\]"),
    "no seeds": (sp.snowball_sample, (PATH, [], 1), "seeds must be nodes"),
    "negative waves": (sp.snowball_sample, (PATH, [0], -1), "waves must be"),
    "fan_out of 0": (sp.snowball_sample, (PATH, [0], 1, 0), "fan_out must be"),
    "graph as dict": (sp.snowball_sample, ({0: [1]}, [0], 1), "graph must be a networkx graph"),
    "NaN score": (sp.judgement_sample, ([1.0, np.nan], 1), "scores holds 1 missing"),
    "text score": (sp.judgement_sample, (["a", "b"], 1), "scores must hold numbers"),
    "too few rated": (sp.judgement_sample, ([1.0, 2.0], 3), "n must be at most"),
    "negative noise": (sp.judgement_sample, ([1.0, 2.0], 1, -1), "noise"),
    "quota above stratum": (sp.quota_sample, (list("aab"), {"b": 2}), "quotas must be at most 1"),
    "unknown stratum": (sp.quota_sample, (list("aab"), {"z": 1}), "quotas must name strata.*'z'"),
    "negative quota": (sp.quota_sample, (list("aab"), {"a": -1}), "quotas must hold numbers"),
    "half a quota": (sp.quota_sample, (list("aab"), {"a": 1.5}), "quotas must hold whole"),
    "quotas as list": (sp.quota_sample, (list("aab"), [1, 1]), "quotas must give a number"),
    "no quotas": (sp.quota_sample, (list("aab"), {}), "quotas must give a number"),
    "no strata": (sp.quota_sample, ({}, {"a": 1}), "strata is empty"),
    "empty column": (sp.quota_sample, ([], {"a": 1}), "strata is empty"),
    "missing stratum": (sp.quota_sample, (["a", None], {"a": 1}), "strata holds 1 missing"),
    "strata of names": (sp.quota_sample, ({"a": ["x"]}, {"a": 1}), r"strata\['a'\] must hold row"),
    "no designs": (sp.sampling_error, ({}, 0), "designs must be a dict"),
    "designs as list": (sp.sampling_error, ([len], 0), "designs must be a dict"),
    "design is a number": (sp.sampling_error, ({"a": 3}, 0), r"designs\['a'\] must be a function"),
    "NaN estimate": (
        sp.sampling_error,
        ({"a": lambda rng: np.nan}, 0),
        {"progress": False},
        r"estimate of designs\['a'\]",
    ),
    "NaN truth": (sp.sampling_error, ({"a": lambda rng: 0.0}, np.nan), "truth must be"),
    "one repeat": (sp.sampling_error, ({"a": lambda rng: 0.0}, 0, 1), "repeats must be"),
    "simple n above rows": (sp.simple_random_sample, (5, 6), "n must be at most.*5, got 6"),
    "simple n of a half": (sp.simple_random_sample, (5, 2.5), "n must be a whole"),
    "probability of 0": (sp.horvitz_thompson, ([1, 2], [0.5, 0.0]), "inclusion must be above 0"),
    "negative probability": (sp.horvitz_thompson, ([1], [-0.5]), "inclusion must be above 0"),
    "NaN probability": (sp.horvitz_thompson, ([1], [np.nan]), "inclusion holds 1 missing"),
    "lengths": (sp.horvitz_thompson, ([1, 2], [0.5]), "inclusion must have 2 entries"),
    "nothing drawn": (sp.horvitz_thompson, ([], []), "values is empty"),
    "n below strata": (sp.allocate, (SIZES, 1), "n must be from 2.*to 7"),
    "n above rows": (sp.allocate, (SIZES, 8), "n must be from 2.*to 7"),
    "allocation": (sp.allocate, (SIZES, 3, "optimal"), "method must be one of"),
    "size of 0": (sp.allocate, ({"a": 0, "b": 2}, 2), "sizes must hold numbers from 1"),
    "no spreads": (sp.allocate, (SIZES, 3, "neyman"), "spreads must be given"),
    "spreads of no use": (sp.allocate, (SIZES, 3, "equal", SPREADS), "spreads must be given"),
    "a spread too few": (sp.allocate, (SIZES, 3, "neyman", {"a": 1}), "spreads must be given for"),
    "negative spread": (sp.allocate, (SIZES, 3, "neyman", {"a": 1, "b": -1}), "spreads must hold"),
    "stratum too small": (
        sp.stratified_sample,
        (list("aab"), {"a": 1, "b": 5}),
        "n must be at most 1 for 'b'.*got 5",
    ),
    "stratum left out": (sp.stratified_sample, (list("aab"), {"a": 1}), r"n must give.*\['b'\]"),
    "stratum given 0": (sp.stratified_sample, (list("aab"), {"a": 1, "b": 0}), "n must give"),
    "stratum made up": (sp.stratified_sample, (list("aab"), {"z": 1}), "n must name strata"),
    "fewer rows than strata": (sp.stratified_sample, (list("abc"), 2), "n must be from 3"),
    "strata of two columns": (sp.stratified_sample, (np.ones((3, 2)), 2), "strata must have one"),
    "counts above size": (sp.stratified_error, (SIZES, SPREADS, {"a": 6, "b": 1}), "counts must"),
    "counts of 0": (sp.stratified_error, (SIZES, SPREADS, {"a": 0, "b": 1}), "counts must hold"),
    "counts lack one": (sp.stratified_error, (SIZES, SPREADS, {"a": 1}), "counts must give"),
    "weights all 0": (sp.weighted_sample, ([0, 0], 1), "weights must have a sum above 0"),
    "too few above 0": (sp.weighted_sample, ([0, 3, 1], 3), "n must be at most 2, the weights"),
    "negative weight": (sp.weighted_sample, ([1, -1], 1), "weights must hold numbers from 0"),
    "infinite weight": (sp.weighted_sample, ([1, np.inf], 1), "weights must hold"),
    "NaN weight": (sp.weighted_sample, ([1, np.nan], 1, True), "weights holds 1 missing"),
    "weights too large": (sp.weighted_sample, ([1e308, 1e308], 1), "weights must have a sum"),
    "no weights": (sp.weighted_sample, ([], 1), "weights is empty"),
    "q of 0": (sp.importance_estimate, ([1, 1], [0, 0], [0, -np.inf]), "log_q must hold finite"),
    "p of 0 everywhere": (
        sp.importance_estimate,
        ([1, 1], [-np.inf, -np.inf], [0, 0]),
        "log_p must be above -inf",
    ),
    "p infinite": (sp.importance_estimate, ([1, 1], [0, np.inf], [0, 0]), "log_p must be below"),
    "p NaN": (sp.importance_estimate, ([1, 1], [0, np.nan], [0, 0]), "log_p holds 1 missing"),
    "overflow": (sp.importance_estimate, ([1, 1], [0, 800], [0, 0]), "at most 650"),
    "one draw": (sp.importance_estimate, ([1], [0], [0]), "at least two draws"),
    "infinite value": (sp.importance_estimate, ([1, np.inf], [0, 0], [0, 0]), "values must hold"),
    "log_q length": (sp.importance_estimate, ([1, 1], [0, 0], [0]), "log_q must have 2"),
    "ESS of zeros": (sp.effective_sample_size, ([0, 0],), "weights must not all be 0"),
    "ESS negative": (sp.effective_sample_size, ([1, -1],), "weights must hold"),
    "ESS of nothing": (sp.effective_sample_size, ([],), "weights is empty"),
    "k of 0": (sp.ReservoirSampler, (0,), "k must be a whole number of at least 1, got 0"),
    "k of a half": (sp.reservoir_sample, ([1, 2], 0.5), "k must be"),
    "method": (sp.reservoir_sample, ([1, 2], 1, "X"), "method must be one of"),
    "reservoir seed": (sp.reservoir_sample, ([1, 2], 1, "L", "a"), "random_state"),
    "stream is a number": (sp.reservoir_sample, (3, 1), "stream must be iterable, got int"),
    "weighted stream": (sp.weighted_reservoir_sample, (None, 1), "stream must be iterable"),
    "weighted k": (sp.WeightedReservoirSampler, (-1,), "k must be"),
    "item without weight": (sp.weighted_reservoir_sample, ([1, 2], 1), "stream must hold pairs"),
    "item weight negative": (
        sp.weighted_reservoir_sample,
        ([("a", 1), ("b", -1)], 1),
        "weight must be a number at least 0, got -1",
    ),
    "item weight infinite": (sp.WeightedReservoirSampler(1).update, ("a", np.inf), "weight must"),
    "item weight NaN": (sp.WeightedReservoirSampler(1).update, ("a", np.nan), "weight must be"),
    "item weight text": (sp.WeightedReservoirSampler(1).update, ("a", "1"), "weight must be"),
    "p far below q": (sp.importance_estimate, ([1, 2], [-800, -900], [0, 0]), "reach -650.*-800"),
    "row number below 0": (sp.quota_sample, ({"a": [0, -1]}, {"a": 1}), r"strata\['a'\].*from 0"),
    "row number twice": (sp.stratified_sample, ({"a": [3, 0, 3]}, 2), r"strata\['a'\].*once"),
    "sizes twice": (sp.allocate, (TWICE, 3), "sizes must give each stratum once, got 'a' again"),
    "n twice": (sp.stratified_sample, (list("aab"), TWICE), "n must give each stratum once"),
    "quotas twice": (sp.quota_sample, (list("aab"), TWICE), "quotas must give each stratum once"),
    "counts twice": (sp.stratified_error, (SIZES, SPREADS, TWICE), "counts must give each.*once"),
    "spreads twice": (sp.stratified_error, (SIZES, TWICE, SIZES), "spreads must give each.*once"),
    "rows beyond integers": (sp.simple_random_sample, (10**30, 2), "n_rows must be at most"),
    "size beyond integers": (sp.allocate, ({"a": 1e19, "b": 5}, 3), r"sizes must.*up to 2\*\*53"),
    "plot of a dict": (sp.plot_sampling_error, ({},), "table must be a DataFrame"),
    "plot lacks a column": (sp.plot_sampling_error, (TABLE[["bias"]],), "table must be"),
    "plot of no rows": (sp.plot_sampling_error, (TABLE.iloc[:0],), "at least one row"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_by_name(case):
    function, args, *options, message = BAD_INPUT[case]
    with pytest.raises((ValueError, TypeError), match=message):
        function(*args, **(options[0] if options else {}))


# --- Exercises: the mistakes that people make, and a word of the diagnosis that each must meet


def _holds_the_stream(stream, k, rng):
    items = list(stream)
    return [items[i] for i in rng.choice(len(items), min(k, len(items)), replace=False)]


def _reservoir(enters, place):
    def attempt(stream, k, rng):
        held = []
        for n, item in enumerate(stream, start=1):
            if n <= k:
                held.append(item)
            elif enters(n, k, rng):
                held[place(k, rng)] = item
        return held

    return attempt


def _first_k(stream, k, rng):
    return [item for _, item in zip(range(k), stream, strict=False)]


def _fair(n, k, rng):
    return rng.random() < k / n


def _any_place(k, rng):
    return rng.integers(k)


def _with_gaps(stream, k, rng):
    held = [None] * k
    for n, item in enumerate(stream):
        place = n if n < k else rng.integers(n + 1)
        if place < k:
            held[place] = item
    return held


def _draw_strata(replace=False, inclusion=lambda count, members, total: count / members):
    def attempt(strata, counts, rng):
        rows, chances = [], []
        for label, count in counts.items():
            members = np.flatnonzero(strata == label)
            rows.append(rng.choice(members, count, replace=replace))
            chances.append(np.full(count, inclusion(count, len(members), len(strata))))
        return np.concatenate(rows), np.concatenate(chances)

    return attempt


def _head_of_strata(strata, counts, rng):
    rows = [np.flatnonzero(strata == label)[:count] for label, count in counts.items()]
    chances = [np.full(c, c / (strata == label).sum()) for label, c in counts.items()]
    return np.concatenate(rows), np.concatenate(chances)


def _block_of_strata(strata, counts, rng):
    rows, inclusion = [], []
    for label, count in counts.items():
        members = np.flatnonzero(strata == label)
        start = rng.integers(len(members))
        rows.append(np.roll(members, -start)[:count])
        inclusion.append(np.full(count, count / len(members)))
    return np.concatenate(rows), np.concatenate(inclusion)


def _simple_instead(strata, counts, rng):
    n = sum(counts.values())
    return np.arange(len(strata))[-n:], np.full(n, n / len(strata))


def _without_shift(log_p, log_q):
    with np.errstate(all="ignore"):
        weights = np.exp(log_p - log_q)
        weights = weights / weights.sum()
        return weights, 1 / (weights**2).sum()


def _inverted(log_p, log_q):
    weights = np.exp(log_q - log_p)
    weights = weights / weights.sum()
    return weights, 1 / (weights**2).sum()


def _not_normalised(log_p, log_q):
    weights = np.exp(log_p - log_q)
    return weights, weights.sum() ** 2 / (weights**2).sum()


def _sum_of_squares(log_p, log_q):
    weights, size = _without_shift(log_p, log_q)
    return weights, 1 / size


WRONG_ANSWERS = {
    "reservoir": [
        (_holds_the_stream, "hold k of them"),
        (_first_k, "before the end"),
        (_reservoir(lambda n, k, rng: True, _any_place), "not for certain"),
        (_reservoir(lambda n, k, rng: rng.random() < 0.9, _any_place), "far too seldom"),
        (_reservoir(lambda n, k, rng: rng.random() < 0.5, _any_place), "equally likely"),
        (_reservoir(_fair, lambda k, rng: k - 1), "never thrown out"),
        (_reservoir(lambda n, k, rng: rng.random() < k / (n + 1), _any_place), "equally likely"),
        (_with_gaps, "without gaps"),
        (lambda stream, k, rng: np.array(list(stream)[:k]), "Return a list"),
    ],
    "draw_strata": [
        (_simple_instead, "The strata got"),
        (_draw_strata(replace=True), "drawn twice"),
        (_draw_strata(inclusion=lambda count, members, total: 7 / total), "its own"),
        (_draw_strata(inclusion=lambda count, members, total: count / total), "over the rows it"),
        (_head_of_strata, "never drawn"),
        (_block_of_strata, "equally likely"),
        (lambda strata, counts, rng: _draw_strata()(strata, counts, rng)[0], "two arrays"),
    ],
    "estimated_mean": [
        (lambda values, inclusion, n_rows: values.mean(), "plain mean"),
        (lambda values, inclusion, n_rows: (values / inclusion).sum(), "total"),
        (lambda values, inclusion, n_rows: (values * inclusion).sum() / n_rows, "seldom"),
        (lambda values, inclusion, n_rows: (values / inclusion).mean(), "not by the rows drawn"),
        (
            lambda values, inclusion, n_rows: (values / inclusion).sum() / (1 / inclusion).sum(),
            "Hájek",
        ),
    ],
    "neyman": [
        (lambda sizes, spreads, n: n * sizes / sizes.sum(), "proportional"),
        (lambda sizes, spreads, n: n * spreads / spreads.sum(), "size counts"),
        (
            lambda sizes, spreads, n: n * sizes * spreads**2 / (sizes * spreads**2).sum(),
            "not to the variance",
        ),
        (lambda sizes, spreads, n: sizes * spreads, "sum to"),
        (
            lambda sizes, spreads, n: np.round(n * sizes * spreads / (sizes * spreads).sum()),
            "without rounding",
        ),
    ],
    "importance_weights": [
        (_without_shift, "far below zero"),
        (_inverted, "Q / P"),
        (_not_normalised, "not to 1"),
        (_sum_of_squares, "its inverse"),
        (lambda log_p, log_q: _without_shift(log_p, log_q)[0], "two things"),
    ],
}
