"""Guards: what a notebook must keep to besides running without an error.

A guard is a pure function ``guard(nb, name) -> list[str]``: ``nb`` is an ``nbformat.NotebookNode``,
``name`` the stem of its file (``06_class_imbalance``), and each complaint says what to do, in the
cell that it names, counted from 0 as in ``nb.cells[12]``. No complaint: fine.

``GUARDS`` lists them all. Those of ``CHAPTER_GUARDS`` are for chapters only, which
``00_start_here`` is not; ``guards_for(name)`` picks. ``prose_numbers``, ``printed_numbers``,
``solutions`` and ``stubs`` are what the guards read out of a notebook, for other tests to use.
"""

import ast
import calendar
import html
import re
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from IPython.core.inputtransformer2 import TransformerManager
from nbval.plugin import find_comment_markers, find_metadata_tags

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"

# ---------------------------------------------------------------- reading a notebook

# A fenced block of markdown; group 2 is its language, group 3 what it holds.
FENCE = re.compile(r"^ *(`{3,}|~{3,})(\w*)[^\n]*\n(.*?)^ *\1 *$", re.M | re.S)
# A tag of HTML (which `<Figure size …>` is too), a comment, or a whole style sheet.
TAG = re.compile(r"<style.*?</style>|<!--.*?-->|</?[A-Za-z][^<>]*>", re.S)
# Where an item of a list begins.
LIST_MARK = r"^\s*(?:[-*]|\d+[.)])\s"


def _cells(nb, cell_type):
    """The cells of one type that hold something, each with its place in the notebook."""
    return [(i, c) for i, c in enumerate(nb.cells) if c.cell_type == cell_type and c.source.strip()]


def _prose(cell):
    return FENCE.sub("", cell.source)


def _python(cell):
    """The cell's source with its magics turned into plain calls, as IPython runs it."""
    return TransformerManager().transform_cell(cell.source)


def _statements(cell):
    return ast.parse(_python(cell)).body


def _calls(statements, *names):
    """The calls of the named functions that are statements of their own."""
    for node in statements:
        match node:
            case ast.Expr(ast.Call(ast.Name(name)) as call) if name in names:
                yield call


def _asserts(cell):
    return sum(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(_python(cell))))


def _nbval_options(cell):
    """What tags and comments tell nbval: 'check' (or not), 'skip', 'check_exception'."""
    return dict(find_metadata_tags(cell.metadata)) | dict(find_comment_markers(cell.source))


def _is_ignored(cell):
    return _nbval_options(cell).get("check") is False


def _texts(outputs):
    """What the outputs show as text."""
    for output in outputs:
        if output.output_type == "stream":
            yield output.text
        for mime in ("text/plain", "text/html", "text/markdown"):
            yield output.get("data", {}).get(mime, "")


# ---------------------------------------------------------------- outputs


def is_executed(nb, name):
    """Run top to bottom, outputs stored, no error, no warning."""
    complaints = []
    for count, (i, cell) in enumerate(_cells(nb, "code"), start=1):
        if cell.execution_count != count:
            complaints.append(
                f"cell {i}: execution count {cell.execution_count} where {count} is due; "
                "restart the kernel, run all cells and save"
            )
        if any(output.output_type == "error" for output in cell.outputs):
            complaints.append(f"cell {i}: holds an error; repair the cell, or catch and print it")
        if any(output.get("name") == "stderr" for output in cell.outputs):
            complaints.append(f"cell {i}: shows a warning (stderr); remove its cause")
        if _must_show(cell) and not cell.outputs:
            complaints.append(f"cell {i}: shows something, but no output is stored; run it again")
    return complaints


def _must_show(cell):
    """Whether the cell prints, checks or displays (not to a file), or ends in a bare name."""
    body = _statements(cell)
    for call in _calls(body, "print", "check", "display"):
        if "file" not in [keyword.arg for keyword in call.keywords]:
            return True
    match body[-1:]:
        case [ast.Expr(ast.Name() | ast.Attribute() | ast.Subscript())]:
            return not cell.source.rstrip().endswith(";")
    return False


