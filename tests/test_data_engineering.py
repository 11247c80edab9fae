"""Chapter 02 against known answers: published vectors, pandas, networkx, the files themselves."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import duckdb
import matplotlib.pyplot as plt
import nbformat
import networkx as nx
import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys_helpers import data_engineering as de
from mlsys_helpers import datasets

pandera = de.pandera  # imported there without the warning of PySpark
ROOT = Path(__file__).parents[1]
FORMATS = ["CSV", "JSON lines", "Avro", "Parquet", "Arrow"]
BY_COLUMN = ["Parquet", "Arrow"]


@pytest.fixture(scope="module")
def flights():
    return datasets.load_flights()


@pytest.fixture(scope="module")
def database():
    with de.flights_database() as connection:
        yield connection


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


# --- The folder that is always gone


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_the_folder_is_there_and_then_gone():
    with de.ScratchFolder() as folder:
        (folder.path / "deep" / "down").mkdir(parents=True)
        (folder.path / "deep" / "down" / "file").write_text("x")
        assert folder.path.parent == Path(tempfile.gettempdir())
    assert not folder.path.exists()
    assert folder._keeper._keeper.poll() == 0  # the process that watched it has ended, too
    folder.close()  # a second time does nothing


def test_the_folder_is_gone_after_an_error():
    with pytest.raises(ZeroDivisionError), de.ScratchFolder() as folder:
        (folder.path / "file").write_text("x")
        _ = 1 / 0
    assert not folder.path.exists()


def test_nothing_is_left_where_the_keeper_cannot_start(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(OSError):
        de.ScratchFolder()
    assert list(tmp_path.iterdir()) == []


def processes_of(folder):
    """The processes whose temporary folder is this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def run_cells(cells, tmp_path):
    """Execute a notebook of these cells as `make execute` does, in a folder of its own."""
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(nb, tmp_path / "chapter.ipynb")
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    environment = os.environ | {"TMPDIR": str(scratch), "MLSYS_PROGRESS": str(tmp_path / "p")}
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute"]
    done = subprocess.run(
        [*command, "--output", "out.ipynb", str(tmp_path / "chapter.ipynb")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done, scratch


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise ValueError('in the middle')", "in the middle"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "Kernel died"),
    ],
    ids=["a cell fails", "the kernel is killed"],
)
def test_a_chapter_that_fails_in_the_middle_leaves_no_file_and_no_process(fault, words, tmp_path):
    nb = nbformat.read(ROOT / "notebooks" / "02_data_engineering.ipynb", as_version=4)
    cells = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    writes = next(i for i, cell in enumerate(cells) if "FileHandler" in cell)
    lake = "from deltalake import write_deltalake\n"
    lake += "write_deltalake(str(scratch.path / 'd'), flights.head())\n"
    seen = f"{lake}import pathlib\npathlib.Path({str(tmp_path / 'seen')!r}).write_text("
    seen += "' '.join(sorted(p.name for p in scratch.path.iterdir())))"
    done, scratch = run_cells([*cells[: writes + 1], seen, fault, *cells[writes + 1 :]], tmp_path)
    assert done.returncode != 0
    assert words in done.stderr
    assert (tmp_path / "seen").read_text() == "d service.log"  # there were files
    assert wait_until(lambda: not processes_of(scratch))
    assert list(scratch.iterdir()) == []


# --- Quarantine

Column, Check = pandera.Column, pandera.Check
SCHEMA = pandera.DataFrameSchema(
    {
        "carrier": Column(str, Check.str_matches("^[A-Z0-9]{2}$", error="is no code")),
        "flight": Column(int, Check.ge(1, error="must be at least 1"), coerce=True),
        "miles": Column(float, Check.in_range(1, 6000, error="is out of range"), coerce=True),
    }
)
NUMBER = pandera.DataFrameSchema({"a": Column(int, coerce=True)})
CELLS = {
    "carrier": ["UA", "9E", "United", "", None],
    "flight": ["1", "1545", "x", "", "-3", None],
    "miles": ["1400", "17.5", "14OO", "-1", None, "1e9"],
}


def form(**columns):
    return pd.DataFrame(columns, dtype="str")


def is_fine(row):
    def number(text, kind, low, high):
        try:
            return low <= kind(text) <= high
        except (TypeError, ValueError):
            return False

    fine = isinstance(row.carrier, str) and row.carrier in ("UA", "9E")
    return fine and number(row.flight, int, 1, 1e9) and number(row.miles, float, 1, 6000)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*map(st.sampled_from, CELLS.values())), max_size=12), st.integers(1, 3))
def test_valid_and_rejected_are_the_input(rows, repeats):
    frame = pd.DataFrame(rows, columns=list(CELLS), dtype="str")
    frame.index = np.arange(len(frame)) // repeats  # labels may repeat
    before = frame.copy()
    valid, rejected = de.quarantine(frame, SCHEMA)
    assert frame.equals(before)
    fine = np.array([is_fine(row) for row in frame.itertuples()], dtype=bool)
    assert valid.equals(frame[fine])
    assert rejected.drop(columns="reason").equals(frame[~fine])
    assert (rejected["reason"].str.len() > 0).all()


def test_each_reason_names_column_rule_and_value():
    frame = form(
        carrier=["UA", "ua", "UA", "UA", None, "United"],
        flight=["1", "2", "x", "4", "5", "-6"],
        miles=["10", "10", "10", "-3", "10", "far"],
    )
    valid, rejected = de.quarantine(frame, SCHEMA)
    assert valid.index.tolist() == [0]
    assert rejected["reason"].tolist() == [
        "carrier: is no code, got 'ua'",
        "flight: not a int64, got 'x'",
        "miles: is out of range, got '-3'",
        "carrier: missing",
        "miles: not a float64, got 'far'; carrier: is no code, got 'United'"
        "; flight: must be at least 1, got '-6'",
    ]


