"""Every notebook passes every guard; and every guard refuses a bad notebook, accepts its good twin.

The notebooks of these tests are built here, a few cells each. Whether the real ones still give the
stored outputs is nbval's business (``pytest --nbval``).
"""

import functools
import re
from pathlib import Path

import nbformat
import notebook_guards as guards
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nbformat import from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval.plugin import get_sanitize_patterns

PATHS = sorted(guards.NOTEBOOKS.glob("*.ipynb"))


@functools.cache
def read(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize(
    ("path", "guard"),
    [
        pytest.param(path, guard, id=f"{path.stem}-{guard.__name__}")
        for path in PATHS
        for guard in guards.guards_for(path.stem)
    ],
)
def test_notebook_passes_guard(path, guard):
    complaints = guard(read(path), path.stem)
    assert not complaints, "\n".join(["", *complaints])


# ---------------------------------------------------------------- notebooks to test the guards on


def code(source, *outputs, tags=(), count=1):
    outputs = [stdout(output) if isinstance(output, str) else output for output in outputs]
    metadata = {"tags": list(tags)} if tags else {}
    return new_code_cell(source, outputs=outputs, metadata=metadata, execution_count=count)


def stdout(text):
    return new_output("stream", name="stdout", text=text)


def stderr(text):
    return new_output("stream", name="stderr", text=text)


def data(**mimes):
    """An output of text_plain=, text_html=, image_png= …"""
    return new_output(
        "display_data", {mime.replace("_", "/"): text for mime, text in mimes.items()}
    )


def notebook(*cells):
    """A notebook of copies of the cells; a text is a markdown cell."""
    cells = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return new_notebook(cells=[from_dict({**cell, "id": f"c{i}"}) for i, cell in enumerate(cells)])


ERROR = new_output("error", ename="ValueError", evalue="k", traceback=[])
FIGURE = code("plot();", data(image_png="iVBO", text_plain="<Figure size 700x400 with 1 Axes>"))
DRAWING = code("draw();", data(**{"image_svg+xml": "<svg/>"}))
CAPTION = "**Figure {}.** Recall falls as precision rises.\n\nText."
MERMAID = "```mermaid\nflowchart LR\n  a --> b\n```\n"
IGNORE = "nbval-ignore-output"
TIMED = code("seconds = time()\nassert seconds > 0", tags=[IGNORE])
WIDGET = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "Slider(value=0.93)"}


def refuses(guard, words, *cells):
    return pytest.param(guard, words, notebook(*cells), id=f"{guard.__name__}: {words}")


def accepts(guard, what, *cells):
    return pytest.param(guard, notebook(*cells), id=f"{guard.__name__}: {what}")


