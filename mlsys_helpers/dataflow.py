"""Chapter 03: how data gets from one process to another, and what is computed on the way.

In the order of the chapter: one message and its contract; the four ways of passing it (database,
REST, RPC, broker) and their latencies; a work queue whose workers may die; batch processing with
MapReduce and the Spark API; stream processing with windows over event time.

Functions whose name begins with ``_run`` are what the other processes do.
"""

import bisect
import json
import math
import os
import sys
import time
import warnings
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from mlsys_helpers import _checks, _servers
from mlsys_helpers._servers import start_broker, start_database

__all__ = [
    "Flight",
    "flight_messages",
    "plot_flow",
    "start_database",
    "start_rest",
    "start_grpc",
    "start_broker",
    "measure_dataflow",
    "summarise_dataflow",
    "start_subscriber",
    "WorkQueue",
    "start_worker",
    "map_reduce",
    "spark_session",
    "TumblingWindow",
    "SlidingWindow",
]

GUARANTEES = ("at most once", "at least once", "effectively once")


# --- The message -----------------------------------------------------------------------------

_Airport = Annotated[str, StringConstraints(pattern="^[A-Z0-9]{3}$")]
_Moment = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class Flight(BaseModel):
    """What the processes of this chapter tell each other: one flight that left, or did not.

    Parameters
    ----------
    number : int of at least 1
        Numbers the messages; two messages of one number are the same message.
    carrier : str of two letters or digits
    flight : int of at least 1
    origin, dest : str of three letters or digits
    scheduled : str
        Departure as planned, in UTC, such as ``"2013-07-01T09:15:00Z"``.
    dep_delay : float or None
        Minutes; negative when it left early, None when it never left.

    Raises
    ------
    ValueError
        pydantic's ValidationError, where a field is missing, unknown or of another type.

    References
    ----------
    Chapter 03, Modes of dataflow.

    Examples
    --------
    >>> from mlsys_helpers.dataflow import Flight
    >>> body = b'{"number": 1, "carrier": "UA", "flight": 1545, "origin": "EWR", "dest": "IAH"}'
    >>> try:
    ...     Flight.model_validate_json(body)
    ... except ValueError as error:
    ...     print(error.errors()[0]["loc"], error.errors()[0]["msg"])
    ('scheduled',) Field required
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    number: int = Field(ge=1, lt=2**31)
    carrier: Annotated[str, StringConstraints(pattern="^[A-Z0-9]{2}$")]
    flight: int = Field(ge=1, lt=2**31)
    origin: _Airport
    dest: _Airport
    scheduled: _Moment
    dep_delay: Annotated[float, Field(allow_inf_nan=False)] | None


_FIELDS = list(Flight.model_fields)


def _decode(body):
    """The message in these bytes as a dict, or a ValueError whose text is the reason."""
    try:
        return Flight.model_validate_json(body).model_dump()
    except ValidationError as error:
        raise ValueError(_reason(error)) from None


def _reason(error):
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"].partition(":")[0]


def flight_messages(flights):
    """Rows of `load_flights` as messages, numbered from 1 in their order.

    Parameters
    ----------
    flights : DataFrame
        With the columns ``carrier``, ``flight``, ``origin``, ``dest``, ``time_hour``, ``minute``
        and ``dep_delay``.

    Returns
    -------
    list of dict
        Each holds the fields of `Flight`.

    Raises
    ------
    ValueError
        If a column is missing or a row breaks the contract.

    References
    ----------
    Chapter 03, Modes of dataflow.

    Examples
    --------
    >>> from mlsys_helpers.dataflow import flight_messages
    >>> from mlsys_helpers.datasets import load_flights
    >>> (message,) = flight_messages(load_flights().head(1))
    >>> message["scheduled"], message["dep_delay"]
    ('2013-01-01T10:15:00Z', 2.0)
    """
    needed = ["carrier", "flight", "origin", "dest", "time_hour", "minute", "dep_delay"]
    missing = [name for name in needed if name not in flights]
    if missing:
        raise ValueError(f"flights lacks the columns {', '.join(missing)}")
    scheduled = flights["time_hour"] + pd.to_timedelta(flights["minute"], unit="min")
    table = flights[["carrier", "flight", "origin", "dest"]].assign(
        number=range(1, len(flights) + 1),
        scheduled=scheduled.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        dep_delay=flights["dep_delay"].astype(object).where(flights["dep_delay"].notna(), None),
    )
    return _checked(table[_FIELDS].to_dict("records"))


def _checked(messages):
    """The messages, if each keeps to the contract and no number occurs twice."""
    if not isinstance(messages, (list, tuple)) or not messages:
        raise ValueError(f"messages must be a list of at least one message, got {messages!r}")
    for i, message in enumerate(messages):
        try:
            Flight.model_validate(message)
        except ValidationError as error:
            raise ValueError(f"messages[{i}] is no flight: {_reason(error)}") from None
    twice = [n for n, k in Counter(message["number"] for message in messages).items() if k > 1]
    if twice:
        raise ValueError(f"messages must have distinct numbers, {twice[0]} occurs twice")
    return list(messages)


def plot_flow(places, arrows, ax=None):
    """Draw who passes data to whom: boxes, and arrows between them.

    Parameters
    ----------
    places : dict of str to (x, y, color)
        Each box's text, its middle, and the name of its colour in `plotting.COLORS`.
    arrows : list of (from, to, label)
        Texts of two boxes, and what travels.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If an arrow names a box that is not there.

    References
    ----------
    Chapter 03, Modes of dataflow.

    Examples
    --------
    >>> from mlsys_helpers.dataflow import plot_flow
    >>> boxes = {"process A": (0, 0, "blue"), "process B": (2, 0, "green")}
    >>> ax = plot_flow(boxes, [("process A", "process B", "request")])
    >>> [text.get_text() for text in ax.texts if text.get_text()]
    ['process A', 'process B', 'request']
    """
    from mlsys_helpers.plotting import COLORS, get_axes

    unknown = [place for start, end, _ in arrows for place in (start, end) if place not in places]
    if unknown:
        raise ValueError(f"arrows must join places, got {unknown[0]!r}")
    ax = get_axes(ax)
    for place, (x, y, color) in places.items():
        box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": COLORS[color]}
        ax.text(x, y, place, ha="center", va="center", bbox=box | {"linewidth": 2.2}, zorder=3)
    joined = {(start, end) for start, end, _ in arrows}
    gap = {place: 16 + 3.6 * max(map(len, place.split("\n"))) for place in places}  # in points
    for start, end, label in arrows:
        (x0, y0, color), (x1, y1, _) = places[start], places[end]
        bend = 0.08 if (end, start) in joined else 0  # there and back are two arrows
        line = {"arrowstyle": "-|>", "color": COLORS[color], "lw": 2, "shrinkA": gap[start]}
        line |= {"shrinkB": gap[end], "connectionstyle": f"arc3,rad={-bend}"}
        ax.annotate("", (x1, y1), (x0, y0), arrowprops=line)
        shift = 13 if not bend else 26 if x1 > x0 else -26
        middle, style = ((x0 + x1) / 2, (y0 + y1) / 2), {"ha": "center", "va": "center"}
        ax.annotate(label, middle, (0, shift), textcoords="offset points", fontsize=11, **style)
    xs, ys, _ = zip(*places.values(), strict=True)
    ax.set(xlim=(min(xs) - 0.6, max(xs) + 0.6), ylim=(min(ys) - 0.6, max(ys) + 0.6))
    ax.set_axis_off()
    return ax


# --- Process B, four times -------------------------------------------------------------------


def _flights_table():
    import sqlalchemy as sql

    return sql.Table(
        "flights",
        sql.MetaData(),
        sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),
        sql.Column("carrier", sql.String(2), nullable=False),
        sql.Column("flight", sql.Integer, nullable=False),
        sql.Column("origin", sql.String(3), nullable=False),
        sql.Column("dest", sql.String(3), nullable=False),
        sql.Column("scheduled", sql.String(20), nullable=False),
        sql.Column("dep_delay", sql.Float),
    )


def _run_reader(url, count, poll, timeout):
    """Ask the database again and again for rows that are new, until there are `count`."""
    import sqlalchemy as sql

    table, received, last = _flights_table(), [], 0
    deadline = time.perf_counter() + timeout
    with _servers.connect_database(url).connect() as connection:
        connection.execute(sql.select(table).limit(1))
        connection.rollback()
        _servers.announce("reading")
        while len(received) < count and time.perf_counter() < deadline:
            newer = sql.select(table).where(table.c.number > last).order_by(table.c.number)
            rows = [dict(row) for row in connection.execute(newer).mappings()]
            connection.rollback()  # the next question shall see what has come since
            received += _stamped(rows)
            last = rows[-1]["number"] if rows else last
            if not rows:
                time.sleep(poll)
    return received


def _stamped(messages):
    """The messages with the moment at which they are here, and the process that has them."""
    stamp = {"at": time.perf_counter(), "receiver": os.getpid()}
    return [message | stamp for message in messages]


def _rest_app():
    """The service: POST a flight to /flights, GET those that it has."""
    from fastapi import FastAPI, HTTPException

    app, received = FastAPI(), {}

    @app.post("/flights", status_code=201)
    async def receive(flight: Flight):
        message = flight.model_dump()
        known = received.setdefault(flight.number, _stamped([message])[0])
        if known | message != known:
            raise HTTPException(409, f"another flight has the number {flight.number}")
        return {"number": flight.number}

    @app.get("/flights")
    async def tell():
        return list(received.values())

    return app


def start_rest(*, port=0, timeout=20):
    """Start a REST service that takes flights, in a process of its own.

    ``POST /flights`` takes one message, and the same message again does nothing; ``GET /flights``
    lists what has come, in its order, with the moment (``at``, seconds) and the ``receiver``.

    Parameters
    ----------
    port : int, default 0
        Port of the loopback address; with 0, any free one.
    timeout : float, default 20
        Seconds in which it must be up.

    Returns
    -------
    process
        With ``url``, ``pid``, ``log``, ``kill()`` and ``stop()``; also a context manager.

    Raises
    ------
    ServerError
        If the port is in use or the service is not up in time, with the service's own words.

    References
    ----------
    Chapter 03, Data passing through services. R. T. Fielding, "Architectural styles and the
    design of network-based software architectures" (2000).

    Examples
    --------
    >>> import httpx
    >>> from mlsys_helpers.dataflow import start_rest
    >>> with start_rest() as service:
    ...     httpx.post(f"{service.url}/flights", json={"number": 1}).status_code
    422
    """
    return _servers.start_app("mlsys_helpers.dataflow:_rest_app", port=port, timeout=timeout)


def _grpc_modules():
    """The classes that gRPC makes of the contract in ``dataflow.proto``."""
    import grpc

    folder = str(Path(__file__).parent)  # where the compiler looks for the file
    sys.path.append(folder)
    try:
        return grpc.protos_and_services("dataflow.proto")
    finally:
        sys.path.remove(folder)


def _run_grpc(port):
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    protos, services = _grpc_modules()
    received = []

    class Flights(services.FlightsServicer):
        def Send(self, request, context):
            received.append((request, time.perf_counter()))
            return protos.Receipt(number=request.number)

        def List(self, request, context):
            for flight, at in received:
                yield protos.Received(flight=flight, at=at, receiver=os.getpid())

    server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    services.add_FlightsServicer_to_server(Flights(), server)
    _servers.bind(port).close()  # says why, if the port cannot be had
    _servers.announce(server.add_insecure_port(f"{_servers.HOST}:{port}"))
    server.start()
    server.wait_for_termination()


def start_grpc(*, port=0, timeout=20):
    """Start a gRPC service that takes flights, in a process of its own.

    Its contract is ``dataflow.proto``: ``Send`` takes one flight, ``List`` streams what has come.

    Parameters
    ----------
    port : int, default 0
        Port of the loopback address; with 0, any free one.
    timeout : float, default 20
        Seconds in which it must be up.

    Returns
    -------
    process
        With ``connect()``, a context manager that gives the classes of the messages and a stub,
        besides ``pid``, ``log``, ``kill()`` and ``stop()``; also a context manager.

    Raises
    ------
    ServerError
        If the port is in use or the service is not up in time, with the service's own words.

    References
    ----------
    Chapter 03, Data passing through services. A. D. Birrell and B. J. Nelson, "Implementing
    remote procedure calls", ACM TOCS 2 (1984).

    Examples
    --------
    >>> from mlsys_helpers.dataflow import start_grpc
    >>> with start_grpc() as service, service.connect() as (protos, stub):
    ...     stub.Send(protos.Flight(number=7, carrier="UA"), timeout=5).number
    7
    """
    server = _servers.start_function(
        _run_grpc, port, name="the gRPC service", ready=lambda it: it.announced, timeout=timeout
    )
    server.url = f"{_servers.HOST}:{server.announced}"
    server.connect = lambda: _grpc_stub(server.url)
    return server


@contextmanager
def _grpc_stub(address):
    import grpc

    protos, services = _grpc_modules()
    with grpc.insecure_channel(address) as channel:
        yield protos, services.FlightsStub(channel)


def _run_subscriber(url, topic, after, count, quiet):
    """Read a topic from an offset on, until there are `count` events or `quiet` seconds of none."""
    client, received = _servers.connect_broker(url), []
    _servers.announce(after)
    while len(received) < count:
        answer = client.xread({topic: after}, count=count - len(received), block=int(1000 * quiet))
        if not answer:
            break
        ((_, events),) = answer.items() if isinstance(answer, dict) else answer
        for offset, fields in events:
            after = offset.decode()
            received += [m | {"offset": after} for m in _stamped([json.loads(fields[b"body"])])]
        _servers.announce(after)
    return received


def start_subscriber(broker, topic, *, after="0", count=10**9, quiet=1.0):
    """Start a process that reads a topic from an offset on.

    Parameters
    ----------
    broker : Broker
        From `start_broker`.
    topic : str
        The key of a stream whose entries hold a message as JSON in the field ``body``.
    after : str, default "0"
        The offset to read after; "0" is the beginning of what is still kept.
    count : int
        Stop after so many events; by default, only by `quiet`.
    quiet : float, default 1.0
        Stop when nothing has come for so many seconds.

    Returns
    -------
    process
        ``result()`` waits for the messages, each with its ``offset``, the moment ``at`` (seconds)
        and the ``receiver``'s process id; ``announced`` is the offset read last.

    Raises
    ------
    ValueError
        If `count` or `quiet` is out of range.

    References
    ----------
    Chapter 03, Data passing through real-time transport. J. Kreps, N. Narkhede and J. Rao,
    "Kafka: a distributed messaging system for log processing", NetDB (2011).

    Examples
    --------
    >>> from mlsys_helpers.dataflow import start_broker, start_subscriber
    >>> with start_broker() as broker:
    ...     topic = broker.key("departures")
    ...     offset = broker.client.xadd(topic, {"body": '{"number": 1}'})
    ...     start_subscriber(broker, topic, count=1).result()[0]["number"]
    1
    """
    _checks.whole_number(count, "count")
    _checks.number(quiet, "quiet", low=0, open_low=True)
    return _servers.start_function(
        _run_subscriber, broker.url, topic, after, count, quiet,
        name="the subscriber", ready=lambda process: process.announced,
    )  # fmt: skip


# --- Process A, and the clock ------------------------------------------------------------------


@contextmanager
def _through_database(count, poll, timeout):
    with start_database() as database:
        table = _flights_table()
        table.create(database.engine)
        with _servers.start_function(
            _run_reader, database.url, count, poll, timeout, ready=lambda it: it.announced
        ) as reader:

            def send(message):
                with database.engine.begin() as connection:
                    connection.execute(table.insert(), message)

            yield send, lambda: reader.result(timeout)


@contextmanager
def _through_rest(count, poll, timeout):
    import httpx

    with start_rest() as service, httpx.Client(base_url=service.url, timeout=timeout) as client:

        def send(message):
            client.post("/flights", json=message).raise_for_status()

        yield send, lambda: client.get("/flights").json()


@contextmanager
def _through_grpc(count, poll, timeout):
    with start_grpc() as service, service.connect() as (protos, stub):

        def send(message):
            stub.Send(protos.Flight(**message), timeout=timeout)

        def received():
            for entry in stub.List(protos.Nothing(), timeout=timeout):
                flight = {name: getattr(entry.flight, name) for name in _FIELDS}
                if not entry.flight.HasField("dep_delay"):
                    flight["dep_delay"] = None
                yield flight | {"at": entry.at, "receiver": entry.receiver}

        yield send, lambda: list(received())


@contextmanager
def _through_broker(count, poll, timeout):
    with start_broker() as broker:
        topic = broker.key("flights")
        with start_subscriber(broker, topic, count=count, quiet=timeout) as subscriber:

            def send(message):
                broker.client.xadd(topic, {"body": json.dumps(message)})

            yield send, lambda: subscriber.result(timeout)


_THROUGH = {
    "database": _through_database,
    "REST": _through_rest,
    "gRPC": _through_grpc,
    "broker": _through_broker,
}
MODES = tuple(_THROUGH)


def measure_dataflow(mode, messages, *, pause=0, poll=0.02, timeout=60):
    """Pass messages from this process to another one, one by one, and time each.

    Parameters
    ----------
    mode : {"database", "REST", "gRPC", "broker"}
        The way; what it needs is started, and stopped again.
    messages : list of dict
        Each with the fields of `Flight`, as `flight_messages` makes them.
    pause : float, default 0
        Seconds between two messages. Without a pause they may queue up before the other process,
        and the latency is for the most part their waiting.
    poll : float, default 0.02
        Seconds that the reader of a database sleeps when it found nothing new.
    timeout : float, default 60
        Seconds that one answer may take.

    Returns
    -------
    DataFrame
        One row for each message that the other process has got, in the order in which it got
        them: the fields of `Flight`, ``latency_ms`` from the moment before it was sent to that at
        which the other process had it, ``sender_ms`` for which the sender was held up,
        ``sent_s`` since the first was sent, and the process id of the ``receiver``.

    Raises
    ------
    ValueError
        If an argument is out of range, or a message breaks the contract.
    ServerError
        If a process is not up in time, or ends too early.

    References
    ----------
    Chapter 03, Modes of dataflow.

    Examples
    --------
    >>> from mlsys_helpers.dataflow import flight_messages, measure_dataflow
    >>> from mlsys_helpers.datasets import load_flights
    >>> got = measure_dataflow("broker", flight_messages(load_flights().head(100)))
    >>> got["number"].tolist() == list(range(1, 101))  # each once, in order
    True
    """
    _checks.one_of(mode, "mode", MODES)
    _checks.number(pause, "pause", low=0)
    _checks.number(poll, "poll", low=0, open_low=True)
    _checks.number(timeout, "timeout", low=0, open_low=True)
    messages = _checked(messages)
    sent = {}
    with _THROUGH[mode](len(messages), poll, timeout) as (send, received):
        for message in messages:
            start = time.perf_counter()  # one clock for all processes of a machine
            send(message)
            sent[message["number"]] = (start, time.perf_counter())
            time.sleep(pause)
        got = pd.DataFrame(received(), columns=[*_FIELDS, "at", "receiver"])
    starts, ends = (got["number"].map({n: pair[i] for n, pair in sent.items()}) for i in (0, 1))
    return got.drop(columns="at").assign(
        latency_ms=1000 * (got["at"] - starts),
        sender_ms=1000 * (ends - starts),
        sent_s=starts - min(start for start, _ in sent.values()),
    )


def summarise_dataflow(measured):
    """The latencies of several ways, a row each.

    Parameters
    ----------
    measured : dict of str to DataFrame
        What `measure_dataflow` gave for each mode.

    Returns
    -------
    DataFrame
        Per mode: ``messages``, the median and the 95th percentile of the latency (``p50_ms``,
        ``p95_ms``), the median time for which the sender was held up (``sender_p50_ms``), and
        ``messages_per_second``, from the first that was sent to the last that arrived.

    Raises
    ------
    ValueError
        If there is nothing to summarise.

    References
    ----------
    Chapter 03, Modes of dataflow.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.dataflow import summarise_dataflow
    >>> times = {"latency_ms": [1, 3.0], "sender_ms": [1, 1.0], "sent_s": [0, 0.497]}
    >>> summarise_dataflow({"REST": pd.DataFrame(times)}).loc["REST", "messages_per_second"].item()
    4.0
    """
    if not measured or any(len(got) == 0 for got in measured.values()):
        raise ValueError("measured must hold at least one mode, each with messages")
    rows = {}
    for mode, got in measured.items():
        seconds = (got["sent_s"] + got["latency_ms"] / 1000).max() - got["sent_s"].min()
        rows[mode] = {
            "messages": len(got),
            "p50_ms": got["latency_ms"].quantile(0.5),
            "p95_ms": got["latency_ms"].quantile(0.95),
            "sender_p50_ms": got["sender_ms"].quantile(0.5),
            "messages_per_second": len(got) / seconds,
        }
    return pd.DataFrame(rows).T.astype({"messages": int})


# --- A work queue --------------------------------------------------------------------------------

# Scripts run in the broker, each in one step: a worker that dies has done all of it or nothing.
_DONE = """
redis.call('XACK', KEYS[1], 'workers', ARGV[1])
return redis.call('XDEL', KEYS[1], ARGV[1])
"""
_BURY = """
redis.call('XADD', KEYS[2], '*', 'body', ARGV[2], 'reason', ARGV[3], 'offset', ARGV[1])
"""
_ACT_ONCE = """
if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then
    redis.call('HINCRBY', KEYS[2], ARGV[2], 1)
    return 1
