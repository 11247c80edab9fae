"""Chapter 15: packages that refuse by name, a service under load, one definition of a feature."""

import asyncio
import io
import json
import os
import pickle
import socket
import threading
import zipfile
from dataclasses import replace

import httpx
import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mlsys_helpers import _servers, deployment
from mlsys_helpers.dataflow import start_broker, start_database
from mlsys_helpers.datasets import (
    FLIGHT_FEATURES,
    load_breast_cancer,
    load_digits,
    load_flight_features,
    load_flights,
)
from mlsys_helpers.deployment import (
    CompactNetwork,
    ModelPackage,
    PredictionStore,
    WindowFeature,
    compress_report,
    create_app,
    describe_columns,
    distil,
    latency_summary,
    load_test,
    low_rank,
    parity_report,
    predict_batch,
    prune_weights,
    quantize_weights,
    start_prediction_service,
    stream_features,
)
from mlsys_helpers.exercises._engine import CORRECT, judge

FEATURES = [name for group in FLIGHT_FEATURES.values() for name in group]


@pytest.fixture(scope="module")
def flights():
    return load_flight_features()


@pytest.fixture(scope="module")
def rows(flights):
    """2,000 flights of September, categories and missing values included."""
    month = flights[(flights["date"] >= "2013-09-01") & (flights["date"] < "2013-10-01")]
    return month.sample(2_000, random_state=1)[FEATURES]


@pytest.fixture(scope="module")
def package(flights):
    train = flights[flights["date"] < "2013-09-01"].sample(10_000, random_state=0)
    model = HistGradientBoostingClassifier(
        categorical_features="from_dtype", max_iter=20, random_state=0
    ).fit(train[FEATURES], train["late"])
    columns = describe_columns(train[FEATURES], ranges={"wind_speed": (0, 200)})
    return ModelPackage(model, columns, name="late flights", version="1.0")


@pytest.fixture(scope="module")
def saved(package, tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "late.zip"
    return path, package.save(path)


@pytest.fixture(scope="module")
def service(saved):
    path, digest = saved
    options = {"read_timeout": 1, "max_bytes": 200_000, "max_rows": 100}
    with start_prediction_service(path, digest=digest, **options) as service:
        yield service


@pytest.fixture(scope="module")
def broker():
    with start_broker() as broker:
        yield broker


def as_json(table):
    plain = table[FEATURES].astype(object)
    return plain.where(plain.notna(), None).to_dict("records")


# --- The contract


def test_the_contract_holds_types_ranges_categories_and_what_may_be_missing():
    X = pd.DataFrame(
        {
            "origin": pd.Categorical(["JFK", "EWR"]),
            "stops": [0, 2],
            "temp": [-10.0, np.nan],
            "visib": [2.0, 10.0],
        }
    )
    origin, stops, temp, visib = describe_columns(X, ranges={"temp": (-60, 130)})
    assert origin["categories"] == ["EWR", "JFK"] and not origin["nullable"]
    assert (stops["type"], stops["low"], stops["high"]) == ("integer", 0, 3)  # not below 0
    assert (temp["low"], temp["high"], temp["nullable"]) == (-60, 130, True)
    assert (visib["type"], visib["low"], visib["high"]) == ("number", 0, 14)  # 2 − 4 is below 0


@pytest.mark.parametrize(
    ("X", "options", "words"),
    [
        (pd.DataFrame(), {}, "at least one row"),
        ([1, 2], {}, "X must be a table"),
        (pd.DataFrame({"a": ["x"]}), {}, r"X\['a'\] must hold numbers or be a categorical"),
        (pd.DataFrame({"a": [True]}), {}, r"X\['a'\] must hold numbers"),
        (pd.DataFrame({"a": [np.nan]}), {}, r"X\['a'\] is empty"),
        (pd.DataFrame({"a": [np.inf]}), {}, r"X\['a'\] must hold finite numbers"),
        (pd.DataFrame({"a": pd.Categorical([None])}), {}, "needs categories"),
        (pd.DataFrame({"a": pd.Categorical([1, 2])}), {}, "valid string"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "named by distinct strings"),
        (pd.DataFrame([[1, 2]]), {}, "named by distinct strings"),
        (pd.DataFrame({"a": [1j]}), {}, r"X\['a'\] must hold numbers"),
        (pd.DataFrame({"a": [1]}), {"ranges": {"b": (0, 1)}}, "ranges must give.*'b'"),
        (pd.DataFrame({"a": [1]}), {"ranges": {"a": 3}}, "ranges must give.*'a'"),
        (pd.DataFrame({"a": [1]}), {"ranges": {"a": (5, 1)}}, "low <= high"),
        (pd.DataFrame({"a": [1]}), {"ranges": {"a": (np.nan, 1)}}, "finite number"),
        (pd.DataFrame({"a": [1]}), {"ranges": {"a": ("x", 1)}}, "valid number"),
        (pd.DataFrame({"a": pd.Categorical(["x"])}), {"ranges": {"a": (0, 1)}}, "ranges must give"),
    ],
)
def test_what_no_contract_can_be_read_off_is_refused(X, options, words):
    with pytest.raises(ValueError, match=words):
        describe_columns(X, **options)


def test_a_package_wants_a_fitted_two_class_model_and_its_columns(rows):
    X, y = load_breast_cancer()
    X = X[["mean radius", "mean texture"]]
    columns, model = describe_columns(X), LogisticRegression(max_iter=1000).fit(X, y)
    with pytest.raises(ValueError, match="columns lack 'mean texture'"):
        ModelPackage(model, columns[:1], name="t", version="1")
    with pytest.raises(ValueError, match="in order: mean radius, mean texture"):
        ModelPackage(model, columns[::-1], name="t", version="1")
    for bad in (LogisticRegression(), LinearRegression().fit(X, y), "a model"):
        with pytest.raises(ValueError, match="model must be a fitted classifier"):
            ModelPackage(bad, columns, name="t", version="1")
    with pytest.raises(ValueError, match="trained on a table"):
        ModelPackage(LogisticRegression().fit(X.to_numpy() > 15, y), columns, name="t", version="1")
    with pytest.raises(ValueError, match="version must be a string"):
        ModelPackage(model, columns, name="t", version=1)
    for change in ({"low": None}, {"low": 9.0, "high": 1.0}, {"type": "category"}):
        with pytest.raises(ValueError, match="columns cannot hold"):
            ModelPackage(model, [columns[0] | change, columns[1]], name="t", version="1")
    digits = load_digits()
    ten = DecisionTreeClassifier(max_depth=3).fit(digits[0].reshape(1797, -1) > 0.5, digits[1])
    with pytest.raises(ValueError, match="two classes"):
        ModelPackage(ten, columns, name="t", version="1")


def test_whole_numbers_with_gaps_are_numbers():
    X = pd.DataFrame({"a": pd.array([1, None, 3, 4], dtype="Int64")})
    (column,) = columns = describe_columns(X)
    assert (column["type"], column["nullable"]) == ("number", True)
    model = HistGradientBoostingClassifier(min_samples_leaf=1).fit(X, [0, 1, 0, 1])
    package = ModelPackage(model, columns, name="t", version="1")
    assert package.predict(X).tolist() == model.predict_proba(X)[:, 1].tolist()


def test_a_table_is_checked_by_column_and_left_as_it_is(package, rows):
    before = rows.copy()
    p = package.predict(rows)
    assert p.equals(
        pd.Series(package.model.predict_proba(rows)[:, 1], rows.index, name="probability")
    )
    assert package.predict(rows.assign(other=1)[["other", *FEATURES[::-1]]]).equals(p)
    pd.testing.assert_frame_equal(rows, before)
    with pytest.raises(ValueError, match="X lacks the column 'temp'"):
        package.predict(rows.drop(columns="temp"))
    for empty in (rows.head(0), rows.to_dict()):
        with pytest.raises(ValueError, match="X is empty, or no table"):
            package.predict(empty)
    for column, value, words in [
        ("humid", 900.0, "less than or equal"),
        ("temp", np.inf, "finite"),
        ("carrier", "ZZ", "'ZZ'"),
        ("distance", np.nan, "None"),
        ("temp", "hot", "valid number"),
    ]:
        with pytest.raises(ValueError, match=rf"X\['{column}'\] in row 77.*{words}"):
            broken = rows.head(3).astype({column: object}).set_axis([5, 77, 6])
            broken.loc[77, column] = value
            package.predict(broken)


# --- The file


def test_a_round_trip_in_another_process_gives_the_same_bits(package, saved, rows, service):
    path, digest = saved
    loaded = ModelPackage.load(path, version="1.0", digest=digest)
    assert loaded.predict(rows).equals(package.predict(rows)) and loaded.digest == digest
    answer = httpx.post(f"{service.url}/predict", json={"rows": as_json(rows.head(100))}).json()
    assert answer["probability"] == package.predict(rows.head(100)).tolist()
    assert service.pid != os.getpid()


class Payload:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def repack(path, out, change):
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files["manifest.json"])
    change(files, manifest)
    if files.get("manifest.json"):
        files["manifest.json"] = json.dumps(manifest)
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out


