"""Chapter 16: what changes after deployment, how to see it, and how to find the cause.

Throughout, the reference is the data that the model is known to work on, the current data is the
window being watched, and both are columns or tables of the same meaning.
"""

import numpy as np
import pandas as pd

from mlsys_helpers import _checks

__all__ = ["psi"]


def psi(reference, current, edges=None, bins=10):
    """The population stability index of two columns: 0 for equal shares in every bin.

    It is the sum over bins of ``(q - p) * log(q / p)``, with p the share of the reference in the
    bin and q that of the current column. Missing values are left out; watch their share apart. A
    bin that is empty on one side counts there as half a row, one that is empty on both as nothing.

    Parameters
    ----------
    reference, current : array-like of shape (n,) and (m,)
        Both numbers (infinite ones fall in the outer bins), or both categories (text, booleans):
        then every category of either column is a bin.
    edges : array-like of shape (k,), optional
        Rising cuts that make k + 1 bins, the outer ones open; a value equal to an edge falls in
        the bin above it. By default the quantiles of the reference, where a value that fills
        more than one quantile has a bin of its own.
    bins : int of at least 2, default 10
        How many quantiles; of no effect beside `edges` or with categories.

    Returns
    -------
    float of at least 0
        The rule of thumb reads below 0.1 as stable and above 0.2 as shifted; how often it is
        wrong depends on the number of rows.

    Raises
    ------
    ValueError
        If a column is empty or has no value at all, one holds numbers and the other does not,
        edges do not rise or stand beside categories, or bins is below 2.

    References
    ----------
    Chapter 16, Detecting Data Distribution Shift. B. Yurdakul and J. Naranjo, "Statistical
    properties of the population stability index", Journal of Risk Model Validation (2020).

    Examples
    --------
    >>> from mlsys_helpers.monitoring import psi
    >>> round(psi(["a"] * 5 + ["b"] * 5, ["a"] * 6 + ["b"] * 4), 5)
    0.04055
    >>> round(psi(range(100), range(30, 130), edges=[50]), 5)  # half, then 80 % above the cut
    0.41589
    """
    reference, current = _present(reference, "reference"), _present(current, "current")
    _same_kind(reference, current)
    p, q = _binned(reference, current, edges, _checks.whole_number(bins, "bins", 2))
    return float(_psi_of_counts(p, q))


def _psi_of_counts(reference, current):
    """PSI from counts; the last axis holds the bins."""
    empty = (reference == 0) & (current == 0)
    p = np.where(reference == 0, 0.5, reference) / reference.sum(-1, keepdims=True)
    q = np.where(current == 0, 0.5, current) / current.sum(-1, keepdims=True)
    return np.where(empty, 0, (q - p) * np.log(q / p)).sum(-1)


def _binned(reference, current, edges, bins):
    """The counts of both columns in the same bins."""
    if reference.dtype.kind == "f":
        edges = _edges(reference, bins) if edges is None else _rising(edges)
        codes = [np.searchsorted(edges, values, side="right") for values in (reference, current)]
        return [np.bincount(code, minlength=len(edges) + 1) for code in codes]
    if edges is not None:
        raise ValueError("edges are of no use to categories: leave them out")
    codes = pd.factorize(np.concatenate([reference, current]))[0]
    return [
        np.bincount(part, minlength=codes.max() + 1)
        for part in (codes[: len(reference)], codes[len(reference) :])
    ]


def _edges(reference, bins):
    """The quantiles of the reference; a value that fills more than one is cut on both sides."""
    cuts = np.quantile(reference, np.linspace(0, 1, bins + 1), method="lower")
    values, times = np.unique(cuts, return_counts=True)
    atoms = values[times > 1]
    return np.unique(np.concatenate([cuts[1:-1], atoms, np.nextafter(atoms, np.inf)]))


def _rising(edges):
    edges = _checks.numbers(edges, "edges", finite=False)
    if (np.diff(edges) <= 0).any():
        raise ValueError(f"edges must rise, got {edges.tolist()}")
    return edges


def _present(values, name):
    """The values that are not missing: floats, or text for categories; at least one."""
    if np.ndim(values) != 1:
        raise ValueError(f"{name} must have one dimension, got {np.ndim(values)}")
    series = pd.Series(values).reset_index(drop=True)
    if series.empty:
        raise ValueError(f"{name} is empty")
    series = series.dropna()
    if series.empty:
        raise ValueError(f"{name} holds no value: all are missing")
    if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series):
        return series.to_numpy(dtype=float)
    kind = pd.api.types.infer_dtype(series, skipna=True)
    if kind not in ("string", "boolean", "categorical", "mixed"):
        raise ValueError(f"{name} must hold numbers or categories, got values of type {kind}")
    return series.astype(str).to_numpy(dtype=object)


def _same_kind(reference, current):
    kinds = ["numbers" if part.dtype.kind == "f" else "categories" for part in (reference, current)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"reference and current must be of one kind: reference holds {kinds[0]}, "
            f"current {kinds[1]}"
        )
