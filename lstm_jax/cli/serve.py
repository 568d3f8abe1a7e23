"""`lstm-jax serve`."""

from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from lstm_jax.console import say
from lstm_jax.data.extra import needed
from lstm_jax.serve.settings import Address, Limits


def serve(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    address: Annotated[Address, arg(name="")] = Address(),  # noqa: B008 - frozen
    limits: Annotated[Limits, arg(name="")] = Limits(),  # noqa: B008 - frozen
) -> None:
    """Answer requests over HTTP: POST /predict and POST /explain, GET /health and GET /metrics.

    It answers until it is told to stop, by Ctrl-C or SIGTERM; then it answers what it has accepted.

    Example: lstm-jax serve runs/mine --port 8080

    Args:
        run: the folder of a trained run.
        address: where it listens.
        limits: what clients may ask.
    """
    for package in ("starlette", "uvicorn"):
        needed(package, "serve a run", "serve")
    from lstm_jax.predictor import load
    from lstm_jax.serve.app import make_app
    from lstm_jax.serve.server import run_server, take_port, url_of

    console = Console()
    opened = load(run)
    with take_port(address) as taken:
        url = url_of(taken, address.host)
        if not address.local:
            warning = "nothing is authenticated or encrypted: whoever reaches this port can use it"
            say(console, f"{url}: {warning}", "yellow")
        app = make_app(opened, limits, hosts=address.hosts())
        _, programs = app.state.service.progress
        say(console, f"{run} on {url}: compiling {programs} programs")
        say(console, "Ctrl-C stops it")
        run_server(app, taken, (console, f"{run} on {url}: ready"))