end
return 0
"""


class WorkQueue:
    """A queue on a stream of the broker: each message goes to one worker, until it is done.

    Parameters
    ----------
    client : valkey.Valkey
        A client of the broker.
    name : str
        The key of the stream; the dead letters lie beside it, under ``name + ":dead"``.
    max_deliveries : int, default 3
        A message that has been handed out so often, and never done, is given up.

    Notes
    -----
    ``take`` hands out messages that are new, ``claim`` those that a worker has had for too long.
    A message is gone only when it is ``done`` or buried.

    References
    ----------
    Chapter 03, Data passing through real-time transport.

    Examples
    --------
    >>> from mlsys_helpers.dataflow import WorkQueue, start_broker
    >>> with start_broker() as broker:
    ...     queue = WorkQueue(broker.client, broker.key("boarding"))
    ...     offset = queue.put(b"a flight")
    ...     ((offset, body, deliveries),) = queue.take("worker 1")
    ...     before = queue.counts()
    ...     queue.done(offset)
    ...     print(before["pending"], queue.counts()["pending"])
    1 0
    """

    def __init__(self, client, name, *, max_deliveries=3):
        import valkey

        self.client, self.name, self.dead = client, name, f"{name}:dead"
        self.max_deliveries = _checks.whole_number(max_deliveries, "max_deliveries")
        try:
            client.xgroup_create(name, "workers", id="0", mkstream=True)
        except valkey.ResponseError as error:
            if "BUSYGROUP" not in str(error):  # another worker has made the group
                raise

    def put(self, body):
        """Add a message (bytes or str); return its offset."""
        return self.client.xadd(self.name, {"body": body})

    def take(self, worker, count=1):
        """Up to `count` messages that nobody has had, as (offset, body, deliveries)."""
        new = {self.name: ">"}
        answer = self.client.xreadgroup("workers", worker, new, count=count)
        if not answer:
            return []
        ((_, entries),) = answer.items() if isinstance(answer, dict) else answer
        return [(offset, fields[b"body"], 1) for offset, fields in entries]

    def claim(self, worker, count=1, *, idle=1.0):
        """Up to `count` messages that somebody has had for `idle` seconds and not done."""
        wait = int(1000 * idle)
        answer = self.client.xautoclaim(self.name, "workers", worker, wait, count=count)
        taken = []
        for offset, fields in answer[1]:
            (entry,) = self.client.xpending_range(self.name, "workers", offset, offset, 1)
            taken.append((offset, fields[b"body"], entry["times_delivered"]))
        return taken

    def done(self, offset):
        """Acknowledge a message, and remove it."""
        self.client.eval(_DONE, 1, self.name, offset)

    def bury(self, offset, body, reason):
        """Put a message that cannot be handled among the dead letters, with the reason."""
        self.client.eval(_BURY + _DONE, 2, self.name, self.dead, offset, body, reason)

    def dead_letters(self):
        """Body and reason of every dead letter, the oldest first."""
        entries = self.client.xrange(self.dead)
        return [(fields[b"body"], fields[b"reason"].decode()) for _, fields in entries]

    def counts(self):
        """How many messages are ``waiting``, ``pending`` (handed out, not done) and ``dead``."""
        pending = self.client.xpending(self.name, "workers")["pending"]
        return {
            "waiting": self.client.xlen(self.name) - pending,
            "pending": pending,
            "dead": self.client.xlen(self.dead),
        }


def _run_worker(url, name, worker, guarantee, batch, idle, stall_at):
    """Handle messages until none is left: count each flight at its airport."""
    client = _servers.connect_broker(url)
    queue = WorkQueue(client, name)
    tally = dict.fromkeys(["handled", "skipped", "buried", "delivered again"], 0)
    at_most = guarantee == "at most once"
    while client.xlen(name):
        taken = queue.take(worker, batch) or queue.claim(worker, batch, idle=idle)
        if not taken:
            time.sleep(idle / 10)
        if at_most:
            for offset, _, _ in taken:
                queue.done(offset)
        for offset, body, deliveries in taken:
            tally["delivered again"] += deliveries > 1
            try:
                if deliveries > queue.max_deliveries:
                    raise ValueError(f"given up after {queue.max_deliveries} deliveries")
                message = _decode(body)
            except ValueError as reason:
                queue.bury(offset, body, str(reason))
                tally["buried"] += 1
                continue
            stalls = message["number"] == stall_at
            if stalls and at_most:
                _stall()
            tally[_act(client, name, message, guarantee)] += 1
            if stalls:
                _stall()
            if not at_most:
                queue.done(offset)
    return tally


def _act(client, name, message, guarantee):
    """The effect that must not happen twice: the airport's count goes up by one."""
    if guarantee == "effectively once":
        new = client.eval(_ACT_ONCE, 2, f"{name}:handled", f"{name}:counts", message["number"],
                          message["origin"])  # fmt: skip
        return "handled" if new else "skipped"
    client.hincrby(f"{name}:counts", message["origin"], 1)
    return "handled"


