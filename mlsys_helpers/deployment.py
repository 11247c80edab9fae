"""Chapter 15: how predictions reach the people who ask for them.

In the order of the chapter: a model and its contract in one file; a service that answers over
HTTP, and what load does to it; predictions made ahead and looked up; smaller models; and features
over a window of time that are defined once and computed twice, over a table and over a stream.

Times are numbers (of minutes, say) since a moment of your choice: one clock for a whole pipeline.
"""

import asyncio
import bisect
import hashlib
import io
import json
import math
import pickle
import time
import zipfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import sklearn
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)
from scipy import sparse
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score

from mlsys_helpers import _checks, _servers

__all__ = [
    "describe_columns",
    "ModelPackage",
    "create_app",
    "start_prediction_service",
    "load_test",
    "latency_summary",
    "PredictionStore",
    "predict_batch",
    "CompactNetwork",
    "prune_weights",
    "quantize_weights",
    "low_rank",
    "distil",
    "compress_report",
    "WindowFeature",
    "stream_features",
    "parity_report",
]

FORMAT = 1
TRUSTED = (  # what scikit-learn's boosted trees hold besides arrays; none of them runs when read
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
)
_MANIFEST, _MODEL = "manifest.json", "model.skops"
_LARGEST = 200_000_000  # bytes that a package may take, unpacked


# --- The package -------------------------------------------------------------------------------


class _Column(BaseModel):
    """What one column may hold."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    type: Literal["number", "integer", "category"]
    low: Annotated[float, Field(allow_inf_nan=False)] | None = None
    high: Annotated[float, Field(allow_inf_nan=False)] | None = None
    categories: list[str] | None = None
    nullable: bool = False

    @model_validator(mode="after")
    def _means_something(self):
        if self.type == "category" and not self.categories:
            raise ValueError("a category column needs categories")
        if self.type != "category" and (None in (self.low, self.high) or self.low > self.high):
            raise ValueError("a column of numbers needs low and high, low <= high")
        return self

    def annotation(self):
        """The column as a type of pydantic."""
        if self.type == "category":
            kind = Literal[tuple(self.categories)]
        else:
            low, high, kind = self.low, self.high, float
            if self.type == "integer":
                low, high, kind = math.ceil(low), math.floor(high), int
            kind = Annotated[kind, Field(ge=low, le=high, allow_inf_nan=False)]
        return (kind | None) if self.nullable else kind

    def array(self, values):
        """Values that keep to the contract, in the type that the model was trained on."""
        if self.type == "category":
            return pd.Categorical(values, categories=self.categories)
        return np.array(values, dtype=int if self.type == "integer" else float)


def describe_columns(X, *, ranges=None):
    """The contract of a model's columns, read off the rows that it is trained on.

    Parameters
    ----------
    X : DataFrame
        Columns of integers, floats and categories of strings.
    ranges : dict of str to (low, high), optional
        What a column may hold, where you know better than the rows do.

    Returns
    -------
    list of dict
        Per column ``name``; ``type`` ("number", "integer" or "category"); ``low`` and ``high``,
        by default the trained range, widened by half its width on both sides, but not below 0
        where no trained value is negative; ``categories``, those trained on; and ``nullable``,
        whether a trained value was missing.

    Raises
    ------
    ValueError
        If a column is empty, infinite, doubled or of another type, or `ranges` names no column
        of numbers or is no pair of low and high.

    References
    ----------
    Chapter 15, ML Deployment.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.deployment import describe_columns
    >>> rows = pd.DataFrame({"origin": pd.Categorical(["JFK", "EWR"]), "temp": [30.0, 50.0]})
    >>> [(c["name"], c["type"], c["low"], c["high"]) for c in describe_columns(rows)]
    [('origin', 'category', None, None), ('temp', 'number', 20.0, 60.0)]
    """
    if not isinstance(X, pd.DataFrame) or X.empty:
        raise ValueError("X must be a table of at least one row and one column")
    if not X.columns.is_unique or not all(isinstance(name, str) for name in X.columns):
        raise ValueError("the columns of X must be named by distinct strings")
    ranges = dict(ranges or {})
    for name, pair in ranges.items():
        if name not in X or hasattr(X[name], "cat") or np.shape(pair) != (2,):
            raise ValueError(f"ranges must give columns of numbers low and high, got {name!r}")
    columns = []
    for name, values in X.items():
        column = {"name": name, "nullable": bool(values.isna().any())}
        if hasattr(values, "cat"):
            column |= {"type": "category", "categories": values.cat.categories.tolist()}
        elif pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            known = _checks.numbers(values.dropna(), f"X[{name!r}]")
            low, high = known.min(), known.max()
            margin = (high - low) / 2
            floor = 0 if low >= 0 else -math.inf
            low, high = ranges.get(name, (max(low - margin, floor), high + margin))
            whole = pd.api.types.is_integer_dtype(values) and not column["nullable"]
            kind = "integer" if whole else "number"
            column |= {"type": kind, "low": low, "high": high}
        else:
            raise ValueError(
                f"X[{name!r}] must hold numbers or be a categorical, got {values.dtype}"
            )
        columns.append(_column(column).model_dump())
    return columns


def _column(given):
    try:
        return _Column.model_validate(given)
    except ValidationError as error:
        raise ValueError(f"columns cannot hold {given!r}: {error.errors()[0]['msg']}") from None


class ModelPackage:
    """A model with its columns and version, in one file that runs no code when it is read.

    Parameters
    ----------
    model : fitted classifier of two classes
        Trained on a table with the columns of `columns`.
    columns : list of dict
        From `describe_columns`.
    name, version : str
        What the service calls itself.

    Attributes
    ----------
    digest : str or None
        SHA-256 of the file that it was loaded from, in hexadecimal digits.

    Methods
    -------
    check(X)
        The package's columns of a table, in order and in the trained types. Other columns are
        left out.
    predict(X)
        Series of the probability of class 1, under the index of X.
    save(path)
        Write the file; return its digest. A file that is there is replaced in one stroke.
    load(path, version=None, digest=None, trusted=TRUSTED)
        Read a file (class method). Give the `digest` that `save` returned, kept elsewhere than
        the file: then no change at all goes unnoticed.

    Raises
    ------
    ValueError
        By the constructor, if the model is no fitted classifier of two classes or was trained on
        other columns, or a column of the contract makes no sense. By ``check`` and ``predict``,
        if a column is missing or holds what the contract forbids. By ``load``, if the file is no
        package, is damaged, lacks a file or holds one too many, has another format, version or
        digest than wanted, was made with another release of scikit-learn, or holds a type that
        is not `trusted`.

    Notes
    -----
    The file is a zip of ``manifest.json`` (format, name, version, columns, library versions and
    the SHA-256 of the model) and ``model.skops``. It is read in memory and never unpacked to disk.

    References
    ----------
    Chapter 15, ML Deployment. The skops documentation, "Secure persistence with skops".

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.deployment import ModelPackage, describe_columns
    >>> X, y = load_breast_cancer()
    >>> X = X[["mean radius", "mean texture"]]
    >>> model = LogisticRegression().fit(X, y)
    >>> package = ModelPackage(model, describe_columns(X), name="tumours", version="1")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     digest = package.save(f"{folder}/tumours.zip")
    ...     loaded = ModelPackage.load(f"{folder}/tumours.zip", version="1", digest=digest)
    >>> loaded.predict(X).equals(package.predict(X))
    True
    """

    def __init__(self, model, columns, *, name, version):
        for text, argument in ((name, "name"), (version, "version")):
            if not isinstance(text, str) or not text:
                raise ValueError(f"{argument} must be a string that is not empty, got {text!r}")
        self.model, self.name, self.version, self.digest = model, name, version, None
        self.columns = [_column(column) for column in columns]
        if len(getattr(model, "classes_", ())) != 2 or not hasattr(model, "predict_proba"):
            raise ValueError("model must be a fitted classifier of two classes")
        if not hasattr(model, "feature_names_in_"):
            raise ValueError("model must have been trained on a table, whose columns have names")
        names, trained = [column.name for column in self.columns], list(model.feature_names_in_)
        for missing in [name for name in trained if name not in names]:
            raise ValueError(f"columns lack {missing!r}, which the model was trained on")
        if names != trained:
            raise ValueError(f"columns must be those of the model, in order: {', '.join(trained)}")
        self._row = create_model(
            "Row",
            __config__=ConfigDict(strict=True, extra="forbid"),
            **{
                f"column_{i}": (column.annotation(), Field(alias=column.name))
                for i, column in enumerate(self.columns)
            },
        )
        self._rows = TypeAdapter(list[self._row])

    def check(self, X):
        names = [column.name for column in self.columns]
        if not isinstance(X, pd.DataFrame) or len(X) == 0:
            raise ValueError("X is empty, or no table")
        _require(X, names, "X")
        plain = X[names].astype(object)
        try:
            self._rows.validate_python(plain.where(plain.notna(), None).to_dict("records"))
        except ValidationError as error:
            (row, name, *_), first = error.errors()[0]["loc"], error.errors()[0]
            where = f"X[{name!r}] in row {X.index[row]!s}"
            raise ValueError(f"{where}: {first['msg']}, got {first['input']!r}") from None
        return self._table(X).set_axis(X.index)

    def _table(self, values):
        return pd.DataFrame(
            {column.name: column.array(values[column.name]) for column in self.columns}
        )

    def predict(self, X):
        p = self.model.predict_proba(self.check(X))[:, 1]
        return pd.Series(p, X.index, name="probability")

    def _predict_rows(self, rows):
        """The same for rows that have kept to the contract already."""
        values = {c.name: [row[c.name] for row in rows] for c in self.columns}
        return self.model.predict_proba(self._table(values))[:, 1].tolist()

    def save(self, path):
        import skops.io

        model = skops.io.dumps(self.model)
        manifest = _Manifest(
            format=FORMAT,
            name=self.name,
            version=self.version,
            columns=self.columns,
            libraries={"scikit-learn": sklearn.__version__, "numpy": np.__version__},
            files={_MODEL: _sha256(model)},
        )
        buffer, path = io.BytesIO(), Path(path)
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_MANIFEST, manifest.model_dump_json(indent=2))
            archive.writestr(_MODEL, model)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(buffer.getvalue())
        part.replace(path)
        return _sha256(buffer.getvalue())

    @classmethod
    def load(cls, path, *, version=None, digest=None, trusted=TRUSTED):
        path = Path(path)
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"{path.name} is larger than {_LARGEST:,} bytes")
        raw = path.read_bytes()
        found = _sha256(raw)
        if digest is not None and digest != found:
            raise ValueError(f"{path.name} has the digest {found[:12]}…, wanted {digest[:12]}…")
        files = _unzip(raw, path.name)
        manifest = _read_manifest(files.pop(_MANIFEST), path.name)
        if version is not None and manifest.version != version:
            raise ValueError(f"{path.name} holds version {manifest.version}, wanted {version}")
        for name, content in files.items():
            if _sha256(content) != manifest.files.get(name):
                raise ValueError(f"{name} in {path.name} is not the file that was packed")
        model = _read_model(files[_MODEL], path.name, trusted)
        package = cls(model, manifest.columns, name=manifest.name, version=manifest.version)
        package.digest = found
        return package


class _Manifest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    format: int
    name: str
    version: str
    columns: list[_Column]
    libraries: dict[str, str]
    files: dict[str, str]


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def _unzip(raw, name):
    """The files of a package, in memory; refused unless they are those of a package."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
            found = [entry.filename for entry in entries]
            for strange in set(found) - {_MANIFEST, _MODEL}:
                raise ValueError(f"{name} holds {strange!r}, which is no part of a package")
            for missing in {_MANIFEST, _MODEL} - set(found):
                raise ValueError(f"{name} lacks {missing}")
            if len(found) != 2 or sum(entry.file_size for entry in entries) > _LARGEST:
                raise ValueError(f"{name} holds a file twice, or over {_LARGEST:,} bytes")
            return {entry.filename: archive.read(entry) for entry in entries}
    except ValueError:
        raise
    except Exception as error:  # zipfile and zlib have many ways to say so
        raise ValueError(f"{name} is no package, or damaged: {error}") from None