# A folder of one machine, at the start of a path: not in https://a.org/home/, ./tmp/, s3://work/.
# After the backslash of a drive stands a name; in `"A:\n"` it is a line break.
MACHINE_PATH = re.compile(
    r"(?<![\w.~}])(?<!:/)/(?:home|root|work|tmp|Users)/[\w./-]*|\b[A-Z]:(?:\\\\|\\(?![nt]))\w+"
)
# A network address with a port, such as http://10.0.0.7:8888; group 1 is the host.
ADDRESS = re.compile(r"://([\w.-]+):\d+")
LOOPBACK = ("localhost", "127.0.0.1")


def has_no_machine_paths(nb, name):
    """Nothing that is true on one machine only: absolute paths, addresses of other hosts."""
    complaints = []
    for i, cell in enumerate(nb.cells):
        shown = "\n".join(_texts(cell.get("outputs", [])))
        for path in MACHINE_PATH.findall(f"{cell.source}\n{shown}"):
            complaints.append(f"cell {i}: {path} exists on one machine only; use a relative path")
        for host in ADDRESS.findall(shown):
            if host not in LOOPBACK:
                complaints.append(f"cell {i}: shows the address of {host}; serve on 127.0.0.1")
    return complaints


def ignored_cells_assert(nb, name):
    """A cell whose output nbval ignores asserts what holds on any machine; four at most."""
    complaints = []
    ignored = [(i, cell) for i, cell in _cells(nb, "code") if _is_ignored(cell)]
    for i, cell in ignored:
        if not _asserts(cell):
            complaints.append(f"cell {i}: its output is ignored; assert what holds on any machine")
    for i, _ in ignored[4:]:
        complaints.append(f"cell {i}: more than 4 cells' outputs are ignored; print what is stable")
    for i, cell in _cells(nb, "code"):
        if _nbval_options(cell).keys() & {"skip", "check_exception"}:
            complaints.append(f"cell {i}: nbval may not skip it; catch and print an error you show")
    return complaints


# ---------------------------------------------------------------- figures, links, words

IMAGES = {"image/png", "image/svg+xml"}


def _figures(nb):
    """Yield the cell of each figure, and the text in which its caption may stand."""
    for i, cell in enumerate(nb.cells):
        below = "".join(c.source for c in nb.cells[i + 1 : i + 2]).partition("\n\n")[0]
        if cell.cell_type == "code":
            if any(IMAGES & set(output.get("data", {})) for output in cell.outputs):
                yield i, below
        else:
            for fence in FENCE.finditer(cell.source):
                if fence[2] == "mermaid":
                    yield i, f"{cell.source[fence.end() :]}\n\n{below}"


def figures_have_captions(nb, name):
    """Right below each figure: `**Figure N.**` and at least five words, N counting 1, 2, 3 …"""
    return [
        f"cell {i}: begin the markdown right below this figure with **Figure {number}.** and a "
        "sentence of at least five words"
        for number, (i, text) in enumerate(_figures(nb), start=1)
        if not re.search(rf"(?:\A|\n\n)\*\*Figure {number}\.\*\*(?:\s\S+){{5}}", text)
    ]


# The end of a link or an image, `](target "title")`, group 1 the target; and the same in HTML.
LINK = re.compile(r"\]\(\s*<?((?:[^()\s<>]|\([^()]*\))+)[^()]*\)")
HTML_LINK = re.compile(r'\b(?:href|src)="([^"]+)"')
# Inline code, between one or more backticks; group 2 is what it holds.
CODE_SPAN = re.compile(r"(`+)(.+?)\1", re.S)


def links_resolve(nb, name):
    """A relative link leads to a file of this repository that exists."""
    complaints = []
    for i, cell in _cells(nb, "markdown"):
        text = CODE_SPAN.sub("", _prose(cell))
        for target in LINK.findall(text) + HTML_LINK.findall(text):
            if re.match(r"\w+:", target):  # a scheme, such as https:
                continue
            path = (NOTEBOOKS / unquote(target.partition("#")[0])).resolve()
            if not path.is_relative_to(NOTEBOOKS.parent):
                complaints.append(f"cell {i}: {target} leads out of the repository; remove it")
            elif not path.exists():
                complaints.append(f"cell {i}: {target} does not exist; mend or remove the link")
    return complaints