def _stall():
    """Hang, as a process does whose machine is about to go."""
    _servers.announce("stalled")
    time.sleep(3600)


def start_worker(
    broker, name, worker, *, guarantee="effectively once", batch=10, idle=1.0, stall_at=None
):
    """Start a process that works on a queue of flights until the queue is empty.

    Handling a flight adds one to the count of its origin, a hash under ``name + ":counts"``.

    Parameters
    ----------
    broker : Broker
        From `start_broker`.
    name : str
        The key of a `WorkQueue`.
    worker : str
        The worker's name in the consumer group.
    guarantee : {"effectively once", "at least once", "at most once"}
        "at most once" acknowledges a message when it is handed out, before it is handled. "at
        least once" acknowledges after. "effectively once" does, too, and makes the effect
        idempotent: it remembers the numbers whose effect has happened, in the same step as the
        effect, under ``name + ":handled"``.
    batch : int, default 10
        How many messages it takes at a time.
    idle : float, default 1.0
        Seconds after which it claims what another worker has had and not done.
    stall_at : int, optional
        For trying out faults: the worker hangs at the message of this number, when it is handled
        and not yet acknowledged (or acknowledged and not yet handled, under "at most once").

    Returns
    -------
    process
        ``result()`` waits for a dict of how many messages it ``handled``, ``skipped`` (their
        effect had happened before), ``buried``, and got ``delivered again``; ``announced`` is
        "stalled" when it hangs; ``kill()`` kills it.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 03, Data passing through real-time transport. P. Helland, "Idempotence is not a
    medical condition", ACM Queue 10 (2012).

    Examples
    --------
    >>> import json
    >>> from mlsys_helpers.dataflow import WorkQueue, flight_messages, start_broker, start_worker
    >>> from mlsys_helpers.datasets import load_flights
    >>> with start_broker() as broker:
    ...     queue = WorkQueue(broker.client, broker.key("departures"))
    ...     for message in flight_messages(load_flights().head(3)):
    ...         _ = queue.put(json.dumps(message))
    ...     start_worker(broker, queue.name, "worker 1").result()["handled"]
    3
    """
    _checks.one_of(guarantee, "guarantee", GUARANTEES)
    _checks.whole_number(batch, "batch")
    _checks.number(idle, "idle", low=0, open_low=True)
    return _servers.start_function(
        _run_worker, broker.url, name, worker, guarantee, batch, idle, stall_at,
        name=f"the worker {worker!r}",
    )  # fmt: skip


