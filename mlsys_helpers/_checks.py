"""The few input checks that every module shares. Each names the argument, what it was, what fits.

A check of an array returns a new array of the right type; nothing is modified.
"""

import numpy as np
import pandas as pd


def one_of(value, name, allowed):
    """Refuse a value that is not among the allowed ones."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def number(value, name, low=-np.inf, high=np.inf, *, open_low=False, open_high=False):
    """Refuse what is not a finite number from low to high; an open end excludes the bound."""
    fits = _is_number(value) and abs(value) < np.inf
    fits = fits and (value > low if open_low else value >= low)
    fits = fits and (value < high if open_high else value <= high)
    if not fits:
        bounds = [f"{'above' if open_low else 'at least'} {low:g}"] if np.isfinite(low) else []
        bounds += [f"{'below' if open_high else 'at most'} {high:g}"] if np.isfinite(high) else []
        wanted = " ".join(["a number", " and ".join(bounds)]).strip()
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return value


def whole_number(value, name, low=1):
    """Refuse what is not an integer of at least low."""
    if not _is_number(value) or isinstance(value, (float, np.floating)) or value < low:
        raise ValueError(f"{name} must be a whole number of at least {low}, got {value!r}")
    return int(value)


def generator(random_state):
    """A numpy Generator from an integer, a Generator or None."""
    try:
        if isinstance(random_state, (bool, list, tuple)):
            raise TypeError
        return np.random.default_rng(random_state)
    except (TypeError, ValueError):
        raise ValueError(
            "random_state must be a whole number of at least 0, a numpy Generator or None, "
            f"got {random_state!r}"
        ) from None


def column(values, name, length=None):
    """One-dimensional, not empty, nothing missing, and of the given length if there is one."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be an array of one dimension: {error}") from None
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        array = np.array(values, dtype=object)  # a missing value stays one, beside text
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
    if len(array) == 0:
        raise ValueError(f"{name} is empty")
    if length is not None and len(array) != length:
        raise ValueError(f"{name} must have {length} entries, got {len(array)}")
    masked = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else False
    missing = (pd.isna(array) | masked).sum()
    if missing:
        raise ValueError(f"{name} holds {missing} missing values; remove or fill them")
    return array


def numbers(values, name, length=None, low=-np.inf, high=np.inf, *, finite=True):
    """A column of numbers from low to high, as floats; finite ones unless told otherwise."""
    array = column(values, name, length)
    kinds = ("floating", "integer", "boolean", "decimal", "mixed-integer-float")
    if pd.api.types.infer_dtype(array, skipna=False) not in kinds:
        raise ValueError(f"{name} must hold numbers, got {_plain(array[0])!r}")
    try:
        array = array.astype(float)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from None
    outside = array[(array < low) | (array > high) | (np.isinf(array) if finite else False)]
    if len(outside):
        wanted = f"numbers from {low:g} to {high:g}" if np.isfinite(low) else "finite numbers"
        raise ValueError(f"{name} must hold {wanted}, got {outside[0]:g}")
    return array


def binary_labels(values, name, length=None, *, both=True):
    """A column of labels 0 and 1 as integers; with both=True, each must occur."""
    array = column(values, name, length)
    try:
        found = pd.unique(array)
        strange = [v for v in found if v not in (0, 1) or isinstance(v, complex)]
    except TypeError as error:
        raise ValueError(f"{name} must hold the labels 0 and 1: {error}") from None
    if strange:
        raise ValueError(f"{name} must hold the labels 0 and 1, got {_plain(strange[0])!r}")
    array = array.astype(int)
    if both and len(set(array.tolist())) == 1:
        raise ValueError(f"{name} holds one class only ({array[0]}); both 0 and 1 are needed")
    return array


def classes(values, name):
    """The distinct labels of a column, sorted; at least two."""
    try:
        found = np.unique(values)
    except TypeError:
        raise ValueError(f"{name} must hold labels of one type") from None
    if len(found) < 2:
        raise ValueError(f"{name} must hold at least two classes, got 1 class: {found.tolist()}")
    return found


def table(X, name):
    """A data frame as it is, or else a matrix; with rows, and no column name twice."""
    X = X if isinstance(X, pd.DataFrame) else np.asarray(X)
    if X.ndim != 2 or len(X) == 0:
        raise ValueError(f"{name} must be a table of shape (n, d), not empty, got shape {X.shape}")
    if isinstance(X, pd.DataFrame):
        unique_columns(X, name)
    return X


def unique_columns(frame, name):
    """Refuse a data frame that holds a column name twice."""
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"{name} has two columns {twice!r}")


def _is_number(value):
    numeric = (int, float, np.integer, np.floating)
    return isinstance(value, numeric) and not isinstance(value, (bool, np.timedelta64))


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value
