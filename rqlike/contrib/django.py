"""Django: what a view answers about a job."""

from __future__ import annotations

from typing import Any

from rqlike.durations import Seconds
from rqlike.job import Job
from rqlike.web import reply

try:
    from django.http import JsonResponse
except ModuleNotFoundError as missing:
    if missing.name != "django":
        raise
    raise ImportError("rqlike.contrib.django needs Django: pip install 'rqlike[django]'") from missing


def respond(
    job: Job[Any] | None, *, wait: Seconds = 0, location: str | None = None, retry_after: int = 1
) -> JsonResponse:
    """`rqlike.web.reply` as a response; arguments, errors and cost as there."""
    answer = reply(job, wait=wait, location=location, retry_after=retry_after)
    return JsonResponse(answer.body, status=answer.status, headers=answer.headers)