# --- Batch ---------------------------------------------------------------------------------------


def map_reduce(records, mapper, reducer):
    """MapReduce: map each record to pairs, bring equal keys together, reduce each key's values.

    Parameters
    ----------
    records : iterable
    mapper : function of a record
        Gives (key, value) pairs, any number of them; keys can be hashed and sorted.
    reducer : function of a key and the list of its values
        Gives the key's result.

    Returns
    -------
    dict
        The result of each key, in the order of the keys.

    Raises
    ------
    TypeError
        If `mapper` or `reducer` cannot be called.
    ValueError
        If the mapper gives something that is no pair.

    References
    ----------
    Chapter 03, Batch processing vs stream processing. J. Dean and S. Ghemawat, "MapReduce:
    simplified data processing on large clusters", OSDI (2004).

    Examples
    --------
    >>> from mlsys_helpers.dataflow import map_reduce
    >>> lines = ["to be or", "not to be"]
    >>> map_reduce(lines, lambda line: [(w, 1) for w in line.split()], lambda w, ones: sum(ones))
    {'be': 2, 'not': 1, 'or': 1, 'to': 2}
    """
    for name, function in {"mapper": mapper, "reducer": reducer}.items():
        if not callable(function):
            raise TypeError(f"{name} must be a function, got {function!r}")
    groups = defaultdict(list)
    for record in records:  # map: on many machines, each near its part of the records
        for pair in mapper(record):
            try:
                key, value = pair
            except (TypeError, ValueError):
                raise ValueError(f"mapper must give (key, value) pairs, got {pair!r}") from None
            groups[key].append(value)  # shuffle: equal keys meet on one machine
    return {key: reducer(key, groups[key]) for key in sorted(groups)}  # reduce