def speaks_of_itself(nb, name):
    """The learner does not have the notes that the course grew from: no word of them."""
    return [
        f'cell {i}: "{match[0]}" are not at hand for the learner; say it in the course\'s own words'
        for i, cell in _cells(nb, "markdown")
        for match in re.finditer(r"\b(?:the|these|source)\s+notes", _prose(cell), re.I)
    ]


# ---------------------------------------------------------------- numbers

NUMBER = re.compile(
    r"""
    (?<![\w.%]) (?<![A-Za-z]-)                 # glued to a name it is part of it: F1, top-20
    (?P<sign> [-−]?)
    (?P<whole>
        (?<!\d,) \d{1,3} (?:[,\u2009\u00a0\u202f]\d{3})+ (?!,?\d)    # 336,776 or 336 776
      | \d+
      | (?=\.\d)                               # .5
    )
    (?P<part> \.\d+ | \.(?=e))?                # numpy prints 1.e-05
    (?P<power> e[-+]?\d+)?
    (?! \.?\d)                                 # neither 3.11.7 nor 127.0.0.1
    (?P<scale> k\b | \s(?:thousand|million))?
    (?P<percent> \s?(?:% | per\ ?cent(?:age)?\b))?
    """,
    re.X,
)
POWERS = {"": 0, "k": 3, "thousand": 3, "million": 6}


class Number(NamedTuple):
    """A number as read: 3.10 % has the value 3.1, two places, and is a percentage."""

    text: str
    value: float
    places: int  # of the last digit: 2 for 3.10, -6 for 3 million
    percent: bool


class Found(NamedTuple):
    """A number and where it stands, in a sentence of the prose or (no sentence) in an output."""

    cell: int
    section: int | None  # counted by `## ` headings; None may draw on the whole notebook
    sentence: str
    number: Number


def numbers(text):
    """Read the numbers of a text.

    >>> [n.text for n in numbers("F1 of 0.93 on 336,776 rows, −3.1 % at p95, Python 3.11.7")]
    ['0.93', '336,776', '−3.1 %']
    """
    found = []
    for match in NUMBER.finditer(text):
        whole, part = re.sub(r"\D", "", match["whole"]), match["part"] or "."
        power = int((match["power"] or "e0")[1:]) + POWERS[(match["scale"] or "").strip()]
        value = float(f"{whole}{part}e{power}") * (-1 if match["sign"] else 1)
        places = len(part) - 1 - power
        found.append(Number(match[0].strip(), value, places, bool(match["percent"])))
    return found


WIDGET = "application/vnd.jupyter.widget-view+json"
LINKED = "\ue000"  # stands for the target of a link to the web
MONTH = rf"(?:{'|'.join(calendar.month_name[1:] + calendar.month_abbr[1:])})\b"
DAYS = r"\d\d?(?:[–-]\d\d?)?"
# What stands before the year of a citation: a capitalised name, such as O'Brien or Cui et al.
NAME = rf"(?!{MONTH})[A-Z]\w+(?: et al\.)?,? "
YEAR = r"(?:1[6-9]|20)\d\d[a-z]?\b"
LABEL = r"(?i:\b(?:chapter|figure|section|table|exercise|python|version|RFC)s?)"
# What needs no output to bear it out. Each pattern is struck from a sentence, in this order, and
# what is left is read for numbers. The last exemption is for a number on its own: whole, no
# percentage, and not above COUNTING, it is a counting word (two classes, 3 folds, [−1, 1]).
EXEMPT = {
    "a sentence with a citation: (Elkan 2001), Lin et al. (2017), [text](https://…)": (
        rf"^.*(?:\([^()]*{NAME}{YEAR}[^()]*\)|{NAME}\({YEAR}[^()]*\)|{LINKED}).*$"
    ),
    "a date names a day: 2013-07-01, 15–31 July, July 4": (
        rf"\b\d{{4}}-\d\d-\d\d|\b{DAYS}\s{MONTH}|{MONTH}\s{DAYS}\b"
    ),
    "a clock time names a moment: 17:30": r"\b[0-2]?\d:[0-5]\d(?::[0-5]\d)?",
    "a whole number from 1900 to 2099 is a year: 2013, the 1990s": (
        r"(?<!\.)\b(?:19|20)\d\ds?\b(?!\.\d|\s?%)"
    ),
    "a label is a name: Chapter 06, figures 13 to 15, Python 3.11": (
        rf"{LABEL}\s\d[\d.]*(?:(?:,|\s?–|\sand|\sto)\s?\d\d?\b)*"
    ),
    "an ordinal is a rank: the 95th percentile": r"\d+(?:st|nd|rd|th)",
    "a reading time is an estimate: Time: 45 minutes; 45 min read; 45 minutes to read": (
        r"Time\W+(?:about\s)?\d+(?:[–-]\d+)?\smin|\d+\smin\w*\s(?:of\s|to\s)?read"
    ),
}
COUNTING = 12


