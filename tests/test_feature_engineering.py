"""Chapter 08 against known answers: closed forms, published figures, scikit-learn, pandas."""

import hashlib
import pickle
import subprocess
import sys
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import optimize, stats
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction import FeatureHasher
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import murmurhash3_32
from sklearn.utils.estimator_checks import parametrize_with_checks

from mlsys_helpers import feature_engineering as fe
from mlsys_helpers.datasets import load_flights, load_weather
from mlsys_helpers.exercises._engine import CORRECT, judge

MECHANISMS = ["MCAR", "MAR", "MNAR"]

# Daily air quality in New York, May to September 1973; "." is missing. Measured by the state's
# Department of Conservation and the National Weather Service; published in J. M. Chambers et al.,
# Graphical Methods for Data Analysis (1983), and with R as `airquality`.
AIR_QUALITY = {
    "ozone": """
        41 36 12 18 . 28 23 19 8 . 7 16 11 14 18 14 34 6 30 11 1 11 4 32 . . . 23 45 115 37 . . .
        . . . 29 . 71 39 . . 23 . . 21 37 20 12 13 . . . . . . . . . . 135 49 32 . 64 40 77 97 97
        85 . 10 27 . 7 48 35 61 79 63 16 . . 80 108 20 52 82 50 64 59 39 9 16 78 35 66 122 89 110
        . . 44 28 65 . 22 59 23 31 44 21 9 . 45 168 73 . 76 118 84 85 96 78 73 91 47 32 20 23 21
        24 44 21 28 9 13 46 18 13 24 16 13 23 36 7 14 30 . 14 18 20""",
    "solar": """
        190 118 149 313 . . 299 99 19 194 . 256 290 274 65 334 307 78 322 44 8 320 25 92 66 266 .
        13 252 223 279 286 287 242 186 220 264 127 273 291 323 259 250 148 332 322 191 284 37 120
        137 150 59 91 250 135 127 47 98 31 138 269 248 236 101 175 314 276 267 272 175 139 264 175
        291 48 260 274 285 187 220 7 258 295 294 223 81 82 213 275 253 254 83 24 77 . . . 255 229
        207 222 137 192 273 157 64 71 51 115 244 190 259 36 255 212 238 215 153 203 225 237 188
        167 197 183 189 95 92 252 220 230 259 236 259 238 24 112 237 224 27 238 201 238 14 139 49
        20 193 145 191 131 223""",
    "wind": """
        7.4 8 12.6 11.5 14.3 14.9 8.6 13.8 20.1 8.6 6.9 9.7 9.2 10.9 13.2 11.5 12 18.4 11.5 9.7
        9.7 16.6 9.7 12 16.6 14.9 8 12 14.9 5.7 7.4 8.6 9.7 16.1 9.2 8.6 14.3 9.7 6.9 13.8 11.5
        10.9 9.2 8 13.8 11.5 14.9 20.7 9.2 11.5 10.3 6.3 1.7 4.6 6.3 8 8 10.3 11.5 14.9 8 4.1 9.2
        9.2 10.9 4.6 10.9 5.1 6.3 5.7 7.4 8.6 14.3 14.9 14.9 14.3 6.9 10.3 6.3 5.1 11.5 6.9 9.7
        11.5 8.6 8 8.6 12 7.4 7.4 7.4 9.2 6.9 13.8 7.4 6.9 7.4 4.6 4 10.3 8 8.6 11.5 11.5 11.5 9.7
        11.5 10.3 6.3 7.4 10.9 10.3 15.5 14.3 12.6 9.7 3.4 8 5.7 9.7 2.3 6.3 6.3 6.9 5.1 2.8 4.6
        7.4 15.5 10.9 10.3 10.9 9.7 14.9 15.5 6.3 10.9 11.5 6.9 13.8 10.3 10.3 8 12.6 9.2 10.3
        10.3 16.6 6.9 13.2 14.3 8 11.5""",
    "temp": """
        67 72 74 62 56 66 65 59 61 69 74 69 66 68 58 64 66 57 68 62 59 73 61 61 57 58 57 67 81 79
        76 78 74 67 84 85 79 82 87 90 87 93 92 82 80 79 77 72 65 73 76 77 76 76 76 75 78 73 80 77
        83 84 85 81 84 83 83 88 92 92 89 82 73 81 91 80 81 82 84 87 85 74 81 82 86 85 82 86 88 86
        83 81 81 81 82 86 85 87 89 90 90 92 86 86 82 80 79 77 79 76 78 78 77 72 75 79 81 86 88 97
        94 96 94 91 92 93 93 87 84 80 78 75 73 81 76 77 71 71 78 67 76 68 82 64 71 81 69 63 70 77
        75 76 68""",
}


@pytest.fixture(scope="module")
def air_quality():
    frame = pd.DataFrame(
        {
            name: pd.to_numeric(pd.Series(text.split()).replace(".", None))
            for name, text in AIR_QUALITY.items()
        }
    )
    days = pd.date_range("1973-05-01", "1973-09-30")
    return frame.assign(month=days.month, day=days.day)


@pytest.fixture(scope="module")
def related():
    """Two normal columns with correlation 0.8, and a third that is related to neither."""
    rng = np.random.default_rng(0)
    cause = rng.normal(size=20_000)
    effect = 0.8 * cause + 0.6 * rng.normal(size=20_000)
    return pd.DataFrame({"cause": cause, "effect": effect, "noise": rng.normal(size=20_000)})


# --- Features by hand


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("It's here, isn't it?", "it is here is not it"),
        ("We’ll go; they've gone.", "we will go they have gone"),  # a typographic apostrophe
        (
            "I'm sure you're right: I can't, won't, shan't!",
            "i am sure you are right i can not will not shall not",
        ),
        ("Let's see Anna's map", "let us see anna map"),
        ("snake_case\tand\nlines", "snake case and lines"),
        ("Ärger in Zürich", "ärger in zürich"),
        ("... !!!", ""),
        ("", ""),
    ],
)
def test_clean_text(text, clean):
    assert fe.clean_text(text) == clean


@given(st.text(max_size=60))
def test_clean_text_leaves_words_only_and_has_nothing_left_to_do(text):
    clean = fe.clean_text(text)
    assert all(character.isalnum() or character == " " for character in clean)
    assert clean == " ".join(clean.split())
    assert fe.clean_text(clean) == clean


@pytest.mark.parametrize("text", [None, 3, np.nan, b"bytes"])
def test_clean_text_refuses_what_is_no_text(text):
    with pytest.raises(TypeError, match="text must be a string"):
        fe.clean_text(text)


@pytest.fixture
def post():
    comments = pd.DataFrame(
        {
            "user": ["ann", "bot", "ann"],
            "thread": [1, 1, 2],
            "posted": pd.to_datetime(["2013-06-10", "2013-06-09", "2013-06-11"]),
            "text": ["Late again", "WIN!! http://x.example https://y.example", ""],
            "likes": [4, 0, 1],
            "reposts": [1, 9, 0],
        },
        index=[7, 3, 5],
    )
    users = pd.DataFrame(
        {
            "user": ["bot", "ann"],
            "created": pd.to_datetime(["2013-06-09", "2013-05-31"]),
            "posts": [500, 20],
            "likes": [5, 60],
            "followers": [1, 30],
            "following": [0, 15],
        }
    )
    return comments, users, pd.DataFrame({"thread": [2, 1], "impressions": [10, 9000]})