def plant(content):
    def change(files, manifest):
        files["model.skops"] = content
        manifest["files"]["model.skops"] = deployment._sha256(content)

    return change


def test_a_pickle_runs_code_and_a_package_does_not(saved, tmp_path):
    mark = str(tmp_path / "mark")
    content = pickle.dumps(Payload(mark))
    pickle.loads(content)
    assert os.path.isdir(mark)  # that is what a pickle does
    os.rmdir(mark)
    (tmp_path / "a.zip").write_bytes(content)
    repack(saved[0], tmp_path / "b.zip", plant(content))
    repack(saved[0], tmp_path / "c.zip", plant(skops.io.dumps(os.system)))
    repack(saved[0], tmp_path / "d.zip", plant(skops.io.dumps(Payload(mark))))
    for name, words in {
        "a": "no package",
        "b": "model.skops in b.zip cannot be read",
        "c": "not trusted.*system",
        "d": "not trusted.*Payload",
    }.items():
        with pytest.raises(ValueError, match=f"(?s){words}"):
            ModelPackage.load(tmp_path / f"{name}.zip")
        assert not os.path.exists(mark)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f, m: f.pop("model.skops"), "lacks model.skops"),
        (lambda f, m: f.pop("manifest.json"), "lacks manifest.json"),
        (lambda f, m: f.update({"../evil.py": b""}), r"'../evil.py', which is no part"),
        (lambda f, m: f.update({"/etc/passwd": b""}), "'/etc/passwd', which is no part"),
        (lambda f, m: f.update({"model.skops": f["model.skops"] + b" "}), "not the file"),
        (lambda f, m: m["files"].clear(), "not the file that was packed"),
        (lambda f, m: m.update(format=2), "has format 2, this reads format 1"),
        (lambda f, m: m.pop("format"), "no manifest"),
        (lambda f, m: m.update(run="rm"), "no manifest"),
        (lambda f, m: m["columns"][0].update(type="code"), "no manifest"),
        (lambda f, m: m["libraries"].update({"scikit-learn": "9.0.1"}), "scikit-learn 9.0.1"),
        (lambda f, m: m["libraries"].clear(), "an unknown release"),
        (lambda f, m: m["columns"][8].update(low=None), "no manifest"),
        (lambda f, m: m["columns"][0].update(categories=[]), "no manifest"),
        (lambda f, m: m["columns"].pop(8), "columns lack 'temp'"),
        (lambda f, m: f.update({"model.skops": b"", "manifest.json": b""}), "no manifest"),
    ],
)  # fmt: skip
def test_a_package_that_was_tampered_with_is_refused_by_name(saved, tmp_path, change, words):
    path = repack(saved[0], tmp_path / "broken.zip", change)
    with pytest.raises(ValueError, match=f"(?s){words}"):
        ModelPackage.load(path)


def test_another_version_or_digest_is_refused(saved, package, tmp_path):
    path, digest = saved
    with pytest.raises(ValueError, match=r"holds version 1\.0, wanted 2\.0"):
        ModelPackage.load(path, version="2.0")
    wider = repack(path, tmp_path / "w.zip", lambda f, m: m["columns"][8].update(high=999.0))
    assert ModelPackage.load(wider).columns[8].high == 999  # a checksum inside finds accidents only
    with pytest.raises(ValueError, match="has the digest"):
        ModelPackage.load(wider, digest=digest)
    other = ModelPackage(package.model, describe(package), name="late flights", version="1.1")
    assert other.save(tmp_path / "other.zip") != digest
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".part"] == []


def describe(package):
    return [column.model_dump() for column in package.columns]


def test_no_changed_byte_goes_unnoticed_under_the_digest_nor_in_the_files(saved, tmp_path):
    path, digest = saved
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(200, len(raw) - 300, 25):
        changed = raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :]
        (tmp_path / "x.zip").write_bytes(changed)
        for options in ({"digest": digest}, {}):  # without it, the checksums of the files tell
            with pytest.raises(ValueError, match=r"x\.zip"):
                ModelPackage.load(tmp_path / "x.zip", **options)
    (tmp_path / "x.zip").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ValueError, match="no package, or damaged"):
        ModelPackage.load(tmp_path / "x.zip")


def test_a_bomb_is_refused_before_it_is_unpacked(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(deployment, "_LARGEST", saved[0].stat().st_size + 10)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", "{}")
        archive.writestr("model.skops", b"0" * 10_000_000)
    with pytest.raises(ValueError, match="or over"):
        ModelPackage.load(path)
    inner = io.BytesIO()  # the model is a zip, too
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"0" * 10_000_000)
    with pytest.raises(ValueError, match=r"model\.skops.* it takes over"):
        ModelPackage.load(repack(saved[0], path, plant(inner.getvalue())))
    monkeypatch.setattr(deployment, "_LARGEST", 100)
    with pytest.raises(ValueError, match="is larger than 100 bytes"):
        ModelPackage.load(saved[0])


