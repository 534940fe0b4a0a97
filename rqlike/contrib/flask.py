"""Flask: what a view answers about a job."""

from __future__ import annotations

from typing import Any

from rqlike.durations import Seconds
from rqlike.job import Job
from rqlike.web import reply

try:
    from flask import Response, jsonify
except ModuleNotFoundError as missing:
    if missing.name != "flask":
        raise
    raise ImportError("rqlike.contrib.flask needs Flask: pip install 'rqlike[flask]'") from missing


def respond(job: Job[Any] | None, *, wait: Seconds = 0, location: str | None = None, retry_after: int = 1) -> Response:
    """`rqlike.web.reply` as a response of the app whose request it is; arguments, errors and cost as there."""
    answer = reply(job, wait=wait, location=location, retry_after=retry_after)
    response = jsonify(answer.body)
    response.status_code = answer.status
    response.headers.update(answer.headers)
    return response