def test_checks_of_whole_rows_and_repeated_keys_are_reasons():
    schema = pandera.DataFrameSchema(
        {"a": Column(int), "b": Column(int, unique=True)},
        checks=Check(lambda rows: rows["a"] < rows["b"], error="a must be below b"),
    )
    frame = pd.DataFrame({"a": [1, 5, 1, 1], "b": [2, 3, 9, 9]})
    valid, rejected = de.quarantine(frame, schema)
    assert valid.index.tolist() == [0]
    assert rejected.loc[1, "reason"] == "a must be below b"
    assert "got 9" in rejected.loc[2, "reason"] and "got 9" in rejected.loc[3, "reason"]


def test_an_empty_form_gives_two_empty_tables():
    frame = form(carrier=[], flight=[], miles=[])
    valid, rejected = de.quarantine(frame, SCHEMA)
    assert valid.equals(frame) and len(rejected) == 0 and "reason" in rejected


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (form(carrier=["UA"], flight=["1"]), "miles"),
        (form(carrier=["UA"], flight=["1"], miles=["1"], reason=["x"]), "'reason'"),
        (pd.DataFrame({"carrier": [1], "flight": [1], "miles": [1.0]}), "carrier"),
    ],
)
def test_a_fault_that_lies_in_no_row_is_refused(frame, words):
    with pytest.raises(ValueError, match=words):
        de.quarantine(frame, SCHEMA)


def test_a_column_that_a_strict_schema_does_not_know_is_refused():
    schema = pandera.DataFrameSchema({"a": Column(int)}, strict=True)
    with pytest.raises(ValueError, match="extra"):
        de.quarantine(pd.DataFrame({"a": [1], "extra": [2]}), schema)


def test_a_check_that_raises_is_no_fault_of_a_row():
    schema = pandera.DataFrameSchema({"a": Column(int, Check(lambda a: a.nonsense()))})
    with pytest.raises(ValueError, match="nonsense"):
        de.quarantine(pd.DataFrame({"a": [1]}), schema)


def test_quarantine_refuses_what_is_no_table_or_schema():
    with pytest.raises(TypeError, match="frame must be a DataFrame, got list"):
        de.quarantine([1], SCHEMA)
    with pytest.raises(TypeError, match="schema must be a pandera DataFrameSchema, got dict"):
        de.quarantine(pd.DataFrame({"a": [1]}), {})


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (
            pandera.DataFrameSchema({"a": Column(str)}, index=pandera.Index(int, Check.gt(0))),
            "schema must not check the index",
        ),
        (
            pandera.DataFrameSchema({"a.*": Column(int, regex=True, coerce=True)}),
            r"schema must not convert a regex column, got 'a\.\*'",
        ),
    ],
)
def test_quarantine_refuses_a_schema_that_it_does_not_take(schema, words):
    with pytest.raises(ValueError, match=words):
        de.quarantine(form(a=["1", "x"]), schema)


def test_one_bad_row_of_a_categorical_column_is_one_row():
    frame = pd.DataFrame({"a": pd.Categorical(["1", "x", None, "2"])})
    valid, rejected = de.quarantine(frame, NUMBER)
    assert valid.equals(frame.iloc[[0, 3]])  # as they came: still categories
    assert rejected.index.tolist() == [1, 2]
    assert rejected.loc[1, "reason"] == "a: not a int64, got 'x'"


# --- Logs

PATTERN = r"(?P<level>[A-Z]+) (?P<message>.*)"


@given(st.lists(st.sampled_from(["INFO a", "ERROR b", "Traceback", "  x = 1", ""]), max_size=20))
def test_every_line_of_a_log_belongs_to_one_entry(lines):
    table = de.parse_logs(lines, PATTERN)
    assert table["lines"].sum() == len(lines)
    rebuilt = []
    for entry in table.itertuples():
        first = [] if pd.isna(entry.level) else [f"{entry.level} {entry.message}"]
        rebuilt += first + entry.detail.split("\n")[: entry.lines - len(first)]
    assert rebuilt == lines


def test_a_log_may_be_read_only_once():
    assert de.parse_logs(iter(["INFO a", "  x"]), PATTERN)["lines"].tolist() == [2]


def test_a_log_cut_in_the_middle_keeps_its_beginning():
    table = de.parse_logs(["  x = 1", "ValueError", "INFO on"], PATTERN)
    assert table["lines"].tolist() == [2, 1]
    assert table["level"].isna().tolist() == [True, False]
    assert table.loc[0, "detail"] == "  x = 1\nValueError"


@pytest.mark.parametrize(
    ("lines", "pattern", "error", "words"),
    [
        ("one text", PATTERN, TypeError, "splitlines"),
        ([b"bytes"], PATTERN, TypeError, "sequence of text"),
        (["a"], "(", ValueError, "regular expression"),
        (["a"], None, ValueError, "regular expression"),
        (["a"], "[A-Z]+", ValueError, "named groups"),
        (None, PATTERN, TypeError, "sequence of text"),
        (["a"], b"(?P<level>.*)", ValueError, "pattern must be a regular expression for text"),
        (["a"], "(?P<lines>.*)", ValueError, "pattern must not name a group 'lines'"),
        (["a"], "(?P<detail>.*)", ValueError, "pattern must not name a group 'detail'"),
    ],
)
def test_parse_logs_refuses(lines, pattern, error, words):
    with pytest.raises(error, match=words):
        de.parse_logs(lines, pattern)


# --- Pseudonyms