def test_thread_features_by_hand(post):
    features = fe.thread_features(*post)
    assert features.index.tolist() == [7, 3, 5]
    assert features["comment_links"].tolist() == [0, 2, 0]
    assert features["comment_exclamations"].tolist() == [0, 2, 0]
    assert features["comment_capitals"].tolist() == pytest.approx([1 / 9, 3 / 28, 0])
    assert features["user_age_days"].tolist() == [10, 0, 11]
    assert features["user_posts_a_day"].tolist() == pytest.approx([2, 500, 20 / 11])
    assert features["user_likes_a_post"].tolist() == [3, 0.01, 3]
    assert features["user_followers_ratio"].tolist() == [2, 1, 2]
    assert features["thread_impressions"].tolist() == [9000, 9000, 10]
    assert features["thread_comments_before"].tolist() == [1, 0, 0]  # by the clock, not the row


def test_thread_features_refuses_by_name(post):
    comments, users, threads = post
    refused = [
        ((comments.drop(columns="likes"), users, threads), "comments, got 'likes'"),
        ((comments, users.iloc[:1], threads), "users lacks the user 'ann'"),
        ((comments, pd.concat([users, users]), threads), "users must hold each user once"),
        ((comments, users, threads.iloc[:1]), "threads lacks the thread 1"),
        ((comments.iloc[:0], users, threads), "comments is empty"),
        ((comments.assign(posted=pd.Timestamp("2000-01-01")), users, threads), "before its author"),
        ((comments.assign(posted="2013"), users, threads), r"comments\['posted'\] must hold times"),
        ((comments.assign(posted=pd.NaT), users, threads), r"comments\['posted'\] holds 3 missing"),
        ((comments, users.assign(posts=-1), threads), r"users\['posts'\] must hold numbers from 0"),
        (
            (comments, users, threads.assign(impressions="x")),
            r"threads\['impressions'\] must hold n",
        ),
    ]
    for arguments, message in refused:
        with pytest.raises(ValueError, match=message):
            fe.thread_features(*arguments)
    with pytest.raises(TypeError, match="must hold strings, got 3"):
        fe.thread_features(comments.assign(text=3), users, threads)
    with pytest.raises(TypeError, match="users must be a DataFrame"):
        fe.thread_features(comments, [1], threads)


# --- Missing values: the report and the mechanisms


def test_the_real_columns_are_missing_for_the_reasons_given():
    weather = load_weather()
    wet = weather["precip"].gt(0).map({True: "wet", False: "dry"})
    report = fe.missing_report(weather[["pressure", "wind_gust"]], by=wet)
    assert report.index.tolist() == ["wind_gust", "pressure"]
    assert report.loc["pressure", ["dry", "wet"]].round(2).tolist() == [0.07, 0.53]
    assert stats.chi2_contingency(pd.crosstab(weather["pressure"].isna(), wet)).pvalue < 1e-10
    assert report["share"].equals(weather[["wind_gust", "pressure"]].isna().mean())
    assert weather["wind_gust"].min() > 16  # no gust below is ever reported


def test_missing_report_counts_every_kind_of_missing():
    frame = pd.DataFrame({"a": [1, None, 3], "b": ["x", None, np.nan], "c": [pd.NaT] * 3})
    report = fe.missing_report(frame, by=["u", "u", None])
    assert report.index.tolist() == ["c", "b", "a"]
    assert report["missing"].to_dict() == {"a": 1, "b": 2, "c": 3}
    assert report["u"].to_dict() == {"a": 0.5, "b": 0.5, "c": 1}


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_make_missing_removes_the_share_asked_for(related, mechanism, share):
    by = "cause" if mechanism == "MAR" else None
    gappy = fe.make_missing(related, "effect", mechanism, share, by=by, random_state=1)
    gone = gappy["effect"].isna()
    assert abs(gone.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(gone))
    pd.testing.assert_frame_equal(gappy[~gone], related[~gone])
    assert gappy[["cause", "noise"]].equals(related[["cause", "noise"]])
    assert gappy.equals(fe.make_missing(related, "effect", mechanism, share, by=by, random_state=1))


def test_each_mechanism_has_the_reason_it_says(related):
    """Gaps go with nothing, with the deciding column, with the value: by a rank correlation."""

    def link(mechanism, column, by=None):
        gappy = fe.make_missing(related, "effect", mechanism, 0.5, by=by, random_state=2)
        return stats.spearmanr(gappy["effect"].isna(), related[column]).statistic

    assert abs(link("MCAR", "effect")) < 4 / np.sqrt(len(related))
    assert link("MAR", "noise", by="noise") > 0.4
    assert abs(link("MAR", "effect", by="noise")) < 4 / np.sqrt(len(related))
    assert link("MNAR", "effect") > 0.4


def test_mnar_on_a_uniform_column_has_a_closed_form():
    """With P(gone) = 2 s u, what is left of a uniform u has the mean (1/2 - 2 s / 3) / (1 - s)."""
    frame = pd.DataFrame({"u": np.random.default_rng(3).random(200_000)})
    for share in (0.2, 0.5):
        left = fe.make_missing(frame, "u", "MNAR", share, random_state=4)["u"]
        expected = (1 / 2 - 2 * share / 3) / (1 - share)
        assert left.mean() == pytest.approx(expected, abs=4 * left.std() / np.sqrt(left.count()))


def test_make_missing_on_other_columns():
    frame = pd.DataFrame({"whole": range(100), "word": list("ab") * 50, "gaps": [1.0, None] * 50})
    assert fe.make_missing(frame, "whole", "MCAR", 1)["whole"].isna().all()
    assert fe.make_missing(frame, "whole", "MCAR", 0)["whole"].tolist() == list(range(100))
    words = fe.make_missing(frame, "word", "MNAR", 0.5, random_state=0)["word"]
    assert words.isna().groupby(frame["word"]).mean()["b"] > 0.5  # b comes after a
    gaps = fe.make_missing(frame, "gaps", "MCAR", 0.5, random_state=0)["gaps"]
    assert gaps[1::2].isna().all() and 10 < gaps[::2].isna().sum() < 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "MCAR", 1.5), "share must be a number at least 0 and at most 1, got 1.5"),
        (("a", "mcar"), "mechanism must be one of 'MCAR', 'MAR', 'MNAR', got 'mcar'"),
        (("z", "MCAR"), "column must name a column of frame, got 'z'"),
        (("a", "MAR"), "by is needed for the mechanism 'MAR'"),
    ],
)
def test_make_missing_refuses_by_name(arguments, message):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, None], "c": [[1], {}]})
    with pytest.raises(ValueError, match=message):
        fe.make_missing(frame, *arguments)


def test_make_missing_needs_an_order_and_plain_column_names():
    frame = pd.DataFrame({"size": pd.Categorical(["S", "M", "L"] * 200), "n": range(600)})
    with pytest.raises(ValueError, match="'size' must hold ordered categories"):
        fe.make_missing(frame, "size", "MNAR")
    with pytest.raises(ValueError, match="'size' must hold ordered categories"):
        fe.make_missing(frame, "n", "MAR", by="size")
    frame["size"] = frame["size"].cat.set_categories(["S", "M", "L"], ordered=True)
    gone = fe.make_missing(frame, "size", "MNAR", random_state=0)["size"].isna()
    assert gone.groupby(frame["size"], observed=True).mean().is_monotonic_increasing
    levels = pd.DataFrame([[1.0, 2.0]], columns=pd.MultiIndex.from_product([["a"], ["b", "c"]]))
    with pytest.raises(ValueError, match="frame must have one level of column names"):
        fe.make_missing(levels, "a", "MCAR")


