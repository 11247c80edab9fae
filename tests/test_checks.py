"""Each check refuses by name, says what was given and what fits, and changes nothing."""

import numpy as np
import pandas as pd
import pytest

from mlsys_helpers import _checks


@pytest.mark.parametrize(
    ("check", "args", "options", "message"),
    [
        (_checks.one_of, ("c", "mode", ("a", "b")), {}, "mode must be one of 'a', 'b', got 'c'"),
        (_checks.one_of, (["a"], "mode", ("a",)), {}, r"mode must be one of 'a', got \['a'\]"),
        (_checks.number, ("1", "x"), {}, "x must be a number, got '1'"),
        (_checks.number, (np.inf, "x"), {}, "x must be a number, got inf"),
        (_checks.number, (True, "x"), {}, "x must be a number, got True"),
        (_checks.number, (3, "x", 0, 1), {}, "x must be a number at least 0 and at most 1, got 3"),
        (_checks.number, (0, "x", 0), {"open_low": True}, "x must be a number above 0, got 0"),
        (_checks.number, (1, "x", 0, 1), {"open_high": True}, "at least 0 and below 1, got 1"),
        (_checks.whole_number, (0, "k"), {}, "k must be a whole number of at least 1, got 0"),
        (_checks.whole_number, (2.0, "k"), {}, "k must be a whole number"),
        (_checks.whole_number, (True, "k"), {}, "k must be a whole number"),
        (_checks.column, ([], "y"), {}, "y is empty"),
        (_checks.column, (5, "y"), {}, r"y must have one dimension, got shape \(\)"),
        (_checks.column, ([[1]], "y"), {}, r"y must have one dimension, got shape \(1, 1\)"),
        (_checks.column, ([1, 2], "y", 3), {}, "y must have 3 entries, got 2"),
        (_checks.column, (["a", None], "y"), {}, "y holds 1 missing values"),
        (_checks.numbers, (["a"], "p"), {}, "p must hold numbers"),
        (
            _checks.numbers,
            ([0.5, 2], "p", None, 0, 1),
            {},
            "p must hold numbers from 0 to 1, got 2",
        ),
        (_checks.binary_labels, ([0, 2], "y"), {}, "y must hold the labels 0 and 1, got"),
        (_checks.binary_labels, ([0, 0], "y"), {}, r"y holds one class only \(0\)"),
        (_checks.binary_labels, ([{}, 1], "y"), {}, "y must hold the labels 0 and 1: unhashable"),
        (_checks.binary_labels, (np.array([1 + 0j, 0]), "y"), {}, "the labels 0 and 1, got"),
        (
            _checks.table,
            ([1, 2], "X"),
            {},
            r"X must be a table of shape \(n, d\), .*got shape \(2,\)",
        ),
        (_checks.table, (pd.DataFrame({"a": []}), "X"), {}, r"not empty, got shape \(0, 1\)"),
        (_checks.table, (pd.DataFrame([[1, 2]], columns=["a", "a"]), "X"), {}, "two columns 'a'"),
        (_checks.generator, (True,), {}, "random_state must be a whole number"),
        (_checks.generator, ([],), {}, "random_state must be a whole number"),
    ],
)
def test_each_check_refuses_by_name(check, args, options, message):
    with pytest.raises(ValueError, match=message):
        check(*args, **options)


def test_what_fits_is_returned():
    assert _checks.one_of("a", "mode", ("a",)) == "a"
    assert _checks.number(np.float64(0.5), "x", 0, 1) == 0.5
    assert _checks.number(10**30, "x", 0) == 10**30
    assert _checks.whole_number(np.int64(3), "k") == 3
    assert _checks.numbers([1, 2], "p").dtype == float
    assert _checks.binary_labels([1, 1], "y", both=False).tolist() == [1, 1]


@pytest.mark.parametrize(
    "labels",
    [
        [True, False],
        np.array([1.0, 0.0]),
        pd.Series([1, 0], index=[7, 7]),
        pd.array([1, 0], dtype="Int64"),
        pd.array([True, False], dtype="boolean"),
    ],
)
def test_labels_come_in_many_types(labels):
    assert _checks.binary_labels(labels, "y").tolist() == [1, 0]
    assert _checks.binary_labels(labels, "y").dtype == int


def test_a_missing_nullable_label_is_refused():
    with pytest.raises(ValueError, match="y holds 1 missing"):
        _checks.binary_labels(pd.array([1, 0, None], dtype="Int64"), "y")