@pytest.mark.parametrize(
    ("key", "message", "digest"),
    [  # RFC 4231, test cases 1, 2, 6 and 7
        (
            b"\x0b" * 20,
            "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 131,
            "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            b"\xaa" * 131,
            "This is a test using a larger than block-size key and a larger than block-size data. "
            "The key needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ],
)
def test_pseudonyms_meet_rfc_4231(key, message, digest):
    assert de.pseudonymise([message], key)[0] == digest


def test_pseudonyms_keep_index_gaps_and_joins():
    values = pd.Series(["N1", None, "N2", "N1"], index=[7, 7, 3, 1], dtype="str")
    hidden = de.pseudonymise(values, b"key")
    assert hidden.index.equals(values.index)
    assert hidden.isna().tolist() == [False, True, False, False]
    assert hidden.iloc[0] == hidden.iloc[3] != hidden.iloc[2]
    assert hidden.iloc[0] != de.pseudonymise(values, b"other").iloc[0]
    assert values.tolist()[0] == "N1"
    assert de.pseudonymise(pd.Series([], dtype="str"), b"key").empty


@pytest.mark.parametrize(
    ("values", "key", "error", "words"),
    [
        (["a"], "key", TypeError, "key must be bytes, got str"),
        (["a"], b"", ValueError, "key is empty"),
        ([1], b"k", TypeError, "values must hold text, got 1"),
        (None, b"k", TypeError, "values must be an array of text, got None"),
        ("a", b"k", TypeError, "values must be an array of text, got 'a'"),
    ],
)
def test_pseudonymise_refuses(values, key, error, words):
    with pytest.raises(error, match=words):
        de.pseudonymise(values, key)


# --- Formats


def a_table(n=3000):
    rng = np.random.default_rng(0)
    tricky = np.array(["a", "", 'say "no"', "two\nlines", "comma, here", "007", "null", "ü"])
    frame = pd.DataFrame(
        {
            "number": rng.normal(size=n).round(3),
            "count": rng.integers(-(2**53), 2**53, n),
            "text": pd.Series(tricky[rng.integers(len(tricky), size=n)], dtype="str"),
            "flag": rng.random(n) < 0.5,
            "time": pd.date_range("2013-01-01", periods=n, freq="997us", tz="UTC", unit="us"),
        }
    )
    frame.loc[::7, "number"] = np.nan
    frame.loc[::5, "text"] = None
    return frame


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_back_an_equal_frame(name, tmp_path):
    frame = a_table()
    table = de._arrow_table(frame)
    kind = de._FORMATS[name]
    path = tmp_path / f"it's{kind.suffix}"
    kind.write(table, path)
    back, ranges = de.read_counted(path, schema=table.schema)
    assert back.equals(frame)
    left_out = path.stat().st_size - ranges[:, 1].sum()
    assert left_out <= (512 if name == "Arrow" else 0)  # Arrow's footer repeats its first bytes
    kind.write(table.slice(0, 10), path, append=True)
    longer, _ = de.read_counted(path, schema=table.schema)
    assert longer.equals(pd.concat([frame, frame.head(10)], ignore_index=True))
    one, _ = de.read_counted(path, ["time"], table.schema)
    assert one.equals(longer[["time"]])


@pytest.mark.parametrize("name", FORMATS)
def test_flights_come_back_and_one_column_touches_what_the_layout_says(name, flights, tmp_path):
    frame = flights.head(60_000) if name == "Avro" else flights  # its reader is slow
    table = de.compare_formats(
        frame, tmp_path, [name], ["write", "read all", "read one column"], "arr_delay", False
    )
    written, read_all, read_one = table["bytes"]
    assert written == (tmp_path / f"table{de._FORMATS[name].suffix}").stat().st_size
    if name in BY_COLUMN:
        assert read_one < 0.1 * written
    else:
        assert read_one >= written
    assert read_all >= 0.999 * written
    assert (table["seconds"] > 0).all()


def test_a_read_of_parquet_is_its_chunks_and_its_footer(flights, tmp_path):
    path = tmp_path / "table.parquet"
    de._FORMATS["Parquet"].write(de._arrow_table(flights), path)
    _, ranges = de.read_counted(path, ["arr_delay"])
    metadata = pq.ParquetFile(path).metadata
    place = flights.columns.get_loc("arr_delay")
    chunks = []
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(place)
        chunks.append((chunk.dictionary_page_offset, chunk.total_compressed_size))
    assert len(chunks) == 7
    assert set(chunks) <= set(map(tuple, ranges.tolist()))
    rest = set(map(tuple, ranges.tolist())) - set(chunks)
    assert [start + length for start, length in rest] == [path.stat().st_size]


def test_rows_are_added_at_the_end_or_everything_is_written_anew(tmp_path):
    frame = a_table()
    table = de.compare_formats(frame, tmp_path, workloads=["append", "read all"], progress=False)
    bytes_of = table.set_index(["format", "workload"])["bytes"]
    for name in FORMATS:
        size = (tmp_path / f"table{de._FORMATS[name].suffix}").stat().st_size
        if name in BY_COLUMN:
            assert bytes_of[name, "append"] > size
        else:
            assert bytes_of[name, "append"] < 0.45 * size  # 1,000 of 3,000 rows
    assert sorted(p.stem for p in tmp_path.iterdir()) == ["table"] * 5  # and nothing else is left


def test_the_count_of_csv_is_that_of_the_csv_module(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    frame["b"] = frame["b"].astype("str")
    de.compare_formats(frame, tmp_path, ["CSV"], ["write"], progress=False)
    rows = list(csv.reader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert rows == [["a", "b"], ["1", "x"], ["2", ""]]


@pytest.mark.parametrize("values", [[1.0, np.nan, 2.0], ["x", None, "", "y"]])
def test_a_single_column_keeps_its_gaps(values, tmp_path):
    frame = pd.DataFrame({"a": values}, dtype="str" if "x" in values else float)
    de.compare_formats(frame, tmp_path, progress=False)  # compares what it reads with the frame
    back, _ = de.read_counted(tmp_path / "table.csv")
    assert back["a"].isna().tolist() == frame["a"].isna().tolist()


def test_a_file_that_holds_another_table_is_refused(tmp_path):
    frame = a_table(50)
    de.compare_formats(frame, tmp_path, ["Parquet"], ["write"], progress=False)
    with pytest.raises(ValueError, match=r"table\.parquet holds another table"):
        de.compare_formats(frame[::-1], tmp_path, ["Parquet"], ["read all"], progress=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frame": pd.DataFrame({"a": []})}, "frame is empty"),
        ({"frame": pd.DataFrame({"a": [np.inf]})}, "finite numbers, got infinity in 'a'"),
        ({"frame": pd.DataFrame({"a": [{}]})}, "got object in 'a'"),
        ({"folder": "no-such-folder"}, "folder must be an existing folder"),
        ({"formats": ["Excel"]}, "formats must be one of 'CSV'.*got 'Excel'"),
        ({"formats": "CSV"}, "formats must be a list"),
        ({"workloads": []}, "workloads must be a list"),
        ({"workloads": ["delete"]}, "workloads must be one of 'write'"),
        ({"column": "z"}, "column must be one of 'a', got 'z'"),
    ],
)
def test_compare_formats_refuses(change, words, tmp_path):
    arguments = {"frame": pd.DataFrame({"a": [1]}), "folder": tmp_path, "progress": False}
    with pytest.raises(ValueError, match=words):
        de.compare_formats(**arguments | change)
    with pytest.raises(TypeError, match="frame must be a DataFrame"):
        de.compare_formats([1], tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_read_counted_refuses_a_column_that_is_not_there(name, tmp_path):
    table = de._arrow_table(a_table(20))
    path = tmp_path / f"t{de._FORMATS[name].suffix}"
    de._FORMATS[name].write(table, path)
    for schema in (None, table.schema):
        with pytest.raises(ValueError, match=r"columns must be among those of t\."):
            de.read_counted(path, ["number", "altitude"], schema)


def test_read_counted_refuses_other_files(tmp_path):
    with pytest.raises(ValueError, match=r"suffix of path must be one of .\.csv"):
        de.read_counted(tmp_path / "a.xls")
    with pytest.raises(TypeError, match="columns must be a list of names, got the text 'ab'"):
        de.read_counted(tmp_path / "a.csv", "ab")
    with pytest.raises(FileNotFoundError):
        de.read_counted(tmp_path / "a.csv")


@given(st.binary(max_size=200), st.integers(0, 10**6), st.integers(1, 40))
def test_hexdump_holds_every_byte_once(data, start, width):
    lines = de.hexdump(data, start, width).splitlines()
    assert len(lines) == -(-len(data) // width)
    shown = b"".join(bytes.fromhex(line[10 : 10 + 3 * width - 1]) for line in lines)
    assert shown == data
    for i, line in enumerate(lines):
        assert int(line[:8], 16) == start + i * width


def test_hexdump_is_that_of_the_command():
    line = "00000000  68 65 78 0a ff                                   hex.."
    assert de.hexdump(b"hex\n\xff") == line
    with pytest.raises(TypeError, match="data must be bytes, got str"):
        de.hexdump("text")
    with pytest.raises(ValueError, match="width must be a whole number of at least 1"):
        de.hexdump(b"a", width=0)
    with pytest.raises(ValueError, match="start must be"):
        de.hexdump(b"a", start=-1)


def test_plot_format_comparison_draws_what_the_table_says():
    table = pd.DataFrame(
        {
            "format": ["CSV", "Parquet"] * 2,
            "workload": ["write"] * 2 + ["read all"] * 2,
            "seconds": [2.0, 0.5, 1.0, 0.25],
            "bytes": [36e6, 6e6, 36e6, 6e6],
        }
    )
    panels = de.plot_format_comparison(table, "bytes")
    assert [ax.get_title() or ax.get_title("left") for ax in panels] == ["write", "read all"]
    assert [bar.get_width() for bar in panels[0].patches] == [6.0, 36.0]
    assert panels[0].get_xlabel() == "MB"
    assert [t.get_text() for t in de.plot_format_comparison(table)[1].texts] == ["0.25", "1"]
    with pytest.raises(ValueError, match="measure must be one of"):
        de.plot_format_comparison(table, "rows")
    with pytest.raises(ValueError, match="table must have a column 'workload'"):
        de.plot_format_comparison(table.drop(columns="workload"))


def test_plot_layout_keeps_both_orders():
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    ax = de.plot_layout(frame)
    place = {}
    for text in ax.texts:
        x, y = text.get_position()
        place.setdefault(round(y, 1), []).append((x, text.get_text()))
    lines = {y: [word for _, word in sorted(words)] for y, words in place.items()}
    assert ["1", "x", "2", "y", "3", "z"] in lines.values()
    assert ["1", "2", "3", "x", "y", "z"] in lines.values()
    with pytest.raises(ValueError, match="1 to 4 rows and columns, got 5 and 1"):
        de.plot_layout(pd.DataFrame({"a": range(5)}))
    with pytest.raises(ValueError, match="got 0 and 0"):
        de.plot_layout(pd.DataFrame())
    with pytest.raises(TypeError, match="frame must be a DataFrame"):
        de.plot_layout([1])


def test_plot_touched_refuses():
    with pytest.raises(TypeError, match="reads must be a dict"):
        de.plot_touched([1])
    with pytest.raises(ValueError, match="reads is empty"):
        de.plot_touched({})
    with pytest.raises(ValueError, match="ranges of CSV reach past its end at 10"):
        de.plot_touched({"CSV": (10, [(5, 6)])})
    for strange in ([(-3, 5)], [(0, -1)], [(np.nan, 1)]):
        with pytest.raises(ValueError, match="ranges of CSV must hold numbers of at least 0"):
            de.plot_touched({"CSV": (10, strange)})
    with pytest.raises(ValueError, match="size of CSV must be a whole number"):
        de.plot_touched({"CSV": (0, [])})


def test_plot_touched_draws_the_shares():
    ax = de.plot_touched({"CSV": (1000, [(0, 1000)]), "Arrow": (1000, [(100, 50), (900, 100)])})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["CSV", "Arrow"]
    assert [text.get_text() for text in ax.texts] == ["0.001 of 0.001 MB", "0.00015 of 0.001 MB"]


# --- Relations

COUNTS = {
    "airlines": (16, 0),
    "airports": (1458, 4),
    "planes": (3322, 721),
    "weather": (26115, 108),
    "flights": (336776, 0),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_table_of_the_database_is_its_source_and_placeholders(name, database):
    source = getattr(datasets, f"load_{name}")()
    rows, placeholders = COUNTS[name]
    if "placeholder" not in database.table(name).columns:
        stored = database.sql(f"SELECT * FROM {name}").df()
        assert placeholders == 0
    else:
        known = f"SELECT * EXCLUDE (placeholder) FROM {name} WHERE NOT placeholder"
        stored = database.sql(known).df()
        unknown = database.sql(f"SELECT * FROM {name} WHERE placeholder").df()
        assert len(unknown) == placeholders
        keys = ["origin", "time_hour"] if name == "weather" else [unknown.columns[0]]
        assert unknown[keys].notna().all(axis=None)
        assert unknown.drop(columns=[*keys, "placeholder"]).isna().all(axis=None)
    assert len(stored) == rows
    key = {"flights": ["time_hour", "carrier", "flight"], "weather": ["origin", "time_hour"]}
    key = key.get(name, [source.columns[0]])
    stored, source = (f.sort_values(key, ignore_index=True) for f in (stored, source))
    pd.testing.assert_frame_equal(stored, source, check_dtype=False)


@pytest.mark.parametrize(
    ("table", "left", "right"),
    [
        ("planes", ["tailnum"], ["tailnum"]),
        ("airports", ["dest"], ["faa"]),
        ("weather", ["origin", "time_hour"], ["origin", "time_hour"]),
        ("airlines", ["carrier"], ["carrier"]),
    ],
)
def test_join_counts_are_those_of_pandas(table, left, right, database, flights):
    known = "" if table == "airlines" else "WHERE NOT t.placeholder"
    on = " AND ".join(f"f.{a} = t.{b}" for a, b in zip(left, right, strict=True))
    sql = f"SELECT count(*) FROM flights f JOIN {table} t ON {on} {known}"
    source = getattr(datasets, f"load_{table}")()
    joined = flights[left].merge(source[right], left_on=left, right_on=right)
    assert database.sql(sql).fetchall() == [(len(joined),)]


NEW = "INSERT INTO flights (time_hour, carrier, flight, origin, dest, tailnum, distance, "
NEW += "sched_dep_time, sched_arr_time) VALUES ('2013-07-01 12:00+00', {}, {}, 'JFK', {}, {}, {}"
NEW += ", 1, 1)"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("INSERT INTO flights SELECT * FROM flights LIMIT 1", "primary key"),
        ("INSERT INTO airlines VALUES ('UA', 'again')", "primary key"),
        (NEW.format("'ZZ'", 1, "'BOS'", "NULL", 187), "foreign key"),
        (NEW.format("'B6'", 1, "'XXX'", "NULL", 187), "foreign key"),
        (NEW.format("'B6'", 1, "'BOS'", "'N0'", 187), "foreign key"),
        (NEW.format("'B6'", 1, "NULL", "NULL", 187), "NOT NULL"),
        (NEW.format("'B6'", "NULL", "'BOS'", "NULL", 187), "NOT NULL"),
        (NEW.format("'B6'", 1, "'BOS'", "NULL", 0), "CHECK"),
        (NEW.format("'B6'", "'one'", "'BOS'", "NULL", 187), "Could not convert"),
        ("DELETE FROM planes WHERE tailnum = 'N14228'", "foreign key"),
        ("DELETE FROM weather WHERE origin = 'JFK'", "foreign key"),
    ],
)
def test_the_database_refuses_what_breaks_a_rule(sql, words, database):
    with pytest.raises(duckdb.Error, match=words):
        database.execute(sql)
    assert database.table("flights").shape[0] == 336776


def test_flights_database_on_a_file(tmp_path):
    path = tmp_path / "f.duckdb"
    de.flights_database(path).close()
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.sql("SELECT count(*) FROM flights").fetchall() == [(336776,)]
    with pytest.raises(ValueError, match="path must name a new file"):
        de.flights_database(path)
    with pytest.raises(ValueError, match="existing folder"):
        de.flights_database(tmp_path / "no" / "f.duckdb")


def test_dependency_violations_on_a_table_worked_by_hand():
    frame = pd.DataFrame({"a": [1, 1, 2, 2, None], "b": [5, 5, 6, None, 7], "c": list("xyzzz")})
    assert de.dependency_violations(frame, "a", "b").values.tolist() == [[2, 2, 2]]
    assert de.dependency_violations(frame, "a", "c").values.tolist() == [[1, 2, 2]]
    assert de.dependency_violations(frame, ["a", "c"], "b").values.tolist() == [[2, "z", 2, 2]]
    with pytest.raises(ValueError, match="frame must have a column 'z'"):
        de.dependency_violations(frame, "a", "z")
    for strange in ([], "values", ["a", "rows"]):
        with pytest.raises(ValueError, match="determinant must be columns, none of them named"):
            de.dependency_violations(frame.assign(values=1, rows=1), strange, "b")
    with pytest.raises(TypeError, match="frame must be a DataFrame"):
        de.dependency_violations([1], "a", "b")


def test_dependencies_of_the_flights(flights):
    assert de.dependency_violations(flights, ["time_hour", "carrier", "flight"], "dest").empty
    routes = de.dependency_violations(flights, ["origin", "dest"], "distance")
    assert routes["dest"].tolist() == ["EGE", "EGE"]
    per_plane = flights.groupby("tailnum")["carrier"].nunique()
    assert len(de.dependency_violations(flights, "tailnum", "carrier")) == (per_plane > 1).sum()


JOINED = "SELECT carrier, count(*) FROM flights f, planes p WHERE f.tailnum = p.tailnum AND "
JOINED += "seats > 200 GROUP BY carrier"
TURNED = "WITH big AS (SELECT * FROM planes WHERE seats > 200) SELECT carrier, count(*) FROM big "
TURNED += "JOIN flights USING (tailnum) GROUP BY carrier"


def test_two_phrasings_have_one_plan_and_one_answer(database):
    plan = de.query_plan(database, JOINED)
    assert plan == de.query_plan(database, TURNED)
    assert plan == [
        "HASH_GROUP_BY",
        "HASH_JOIN INNER",
        "  SEQ_SCAN flights",
        "  SEQ_SCAN planes, seats > 200",
    ]
    answers = [sorted(database.sql(sql).fetchall()) for sql in (JOINED, TURNED)]
    assert answers[0] == answers[1]


def test_query_plan_runs_nothing_and_refuses(database):
    de.query_plan(database, "DELETE FROM airlines")
    assert database.table("airlines").shape[0] == 16
    for several in ("SELECT 1; DELETE FROM airlines", "", "DELETE FROM airlines;;SELECT 1"):
        with pytest.raises(ValueError, match=r"make one statement in SQL, got [02]"):
            de.query_plan(database, several)
    assert database.table("airlines").shape[0] == 16
    with pytest.raises(TypeError, match="connection must be a DuckDB connection, got NoneType"):
        de.query_plan(None, "SELECT 1")
    with pytest.raises(TypeError, match="sql must be text"):
        de.query_plan(database, 1)
    with pytest.raises(duckdb.Error):
        de.query_plan(database, "SELECT nothing FROM nowhere")


# --- Documents and graph


@pytest.fixture(scope="module")
def documents(database):
    return de.to_documents(database, "f.month = 1")


def test_documents_are_the_flights_and_what_they_refer_to(documents, flights):
    january = flights[flights["month"] == 1].sort_values(["time_hour", "carrier", "flight"])
    assert len(documents) == len(january) == len({d["_id"] for d in documents})
    json.dumps(documents)
    planes = datasets.load_planes().set_index("tailnum")
    weather = datasets.load_weather().set_index(["origin", "time_hour"])
    airports = datasets.load_airports().set_index("faa")
    for document, row in list(zip(documents, january.itertuples(), strict=True))[::97]:
        assert document["_id"].endswith(f"Z {row.carrier} {row.flight}")
        assert document.get("arr_delay", np.nan) == pytest.approx(row.arr_delay, nan_ok=True)
        assert document["dest"]["faa"] == row.dest
        assert ("name" in document["dest"]) == (row.dest in airports.index)
        assert ("plane" in document) == (not pd.isna(row.tailnum))
        if "plane" in document:
            known = row.tailnum in planes.index
            assert ("model" in document["plane"]) == known
            assert document["plane"]["tailnum"] == row.tailnum
        hour = (row.origin, row.time_hour)
        assert ("weather" in document) == (hour in weather.index)
        if "weather" in document:
            assert document["weather"]["humid"] == pytest.approx(weather.loc[hour, "humid"])


def test_a_document_has_no_empty_fields(documents):
    def values(document):
        for value in document.values():
            yield from values(value) if isinstance(value, dict) else [value]

    for document in documents[::53]:
        assert all(value == value and value is not None for value in values(document))
        assert "placeholder" not in json.dumps(document)


def test_to_documents_refuses(database):
    with pytest.raises(TypeError, match="where must be a condition in SQL, got int"):
        de.to_documents(database, 1)
    with pytest.raises(duckdb.Error):
        de.to_documents(database, "no_such_column = 1")
    with pytest.raises(TypeError, match="connection must be a DuckDB connection, got NoneType"):
        de.to_documents(None)
    with pytest.raises(ValueError, match="where must make one statement in SQL, got 2"):
        de.to_documents(database, "false; SELECT 1 --")
    assert de.to_documents(database, "false") == []


def test_three_models_one_answer(documents, database, flights):
    graph = de.flight_graph(documents)
    kinds = Counter(kind for _, kind in graph.nodes(data="kind"))
    assert kinds["flight"] == len(documents)
    january = flights[flights["month"] == 1]
    assert kinds["plane"] == january["tailnum"].nunique()
    assert kinds["airport"] == len(set(january["origin"]) | set(january["dest"]))
    assert graph.number_of_edges() > 3 * len(documents)

    makers = january.merge(datasets.load_planes(), on="tailnum")["manufacturer"].value_counts()
    in_graph = Counter()
    for node, maker in graph.nodes(data="manufacturer"):
        in_graph.update({maker: len(graph[node])} if maker else {})
    assert dict(in_graph) == makers.to_dict()

    airports = graph.subgraph(n for n, kind in graph.nodes(data="kind") if kind == "airport")
    routes = nx.from_pandas_edgelist(january, "origin", "dest")
    assert set(map(frozenset, airports.edges)) == set(map(frozenset, routes.edges))
    legs = nx.single_source_shortest_path_length(airports, "BUR")
    sql = """WITH RECURSIVE routes AS (SELECT origin a, dest b FROM flights WHERE month = 1
        UNION SELECT dest, origin FROM flights WHERE month = 1), reached (place, n) AS (
        SELECT 'BUR', 0 UNION SELECT b, n + 1 FROM reached JOIN routes ON a = place WHERE n < 9)
        SELECT place, min(n) FROM reached GROUP BY place"""
    assert dict(database.sql(sql).fetchall()) == dict(legs)


def test_flight_graph_refuses():
    with pytest.raises(ValueError, match="documents is empty"):
        de.flight_graph([])


FLIGHT = {"_id": "1", "origin": {"faa": "JFK"}, "dest": {"faa": "BUR"}}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"_id": "1", "origin": {"faa": "JFK"}}, r"text in dest\.faa, one has None"),
        ({"_id": 1, "origin": {}, "dest": {}}, r"text in origin\.faa, one has None"),
        (FLIGHT | {"plane": {}}, r"text in plane\.tailnum, one has None"),
        (FLIGHT | {"weather": {"temp": 3.0}}, "text in time_hour, one has None"),
        (FLIGHT | {"_id": ["1"]}, r"text in _id, one has \['1'\]"),
        (FLIGHT | {"_id": "JFK"}, "key 'JFK' twice, as flight and as airport"),
        (None, "text in _id, one has None"),
    ],
)
def test_flight_graph_refuses_a_document(document, words):
    with pytest.raises(ValueError, match="^documents .*" + words):
        de.flight_graph([document])