# --- The service


def post(service, content, kind="application/json"):
    return httpx.post(
        f"{service.url}/predict", content=content, headers={"content-type": kind}, timeout=10
    )


def test_the_service_says_who_it_is(service, saved):
    assert httpx.get(f"{service.url}/health").json()["status"] == "alive"
    assert httpx.get(f"{service.url}/ready").json() == {"status": "ready"}
    assert httpx.get(f"{service.url}/version").json() == {
        "name": "late flights", "version": "1.0", "digest": saved[1],
    }  # fmt: skip


def bad_requests(row):
    def body(*rows):
        return json.dumps({"rows": rows})

    missing = {k: v for k, v in row.items() if k != "temp"}
    return {
        "malformed": ('{"rows": [', 400, "body"),
        "empty": ("", 400, "body"),
        "deep": ("[" * 100_000, 400, "body"),
        "no object": ("[1]", 422, "body"),
        "no rows": ("{}", 422, "rows"),
        "of none": (body(), 422, "rows"),
        "another key": (json.dumps({"rows": [row], "x": 1}), 422, "x"),
        "missing": (body(missing), 422, "rows.0.temp"),
        "extra": (body(row, row | {"tail": "N1"}), 422, "rows.1.tail"),
        "text": (body(row | {"temp": "70"}), 422, "rows.0.temp"),
        "bool": (body(row | {"temp": True}), 422, "rows.0.temp"),
        "list": (body(row | {"temp": [70]}), 422, "rows.0.temp"),
        "null": (body(row | {"distance": None}), 422, "rows.0.distance"),
        "fraction": (body(row | {"distance": 0.5}), 422, "rows.0.distance"),
        "range": (body(row | {"humid": 1e9}), 422, "rows.0.humid"),
        "nan": (body(row | {"temp": float("nan")}), 422, "rows.0.temp"),
        "infinity": (body(row | {"temp": float("inf")}), 422, "rows.0.temp"),
        "overflow": (body(row | {"temp": 1e308}).replace("1e+308", "1e999"), 422, "rows.0.temp"),
        "category": (body(row | {"carrier": "ZZ"}), 422, "rows.0.carrier"),
        "huge number": (body(row | {"distance": 10**400}), 422, "rows.0.distance"),
        "no text": (b'{"rows": "\xff\xfe"}', 400, "body"),
        "too many": (body(*[row] * 101), 422, "rows"),
        "too large": (body(*[row] * 1000), 413, "body"),
    }  # fmt: skip


def test_bad_requests_get_4xx_with_the_field_and_good_ones_go_on(service, package, rows):
    row = as_json(rows[rows["temp"].notna()].head(1))[0]
    right = package.predict(rows[rows["temp"].notna()].head(1)).tolist()
    for name, (content, status, field) in bad_requests(row).items():
        answer = post(service, content)
        assert answer.status_code == status, (name, answer.text)
        assert answer.json()["detail"][0]["field"] == field, (name, answer.text)
        good = post(service, json.dumps({"rows": [row]}))
        assert good.json()["probability"] == right, name
    for kind in ("text/plain", "", "application/jsonx"):
        answer = post(service, json.dumps({"rows": [row]}), kind)
        assert (answer.status_code, answer.json()["detail"][0]["field"]) == (415, "content-type")
    assert post(service, json.dumps({"rows": [row]}), "application/json; charset=utf-8").is_success
    assert httpx.get(f"{service.url}/predict").status_code == 405
    assert service.returncode is None


def test_a_body_without_a_length_is_counted_while_it_comes(service):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    address = (_servers.HOST, httpx.URL(service.url).port)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(30):  # 300,000 of 200,000 allowed bytes, and no end
            connection.sendall(b"2710\r\n" + b" " * 10_000 + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert httpx.get(f"{service.url}/ready").status_code == 200


def test_clients_that_hang_do_not_stop_the_others(service, rows):
    address = (_servers.HOST, httpx.URL(service.url).port)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with_length = head + b'Content-Length: 500\r\n\r\n{"rows"'
    hanging = [socket.create_connection(address, timeout=10) for _ in range(40)]
    for i, connection in enumerate(hanging):
        connection.sendall((with_length, head, b"POST")[i % 3])
    body = json.dumps({"rows": as_json(rows.head(1))})
    assert all(post(service, body).is_success for _ in range(20))  # each within its time limit
    for connection in hanging[::3]:  # half a body: sent away after read_timeout
        assert connection.recv(100).startswith(b"HTTP/1.1 408")
    for connection in hanging:
        connection.close()
    gone = socket.create_connection(address, timeout=10)  # a client that does not wait
    gone.sendall(head + f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
    gone.close()
    assert post(service, body).is_success


def test_a_package_that_is_refused_is_not_served(saved):
    with pytest.raises(_servers.ServerError, match="has the digest"):
        start_prediction_service(saved[0], digest="0" * 64)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_batch": 0}, "max_batch must be"),
        ({"max_wait": np.nan}, "max_wait must be"),
        ({"max_wait": -1}, "max_wait must be"),
        ({"max_rows": 0}, "max_rows must be"),
        ({"max_bytes": 0}, "max_bytes must be"),
        ({"max_waiting": 0}, "max_waiting must be"),
        ({"read_timeout": 0}, "read_timeout must be"),
    ],
)
def test_limits_out_of_range_are_refused(package, options, words):
    with pytest.raises(ValueError, match=words):
        create_app(package, **options)
    with pytest.raises(TypeError, match="package must be a ModelPackage"):
        create_app(package.model, **options)


# --- Dynamic batching


def run_batcher(predict, requests, **options):
    """Score requests that come at once; return their answers and the number of calls."""

    async def run():
        batcher = deployment._Batcher(predict, **({"max_waiting": 1000, "max_wait": 0} | options))
        batcher.start()
        answers = await asyncio.gather(*map(batcher.score, requests), return_exceptions=True)
        batcher.task.cancel()
        return answers, batcher.calls

    return asyncio.run(run())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(), min_size=1, max_size=5), max_size=30), st.integers(1, 20))
def test_everybody_gets_the_own_answer_and_no_batch_is_larger_than_needed(requests, max_batch):
    sizes = []

    def predict(rows):
        sizes.append(len(rows))
        return [2 * row for row in rows]

    answers, calls = run_batcher(predict, requests, max_batch=max_batch)
    assert answers == [[2 * row for row in rows] for rows in requests]
    assert calls == len(sizes) and sum(sizes) == sum(map(len, requests))
    assert all(size < max_batch + 5 for size in sizes)
    if max_batch == 1:
        assert calls == len(requests)