@contextmanager
def spark_session():
    """A session of the Spark API: of Sail in this process, or of the cluster at ``SPARK_REMOTE``.

    Yields
    ------
    pyspark.sql.SparkSession
        Stopped at the end of the ``with``, and Sail with it.

    References
    ----------
    Chapter 03, Batch processing vs stream processing. M. Zaharia et al., "Resilient distributed
    datasets", NSDI (2012).

    Examples
    --------
    >>> from mlsys_helpers.dataflow import spark_session
    >>> with spark_session() as spark:
    ...     spark.range(1, 101).groupBy().sum().first()[0]
    5050
    """
    os.environ.setdefault("RUST_LOG", "error")  # Sail's engine reports every start otherwise
    # pyspark takes a process whose main module has no file (`python -c`, a test worker) for a run
    # of its own doctests, and looks for an installed Spark.
    vars(sys.modules["__main__"]).setdefault("__file__", None)
    from pyspark.sql import SparkSession

    with ExitStack() as stack:
        address = os.environ.get("SPARK_REMOTE")
        if not address:
            from pysail.spark import SparkConnectServer

            server = SparkConnectServer(_servers.HOST, 0)
            server.start(background=True)
            stack.callback(server.stop)
            address = "sc://{}:{}".format(*server.listening_address)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
            session = SparkSession.builder.remote(address).create()
        stack.callback(session.stop)
        yield session