def _is_exempt(number):
    return abs(number.value) <= COUNTING and number.places == 0 and not number.percent


# LaTeX between dollars (not `\$5`); group 1 is the formula.
MATH = re.compile(r"(?<!\\)\$\$?(.+?)\$\$?", re.S)
# The end of the first of two percentages that share one sign: `from 63 to 78 %`.
SHARED_PERCENT = re.compile(r"(?<=\d)(?=(?:\s?[–-]\s?|\s(?:to|and)\s)\d[\d.,]*\s?(?:%|per ?cent))")


def _decimals(formula):
    """The decimals of a formula; its whole numbers are structure."""
    formula = formula.replace(r"\,", "").replace(r"\%", "%")
    formula = re.sub(r"\s*\\times\s*10\^\{?(-?\d+)\}?", r"e\1", formula)
    return " ".join(number.text for number in numbers(formula) if "." in number.text)


def _plain(text):
    """Markdown without markup, code and addresses; of formulas, only the decimals."""
    text = CODE_SPAN.sub(lambda code: code[2] if NUMBER.fullmatch(code[2].strip()) else " ", text)
    text = MATH.sub(lambda math: _decimals(math[1]), text)
    text = LINK.sub(lambda link: LINKED if link[1].startswith("http") else " ", text)
    text = re.sub(r"<?https?://\S+", " ", text)
    text = html.unescape(TAG.sub(" ", text))
    text = re.sub(r"(?<!\w)_|_(?!\w)", "", text)  # emphasis; the underscore in a name stays
    text = re.sub(r"(?m)^#+\s+(?:\d[\d.]*\s*[·.:]\s)?(.*)$", r"\n\1\n", text)  # ## 3 · Title
    return SHARED_PERCENT.sub(" %", text)


# A sentence ends where a block begins, or at a full stop: not that of an abbreviation or initial,
# nor one before a small letter or a digit.
SENTENCE_END = re.compile(
    rf"\n\s*\n|\n(?=\|)|(?m:{LIST_MARK})"
    r"|(?<!\bal)(?<!e\.g)(?<!i\.e)(?<!\bvs)(?<!\b[A-Z])[.!?][*\"”]*\s+(?![a-z\d\s])"
)
# Sections that look back over the whole notebook, as does what stands before the first `## `.
CLOSING = re.compile(r"\b(?:recap|snippets|references|misreadings|you will be able)", re.I)


def _sentences(nb):
    """Yield each sentence of the prose as (cell, section, sentence)."""
    section, section_title, title = 0, "", ""
    for i, cell in _cells(nb, "markdown"):
        for text in re.split(r"(?m)^(?=#+ )", _prose(cell)):  # at every heading
            if text.startswith("#"):
                title = text.partition("\n")[0]
            if text.startswith("## "):
                section, section_title = section + 1, title
            if re.search(r"\breferences", title, re.I):
                text = re.sub(rf"(?m){LIST_MARK}(?:.+\n?)*", "", text)
            looks_back = section == 0 or CLOSING.search(f"{section_title} {title}")
            for sentence in SENTENCE_END.split(_plain(text)):
                yield i, None if looks_back else section, re.sub(r"[ \n]+", " ", sentence.strip())


