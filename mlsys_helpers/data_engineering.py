"""Chapter 02: where data comes from, and how it is kept.

In the order of the chapter: four sources and what each needs before it can be trusted; file
formats, down to the bytes that a read touches; the relational model in DuckDB; the same flights as
documents and as a graph; and a lake's table, filled by a job whose counts add up.
"""

import hashlib
import hmac
import io
import json
import re
import shutil
import time
import warnings
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from tqdm.auto import tqdm

from mlsys_helpers import _checks, _servers, datasets
from mlsys_helpers.plotting import COLORS, get_axes, percent_axis

with warnings.catch_warnings():  # pandera looks for PySpark, which warns about pandas 3
    warnings.filterwarnings("ignore", message="PySpark does not yet", category=FutureWarning)
    import pandera.pandas as pandera

    pandera.DataFrameSchema().validate(pd.DataFrame())  # its second look is at the first use

__all__ = [
    "ScratchFolder",
    "quarantine",
    "parse_logs",
    "pseudonymise",
    "hexdump",
    "compare_formats",
    "plot_format_comparison",
    "plot_layout",
    "read_counted",
    "plot_touched",
    "flights_database",
    "dependency_violations",
    "query_plan",
    "to_documents",
    "flight_graph",
    "etl",
]


class ScratchFolder:
    """A temporary folder that is gone when the process is, even if the process is killed.

    A small process, its keeper, waits at a pipe. Whatever ends this process, the operating system
    closes its end of the pipe; the keeper then removes the folder, and ends.

    Attributes
    ----------
    path : pathlib.Path
        The folder. It lies where `tempfile` puts things.

    Raises
    ------
    OSError
        If the keeper cannot be started; nothing is left behind then.

    References
    ----------
    Chapter 02, Data sources.

    Examples
    --------
    >>> from mlsys_helpers.data_engineering import ScratchFolder
    >>> with ScratchFolder() as folder:
    ...     _ = (folder.path / "notes.txt").write_text("gone in a moment")
    >>> folder.path.exists()
    False
    """

    def __init__(self):
        self._keeper = _servers.Process(None, name="the keeper of the folder")
        self.path = self._keeper.folder

    def close(self):
        """Remove the folder and end its keeper; a second time does nothing."""
        self._keeper.stop()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


# --- Data sources ----------------------------------------------------------------------------


def quarantine(frame, schema):
    """Split rows into those that keep to a schema and those that do not, with the reasons.

    Parameters
    ----------
    frame : DataFrame of shape (n, m)
        Any index. Must not have a column ``reason``.
    schema : pandera.pandas.DataFrameSchema
        What a row must be. Columns with ``coerce=True`` may arrive as text. It must not check
        the index, nor convert columns that it knows by a regular expression.

    Returns
    -------
    valid : DataFrame of m columns
        The rows that pass, as they came: same values, types, index and order.
    rejected : DataFrame of m + 1 columns
        All other rows, as they came, and ``reason``: every complaint about the row.

    Raises
    ------
    TypeError
        If frame is no DataFrame or schema no DataFrameSchema.
    ValueError
        If the fault lies in no row: a column is missing, unexpected or of another type as a
        whole, a check raises an error, or a column is named ``reason``; or if schema is of a
        kind that is not taken.

    References
    ----------
    Chapter 02, Data sources. N. Bantilan, "pandera: statistical data validation of pandas
    dataframes", SciPy (2020).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.data_engineering import pandera, quarantine
    >>> miles = pandera.Column(float, pandera.Check.gt(0, error="must be above 0"), coerce=True)
    >>> forms = pd.DataFrame({"miles": ["1400", "far", "-3"]})
    >>> valid, rejected = quarantine(forms, pandera.DataFrameSchema({"miles": miles}))
    >>> valid["miles"].tolist()
    ['1400']
    >>> rejected["reason"].tolist()
    ["miles: not a float64, got 'far'", "miles: must be above 0, got '-3'"]
    """
    _checks_frame(frame, "frame")
    if not isinstance(schema, pandera.DataFrameSchema):
        raise TypeError(f"schema must be a pandera DataFrameSchema, got {type(schema).__name__}")
    if "reason" in frame:
        raise ValueError("frame must not have a column 'reason': that is where the reasons go")
    if schema.index is not None:
        raise ValueError("schema must not check the index: make it a column first")
    for name in _converted(schema):
        if schema.columns[name].regex:
            raise ValueError(f"schema must not convert a regex column, got {name!r}")
    rows = _without_categories(frame.reset_index(drop=True), schema)
    found = _complaints(rows, schema)
    unreadable = found[found["check"].str.startswith("coerce_dtype")]
    if len(unreadable):  # one unreadable cell keeps its column from being checked: look again
        readable = rows.drop(index=unreadable["index"].unique())
        parts = [found[found["index"].notna()], _complaints(readable, schema)]
        for name, cells in unreadable.groupby("column")["index"]:
            alone = pandera.DataFrameSchema({name: schema.columns[name]}, coerce=schema.coerce)
            parts.append(_complaints(rows[[name]].drop(index=cells), alone))
        found = pd.concat([part for part in parts if len(part)])
    _refuse_faults_of_no_row(found[found["index"].isna()])
    found = found.assign(reason=[_reason(row, rows) for row in found.itertuples()])
    found = found.drop_duplicates(["index", "reason"]).sort_values("index", kind="stable")
    reasons = found.groupby("index")["reason"].agg("; ".join)
    is_rejected = rows.index.isin(reasons.index)
    rejected = frame[is_rejected].assign(reason=reasons.to_numpy(dtype=str))
    return frame[~is_rejected].copy(), rejected


def _converted(schema):
    return [name for name, column in schema.columns.items() if schema.coerce or column.coerce]


def _without_categories(frame, schema):
    """With the categories to convert as objects: pandera would convert all or none of them."""
    names = frame.select_dtypes("category").columns.intersection(_converted(schema))
    return frame.astype(dict.fromkeys(names, object))