def test_make_missing_refuses_a_deciding_column_that_cannot_decide():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, None], "c": ["x", 3]})
    refused = [
        ({"mechanism": "MCAR", "by": "b"}, "of no use to the mechanism 'MCAR'"),
        ({"mechanism": "MAR", "by": "b"}, "'b' holds missing values"),
        ({"mechanism": "MAR", "by": "a"}, "another column than 'a'"),
        ({"mechanism": "MAR", "by": "z"}, "by must name a column of frame"),
        ({"mechanism": "MAR", "by": "c"}, "'c' must hold values that can be ordered"),
        ({"mechanism": "MCAR", "random_state": -1}, "random_state"),
    ]
    for arguments, message in refused:
        with pytest.raises(ValueError, match=message):
            fe.make_missing(frame, "a", **arguments)


# --- Little's test


def test_little_is_the_published_figure(air_quality):
    """R's naniar 1.1, `mcar_test(airquality)`; its EM stops at a tolerance of 1e-4."""
    test = fe.little_mcar_test(air_quality)
    assert test.statistic == pytest.approx(35.1061288689702, abs=2e-4)
    assert (test.df, test.patterns) == (14, 4)
    assert test.p_value == pytest.approx(0.00141778113856683, rel=1e-4)


def test_rows_without_any_value_change_nothing(air_quality):
    empty = pd.DataFrame(np.nan, index=range(5), columns=air_quality.columns)
    with_empty = pd.concat([air_quality, empty], ignore_index=True).astype(float)
    before, after = fe.little_mcar_test(air_quality), fe.little_mcar_test(with_empty)
    assert after.statistic == pytest.approx(before.statistic, rel=1e-9)
    assert (after.df, after.patterns) == (before.df, before.patterns)


def test_the_mean_under_a_monotone_pattern_is_andersons(related):
    """Anderson (1957): with x complete, the estimate of y's mean is m_y + b (mean x - m_x)."""
    frame = related[["cause", "effect"]].head(500)
    gappy = fe.make_missing(frame, "effect", "MAR", 0.4, by="cause", random_state=5)
    test = fe.little_mcar_test(gappy)
    x, y = gappy["cause"].to_numpy(), gappy["effect"].to_numpy()
    kept = ~np.isnan(y)
    slope = np.cov(x[kept], y[kept], ddof=0)[0, 1] / x[kept].var()
    expected = y[kept].mean() + slope * (x.mean() - x[kept].mean())
    assert test.mean["cause"] == pytest.approx(x.mean(), abs=1e-9)
    assert test.mean["effect"] == pytest.approx(expected, abs=1e-6)
    assert test.covariance.loc["cause", "cause"] == pytest.approx(x.var(), abs=1e-9)  # divisor n
    residual = (y[kept] - y[kept].mean() - slope * (x[kept] - x[kept].mean())).var()
    assert test.covariance.loc["effect", "effect"] == pytest.approx(
        residual + slope**2 * x.var(), abs=1e-6
    )


def test_the_estimates_maximise_the_likelihood(related):
    """A general optimiser, started at the estimates, finds nothing better; any pattern of gaps."""
    X = related.head(60).to_numpy().copy()
    X[np.random.default_rng(6).random(X.shape) < 0.3] = np.nan
    X = X[~np.isnan(X).all(axis=1)]
    test = fe.little_mcar_test(pd.DataFrame(X))
    lower = np.tril_indices(3)

    def minus_log_likelihood(parameters):
        factor = np.zeros((3, 3))
        factor[lower] = parameters[3:]
        total = 0
        for row in X:
            has = ~np.isnan(row)
            sigma = (factor @ factor.T)[np.ix_(has, has)]
            total -= stats.multivariate_normal.logpdf(row[has], parameters[:3][has], sigma)
        return total

    start = np.r_[test.mean, np.linalg.cholesky(test.covariance)[lower]]
    found = optimize.minimize(minus_log_likelihood, start, method="BFGS")
    assert minus_log_likelihood(start) == pytest.approx(found.fun, abs=1e-6)
    assert np.allclose(found.x, start, atol=1e-3)


def test_two_patterns_in_one_complete_column_are_a_test_of_two_means(related):
    """The statistic is then n0 n1 / n (difference of means)^2 / variance, on one degree."""
    gappy = fe.make_missing(
        related[["cause", "effect"]].head(400), "effect", "MCAR", 0.3, random_state=7
    )
    gone = gappy["effect"].isna()
    x = gappy["cause"]
    n1, n0 = gone.sum(), (~gone).sum()
    expected = n0 * n1 / len(x) * (x[gone].mean() - x[~gone].mean()) ** 2 / x.var(ddof=0)
    test = fe.little_mcar_test(gappy)
    # The pattern that has both columns also compares the second mean, which fits exactly.
    assert (test.df, test.patterns) == (1, 2)
    assert test.statistic == pytest.approx(expected, rel=1e-5)


def test_degrees_of_freedom_by_formula():
    X = np.random.default_rng(8).normal(size=(400, 4))
    patterns = [[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 0, 1], [0, 0, 1, 0]]
    for rows, pattern in zip(np.split(X, 4), patterns, strict=True):
        rows[:, np.array(pattern) == 0] = np.nan
    test = fe.little_mcar_test(pd.DataFrame(X))
    assert (test.df, test.patterns) == (4 + 3 + 2 + 1 - 4, 4)


def p_values(mechanism, draws=600, rows=250):
    rng = np.random.default_rng(9)
    sigma = [[1, 0.5, 0.3], [0.5, 1, 0.4], [0.3, 0.4, 1]]
    for _ in range(draws):
        frame = pd.DataFrame(rng.multivariate_normal(np.zeros(3), sigma, rows), columns=list("abc"))
        if mechanism == "MCAR":
            frame = frame.mask(rng.random(frame.shape) < 0.2)  # any pattern, three columns
        else:
            frame = fe.make_missing(frame, "a", "MAR", 0.3, by="b", random_state=rng)
            frame = fe.make_missing(frame, "c", "MCAR", 0.2, random_state=rng)
        yield fe.little_mcar_test(frame).p_value


def test_little_holds_its_level_under_mcar():
    """Four standard errors around 5 %, and a chi-square for the whole distribution."""
    found = np.array(list(p_values("MCAR")))
    assert abs((found < 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / len(found))
    assert stats.chisquare(np.histogram(found, 10, (0, 1))[0]).pvalue > 1e-4


def test_little_has_power_under_mar():
    assert (np.array(list(p_values("MAR", draws=200))) < 0.05).mean() > 0.98


def test_little_cannot_see_mnar_without_relatives(related):
    rng = np.random.default_rng(10)
    found = []
    for _ in range(300):
        frame = pd.DataFrame(rng.normal(size=(200, 3)))
        gappy = fe.make_missing(frame, 0, "MNAR", 0.3, random_state=rng)
        found.append(fe.little_mcar_test(gappy).p_value)
    assert (np.array(found) < 0.05).mean() < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)


