"""The few input checks that every module shares. Each names the argument, what it was, what fits.

Each check of an array returns it as a new numpy view of the right type; nothing is modified.
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
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    too_low = is_number and (value <= low if open_low else value < low)
    too_high = is_number and (value >= high if open_high else value > high)
    if not is_number or not np.isfinite(value) or too_low or too_high:
        bounds = [f"{'above' if open_low else 'at least'} {low:g}"] if np.isfinite(low) else []
        bounds += [f"{'below' if open_high else 'at most'} {high:g}"] if np.isfinite(high) else []
        raise ValueError(
            f"{name} must be a number {' and '.join(bounds)}".rstrip() + f", got {value!r}"
        )
    return value


def whole_number(value, name, low=1):
    """Refuse what is not an integer of at least low."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name} must be a whole number of at least {low}, got {value!r}")
    return int(value)


def column(values, name, length=None):
    """One-dimensional, not empty, nothing missing, and of the given length if there is one."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
    if len(array) == 0:
        raise ValueError(f"{name} is empty")
    if length is not None and len(array) != length:
        raise ValueError(f"{name} must have {length} entries, got {len(array)}")
    if pd.isna(array).any():
        raise ValueError(f"{name} holds {pd.isna(array).sum()} missing values; remove or fill them")
    return array


def numbers(values, name, length=None, low=-np.inf, high=np.inf):
    """A column of finite numbers from low to high, as floats."""
    array = column(values, name, length)
    try:
        array = array.astype(float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers, got dtype {array.dtype}") from None
    outside = array[~np.isfinite(array) | (array < low) | (array > high)]
    if len(outside):
        raise ValueError(f"{name} must lie between {low:g} and {high:g}, got {outside[0]:g}")
    return array


def binary_labels(values, name, length=None, *, both=True):
    """A column of labels 0 and 1 as integers; with both=True, each must occur."""
    array = column(values, name, length)
    strange = [value for value in pd.unique(array) if value not in (0, 1)]
    if strange:
        raise ValueError(f"{name} must hold the labels 0 and 1, got {strange[0]!r}")
    array = array.astype(int)
    if both and len(set(array.tolist())) == 1:
        raise ValueError(f"{name} holds one class only ({array[0]}); both 0 and 1 are needed")
    return array