def test_requests_that_wait_together_are_one_call_and_a_failure_hits_its_batch_only():
    answers, calls = run_batcher(lambda rows: rows, [[i] for i in range(64)], max_batch=64)
    assert calls == 1 and answers == [[i] for i in range(64)]

    def fails_on_7(rows):
        if 7 in rows:
            raise RuntimeError("seven")
        return rows

    answers, calls = run_batcher(fails_on_7, [[i] for i in range(10)], max_batch=5)
    assert calls == 2 and answers[:5] == [[0], [1], [2], [3], [4]]
    assert all(isinstance(answer, RuntimeError) for answer in answers[5:])


def test_max_wait_lets_a_request_wait_for_company():
    async def run(max_wait):
        batcher = deployment._Batcher(lambda rows: rows, 2, max_wait, 100)
        batcher.start()
        first = asyncio.create_task(batcher.score([1]))
        await asyncio.sleep(0.02)
        await asyncio.gather(first, batcher.score([2]))
        batcher.task.cancel()
        return batcher.calls

    assert asyncio.run(run(0)) == 2 and asyncio.run(run(1)) == 1


def call(app, method, path, **options):
    """A request to an application in this process, with its lifespan."""

    async def run():
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await options.pop("within")(client, app)

    return asyncio.run(run())


def test_too_many_that_wait_are_sent_away_and_a_dead_scorer_is_not_ready(package, rows):
    body = {"rows": as_json(rows.head(1))}

    async def crowd(client, app):
        real, gate = app.state.batcher.predict, threading.Event()
        app.state.batcher.predict = lambda rows: gate.wait(30) and real(rows)
        asked = [asyncio.create_task(client.post("/predict", json=body)) for _ in range(8)]
        for _ in range(2000):  # nobody is scored before five have been sent away
            if sum(one.done() for one in asked) >= 5:
                break
            await asyncio.sleep(0.01)
        gate.set()
        codes = [answer.status_code for answer in await asyncio.gather(*asked)]
        app.state.batcher.predict = lambda rows: 1 / 0
        broken = await client.post("/predict", json=body)
        app.state.batcher.predict = real
        again = await client.post("/predict", json=body)
        before = await client.get("/ready")
        app.state.batcher.task.cancel()
        await asyncio.sleep(0.01)
        after = await client.get("/ready")
        alive = await client.get("/health")
        return codes, [a.status_code for a in (broken, again, before, after, alive)]

    app = create_app(package, max_waiting=2, max_batch=1)
    codes, states = call(app, "GET", "/", within=crowd)
    assert codes.count(503) >= 5 and codes.count(200) >= 2 and set(codes) == {200, 503}
    assert states == [500, 200, 200, 503, 200]  # a failed call is one 500, and it goes on


# --- Load


def test_percentiles_are_those_of_the_raw_timings():
    rng = np.random.default_rng(0)
    timings = pd.DataFrame(
        {"due_s": np.arange(1000) / 100, "latency_ms": rng.exponential(20, 1000)}
    )
    timings["status"] = np.where(np.arange(1000) % 10 == 0, 503, 200)
    summary = latency_summary(timings)
    good = timings.loc[timings["status"] == 200, "latency_ms"]
    for percent in (50, 95, 99):
        assert summary[f"p{percent}_ms"] == pytest.approx(np.percentile(good, percent), abs=1e-9)
    assert summary["failed"] == pytest.approx(0.1)
    ends = timings["due_s"] + timings["latency_ms"] / 1000
    assert summary["per_second"] == pytest.approx(900 / ends.max())
    with pytest.raises(ValueError, match="timings must hold"):
        latency_summary(timings.head(0))
    with pytest.raises(ValueError, match="timings lacks the column 'status'"):
        latency_summary(timings.drop(columns="status"))
    with pytest.raises(ValueError, match="column must be one of"):
        latency_summary(timings, "status")


def test_a_load_is_bounded_in_count_and_in_time_and_failures_are_told(service, rows):
    bodies = [{"rows": [row]} for row in as_json(rows.head(20))] + [{"rows": []}]
    timings = load_test(f"{service.url}/predict", bodies, clients=4, requests=42)
    assert len(timings) == 42 and timings["status"].value_counts().to_dict() == {200: 40, 422: 2}
    assert (timings["latency_ms"] == timings["service_ms"]).all()  # a closed loop
    timings = load_test(
        f"{service.url}/predict", bodies[:20], clients=2, requests=10**6, rate=50, seconds=0.5
    )
    assert 2 <= len(timings) <= 26  # on a slow machine, fewer
    assert np.allclose(np.diff(timings["due_s"]), 1 / 50)
    assert (timings["latency_ms"] >= timings["service_ms"] - 1e-6).all()
    nobody = f"http://{_servers.HOST}:{_servers.free_port()}/predict"
    assert set(load_test(nobody, bodies, requests=3)["status"]) == {0}


def test_an_open_loop_beyond_capacity_shows_the_queue(service, rows):
    body = [{"rows": as_json(rows.head(60))}]
    closed = load_test(f"{service.url}/predict", body, clients=1, requests=30)
    rate = 10 * latency_summary(closed)["per_second"]
    opened = load_test(f"{service.url}/predict", body, clients=1, requests=90, rate=rate)
    assert latency_summary(opened)["p95_ms"] > 3 * latency_summary(opened, "service_ms")["p95_ms"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clients": 0}, "clients must be"),
        ({"requests": 0}, "requests must be"),
        ({"rate": 0}, "rate must be"),
        ({"seconds": 0}, "seconds must be"),
        ({"bodies": []}, "bodies must be a list"),
        ({"bodies": {"a": 1}}, "bodies must be a list"),
    ],
)
def test_a_load_test_refuses_what_makes_no_sense(options, words):
    with pytest.raises(ValueError, match=words):
        load_test("http://127.0.0.1:9/predict", **({"bodies": [{}]} | options))


# --- Batch prediction


@pytest.fixture(params=["table", "memory"])
def store(request, broker):
    if request.param == "memory":
        yield PredictionStore(broker, f"scores-{request.node.name}")
    else:
        with start_database() as database:
            yield PredictionStore(database)


def test_a_batch_gives_the_online_answers_and_counts_who_asks(store, package, rows):
    X = rows.set_axis([f"flight {i}" for i in range(len(rows))])
    scores = predict_batch(package, X, store, made_at=100)
    assert scores.equals(package.predict(X))
    found = store.lookup(X.index.tolist(), at=460)
    assert found["probability"].tolist() == scores.tolist()  # the same bits
    assert set(found["age"]) == {360} and set(found["version"]) == {"1.0"}
    fresh = PredictionStore.__new__(PredictionStore)
    fresh._backend, fresh._asked = store._backend, set()
    again = fresh.lookup(["flight 3", "nobody", "flight 3", *X.index[10:509]], at=460)
    assert np.isnan(again["probability"]["nobody"]) and np.isnan(again["age"]["nobody"])
    usage = fresh.usage()
    assert (usage["stored"], usage["asked"]) == (2000, 500)
    assert usage["never_asked"] == 0.75 and usage["not_found"] == pytest.approx(1 / 501)