@given(st.integers(0, 1000), st.permutations(range(4)))
def test_little_does_not_depend_on_units_or_order(seed, order):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(80, 4))
    X[rng.random(X.shape) < 0.2] = np.nan
    before = fe.little_mcar_test(pd.DataFrame(X))
    moved = rng.permutation(X)[:, order] * [1e-3, 1, 50, 1e4] + [5, -1, 0, 1e3]
    after = fe.little_mcar_test(pd.DataFrame(moved))
    assert after.statistic == pytest.approx(before.statistic, rel=1e-5)
    assert after.df == before.df


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1, 2, None]}, "at least two columns"),
        ({"a": [1, 2, 3], "b": [3, 1, 2]}, "nothing is missing"),
        ({"a": [1, 2, None], "b": [4, 4, 4]}, "'b' holds one value only"),
        ({"a": [1, 2, None], "b": [None, None, None]}, "'b' holds no number"),
        ({"a": [1, 2, None], "b": [1, np.inf, 3]}, "'b' must hold finite numbers"),
        ({"a": [1, 2, None], "b": ["x", "y", "z"]}, "'b' must hold numbers, got 'x'"),
        ({"a": [1, 2, None, None], "b": [None, None, 3, 4]}, "no two patterns"),
        ({"a": [1, 2, 4, None, 7], "b": [2, 4, 8, 3, 14]}, "follows from the others"),
        ({"a": [], "b": []}, "frame is empty"),
    ],
)
def test_little_refuses_by_name(columns, message):
    with pytest.raises(ValueError, match=message):
        fe.little_mcar_test(pd.DataFrame(columns))


def test_little_says_when_it_does_not_settle(air_quality):
    with pytest.raises(ValueError, match="do not settle within 2 iterations"):
        fe.little_mcar_test(air_quality, max_iterations=2)
    for arguments in ({"max_iterations": 0}, {"tolerance": 0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            fe.little_mcar_test(air_quality, **arguments)


# --- Deletion and imputation


def test_drop_sparse_columns():
    frame = pd.DataFrame({"full": [1, 2, 3, 4], "half": [1, None, 3, None], "none": [None] * 4})
    assert list(fe.drop_sparse_columns(frame)) == ["full", "half"]  # half missing is allowed
    assert list(fe.drop_sparse_columns(frame, 0.49)) == ["full"]
    assert list(fe.drop_sparse_columns(frame, 1)) == ["full", "half", "none"]
    assert list(fe.drop_sparse_columns(frame, 0)) == ["full"]


@parametrize_with_checks(
    [
        fe.RandomCategoryImputer(random_state=0),
        fe.HashingEncoder(n_buckets=16),
        fe.HashingEncoder(n_buckets=16, alternate_sign=True, sparse_output=False),
    ]
)
def test_the_transformers_pass_scikit_learns_checks(estimator, check):
    check(estimator)


def test_random_category_imputer_keeps_the_shares():
    words = pd.DataFrame({"w": ["a"] * 700 + ["b"] * 300 + [None] * 10_000})
    filled = fe.RandomCategoryImputer(random_state=0).fit_transform(words)
    drawn = filled["w"][1000:].value_counts()[["a", "b"]]
    assert stats.chisquare(drawn, [7000, 3000]).pvalue > 1e-4
    assert filled["w"][:1000].equals(words["w"][:1000])


def test_random_category_imputer_learns_from_the_rows_of_fit():
    imputer = fe.RandomCategoryImputer(random_state=0).fit(
        pd.DataFrame({"w": ["a", "b", "b", None]})
    )
    assert imputer.categories_[0].tolist() == ["a", "b"]
    assert imputer.frequencies_[0].tolist() == pytest.approx([1 / 3, 2 / 3])
    later = imputer.transform(pd.DataFrame({"w": ["new", None, None]}))["w"]
    assert later[0] == "new" and set(later[1:]) <= {"a", "b"}  # unseen values stay


def test_random_category_imputer_keeps_index_dtypes_and_mixed_types():
    frame = pd.DataFrame(
        {
            "number": [1.5, np.nan, 2.5],
            "whole": pd.array([1, None, 3], "Int64"),
            "word": ["x", "y", None],
            "kind": pd.Categorical(["u", None, "u"], categories=["u", "never"]),
            "mixed": [1, "one", None],
        },
        index=[4, 4, 9],
    )
    filled = fe.RandomCategoryImputer(random_state=0).fit_transform(frame)
    assert filled.index.equals(frame.index) and filled.dtypes.equals(frame.dtypes)
    assert not filled.isna().any(axis=None)
    assert filled["kind"].tolist() == ["u", "u", "u"]
    array = fe.RandomCategoryImputer(random_state=0).fit_transform(frame[["number"]].to_numpy())
    assert array.dtype == float and array.shape == (3, 1) and array[1, 0] in (1.5, 2.5)


def test_random_category_imputer_when_a_later_dtype_cannot_hold_what_was_learned():
    imputer = fe.RandomCategoryImputer(random_state=0).fit(pd.DataFrame({"a": ["x", "x"]}))
    later = pd.DataFrame({"a": pd.Categorical(["y", None])})
    assert imputer.transform(later)["a"].tolist() == ["y", "x"]
    imputer.fit(pd.DataFrame({"a": [0.5, 0.5]}))
    assert imputer.transform(pd.DataFrame({"a": pd.array([1, None], "Int64")}))["a"].tolist() == [
        1,
        0.5,
    ]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": pd.Categorical([1, 2, None])}),
        pd.DataFrame({"a": pd.Categorical([1, 2, None]), "b": [1, 2, 3]}),
        pd.DataFrame({"a": [1.5, None, 2], "b": pd.to_datetime(["2013-01-01", None, None])}),
    ],
)
def test_categories_of_numbers_and_dates_beside_numbers(frame):
    filled = fe.RandomCategoryImputer(random_state=0).fit_transform(frame)
    assert filled.dtypes.equals(frame.dtypes) and not filled.isna().any(axis=None)
    encoded = fe.HashingEncoder(64).fit_transform(frame)
    assert encoded.sum() == frame.size


def test_a_column_named_twice_is_refused():
    twice = pd.DataFrame([["x", "y"]], columns=["a", "a"])
    for transformer in (fe.RandomCategoryImputer(random_state=0), fe.HashingEncoder()):
        with pytest.raises(ValueError, match="columns of distinct names"):
            transformer.fit(twice)


def test_random_category_imputer_draws_anew_unless_seeded():
    words = pd.DataFrame({"w": ["a", "b"] * 50 + [None] * 200})
    seeded = fe.RandomCategoryImputer(random_state=3).fit(words)
    assert seeded.transform(words).equals(seeded.transform(words))
    for free in (None, np.random.default_rng(0)):
        imputer = fe.RandomCategoryImputer(random_state=free).fit(words)
        assert not imputer.transform(words).equals(imputer.transform(words))


def test_random_category_imputer_on_odd_columns():
    imputer = fe.RandomCategoryImputer(random_state=0)
    constant = pd.DataFrame({"c": ["only", None]})
    assert imputer.fit_transform(constant)["c"].tolist() == ["only", "only"]
    with pytest.raises(ValueError, match="'gone' has no observed value"):
        imputer.fit(pd.DataFrame({"ok": [1, 2], "gone": [None, None]}))
    for bad in (np.inf, -np.inf):
        with pytest.raises(ValueError, match="'a' must hold no infinite number"):
            imputer.fit(pd.DataFrame({"a": [1.0, bad]}))
        with pytest.raises(ValueError, match="'a' must hold no infinite number"):
            imputer.fit(pd.DataFrame({"a": ["x", bad]}))
    with pytest.raises(ValueError, match=r"0 sample|0 feature|minimum of 1"):
        imputer.fit(pd.DataFrame({"a": []}))
    with pytest.raises(ValueError, match="feature names"):
        imputer.fit(constant).transform(constant.rename(columns={"c": "d"}))
    with pytest.raises(ValueError, match="random_state"):
        fe.RandomCategoryImputer(random_state="x").fit(constant)