# --- The lake


def test_version_n_reads_back_bit_for_bit(flights, tmp_path):
    key = ["time_hour", "carrier", "flight"]
    parts = [flights[flights["month"] == month].reset_index(drop=True) for month in (1, 2)]
    path = str(tmp_path / "t")
    write_deltalake(path, parts[0])
    sums = {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in tmp_path.glob("t/*.parquet")
    }
    write_deltalake(path, parts[1], mode="append")
    DeltaTable(path).delete("carrier = 'UA'")
    with pytest.raises(Exception, match="soon"):
        write_deltalake(path, parts[1].assign(arr_delay="soon"), mode="append")
    assert DeltaTable(path).version() == 2
    old = DeltaTable(path, version=0).to_pandas()
    assert old.equals(parts[0])  # one file: in its order, too
    both = DeltaTable(path, version=1).to_pandas().sort_values(key, ignore_index=True)
    assert both.equals(pd.concat(parts).sort_values(key, ignore_index=True))
    for name, digest in sums.items():
        assert hashlib.sha256((tmp_path / "t" / name).read_bytes()).hexdigest() == digest


def batch(*miles):
    n = len(miles)
    return form(carrier=["UA"] * n, flight=["1"] * n, miles=list(miles))


def stores(tmp_path):
    return tmp_path / "loaded", tmp_path / "rejects"


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["10", "far", "-1", None]), max_size=6), min_size=1, max_size=3
    )
)
def test_etl_counts_add_up_whatever_comes(lists):
    batches = {f"b{i}": batch(*miles) for i, miles in enumerate(lists)}
    with de.ScratchFolder() as folder:
        report = de.etl(batches, SCHEMA, *stores(folder.path))
        loaded, rejects = (DeltaTable(str(p)).to_pandas() for p in stores(folder.path))
    assert report["read"].tolist() == [len(miles) for miles in lists]
    assert report["loaded"].tolist() == [miles.count("10") for miles in lists]
    assert (report["read"] == report["loaded"] + report["rejected"]).all()
    assert len(loaded) == report["loaded"].sum()
    assert (rejects["reason"].str.len() > 0).all()


