"""``tuner dashboard``."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import socket
import sys
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import click

from tuner import study as api
from tuner.cli.options import common
from tuner.cli.printing import hint
from tuner.cli.signals import interruptible
from tuner.errors import UsageError

if TYPE_CHECKING:
    from storage import SQLStorage

_STUDY = re.compile(r"/api/studies/(\d+)")
_RENAME = re.compile(r"/api/studies/\d+/rename")

Start = Callable[[str, list[tuple[str, str]]], Any]


@click.command(short_help="Serve optuna-dashboard on the studies.")
@click.argument("study", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@common(output=False)
def dashboard(study: str | None, host: str, port: int, storage: str | None) -> None:
    """Serve optuna-dashboard on the studies of the storage, or on STUDY, until Ctrl-C.

    It shows them as they run. Whoever opens it may write notes and delete studies: it is served to this machine only,
    unless --host says otherwise.

    \b
    tuner dashboard
    tuner dashboard churn --port 9000
    """
    results = api.load(study, storage=storage) if study is not None else None
    opened = results.storage if results is not None else api.open_storage(storage)
    path = f"studies/{results.study_id}" if results is not None else ""
    with _server(opened, host, port) as server:
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"http://{shown}:{server.server_port}/dashboard/{path}")
        if not _only_here(host):
            hint("no password protects it: whoever reaches this address may change the studies")
        with interruptible(lambda: None):
            hint("Ctrl-C ends it")
            server.serve_forever()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has left."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


class _Guard:
    """The dashboard without what would ruin a study, and for pages of its own only."""

    def __init__(self, app: Any, storage: SQLStorage, host: str) -> None:
        self._app = app
        self._storage = storage
        self._hosts = {host, "localhost", "127.0.0.1", "::1"} if _only_here(host) else None

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        asked = environ.get("HTTP_HOST", "")
        if self._hosts is not None and re.sub(r":\d+$", "", asked).strip("[]") not in self._hosts:
            return _refuse(start, "403 Forbidden", f"this is not served as {asked}")  # another site's page asks
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if method == "POST" and _RENAME.fullmatch(path):  # by a copy that lacks epochs, budget and checkpoints
            return _refuse(start, "403 Forbidden", "tuner knows a study by its name: it cannot be renamed")
        deleted = _STUDY.fullmatch(path) if method == "DELETE" else None
        if deleted is not None and self._storage.list_workers(int(deleted[1])):
            return _refuse(start, "409 Conflict", "workers are at work on this study: `tuner stop` lets them leave")
        answer: Iterable[bytes] = self._app(environ, start)
        return answer


def _refuse(start: Start, status: str, reason: str) -> Iterable[bytes]:
    start(status, [("Content-Type", "application/json")])
    return [json.dumps({"reason": reason}).encode()]


def _server(storage: SQLStorage, host: str, port: int) -> WSGIServer:
    try:
        import optuna_dashboard
    except ImportError:
        raise UsageError("the dashboard is not installed: pip install optuna-dashboard") from None
    if not host:
        raise UsageError("--host '': name an address; 0.0.0.0 serves all of this machine's")
    app = _Guard(optuna_dashboard.wsgi(storage), storage, host)
    server = _Server6 if ":" in host else _Server
    try:
        return make_server(host, port, app, server_class=server, handler_class=_Silent)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"--port {port}: something else is served there; name another port, or 0") from None
        raise UsageError(f"--host {host} --port {port}: {error.strerror}") from None


def _only_here(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"
