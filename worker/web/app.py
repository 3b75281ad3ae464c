"""Builds the app of the console: its routes, and what a client is told when one fails."""

from __future__ import annotations

from functools import cache

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from tasks.errors import CloserError
from tasks.ledger.ledger import Ledger
from worker.settings import Settings
from worker.web import v1
from worker.web.door import Door
from worker.web.metrics import FleetPage
from worker.web.problems import Problem, explain
from worker.web.schema import document
from worker.web.shell import Shell
from worker.web.site import Site
from worker.web.translate import problem_of


def build(settings: Settings, ledger: Ledger) -> ASGIApp:
    """Return the app for this ledger. It does not connect yet."""
    return Shell(routes(settings, ledger), tls=settings.behind_tls)


def routes(settings: Settings, ledger: Ledger) -> FastAPI:
    """Return the app without its shell."""
    # No pages of Swagger or Redoc: they would load programs from elsewhere.
    app = FastAPI(title="closer", version="1", openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None)
    site = app.state.site = Site.of(settings, ledger)
    app.state.metrics = FleetPage(site)
    app.router.redirect_slashes = False  # a sender may lose its body, or its token, on a redirect
    base = settings.public_url or ""

    async def fails(_: Request, error: Exception) -> Response:
        return problem_of(error).response(base)

    for kind in (Problem, CloserError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, fails)
    # The first, because it must be fast, and a plain one: what the framework does for each request would take as long
    # as the rest.
    door = Door(site)
    app.add_route("/v1/events", door.answer, methods=["POST"], include_in_schema=False)
    app.add_route("/livez", _well, include_in_schema=False)
    app.add_route("/readyz", _well, include_in_schema=False)
    app.add_route("/problems/{name}", explain, include_in_schema=False)
    app.add_api_route("/v1/refusals", door.refused, summary="The last requests of the door that were refused")
    app.include_router(v1.router)
    app.openapi = cache(lambda: document(app))  # type: ignore[method-assign]  # whoever asks, it is made once
    return app


async def _well(_: Request) -> Response:
    """Answer a probe. Pages can be served while the store is away, and only they say what is wrong then."""
    return JSONResponse({"status": "ok"})