def test_etl_twice_is_etl_once(tmp_path):
    batches = {"a": batch("1", "x", "2"), "b": batch("3", "-1")}
    first = de.etl(batches, SCHEMA, *stores(tmp_path))
    again = de.etl({"b": batches["b"]}, SCHEMA, *stores(tmp_path))
    assert again.equals(first.loc[["b"]])
    loaded = DeltaTable(str(tmp_path / "loaded")).to_pandas().sort_values("miles")
    assert loaded["miles"].tolist() == [1.0, 2.0, 3.0]
    assert loaded["batch"].tolist() == ["a", "a", "b"]
    rejects = DeltaTable(str(tmp_path / "rejects")).to_pandas().sort_values("batch")
    assert rejects["miles"].tolist() == ["x", "-1"]  # as they came
    assert rejects["reason"].tolist() == [
        "miles: not a float64, got 'x'",
        "miles: is out of range, got '-1'",
    ]


def test_etl_takes_a_batch_that_is_all_good_or_all_bad(tmp_path):
    batches = {"good": batch("1"), "bad": batch("x"), "none": batch()}
    report = de.etl(batches, SCHEMA, *stores(tmp_path))
    assert report.to_numpy().tolist() == [[1, 1, 0], [1, 0, 1], [0, 0, 0]]


