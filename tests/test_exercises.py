"""The engine, and every chapter's checks proven: on the solution, the stub and wrong answers.

A chapter's solutions and stubs are read from its notebook. Its wrong answers stand in its test
module, as ``WRONG_ANSWERS``: for each exercise at least three pairs of a function and a part of
the diagnosis that it must meet.
"""

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import nbformat
import notebook_guards
import numpy as np
import pandas as pd
import pytest

from mlsys_helpers.exercises import _engine, check, hint, progress
from mlsys_helpers.exercises._engine import CORRECT, NOT_ATTEMPTED, NOT_YET, judge
from mlsys_helpers.start_here import CHAPTERS

EXERCISES = sorted(_engine._exercises())
CHAPTER_BY_NAME = {chapter.name: chapter for chapter in CHAPTERS}


def notebook(exercise):
    chapter = CHAPTER_BY_NAME[exercise.split(".")[0]]
    return nbformat.read(notebook_guards.NOTEBOOKS / f"{chapter.stem}.ipynb", as_version=4)


def run(exercise, read):
    """Define the exercise's function from the code that `read` takes out of the notebook."""
    nb = notebook(exercise)
    (target,) = {t for _, name, t, _ in notebook_guards.checked_exercises(nb) if name == exercise}
    scope = {"np": np, "pd": pd}
    exec(read(nb)[exercise], scope)
    return scope[target]


# --- Every exercise of every chapter


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, run(exercise, notebook_guards.solutions)).status == CORRECT


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_stub_is_not_attempted(exercise):
    assert judge(exercise, run(exercise, notebook_guards.stubs)).status == NOT_ATTEMPTED


@pytest.mark.parametrize("exercise", EXERCISES)
def test_wrong_answers_meet_the_fitting_diagnosis(exercise):
    chapter, name = exercise.split(".")
    wrong_answers = importlib.import_module(f"test_{chapter}").WRONG_ANSWERS[name]
    assert len(wrong_answers) >= 3
    for wrong, diagnosis in wrong_answers:
        verdict = judge(exercise, wrong)
        assert verdict.status == NOT_YET
        assert diagnosis in verdict.message


def test_every_exercise_of_a_notebook_has_a_check_and_every_check_a_notebook():
    in_notebooks = set()
    for path in notebook_guards.NOTEBOOKS.glob("*.ipynb"):
        nb = nbformat.read(path, as_version=4)
        in_notebooks |= {name for _, name, *_ in notebook_guards.checked_exercises(nb)}
    assert in_notebooks == set(EXERCISES)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_hints_and_names(exercise):
    assert exercise.split(".")[0] in CHAPTER_BY_NAME
    hints = _engine._find(exercise).hints
    assert hints and all(len(text) > 10 for text in hints)


# --- The engine, on the exercise of the start page

NAME = "start_here.late_share"


def right(arr_delay):
    return (arr_delay[~np.isnan(arr_delay)] > 60).mean()


@pytest.fixture
def progress_file(tmp_path, monkeypatch):
    path = tmp_path / "progress"
    monkeypatch.setenv("MLSYS_PROGRESS", str(path))
    return path


def bare_stub(arr_delay):
    """Nothing here yet."""
    ...


def passing_stub(arr_delay):
    pass


def raising_stub(arr_delay):
    raise NotImplementedError


@pytest.mark.parametrize(
    "stub",
    [
        bare_stub,
        passing_stub,
        raising_stub,
        lambda arr_delay: ...,
        partial(lambda arr_delay: ...),
        ...,
    ],
)
def test_all_kinds_of_stubs_are_not_attempted(stub, capsys, progress_file):
    check(NAME, stub)
    assert "not attempted yet" in capsys.readouterr().out
    assert not progress_file.exists()


def forgets_return(arr_delay):
    right(arr_delay)


def changes_its_input(arr_delay):
    arr_delay[np.isnan(arr_delay)] = -1
    return 0.5


def raises(arr_delay):
    return arr_delay.no_such_thing