def test_a_new_batch_replaces_the_old_one_whole(store):
    store.write(pd.Series({"a": 0.1, "b": 0.2}), made_at=0, version="1")
    store.write(pd.Series({"b": 0.3}), made_at=60, version="2")
    found = store.lookup(["a", "b"], at=90)
    assert np.isnan(found.loc["a", "probability"]) and found.loc["b"].tolist() == [0.3, "2", 30]
    assert store.usage()["stored"] == 1


def test_before_the_first_batch_nothing_is_found(store):
    assert store.lookup(["a"], at=0)["probability"].isna().all()
    assert np.isnan(store.usage()["never_asked"])


def test_readers_never_see_some_of_both_batches(store):
    keys = [f"k{i}" for i in range(1200)]
    store.write(pd.Series(0.0, keys), made_at=0, version="0")
    stop, seen = threading.Event(), []

    def read():
        while not stop.is_set():
            some = keys[: len(seen) % 2 * 600 + 600]  # few keys and many
            seen.append(store.lookup(some, at=0)[["probability", "version"]].nunique().max())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for i in range(1, 200):
            store.write(pd.Series(float(i), keys), made_at=i, version=str(i))
            if i >= 10 and len(seen) >= 10:
                break
    finally:
        stop.set()
        reader.join()
    assert len(seen) > 1 and set(seen) == {1}


def test_bad_keys_scores_and_places_are_refused(store, package, rows):
    for scores, words in [
        (pd.Series([0.1, 0.2], ["a", "a"]), "keys must be distinct"),
        (pd.Series([0.1], [7]), "keys must be strings"),
        (pd.Series([0.1], [""]), "keys must be strings"),
        (pd.Series([], dtype=float), "keys must be strings"),
        (pd.Series([np.nan], ["a"]), "scores holds 1 missing"),
    ]:
        with pytest.raises(ValueError, match=words):
            store.write(scores, made_at=0, version="1")
    store.write(pd.Series({"a": 0.5}), made_at=0, version="1")
    with pytest.raises(ValueError, match="X lacks the column 'temp'"):
        predict_batch(package, rows.drop(columns="temp").rename(str), store, made_at=0)
    with pytest.raises(ValueError, match="X is empty"):
        predict_batch(package, rows.head(0), store, made_at=0)
    assert store.lookup(["a"], at=0)["probability"]["a"] == 0.5  # nothing was stored
    with pytest.raises(ValueError, match="at must be a number"):
        store.lookup(["a"], at=np.nan)
    with pytest.raises(TypeError, match="where must be a Database or a Broker"):
        PredictionStore("predictions.db")


# --- Smaller models


@pytest.fixture(scope="module")
def network():
    X, y = load_breast_cancer()
    X = ((X - X.mean()) / X.std()).to_numpy()
    return MLPClassifier((40, 20), max_iter=300, random_state=0).fit(X, y), X, y


def test_a_compact_network_answers_as_scikit_learns(network):
    mlp, X, _ = network
    compact = CompactNetwork(mlp)
    assert np.allclose(compact.predict_proba(X), mlp.predict_proba(X), atol=1e-5)
    same = compact.compress(lambda weights: (weights, np.eye(weights.shape[1], dtype=np.float32)))
    assert np.allclose(same.predict_proba(X), compact.predict_proba(X), atol=1e-6)
    assert len(compact.layers[0][0]) == 1  # the original is as it was


def test_networks_of_another_kind_are_refused(network):
    _, X, y = network
    for bad in (MLPClassifier(), LogisticRegression()):
        with pytest.raises(ValueError, match="network must be a fitted MLPClassifier"):
            CompactNetwork(bad)
    tanh = MLPClassifier(3, activation="tanh", max_iter=300, tol=1).fit(X, y)
    with pytest.raises(ValueError, match="network must be"):
        CompactNetwork(tanh)


def test_pruning_keeps_the_largest_and_as_many_as_asked():
    weights = np.random.default_rng(0).normal(size=(30, 20))
    (kept,) = prune_weights(weights, 0.9)
    assert sparse.issparse(kept) and kept.nnz == 60
    dense = kept.toarray()
    assert np.abs(weights[dense == 0]).max() <= np.abs(dense[dense != 0]).min()
    assert np.array_equal(dense[dense != 0], weights[dense != 0])
    assert np.array_equal(prune_weights(weights, 0)[0].toarray(), weights)
    assert prune_weights(weights, 1)[0].nnz == 0


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_quantized_weights_are_off_by_half_a_step_at_most(seed, size):
    weights = np.random.default_rng(seed).normal(0, size, (12, 5))
    weights[:, 4] = 0
    whole, scale = quantize_weights(weights)
    assert whole.dtype == np.int8 and np.abs(whole.astype(int)).max() == 127
    assert (np.abs(whole * scale - weights) <= 0.5001 * scale).all()
    assert (whole[:, 4] == 0).all()


