"""What all exercises share: the three verdicts, the hints, and the file that keeps the progress.

A chapter's exercises are one module of this package, named as the chapter is. Each exercise is a
function that calls the learner's attempt and complains with `expect`; the decorator `exercise`
adds its hints:

    @exercise("First hint.", "Second, stronger hint.")
    def recall(attempt):
        share = attempt([1, 1, 0], [1, 0, 0])
        expect(share == 0.5, "of two positives one was found, so the recall is 0.5")

That is all: the engine finds the module, watches each call, and reports the one that went wrong.
"""

import copy
import difflib
import importlib
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlsys_helpers.start_here import CHAPTERS

NOT_ATTEMPTED, NOT_YET, CORRECT = "not attempted yet", "not yet", "correct"
_ROOT = Path(__file__).parents[2]
_hints_given: dict[str, int] = {}


class Verdict(NamedTuple):
    """What `judge` says of an attempt: one of the three statuses, and what to tell the learner."""

    status: str
    message: str


class Exercise(NamedTuple):
    """A function that tries the learner's attempt, and the hints, weakest first."""

    examine: Callable
    hints: tuple[str, ...]


class _NotAttempted(Exception):
    """The attempt is still the stub."""


class _NotYet(Exception):
    """The attempt is wrong; the message is the diagnosis."""


def exercise(*hints):
    """Make an exercise of a function that examines an attempt."""
    return lambda examine: Exercise(examine, hints)


def expect(condition, diagnosis):
    """Refuse the attempt with this diagnosis unless the condition holds."""
    if not condition:
        raise _NotYet(diagnosis)


def check(name, attempt):
    """Judge an attempt, print the verdict, and keep what is solved.

    Parameters
    ----------
    name : str
        Chapter and exercise, as in ``"class_imbalance.focal"``.
    attempt : function or class
        The learner's answer. While its result is ``...`` it counts as not attempted.

    Raises
    ------
    ValueError
        If there is no such exercise. A wrong attempt raises nothing.

    Examples
    --------
    >>> from mlsys_helpers.exercises import check
    >>> check("start_here.late_share", lambda arr_delay: ...)
    start_here.late_share: not attempted yet. Replace the ... with your code and run the cell again.
    """
    verdict = judge(name, attempt)
    print(f"{name}: {verdict.status}. {verdict.message}")
    if verdict.status == CORRECT:
        _keep(name)


def hint(name):
    """Print the next hint of an exercise; after the last one, start again.

    Parameters
    ----------
    name : str
        Chapter and exercise, as in ``"class_imbalance.focal"``.

    Raises
    ------
    ValueError
        If there is no such exercise.

    Examples
    --------
    >>> from mlsys_helpers.exercises import hint
    >>> hint("start_here.late_share")  # doctest: +ELLIPSIS
    Hint ... of 2: ...
    """
    hints = _find(name).hints
    turn = _hints_given.get(name, 0) % len(hints)
    _hints_given[name] = turn + 1
    print(f"Hint {turn + 1} of {len(hints)}: {hints[turn]}")


def progress():
    """Print what is solved, a line for each chapter.

    Examples
    --------
    >>> from mlsys_helpers.exercises import progress
    >>> progress()  # doctest: +ELLIPSIS
    00 start_here ...
    """
    solved = _solved()
    for chapter in CHAPTERS:
        names = [name for name in _exercises() if name.startswith(f"{chapter.name}.")]
        if names:
            done = sum(name in solved for name in names)
            boxes = "■" * done + "□" * (len(names) - done)
            left = [name.split(".")[1] for name in names if name not in solved]
            line = f"{chapter.number:02} {chapter.name:24}{boxes:6}{done} of {len(names)}"
            print(f"{line}   next: {left[0]}" if left else line)