REMEDIES = {
    "column": "drop column",
    "rows": "drop rows",
    "zero": SimpleImputer(strategy="constant", fill_value=0),
    "mean": SimpleImputer(),
    "random": fe.RandomCategoryImputer(random_state=0),
    "indicator": SimpleImputer(add_indicator=True),
    "regression": IterativeImputer(max_iter=3),
}


@pytest.fixture(scope="module")
def biases(related):
    frame = related.head(4000) + 1  # a mean of 1, so that zero is wrong
    table = fe.imputation_bias(frame, "effect", REMEDIES, 0.4, by="cause", repeats=20)
    return table.set_index(["mechanism", "remedy"])


def test_row_deletion_is_unbiased_under_mcar_only(biases):
    rows = biases.xs("rows", level="remedy")
    assert abs(rows.loc["MCAR", "bias"]) < 4 * rows.loc["MCAR", "error"]
    for mechanism in ("MAR", "MNAR"):
        assert rows.loc[mechanism, "bias"] < -20 * rows.loc[mechanism, "error"]


def test_what_each_remedy_does_to_mean_and_spread(biases):
    for mechanism in MECHANISMS:
        of = biases.loc[mechanism]
        assert np.isnan(of.loc["column", ["bias", "spread"]]).all()
        assert of.loc["mean", "bias"] == pytest.approx(of.loc["rows", "bias"], abs=1e-9)
        assert of.loc["indicator", "bias"] == pytest.approx(of.loc["mean", "bias"], abs=1e-9)
        assert of.loc["zero", "bias"] < of.loc["mean", "bias"] - 0.1
        assert of.loc["random", "spread"] > of.loc["mean", "spread"] + 0.1
    assert biases.loc[("MCAR", "mean"), "spread"] == pytest.approx(np.sqrt(0.6), abs=0.02)
    # A regression on the column that decides undoes MAR, and cannot undo MNAR.
    assert abs(biases.loc[("MAR", "regression"), "bias"]) < 0.01
    assert biases.loc[("MNAR", "regression"), "bias"] < -0.05


def test_zero_under_mcar_has_a_closed_form(biases, related):
    """A share s of the values becomes 0, so the mean moves by -s mean / sd."""
    values = related["effect"].head(4000) + 1
    expected = -0.4 * values.mean() / values.std(ddof=0)
    row = biases.loc[("MCAR", "zero")]
    assert row["bias"] == pytest.approx(expected, abs=4 * row["error"])


def test_imputation_bias_refuses_by_name(related):
    frame = related.head(50).assign(constant=1.0, gaps=[1.0, 2.0] + [np.nan] * 48)
    good = {"column": "effect", "remedies": {"rows": "drop rows"}, "by": "cause"}
    refused = [
        ({"remedies": {}}, ValueError, "remedies must be a dict"),
        ({"remedies": {"x": "drop"}}, TypeError, r"remedies\['x'\]"),
        ({"remedies": {"x": SimpleImputer}}, TypeError, r"remedies\['x'\]"),
        ({"remedies": {"x": StandardScaler()}}, ValueError, "must fill the gaps"),
        ({"column": "z"}, ValueError, "column must name"),
        ({"column": "constant"}, ValueError, "holds one value only"),
        ({"column": "gaps"}, ValueError, "missing values"),
        ({"by": "z"}, ValueError, "by must name"),
        ({"share": 1}, ValueError, "share must be"),
        ({"repeats": 1}, ValueError, "repeats must be"),
        ({"mechanisms": ["X"]}, ValueError, "mechanism must be"),
        ({"mechanisms": None}, ValueError, "mechanisms must be a sequence"),
        ({"mechanisms": []}, ValueError, "mechanisms must be a sequence"),
        ({"share": 0.999}, ValueError, "share 0.999 leaves no value of 'effect'"),
    ]
    for change, error, message in refused:
        with pytest.raises(error, match=message):
            fe.imputation_bias(frame, **(good | change))


# --- Scaling


def test_standardising_makes_nothing_normal_and_trees_do_not_care():
    rng = np.random.default_rng(11)
    X = rng.exponential(size=(2000, 2)) * [1, 1000]
    y = (X[:, 0] + X[:, 1] / 1000 > 2).astype(int)
    scaled = StandardScaler().fit_transform(X)
    assert np.allclose([scaled.mean(axis=0), scaled.std(axis=0)], [[0, 0], [1, 1]])
    assert np.allclose(stats.skew(scaled), stats.skew(X))
    assert (stats.skew(scaled) > 1.5).all()
    ranged = MinMaxScaler((-1, 1)).fit_transform(X)
    assert np.allclose([ranged.min(axis=0), ranged.max(axis=0)], [[-1, -1], [1, 1]])
    tree = DecisionTreeClassifier(max_depth=5, random_state=0)
    raw = tree.fit(X[:1000], y[:1000]).predict_proba(X[1000:])
    for other in (scaled, ranged, np.log1p(X)):
        again = tree.fit(other[:1000], y[:1000]).predict_proba(other[1000:])
        assert (again == raw).all(axis=1).mean() > 0.98  # a threshold lies midway, and log moves it


# --- Discretization


def test_the_age_bands_at_their_edges():
    edges, labels = [0, 18, 25, 35, 120], ["under 18", "18-24", "25-34", "35+"]
    ages = [-0.1, 0, np.nextafter(18, 0), 18, np.nextafter(25, 0), 25, 34.9, 35, 119.9, 120, 500]
    bands = fe.bucketize(ages, edges, labels)
    wanted = [np.nan, "under 18", "under 18", "18-24", "18-24", "25-34", "25-34", "35+", "35+"]
    assert bands.astype(object).fillna("-").tolist() == [
        "-" if band is np.nan else band for band in [*wanted, np.nan, np.nan]
    ]
    assert bands.cat.ordered and bands.cat.categories.tolist() == labels
    assert bands.equals(pd.Series(pd.cut(ages, edges, labels=labels, right=False)))


@given(
    st_numpy.arrays(
        float,
        st.integers(0, 30),
        elements=st.floats(-20, 20) | st.just(np.nan) | st.integers(-6, 6).map(float),
    ),
    st.lists(st.integers(-6, 6), min_size=2, max_size=8, unique=True),
)
def test_bucketize_is_pandas_cut(values, edges):
    edges = sorted(edges)
    ours, theirs = fe.bucketize(values, edges), pd.cut(values, edges, right=False)
    assert np.array_equal(ours.cat.codes, theirs.codes)
    assert ours.cat.categories.equals(theirs.categories)