def prose_numbers(nb):
    """The numbers of the prose that an output of the notebook must bear out."""
    found = []
    for i, section, sentence in _sentences(nb):
        rest = sentence
        for pattern in EXEMPT.values():
            rest = re.sub(pattern, " ", rest)
        found += [Found(i, section, sentence, n) for n in numbers(rest) if not _is_exempt(n)]
    return found


def printed_numbers(nb):
    """The numbers in outputs that are the same on every machine; those of widgets do not count."""
    found, section = [], 0
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "markdown":
            section += len(re.findall(r"(?m)^## ", _prose(cell)))
        elif not _is_ignored(cell):
            outputs = [
                output
                for output in cell.get("outputs", [])
                if output.get("name") != "stderr" and WIDGET not in output.get("data", {})
            ]
            text = html.unescape(TAG.sub(" ", "\n".join(_texts(outputs))))
            found += [Found(i, section, "", number) for number in numbers(text)]
    return found


def _bears_out(printed, claimed):
    """Whether the printed number, rounded as the prose rounds, is the one claimed."""
    if claimed.percent and not printed.percent and printed.places <= 0:
        return False  # a count is no fraction
    value = printed.value * (100 if claimed.percent else 1) / (100 if printed.percent else 1)
    if claimed.value >= 0:
        value = abs(value)  # "falls by 0.14" is -0.14 in a table
    return abs(value - claimed.value) <= 0.5 * 10**-claimed.places + 1e-12 * max(1, abs(value))


def numbers_are_printed(nb, name):
    """Every number in the prose is printed in the same section, cited, or exempt (`EXEMPT`)."""
    complaints = []
    printed = printed_numbers(nb)
    for claim in prose_numbers(nb):
        sources = [out for out in printed if _bears_out(out.number, claim.number)]
        if any(claim.section in (None, source.section) for source in sources):
            continue
        found = f"cell {sources[0].cell} only, in another section" if sources else "no cell"
        start = max(0, claim.sentence.find(claim.number.text) - 60)
        complaints.append(
            f"cell {claim.cell}: {claim.number.text} is printed by {found}; print it in this "
            f"section, correct it or cite its source: … {claim.sentence[start : start + 120]} …"
        )
    return complaints


# ---------------------------------------------------------------- chapters


def has_the_parts(nb, name):
    """A chapter has its parts, and a size that a learner can read."""
    prose = "\n\n".join(_prose(cell) for _, cell in _cells(nb, "markdown"))
    headings = "\n".join(re.findall(r"(?m)^#+ .*", prose.lower()))
    code = _cells(nb, "code")
    complaints = [
        f"no heading with '{part}'; add that part"
        for part in ("exercises", "recap", "snippets", "references", "misreadings")
        if not re.search(rf"\b{part}\b", headings)
    ]
    if not any(c.cell_type == "markdown" and c.source.startswith("# ") for c in nb.cells[:1]):
        complaints.append("cell 0: begin with the title, `# …`")
    if not re.search(rf"(?i)you will be able to.*\n\s*(?m:{LIST_MARK})", prose):
        complaints.append("no list after 'You will be able to'; say what the learner can do then")
    sizes = {
        "words": (len(re.findall(r"[A-Za-z]\S*", TAG.sub(" ", prose))), 1500, 3800),
        "code cells": (len(code), 15, 40),
        "figures": (len(list(_figures(nb))), 3, 100),
        "asserts": (sum(_asserts(cell) for _, cell in code), 3, 100),
    }
    for what, (size, low, high) in sizes.items():
        if not low <= size <= high:
            complaints.append(f"{size} {what}; a chapter has {low} to {high}")
    lines = {i: len(re.findall(r"(?m)^.*\S", cell.source)) for i, cell in code}
    for i in [i for i in lines if lines[i] > 18][3:]:
        complaints.append(f"cell {i}: {lines[i]} lines, and 3 cells are over 18 already; split it")
    return complaints