@pytest.mark.parametrize(
    ("wrong", "diagnosis"),
    [
        (forgets_return, "return"),
        (changes_its_input, "changed its input"),
        (raises, "It raised an error: AttributeError"),
        (lambda: 1, "TypeError"),
        (lambda arr_delay: "much", "The result cannot be used: TypeError"),
        (0.5, "Pass the function itself"),
        (partial(changes_its_input), "changed its input"),
        (lambda arr_delay: sys.exit(), "SystemExit"),
    ],
)
def test_a_wrong_attempt_is_told_why_and_raises_nothing(wrong, diagnosis, capsys, progress_file):
    check(NAME, wrong)
    out = capsys.readouterr().out
    assert f"{NAME}: not yet." in out
    assert diagnosis in out
    assert not progress_file.exists()


def test_the_diagnosis_shows_the_call_and_the_result(capsys):
    check(NAME, lambda arr_delay: (arr_delay > 60).mean())
    out = capsys.readouterr().out
    assert "called:   <lambda>([61.0, 60.0, -5.0, 130.0, nan])" in out
    assert "returned: 0.4" in out


def test_a_right_attempt_is_kept(capsys, progress_file):
    check(NAME, right)
    assert f"{NAME}: correct." in capsys.readouterr().out
    assert NAME in progress_file.read_text().splitlines()
    progress()
    out = capsys.readouterr().out
    assert "00 start_here" in out and "1 of 1" in out and "06 class_imbalance" in out
    check(NAME, raises)
    check(NAME, right)
    assert progress_file.read_text().count(NAME) == 1  # once solved stays solved


@pytest.mark.parametrize("content", [b"{", b"nonsense", b"\x00\xff\xfe", b"", b"[1, null]"])
def test_a_damaged_progress_file_loses_nothing(content, capsys, progress_file):
    progress_file.write_bytes(content)
    progress()
    assert "0 of 1" in capsys.readouterr().out
    check(NAME, right)
    progress()
    assert "1 of 1" in capsys.readouterr().out
    assert progress_file.read_bytes().startswith(content)


def test_where_nothing_can_be_kept_the_verdict_still_comes(capsys, monkeypatch, tmp_path):
    for place in (tmp_path / "no such folder" / "progress", tmp_path):
        monkeypatch.setenv("MLSYS_PROGRESS", str(place))
        check(NAME, right)
        progress()
        out = capsys.readouterr().out
        assert "correct" in out and "could not be kept" in out and "0 of 1" in out


def test_notebooks_may_keep_their_progress_at_the_same_time(progress_file):
    names = [f"chapter.exercise_{i}" for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_engine._keep, names))
    assert set(names) <= _engine._solved()


def test_hints_come_one_at_a_time_and_start_again(capsys):
    _engine._hints_given.clear()
    for _ in range(3):
        hint(NAME)
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("Hint 1 of 2") and second.startswith("Hint 2 of 2")
    assert third == first


@pytest.mark.parametrize("name", ["start_here.late_shar", "nonsense", "", 7, None, ["a"], {}])
def test_an_unknown_exercise_is_refused_by_name(name):
    for call in (lambda: check(name, right), lambda: hint(name)):
        with pytest.raises(ValueError, match="name must be that of an exercise"):
            call()
    if name == "start_here.late_shar":
        with pytest.raises(ValueError, match=r"did you mean 'start_here\.late_share'"):
            hint(name)


@pytest.mark.parametrize(
    "value",
    [
        [np.array([1, 2])],
        {"a": pd.Series([1.0, np.nan])},
        (pd.DataFrame({"x": ["a", None]}),),
        np.array([1.0, np.nan]),
    ],
)
def test_changes_are_seen_through_containers(value):
    import copy

    changed = copy.deepcopy(value)
    inner = changed if isinstance(changed, np.ndarray) else next(iter(_values(changed)))
    assert _engine._same(value, copy.deepcopy(value))
    if isinstance(inner, pd.DataFrame):
        inner.iloc[0, 0] = "z"
    elif isinstance(inner, pd.Series):
        inner.iloc[0] = 9
    else:
        inner[0] = 9
    assert not _engine._same(value, changed)


def _values(container):
    return container.values() if isinstance(container, dict) else container