@pytest.mark.parametrize(
    ("guard", "words", "nb"),
    [
        refuses(guards.is_executed, "count None where 1", code("x = 1", count=None)),
        refuses(guards.is_executed, "count 3 where 2", code("a = 1"), code("b = 1", count=3)),
        refuses(guards.is_executed, "holds an error", code("f()", ERROR)),
        refuses(guards.is_executed, "stderr", code("f()", stderr("UserWarning"))),
        refuses(guards.is_executed, "no output is stored", code("print(1)\nx = 1")),
        refuses(guards.is_executed, "cell 1: shows something", "text", code("check('a.b', b)")),
        refuses(guards.is_executed, "shows something, but", code("display(x);")),
        refuses(guards.is_executed, "but no output", code("%matplotlib inline\nframe")),
        refuses(guards.is_executed, "no output is", code("frame.T")),
        refuses(guards.is_executed, "output is stored", code("frame['hour']  # hours")),
        refuses(
            guards.has_no_machine_paths, "/home/me/a.csv exists", code("read('/home/me/a.csv')")
        ),
        refuses(
            guards.has_no_machine_paths, "cell 1: /tmp/x1 ", "text", code("f()", "in /tmp/x1\n")
        ),
        refuses(
            guards.has_no_machine_paths, "/root/a.py", code("f()", data(text_plain="/root/a.py"))
        ),
        refuses(
            guards.has_no_machine_paths, "/Users/me", code("f()", data(text_html="<b>/Users/me/"))
        ),
        refuses(guards.has_no_machine_paths, "/work/main", "See [it](file:///work/main)."),
        refuses(guards.has_no_machine_paths, r"C:\Users", code("f()", "C:\\Users\\me\\a.csv\n")),
        refuses(guards.has_no_machine_paths, r"C:\\new", code(r"open('C:\\new')")),
        refuses(
            guards.has_no_machine_paths, "http://10.0.0.7:80", code("f()", "http://10.0.0.7:80/a")
        ),
        refuses(guards.ignored_cells_assert, "cell 0: its output", code("t = 1", tags=[IGNORE])),
        refuses(
            guards.ignored_cells_assert, "assert what", code("# NBVAL_IGNORE_OUTPUT\n'assert'")
        ),
        refuses(guards.ignored_cells_assert, "cell 4: more than 4", *[TIMED] * 5),
        refuses(guards.ignored_cells_assert, "may not skip", code("f()", tags=["nbval-skip"])),
        refuses(guards.ignored_cells_assert, "not skip it", code("# NBVAL_SKIP\nf()")),
        refuses(guards.ignored_cells_assert, "catch", code("f()", tags=["raises-exception"])),
        refuses(guards.ignored_cells_assert, "print", code("f()", tags=["nbval-raises-exception"])),
        refuses(guards.figures_have_captions, "with **Figure 1.**", FIGURE),
        refuses(guards.figures_have_captions, "cell 0: begin", DRAWING, "Text."),
        refuses(
            guards.figures_have_captions, "five words", FIGURE, "**Figure 1.** Only four words here"
        ),
        refuses(
            guards.figures_have_captions, "and a", FIGURE, "**Figure 1.** One.\n\nThen more text."
        ),
        refuses(
            guards.figures_have_captions, "right below", FIGURE, "Text.\n\n" + CAPTION.format(1)
        ),
        refuses(guards.figures_have_captions, "this figure", FIGURE, code("x"), CAPTION.format(1)),
        refuses(guards.figures_have_captions, "cell 0", FIGURE, CAPTION.format(2)),
        refuses(
            guards.figures_have_captions, "cell 1: begin", "A.\n\n" + MERMAID[:-1], MERMAID, "B."
        ),
        refuses(guards.links_resolve, "04_none.ipynb#top does not exist", "[a](04_none.ipynb#top)"),
        refuses(guards.links_resolve, "cell 1: a%20b.png", "text", "![alt](a%20b.png 'title')"),
        refuses(guards.links_resolve, "c.png does not", '<img src="c.png">'),
        refuses(guards.links_resolve, "leads out of the repository", "[a](../../b.md)"),
        refuses(guards.speaks_of_itself, '"The notes"', "The notes say so."),
        refuses(guards.speaks_of_itself, "cell 1", "text", "as in these\nnotes"),
        refuses(guards.speaks_of_itself, '"source notes"', "our source notes"),
    ],
)
def test_guard_refuses(guard, words, nb):
    complaints = guard(nb, "06_class_imbalance")
    assert any(words in complaint for complaint in complaints), complaints


@pytest.mark.parametrize(
    ("guard", "nb"),
    [
        accepts(
            guards.is_executed, "counts", code("x = 1"), "text", code(""), code("y = 1", count=2)
        ),
        accepts(guards.is_executed, "a stored output", code("print(1)", "1\n")),
        accepts(guards.is_executed, "a call", code("'''Why.'''"), code("f()\n...", count=2)),
        accepts(guards.is_executed, "a semicolon", code("frame;")),
        accepts(guards.is_executed, "a print to a file", code("print(1, file=log)")),
        accepts(guards.is_executed, "a print in a function", code("def f():\n    print(1)")),
        accepts(
            guards.is_executed,
            "an await, a cell magic",
            code("await f()"),
            code("%%sh\nls", count=2),
        ),
        accepts(
            guards.has_no_machine_paths,
            "addresses",
            "https://a.org/home/b, ./tmp/b, s3://work/b, ~/work/b, a/tmp/b, `{root}/tmp/b`",
            code(
                "print('hospital A:\\n', 'A:\\t')",
                "http://127.0.0.1:80 http://localhost:81/ http://[::1]:82",
            ),
            code("url = 'http://10.0.0.7:80'", "https://doi.org/10.1000"),
        ),
        accepts(guards.ignored_cells_assert, "asserts", *[TIMED] * 4, code("f()", tags=["other"])),
        accepts(
            guards.figures_have_captions,
            "every kind",
            *[
                FIGURE,
                CAPTION.format(1),
                code("f()", data(text_html="<b>")),
                DRAWING,
                CAPTION.format(2),
            ],
            f"{MERMAID}\n{CAPTION.format(3)}\n\n{MERMAID}\n{CAPTION.format(4)}",
            *[MERMAID, "**Figure 5.** Two boxes\nand an arrow between.", "```python\n1\n```"],
        ),
        accepts(
            guards.speaks_of_itself, "a footnote", "She notes the footnotes.\n```\nthe notes\n```"
        ),
    ],
)
def test_guard_accepts(guard, nb):
    assert guard(nb, "06_class_imbalance") == []