# A collapsed block; group 1 is its summary, group 2 what it holds.
DETAILS = re.compile(r"<details[^>]*>\s*<summary>(.*?)</summary>(.*?)</details>", re.S)


def checked_exercises(nb):
    """Yield each `check("name", target)` as (cell, name, target, what stands up to the next)."""
    checks = [
        (i, call.args[0].value, ast.unparse(call.args[1]))
        for i, cell in _cells(nb, "code")
        for call in _calls(_statements(cell), "check")
        if len(call.args) == 2 and isinstance(call.args[0], ast.Constant)
    ]
    for (i, name, target), (end, *_) in pairwise([*checks, (len(nb.cells),)]):
        below = "\n\n".join(cell.source for cell in nb.cells[i + 1 : end])
        yield i, name, target, below


def stubs(nb):
    """Exercise name → the code that defines what is checked, as committed, without the check."""
    return {
        name: _without_checks(cell)
        for i, name, target, _ in checked_exercises(nb)
        for cell in nb.cells[: i + 1]  # of two that define it, the one nearer to the check stays
        if cell.cell_type == "code" and target in _defined(cell)
    }


def _defined(cell):
    """The names that the cell's statements bind by def, class or assignment."""
    for node in _statements(cell):
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                yield name
            case ast.Assign([ast.Name(name)]):
                yield name


def _without_checks(cell):
    lines = _python(cell).splitlines(keepends=True)
    for call in _calls(_statements(cell), "check"):
        lines[call.lineno - 1 : call.end_lineno] = [""] * (call.end_lineno - call.lineno + 1)
    return "".join(lines)


def _is_unwritten(source):
    """Whether a `...` stands in the code as a statement, a returned or an assigned value."""
    values = [getattr(node, "value", None) for node in ast.walk(ast.parse(source))]
    return any(isinstance(value, ast.Constant) and value.value is ... for value in values)


def solutions(nb):
    """Exercise name → the Python code of its Solution block."""
    return {
        name: textwrap.dedent(fence[3])
        for _, name, _, below in checked_exercises(nb)
        for summary, text in DETAILS.findall(below)
        for fence in FENCE.finditer(text)
        if "Solution" in summary and fence[2] == "python"
    }


def exercises_are_complete(nb, name):
    """At least three exercises, each with a stub, a check, a hint and a solution."""
    exercises, stub, solution = list(checked_exercises(nb)), stubs(nb), solutions(nb)
    chapter = name.partition("_")[2]
    complaints = []
    if len({exercise for _, exercise, *_ in exercises}) < 3:
        complaints.append("fewer than 3 exercises with a check of their own; write at least 3")
    for i, exercise, _, below in exercises:
        if exercise.partition(".")[0] != chapter:
            complaints.append(f"cell {i}: name {exercise} after its chapter: {chapter}.…")
        if exercise not in stub:
            complaints.append(f"cell {i}: nothing above defines what {exercise} checks; add a stub")
        elif not _is_unwritten(stub[exercise]):
            complaints.append(f"cell {i}: {exercise} is written out; leave `...` to the learner")
        if not any("Hint" in summary for summary, _ in DETAILS.findall(below)):
            complaints.append(f"cell {i}: add <details> with 'Hint' in its summary to {exercise}")
        if exercise not in solution:
            complaints.append(
                f"cell {i}: add <details> with 'Solution' in its summary and a ```python fence "
                f"to {exercise}"
            )
    return complaints


CHAPTER_GUARDS = (has_the_parts, exercises_are_complete)
GUARDS = (
    is_executed,
    has_no_machine_paths,
    ignored_cells_assert,
    figures_have_captions,
    links_resolve,
    speaks_of_itself,
    numbers_are_printed,
    *CHAPTER_GUARDS,
)


def guards_for(name):
    """The guards that a notebook of this name must pass."""
    is_chapter = not name.startswith("00_")
    return [guard for guard in GUARDS if is_chapter or guard not in CHAPTER_GUARDS]