def test_a_transform_that_fails_loads_nothing_of_its_batch(tmp_path):
    def fails_on_two(rows):
        if len(rows) == 2:
            raise RuntimeError("no such rate")
        return rows.assign(km=rows["miles"] * 1.609344)

    batches = {"a": batch("1", "x"), "b": batch("2", "3", "x")}
    with pytest.raises(RuntimeError, match="no such rate"):
        de.etl(batches, SCHEMA, *stores(tmp_path), fails_on_two)
    loaded, rejects = (DeltaTable(str(p)).to_pandas() for p in stores(tmp_path))
    assert loaded["batch"].tolist() == rejects["batch"].tolist() == ["a"]
    assert loaded["km"].tolist() == [1.609344]


@pytest.mark.parametrize("miles", ["1", "x"])
def test_a_batch_of_other_columns_is_not_loaded_at_all(miles, tmp_path):
    batches = {"a": batch(miles), "b": batch(miles).assign(gate="7")}
    with pytest.raises(ValueError, match="table does not fit batch b"):
        de.etl(batches, SCHEMA, *stores(tmp_path))
    loaded, rejects = (DeltaTable(str(p)).to_pandas() for p in stores(tmp_path))
    assert [*loaded["batch"], *rejects["batch"]] == ["a"]


def test_a_batch_that_only_the_rejects_do_not_fit_is_not_loaded(tmp_path):
    def same(rows):
        return rows[["carrier", "flight", "miles"]]

    batches = {"a": batch("1", "x"), "b": batch("2", "x").assign(gate="7")}
    with pytest.raises(ValueError, match=r"rejects does not fit batch b: it has .*'gate'"):
        de.etl(batches, SCHEMA, *stores(tmp_path), same)
    assert DeltaTable(str(tmp_path / "loaded")).to_pandas()["batch"].tolist() == ["a"]