# --- Streams -------------------------------------------------------------------------------------

_AGGREGATES = ("count", "sum", "mean", "max")


class _EventTimeWindow:
    """What both windows share: the watermark, and what becomes of an event that comes too late."""

    def __init__(self, width, *, lateness=0, aggregate="sum"):
        self.width = _checks.number(width, "width", low=0, open_low=True)
        self.lateness = _checks.number(lateness, "lateness", low=0)
        self.aggregate = _checks.one_of(aggregate, "aggregate", _AGGREGATES)
        self.latest = -math.inf
        self.late = 0

    @property
    def watermark(self):
        """Up to this time all is taken to have come: the latest time seen, less the lateness."""
        return self.latest - self.lateness

    def update(self, time, value=1):
        """Take an event in; return True, or False if it came too late for any open window."""
        _checks.number(time, "time")
        _checks.number(value, "value")
        if self._end(time) <= self.watermark:
            self.late += 1
            return False
        self._add(time, value)
        self.latest = max(self.latest, time)
        return True


class TumblingWindow(_EventTimeWindow):
    """Aggregate a stream over windows that lie side by side: [0, width), [width, 2 width), …

    Parameters
    ----------
    width : float
        Length of a window, in the unit of the times.
    lateness : float, default 0
        How long after the latest time seen an older event is still waited for.
    aggregate : {"sum", "count", "mean", "max"}

    Attributes
    ----------
    late : int
        Events refused so far, because their window was closed.
    watermark : float
        The latest time seen, less `lateness`; a window that ends by then is closed.

    Methods
    -------
    update(time, value=1)
        Take an event in, by the time at which it *happened*; True unless it came too late.
    value(at)
        What is known so far of the open window that holds the time `at`.
    closed(everything=False)
        The closed windows as (start, value), in order; they are then forgotten. At the end of a
        stream, ``everything=True`` closes the open ones, too.

    Raises
    ------
    ValueError
        If a time or a value is no finite number, or `at` lies in a closed window.

    Notes
    -----
    The state is one count, sum and maximum for each window that is open or not yet taken away by
    `closed`; ``len()`` tells how many.

    References
    ----------
    Chapter 03, Batch processing vs stream processing. T. Akidau et al., "The dataflow model",
    PVLDB 8 (2015).

    Examples
    --------
    >>> from mlsys_helpers.dataflow import TumblingWindow
    >>> hourly = TumblingWindow(60, aggregate="count")
    >>> [hourly.update(minute) for minute in (5, 50, 61, 40)]  # the last one is too late
    [True, True, True, False]
    >>> hourly.closed(), hourly.late
    ([(0, 2)], 1)
    """

    def __init__(self, width, *, lateness=0, aggregate="sum"):
        super().__init__(width, lateness=lateness, aggregate=aggregate)
        self._windows = {}

    def __len__(self):
        return len(self._windows)

    def _start(self, time):
        return math.floor(time / self.width) * self.width

    def _end(self, time):
        return self._start(time) + self.width

    def _add(self, time, value):
        count, total, highest = self._windows.get(self._start(time), (0, 0, -math.inf))
        self._windows[self._start(time)] = (count + 1, total + value, max(highest, value))

    def _result(self, start):
        count, total, highest = self._windows.get(start, (0, 0, math.nan))
        mean = total / count if count else math.nan
        return {"count": count, "sum": total, "mean": mean, "max": highest}[self.aggregate]

    def value(self, at):
        _checks.number(at, "at")
        if self._end(at) <= self.watermark:
            raise ValueError(
                f"at must lie in an open window, got {at:g}; all up to {self.watermark:g} is closed"
            )
        return self._result(self._start(at))

    def closed(self, *, everything=False):
        until = math.inf if everything else self.watermark
        starts = sorted(start for start in self._windows if start + self.width <= until)
        results = [(start, self._result(start)) for start in starts]
        for start in starts:
            del self._windows[start]
        return results


