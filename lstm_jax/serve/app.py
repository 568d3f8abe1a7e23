"""A trained run as a Starlette application, to be run by itself or mounted into another one."""

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lstm_jax.predictor import Predictor
from lstm_jax.serve.guard import Guard
from lstm_jax.serve.metrics import CONTENT_TYPE
from lstm_jax.serve.reading import explanation_of, read_body, texts_of
from lstm_jax.serve.refused import Refused
from lstm_jax.serve.service import Service
from lstm_jax.serve.settings import Limits

_NO_LIMITS_GIVEN = Limits()


def make_app(
    run: Predictor, limits: Limits = _NO_LIMITS_GIVEN, *, hosts: Collection[str] | None = None
) -> Starlette:
    """Makes an application that predicts and explains.

    It can be mounted into another application. Its programs are compiled once it is started, or
    with the first request if nobody starts it; `GET /health` says when they are.

    Args:
        run: a trained run, from `lstm_jax.load`.
        limits: what clients may ask.
        hosts: names that the Host header of a request may have; None for any.

    Returns:
        The application; its `state.service` is the `lstm_jax.serve.service.Service`.
    """
    service = Service(run, limits)
    pages = _Pages(service)
    names = None if hosts is None else frozenset(name.lower() for name in hosts)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        service.begin()
        yield
        service.end()

    app = Starlette(
        routes=[
            Route("/", pages.index, methods=["GET"]),
            Route("/predict", pages.predict, methods=["POST"]),
            Route("/explain", pages.explain, methods=["POST"]),
            Route("/health", pages.health, methods=["GET"]),
            Route("/metrics", pages.metrics, methods=["GET"]),
        ],
        middleware=[Middleware(Guard, service=service, hosts=names)],
        exception_handlers={HTTPException: _wrong_place},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app


class _Pages:
    """What stands at each path; the names of the functions are those of the paths."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._classes = service.run.class_names

    async def index(self, _: Request) -> Response:
        """What there is."""
        return JSONResponse(
            {
                "classes": self._classes,
                "POST /predict": {"texts": ["a text", "another one"]},
                "POST /explain": {"text": "a text", "method": "lrp", "class": self._classes[0]},
                "GET /health": "200 once every program is compiled",
                "GET /metrics": "in the text format of Prometheus",
            }
        )

    async def predict(self, request: Request) -> Response:
        """The class of each text, and the probability of every class."""
        limits = self._service.limits
        texts, single = texts_of(await read_body(request, limits), limits)
        found = await self._service.predict(texts)
        predictions = [self._prediction(row) for row in found]
        return JSONResponse(predictions[0] if single else {"predictions": predictions})

    def _prediction(self, row: NDArray[np.float64]) -> dict[str, Any]:
        by_class = dict(zip(self._classes, row.tolist(), strict=True))
        return {"label": self._classes[row.argmax()], "probabilities": by_class}

    async def explain(self, request: Request) -> Response:
        """What each word of a text counts."""
        limits = self._service.limits
        body = await read_body(request, limits)
        asked = explanation_of(body, limits, self._classes)
        return JSONResponse(await self._service.explain(asked))

    async def health(self, _: Request) -> Response:
        """Whether requests are answered at once."""
        service = self._service
        compiled, programs = service.progress
        status = "ready" if service.ready else "warming up"
        if service.failure is not None:
            status = "failed"
        if service.closing:
            status = "stopping"
        content = {"status": status, "compiled": compiled, "programs": programs}
        return JSONResponse(content, 200 if status == "ready" else 503)

    async def metrics(self, _: Request) -> Response:
        """What was counted."""
        return Response(self._service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def _wrong_place(request: Request, error: Exception) -> Response:
    """The answer where there is no such page, or it is asked for in another way."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        refused = Refused(404, "there is no such path; GET / says which there are")
    else:
        refused = Refused(error.status_code, f"{error.detail}: {request.method}")
    response = refused.response()
    response.headers.update(error.headers or {})
    return response