def test_equal_width_and_quantile_edges_are_pandas_cuts():
    values = pd.Series(np.random.default_rng(12).exponential(size=1000), index=range(5, 1005))
    quantiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    quantiles[[0, -1]] = -np.inf, np.inf
    buckets = fe.bucketize(values, quantiles)
    assert buckets.index.equals(values.index)
    assert buckets.value_counts().tolist() == [250] * 4
    width = np.linspace(values.min(), values.max(), 5)
    expected = pd.cut(values, width, right=False)
    assert fe.bucketize(values, width).cat.codes.equals(expected.cat.codes)


def test_bucketize_handles_missing_infinite_and_empty():
    assert fe.bucketize([], [0, 1]).empty
    assert fe.bucketize([None, pd.NA, np.nan], [0, 1]).isna().all()
    assert fe.bucketize([-np.inf, np.inf], [0, 1]).isna().all()
    assert fe.bucketize([-np.inf, np.inf], [-np.inf, 0, np.inf]).cat.codes.tolist() == [0, -1]
    assert fe.bucketize(pd.array([1, None], "Int64"), [0, 2]).cat.codes.tolist() == [0, -1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["x"], [0, 1]), "values must hold numbers, got 'x'"),
        (([1, "x"], [0, 1]), "values must hold numbers"),
        (([[1]], [0, 1]), "values must have one dimension"),
        (([1], [0]), "edges must be at least two numbers"),
        (([1], ["a", "b"]), "edges must be at least two numbers"),
        (([1], [0, 0, 1]), "edges must rise"),
        (([1], [0, np.nan]), "edges must rise"),
        (([1], [0, 1, 2], ["one"]), "labels must be 2 distinct names"),
        (([1], [0, 1, 2], ["one", "one"]), "labels must be 2 distinct names"),
    ],
)
def test_bucketize_refuses_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        fe.bucketize(*arguments)


# --- The hashing trick

WORDS = st.text(max_size=8)


@given(
    st.lists(st.tuples(WORDS, st.integers(-5, 5)), min_size=1, max_size=20),
    st.integers(1, 50),
    st.booleans(),
)
def test_hashing_encoder_is_feature_hasher(rows, n_buckets, alternate_sign):
    frame = pd.DataFrame(rows, columns=["word", "number"])
    encoder = fe.HashingEncoder(n_buckets, alternate_sign=alternate_sign)
    hasher = FeatureHasher(n_buckets, input_type="dict", alternate_sign=alternate_sign)
    records = [{"word": word, "number": str(number)} for word, number in rows]
    assert (encoder.fit_transform(frame) != hasher.transform(records)).nnz == 0


def test_the_same_hash_in_every_process():
    code = (
        "import pandas as pd; from mlsys_helpers.feature_engineering import HashingEncoder as H;"
        "print(H(1000).fit_transform(pd.DataFrame({'t': ['N14228', 'N24211', None]})).indices)"
    )
    here = fe.HashingEncoder(1000).fit_transform(pd.DataFrame({"t": ["N14228", "N24211", None]}))
    for seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert out.stdout.strip() == str(here.indices)


def test_unseen_categories_have_their_bucket_already():
    old, new = pd.DataFrame({"t": ["a", "b"]}), pd.DataFrame({"t": ["c", "a"]})
    encoder = fe.HashingEncoder(64).fit(old)
    assert (encoder.transform(new) != encoder.fit(new).transform(new)).nnz == 0
    assert encoder.transform(new).sum(axis=1).ravel().tolist() == [[1, 1]]


def test_a_category_is_hashed_by_what_it_is_not_by_its_type():
    def bucket(values):
        return fe.HashingEncoder(10_000).fit_transform(pd.DataFrame({"t": values})).indices.tolist()

    ints = bucket([3, 4])
    assert bucket([3.0, 4.0]) == bucket(["3", "4"]) == bucket(pd.array([3, 4], "Int64")) == ints
    assert bucket([3.0, np.nan])[0] == ints[0]  # a gap made floats of the column
    assert bucket(np.array([3, 4], "uint8")) == bucket(pd.Categorical([3, 4])) == ints
    assert bucket([True, False]) == bucket([1, 0])
    assert bucket([2**53 + 1]) != bucket([2**53])  # long numbers stay apart
    assert len(set(bucket(["x", 1, 2.5, None, "None"]))) == 5  # mixed types
    missing = {bucket(pd.Series([kind], dtype=object))[0] for kind in (None, np.nan, pd.NA, pd.NaT)}
    assert len(missing) == 1


def test_columns_differ_and_share_the_buckets():
    frame = pd.DataFrame({"a": ["x"], "b": ["x"]})
    assert len(set(fe.HashingEncoder(1000).fit_transform(frame).indices)) == 2
    assert fe.HashingEncoder(1).fit_transform(frame).toarray().tolist() == [[2]]  # adds up
    array = fe.HashingEncoder(1000).fit_transform(np.array([["x", "x"]], dtype=object))
    named = frame.set_axis(["x0", "x1"], axis=1)
    assert (array != fe.HashingEncoder(1000).fit_transform(named)).nnz == 0


def test_hashing_encoder_refuses_by_name():
    frame = pd.DataFrame({"a": ["x"]})
    for n_buckets in (0, -1, 2.5, "8", True):
        with pytest.raises(ValueError, match="n_buckets must be a whole number of at least 1"):
            fe.HashingEncoder(n_buckets).fit(frame)
    with pytest.raises(ValueError, match="alternate_sign must be True or False, got 'x'"):
        fe.HashingEncoder(alternate_sign="x").fit(frame)
    for bad, error in (([np.inf], ValueError), (["x", -np.inf], ValueError), ([["x"]], TypeError)):
        column = pd.DataFrame({"a": pd.Series(bad, dtype=object)})
        with pytest.raises(error, match="'a'"):
            fe.HashingEncoder().fit_transform(column)
    with pytest.raises(ValueError, match="feature names"):
        fe.HashingEncoder().fit(frame).transform(frame.rename(columns={"a": "b"}))
    with pytest.raises(ValueError, match="minimum of 1"):
        fe.HashingEncoder().fit(frame.iloc[:0])
    constant = fe.HashingEncoder(8).fit_transform(pd.DataFrame({"a": [None, None]}))
    assert constant.sum() == 2  # all missing: one category


@pytest.mark.parametrize(
    "transformer",
    [fe.RandomCategoryImputer(random_state=0), fe.HashingEncoder(8, sparse_output=False)],
)
def test_transformers_in_pipelines_as_frames_cloned_and_pickled(transformer):
    frame = pd.DataFrame({"a": ["x", "y", None, "x"] * 10, "n": [1.0, 2, 3, 4] * 10})
    y = [0, 1, 0, 1] * 10
    framed = clone(transformer).set_output(transform="pandas")
    out = framed.fit_transform(frame[["a"]])
    assert isinstance(out, pd.DataFrame) and out.index.equals(frame.index)
    assert out.columns.tolist() == framed.get_feature_names_out().tolist()
    again = pickle.loads(pickle.dumps(framed)).transform(frame[["a"]])
    pd.testing.assert_frame_equal(again, out)

    encode = make_pipeline(clone(transformer), OneHotEncoder(handle_unknown="ignore"))
    columns = make_column_transformer((encode, ["a"]), (StandardScaler(), ["n"]))
    model = clone(make_pipeline(columns, LogisticRegression())).fit(frame, y)
    assert model.predict(frame.assign(a="never seen")).shape == (40,)
    assert len(columns.fit(frame).get_feature_names_out()) >= 3