class SlidingWindow(_EventTimeWindow):
    """Aggregate a stream over the window (at − width, at], wherever it is asked.

    Parameters
    ----------
    width : float
        Length of the window, in the unit of the times.
    lateness : float, default 0
        How far before the latest time seen one may still ask.
    aggregate : {"sum", "count", "mean", "max"}

    Attributes
    ----------
    late : int
        Events refused so far, because no window that may still be asked for holds them.
    watermark : float
        The latest time seen, less `lateness`.

    Methods
    -------
    update(time, value=1)
        Take an event in, by the time at which it *happened*; True unless it came too late.
    value(at)
        The aggregate of the events known so far with at − width < time ≤ at.

    Raises
    ------
    ValueError
        If a time or a value is no finite number, or `at` is before the watermark.

    Notes
    -----
    The state is the events of the last ``width + lateness``, and ``len()`` tells how many: it does
    not grow with the stream.

    References
    ----------
    Chapter 03, Batch processing vs stream processing. T. Akidau et al., "The dataflow model",
    PVLDB 8 (2015).

    Examples
    --------
    >>> from mlsys_helpers.dataflow import SlidingWindow
    >>> late_departures = SlidingWindow(120, aggregate="sum")
    >>> for minute, is_late in [(10, 1), (70, 0), (100, 1)]:
    ...     _ = late_departures.update(minute, is_late)
    >>> late_departures.value(at=120), late_departures.value(at=130)
    (2, 1)
    """

    def __init__(self, width, *, lateness=0, aggregate="sum"):
        super().__init__(width, lateness=lateness, aggregate=aggregate)
        self._events = []  # sorted by time

    def __len__(self):
        return len(self._events)

    def _end(self, time):
        return time + self.width

    def _add(self, time, value):
        bisect.insort(self._events, (time, value))
        oldest = max(self.latest, time) - self.lateness - self.width
        del self._events[: bisect.bisect_right(self._events, (oldest, math.inf))]

    def value(self, at):
        _checks.number(at, "at")
        if at < self.watermark:
            raise ValueError(
                f"at must be at least the watermark, {self.watermark:g}, got {at:g}; "
                "older events are forgotten"
            )
        first, last = (
            bisect.bisect_right(self._events, (time, math.inf)) for time in (at - self.width, at)
        )
        values = [value for _, value in self._events[first:last]]
        if self.aggregate in ("count", "sum"):
            return len(values) if self.aggregate == "count" else sum(values)
        if not values:
            return math.nan
        return max(values) if self.aggregate == "max" else sum(values) / len(values)