def test_low_rank_is_the_best_by_eckart_and_young():
    weights = np.random.default_rng(0).normal(size=(30, 20))
    lost = np.linalg.svd(weights, compute_uv=False)
    for rank in (1, 5, 20):
        A, B = low_rank(weights, rank)
        assert A.shape == (30, rank) and B.shape == (rank, 20)
        assert np.linalg.norm(weights - A @ B) == pytest.approx(
            np.sqrt((lost[rank:] ** 2).sum()), abs=1e-9
        )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: prune_weights(np.ones((2, 2)), 1.1), "share must be"),
        (lambda: prune_weights(np.ones(3), 0.5), "weights must be a matrix"),
        (lambda: prune_weights([["a"]], 0.5), "weights must be a matrix"),
        (lambda: low_rank([[1j]], 1), "weights must be a matrix"),
        (lambda: quantize_weights(np.array([[np.nan]])), "weights must be a matrix"),
        (lambda: low_rank(np.ones((3, 2)), 3), "rank must be at most 2"),
        (lambda: low_rank(np.ones((3, 2)), 0), "rank must be"),
        (lambda: compress_report({}, [[1]], [1]), "models must hold"),
    ],
)
def test_compression_refuses_what_makes_no_sense(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_student_learns_the_teachers_answers_without_labels(network):
    mlp, X, _ = network
    rng = np.random.default_rng(0)
    fresh = rng.choice(X, 3000) + rng.normal(0, 0.2, (3000, 30))  # no label exists for these
    student = distil(mlp, DecisionTreeRegressor(max_leaf_nodes=200, random_state=0), fresh)
    answers, teacher = student.predict_proba(fresh), mlp.predict_proba(fresh)
    assert np.corrcoef(answers[:, 1], teacher[:, 1])[0, 1] > 0.9
    assert np.allclose(answers.sum(axis=1), 1)
    with pytest.raises(TypeError, match="teacher must have predict_proba"):
        distil(LinearRegression(), DecisionTreeRegressor(), X)
    with pytest.raises(TypeError):
        distil(mlp, "a student", X)


def test_the_report_measures_size_time_and_score(network):
    mlp, X, y = network
    full = CompactNetwork(mlp)
    models = {"full": full, "8 bits": full.compress(quantize_weights)}
    report = compress_report(models, X, y)
    assert report.loc["full", "change"] == 0
    assert report["size_kb"].tolist() == [len(pickle.dumps(m)) / 1000 for m in models.values()]
    assert report.loc["8 bits", "size_kb"] < 0.6 * report.loc["full", "size_kb"]
    assert (report["us_a_row"] > 0).all()
    with pytest.raises(ValueError, match="y must hold the labels"):
        compress_report(models, X, y + 1)


# --- One definition of a feature


def by_hand(feature, events, key, at):
    """The definition, read out slowly."""
    if feature.id:
        order = feature.known or feature.time
        events = events.sort_values(order, kind="stable").drop_duplicates(
            [feature.key, feature.id, feature.time]
        )
    known = events[feature.known or feature.time]
    chosen = events[
        (events[feature.key] == key)
        & (events[feature.time] > at - feature.window)
        & (events[feature.time] <= at)
        & (known <= at)
    ]
    if feature.aggregate == "count":
        return len(chosen)
    values = chosen[feature.value]
    return values.sum() if feature.aggregate == "sum" else values.mean()


EVENTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.integers(0, 15), st.integers(0, 9)),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(EVENTS, st.integers(1, 20), st.sampled_from(["count", "sum", "mean"]), st.booleans())
def test_batch_equals_stream_equals_the_definition(drawn, window, aggregate, with_ids):
    events = pd.DataFrame(drawn, columns=["key", "time", "delay", "id"])
    events["known"], events["value"] = events["time"] + events["delay"], events["id"] * 3 % 7
    feature = WindowFeature(
        "f", "key", "time", window, aggregate, None if aggregate == "count" else "value",
        known="known", id="id" if with_ids else None,
    )  # fmt: skip
    requests = pd.DataFrame(
        [(k, at) for at in range(0, 60, 3) for k in "abc"], columns=["key", "at"]
    )
    batch = feature.batch(events, requests.sample(frac=1, random_state=0)).loc[requests.index]
    slow = [by_hand(feature, events, *row) for row in requests.itertuples(index=False)]
    np.testing.assert_array_equal(batch, np.array(slow, dtype=float))
    state, served, left = feature.stream(), [], events.sort_values("known", kind="stable")
    left = left.to_dict("records")
    for key, at in requests.itertuples(index=False):
        while left and left[0]["known"] <= at:
            state.update(left.pop(0))
        served.append(state.value(key, at))
    np.testing.assert_array_equal(batch, served)


def test_both_ends_of_the_window_and_the_moment_of_knowing():
    feature = WindowFeature("n", "k", "time", 10, known="known")
    events = pd.DataFrame({"k": "a", "time": [0, 5, 10, 11], "known": [0, 12, 10, 30]})
    at = pd.DataFrame({"k": "a", "at": [0, 9.999, 10, 12, 15, 20, 30]})
    assert feature.batch(events, at).tolist() == [1, 1, 1, 2, 1, 0, 0]
    # the event of 11 was known at 30, when it had left: it never counts, in neither engine


def test_late_and_double_events_of_a_stream_are_handled_as_told():
    feature = WindowFeature("n", "k", "time", 10, id="id")
    state = feature.stream(lateness=5)
    assert state.update({"k": "a", "time": 20, "id": 1})
    assert state.update({"k": "a", "time": 16, "id": 2})  # out of order
    assert not state.update({"k": "a", "time": 16, "id": 2})  # a duplicate
    assert not state.update({"k": "a", "time": 5, "id": 3})  # no question can be about it
    assert state.update({"k": "b", "time": 20, "id": 1})  # ids are per key
    assert state.value("a", 20) == 2 and state.value("a", 16) == 1 and state.value("z", 20) == 0
    with pytest.raises(ValueError, match="at must be at least 15, got 14"):
        state.value("a", 14)


def test_the_state_forgets_what_has_left_the_window():
    state = WindowFeature("n", "k", "time", 10, id="id").stream()
    for i in range(1000):
        state.update({"k": "a", "time": i, "id": i})
    assert len(state) == 10 and len(state._ids["a"]) == 10


@settings(deadline=None, max_examples=40)
@given(EVENTS, st.integers(0, 10**6), st.booleans())
def test_within_its_lateness_a_stream_takes_events_and_copies_in_any_order(drawn, seed, with_ids):
    events = pd.DataFrame(drawn, columns=["key", "time", "delay", "id"])
    events["known"], events["value"] = events["time"] + events["delay"], range(len(events))
    options = {"known": "known", "id": "id" if with_ids else None}
    feature = WindowFeature("f", "key", "time", 12, "sum", "value", **options)
    if with_ids:  # two that are known at one moment have no first
        events = events.drop_duplicates(["key", "time", "id", "known"])
    state = feature.stream(lateness=100)
    for event in events.sample(frac=1, random_state=seed).to_dict("records"):
        state.update(event)
    requests = pd.DataFrame([(k, at) for at in range(60) for k in "abc"], columns=["key", "at"])
    served = [state.value(*row) for row in requests.itertuples(index=False)]
    np.testing.assert_array_equal(feature.batch(events, requests), served)


def test_of_no_events_both_engines_say_the_same():
    requests = pd.DataFrame({"k": ["a"], "at": [1.0]})
    for aggregate, value, wanted in (("count", None, 0), ("sum", "v", 0), ("mean", "v", np.nan)):
        feature = WindowFeature("f", "k", "t", 10, aggregate, value)
        none = pd.DataFrame(columns=["k", "t", "v"])
        np.testing.assert_array_equal(feature.batch(none, requests), [wanted])
        np.testing.assert_array_equal(feature.stream().value("a", 1.0), wanted)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 0}, "window must be"),
        ({"window": np.inf}, "window must be"),
        ({"aggregate": "max", "value": "v"}, "aggregate must be one of"),
        ({"aggregate": "sum"}, "value must be given"),
        ({"value": "v"}, "value must be given"),
        ({"key": None}, "must be strings"),
        ({"name": 3}, "must be strings"),
    ],
)
def test_definitions_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        WindowFeature(**({"name": "f", "key": "k", "time": "t", "window": 1} | options))