def test_sparse_output_says_why_it_is_no_frame():
    encoder = fe.HashingEncoder(8).set_output(transform="pandas")
    with pytest.raises(ValueError, match="sparse"):
        encoder.fit_transform(pd.DataFrame({"a": ["x"]}))


def test_expected_used_buckets_closed_forms():
    assert fe.expected_used_buckets(0, 5) == 0
    assert fe.expected_used_buckets(1, 5) == 1
    assert fe.expected_used_buckets(7, 1) == 1
    assert fe.expected_used_buckets(2, 4) == pytest.approx(2 - 1 / 4)
    assert fe.expected_used_buckets(10**6, 10**6) == pytest.approx(
        10**6 * (1 - np.exp(-1)), rel=1e-6
    )
    assert fe.expected_used_buckets(3, 10**12) == pytest.approx(3, abs=1e-9)  # nothing cancels
    assert fe.expected_collisions(23, 365) == pytest.approx(23 - 365 * (1 - (364 / 365) ** 23))
    both = fe.expected_collisions([10, 20], [5, 5])
    assert both.tolist() == [fe.expected_collisions(10, 5), fe.expected_collisions(20, 5)]


def test_used_buckets_on_the_real_planes_are_those_of_the_formula():
    """Within four standard deviations, by the occupancy variance (Feller 1968)."""
    planes = load_flights()[["tailnum"]].dropna().drop_duplicates()
    n = len(planes)
    assert n == 4043
    for m in (256, 1024, 4096, 65536):
        used = len(np.unique(fe.HashingEncoder(m).fit_transform(planes).indices))
        empty, two_empty = (1 - 1 / m) ** n, (1 - 2 / m) ** n
        variance = m * empty + m * (m - 1) * two_empty - (m * empty) ** 2
        assert abs(used - fe.expected_used_buckets(n, m)) < 4 * np.sqrt(variance)


def test_those_who_come_second_are_fewer_than_those_who_share():
    """Both counted over random throws, within four standard errors of the closed forms."""
    n, m = 40, 64
    thrown = np.random.default_rng(0).integers(0, m, size=(4000, n))
    counts = np.stack([np.bincount(row, minlength=m) for row in thrown])
    second, sharing = n - (counts > 0).sum(axis=1), np.where(counts > 1, counts, 0).sum(axis=1)
    formula = n * (1 - (1 - 1 / m) ** (n - 1))
    for counted, expected in ((second, fe.expected_collisions(n, m)), (sharing, formula)):
        assert counted.mean() == pytest.approx(expected, abs=4 * counted.std() / np.sqrt(4000))
    assert fe.expected_collisions(n, m) < formula < 2 * fe.expected_collisions(n, m)


def test_zero_degrees_is_calm_in_the_weather():
    weather = load_weather()
    assert (weather["wind_dir"].eq(0) == weather["wind_speed"].eq(0)).all()
    assert weather["wind_dir"].max() == 360


