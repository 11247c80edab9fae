"""Every notebook passes every guard; and every guard refuses a bad notebook, accepts its good twin.

The notebooks that the guards are tested on are built here, a few cells each. Whether the real ones
still give the outputs that they hold is nbval's business (``pytest --nbval``).
"""

import functools
import inspect
import re
from pathlib import Path

import nbformat
import notebook_guards as guards
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval.plugin import get_sanitize_patterns

NAME = "06_class_imbalance"


@functools.cache
def read(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize(
    ("path", "guard"),
    [
        pytest.param(path, guard, id=f"{path.stem}-{guard.__name__}")
        for path in sorted(guards.NOTEBOOKS.glob("*.ipynb"))
        for guard in guards.guards_for(path.stem)
    ],
)
def test_notebook_passes_guard(path, guard):
    complaints = guard(read(path), path.stem)
    assert not complaints, "\n".join(["", *complaints])


def test_every_guard_is_listed_and_only_chapters_are_held_to_be_chapters():
    functions = [value for value in vars(guards).values() if inspect.isfunction(value)]
    found = [f for f in functions if list(inspect.signature(f).parameters) == ["nb", "name"]]
    assert set(guards.GUARDS) == set(found)
    assert guards.guards_for(NAME) == list(guards.GUARDS)
    not_for_all = set(guards.GUARDS) - set(guards.guards_for("00_start_here"))
    assert not_for_all == {guards.has_the_parts, guards.exercises_are_complete}


# ---------------------------------------------------------------- notebooks to test the guards on


def code(source, *outputs, tags=(), count=1):
    """A code cell; an output that is a text is printed."""
    outputs = [printed(output) if isinstance(output, str) else output for output in outputs]
    metadata = {"tags": list(tags)} if tags else {}
    return new_code_cell(source, outputs=outputs, metadata=metadata, execution_count=count)


def printed(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def shown(**mimes):
    """An output of text_plain=…, text_html=…, image_png=…"""
    return new_output(
        "display_data", {mime.replace("_", "/"): text for mime, text in mimes.items()}
    )


def notebook(*cells):
    """A notebook of copies of the cells; a text is a markdown cell."""
    cells = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    copies = [nbformat.from_dict({**cell, "id": f"cell-{i}"}) for i, cell in enumerate(cells)]
    return new_notebook(cells=copies)


def cases(table):
    """One case for each row of a table {guard: [(a text, cell, cell …)]}."""
    return [
        pytest.param(guard, text, notebook(*cells), id=f"{guard.__name__}: {text}")
        for guard, rows in table.items()
        for text, *cells in rows
    ]


ERROR = new_output("error", ename="ValueError", evalue="k", traceback=[])
FIGURE = code("plot();", shown(image_png="iVBO", text_plain="<Figure size 700x400 with 1 Axes>"))
DRAWING = code("draw();", shown(**{"image_svg+xml": "<svg/>"}))
MERMAID = "```mermaid\nflowchart LR\n  a --> b\n```\n"
CAPTION = "**Figure {}.** Recall falls as\nprecision rises.\n\nText."
IGNORE = "nbval-ignore-output"
TIMED = code("seconds = time()\nassert seconds > 0", tags=[IGNORE])

REFUSED = {
    guards.is_executed: [
        ("cell 0: execution count None where 1 is due", code("x = 1", count=None)),
        ("cell 1: execution count 3 where 2 is due", code("a = 1"), code("b = 1", count=3)),
        ("holds an error", code("f()", ERROR)),
        ("shows a warning", code("f()", printed("UserWarning", "stderr"))),
        ("no output is stored", code("print(1)\nx = 1")),
        ("no output is stored", code("check('a.b', b)")),
        ("no output is stored", code("display(x);")),
        ("no output is stored", code("%matplotlib inline\nframe")),
        ("no output is stored", code("frame.T")),
        ("no output is stored", code("frame['hour']  # hours")),
    ],
    guards.has_no_machine_paths: [
        ("cell 0: /home/me/a.csv exists", code("read('/home/me/a.csv')")),
        ("cell 1: /tmp/x1 exists", "text", code("f()", "in /tmp/x1\n")),
        ("/root/a.py exists", code("f()", shown(text_plain="/root/a.py"))),
        ("/Users/me/ exists", code("f()", shown(text_html="<b>/Users/me/</b>"))),
        ("/work/main exists", "See [it](file:///work/main)."),
        (r"C:\Users exists", code("f()", "C:\\Users\\me\\a.csv\n")),
        (r"C:\\new exists", code(r"open('C:\\new')")),
        ("address of my-host.org;", code("f()", "http://my-host.org:80/a")),
    ],
    guards.ignored_cells_assert: [
        ("cell 0: its output is ignored", code("seconds = 1", tags=[IGNORE])),
        ("cell 0: its output is ignored", code("# NBVAL_IGNORE_OUTPUT\n'assert'")),
        ("cell 4: more than 4", *[TIMED] * 5),
        ("cell 0: nbval may not skip it", code("f()", tags=["nbval-skip"])),
        ("cell 0: nbval may not skip it", code("# NBVAL_SKIP\nf()")),
        ("cell 0: nbval may not skip it", code("f()", tags=["raises-exception"])),
        ("cell 0: nbval may not skip it", code("f()", tags=["nbval-raises-exception"])),
    ],
    guards.figures_have_captions: [
        ("cell 0: begin the markdown", FIGURE),
        ("cell 0: begin the markdown", DRAWING, "Text."),
        ("cell 0: begin the markdown", FIGURE, "**Figure 1.** Only four words here"),
        (
            "cell 0: begin the markdown",
            MERMAID,
            "**Figure 1.** Four.\n\nThen more text follows it.",
        ),
        ("cell 0: begin the markdown", FIGURE, "See **Figure 1.** and five more words here."),
        ("cell 0: begin the markdown", FIGURE, "Text.\n\n" + CAPTION.format(1)),
        ("cell 0: begin the markdown", FIGURE, code("x = 1"), CAPTION.format(1)),
        ("with **Figure 1.**", FIGURE, CAPTION.format(2)),
        ("with **Figure 2.**", FIGURE, CAPTION.format(1), FIGURE, CAPTION.format(1)),
        ("cell 0: begin the markdown", f"{CAPTION.format(1)}\n{MERMAID}", MERMAID, "Text."),
    ],
    guards.links_resolve: [
        ("cell 0: 04_none.ipynb#top does not exist", "[a](04_none.ipynb#top)"),
        ("cell 1: a%20b.png does not exist", "text", "![alt](a%20b.png 'title')"),
        ("c.png does not exist", '<img src="c.png">'),
        ("d.md does not exist", '<a href="d.md">d</a>'),
        ("leads out of the repository", "[a](../../b.md)"),
    ],
    guards.speaks_of_itself: [
        ('cell 0: "The notes"', "The notes say so."),
        ('cell 1: "these\nnotes"', "text", "as in these\nnotes"),
        ('cell 0: "source notes"', "our source notes"),
    ],
}


@pytest.mark.parametrize(("guard", "words", "nb"), cases(REFUSED))
def test_guard_refuses(guard, words, nb):
    complaints = guard(nb, NAME)
    assert any(words in complaint for complaint in complaints), complaints


ACCEPTED = {
    guards.is_executed: [
        ("counts", code("x = 1"), "text", code(""), code("y = 1", count=2)),
        ("a stored output", code("print(1)", "1\n")),
        ("a call that may show nothing", code("'''Why.'''"), code("f()\n...", count=2)),
        ("a semicolon", code("frame;")),
        ("a print to a file", code("print(1, file=log)")),
        ("a print in a function", code("def f():\n    print(1)")),
        ("await and a cell magic", code("await f()"), code("%%sh\nls", count=2)),
    ],
    guards.has_no_machine_paths: [
        ("other paths", "https://a.org/home/b ./tmp/b s3://work/b ~/work/b a/tmp/b `{a}/tmp/b`"),
        ("escapes", code(r"print('A:\n', 'A:\t', r'ID:\d')")),
        ("loopback", code("f()", "http://127.0.0.1:80 http://localhost:81/ https://a.org/10:30")),
        ("an address in code", code("url = 'http://my-host.org:80'")),
    ],
    guards.ignored_cells_assert: [("asserts", *[TIMED] * 4, code("f()", tags=["other"]))],
    guards.figures_have_captions: [
        ("images", FIGURE, CAPTION.format(1), code("f()", "text"), DRAWING, CAPTION.format(2)),
        ("diagrams in a cell", f"{MERMAID}\n{CAPTION.format(1)}\n\n{MERMAID}\n{CAPTION.format(2)}"),
        ("a diagram with its caption below", MERMAID, CAPTION.format(1), "```python\n1\n```"),
    ],
    guards.speaks_of_itself: [
        ("other notes", "She notes footnotes; we breathe notes.\n```\nthe notes\n```")
    ],
}


@pytest.mark.parametrize(("guard", "what", "nb"), cases(ACCEPTED))
def test_guard_accepts(guard, what, nb):
    assert guard(nb, NAME) == []


def test_links_to_what_exists_resolve(tmp_path, monkeypatch):
    monkeypatch.setattr(guards, "NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    for file in ("README.md", "notebooks/a b.png", "notebooks/05_labels.ipynb"):
        (tmp_path / file).touch()
    nb = notebook(
        "[a](../README.md) ![b](<a%20b.png>) [c](05_labels.ipynb#top 'Labels') [d](#here)",
        '[e](https://a.org/b_(c)) [f](mailto:a@b.c) <img src="a%20b.png"> `[g](no.md)` <b id="i">',
        "```\n[h](no.md)\n```",
    )
    assert guards.links_resolve(nb, NAME) == []


# ---------------------------------------------------------------- numbers


def unsupported(*cells):
    """The numbers that `numbers_are_printed` complains of."""
    complaints = guards.numbers_are_printed(notebook(*cells), NAME)
    return [re.match(r"cell \d+: (.+?) is printed by", complaint)[1] for complaint in complaints]


@pytest.mark.parametrize(
    ("prose", "claims", "output"),
    [
        ("Recall is 0.93.", "0.93", "0.9312"),
        ("Recall is 0.93.", "0.93", "0.925"),
        ("Recall is .93 here.", ".93", "np.float64(0.93)"),
        ("Recall is **0.93**, _0.8_, `0.71`, or _so_", "0.93; 0.8; 0.71", "[0.93 0.8 0.71]"),
        ("$R = 0.64$, for \\$35 or \\$25", "0.64; 35; 25", "0.64 35 25"),
        ("Of 336,776 rows", "336,776", "336776"),
        ("Of 336\u2009776 rows", "336\u2009776", "336,776"),
        ("Of 336\u00a0776 rows", "336\u00a0776", "336\u202f776"),
        ("Of 1,336,776.5 rows", "1,336,776.5", "1336776.5"),
        ("On 900 rows", "900", "899.6"),
        ("Costs −31 and -32", "−31; -32", "a=-31\nb −32"),
        ("It falls by 0.14", "0.14", "-0.14"),
        ("From 10–20, 30-40 to 50-fold", "20; 30; 40; 50", "20 30 40 50"),
        ("10 times, 25×, 35x, 13km", "25; 35; 13", "25, 35, 13"),
        ("At 1e-4, 3.2e-05 and 2e5", "1e-4; 3.2e-05; 2e5", "1.e-04 3.21e-05 2e+05"),
        ("$3.2 \\times 10^{-5}$ or $1.5\\times10^5$", "3.2e-5; 1.5e5", "3.2e-05 150000"),
        ("$0.5\\,\\%$", "0.5%", "0.005"),
        ("A share of 3 %", "3 %", "3.1%"),
        ("A share of 3.1%", "3.1%", "0.0312"),
        ("44.5 per cent, or 30.4 percent", "44.5 per cent; 30.4 percent", "44.5 %, 0.304"),
        ("It gains 3.1 percentage points", "3.1 percentage", "0.031"),
        ("From 63 to 78 %", "63 %; 78 %", "0.63 0.78"),
        (
            "Between 33 and 36.5 %, or 13–17 percent",
            "33 %; 36.5 %; 13 %; 17 percent",
            "33% .365 .13 .17",
        ),
        ("A gain of 13 %-17 %", "13 %; 17 %", "0.13 0.17"),
        ("The 95 percentiles", "95", "95"),
        ("A share of 0.031", "0.031", "3.1%"),
        ("All, 100 %", "100 %", "1.0"),
        ("About 1.3 million and 40 thousand", "1.3 million; 40 thousand", "1312000 40,000"),
        ("About 25k rows", "25k", "25000"),
        ("- 25 rows\n- 35 rows", "25; 35", "25 35"),
        ("| a | b |\n|---|---|\n| 45 | 55 |", "45; 55", "45 55"),
        ("<details><summary>Hint</summary>It is 0.93.</details>", "0.93", "0.93"),
        ("Of 517 and 2013", "517", "2013,517,515,3"),
    ],
)
def test_number_is_claimed_and_borne_out_by_the_output(prose, claims, output):
    assert unsupported(prose) == claims.split("; ")
    assert unsupported(prose, code("show()", output)) == []


@pytest.mark.parametrize(
    ("claim", "output"),
    [
        ("0.94", "0.9312"),
        ("0.9300", "0.9312"),
        ("3.0", "3.1"),
        ("900", "899.4 901"),
        ("336,776", "336 776"),
        ("517,515", "2013,517,515"),
        ("517,515", "517,515,3"),
        ("-31", "31"),
        ("13", "12"),
        ("3.1 %", "3.1"),
        ("3.1", "3.1 %"),
        ("1200 %", "12"),
        ("5 %", "5"),
        ("12 million", "12"),
        ("2013.5", "2013"),
        ("1.2013", "1.3"),
        ("2000 %", "2000"),
        ("2000%", "2000"),
    ],
)
def test_another_number_does_not_bear_it_out(claim, output):
    assert unsupported(f"It is {claim} here.", code("show()", output)) == [claim]
    assert unsupported(f"It is `{claim}` here.", code("show()", output)) == [claim]


@pytest.mark.parametrize(
    ("prose", "claims"),
    [
        ("$\\beta = 0.94$", "0.94"),
        ("<details><summary>Hint</summary>\n\nIt is 0.94.\n</details>", "0.94"),
        ("| 0.94 | Elkan (2001) |\n| 0.95 | A |", "0.95"),
        ("## 99.5 % right", "99.5 %"),
        ("It is 1:99, or 0.5 in a timetable 45", "99; 0.5; 45"),
        ("It is 0.93. Elkan (2001) says 0.94.", "0.93"),
        ("Is it 0.93? **It is 0.95!** Elkan (2001) says 0.94.", "0.93; 0.95"),
        ("**So it is 0.95.** As Elkan (2001) says, 0.94.", "0.95"),
        ("It is 0.93\n\nElkan (2001) says 0.94.", "0.93"),
        ("### It is 0.93\nElkan (2001) says 0.94.", "0.93"),
        ("- It is 0.93\n* Elkan (2001): 0.94\n1. So 0.95", "0.93; 0.95"),
        ("| 0.93 |\n| [0.94](https://a.org) |\n| 0.95 |", "0.93; 0.95"),
        ("In one month (March 2013) it is 0.93.", "0.93"),
        ("At one place (Newark 20134) it is 0.93.", "20134; 0.93"),
        ("See [chapter 05](05_labels.ipynb) with 0.93.", "0.93"),
    ],
)
def test_number_is_claimed(prose, claims):
    assert unsupported(prose) == claims.split("; ")


@pytest.mark.parametrize(
    "prose",
    [
        "Two classes, 3 folds, 0 or 12, and [−1, 1].",
        "In 2013, the 1990s, 2013-2014.",
        "On 2013-07-31, 31 July, 15–31 July, July 15-31 or Jan 31.",
        "At 17:30 or 23:59:59.",
        "See Chapter 16, chapters 14, 15 and 16, figures 13 to 15 or figures 17–19.",
        "See Table 20, Exercise 13, Section 4.2.",
        "Python 3.13, version 2.14, RFC 4231, release 3.11.7.",
        "F1, L2, p95, c10, x_20, nycflights13, top-50, SHA-256.",
        "The 21st, 22nd, 33rd and 95th percentile.",
        "`beta=0.999` and `load(20)` and ``f`0.5`` and https://a.org/0.93.",
        "$k = 100$ and $$\\frac{1 - \\beta^{20}}{16}$$",
        "```python\nx = 0.93\n```\n\n~~~\n0.93\n~~~",
        "<img width=700 alt='a'><!-- 0.93 -->",
        "## 13 · Title\n### 13.2. Part\n### 14: Part\n13. item\n14) item",
        "Time: 45 minutes. **Time:** about 40–60 min.",
        "A 45 min read. 45 minutes to read. 50 minutes of reading.",
        "The loss falls by 0.93, e.g. Newark's to 0.95, i.e. New York's vs. Newark's (Elkan 2001).",
        "As Cui et al. (2019) say, it is 0.93.",
        "It is 0.93, say\nCui et al. (2019).",
        "It is 0.93 (see Cui et al., 2019, p. 27; Dean & Barroso 2013).",
        "It is 0.93 (O'Brien & Fleming, 1979).",
        "It is 0.94, says J. Smith (1969a).",
        "It is 0.94 (Mayer 2019).",
        "It is 0.93 in [the paper](https://a.org/b_(c)).",
    ],
)
def test_exempt_number_needs_no_output(prose):
    assert unsupported(prose) == []


WIDGET = shown(**{"application/vnd.jupyter.widget-view+json": {}, "text_plain": "Slider(0.93)"})


@pytest.mark.parametrize(
    ("cell", "counts"),
    [
        (code("show()", shown(text_html="<td>0.93</td><td>&minus;0.5</td>")), True),
        (code("show()", shown(text_plain="0.93")), True),
        (code("show()", shown(text_markdown="**0.93**")), True),
        (code("x = 0.93"), False),
        (code("show()", printed("0.93", "stderr")), False),
        (code("show()", shown(text_html="<style>a {top: 0.93}</style><td width=0.93>")), False),
        (code("show()", shown(text_plain="<Figure size 0.93x400 with 1 Axes>")), False),
        (code("show()", WIDGET), False),
        (code("show()", "0.93", tags=[IGNORE]), False),
        (code("# NBVAL_IGNORE_OUTPUT\nshow()", "0.93"), False),
        (nbformat.v4.new_raw_cell("0.93"), False),
    ],
)
def test_only_stable_outputs_count_as_printed(cell, counts):
    assert unsupported("It is 0.93.", cell) == ([] if counts else ["0.93"])


def test_number_is_printed_in_its_own_section():
    first = ["0.93 is the recall.", "## One\n\nIt is 0.93.", "### Deeper", code("f()", "0.93")]
    assert unsupported(*first, "```\n## no heading\n```\n\nstill 0.93") == []
    assert unsupported(*first, "As 0.93\n\n## Two\n\nand 0.93") == ["0.93"]
    assert unsupported(*first, "As 0.93\n\n## Two\n\nand 0.94", code("f()", "0.94")) == []
    assert unsupported(*first, "## Preferences", "Not 0.93") == ["0.93"]


@pytest.mark.parametrize("heading", ["Recap", "Snippets", "References", "Common misreadings"])
def test_closing_section_draws_on_the_whole_notebook(heading):
    first = ["## One", code("f()", "0.93"), "## Two"]
    assert (
        unsupported(*first, f"## {heading}\n\nIt was 0.93.", "And 0.93.\n\n### More\n\n0.93") == []
    )
    assert unsupported(*first, f"### {heading}", "It was 0.93.\n\n### More\n\n0.93") == ["0.93"]
    assert unsupported(*first, f"## {heading}", "It was 0.94.") == ["0.94"]
    assert unsupported(*first, "## You will be able to", "- reach 0.93") == []


def test_items_of_the_references_are_exempt():
    references = ["## References", "- A. Author 0.93\n  p. 27\n1. B. Author 0.94", "Read 0.95."]
    assert unsupported(*references, "## Next\n\n- Item 0.96") == ["0.95", "0.96"]


def test_complaint_names_cell_number_sentence_and_where_it_is_printed():
    long = "a word " * 20
    text = f"## One\n\nUp to 2 %. It is 0.93 now. Then {long} it is 0.5 for {long}."
    nb = notebook("# T", code("f()", "0.93"), text)
    _, elsewhere, nowhere = guards.numbers_are_printed(nb, NAME)
    assert "cell 2: 0.93 is printed by cell 1 only, in another section" in elsewhere
    assert elsewhere.endswith(": … It is 0.93 now …")
    assert "cell 2: 0.5 is printed by no cell" in nowhere
    assert " it is 0.5 for a word" in nowhere
    assert len(nowhere) < 250
    assert [found.number.text for found in guards.prose_numbers(nb)] == ["2 %", "0.93", "0.5"]
    assert guards.prose_numbers(nb)[0].sentence == "Up to 2 %"
    assert [found.section for found in guards.printed_numbers(nb)] == [0]


@given(st.floats(-1e6, 1e6), st.integers(1, 4))
@example(0.925, 2)
def test_however_prose_rounds_a_printed_number_it_is_borne_out(value, places):
    cell = code("show()", repr(value))
    assert unsupported(f"It is {value:.{places}f}, or {value:,.{places}f}.", cell) == []
    assert unsupported(f"It is {value:.{places}%}, or {value:.{places}e}.", cell) == []
    assert unsupported(f"It is {abs(value) + 1.1 * 10**-places:.{places}f}.", cell) != []


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
    """The cells with one, the first that equals old, replaced by new (None: removed)."""
    i = cells.index(old)
    return [*cells[:i], *([] if new is None else [new]), *cells[i + 1 :]]


def answered(old, new):
    return changed(EXERCISES, ANSWER, ANSWER.replace(old, new))


INCOMPLETE = {
    guards.has_the_parts: [
        *[
            (
                f"no heading with '{part}'",
                *changed(CHAPTER, PARTS, PARTS.lower().replace(part, "p")),
            )
            for part in ("exercises", "recap", "snippets", "references", "misreadings")
        ],
        ("no heading with 'recap'", *changed(CHAPTER, PARTS, f"```\n{PARTS}\n```")),
        ("no heading with 'references'", *changed(CHAPTER, PARTS, "## Preferences")),
        ("cell 0: begin with the title", *CHAPTER[1:]),
        ("cell 0: begin with the title", code("# no title"), *CHAPTER),
        ("cell 0: begin with the title",),
        ("no list after", *changed(CHAPTER, CHAPTER[1], "You will be able to choose.")),
        ("0 words; a chapter has 1500", "# 06", "<b word> | 0.5 " * 1500),
        ("words; a chapter has 1500 to 3800", *CHAPTER, "word " * 2300),
        ("14 code cells; a chapter has 15 to 40", *[LONG] * 14, code("")),
        ("41 code cells; a chapter has 15 to 40", *[LONG] * 41),
        ("2 figures; a chapter has 3", *changed(CHAPTER, MERMAID, None)),
        ("2 asserts; a chapter has 3", *[code("'assert'")] * 3, *[code("assert x")] * 2),
        ("cell 5: 19 lines, and 3 cells", "# 06", code("x = 1"), *[LONG] * 4),
    ],
    guards.exercises_are_complete: [
        ("fewer than 3", *EXERCISES[:8]),
        ("fewer than 3", *EXERCISES[:8], *EXERCISES[4:8]),
        ("cell 2: name labels.one", *EXERCISES[:2], code("check('labels.one', weigh)")),
        ("cell 1: nothing above defines", *changed(EXERCISES, EXERCISES[1], None)),
        ("cell 0: nothing above defines", *EXERCISES[2:]),
        ("one is written out", *changed(EXERCISES, EXERCISES[1], code("weigh = len"))),
        ("one is written out", code("def weigh(y: X[int, ...]): return 1"), EXERCISES[2]),
        ("cell 2: add <details> with 'Hint'", *answered("Hint", "Help")),
        ("cell 2: add <details> with 'Solution'", *answered("Solution", "Answer")),
        ("cell 2: add <details> with 'Solution'", *answered("```python", "```")),
        ("cell 2: add <details> with 'Hint'", *changed(EXERCISES, ANSWER, None)),
    ],
}


@pytest.mark.parametrize(("guard", "words", "nb"), cases(INCOMPLETE))
def test_incomplete_chapter_is_refused(guard, words, nb):
    complaints = guard(nb, NAME)
    assert any(words in complaint for complaint in complaints), complaints


def test_good_chapter_passes_every_guard():
    nb = notebook(*CHAPTER, *[LONG] * 3, *[code("\n\n".join(["x = 1"] * 18))] * 2)
    for count, cell in enumerate([c for c in nb.cells if c.cell_type == "code"], start=1):
        cell.execution_count = count
    for guard in guards.GUARDS:
        assert guard(nb, NAME) == []


def test_solutions_and_stubs_are_read_out():
    in_one_cell = code(f"import math\n\nweigh = ...\n\n{CHECK.format('four')}\n")
    other_checks = code("check(name, weigh)\ncheck('no.target')")
    nb = notebook(code("weigh = 1"), *EXERCISES, in_one_cell, ANSWER, "<details>…", other_checks)
    names = [f"class_imbalance.{name}" for name in ("one", "two", "three", "four")]
    solution = "def weigh(y):\n    return 1 / len(y)\n"
    assert guards.solutions(nb) == dict.fromkeys(names, solution)
    stubs = [STUB, STUB, STUB, "import math\n\nweigh = ...\n\n"]
    assert guards.stubs(nb) == dict(zip(names, stubs, strict=True))


@pytest.mark.parametrize(
    "stub",
    ["def f(): ...", "async def f():\n    return ...", "class f: ...", "f = ..."],
)
def test_every_kind_of_stub_is_found(stub):
    nb = notebook(code(f"{stub}\ncheck(\n    'a.b', f\n)"))
    assert guards.stubs(nb) == {"a.b": f"{stub}\n"}
    assert not any("written out" in words for words in guards.exercises_are_complete(nb, "01_a"))


# ---------------------------------------------------------------- nbval's sanitizing file


def test_sanitizing_replaces_addresses_and_nothing_else():
    patterns = get_sanitize_patterns(Path(__file__).with_name("nbval_sanitize.cfg").read_text())
    text = "<f at 0x7f3a> rows at 0x, 17:30, 0.93 s, <Figure size 700x400 with 1 Axes>"
    for regex, replacement in patterns:
        text = re.sub(regex, replacement, text)
    assert text == "<f at 0xADDRESS> rows at 0x, 17:30, 0.93 s, <Figure size 700x400 with 1 Axes>"