def _complaints(rows, schema):
    """pandera's failure cases: one line a check and value, the row in column `index`."""
    try:
        schema.validate(rows, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        found = errors.failure_cases
        repeats = found["check"].str.startswith("dtype(") & found["index"].notna()
        return found[~repeats]  # a failed conversion is told twice
    return pd.DataFrame(columns=["schema_context", "column", "check", "failure_case", "index"])


def _refuse_faults_of_no_row(found):
    for fault in found.itertuples():
        what = f"{fault.check} {fault.failure_case}".strip()
        where = "" if pd.isna(fault.column) else f"column {fault.column!r}: "
        raise ValueError(f"frame does not fit schema as a whole: {where}{what}")


def _reason(fault, rows):
    if fault.schema_context == "DataFrameSchema":  # a check of whole rows
        return str(fault.check)
    value = rows.at[fault.index, fault.column]
    if fault.check == "not_nullable":
        return f"{fault.column}: missing"
    kind = re.fullmatch(r"coerce_dtype\('(.*?)(?:\[.*)?'\)", fault.check)
    wanted = f"not a {kind[1]}" if kind else fault.check
    return f"{fault.column}: {wanted}, got {_checks._plain(value)!r}"


def parse_logs(lines, pattern):
    """Make a table of log lines; what does not match belongs to the entry above it.

    Parameters
    ----------
    lines : iterable of str
        Lines of a log, without their line breaks.
    pattern : str
        A regular expression with named groups, which the whole first line of an entry matches.

    Returns
    -------
    DataFrame
        One row an entry: a text column for each named group, ``lines`` (how many the entry took;
        they add up to all lines) and ``detail`` (all lines after its first, such as a
        traceback). If the log begins in the middle of an entry, the first row has its lines in
        ``detail`` and missing values elsewhere.

    Raises
    ------
    TypeError
        If lines is a single text, or holds something else than text.
    ValueError
        If pattern is no regular expression for text, has no named group, or one that is named
        ``lines`` or ``detail``.

    References
    ----------
    Chapter 02, Data sources.

    Examples
    --------
    >>> from mlsys_helpers.data_engineering import parse_logs
    >>> lines = ["INFO scored UA 1545", "ERROR no distance", "Traceback:", "ValueError: far"]
    >>> parse_logs(lines, r"(?P<level>[A-Z]+) (?P<message>.*)")[["level", "lines"]].values.tolist()
    [['INFO', 1], ['ERROR', 3]]
    """
    single = isinstance(lines, (str, bytes)) or not isinstance(lines, Iterable)
    lines = [None] if single else list(lines)
    if not all(isinstance(line, str) for line in lines):
        raise TypeError("lines must be a sequence of text, one a line; use text.splitlines()")
    try:
        entry = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(f"pattern must be a regular expression: {error}") from None
    if not isinstance(entry.pattern, str):
        raise ValueError(f"pattern must be a regular expression for text, got {pattern!r}")
    if not entry.groupindex:
        raise ValueError(f"pattern must have named groups, (?P<level>…), got {pattern!r}")
    for name in {"lines", "detail"} & entry.groupindex.keys():
        raise ValueError(f"pattern must not name a group {name!r}: the table has that column")
    entries = []
    for line in lines:
        match = entry.fullmatch(line)
        if match:
            entries.append({**match.groupdict(), "lines": 1, "detail": []})
            continue
        if not entries:
            entries.append({"lines": 0, "detail": []})
        entries[-1]["lines"] += 1
        entries[-1]["detail"].append(line)
    table = pd.DataFrame(entries, columns=[*entry.groupindex, "lines", "detail"])
    return table.assign(detail=["\n".join(detail) for detail in table["detail"]])


def pseudonymise(values, key):
    """Replace each identifier by its HMAC-SHA256 under a secret key.

    Parameters
    ----------
    values : array-like of str, shape (n,)
        Missing values stay missing. Equal identifiers get equal pseudonyms.
    key : bytes
        The secret; not empty. Best 32 random bytes, kept away from the data.

    Returns
    -------
    Series of shape (n,)
        64 hexadecimal digits each, with the index of `values` if that is a Series.

    Raises
    ------
    TypeError
        If key is not bytes, values is None or a single text, or a value is no text.
    ValueError
        If key is empty.

    References
    ----------
    Chapter 02, Data sources. RFC 2104 (HMAC); RFC 4231 (test vectors).

    Examples
    --------
    >>> from mlsys_helpers.data_engineering import pseudonymise
    >>> secret = bytes.fromhex("4a656665")
    >>> pseudonymise(["what do ya want for nothing?"], secret)[0][:16]
    '5bdcc146bf60754e'
    """
    if not isinstance(key, (bytes, bytearray)):
        raise TypeError(f"key must be bytes, got {type(key).__name__}")
    if not key:
        raise ValueError("key is empty: then anybody can compute the pseudonyms")
    if values is None or isinstance(values, str):
        raise TypeError(f"values must be an array of text, got {values!r}")
    values = pd.Series(values)
    distinct = values.dropna().unique()
    for value in distinct:
        if not isinstance(value, str):
            raise TypeError(f"values must hold text, got {_checks._plain(value)!r}")
    digests = {v: hmac.new(key, v.encode(), hashlib.sha256).hexdigest() for v in distinct}
    return values.map(digests).astype("str")


# --- Data format -----------------------------------------------------------------------------


def hexdump(data, start=0, width=16):
    """Bytes as people look at them: the position, the bytes in hexadecimal, and as text.

    Parameters
    ----------
    data : bytes
    start : int, default 0
        The position of the first byte in its file.
    width : int, default 16
        Bytes in a line, at least 1.

    Returns
    -------
    str
        One line for each `width` bytes; what is no printable ASCII character is a dot.

    Raises
    ------
    TypeError
        If data is not bytes.
    ValueError
        If start or width is out of range.

    References
    ----------
    Chapter 02, Data format.

    Examples
    --------
    >>> import struct
    >>> from mlsys_helpers.data_engineering import hexdump
    >>> print(hexdump(b"11,UA" + struct.pack("<d", 11.0)))
    00000000  31 31 2c 55 41 00 00 00 00 00 00 26 40           11,UA......&@
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data must be bytes, got {type(data).__name__}")
    start = _checks.whole_number(start, "start", low=0)
    width = _checks.whole_number(width, "width")
    data = bytes(data)
    lines = []
    for at in range(0, len(data), width):
        part = data[at : at + width]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start + at:08x}  {part.hex(' '):{3 * width - 1}}  {text}")
    return "\n".join(lines)


class _CountingFile(io.FileIO):
    """A file open for reading that remembers which bytes were asked for."""

    def __init__(self, path):
        super().__init__(path)
        self.ranges = []

    def read(self, size=-1):
        start = self.tell()
        data = super().read(size)
        self.ranges.append((start, len(data)))
        return data


def _write_csv(table, path, append=False):
    options = pa.csv.WriteOptions(include_header=not append)
    with open(path, "ab" if append else "wb") as file:
        pa.csv.write_csv(table, file, options)


def _read_csv(file, columns, schema):
    options = pa.csv.ConvertOptions(
        include_columns=columns or [],
        column_types=schema,
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    parsing = pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
    return pa.csv.read_csv(file, parse_options=parsing, convert_options=options)


def _write_json(table, path, append=False):
    part = path.with_suffix(".part")
    with _open_database() as connection:
        connection.register("rows", table)
        connection.execute(f"COPY rows TO {_quoted(part)} (FORMAT json)")
    with open(path, "ab" if append else "wb") as file:
        file.write(part.read_bytes())
    part.unlink()


def _read_json(file, columns, schema):
    if schema and columns:
        schema = pa.schema([schema.field(name) for name in columns])
    unexpected = "ignore" if schema else "infer"
    options = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected)
    table = pa.json.read_json(file, parse_options=options)
    return table.select(columns or table.column_names)


def _write_avro(table, path, append=False):
    import fastavro

    with open(path, "a+b" if append else "wb") as file:
        fastavro.writer(file, None if append else _avro_schema(table), _avro_records(table))


def _avro_records(table):
    names = table.column_names
    for start in range(0, len(table), 50_000):  # a part at a time, to save memory
        part = table.slice(start, 50_000).columns
        values = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in part]
        for row in zip(*(column.to_pylist() for column in values), strict=True):
            yield dict(zip(names, row, strict=True))


def _avro_schema(table):
    fields = []
    for field in table.schema:
        kind = {"int64": "long", "double": "double", "bool": "boolean"}.get(
            str(field.type), "string"
        )
        if pa.types.is_timestamp(field.type):
            kind = {"type": "long", "logicalType": "timestamp-micros"}
        nullable = table[field.name].null_count > 0
        fields.append({"name": field.name, "type": ["null", kind] if nullable else kind})
    return {"type": "record", "name": "row", "fields": fields}


def _read_avro(file, columns, schema):
    import fastavro

    reader = fastavro.reader(file)
    if columns:
        fields = [field for field in reader.writer_schema["fields"] if field["name"] in columns]
        file.seek(0)
        reader = fastavro.reader(file, {**reader.writer_schema, "fields": fields})
    if schema and columns:
        schema = pa.schema([schema.field(name) for name in columns])
    parts = []
    while rows := list(islice(reader, 50_000)):
        parts.append(pa.Table.from_pylist(rows, schema=schema))
    return pa.concat_tables(parts, promote_options="permissive")


def _write_parquet(table, path, append=False):
    if append:  # what is there cannot be added to: read it all, write it all
        table = pa.concat_tables([pa.parquet.read_table(path), table])
    pa.parquet.write_table(table, path, row_group_size=50_000)


def _read_parquet(file, columns, schema):
    return pa.parquet.read_table(file, columns=columns)


def _write_arrow(table, path, append=False):
    if append:
        with open(path, "rb") as file:
            table = pa.concat_tables([pa.ipc.open_file(file).read_all(), table])
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


def _read_arrow(file, columns, schema):
    reader = pa.ipc.open_file(file)
    if columns:
        wanted = [reader.schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=wanted)
        reader = pa.ipc.open_file(file, options=options)
    return reader.read_all()


class _Format(NamedTuple):
    suffix: str
    write: object
    read: object
    grows: bool  # whether rows can be added at the end of the file


_FORMATS = {
    "CSV": _Format(".csv", _write_csv, _read_csv, True),
    "JSON lines": _Format(".jsonl", _write_json, _read_json, True),
    "Avro": _Format(".avro", _write_avro, _read_avro, True),
    "Parquet": _Format(".parquet", _write_parquet, _read_parquet, False),
    "Arrow": _Format(".arrow", _write_arrow, _read_arrow, False),
}
_WORKLOADS = ("write", "append", "read all", "read one column")


def compare_formats(frame, folder, formats=None, workloads=None, column=None, progress=True):
    """Write, extend and read a table in several file formats; count seconds and bytes.

    Whatever is read is compared with the frame; a format that gave back anything else would
    raise. The files stay in the folder, so that a second call can read what a first one wrote.

    Parameters
    ----------
    frame : DataFrame of shape (n, m)
        Columns of int64, finite float64, bool, str or UTC timestamps in microseconds. The index
        is not kept.
    folder : path
        An existing folder for the files ``table.csv``, ``table.parquet`` and so on.
    formats : sequence of {"CSV", "JSON lines", "Avro", "Parquet", "Arrow"}, default all
    workloads : sequence of {"write", "append", "read all", "read one column"}, default all
        "append" adds the first 1,000 rows again, to a copy of the file.
    column : str, optional
        The one to read; by default the first.
    progress : bool, default True
        Show a bar.

    Returns
    -------
    DataFrame, one row a format and workload
        ``format``, ``workload``, ``seconds``, and ``bytes``: as many as were written to the
        file, or read from it.

    Raises
    ------
    TypeError
        If frame is no DataFrame.
    ValueError
        If the frame is empty or holds another type, the folder does not exist, a name is unknown,
        or a file does not give back the frame.

    References
    ----------
    Chapter 02, Data format.

    Examples
    --------
    >>> from mlsys_helpers.data_engineering import ScratchFolder, compare_formats
    >>> from mlsys_helpers.datasets import load_airports
    >>> with ScratchFolder() as folder:
    ...     table = compare_formats(load_airports(), folder.path, ["CSV", "Arrow"], progress=False)
    >>> table.groupby("format")["bytes"].last().idxmin()  # to read one column
    'Arrow'
    """
    table = _arrow_table(frame)
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"folder must be an existing folder, got {str(folder)!r}")
    formats = _names(formats, "formats", tuple(_FORMATS))
    workloads = _names(workloads, "workloads", _WORKLOADS)
    if column is None:
        column = table.column_names[0]
    _checks.one_of(column, "column", tuple(table.column_names))
    tasks = [
        (name, workload) for name in formats for workload in _WORKLOADS if workload in workloads
    ]
    rows = []
    for name, workload in tqdm(tasks, desc="formats", disable=not progress):
        path = folder / f"table{_FORMATS[name].suffix}"
        if workload != "write" and not path.exists():
            _FORMATS[name].write(table, path)
        measure = {"write": _time_write, "append": _time_append}.get(workload, _time_read)
        one = [column] if workload == "read one column" else None
        seconds, n_bytes = measure(name, table, path, one)
        rows.append({"format": name, "workload": workload, "seconds": seconds, "bytes": n_bytes})
    return pd.DataFrame(rows)


def _arrow_table(frame):
    _checks_frame(frame, "frame")
    if frame.empty:
        raise ValueError(f"frame is empty: {frame.shape[0]} rows, {frame.shape[1]} columns")
    for name, values in frame.items():
        kind = str(values.dtype)
        if kind not in ("int64", "float64", "bool", "str", "datetime64[us, UTC]"):
            raise ValueError(
                f"frame must hold int64, float64, bool, str and UTC timestamps in microseconds, "
                f"got {kind} in {name!r}"
            )
        if kind == "float64" and np.isinf(values).any():
            raise ValueError(f"frame must hold finite numbers, got infinity in {name!r}")
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _names(given, argument, allowed):
    if given is None:
        return allowed
    if isinstance(given, str) or not len(given):
        raise ValueError(f"{argument} must be a list of {', '.join(map(repr, allowed))}")
    return [_checks.one_of(name, argument, allowed) for name in given]


def _time_write(name, table, path, columns):
    start = time.perf_counter()
    _FORMATS[name].write(table, path)
    return time.perf_counter() - start, path.stat().st_size


def _time_append(name, table, path, columns):
    kind = _FORMATS[name]
    copy = path.with_name(f"appended{kind.suffix}")
    shutil.copyfile(path, copy)
    start = time.perf_counter()
    kind.write(table.slice(0, 1000), copy, append=True)
    seconds, n_bytes = time.perf_counter() - start, copy.stat().st_size
    copy.unlink()
    return seconds, n_bytes - path.stat().st_size if kind.grows else n_bytes


def _time_read(name, table, path, columns):
    start = time.perf_counter()
    frame, ranges = read_counted(path, columns, table.schema)
    seconds = time.perf_counter() - start
    if not frame.equals(table.select(columns or table.column_names).to_pandas()):
        raise ValueError(f"{path.name} holds another table than frame: write it first")
    return seconds, int(ranges[:, 1].sum())


def read_counted(path, columns=None, schema=None):
    """Read a file, or some of its columns, and tell which of its bytes were read.

    Parameters
    ----------
    path : path
        Its suffix names the format: .csv, .jsonl, .avro, .parquet or .arrow.
    columns : sequence of str, optional
        The columns to read, all by default.
    schema : pyarrow.Schema, optional
        The types of the columns, for the formats that do not store them. Guessed by default.

    Returns
    -------
    frame : DataFrame
    ranges : ndarray of shape (r, 2)
        First byte and number of bytes of each read, in the order of the file.

    Raises
    ------
    TypeError
        If columns is a single text.
    ValueError
        If the suffix is unknown, or the file has no such column.
    FileNotFoundError
        If there is no such file.

    References
    ----------
    Chapter 02, Data format. Apache Parquet, File format specification.

    Examples
    --------
    >>> from mlsys_helpers.data_engineering import ScratchFolder, read_counted
    >>> from mlsys_helpers.datasets import load_weather
    >>> with ScratchFolder() as folder:
    ...     load_weather().to_parquet(folder.path / "w.parquet")
    ...     _, all_of_it = read_counted(folder.path / "w.parquet")
    ...     _, one_column = read_counted(folder.path / "w.parquet", ["temp"])
    >>> print(one_column[:, 1].sum() < all_of_it[:, 1].sum() / 3)
    True
    """
    path = Path(path)
    readers = {kind.suffix: kind.read for kind in _FORMATS.values()}
    _checks.one_of(path.suffix, "the suffix of path", tuple(readers))
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names, got the text {columns!r}")
    columns = None if columns is None else list(columns)
    with _CountingFile(path) as file:
        try:
            table = readers[path.suffix](file, columns, schema)
        except (KeyError, IndexError, TypeError, pa.ArrowInvalid) as error:
            if columns is None:
                raise
            raise ValueError(f"columns must be among those of {path.name}: {error}") from None
        ranges = np.array(sorted(file.ranges), dtype=int).reshape(-1, 2)
    missing = [name for name in columns or [] if name not in table.column_names]
    if missing:
        raise ValueError(f"columns must be among those of {path.name}, got {missing[0]!r}")
    return table.to_pandas(), ranges[ranges[:, 1] > 0]


def plot_format_comparison(table, measure="seconds"):
    """Draw one panel a workload, one bar a format.

    Parameters
    ----------
    table : DataFrame
        As `compare_formats` gives it, or several of them one below the other.
    measure : {"seconds", "bytes"}, default "seconds"
        Bytes are drawn as megabytes.

    Returns
    -------
    ndarray of matplotlib Axes

    Raises
    ------
    ValueError
        If table has other columns, or measure another name.

    References
    ----------
    Chapter 02, Data format.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.data_engineering import plot_format_comparison
    >>> table = pd.DataFrame({"format": ["CSV"], "workload": ["write"], "seconds": [2.0]})
    >>> panels = plot_format_comparison(table)
    >>> panels[0].get_xlabel()
    's'
    """
    _checks.one_of(measure, "measure", ("seconds", "bytes"))
    _checks_frame(table, "table", ["format", "workload", measure])
    unit, scale = ("s", 1) if measure == "seconds" else ("MB", 1e6)
    wide = table.pivot(index="format", columns="workload", values=measure) / scale
    wide = wide.loc[table["format"].unique()[::-1], table["workload"].unique()]
    colors = [COLORS["orange" if _is_columnar(name) else "blue"] for name in wide.index]
    size = (3.1 * wide.shape[1], 2.9)
    _, panels = plt.subplots(1, wide.shape[1], figsize=size, sharey=True, squeeze=False)
    for ax, (workload, values) in zip(panels[0], wide.items(), strict=True):
        bars = ax.barh(values.index, values, color=colors)
        texts = [f"{value:.2g}" if value < 10 else f"{value:.0f}" for value in values]
        ax.bar_label(bars, texts, padding=4)
        ax.set(title=workload, xlabel=unit, xlim=(0, 1.3 * values.max() or 1))
        ax.grid(axis="y", visible=False)
    return panels[0]


def _is_columnar(name):
    return name in ("Parquet", "Arrow")


def plot_layout(frame, ax=None):
    """Draw a small table, and its values as they lie in a row-major and a column-major file.

    Parameters
    ----------
    frame : DataFrame of 1 to 4 rows and 1 to 4 columns
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError
        If frame is no DataFrame.
    ValueError
        If the frame is empty or larger.

    References
    ----------
    Chapter 02, Data format.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.data_engineering import plot_layout
    >>> ax = plot_layout(pd.DataFrame({"dest": ["IAH", "MIA"], "miles": [1400, 1089]}))
    >>> sorted({text.get_text() for text in ax.texts[:-2]})
    ['1089', '1400', 'IAH', 'MIA', 'dest', 'miles']
    """
    _checks_frame(frame, "frame")
    n, m = frame.shape
    if not (1 <= n <= 4 and 1 <= m <= 4):
        raise ValueError(f"frame must have 1 to 4 rows and columns, got {n} and {m}")
    ax = get_axes(ax, figsize=(10, 3.6))
    palette = [COLORS[name] + "66" for name in ("blue", "orange", "green", "purple")]

    def strip(x, y, text, column):
        ax.barh(y, 1, left=x, color=palette[column], edgecolor="white")
        ax.text(x + 0.5, y, text, ha="center", va="center", size=10)

    left = (n - 1) * m / 2
    for column, name in enumerate(frame):
        strip(left + column, 0, name, column)
        ax.texts[-1].set_fontweight("bold")
        for row, value in enumerate(frame[name]):
            strip(left + column, row + 1, value, column)
            strip(row * m + column, n + 2.7, value, column)
            strip(column * n + row, n + 5, value, column)
    ax.text(0, n + 2.1, "row-major: row after row (CSV, JSON lines, Avro)", weight="bold")
    ax.text(0, n + 4.4, "column-major: column after column (Parquet, Arrow)", weight="bold")
    ax.set(xlim=(0, n * m), ylim=(n + 5.5, -0.5))
    ax.set_axis_off()
    return ax


def plot_touched(reads, ax=None):
    """Draw each file as a bar, and over it the bytes that a read has touched.

    Parameters
    ----------
    reads : dict of str to (int, array of shape (r, 2))
        For each name the size of the file in bytes, and the ranges as `read_counted` gives them.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError
        If reads is no dict.
    ValueError
        If it is empty, a size is below 1, or a range is not of numbers of at least 0 or
        reaches past the end.

    References
    ----------
    Chapter 02, Data format.

    Examples
    --------
    >>> from mlsys_helpers.data_engineering import plot_touched
    >>> ax = plot_touched({"CSV": (2_000_000, [(0, 2_000_000)]), "Parquet": (500_000, [(9, 1000)])})
    >>> [text.get_text() for text in ax.texts]
    ['2 of 2 MB', '0.001 of 0.5 MB']
    """
    if not isinstance(reads, Mapping):
        raise TypeError(f"reads must be a dict, got {type(reads).__name__}")
    if not reads:
        raise ValueError("reads is empty")
    for name, (size, ranges) in reads.items():
        _checks.whole_number(size, f"the size of {name}")
        ranges = np.reshape(ranges, (-1, 2))
        if not np.all(ranges >= 0):
            raise ValueError(f"the ranges of {name} must hold numbers of at least 0")
        if np.any(np.sum(ranges, axis=1) > size):
            raise ValueError(f"the ranges of {name} reach past its end at {size}")
    ax = get_axes(ax, figsize=(9, 0.6 * len(reads) + 1))
    for y, (name, (size, ranges)) in enumerate(reads.items()):
        ranges = np.reshape(ranges, (-1, 2)) / size
        color = COLORS["orange" if _is_columnar(name) else "blue"]
        ax.barh(y, 1, height=0.6, color=COLORS["light"])
        ax.broken_barh(ranges, (y - 0.3, 0.6), facecolor=color, edgecolor=color, linewidth=1)
        text = f"{ranges[:, 1].sum() * size / 1e6:.3g} of {size / 1e6:.3g} MB"
        ax.annotate(text, (1, y), xytext=(6, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(reads)), list(reads))
    ax.set(xlim=(0, 1), xlabel="position in the file")
    ax.invert_yaxis()
    ax.grid(False)
    percent_axis(ax, "x")
    return ax


# --- Relational model ------------------------------------------------------------------------

_TABLES = """
CREATE TABLE airlines (carrier VARCHAR PRIMARY KEY, name VARCHAR NOT NULL);
CREATE TABLE airports (
    faa VARCHAR PRIMARY KEY, name VARCHAR, lat DOUBLE, lon DOUBLE, alt BIGINT, tz BIGINT,
    dst VARCHAR, tzone VARCHAR,
    placeholder BOOLEAN NOT NULL);
CREATE TABLE planes (
    tailnum VARCHAR PRIMARY KEY, year DOUBLE, type VARCHAR, manufacturer VARCHAR, model VARCHAR,
    engines BIGINT, seats BIGINT, speed DOUBLE, engine VARCHAR,
    placeholder BOOLEAN NOT NULL);
CREATE TABLE weather (
    origin VARCHAR REFERENCES airports (faa), year BIGINT, month BIGINT, day BIGINT, hour BIGINT,
    temp DOUBLE, dewp DOUBLE, humid DOUBLE, wind_dir DOUBLE, wind_speed DOUBLE, wind_gust DOUBLE,
    precip DOUBLE, pressure DOUBLE, visib DOUBLE, time_hour TIMESTAMPTZ,
    placeholder BOOLEAN NOT NULL,
    PRIMARY KEY (origin, time_hour));
CREATE TABLE flights (
    year BIGINT, month BIGINT, day BIGINT, dep_time DOUBLE, sched_dep_time BIGINT NOT NULL,
    dep_delay DOUBLE, arr_time DOUBLE, sched_arr_time BIGINT NOT NULL, arr_delay DOUBLE,
    carrier VARCHAR REFERENCES airlines (carrier), flight BIGINT,
    tailnum VARCHAR REFERENCES planes (tailnum),
    origin VARCHAR NOT NULL REFERENCES airports (faa),
    dest VARCHAR NOT NULL REFERENCES airports (faa),
    air_time DOUBLE, distance BIGINT CHECK (distance > 0), hour BIGINT, minute BIGINT,
    time_hour TIMESTAMPTZ,
    PRIMARY KEY (time_hour, carrier, flight),
    FOREIGN KEY (origin, time_hour) REFERENCES weather (origin, time_hour));
"""

_ROWS = """
INSERT INTO airlines SELECT * FROM source_airlines;
INSERT INTO airports SELECT *, false FROM source_airports;
INSERT INTO airports BY NAME
    SELECT DISTINCT dest AS faa, true AS placeholder
    FROM source_flights WHERE dest NOT IN (SELECT faa FROM airports);
INSERT INTO planes SELECT *, false FROM source_planes;
INSERT INTO planes BY NAME
    SELECT DISTINCT tailnum, true AS placeholder
    FROM source_flights WHERE tailnum NOT IN (SELECT tailnum FROM planes);
INSERT INTO weather SELECT *, false FROM source_weather;
INSERT INTO weather BY NAME
    SELECT DISTINCT origin, time_hour, true AS placeholder
    FROM source_flights ANTI JOIN source_weather USING (origin, time_hour);
INSERT INTO flights SELECT * FROM source_flights;
"""


def flights_database(path=":memory:"):
    """The five tables of the flights data as a DuckDB database, with their keys.

    Flights refer to planes, airports and hours of weather that the other tables lack. Each of
    these gets a row that holds its key, nothing else, and ``placeholder = true``: the keys then
    hold, no flight is lost, and no fact is invented. A flight without tail number refers to no
    plane.

    Parameters
    ----------
    path : path, default ":memory:"
        A file that does not exist yet, or ":memory:".

    Returns
    -------
    duckdb.DuckDBPyConnection
        Tables ``airlines`` (16 rows), ``airports`` (1,458 and 4 placeholders), ``planes`` (3,322
        and 721), ``weather`` (26,115 and 108) and ``flights`` (336,776). Its time zone is UTC.
        Close it when done.

    Raises
    ------
    ValueError
        If the file exists, or its folder does not.

    References
    ----------
    Chapter 02, Relational model. E. F. Codd, "A relational model of data for large shared data
    banks", Communications of the ACM 13 (1970).

    Examples
    --------
    >>> from mlsys_helpers.data_engineering import flights_database
    >>> with flights_database() as database:
    ...     database.sql("SELECT count(*), count(tailnum) FROM flights").fetchall()
    [(336776, 334264)]
    """
    if str(path) != ":memory:":
        if Path(path).exists():
            raise ValueError(f"path must name a new file, {str(path)!r} exists")
        if not Path(path).parent.is_dir():
            raise ValueError(f"path must lie in an existing folder, got {str(path)!r}")
    connection = _open_database(path)
    connection.execute(_TABLES)
    names = ("airlines", "airports", "planes", "weather", "flights")
    for name in names:
        connection.register(f"source_{name}", getattr(datasets, f"load_{name}")())
    connection.execute(_ROWS)
    for name in names:
        connection.unregister(f"source_{name}")
    return connection


def _open_database(path=":memory:"):
    """A DuckDB that answers alike everywhere: times in UTC, no bar when the machine is busy."""
    connection = duckdb.connect(str(path))
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def dependency_violations(frame, determinant, dependent):
    """Where one value of the determinant goes with several values of the dependent column.

    An empty result means that the functional dependency holds in these rows.

    Parameters
    ----------
    frame : DataFrame
    determinant : str or list of str
        The columns that are to decide. Rows in which one of them is missing are left out.
    dependent : str
        The column that is to be decided. Missing counts as a value.

    Returns
    -------
    DataFrame
        One row for each determinant with more than one value: its columns, ``values`` (how many
        different ones), ``rows``.

    Raises
    ------
    TypeError
        If frame is no DataFrame.
    ValueError
        If a column is not there, determinant is empty, or one of its columns is named ``values``
        or ``rows``.

    References
    ----------
    Chapter 02, Relational model. E. F. Codd, "Further normalization of the data base relational
    model", IBM Research Report RJ909 (1971).

    Examples
    --------
    >>> from mlsys_helpers.data_engineering import dependency_violations
    >>> from mlsys_helpers.datasets import load_flights
    >>> len(dependency_violations(load_flights(), "sched_dep_time", "minute"))
    0
    """
    determinant = [determinant] if isinstance(determinant, str) else list(determinant)
    _checks_frame(frame, "frame", [*determinant, dependent])
    if not determinant or {"values", "rows"} & set(determinant):
        raise ValueError(
            f"determinant must be columns, none of them named 'values' or 'rows', got {determinant}"
        )
    groups = frame.groupby(determinant)[dependent]
    counts = pd.DataFrame({"values": groups.nunique(dropna=False), "rows": groups.size()})
    return counts[counts["values"] > 1].reset_index()


def query_plan(connection, sql):
    """What DuckDB would do for a query: its operators, each below the one that it feeds.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    sql : str
        One query. It is planned, not run.

    Returns
    -------
    list of str
        An operator each, with its table, filter or kind of join; indented under every join.
        Projections, which only pass on columns, are left out.

    Raises
    ------
    TypeError
        If connection is no DuckDB connection, or sql no text.
    ValueError
        If sql is not one statement.
    duckdb.Error
        If the query cannot be planned.

    References
    ----------
    Chapter 02, Relational model. P. G. Selinger et al., "Access path selection in a relational
    database management system", SIGMOD (1979).

    Examples
    --------
    >>> import duckdb
    >>> from mlsys_helpers.data_engineering import query_plan
    >>> with duckdb.connect() as connection:
    ...     _ = connection.execute("CREATE TABLE planes AS SELECT range AS seats FROM range(200)")
    ...     print(query_plan(connection, "SELECT * FROM planes WHERE seats > 99"))
    ['SEQ_SCAN planes, seats > 99']
    """
    _checks_connection(connection)
    if not isinstance(sql, str):
        raise TypeError(f"sql must be text, got {type(sql).__name__}")
    _refuse_several_statements(sql, "sql")
    ((_, plan),) = connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()

    def lines(node, depth):
        inside = depth
        if node["name"] != "PROJECTION":
            info = node["extra_info"]
            table = info.get("Table", "").rpartition(".")[2]
            facts = [table, str(info.get("Filters", "")).strip("()"), info.get("Join Type", "")]
            yield "  " * depth + f"{node['name']} {', '.join(filter(None, facts))}".strip()
            inside += len(node["children"]) > 1
        for child in node["children"]:
            yield from lines(child, inside)

    return [line for node in json.loads(plan) for line in lines(node, 0)]


# --- Documents and graphs --------------------------------------------------------------------

_DOCUMENTS = """
SELECT strftime(f.time_hour, '%Y-%m-%dT%H:%MZ ') || f.carrier || ' ' || f.flight AS _id,
    strftime(f.time_hour, '%Y-%m-%dT%H:%MZ') AS time_hour,
    f.* EXCLUDE (time_hour, origin, dest, tailnum),
    o AS origin, d AS dest, p AS plane, w AS weather
FROM flights f
    JOIN airports o ON f.origin = o.faa
    JOIN airports d ON f.dest = d.faa
    JOIN weather w ON f.origin = w.origin AND f.time_hour = w.time_hour
    LEFT JOIN planes p ON f.tailnum = p.tailnum
WHERE {where}
ORDER BY f.time_hour, f.carrier, f.flight
"""


def to_documents(connection, where="true"):
    """Each flight as one document that holds its plane, its weather and its airports.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        As `flights_database` gives it.
    where : str, default "true"
        Which flights: a condition in SQL, in which ``f`` stands for the flight, ``o`` and ``d``
        for the airports of origin and destination, ``p`` for the plane and ``w`` for the weather.

    Returns
    -------
    list of dict, one a flight, in the order of time, carrier and number
        ``_id`` (these three: its key), ``time_hour`` as text, the flight's own columns,
        ``origin`` and ``dest`` (documents with at least ``faa``), and, where known, ``plane``
        (with at least ``tailnum``) and ``weather``. A missing value has no field. `json.dumps`
        takes them as they are.

    Raises
    ------
    TypeError
        If connection is no DuckDB connection, or where no text.
    ValueError
        If where holds further statements.
    duckdb.Error
        If the condition is no SQL, or a table or column is not there.

    References
    ----------
    Chapter 02, NoSQL.

    Examples
    --------
    >>> from mlsys_helpers.data_engineering import flights_database, to_documents
    >>> with flights_database() as database:
    ...     (flight,) = to_documents(database, "f.flight = 1545 AND f.month = 1 AND f.day = 1")
    >>> flight["_id"], flight["plane"]["manufacturer"], flight["weather"]["temp"]
    ('2013-01-01T10:00Z UA 1545', 'BOEING', 39.02)
    """
    _checks_connection(connection)
    if not isinstance(where, str):
        raise TypeError(f"where must be a condition in SQL, got {type(where).__name__}")
    sql = _DOCUMENTS.format(where=where)
    _refuse_several_statements(sql, "where")
    rows = connection.sql(sql).to_arrow_table().to_pylist()
    for row in rows:
        for name in ("origin", "time_hour"):
            del row["weather"][name]  # the flight says so already
    return [_present(row) for row in rows]


def _present(document):
    """Without the fields that are missing, and the documents that are empty."""
    fields = {}
    for name, value in document.items():
        value = _present(value) if isinstance(value, dict) else value
        if name != "placeholder" and value is not None and value != {}:
            fields[name] = value
    return fields


def flight_graph(documents):
    """A property graph: flights, airports, planes and weather are nodes, what links them edges.

    Parameters
    ----------
    documents : list of dict
        As `to_documents` gives them.

    Returns
    -------
    networkx.Graph
        Each node has a ``kind`` ("flight", "airport", "plane" or "weather") and its properties.
        Each edge has a ``kind``: "from" and "to" (flight, airport), "flown by" (flight, plane),
        "in" (flight, weather), "route" (two airports). Edges have no direction: a route that is
        flown one way is taken to be flown back.

    Raises
    ------
    ValueError
        If documents is empty, one is no dict or lacks ``_id``, ``origin``, ``dest`` or a key
        of what it refers to, or one key stands for two kinds of node.

    References
    ----------
    Chapter 02, NoSQL. R. Angles and C. Gutierrez, "Survey of graph database models", ACM
    Computing Surveys 40 (2008).

    Examples
    --------
    >>> from mlsys_helpers.data_engineering import flight_graph
    >>> flight = {"_id": "1", "origin": {"faa": "JFK"}, "dest": {"faa": "BUR"}}
    >>> graph = flight_graph([flight])
    >>> graph.edges["JFK", "BUR"]["kind"], graph.nodes["1"]["kind"]
    ('route', 'flight')
    """
    import networkx as nx

    if not documents:
        raise ValueError("documents is empty")
    graph = nx.Graph()
    for document in documents:
        flight = _key(document, "_id")
        origin, dest = _key(document, "origin", "faa"), _key(document, "dest", "faa")
        own = {name: v for name, v in document.items() if not isinstance(v, dict) and name != "_id"}
        graph.add_node(flight, **own, kind="flight")
        links = {("from", origin): ("airport", document["origin"])}
        links["to", dest] = "airport", document["dest"]
        if "plane" in document:
            links["flown by", _key(document, "plane", "tailnum")] = "plane", document["plane"]
        if isinstance(document.get("weather"), Mapping):
            hour = f"{origin} {_key(document, 'time_hour')}"
            links["in", hour] = "weather", document["weather"]
        for (edge, node), (kind, properties) in links.items():
            other = graph.nodes.get(node, {}).get("kind", kind)
            if other != kind:
                raise ValueError(f"documents use the key {node!r} twice, as {other} and as {kind}")
            graph.add_node(node, **properties, kind=kind)
            graph.add_edge(flight, node, kind=edge)
        graph.add_edge(origin, dest, kind="route")
    return graph


def _key(document, *path):
    """The text or number at the end of a path of fields."""
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    if not isinstance(document, (str, int)):
        raise ValueError(f"documents must have text in {'.'.join(path)}, one has {document!r}")
    return document


# --- Warehouse and lake ----------------------------------------------------------------------


def etl(batches, schema, table, rejects, transform=None):
    """Extract, transform and load batches of rows into a Delta table; keep what is rejected.

    A batch that was loaded before is replaced, so that a job which died can simply run again.

    Parameters
    ----------
    batches : dict of str to DataFrame
        Raw rows by the name of their batch: letters, digits, ``.``, ``_`` and ``-``.
    schema : pandera.pandas.DataFrameSchema
        Rows that do not keep to it are rejected, with their reasons (`quarantine`); the others
        are converted to its types.
    table, rejects : path
        Folders of the Delta tables for the two, not the same one; made if they do not exist; of
        the columns that the batches have. Each gets a column
        ``batch``; the rejected rows are kept as text, with a column ``reason``.
    transform : function, optional
        Takes the valid rows of a batch and returns as many.

    Returns
    -------
    DataFrame, one row a batch
        ``read``, ``loaded`` and ``rejected``: rows that came, and rows that the two tables hold,
        counted there. In each row read = loaded + rejected.

    Raises
    ------
    TypeError
        If batches is no dict of DataFrames or schema no DataFrameSchema.
    ValueError
        If batches is empty, table and rejects are not two paths, a name is not of that form, a
        column is named ``batch`` or ``reason``, a batch does not fit the schema as a whole, or
        transform does not return as many rows as it was given; if a batch has other columns than
        the tables. The batches before that one are loaded, that one is not.
    RuntimeError
        If the counts do not add up after all.

    References
    ----------
    Chapter 02, Structured against unstructured data. M. Armbrust et al., "Delta Lake:
    high-performance ACID table storage over cloud object stores", PVLDB 13 (2020).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.data_engineering import ScratchFolder, etl, pandera
    >>> schema = pandera.DataFrameSchema({"miles": pandera.Column(float, coerce=True)})
    >>> raw = {"monday": pd.DataFrame({"miles": ["1400", "far"]})}
    >>> with ScratchFolder() as folder:
    ...     print(etl(raw, schema, folder.path / "flights", folder.path / "rejects"))
            read  loaded  rejected
    batch
    monday     2       1         1
    """
    if not isinstance(batches, Mapping):
        raise TypeError(f"batches must be a dict of DataFrames, got {type(batches).__name__}")
    if not batches:
        raise ValueError("batches is empty")
    for argument, path in (("table", table), ("rejects", rejects)):
        if not isinstance(path, (str, Path)) or not str(path):
            raise ValueError(f"{argument} must be the path of a folder, got {path!r}")
    if Path(table).resolve() == Path(rejects).resolve():
        raise ValueError(f"table and rejects must be two folders, got {str(table)!r} for both")
    for name, raw in batches.items():
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
            raise ValueError(f"batches must have names of letters and digits, got {name!r}")
        if "batch" in raw:
            raise ValueError(f"batch {name} must not have a column 'batch'")
    counts = []
    for name, raw in batches.items():
        valid, rejected = quarantine(raw, schema)
        rows = schema.validate(_without_categories(valid, schema))
        rows = rows if transform is None else transform(rows)
        if not isinstance(rows, pd.DataFrame) or len(rows) != len(valid):
            raise ValueError(f"transform must return the {len(valid)} rows it was given")
        if "batch" in rows:
            raise ValueError("transform must not return a column 'batch'")
        _checks_stored_columns(table, rows, f"table does not fit batch {name}")
        _checks_stored_columns(rejects, rejected, f"rejects does not fit batch {name}")
        loaded = _replace_batch(table, rows, name)
        kept = _replace_batch(rejects, rejected.astype("str"), name)
        counts.append({"batch": name, "read": len(raw), "loaded": loaded, "rejected": kept})
        if len(raw) != loaded + kept:
            raise RuntimeError(f"batch {name}: {len(raw)} rows read, {loaded} + {kept} stored")
    return pd.DataFrame(counts).set_index("batch")


def _checks_stored_columns(table, rows, complaint):
    """Refuse rows of other columns than the stored table, before anything is written."""
    import deltalake

    if deltalake.DeltaTable.is_deltatable(str(table)):
        stored = [field.name for field in deltalake.DeltaTable(str(table)).schema().fields]
        if set(stored) != {*rows, "batch"}:
            raise ValueError(f"{complaint}: it has {stored}, the batch {[*rows, 'batch']}")


def _replace_batch(table, rows, name):
    """Put the rows in the place of the batch's old ones, in one commit; count what is there."""
    import deltalake

    exists = deltalake.DeltaTable.is_deltatable(str(table))
    deltalake.write_deltalake(
        str(table),
        rows.reset_index(drop=True).assign(batch=name),
        mode="overwrite",
        predicate=f"batch = '{name}'" if exists else None,
    )
    stored = deltalake.DeltaTable(str(table))
    return len(stored.to_pandas(columns=["batch"], filters=[("batch", "=", name)]))


def _quoted(path):
    return "'" + str(path).replace("'", "''") + "'"


def _checks_connection(connection):
    if not isinstance(connection, duckdb.DuckDBPyConnection):
        kind = type(connection).__name__
        raise TypeError(f"connection must be a DuckDB connection, got {kind}")


def _refuse_several_statements(sql, name):
    count = len(duckdb.extract_statements(sql))
    if count != 1:
        raise ValueError(f"{name} must make one statement in SQL, got {count}")


def _checks_frame(frame, name, columns=()):
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{name} must be a DataFrame, got {type(frame).__name__}")
    for column in columns:
        if column not in frame:
            raise ValueError(f"{name} must have a column {column!r}, got {list(frame)}")