@pytest.mark.parametrize("function", [fe.expected_used_buckets, fe.expected_collisions])
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((-1, 5), "n_categories"),
        ((1.5, 5), "n_categories"),
        ((1, 0), "n_buckets"),
        ((1, "5"), "n_buckets"),
        ((True, 5), "n_categories"),
    ],
)
def test_expected_buckets_refuse_by_name(function, arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be whole"):
        function(*arguments)


# --- Crosses


def test_a_linear_model_learns_xor_from_the_cross():
    frame = pd.DataFrame({"a": [0, 0, 1, 1] * 25, "b": [0, 1, 0, 1] * 25})
    y = frame["a"] ^ frame["b"]
    model = make_pipeline(OneHotEncoder(), LogisticRegression())
    proba = model.fit(frame, y).predict_proba(frame)
    assert np.allclose(proba, 0.5, atol=1e-6)  # it cannot tell: accuracy 0.5 by a coin
    for n_buckets in (None, 64):
        crossed = fe.cross_features(frame, ["a", "b"], n_buckets).to_frame()
        assert model.fit(crossed, y).score(crossed, y) == 1.0


TRICKY = st.sampled_from(["", " ", "×", "××", " × ", "a × b", "a", "∅", "nan", "None"])


@given(st.lists(st.tuples(TRICKY | st.none(), TRICKY | st.none(), TRICKY), min_size=1, max_size=30))
def test_two_rows_have_the_same_cross_only_if_they_are_the_same(rows):
    frame = pd.DataFrame(rows, columns=["a", "b", "c"], dtype=object)
    crossed = fe.cross_features(frame, ["a", "b", "c"])
    assert crossed.nunique() == len(set(rows))
    assert crossed.groupby(crossed).ngroup().nunique() == len(frame.drop_duplicates())


def test_hashed_crosses_are_those_of_the_encoder():
    flights = load_flights()[["origin", "carrier", "hour"]].head(5000)
    columns = ["origin", "carrier", "hour"]
    crossed = fe.cross_features(flights, columns)
    buckets = fe.cross_features(flights, columns, n_buckets=128)
    encoded = fe.HashingEncoder(128).fit_transform(crossed.to_frame())
    assert buckets.tolist() == encoded.indices.tolist()
    assert buckets.name == crossed.name == "origin × carrier × hour"
    assert buckets.between(0, 127).all() and buckets.index.equals(flights.index)


def test_crosses_of_numbers_gaps_and_categories():
    frame = pd.DataFrame({"n": [1.0, np.nan], "c": pd.Categorical(["u", "v"])}, index=[8, 2])
    crossed = fe.cross_features(frame, ["n", "c"])
    assert crossed.to_dict() == {8: "1 × u", 2: "∅ × v"}


def test_cross_features_refuses_by_name():
    frame = pd.DataFrame({"a": [1.0, np.inf], "b": ["x", "y"], "c": [[1], [2]]})
    refused = [
        ((frame, ["b"]), ValueError, "columns must be at least two"),
        ((frame, "ab"), ValueError, "columns must be at least two"),
        ((frame, None), ValueError, r"columns must be at least two distinct names, got \[None\]"),
        ((frame, ["b", "b"]), ValueError, "columns must be at least two"),
        ((frame, ["b", "z"]), ValueError, "columns must name a column of frame, got 'z'"),
        ((frame, ["a", "b"]), ValueError, "'a' must hold no infinite number"),
        ((frame, ["b", "c"]), TypeError, "'c'"),
        ((frame[["b"]].assign(d=1), ["b", "d"], 0), ValueError, "n_buckets"),
        ((frame.iloc[:0], ["a", "b"]), ValueError, "frame is empty"),
        (([1], ["a", "b"]), TypeError, "frame must be a DataFrame"),
    ]
    for arguments, error, message in refused:
        with pytest.raises(error, match=message):
            fe.cross_features(*arguments)


# --- All helpers


def test_empty_and_odd_frames_are_refused_by_every_helper():
    empty, twice = pd.DataFrame(), pd.DataFrame([[1, 2]], columns=["a", "a"])
    for helper in (
        fe.missing_report,
        fe.drop_sparse_columns,
        fe.little_mcar_test,
        lambda frame: fe.make_missing(frame, "a", "MCAR"),
        lambda frame: fe.cross_features(frame, ["a", "b"]),
        lambda frame: fe.imputation_bias(frame, "a", {"x": "drop rows"}, by="b"),
    ):
        with pytest.raises(ValueError, match="frame is empty"):
            helper(empty)
        with pytest.raises(ValueError, match="columns of distinct names"):
            helper(twice)
        with pytest.raises(TypeError, match="frame must be a DataFrame, got list"):
            helper([[1, 2]])
    with pytest.raises(ValueError, match=r"by must have shape \(1,\)"):
        fe.missing_report(pd.DataFrame({"a": [1]}), by=[1, 2])
    with pytest.raises(ValueError, match="max_missing"):
        fe.drop_sparse_columns(pd.DataFrame({"a": [1]}), 1.1)


def test_inputs_are_never_changed(post, air_quality):
    comments, users, threads = post
    words = pd.DataFrame({"a": ["x", None, "y", "x"], "b": [1, 2, 3, 4]})
    values = np.array([1.0, np.nan, 3.0])
    everything = [comments, users, threads, words, air_quality]
    before = [frame.copy() for frame in everything]
    fe.thread_features(comments, users, threads)
    fe.missing_report(air_quality, by=air_quality["month"])
    fe.make_missing(air_quality, "temp", "MAR", by="month", random_state=0)
    fe.little_mcar_test(air_quality)
    sparse = fe.drop_sparse_columns(air_quality, 0.1)
    sparse.iloc[:, :] = 0
    fe.RandomCategoryImputer(random_state=0).fit_transform(words)
    fe.imputation_bias(air_quality[["temp", "month"]], "temp", {"m": SimpleImputer()}, by="month")
    fe.bucketize(values, [0, 2, 4])
    fe.HashingEncoder(8).fit_transform(words)
    fe.cross_features(words, ["a", "b"], n_buckets=8)
    for frame, copy in zip(everything, before, strict=True):
        pd.testing.assert_frame_equal(frame, copy)
    assert np.array_equal(values, [1.0, np.nan, 3.0], equal_nan=True)


# --- Exercises: the mistakes that people make, and a word of the diagnosis that each must meet


def _fill(middle_of, flag=lambda gone: gone.astype(int)):
    def fill_gaps(train, test):
        parts = []
        for values in (train, test):
            gone = np.isnan(values)
            parts += [np.where(gone, middle_of(values, train, test), values), flag(gone)]
        return tuple(parts)

    return fill_gaps


def _flags_after_filling(train, test):
    filled = [np.where(np.isnan(v), np.nanmedian(train), v) for v in (train, test)]
    return filled[0], np.isnan(filled[0]).astype(int), filled[1], np.isnan(filled[1]).astype(int)


def _deletes(train, test):
    kept = [values[~np.isnan(values)] for values in (train, test)]
    return kept[0], kept[0] * 0, kept[1], kept[1] * 0


def _scale(train, test, low, high):
    return tuple(2 * (values - low) / (high - low) - 1 for values in (train, test))


def _own_ranges(train, test):
    return tuple(2 * (v - v.min()) / (v.max() - v.min()) - 1 for v in (train, test))


def _pooled(train, test):
    both = np.r_[train, test]
    return _scale(train, test, both.min(), both.max())


def _cut_off(train, test):
    return tuple(np.clip(v, -1, 1) for v in _scale(train, test, train.min(), train.max()))


def _centred(middle_of, half=lambda train: np.ptp(train) / 2):
    return lambda train, test: tuple((v - middle_of(train)) / half(train) for v in (train, test))


def _last_included(values, edges):
    bucket = np.searchsorted(edges, values, side="right") - 1
    bucket[values == edges[-1]] = len(edges) - 2
    return np.where((bucket == len(edges) - 1) | np.isnan(values), -1, bucket)


def _digits(names, m):
    return [int("".join(filter(str.isdigit, name)) or 0) % m for name in names]


def _by_position(names, m):
    return [sorted(set(names)).index(name) % m for name in names]


@pytest.mark.parametrize(
    "fixed",
    [
        lambda name: zlib.crc32(name.encode()),
        lambda name: int(hashlib.md5(name.encode()).hexdigest(), 16),
        lambda name: abs(murmurhash3_32(name)),
        lambda name: int(pd.util.hash_array(np.array([name], dtype=object))[0]),
    ],
)
def test_any_fixed_hash_is_accepted(fixed):
    verdict = judge(
        "feature_engineering.hash_buckets", lambda names, m: [fixed(name) % m for name in names]
    )
    assert verdict.status == CORRECT


WRONG_ANSWERS = {
    "fill_gaps": [
        (_fill(lambda own, train, test: np.nanmean(train)), "That is the mean"),
        (_fill(lambda own, train, test: np.nanmedian(own)), "median of the test rows"),
        (_fill(lambda own, train, test: np.nanmedian(np.r_[train, test])), "seen the test"),
        (_fill(lambda own, train, test: np.median(train)), "still there"),
        (
            _fill(lambda own, train, test: np.nanmedian(train), lambda gone: (~gone).astype(int)),
            "wrong way round",
        ),
        (_flags_after_filling, "before"),
        (_deletes, "No row may be lost"),
    ],
    "to_minus_one_one": [
        (
            lambda train, test: tuple((v - train.min()) / np.ptp(train) for v in (train, test)),
            "stretch",
        ),
        (
            lambda train, test: tuple((v - train.mean()) / train.std() for v in (train, test)),
            "standardisation",
        ),
        (_centred(np.mean), "neither mean nor median"),
        (_centred(np.median), "neither mean nor median"),
        (_centred(np.mean, lambda t: np.abs(t - t.mean()).max()), "neither mean nor median"),
        (_centred(np.median, lambda t: np.abs(t - np.median(t)).max()), "neither mean nor median"),
        (_centred(np.min), "nor the smallest"),
        (_centred(lambda train: 0, np.max), "10 must become -1"),
        (_own_ranges, "their own range"),
        (_pooled, "train and test together"),
        (_cut_off, "Do not cut it off"),
    ],
    "bucket_numbers": [
        (lambda values, edges: np.searchsorted(edges, values, side="right"), "number 0"),
        (lambda values, edges: np.searchsorted(edges, values, side="left") - 1, "equals"),
        (_last_included, "ends"),
        (lambda values, edges: np.searchsorted(edges[:-1], values, side="right") - 1, "ends"),
        (
            lambda values, edges: np.where(
                values >= edges[-1], -1, np.searchsorted(edges, values, side="right") - 1
            ),
            "NaN",
        ),
    ],
    "hash_buckets": [
        (lambda names, m: [hash(name) % m for name in names], "every process"),
        (lambda names, m: [abs(hash(name)) % m for name in names], "every process"),
        (lambda names, m: [hash(f"tailnum={name}") % m for name in names], "every process"),
        (lambda names, m: [hash(("tailnum", name)) % m for name in names], "every process"),
        (lambda names, m: [name.__hash__() % m for name in names], "every process"),
        (lambda names, m: [int(name[1:]) % m for name in names], "any text"),
        (lambda names, m: [(ord(name[-1]) + 7 * int(name[1:])) % m for name in names], "any text"),
        (lambda names, m: [zlib.crc32(name.encode("ascii")) % m for name in names], "any text"),
        (_digits, "not only the digits"),
        (lambda names, m: [len(name) % m for name in names], "evenly"),
        (lambda names, m: [sum(map(ord, name)) % m for name in names], "evenly"),
        (_by_position, "depends on which other names"),
        (lambda names, m: np.random.default_rng().integers(0, m, len(names)), "not a random draw"),
        (lambda names, m: [sum(map(ord, name)) for name in names], "Is the % m missing"),
    ],
}