def test_etl_takes_categories(tmp_path):
    report = de.etl(
        {"a": pd.DataFrame({"a": pd.Categorical(["1", "x", None])})}, NUMBER, *stores(tmp_path)
    )
    assert report.to_numpy().tolist() == [[3, 1, 2]]
    assert DeltaTable(str(tmp_path / "loaded")).to_pandas()["a"].tolist() == [1]


def test_etl_refuses_what_are_no_two_folders(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for table, rejects, words in [
        ("t", Path("x/../t"), "table and rejects must be two folders"),
        (None, "t", "table must be the path of a folder, got None"),
        ("t", "", "rejects must be the path of a folder, got ''"),
    ]:
        with pytest.raises(ValueError, match=words):
            de.etl({"a": batch("1")}, SCHEMA, table, rejects)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("batches", "transform", "error", "words"),
    [
        ([batch("1")], None, TypeError, "batches must be a dict"),
        ({}, None, ValueError, "batches is empty"),
        ({"a b": batch("1")}, None, ValueError, "names of letters and digits, got 'a b'"),
        ({"a'": batch("1")}, None, ValueError, "names of letters and digits"),
        ({1: batch("1")}, None, ValueError, "names of letters and digits, got 1"),
        ({"a": [1]}, None, TypeError, "frame must be a DataFrame"),
        ({"a": batch("1").assign(batch="x")}, None, ValueError, "column 'batch'"),
        ({"a": batch("1").assign(reason="x")}, None, ValueError, "column 'reason'"),
        ({"a": batch("1").drop(columns="miles")}, None, ValueError, "miles"),
        ({"a": batch("1")}, lambda rows: rows.head(0), ValueError, "the 1 rows it was given"),
        ({"a": batch("1")}, lambda rows: None, ValueError, "transform must return"),
        ({"a": batch("1")}, lambda rows: rows.assign(batch="z"), ValueError, "column 'batch'"),
    ],
)
def test_etl_refuses_and_leaves_nothing(batches, transform, error, words, tmp_path):
    with pytest.raises(error, match=words):
        de.etl(batches, SCHEMA, *stores(tmp_path), transform)
    assert list(tmp_path.iterdir()) == []


