"""``tuner dashboard``."""

from __future__ import annotations

import errno
from ipaddress import ip_address
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import click

from tuner import study as api
from tuner.cli.options import common
from tuner.cli.printing import hint
from tuner.errors import UsageError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


@click.command(short_help="Serve optuna-dashboard on the studies.")
@click.argument("study", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@common(output=False)
def dashboard(study: str | None, host: str, port: int, storage: str | None) -> None:
    """Serve optuna-dashboard on the studies of the storage, or on STUDY, until Ctrl-C.

    It shows them as they run. Whoever opens it may rename and delete them: it is served to this machine only, unless
    --host says otherwise.

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
        hint("Ctrl-C ends it")
        server.serve_forever()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


def _server(storage: BaseStorage, host: str, port: int) -> WSGIServer:
    try:
        import optuna_dashboard
    except ImportError:
        raise UsageError("the dashboard is not installed: pip install optuna-dashboard") from None
    try:
        return make_server(host, port, optuna_dashboard.wsgi(storage), server_class=_Server, handler_class=_Silent)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"--port {port}: something else is served there; name another port, or 0") from None
        raise UsageError(f"--host {host} --port {port}: {error.strerror}") from None


def _only_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