def judge(name, attempt):
    """The verdict on an attempt, without printing or keeping anything."""
    examine = _find(name).examine
    watched = _Watched(attempt)
    try:
        if attempt is ...:
            raise _NotAttempted
        expect(callable(attempt), f"Pass the function itself, not its result, {_show(attempt)}.")
        examine(attempt if isinstance(attempt, type) else watched)
    except _NotAttempted:
        message = "Replace the ... with your code and run the cell again."
        return Verdict(NOT_ATTEMPTED, message)
    except _NotYet as diagnosis:
        return Verdict(NOT_YET, f"{diagnosis}{watched.last_call}")
    except (Exception, SystemExit) as error:  # whatever goes wrong, the learner is told
        what = "The result cannot be used" if watched.returned else "It raised an error"
        message = f"{what}: {type(error).__name__}: {error}{watched.last_call}"
        return Verdict(NOT_YET, message)
    return Verdict(CORRECT, "Well done.")


class _Watched:
    """The learner's function, with each call looked over and remembered for the diagnosis."""

    def __init__(self, function):
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)
        self.last_call = ""
        self.returned = False

    def __call__(self, *args, **kwargs):
        shown = [_show(value) for value in args]
        shown += [f"{key}={_show(value)}" for key, value in kwargs.items()]
        self.last_call = f"\n  called:   {self.name}({', '.join(shown)})"
        self.returned = False
        before = copy.deepcopy((args, kwargs))
        try:
            result = self.function(*args, **kwargs)
        except NotImplementedError:
            raise _NotAttempted from None
        if result is ... or (result is None and _does_nothing(self.function)):
            raise _NotAttempted
        self.returned = True
        self.last_call += f"\n  returned: {_show(result)}"
        expect(result is not None, "It returned None: a `return` is missing, or was not reached.")
        expect(_same((args, kwargs), before), "It changed its input. Work on a copy.")
        return result


def _does_nothing(function):
    """True for a body such as `...` or `pass`: no name looked up, nothing but its docstring."""
    code = getattr(function, "__code__", None)
    return code and not code.co_names and set(code.co_consts) <= {None, ..., function.__doc__}


def _same(left, right):
    """Equal in every entry, through tuples, lists, dicts, arrays and tables."""
    if isinstance(left, (tuple, list)):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, (pd.Series, pd.DataFrame)):
        return left.equals(right)
    if isinstance(left, np.ndarray):
        return left.shape == right.shape and pd.Series(left.ravel()).equals(
            pd.Series(right.ravel())
        )
    return True  # a number or a string cannot be changed; a generator is meant to be


def _show(value):
    """A short text for a value: in full where it is small, by its shape where it is not."""
    if isinstance(value, (tuple, list)) and len(value) <= 8:
        shown = ", ".join(map(_show, value))
        return f"({shown})" if isinstance(value, tuple) else f"[{shown}]"
    if isinstance(value, (np.ndarray, pd.Series)) and value.size <= 12:
        return str(np.asarray(value).tolist())
    if isinstance(value, (np.ndarray, pd.Series, pd.DataFrame)):
        return f"{type(value).__name__} of shape {value.shape}"
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    text = str(value) if isinstance(value, np.generic) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _exercises():
    """Every exercise by its full name, chapter by chapter."""
    package = importlib.import_module("mlsys_helpers.exercises")
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            chapter = importlib.import_module(f"mlsys_helpers.exercises.{module.name}")
            for name, value in vars(chapter).items():
                if isinstance(value, Exercise):
                    found[f"{module.name}.{name}"] = value
    return found


def _find(name):
    exercises = _exercises()
    if not isinstance(name, str) or name not in exercises:
        close = difflib.get_close_matches(str(name), exercises, n=1, cutoff=0.4)
        advice = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"name must be that of an exercise, got {name!r}{advice}")
    return exercises[name]


def _progress_file():
    folder = _ROOT if (_ROOT / "notebooks").is_dir() else Path.cwd()
    return Path(os.environ.get("MLSYS_PROGRESS") or folder / ".progress")


def _solved():
    """The names of the solved exercises, a line each; other lines do not matter."""
    try:
        return set(_progress_file().read_text(errors="replace").splitlines())
    except FileNotFoundError:
        return set()
    except OSError as error:
        print(f"The progress could not be read: {error}")
        return set()


def _keep(name):
    """Add a line. Two notebooks may do so at once, and nothing that is there is touched."""
    if name not in _solved():
        try:
            with _progress_file().open("a") as file:
                file.write(f"\n{name}")
        except OSError as error:
            print(f"The progress could not be kept: {error}")
