"""The course as a whole: map, routes, index, picture and check-up, and the first exercise."""

import re
import socket

import matplotlib.image
import numpy as np
import pytest

from mlsys_helpers import datasets, start_here
from mlsys_helpers.plotting import use_style
from mlsys_helpers.start_here import CHAPTERS, ROUTES, course_map, course_routes, technique_index

ROOT = start_here._ROOT
ROOMS = ("mlsys_helpers/{}.py", "mlsys_helpers/exercises/{}.py", "tests/test_{}.py")


def test_the_chapters_are_numbered_and_named_once():
    assert [chapter.number for chapter in CHAPTERS] == list(range(19))
    assert len({chapter.name for chapter in CHAPTERS}) == 19


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.name)
def test_a_chapter_has_its_four_rooms(chapter):
    for room in ROOMS:
        assert (ROOT / room.format(chapter.name)).is_file()


def test_every_notebook_is_on_the_map():
    stems = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert stems == {chapter.stem for chapter in CHAPTERS}


def test_the_map_links_every_chapter():
    rows = course_map("notebooks").splitlines()[2:]
    for chapter, row in zip(CHAPTERS, rows, strict=True):
        assert f"](notebooks/{chapter.stem}.ipynb)" in row
        assert row.endswith(f"| {chapter.question} | {chapter.minutes} |")


def test_the_readme_shows_the_same_map():
    assert course_map("notebooks") in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_routes_name_their_chapters_and_hours():
    table = course_routes()
    for route, numbers in ROUTES.items():
        hours = sum(CHAPTERS[number].minutes for number in numbers) / 60
        (row,) = [row for row in table.splitlines() if row.startswith(f"| {route} |")]
        assert row.endswith(f"| {hours:.1f} |")
        assert len(re.findall(r"\d\d\b(?=[),]| \|)", row.rsplit("|", 2)[0] + "|")) == len(numbers)


def test_the_index_holds_every_helper_once_with_section_and_test():
    import importlib

    import nbformat

    table = technique_index()
    for chapter in CHAPTERS[1:]:
        nb = nbformat.read(ROOT / "notebooks" / f"{chapter.stem}.ipynb", as_version=4)
        headings = re.findall(r"(?m)^##+ (.+)$", "\n".join(c.source for c in nb.cells))
        tests = (ROOT / "tests" / f"test_{chapter.name}.py").read_text(encoding="utf-8")
        for helper in importlib.import_module(f"mlsys_helpers.{chapter.name}").__all__:
            (row,) = [row for row in table.splitlines() if f"`{chapter.name}.{helper}`" in row]
            section = re.search(r"\[\d\d · (.+?)\]\(", row)[1]
            assert section in headings, helper  # the notebook really calls it there
            assert helper in tests, helper


def cells_by_section(chapter):
    import nbformat

    section, cells = None, {}
    for cell in nbformat.read(ROOT / "notebooks" / f"{chapter.stem}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            cells[section] = cells.get(section, "") + cell.source
        elif headings := re.findall(r"(?m)^##+ (.+)$", cell.source):
            section = headings[-1]
    return cells


@pytest.mark.parametrize("technique", start_here.LIBRARY_TECHNIQUES, ids=lambda t: t.name)
def test_the_index_of_what_other_libraries_bring_is_true(technique):
    import importlib

    (chapter,) = [chapter for chapter in CHAPTERS if chapter.name == technique.chapter]
    module, _, tool = technique.home.rpartition(".")
    if tool == "IterativeImputer":
        importlib.import_module("sklearn.experimental.enable_iterative_imputer")
    assert hasattr(importlib.import_module(module), tool)
    assert re.search(rf"\b{tool}\b", cells_by_section(chapter)[technique.section])
    (row,) = [row for row in technique_index().splitlines() if f"`{technique.home}`" in row]
    assert row.startswith(f"| {technique.name} |")
    assert f"[{chapter.number:02} · {technique.section}]" in row


def test_the_picture_in_the_readme_is_the_one_that_the_code_draws(tmp_path):
    use_style()
    start_here.plot_course().figure.savefig(tmp_path / "course.png")
    stored = matplotlib.image.imread(ROOT / "course.png")
    drawn = matplotlib.image.imread(tmp_path / "course.png")
    assert stored.shape == drawn.shape
    assert np.abs(stored - drawn).mean() < 0.01  # fonts may be drawn a shade differently


def test_the_doctor_is_content_here(capsys):
    assert start_here.doctor()
    assert "MISSING" not in capsys.readouterr().out


def test_the_doctor_names_what_is_missing(capsys, monkeypatch, tmp_path):
    (tmp_path / "requirements.lock").write_text("numpy==0.1\nno-such-package==1.0\n")
    monkeypatch.setattr(start_here, "_ROOT", tmp_path)
    monkeypatch.setattr(datasets, "_FOLDER", tmp_path)
    monkeypatch.setattr(start_here.sys, "version_info", (3, 10, 1))

    def refuse(*args):
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket, "create_server", refuse)
    assert not start_here.doctor()
    out = capsys.readouterr().out
    for part in (
        "3.10.1",
        "numpy is",
        "no-such-package is not installed",
        "flights.parquet",
        "127",
    ):
        assert part in out
    assert out.count("MISSING") == 4


# --- The first exercise


def counts_missing_as_on_time(arr_delay):
    return (arr_delay > 60).mean()


def counts_missing_as_late(arr_delay):
    return ((arr_delay > 60) | np.isnan(arr_delay)).mean()


def at_least_an_hour(arr_delay):
    return (arr_delay[~np.isnan(arr_delay)] >= 60).mean()


def averages_the_delays(arr_delay):
    return arr_delay.mean()


WRONG_ANSWERS = {
    "late_share": [
        (counts_missing_as_on_time, "as on time"),
        (counts_missing_as_late, "as late"),
        (at_least_an_hour, "*more* than 60"),
        (averages_the_delays, "missing too"),
    ]
}