def _read_manifest(content, name):
    try:
        given = json.loads(content)
        if given["format"] != FORMAT:
            raise ValueError(f"{name} has format {given['format']}, this reads format {FORMAT}")
        manifest = _Manifest.model_validate_json(content)
    except (KeyError, TypeError, ValidationError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{_MANIFEST} in {name} is no manifest: {error}") from None
    made, here = manifest.libraries.get("scikit-learn", "an unknown release"), sklearn.__version__
    if made.split(".")[:2] != here.split(".")[:2]:
        raise ValueError(
            f"{name} was made with scikit-learn {made}, here is {here}: a model is read by the "
            "release that wrote it"
        )
    return manifest


def _read_model(content, name, trusted):
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # what skops writes is a zip, too
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _LARGEST:
            raise ValueError(f"it takes over {_LARGEST:,} bytes, unpacked")
        return skops.io.loads(content, trusted=list(trusted))
    except UntrustedTypesFoundException as error:
        raise ValueError(f"{_MODEL} in {name} holds types that are not trusted: {error}") from None
    except Exception as error:  # whatever is wrong in there, it is not a model
        raise ValueError(f"{_MODEL} in {name} cannot be read: {error}") from None


# --- The service -------------------------------------------------------------------------------


def create_app(
    package,
    *,
    max_batch=64,
    max_wait=0.0,
    max_rows=1000,
    max_bytes=1_000_000,
    max_waiting=1000,
    read_timeout=5.0,
):
    """A web application that answers with a package's predictions.

    ``POST /predict`` takes ``{"rows": [{column: value, …}, …]}`` and gives ``probability``, a list,
    and ``version``. ``GET /health`` says that the process answers, ``/ready`` whether it can
    predict (503 if not), and ``/version`` what it predicts with.

    Parameters
    ----------
    package : ModelPackage
    max_batch : int, default 64
        Requests that wait together are scored by one call until it holds so many rows; with 1,
        each request is scored alone.
    max_wait : float, default 0
        Seconds that a request waits for others to join it; with 0, only those are taken that came
        while the former call ran.
    max_rows, max_bytes : int
        How much one request may hold.
    max_waiting : int, default 1000
        Requests that may wait; more are sent away with 503 at once.
    read_timeout : float, default 5.0
        Seconds in which the body must have come; then 408.

    Returns
    -------
    fastapi.FastAPI

    Raises
    ------
    TypeError
        If `package` is none.
    ValueError
        If an argument is out of range.

    Notes
    -----
    400: the body is no JSON. 413: it is too large, noticed while it is read. 415: it does not say
    that it is JSON. 422: a field is missing, unknown, of a wrong type, not finite, out of range or
    of a category that was not trained on; or there are too many rows. Each names the ``field``.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction. D. Crankshaw et al., "Clipper: a
    low-latency online prediction serving system", NSDI (2017).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.deployment import ModelPackage, create_app, describe_columns
    >>> X, y = load_breast_cancer()
    >>> X = X[["mean radius"]]
    >>> model = LogisticRegression().fit(X, y)
    >>> package = ModelPackage(model, describe_columns(X), name="tumours", version="1")
    >>> app = create_app(package, max_batch=32)  # for `uvicorn.run(app)`
    >>> print(app.title, app.version, "/predict" in app.openapi()["paths"])
    tumours 1 True
    """
    from fastapi import FastAPI, HTTPException, Request

    if not isinstance(package, ModelPackage):
        raise TypeError(f"package must be a ModelPackage, got {package!r}")
    _checks.number(read_timeout, "read_timeout", low=0, open_low=True)
    _checks.whole_number(max_bytes, "max_bytes")
    limits = Field(min_length=1, max_length=_checks.whole_number(max_rows, "max_rows"))
    Body = create_model(
        "Body",
        __config__=ConfigDict(extra="forbid"),
        rows=(Annotated[list[package._row], limits], ...),
    )
    batcher = _Batcher(package._predict_rows, max_batch, max_wait, max_waiting)

    @asynccontextmanager
    async def lifespan(app):
        batcher.start()
        yield
        batcher.task.cancel()

    app = FastAPI(title=package.name, version=package.version, lifespan=lifespan)
    app.state.batcher = batcher

    @app.post("/predict")
    async def predict(request: Request):
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise _refused(415, ("content-type", f"must be application/json, got {kind!r}"))
        try:
            async with asyncio.timeout(read_timeout):
                body = await _read_body(request, max_bytes)
            rows = Body.model_validate_json(body).model_dump(by_alias=True)["rows"]
        except TimeoutError:
            raise _refused(408, ("body", f"did not come in {read_timeout:g} seconds")) from None
        except ValidationError as error:
            raise _broken(error) from None
        try:
            return {"probability": await batcher.score(rows), "version": package.version}
        except asyncio.QueueFull:
            raise HTTPException(503, "too many wait already", {"Retry-After": "1"}) from None

    @app.get("/health")
    async def health():
        return {"status": "alive", "calls": batcher.calls}

    @app.get("/ready")
    async def ready():
        if batcher.task.done() or batcher.queue.full():
            raise HTTPException(503, "cannot predict now")
        return {"status": "ready"}

    @app.get("/version")
    async def version():
        return {"name": package.name, "version": package.version, "digest": package.digest}

    return app


async def _read_body(request, max_bytes):
    body = b""
    async for chunk in request.stream():  # a length may be missing, or a lie: count what comes
        body += chunk
        if len(body) > max_bytes:
            raise _refused(413, ("body", f"must be at most {max_bytes} bytes"))
    return body


def _refused(status, *problems):
    from fastapi import HTTPException

    return HTTPException(status, [{"field": name, "problem": what} for name, what in problems])


def _broken(error):
    """What pydantic found, at most ten of it, without the values that came."""
    found = error.errors(include_input=False)[:10]
    status = 400 if found[0]["type"] == "json_invalid" else 422
    return _refused(status, *((".".join(map(str, e["loc"])) or "body", e["msg"]) for e in found))


class _Batcher:
    """Scores the requests that wait together by one call."""

    def __init__(self, predict, max_batch, max_wait, max_waiting):
        self.predict = predict
        self.max_batch = _checks.whole_number(max_batch, "max_batch")
        self.max_wait = _checks.number(max_wait, "max_wait", low=0, high=1)
        self.queue = asyncio.Queue(_checks.whole_number(max_waiting, "max_waiting"))
        self.calls = 0

    def start(self):
        self.task = asyncio.create_task(self._run())

    async def score(self, rows):
        answer = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((rows, answer))
        return await answer

    async def _run(self):
        while True:
            batch = await self._collect()
            rows = [row for part, _ in batch for row in part]
            self.calls += 1
            try:  # in a thread, so that the loop goes on reading and answering
                scores = iter(await asyncio.to_thread(self.predict, rows))
            except Exception as error:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for part, answer in batch:
                result = [next(scores) for _ in part]
                if not answer.done():  # the client is still there
                    answer.set_result(result)

    async def _collect(self):
        """The first request, and those that join it in time."""
        batch = [await self.queue.get()]
        n_rows = len(batch[0][0])
        with suppress(TimeoutError):
            async with asyncio.timeout(self.max_wait):  # an empty queue ends it, not a full one
                while n_rows < self.max_batch:
                    batch.append(await self.queue.get())
                    n_rows += len(batch[-1][0])
        return batch


def _run_service(path, digest, options):
    package = ModelPackage.load(path, digest=digest)
    _servers.serve(create_app(package, **options))


def start_prediction_service(path, *, digest=None, **options):
    """Serve a package from a process of its own, on a free port of the loopback address.

    Parameters
    ----------
    path : str or Path
        A file of `ModelPackage.save`.
    digest : str, optional
        What ``save`` returned.
    **options
        Passed to `create_app`.

    Returns
    -------
    process
        With ``url``, ``pid``, ``log``, ``kill()`` and ``stop()``; also a context manager.

    Raises
    ------
    ServerError
        If the package is refused or the service does not come up, with its own words.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction.

    Examples
    --------
    >>> import tempfile
    >>> import httpx
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.deployment import (
    ...     ModelPackage, describe_columns, start_prediction_service
    ... )
    >>> X, y = load_breast_cancer()
    >>> X = X[["mean radius"]]
    >>> model = LogisticRegression().fit(X, y)
    >>> package = ModelPackage(model, describe_columns(X), name="tumours", version="1")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     digest = package.save(f"{folder}/tumours.zip")
    ...     with start_prediction_service(f"{folder}/tumours.zip", digest=digest) as service:
    ...         httpx.get(f"{service.url}/version").json()["digest"] == digest
    True
    """
    path = str(Path(path).resolve())
    return _servers.start_service(_run_service, path, digest, options, name="the service")


def load_test(url, bodies, *, clients=8, requests=200, rate=None, seconds=10.0):
    """Time the answers of a service to many clients at once.

    Parameters
    ----------
    url : str
        Where the bodies are posted to.
    bodies : list
        Bodies that JSON can hold; they are sent in turn, again from the first when all are sent.
    clients : int, default 8
        How many requests may be under way at once.
    requests : int, default 200
        How many are sent in all.
    rate : float, optional
        Requests a second. Without it the loop is *closed*: a client sends its next request when
        the last one is answered, so a slow service is asked less. With it the loop is *open*:
        each request is due at a moment of its own, whatever became of those before it.
    seconds : float, default 10.0
        No request is sent after so many seconds. One that takes over 10 seconds has failed.

    Returns
    -------
    DataFrame
        A row per request: ``due_s``, seconds since the start; ``latency_ms`` from that moment to
        the answer; ``service_ms`` from the moment of sending (the same in a closed loop); and the
        ``status``, 0 if there was no answer.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction. B. Schroeder, A. Wierman and M.
    Harchol-Balter, "Open versus closed: a cautionary tale", NSDI (2006). G. Tene, "How not to
    measure latency" (2013), on coordinated omission.

    Examples
    --------
    >>> from mlsys_helpers.dataflow import start_rest
    >>> from mlsys_helpers.deployment import load_test
    >>> with start_rest() as service:
    ...     timings = load_test(f"{service.url}/flights", [{"number": 1}], clients=2, requests=10)
    >>> len(timings), timings["status"].unique().tolist()
    (10, [422])
    """
    import httpx

    clients = _checks.whole_number(clients, "clients")
    requests = _checks.whole_number(requests, "requests")
    _checks.number(seconds, "seconds", low=0, open_low=True)
    if rate is not None:
        _checks.number(rate, "rate", low=0, open_low=True)
    if not isinstance(bodies, list) or not bodies:
        raise ValueError("bodies must be a list of at least one body")
    contents = [json.dumps(body).encode() for body in bodies]
    numbers, rows = iter(range(requests)), []  # to take the next number is one step for threads
    start = time.perf_counter()

    def send_some(http):
        for number in numbers:
            now = time.perf_counter()
            due = now if rate is None else start + number / rate
            if max(due, now) - start > seconds:
                return
            time.sleep(max(0, due - now))
            sent = time.perf_counter()
            due = sent if rate is None else due
            try:
                status = http.post(url, content=contents[number % len(contents)]).status_code
            except httpx.HTTPError:
                status = 0
            done = time.perf_counter()
            rows.append((due - start, 1000 * (done - due), 1000 * (done - sent), status))

    options = {"headers": {"content-type": "application/json"}, "timeout": 10}
    options["limits"] = httpx.Limits(max_connections=clients)
    with httpx.Client(trust_env=False, **options) as http, ThreadPoolExecutor(clients) as pool:
        for client in [pool.submit(send_some, http) for _ in range(clients)]:
            client.result()
    names = ["due_s", "latency_ms", "service_ms", "status"]
    return pd.DataFrame(rows, columns=names).sort_values("due_s", ignore_index=True)


def latency_summary(timings, column="latency_ms"):
    """Throughput, percentiles of the latency, and the share of failures.

    Parameters
    ----------
    timings : DataFrame
        From `load_test`.
    column : {"latency_ms", "service_ms"}
        What the percentiles are of.

    Returns
    -------
    Series
        ``requests``; ``per_second``, good answers from the first moment due to the last answer;
        ``p50_ms``, ``p95_ms`` and ``p99_ms`` of the good answers, from the raw timings; and
        ``failed``, the share of requests without an answer of status 200.

    Raises
    ------
    ValueError
        If there are no timings or no such column.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.deployment import latency_summary
    >>> timings = pd.DataFrame({"due_s": [0, 0.0, 0.5], "latency_ms": [10, 30, 500.0]})
    >>> print(latency_summary(timings.assign(status=[200, 200, 503])).round(2).to_dict())
    {'requests': 3.0, 'per_second': 2.0, 'p50_ms': 20.0, 'p95_ms': 29.0, 'p99_ms': 29.8,
     'failed': 0.33}
    """
    _checks.one_of(column, "column", ("latency_ms", "service_ms"))
    _require(timings, ["due_s", "latency_ms", "status", column], "timings")
    if len(timings) == 0:
        raise ValueError("timings must hold at least one request")
    good = timings[timings["status"] == 200]
    ends = timings["due_s"] + timings["latency_ms"] / 1000
    row = {
        "requests": len(timings),
        "per_second": len(good) / (ends.max() - timings["due_s"].min()),
    }
    for percent in (50, 95, 99):
        row[f"p{percent}_ms"] = good[column].quantile(percent / 100)
    return pd.Series(row | {"failed": 1 - len(good) / len(timings)})


# --- Predictions made ahead ----------------------------------------------------------------------


class PredictionStore:
    """Predictions that were made ahead, in a table or in memory, looked up by key.

    Parameters
    ----------
    where : Database or Broker
        From `start_database` (an SQL table) or `start_broker` (a hash in memory).
    name : str, default "predictions"
        Of the table, or of the key.

    Methods
    -------
    write(scores, made_at, version)
        Replace all that is stored by a Series of numbers, whose index holds the keys, made at the
        time `made_at`. A reader sees the old predictions or the new ones, never some of both.
    lookup(keys, at)
        DataFrame under `keys`: ``probability``, ``version``, and ``age``, the time from
        ``made_at`` to `at`; missing where nothing is stored.
    usage()
        How many keys are ``stored`` and how many of them were ``asked`` for through this object;
        the share ``never_asked``; and of all distinct keys asked for, the share ``not_found``.

    Raises
    ------
    TypeError
        If `where` is neither.
    ValueError
        If keys are not distinct, not empty and strings, or scores are not finite numbers.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.dataflow import start_broker
    >>> from mlsys_helpers.deployment import PredictionStore
    >>> with start_broker() as broker:
    ...     store = PredictionStore(broker)
    ...     store.write(pd.Series({"UA 1545": 0.2, "AA 1141": 0.1}), made_at=0, version="1")
    ...     print(store.lookup(["UA 1545", "B6 725"], at=600)["probability"].tolist())
    ...     store.usage()["never_asked"]
    [0.2, nan]
    0.5
    """

    def __init__(self, where, name="predictions"):
        if not hasattr(where, "engine") and not hasattr(where, "client"):
            raise TypeError(f"where must be a Database or a Broker, got {where!r}")
        self._backend = (_Table if hasattr(where, "engine") else _Hash)(where, name)
        self._asked = set()

    def write(self, scores, made_at, version):
        keys, values = _keys(scores.index), _checks.numbers(scores, "scores").tolist()
        self._backend.write(keys, values, _checks.number(made_at, "made_at"), str(version))

    def lookup(self, keys, at):
        keys, at = _keys(keys, distinct=False), _checks.number(at, "at")
        found = self._backend.read(list(dict.fromkeys(keys)))
        self._asked.update(keys)
        rows = [found.get(key, (np.nan, np.nan, None)) for key in keys]
        table = pd.DataFrame(rows, index=keys, columns=["probability", "made_at", "version"])
        return table.assign(age=at - table.pop("made_at"))

    def usage(self):
        stored = set(self._backend.read())
        hits = len(stored & self._asked)
        return {
            "stored": len(stored),
            "asked": hits,
            "never_asked": 1 - hits / len(stored) if stored else math.nan,
            "not_found": 1 - hits / len(self._asked) if self._asked else math.nan,
        }


def _keys(index, *, distinct=True):
    keys = list(index)
    if not keys or not all(isinstance(key, str) and key for key in keys):
        raise ValueError("keys must be strings that are not empty, at least one")
    if distinct and len(set(keys)) < len(keys):
        raise ValueError("keys must be distinct; one occurs twice")
    return keys


class _Table:
    """A table of an SQL database."""

    def __init__(self, database, name):
        import sqlalchemy as sql

        self.engine = database.engine
        self.table = sql.Table(
            name,
            sql.MetaData(),
            sql.Column("key", sql.Text, primary_key=True),
            sql.Column("probability", sql.Float, nullable=False),
            sql.Column("made_at", sql.Float, nullable=False),
            sql.Column("version", sql.Text, nullable=False),
        )
        self.table.create(self.engine, checkfirst=True)

    def write(self, keys, values, made_at, version):
        rows = [
            {"key": key, "probability": value, "made_at": made_at, "version": version}
            for key, value in zip(keys, values, strict=True)
        ]
        with self.engine.begin() as connection:  # one transaction
            connection.execute(self.table.delete())
            connection.execute(self.table.insert(), rows)

    def read(self, keys=None):
        """The entries of some keys, or of all, by one statement: never some of two batches."""
        query = self.table.select()
        if keys is not None and len(keys) <= 1000:  # for more, reading all is no slower
            query = query.where(self.table.c.key.in_(keys))
        with self.engine.connect() as connection:
            return {row[0]: tuple(row[1:]) for row in connection.execute(query)}


class _Hash:
    """A hash of an in-memory store; the empty field holds what all its entries share."""

    def __init__(self, broker, name):
        self.client, self.key = broker.client, broker.key(name)

    def write(self, keys, values, made_at, version):
        new = f"{self.key}:new"
        self.client.delete(new)
        self.client.hset(new, mapping={"": json.dumps([made_at, version])})
        self.client.hset(new, mapping=dict(zip(keys, values, strict=True)))
        self.client.rename(new, self.key)  # in one step

    def read(self, keys=None):
        if keys is None:
            found = {key.decode(): value for key, value in self.client.hgetall(self.key).items()}
        else:
            found = dict(zip(["", *keys], self.client.hmget(self.key, ["", *keys]), strict=True))
        shared = found.pop("", None)
        made = json.loads(shared) if shared else ()
        return {key: (float(value), *made) for key, value in found.items() if value is not None}


def predict_batch(package, X, store, *, made_at):
    """Predict for every row of a table, and store what comes out.

    Parameters
    ----------
    package : ModelPackage
    X : DataFrame
        With the package's columns; its index holds the keys, distinct strings.
    store : PredictionStore
    made_at : float
        The time of the features, on your clock.

    Returns
    -------
    Series
        The probability of each key.

    Raises
    ------
    ValueError
        If a row breaks the package's contract: then nothing is stored.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.dataflow import start_database
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.deployment import (
    ...     ModelPackage, PredictionStore, describe_columns, predict_batch
    ... )
    >>> X, y = load_breast_cancer()
    >>> X = X[["mean radius"]].rename(str)
    >>> model = LogisticRegression().fit(X, y)
    >>> package = ModelPackage(model, describe_columns(X), name="tumours", version="1")
    >>> with start_database() as database:
    ...     store = PredictionStore(database)
    ...     scores = predict_batch(package, X, store, made_at=0)
    ...     print(store.lookup(["7"], at=60)["probability"].iloc[0] == scores["7"])
    True
    """
    scores = package.predict(X)
    store.write(scores, made_at, package.version)
    return scores


# --- Smaller models ------------------------------------------------------------------------------


class CompactNetwork:
    """A trained network whose weight matrices may be written as products of smaller things.

    Parameters
    ----------
    network : MLPClassifier
        Fitted, of two classes, with the activation "relu".

    Attributes
    ----------
    layers : list of (factors, bias)
        A layer multiplies by each factor in turn: by a matrix, or entry by entry by a vector.

    Methods
    -------
    predict_proba(X)
        ndarray of shape (n, 2), as the network's.
    compress(function)
        A new network, with `function` applied to every weight matrix of several columns.

    Raises
    ------
    ValueError
        If the network is not of that kind.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction.

    Examples
    --------
    >>> from sklearn.neural_network import MLPClassifier
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.deployment import CompactNetwork, quantize_weights
    >>> X, y = load_breast_cancer()
    >>> X = (X - X.mean()) / X.std()
    >>> network = CompactNetwork(MLPClassifier(50, max_iter=20, tol=1).fit(X, y))
    >>> small = network.compress(quantize_weights)
    >>> bool(abs(small.predict_proba(X) - network.predict_proba(X)).max() < 0.05)
    True
    """

    def __init__(self, network):
        fits = getattr(network, "out_activation_", None) == "logistic"
        if not fits or network.activation != "relu" or network.n_outputs_ != 1:
            raise ValueError("network must be a fitted MLPClassifier of two classes with relu")
        layers = zip(network.coefs_, network.intercepts_, strict=True)
        self.layers = [((np.float32(weights),), np.float32(bias)) for weights, bias in layers]

    def predict_proba(self, X):
        hidden = np.asarray(X, dtype=np.float32)
        for i, (factors, bias) in enumerate(self.layers):
            hidden = np.maximum(hidden, 0) if i else hidden
            for factor in factors:
                hidden = hidden @ factor if factor.ndim == 2 else hidden * factor
            hidden = hidden + bias
        p = expit(hidden[:, 0])
        return np.column_stack([1 - p, p])

    def compress(self, function):
        new = object.__new__(CompactNetwork)
        new.layers = [
            (function(factors[0]) if factors[0].shape[1] > 1 else factors, bias)
            for factors, bias in self.layers
        ]
        return new


def prune_weights(weights, share):
    """A matrix without its smallest entries, stored sparsely.

    Parameters
    ----------
    weights : ndarray of shape (n, m)
    share : float from 0 to 1
        Share of the entries that become 0: those of the smallest magnitude.

    Returns
    -------
    tuple of one scipy.sparse.csr_array of shape (n, m)

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction. S. Han et al., "Learning both weights and
    connections for efficient neural networks", NeurIPS (2015).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.deployment import prune_weights
    >>> (kept,) = prune_weights(np.array([[3.0, -0.1], [0.2, -4.0]]), share=0.5)
    >>> kept.toarray().tolist()
    [[3.0, 0.0], [0.0, -4.0]]
    """
    weights = _matrix(weights)
    _checks.number(share, "share", low=0, high=1)
    kept = weights.copy()
    smallest = np.argsort(np.abs(weights), axis=None, kind="stable")
    kept.flat[smallest[: round(share * weights.size)]] = 0
    return (sparse.csr_array(kept),)


def quantize_weights(weights):
    """A matrix as whole numbers from −127 to 127, and a scale for each of its columns.

    Parameters
    ----------
    weights : ndarray of shape (n, m)

    Returns
    -------
    (ndarray of int8 of shape (n, m), ndarray of float32 of shape (m,))
        Their product is the matrix, to within half a step: half of the scale.

    Raises
    ------
    ValueError
        If `weights` is no matrix of finite numbers.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction. B. Jacob et al., "Quantization and training
    of neural networks for efficient integer-arithmetic-only inference", CVPR (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.deployment import quantize_weights
    >>> whole, scale = quantize_weights(np.array([[1.27, 0.0], [0.5, -254.0]]))
    >>> print(whole.tolist(), scale)
    [[127, 0], [50, -127]] [0.01 2.  ]
    """
    weights = _matrix(weights)
    largest = np.abs(weights).max(axis=0)
    scale = np.where(largest > 0, largest, 1) / 127
    return np.rint(weights / scale).astype(np.int8), scale.astype(np.float32)


def low_rank(weights, rank):
    """The product of two thin matrices that is nearest to a matrix.

    Parameters
    ----------
    weights : ndarray of shape (n, m)
    rank : int from 1 to min(n, m)

    Returns
    -------
    (ndarray of shape (n, rank), ndarray of shape (rank, m))
        Of all matrices of that rank none is nearer in the sum of squares; what is lost are the
        singular values left out.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction. C. Eckart and G. Young, "The approximation
    of one matrix by another of lower rank", Psychometrika 1 (1936).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.deployment import low_rank
    >>> A, B = low_rank(np.outer([1.0, 2.0, 3.0], [1.0, 1.0]), rank=1)
    >>> print(A.shape, B.shape, (A @ B).round(6).tolist())
    (3, 1) (1, 2) [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    """
    weights = _matrix(weights)
    rank = _checks.whole_number(rank, "rank")
    if rank > min(weights.shape):
        raise ValueError(f"rank must be at most {min(weights.shape)}, got {rank}")
    U, s, V = np.linalg.svd(weights, full_matrices=False)
    return U[:, :rank] * s[:rank], V[:rank]


def _matrix(weights):
    weights = np.asarray(weights)
    numbers = weights.dtype.kind in "fiu" and np.isfinite(weights).all()
    if weights.ndim != 2 or weights.size == 0 or not numbers:
        raise ValueError(f"weights must be a matrix of finite numbers, got shape {weights.shape}")
    return weights


class _Student:
    """A regression on log-odds, used as a classifier."""

    def __init__(self, model):
        self.model = model

    def predict_proba(self, X):
        p = expit(self.model.predict(X))
        return np.column_stack([1 - p, p])


def distil(teacher, student, X):
    """Teach a small model what a large one answers.

    Parameters
    ----------
    teacher : fitted classifier of two classes
    student : regressor
        Not fitted; a clone of it learns the teacher's log-odds.
    X : table or matrix
        Rows that the teacher answers. They need no labels.

    Returns
    -------
    object
        With ``predict_proba``.

    Raises
    ------
    TypeError
        If the teacher gives no probabilities or the student is no estimator.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction. G. Hinton, O. Vinyals and J. Dean,
    "Distilling the knowledge in a neural network", arXiv 1503.02531 (2015).

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.deployment import distil
    >>> X, y = load_breast_cancer()
    >>> forest = RandomForestClassifier(random_state=0).fit(X, y)
    >>> tree = distil(forest, DecisionTreeRegressor(max_leaf_nodes=8, random_state=0), X)
    >>> print(((tree.predict_proba(X)[:, 1] > 0.5) == y).mean() > 0.9)
    True
    """
    if not hasattr(teacher, "predict_proba"):
        raise TypeError(f"teacher must have predict_proba, got {teacher!r}")
    answers = np.clip(teacher.predict_proba(X)[:, 1], 1e-4, 1 - 1e-4)
    return _Student(sklearn.base.clone(student).fit(X, logit(answers)))


def compress_report(models, X, y):
    """Size, latency and score of several models, side by side.

    Parameters
    ----------
    models : dict of str to object
        Each with ``predict_proba``; the first is what the others are compared with.
    X : table or matrix
    y : array of labels 0 and 1

    Returns
    -------
    DataFrame
        Per model ``size_kb``, the bytes of the model when pickled, by 1,000; ``us_a_row``, the
        microseconds a row when all are scored by one call; ``average_precision``; and
        ``change``, its difference to the first model.

    Raises
    ------
    ValueError
        If there is no model, or the labels are not 0 and 1.

    References
    ----------
    Chapter 15, Batch Prediction vs Online Prediction.

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.deployment import compress_report
    >>> X, y = load_breast_cancer()
    >>> trees = {k: DecisionTreeClassifier(max_leaf_nodes=k, random_state=0) for k in (20, 2)}
    >>> report = compress_report({k: tree.fit(X, y) for k, tree in trees.items()}, X, y)
    >>> bool(report.loc[2, "size_kb"] < report.loc[20, "size_kb"])
    True
    """
    if not models:
        raise ValueError("models must hold at least one model")
    y = _checks.binary_labels(y, "y", len(X))
    rows = {}
    for name, model in models.items():
        seconds, p = min((_seconds(model, X) for _ in range(2)), key=lambda pair: pair[0])
        rows[name] = {
            "size_kb": len(pickle.dumps(model)) / 1000,  # written only to be counted
            "us_a_row": 1e6 * seconds / len(X),
            "average_precision": average_precision_score(y, p),
        }
    table = pd.DataFrame(rows).T
    return table.assign(change=table["average_precision"] - table["average_precision"].iloc[0])


def _seconds(model, X):
    start = time.perf_counter()
    p = model.predict_proba(X)[:, 1]
    return time.perf_counter() - start, p


# --- Features over a window of time ---------------------------------------------------------------


@dataclass(frozen=True)
class WindowFeature:
    """What happened to a key in the time before a moment: one definition, for table and stream.

    Asked at a moment ``at``, it takes the events with at − window < time ≤ at that were *known*
    by then.

    Parameters
    ----------
    name : str
    key : str
        The column that says whose event it is; requests have it, too.
    time : str
        The column of the time at which it happened.
    window : float
        Length of the window, in the unit of the times.
    aggregate : {"count", "sum", "mean"}
        Of no events the count and the sum are 0, and the mean is missing.
    value : str, optional
        The column that is summed or averaged.
    known : str, optional
        The column of the time at which the event was known, never before it happened; by default
        `time`.
    id : str, optional
        The column that tells events apart. Of copies (the same key, id and time) the one that was
        known first counts.

    Methods
    -------
    batch(events, requests)
        Series under the index of `requests`, a table with the key and the column ``at``. The
        tables may be in any order.
    stream(lateness=0)
        A state that takes events one by one: ``update(event)`` (True, or False if the event is a
        duplicate or too old to matter), ``value(key, at)``, and ``len()``, the events it
        holds. Events may come in any order if none comes more than `lateness` after
        one that was known later; one may ask back as far.

    Raises
    ------
    ValueError
        If the definition makes no sense, a column is missing or holds no finite numbers, an event
        was known before it happened, or the stream is asked about a moment that it has forgotten.

    References
    ----------
    Chapter 15, Unifying Batch Pipeline and Streaming Pipeline. J. Kreps, "Questioning the Lambda
    architecture" (2014).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.deployment import WindowFeature
    >>> orders = WindowFeature("orders", key="restaurant", time="minute", window=10)
    >>> events = pd.DataFrame({"restaurant": ["A", "A", "B"], "minute": [1, 8, 9]})
    >>> requests = pd.DataFrame({"restaurant": ["A", "A"], "at": [9, 11]})
    >>> orders.batch(events, requests).tolist()
    [2.0, 1.0]
    >>> state = orders.stream()
    >>> for event in events.to_dict("records"):
    ...     _ = state.update(event)
    >>> state.value("A", at=9), state.value("A", at=11)
    (2.0, 1.0)
    """

    name: str
    key: str
    time: str
    window: float
    aggregate: str = "count"
    value: str | None = None
    known: str | None = None
    id: str | None = None

    def __post_init__(self):
        _checks.number(self.window, "window", low=0, open_low=True)
        _checks.one_of(self.aggregate, "aggregate", ("count", "sum", "mean"))
        if not all(isinstance(part, str) and part for part in (self.name, self.key, self.time)):
            raise ValueError("name, key and time must be strings that are not empty")
        if (self.value is None) != (self.aggregate == "count"):
            raise ValueError(f"value must be given for sum and mean only, got {self.value!r}")

    @property
    def columns(self):
        """The columns that an event needs."""
        names = (self.key, self.time, self.known, self.value, self.id)
        return list(dict.fromkeys(name for name in names if name))

    def batch(self, events, requests):
        _require(events, self.columns, "events")
        _require(requests, [self.key, "at"], "requests")
        asked = _checks.numbers(requests["at"], "at")
        keys = pd.Series(_checks.column(requests[self.key], self.key))
        result = np.full(len(requests), self._result(0, 0))
        if len(events) == 0:
            return pd.Series(result, requests.index, name=self.name)
        if self.id:
            _checks.column(events[self.id], self.id)
            first = events.sort_values(self.known or self.time, kind="stable")
            events = first.drop_duplicates([self.key, self.id, self.time])
        time = _checks.numbers(events[self.time], self.time)
        known = _checks.numbers(events[self.known or self.time], self.known or self.time)
        values = (
            _checks.numbers(events[self.value], self.value) if self.value else np.ones(len(time))
        )
        if (known < time).any():
            raise ValueError(f"{self.known} must not lie before {self.time}")
        matters = known - time < self.window  # else it has left the window when it gets known
        groups = pd.Series(_checks.column(events[self.key], self.key))[matters]
        rows_of = {key: np.array(rows) for key, rows in groups.groupby(groups).groups.items()}
        for key, asking in keys.groupby(keys).indices.items():
            if key in rows_of:
                rows, at = rows_of[key], asked[asking]
                came, came_sum = _until(known[rows], values[rows], at)
                left, left_sum = _until(time[rows], values[rows], at - self.window)
                result[asking] = self._result(came - left, came_sum - left_sum)
        return pd.Series(result, requests.index, name=self.name)

    def stream(self, lateness=0):
        return _WindowState(self, _checks.number(lateness, "lateness", low=0))

    def _result(self, count, total):
        if self.aggregate == "count":
            return count * 1.0
        total = np.where(count > 0, total, 0.0)
        return total if self.aggregate == "sum" else total / np.where(count > 0, count, np.nan)


def _require(table, names, what):
    missing = [name for name in names if name not in table]
    if missing:
        raise ValueError(f"{what} lacks the column {missing[0]!r}")


def _until(moments, values, at):
    """How many of the moments are not after `at`, and the sum of their values."""
    order = np.argsort(moments, kind="stable")
    totals = np.concatenate([[0], np.cumsum(values[order])])
    count = np.searchsorted(moments[order], at, side="right")
    return count, totals[count]


class _WindowState:
    """The events of a feature that may still matter, by key and in the order of their times."""

    def __init__(self, feature, lateness):
        self.feature, self.lateness, self.latest = feature, lateness, -math.inf
        self._events, self._ids = defaultdict(list), defaultdict(set)

    def __len__(self):
        return sum(map(len, self._events.values()))

    def update(self, event):
        f = self.feature
        _require(event, f.columns, "event")
        happened = _checks.number(event[f.time], f.time)
        known = _checks.number(event[f.known or f.time], f.known or f.time, low=happened)
        value = _checks.number(event[f.value], f.value) if f.value else 1
        key, number = event[f.key], event[f.id] if f.id else 0
        if None in (key, number) or key != key or number != number:
            raise ValueError(f"{f.key} and {f.id or 'id'} of an event must not be missing")
        self.latest = max(self.latest, known)
        events, ids = self._events[key], self._ids[key]
        oldest = self.latest - self.lateness - self.feature.window
        gone = bisect.bisect_right(events, oldest, key=lambda event: event[0])
        ids.difference_update(event[::3] for event in events[:gone])
        del events[:gone]
        if happened <= oldest:
            return False
        if f.id and (happened, number) in ids:
            copy = next(event for event in events if event[::3] == (happened, number))
            if copy[1] <= known:
                return False
            events.remove(copy)  # the one that was known first counts
        ids.add((happened, number))
        bisect.insort(events, (happened, known, value, number), key=lambda event: event[0])
        return True

    def value(self, key, at):
        _checks.number(at, "at")
        if at < self.latest - self.lateness:
            raise ValueError(
                f"at must be at least {self.latest - self.lateness:g}, got {at:g}; older events "
                "are forgotten"
            )
        values = [
            value
            for happened, known, value, _ in self._events.get(key, ())
            if at - self.feature.window < happened and known <= at
        ]
        return float(self.feature._result(len(values), sum(values)))


def _run_features(url, topic, definitions, count, lateness):
    """Read events and requests from a stream; answer each request with the features' values."""
    client, after, answers, n_read = _servers.connect_broker(url), "0", [], 0
    features = [WindowFeature(**definition) for definition in definitions]
    states = [feature.stream(lateness) for feature in features]
    _servers.announce("reading")
    while n_read < count:
        answer = client.xread({topic: after}, count=1000, block=5000)
        if not answer:
            raise TimeoutError(f"nothing came for 5 seconds after {n_read} of {count} messages")
        ((_, entries),) = answer.items() if isinstance(answer, dict) else answer
        n_read, after = n_read + len(entries), entries[-1][0]
        for ((kind, body),) in (fields.items() for _, fields in entries):
            message = json.loads(body)
            if kind == b"request":
                pairs = zip(features, states, strict=True)
                answers.append([state.value(message[f.key], message["at"]) for f, state in pairs])
            else:
                for state in states:
                    state.update(message)
    return answers


def stream_features(broker, features, events, requests, *, lateness=0):
    """Features that another process computes, from events and requests that come by a broker.

    Parameters
    ----------
    broker : Broker
        From `start_broker`.
    features : list of WindowFeature
        With one and the same `known`; their definitions travel as JSON.
    events, requests : DataFrame
        As for `WindowFeature.batch`. They are sent in the order in which they come about: an
        event when it is known, a request at ``at``; at the same moment, events first.
    lateness : float, default 0

    Returns
    -------
    DataFrame
        Under the index of `requests`, a column for each feature.

    Raises
    ------
    ValueError
        If the features are known at different times, or a column is missing.
    ServerError
        If the other process fails, with its own words.

    References
    ----------
    Chapter 15, Unifying Batch Pipeline and Streaming Pipeline.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.dataflow import start_broker
    >>> from mlsys_helpers.deployment import WindowFeature, stream_features
    >>> orders = WindowFeature("orders", key="restaurant", time="minute", window=10)
    >>> events = pd.DataFrame({"restaurant": ["A", "A", "B"], "minute": [1, 8, 9]})
    >>> requests = pd.DataFrame({"restaurant": ["A", "A"], "at": [9, 11]})
    >>> with start_broker() as broker:
    ...     stream_features(broker, [orders], events, requests)["orders"].tolist()
    [2.0, 1.0]
    """
    moments = {feature.known or feature.time for feature in features}
    if len(moments) != 1:
        raise ValueError("features must be at least one, all known by the same column")
    (known,) = moments
    needed = list(dict.fromkeys(name for feature in features for name in feature.columns))
    keys = list(dict.fromkeys(feature.key for feature in features))
    _require(events, needed, "events")
    _require(requests, [*keys, "at"], "requests")
    order = requests["at"].argsort(kind="stable")
    asked = requests[[*keys, "at"]].iloc[order]
    sent = [(row[known], "event", row) for row in events[needed].to_dict("records")]
    sent += [(row["at"], "request", row) for row in asked.to_dict("records")]
    sent.sort(key=lambda message: message[:2])  # at one moment, "event" comes before "request"
    topic = broker.key("events")
    definitions = [asdict(feature) for feature in features]
    with _servers.start_function(
        _run_features, broker.url, topic, definitions, len(sent), lateness,
        name="the feature process", ready=lambda process: process.announced,
    ) as process:  # fmt: skip
        for i in range(0, len(sent), 1000):
            with broker.client.pipeline(transaction=False) as pipe:
                for _, kind, message in sent[i : i + 1000]:
                    pipe.xadd(topic, {kind: json.dumps(message)})
                pipe.execute()
        answers = process.result()
    broker.client.delete(topic)
    names = [feature.name for feature in features]
    return pd.DataFrame(answers, columns=names).iloc[np.argsort(order)].set_axis(requests.index)


def parity_report(offline, online, *, tolerance=1e-9):
    """Where the features that a model was trained on differ from those it is served.

    Parameters
    ----------
    offline, online : DataFrame
        A row for each request, a column for each feature, under the same distinct index.
    tolerance : float, default 1e-9
        Differences up to this count as equal; two missing values are equal, too.

    Returns
    -------
    DataFrame
        Per feature: ``compared``, how many; ``different``, how many, and their ``share``;
        ``one_missing``, how many of them are missing on one side only; ``mean_difference``,
        online less offline over all pairs; ``largest``, the largest absolute difference; and
        ``first``, where the first one stands in the index, missing if there is none.

    Raises
    ------
    ValueError
        If the tables do not have the same rows and columns, or a column holds no numbers; it
        names the first.

    References
    ----------
    Chapter 15, Unifying Batch Pipeline and Streaming Pipeline. M. Zinkevich, "Rules of machine
    learning", on training-serving skew (2017).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.deployment import parity_report
    >>> offline = pd.DataFrame({"orders": [3.0, 2.0, 5.0]}, index=["a", "b", "c"])
    >>> online = pd.DataFrame({"orders": [3.0, 1.0, 4.0]}, index=["a", "b", "c"])
    >>> print(*parity_report(offline, online).loc["orders", ["different", "first"]])
    2 b
    """
    _checks.number(tolerance, "tolerance", low=0)
    for table, name in ((offline, "offline"), (online, "online")):
        if not isinstance(table, pd.DataFrame) or not table.columns.is_unique:
            raise ValueError(f"{name} must be a table of distinct columns")
        for column in table.columns.difference(table.select_dtypes(["number", "bool"]).columns):
            raise ValueError(f"{name}[{column!r}] must hold numbers, got {table[column].dtype}")
    for one, other, name in ((offline, online, "online"), (online, offline, "offline")):
        for missing in one.columns.difference(other.columns):
            raise ValueError(f"{name} lacks the column {missing!r}")
        for missing in one.index.difference(other.index)[:1]:
            raise ValueError(f"{name} lacks the row {missing!r}")
    if not offline.index.is_unique or not online.index.is_unique or offline.empty:
        raise ValueError("offline and online must hold rows, each once")
    rows = {}
    for name in offline.columns:
        a, b = offline[name].astype(float), online.loc[offline.index, name].astype(float)
        gap = (b - a).mask(a == b, 0.0)  # equal infinities differ by nothing
        one_missing = a.isna() != b.isna()
        different = (gap.abs() > tolerance) | one_missing
        rows[name] = {
            "compared": len(a),
            "different": int(different.sum()),
            "share": different.mean(),
            "one_missing": int(one_missing.sum()),
            "mean_difference": gap.mean(),
            "largest": gap.abs().max(),
            "first": different.idxmax() if different.any() else None,
        }
    return pd.DataFrame.from_dict(rows, orient="index")