def test_events_that_make_no_sense_are_refused_in_both_engines():
    feature = WindowFeature("f", "k", "t", 10, "sum", "v", known="known", id="id")
    good = {"k": "a", "t": 5.0, "v": 1.0, "known": 6.0, "id": 1}
    at = pd.DataFrame({"k": ["a"], "at": [7]})
    assert feature.batch(pd.DataFrame([good]), at).tolist() == [1]
    for change, batch_words, stream_words in [
        ({"t": np.nan}, "t holds 1 missing", "t must be a number"),
        ({"v": np.inf}, "v must hold finite", "v must be a number"),
        ({"known": 4.0}, "known must not lie before t", "known must be a number at least 5"),
        ({"k": None}, "k holds 1 missing", "k and id of an event must not be missing"),
        ({"id": None}, "id holds 1 missing", "k and id of an event must not be missing"),
        ({"id": np.nan}, "id holds 1 missing", "k and id of an event must not be missing"),
        ({"t": pd.Timestamp("2013-01-01")}, "t must hold numbers", "t must be a number"),
    ]:
        with pytest.raises(ValueError, match=batch_words):
            feature.batch(pd.DataFrame([good | change]), at)
        with pytest.raises(ValueError, match=stream_words):
            feature.stream().update(good | change)
    for name in good:
        less = {k: v for k, v in good.items() if k != name}
        with pytest.raises(ValueError, match=f"events lacks the column '{name}'"):
            feature.batch(pd.DataFrame([less]), at)
        with pytest.raises(ValueError, match=f"event lacks the column '{name}'"):
            feature.stream().update(less)
    with pytest.raises(ValueError, match="requests lacks the column 'at'"):
        feature.batch(pd.DataFrame([good]), at[["k"]])
    with pytest.raises(ValueError, match="lateness must be"):
        feature.stream(-1)


# --- The flights, in both engines


@pytest.fixture(scope="module")
def airport(flights):
    """Departures, requests, and three features of the last two hours."""
    flown = load_flights()
    start, minute = pd.Timestamp("2013-01-01", tz="UTC"), pd.Timedelta("1min")
    due = (flown["time_hour"] - start) / minute + flown["minute"]
    events = flown[["origin", "dep_delay"]].assign(left=due + flown["dep_delay"], due=due)
    events["late"] = (events["dep_delay"] > 60).astype(float)
    at = (flights["scheduled"] - start) / minute - 120
    requests = pd.DataFrame({"origin": flights["origin"].astype(str), "at": at})
    features = [
        WindowFeature("recent_departures", "origin", "left", 120),
        WindowFeature("recent_mean_delay", "origin", "left", 120, "mean", "dep_delay"),
        WindowFeature("recent_late_share", "origin", "left", 120, "mean", "late"),
    ]
    return events[events["left"].notna()], requests, features


def test_the_definition_gives_the_model_tables_columns_on_every_flight(airport, flights):
    events, requests, features = airport
    table = pd.DataFrame({f.name: f.batch(events, requests) for f in features})
    report = parity_report(flights[table.columns], table)
    assert (report["compared"] == 327_346).all() and (report["different"] == 0).all()


def test_a_month_through_the_broker_equals_the_table_on_every_event(airport, flights, broker):
    events, requests, features = airport
    month = requests[(flights["date"] >= "2013-09-01") & (flights["date"] < "2013-10-01")]
    events = events[events["left"].between(month["at"].min() - 120, month["at"].max())]
    assert len(month) == 27_010
    online = stream_features(broker, features, events.sample(frac=1, random_state=0), month)
    offline = pd.DataFrame({f.name: f.batch(events, month) for f in features})
    report = parity_report(offline, online, tolerance=0)
    assert (report["compared"] == 27_010).all() and (report["different"] == 0).all()
    assert offline["recent_departures"].max() > 30  # and there was something to count
    assert not broker.client.exists(broker.key("events"))


def test_a_departure_counts_when_it_is_known_and_not_before(airport):
    events, _, _ = airport
    one = events[(events["origin"] == "JFK") & (events["dep_delay"] > 60)].iloc[[0]]
    feature = WindowFeature("n", "origin", "due", 240, known="left")
    at = pd.DataFrame({"origin": "JFK", "at": one["left"].iloc[0] + np.array([-1, 0])})
    assert feature.batch(one, at).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("skew", "least"),
    [
        (lambda f, e, r: (replace(f, window=60), e, r), 0.5),
        (lambda f, e, r: (f, e, r.assign(at=r["at"] - 240)), 0.5),  # local time for UTC
        (lambda f, e, r: (f, e, r.assign(at=r["at"] - 1e-3)), 0.1),  # < for <=
        (lambda f, e, r: (f, pd.concat([e, e.iloc[::10]]), r), 0.5),  # events twice
        (lambda f, e, r: (f, e.assign(left=e["left"] + 5), r), 0.5),  # late events
        (lambda f, e, r: (replace(f, time="due"), e, r), 0.5),
    ],
)
def test_a_planted_skew_is_found(airport, skew, least):
    events, requests, (feature, *_) = airport
    requests = requests.iloc[:20_000]
    offline = feature.batch(events, requests).to_frame()
    changed, its_events, its_requests = skew(feature, events, requests)
    online = changed.batch(its_events, its_requests).to_frame()
    row = parity_report(offline, online).loc["recent_departures"]
    gap = (online - offline)["recent_departures"]
    assert row["share"] > least and row["different"] == (gap != 0).sum()
    assert row["mean_difference"] == pytest.approx(gap.mean()) and row["largest"] == gap.abs().max()
    assert row["first"] == gap.index[gap != 0][0]


def test_an_event_may_have_a_column_named_at_and_an_index_may_repeat(broker):
    feature = WindowFeature("n", "k", "at", 10)
    events = pd.DataFrame({"k": "a", "at": [3, 1, 2]}, index=[7, 7, 7])
    requests = pd.DataFrame({"k": "a", "at": [9, 1, 2, 13]}, index=[5, 5, 6, 5])
    online = stream_features(broker, [feature], events, requests)
    assert online.index.tolist() == [5, 5, 6, 5] and online["n"].tolist() == [3, 1, 2, 0]
    assert feature.batch(events, requests).tolist() == [3, 1, 2, 0]


def test_features_known_at_different_times_do_not_share_a_stream(broker):
    features = [WindowFeature("a", "k", "t", 1), WindowFeature("b", "k", "t", 1, known="u")]
    table = pd.DataFrame({"k": ["x"], "t": [1], "u": [2], "at": [3]})
    with pytest.raises(ValueError, match="all known by the same column"):
        stream_features(broker, features, table, table)
    with pytest.raises(ValueError, match="at least one"):
        stream_features(broker, [], table, table)
    with pytest.raises(ValueError, match="events lacks the column 't'"):
        stream_features(broker, features[:1], table[["k"]], table)
    bad = table.assign(t=[np.nan])
    with pytest.raises(_servers.ServerError, match="t must be a number"):
        stream_features(broker, features[:1], bad, table)