def test_links_to_what_exists_resolve(tmp_path, monkeypatch):
    monkeypatch.setattr(guards, "NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    for file in ("README.md", "notebooks/a b.png", "notebooks/05_labels.ipynb"):
        (tmp_path / file).touch()
    text = (
        '[a](../README.md) ![b](<a%20b.png>) [c](05_labels.ipynb#top "Labels") [d](#here)'
        " [e](https://a.org/b_(c)) [f](mailto:a@b.org) <img src='a%20b.png'> `[g](no.md)`"
        "\n```\n[h](no.md)\n```"
    )
    assert guards.links_resolve(notebook(text), "06_class_imbalance") == []


# ---------------------------------------------------------------- numbers


def unsupported(*cells):
    """The numbers that `numbers_are_printed` complains of."""
    complaints = guards.numbers_are_printed(notebook(*cells), "06_class_imbalance")
    return [re.match(r"cell \d+: (.+?) is printed by", complaint)[1] for complaint in complaints]


@pytest.mark.parametrize(
    ("prose", "printed"),
    [
        ("Recall is 0.93.", "0.9312"),
        ("Recall is 0.93.", "0.925"),
        ("Recall is .93 here.", "np.float64(0.93)"),
        ("Recall is **0.93**, _0.8_, `0.71` or $R = 0.64$.", "[0.93 0.8 0.71 0.64]"),
        ("Of 336,776 rows", "336776"),
        ("Of 336\u2009776 rows", "336,776"),
        ("Of 1,336,776.5 rows", "1336776.5"),
        ("On 900 rows", "899.6"),
        ("Costs −31 and -32", "a=-31\nb −32"),
        ("It falls by 0.14", "-0.14"),
        ("From 10–20, 30-40 to 50 or 50-fold", "20 30 40 50"),
        ("10 times, 25× and 35x", "25, 35"),
        ("At 1e-4 and 3.2e-05", "0.0001 3.21E-5"),
        ("Of $3.2 \\times 10^{-5}$, that is $0.5\\,\\%$", "3.2e-05 0.5%"),
        ("A share of 3 %", "3.1%"),
        ("A share of 3.1%", "0.0312"),
        ("A share of 44.5 per cent, or 30.4 percent", "44.5 %, 0.304"),
        ("It gains 3.1 percentage points", "0.031"),
        ("From 63 to 78 %, between 33 and 37 %, or 13–17 percent", "0.63 0.78 33% 37% 0.13 0.17"),
        ("A share of 0.031", "3.1%"),
        ("About 1.3 million, 40 thousand and 25k rows", "1312000 40,000 25000"),
        ("- 25 rows\n- 35 rows\n\n| a | b |\n|---|---|\n| 45 | 55 |", "25 35 45 55"),
        ("<details><summary>Hint</summary>It is 0.93.</details>", "0.93"),
    ],
)
def test_printed_number_bears_out_the_prose(prose, printed):
    assert unsupported(prose, code("show()", printed)) == []
    assert unsupported(prose) != []


@pytest.mark.parametrize(
    ("prose", "printed", "refused"),
    [
        ("Recall is 0.94.", "0.9312", ["0.94"]),
        ("Recall is 0.9300.", "0.9312", ["0.9300"]),
        ("On 900 rows", "899.4 901", ["900"]),
        ("Of 336,776 rows", "336 776", ["336,776"]),
        ("Of 517 rows", "2013,517,515,3", []),
        ("Of 517,515 rows", "2013,517,515,3", ["517,515"]),
        ("Costs -31", "31", ["-31"]),
        ("A share of 3.1 %", "3.1", ["3.1 %"]),
        ("A share of 3.1", "3.1 %", ["3.1"]),
        ("A share of 1200 %", "12", ["1200 %"]),
        ("All, 100 %", "1.0", []),
        ("A mean of 3.0", "3.04", []),
        ("A mean of 3.0", "3.1", ["3.0"]),
        ("A share of 5 %", "5", ["5 %"]),
        ("About 12 million and 13", "12 13", ["12 million"]),
        ("It is `0.94`.", "0.93", ["0.94"]),
        ("It is $0.94$, not $0.93$.", "0.93", ["0.94"]),
        ("<details><summary>Hint</summary>\n\nIt is 0.94.\n</details>", "0.93", ["0.94"]),
        ("| 0.94 | 0.93 |", "0.93", ["0.94"]),
        ("## 99.5 % right", "0.93", ["99.5 %"]),
        ("Two rows of 13 and 14.", "13", ["14"]),
        ("It is 1:99 here", "", ["99"]),
        ("It is 2013.5 or 2,013", "", ["2013.5", "2,013"]),
        ("It is 0.93. Elkan (2001) says 0.94.", "", ["0.93"]),
        ("It is 0.93.\n- Elkan (2001): 0.94\n- So 0.95", "", ["0.93", "0.95"]),
        ("| 0.93 |\n| [0.94](https://a.org) |\n| 0.95 |", "", ["0.93", "0.95"]),
        ("In one month (March 2013) it is 0.93.", "", ["0.93"]),
        ("See [chapter 05](05_labels.ipynb) with 0.93.", "", ["0.93"]),
    ],
)
def test_number_that_is_not_printed_is_refused(prose, printed, refused):
    assert unsupported(prose, code("show()", printed)) == refused


@pytest.mark.parametrize(
    "prose",
    [
        "Two classes, 3 folds, 0 or 12, and [−1, 1].",
        "In 2013, the 1990s, 2013-2014.",
        "On 2013-07-31, 31 July, 15–31 July, July 15-31 or Jan 31 at 17:30 or 23:59:59.",
        "See Chapter 16, chapters 14, 15 and 16, figures 13–15, Table 20, Section 4.2.",
        "Python 3.13, version 2.14, RFC 4231, release 3.11.7.",
        "F1, L2, p95, c10, x_20, nycflights13, top-50, SHA-256; the 95th percentile.",
        "`beta=0.999` and `load(20)` and ``f`0.5`` and https://a.org/0.93.",
        "$k = 100$ and $$\\frac{1 - \\beta^{20}}{16}$$",
        "```python\nx = 0.93\n```\n\n~~~\n0.93\n~~~",
        "<img width=700 alt='a'><!-- 0.93 -->",
        "## 13 · Title\n### 13.2. Part\n13. item\n14) item",
        "Time: 45 minutes. **Time:** about 40–60 min. A 45 min read. 45 minutes to read.",
        "The loss falls by 0.93, e.g. to 0.95, in the paper (Elkan 2001).",
        "As Cui et al. (2019) say, i.e. 0.93 vs. 0.94.",
        "It is 0.93 (see Cui et al., 2019, p. 27; Dean & Barroso 2013).",
        "It is 0.93 (O'Brien & Fleming, 1979) and 0.94 by J. Smith (1969a).",
        "It is 0.93 in [the paper](https://a.org/b_(c)).",
        "## References\n- A. Author 0.93\n  p. 27\n1. B. Author 0.94\n\n## Next",
    ],
)
def test_exempt_number_needs_no_output(prose):
    assert unsupported(prose) == []


@pytest.mark.parametrize(
    ("cell", "refused"),
    [
        (code("show()", data(text_html="<td>0.93</td><td>&minus;0.5</td>")), []),
        (code("show()", data(text_plain="0.93")), []),
        (code("show()", data(text_markdown="**0.93**")), []),
        (code("x = 0.93"), ["0.93"]),
        (code("show()", stderr("0.93")), ["0.93"]),
        (code("show()", data(text_html="<style>a {top: 0.93}</style><td width='0.93'>")), ["0.93"]),
        (code("show()", new_output("display_data", WIDGET)), ["0.93"]),
        (code("show()", "0.93", tags=[IGNORE]), ["0.93"]),
        (code("# NBVAL_IGNORE_OUTPUT\nshow()", "0.93"), ["0.93"]),
    ],
)
def test_only_stable_outputs_count_as_printed(cell, refused):
    assert unsupported("It is 0.93.", cell) == refused


def test_size_of_a_figure_is_not_printed():
    assert unsupported("Of 700 rows", FIGURE) == ["700"]


@pytest.mark.parametrize("closing", ["Recap", "Snippets", "References", "Common misreadings"])
def test_number_is_printed_in_its_own_section(closing):
    first = ["0.93 is the recall.", "## One\n\nIt is 0.93.", "### Deeper", code("f()", "0.93")]
    assert unsupported(*first, "As 0.93\n\n## Two\n\nand 0.93") == ["0.93"]
    assert unsupported(*first, f"## {closing}\n\nIt was 0.93.\n\n### More\n\n0.93") == []
    assert unsupported(*first, f"## {closing}\n\nIt was 0.94.") == ["0.94"]
    assert unsupported(*first, "```\n## no heading\n```\n\nstill 0.93") == []


def test_complaint_names_cell_number_sentence_and_where_it_is_printed():
    nb = notebook("# T", code("f()", "0.93"), "## One\n\nFirst. It is 0.93 now. Last 0.5.")
    elsewhere, nowhere = guards.numbers_are_printed(nb, "06_class_imbalance")
    assert "cell 2: 0.93 is printed by cell 1 only, in another section" in elsewhere
    assert elsewhere.endswith(": It is 0.93 now.")
    assert "cell 2: 0.5 is printed by no cell" in nowhere
    assert [found.number.text for found in guards.prose_numbers(nb)] == ["0.93", "0.5"]
    assert [found.section for found in guards.printed_numbers(nb)] == [0]


@given(st.floats(-1e6, 1e6), st.integers(1, 4))
@example(0.925, 2)
def test_however_prose_rounds_a_printed_number_it_is_borne_out(value, places):
    nb = code("show()", repr(value))
    assert unsupported(f"It is {value:.{places}f}, or {value:,.{places}f}.", nb) == []
    assert unsupported(f"It is {value:.{places}%}, or {value:.{places}e}.", nb) == []
    assert unsupported(f"It is {abs(value) + 1.1 * 10**-places:.{places}f}.", nb) != []


# ---------------------------------------------------------------- chapters

STUB = "def weigh(y):\n    ...  # your code here\n"
CHECK = 'check("class_imbalance.{}", weigh)'
ANSWER = """<details>
<summary>Hint 1</summary>Count.</details>

<details><summary><b>Solution</b></summary>

```python
def weigh(y):
    return 1 / len(y)
```
</details>"""
EXERCISES = [
    cell
    for exercise in ("one", "two", "three")
    for cell in ("Task.", code(STUB), code(CHECK.format(exercise), "not attempted yet"), ANSWER)
]
PARTS = "## Exercises\n## Recap\n## Snippets\n## References\n### Common misreadings"
CHAPTER = [
    "# 06 · Class imbalance",
    "You will be able to …\n\n- choose",
    "word " * 1500,
    *[FIGURE, CAPTION.format(1), DRAWING, CAPTION.format(2), MERMAID, CAPTION.format(3)],
    *[code("assert recall > 0.5")] * 10,
    PARTS,
    *EXERCISES,
]
LONG = code("\n\n".join(["x = 1"] * 19))


def changed(cells, old, new):
    """The cells with one, the first that equals old, replaced by new (or removed: None)."""
    i = cells.index(old)
    return [*cells[:i], *([] if new is None else [new]), *cells[i + 1 :]]


@pytest.mark.parametrize(
    ("words", "cells"),
    [
        *[
            (f"no heading with '{part}'", changed(CHAPTER, PARTS, PARTS.lower().replace(part, "")))
            for part in ("exercises", "recap", "snippets", "references", "misreadings")
        ],
        ("no heading with 'recap'", changed(CHAPTER, PARTS, f"```\n{PARTS}\n```")),
        ("cell 0: begin with the title", CHAPTER[1:]),
        ("cell 0: begin with the title", [code("# no title"), *CHAPTER]),
        ("cell 0: begin with the title", []),
        ("no list after", changed(CHAPTER, CHAPTER[1], "You will be able to choose.")),
        ("words; a chapter has 1500", changed(CHAPTER, CHAPTER[2], "<b word> | 0.5 " * 1500)),
        ("words; a chapter has 1500", [*CHAPTER, "word " * 2300]),
        ("14 code cells; a chapter has 15 to 40", [*CHAPTER[:9], *CHAPTER[13:], code("")]),
        ("41 code cells", [*CHAPTER, *[code("x = 1")] * 23]),
        ("2 figures; a chapter has 3", changed(CHAPTER, MERMAID, None)),
        ("2 asserts; a chapter has 3", [*CHAPTER[:9], *[code("'assert'")] * 8, *CHAPTER[17:]]),
        ("cell 35: 19 lines, and 3", [*CHAPTER, *[LONG] * 4]),
    ],
)
def test_chapter_without_a_part_is_refused(words, cells):
    complaints = guards.has_the_parts(notebook(*cells), "06_class_imbalance")
    assert any(words in complaint for complaint in complaints), complaints


@pytest.mark.parametrize(
    ("words", "cells"),
    [
        ("fewer than 3", EXERCISES[:8]),
        ("fewer than 3", [*EXERCISES[:8], *EXERCISES[4:8]]),
        (
            "cell 2: name labels.one",
            changed(EXERCISES, EXERCISES[2], code("check('labels.one', weigh)")),
        ),
        ("cell 1: nothing above", changed(EXERCISES, EXERCISES[1], None)),
        ("cell 2: class_imbalance.one is", changed(EXERCISES, EXERCISES[1], code("weigh = len"))),
        (
            "is written out",
            changed(EXERCISES, EXERCISES[1], code("def weigh(y: X[int, ...]): return 1")),
        ),
        (
            "cell 2: add <details> with 'Hint'",
            changed(EXERCISES, ANSWER, ANSWER.replace("Hint", "?")),
        ),
        ("cell 2: add <details> with 'Sol", changed(EXERCISES, ANSWER, ANSWER.replace("Sol", "?"))),
        ("a ```python fence", changed(EXERCISES, ANSWER, ANSWER.replace("```python", "```"))),
        ("cell 2: add <details> with 'Sol", changed(EXERCISES, ANSWER, None)),
    ],
)
def test_incomplete_exercise_is_refused(words, cells):
    complaints = guards.exercises_are_complete(notebook(*cells), "06_class_imbalance")
    assert any(words in complaint for complaint in complaints), complaints


def test_good_chapter_passes_every_guard():
    nb = notebook(*CHAPTER, *[LONG] * 3)
    for count, cell in enumerate([c for c in nb.cells if c.cell_type == "code"], start=1):
        cell.execution_count = count
    for guard in guards.GUARDS:
        assert guard(nb, "06_class_imbalance") == []


def test_solutions_and_stubs_are_read_out():
    one_cell = code(f"import math\n\nweigh = ...\n\n{CHECK.format('four')}\n", "not attempted yet")
    nb = notebook(
        code("weigh = 1"), *EXERCISES, one_cell, ANSWER, ANSWER.replace("Solution", "Why")
    )
    names = [f"class_imbalance.{name}" for name in ("one", "two", "three", "four")]
    assert guards.solutions(nb) == dict.fromkeys(names, "def weigh(y):\n    return 1 / len(y)\n")
    assert guards.stubs(nb) == {
        **dict.fromkeys(names[:3], STUB),
        names[3]: "import math\n\nweigh = ...\n\n",
    }


@pytest.mark.parametrize(
    "stub", ["def f(): ...", "async def f():\n    return ...", "class f: ...", "f = ..."]
)
def test_every_kind_of_stub_is_found(stub):
    nb = notebook(code(f"{stub}\ncheck(\n    'a.b', f\n)"))
    assert guards.stubs(nb) == {"a.b": f"{stub}\n"}
    assert not any("written out" in words for words in guards.exercises_are_complete(nb, "01_a"))


def test_only_chapters_are_held_to_be_chapters():
    assert guards.guards_for("06_class_imbalance") == list(guards.GUARDS)
    assert set(guards.GUARDS) - set(guards.guards_for("00_start_here")) == set(
        guards.CHAPTER_GUARDS
    )


# ---------------------------------------------------------------- nbval's sanitizing file


def test_sanitizing_replaces_addresses_and_nothing_else():
    patterns = get_sanitize_patterns(Path(__file__).with_name("nbval_sanitize.cfg").read_text())
    text = "<f at 0x7f3a> rows at 0x, 17:30, 0.93 s, <Figure size 700x400 with 1 Axes>"
    for regex, replacement in patterns:
        text = re.sub(regex, replacement, text)
    assert text == "<f at 0xADDRESS> rows at 0x, 17:30, 0.93 s, <Figure size 700x400 with 1 Axes>"