def test_etl_complains_when_rows_get_lost(monkeypatch, tmp_path):
    monkeypatch.setattr(de, "_replace_batch", lambda table, rows, name: 0)
    with pytest.raises(RuntimeError, match=r"batch a: 1 rows read, 0 \+ 0 stored"):
        de.etl({"a": batch("1")}, SCHEMA, *stores(tmp_path))


# --- Wrong answers to the exercises, and the words that each must meet


def _split(frame, keep, number):
    reason = np.select(
        [frame["distance"].isna(), number.isna(), number <= 0],
        ["missing", "not a number", "not positive"],
        "fine",
    )
    return frame[keep], frame[~keep].assign(reason=reason[~keep])


def _loses_missing(frame):
    frame = frame.dropna()
    number = pd.to_numeric(frame["distance"], errors="coerce")
    return _split(frame, number > 0, number)


def _hands_on_numbers(frame):
    number = pd.to_numeric(frame["distance"], errors="coerce")
    valid, rejected = _split(frame, number > 0, number)
    return valid.assign(distance=number[number > 0].to_numpy()), rejected


def _lets_zero_through(frame):
    number = pd.to_numeric(frame["distance"], errors="coerce")
    return _split(frame, number >= 0, number)


def _new_index(frame):
    frame = frame.reset_index(drop=True)
    number = pd.to_numeric(frame["distance"], errors="coerce")
    return _split(frame, number > 0, number)


def _one_reason(frame):
    number = pd.to_numeric(frame["distance"], errors="coerce")
    keep = number > 0
    return frame[keep], frame[~keep].assign(reason="not a number")


def _mends_the_rejected(frame):
    number = pd.to_numeric(frame["distance"], errors="coerce")
    valid, rejected = _split(frame, number > 0, number)
    return valid, rejected.assign(distance=number[~(number > 0)].to_numpy())


def _swaps(frame):
    number = pd.to_numeric(frame["distance"], errors="coerce")
    return _split(frame, number > 0, number)[::-1]


def _hmac(key, message, hash_name):
    import hmac

    return hmac.new(key, message, hash_name)


def _files(log, commits, *, removals=True):
    files = set()
    for commit in log[:commits]:
        for action in commit:
            if "add" in action:
                files.add(action["add"])
            elif removals:
                files.discard(action["remove"])
    return files


def _adds_before_removes(log, version):
    added = {a["add"] for commit in log[: version + 1] for a in commit if "add" in a}
    return added - {a["remove"] for commit in log[: version + 1] for a in commit if "remove" in a}


SELECT = "SELECT manufacturer, {} FROM {} ON flights.tailnum = planes.tailnum GROUP BY manufacturer"

WRONG_ANSWERS = {
    "quarantine_distance": [
        (_loses_missing, "nothing may be lost"),
        (_hands_on_numbers, "as they came"),
        (_lets_zero_through, "0 or below is not positive"),
        (_new_index, "index was changed"),
        (_one_reason, "'missing'"),
        (_swaps, "is it the first"),
        (lambda frame: frame.dropna(), "two tables"),
        (_mends_the_rejected, "too: somebody has to mend"),
    ],
    "pseudonym": [
        (lambda value, key: hashlib.sha256(value.encode()).hexdigest(), "needs no key"),
        (lambda value, key: hashlib.sha256(key + value.encode()).hexdigest(), "glued"),
        (lambda value, key: _hmac(value.encode(), key, "sha256").hexdigest(), "swapped"),
        (lambda value, key: _hmac(key, value.encode(), "sha256").digest(), "Return text"),
        (lambda value, key: _hmac(key, value.encode(), "sha1").hexdigest(), "64 hexadecimal"),
    ],
    "row_groups_to_read": [
        (lambda lo, hi, low, high: (lo <= high) & (hi >= low), "not a mask"),
        (lambda lo, hi, low, high: np.flatnonzero((lo >= low) & (hi <= high)), "overlap"),
        (lambda lo, hi, low, high: np.flatnonzero((lo < high) & (hi > low)), "exactly"),
        (lambda lo, hi, low, high: np.flatnonzero((lo <= high) & (hi >= low)), "statistics"),
        (lambda lo, hi, low, high: np.arange(len(lo)), "may hold it"),
        (lambda lo, hi, low, high: {1, 2, 3}, "a list or an array"),
    ],
    "flights_by_maker": [
        (lambda: SELECT.format("count(*)", "flights JOIN planes"), "are lost"),
        (lambda: SELECT.format("count(planes.tailnum)", "flights LEFT JOIN planes"), "leaves"),
        (lambda: SELECT.format("count(*)", "planes LEFT JOIN flights"), "did not fly"),
        (
            lambda: SELECT.format("count(DISTINCT planes.tailnum)", "flights JOIN planes"),
            "two planes",
        ),
        (lambda: "SELECT nothing", "BinderException"),
        (
            lambda: (
                "SELECT count(*), manufacturer FROM flights LEFT JOIN planes"
                " USING (tailnum) GROUP BY manufacturer"
            ),
            "First the manufacturer",
        ),
    ],
    "files_at": [
        (lambda log, version: _files(log, version), "that one counts, too"),
        (lambda log, version: _files(log, version + 1, removals=False), "still shows it"),
        (lambda log, version: _files(log, len(log)), "do not matter yet"),
        (_adds_before_removes, "comes back"),
        (lambda log, version: len(log), "names of the files"),
    ],
}