def test_a_parity_report_counts_missing_values_and_names_what_is_absent():
    offline = pd.DataFrame({"f": [1, np.nan, np.nan, np.inf], "g": 1.0}, index=list("abcd"))
    online = pd.DataFrame({"f": [1, np.nan, 2, np.inf], "g": 1.0 + 1e-12}, index=list("abcd"))
    report = parity_report(offline, online.loc[list("dcba")])  # the order does not matter
    assert report.loc["f", ["different", "one_missing", "first"]].tolist() == [1, 1, "c"]
    assert report.loc["g", "different"] == 0 and pd.isna(report.loc["g", "first"])
    assert parity_report(offline, online, tolerance=0).loc["g", "different"] == 4
    for a, b, words in [
        (offline, online[["f"]], "online lacks the column 'g'"),
        (offline[["f"]], online, "offline lacks the column 'g'"),
        (offline, online.drop("b"), "online lacks the row 'b'"),
        (offline.drop("b"), online, "offline lacks the row 'b'"),
        (offline.head(0), online.head(0), "must hold rows"),
        (pd.concat([offline, offline]), online, "each once"),
        (offline.astype(str), online, r"offline\['f'\] must hold numbers"),
        (offline, online.set_axis(["f", "f"], axis=1), "online must be a table of distinct"),
        ([1], online, "offline must be a table"),
    ]:
        with pytest.raises(ValueError, match=words):
            parity_report(a, b)


# --- What is asked of every module


def test_the_module_loads_neither_torch_nor_fastapi():
    code = (
        "import sys, mlsys_helpers.deployment; "
        "print([m for m in ('torch', 'fastapi', 'httpx', 'skops', 'valkey') if m in sys.modules])"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- Exercises: mistakes that people make


def _ignores_received(ordered, received, now, window):
    return ((ordered > now - window) & (ordered <= now)).sum()


def _closed_on_the_left(ordered, received, now, window):
    return ((ordered >= now - window) & (ordered <= now) & (received <= now)).sum()


def _by_received(ordered, received, now, window):
    return ((received > now - window) & (received <= now)).sum()


def _open_on_the_right(ordered, received, now, window):
    return ((ordered > now - window) & (ordered < now) & (received < now)).sum()


def _asks_what_is_outside(row, contract):
    bad = set(row) ^ set(contract)
    for name in set(row) & set(contract):
        value, (low, high) = row[name], contract[name]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or value < low or value > high:
            bad.add(name)
    return sorted(bad)


def _takes_true(row, contract):
    bad = set(row) ^ set(contract)
    for name in set(row) & set(contract):
        low, high = contract[name]
        if not isinstance(row[name], (int, float)) or not low <= row[name] <= high:
            bad.add(name)
    return sorted(bad)


def _allows_extra(row, contract):
    return sorted(n for n, (a, b) in contract.items() if n not in row or not a <= row[n] <= b)


def _first_only(row, contract):
    return _asks_all(row, contract)[:1]


def _asks_all(row, contract):
    bad = set(row) ^ set(contract)
    for name in set(row) & set(contract):
        value, (low, high) = row[name], contract[name]
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not low <= value <= high
        ):
            bad.add(name)
    return sorted(bad)


def _waits_from_the_last(arrivals, max_batch, max_wait):
    result = []
    for at in arrivals:
        if result and len(result[-1]) < max_batch and at <= result[-1][-1] + max_wait:
            result[-1].append(at)
        else:
            result.append([at])
    return result


def _without_the_end(arrivals, max_batch, max_wait):
    result = []
    for at in arrivals:
        if result and len(result[-1]) < max_batch and at < result[-1][0] + max_wait:
            result[-1].append(at)
        else:
            result.append([at])
    return result


def _chunks(arrivals, max_batch, max_wait):
    return [arrivals[i : i + max_batch] for i in range(0, len(arrivals), max_batch)]


def _forgets_the_last(arrivals, max_batch, max_wait):
    result, batch = [], []
    for at in arrivals:
        if batch and (len(batch) == max_batch or at > batch[0] + max_wait):
            result.append(batch)
            batch = []
        batch.append(at)
    return result


def _waits(due, answered):
    return np.where(np.isnan(answered), np.inf, answered - due)


def _sorts_the_answers(due, sent, answered):
    return np.percentile(_waits(due, np.sort(answered)), 99, method="lower")


def test_right_answers_of_other_types_pass():
    for name, attempt in {
        "orders_known": lambda o, r, now, w: np.array(
            ((o > now - w) & (r <= now) & (o <= now)).sum()
        ),
        "problems": lambda row, contract: tuple(_asks_all(row, contract)),
        "batches": lambda a, n, wait: tuple(map(np.array, _right_batches(a, n, wait))),
        "p99_felt": lambda due, sent, answered: sorted(_waits(due, answered))[-len(due) // 100],
    }.items():
        assert judge(f"deployment.{name}", attempt).status == CORRECT, name


@pytest.mark.parametrize("method", ["inverted_cdf", "higher", "lower", "closest_observation"])
def test_every_usual_percentile_of_the_waits_passes(method):
    def p99_felt(due, sent, answered):
        return np.array(np.percentile(_waits(due, answered), 99, method=method))

    assert judge("deployment.p99_felt", p99_felt).status == CORRECT


def _right_batches(arrivals, max_batch, max_wait):
    result = []
    for at in arrivals:
        if result and len(result[-1]) < max_batch and at <= result[-1][0] + max_wait:
            result[-1].append(at)
        else:
            result.append([at])
    return result


WRONG_ANSWERS = {
    "orders_known": [
        (_ignores_received, "nobody knew"),
        (_closed_on_the_left, "has left"),
        (_by_received, "placed, not when it was received"),
        (_open_on_the_right, "this very moment"),
        (lambda ordered, received, now, window: 2, "ordered in"),
        (lambda ordered, received, now, window: ordered <= now, "one number"),
    ],
    "problems": [
        (_asks_what_is_outside, "comparison with nan"),
        (_takes_true, "True is an int"),
        (_allows_extra, "does not know"),
        (_first_only, "all problems"),
        (lambda row, contract: [], "missing is a problem"),
        (lambda row, contract: set(row) ^ set(contract), "list of names"),
    ],
    "batches": [
        (_waits_from_the_last, "first"),
        (_without_the_end, "still joins"),
        (_chunks, "*first* request"),
        (_forgets_the_last, "last one may be smaller"),
        (lambda arrivals, max_batch, max_wait: arrivals, "list of lists"),
    ],
    "p99_felt": [
        (lambda due, sent, answered: np.nanpercentile(answered - sent, 99), "coordinated omission"),
        (lambda due, sent, answered: np.percentile(sent - due, 99), "until the answer comes"),
        (lambda due, sent, answered: (answered - due).max(), "longest wait of all"),
        (lambda due, sent, answered: np.percentile(answered - due, 95), "counted from `due`"),
        (lambda due, sent, answered: 19.2, "overtake"),
        (_sorts_the_answers, "overtake"),
        (lambda due, sent, answered: np.percentile(answered - due, 99), "nan is no wait"),
        (lambda due, sent, answered: np.nanpercentile(answered - due, 99), "because it fails"),
        (
            lambda due, sent, answered: np.percentile(
                np.where(np.isnan(answered), np.nanmax(answered) - due, answered - due), 99
            ),
            "because it fails",
        ),
        (lambda due, sent, answered: answered - due, "one number"),
    ],
}
