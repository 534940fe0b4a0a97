"""Run inside a copy of the Django example: its views through Django's test client. A program of its own, because
Django can be set up only once in a process. Prints one JSON object."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

import django

sys.path.insert(0, os.getcwd())  # noqa: PTH109
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()

from django.db import transaction  # noqa: E402
from django.test import Client  # noqa: E402


class Undone(Exception):
    """Raised to roll a transaction back."""


def rolled_back(client: Client) -> int:
    """Jobs in the queue after a request whose surrounding transaction was rolled back."""
    queue = importlib.import_module("counts.views").queue
    try:
        with transaction.atomic():
            client.post("/texts/", "never committed", content_type="text/plain")
            raise Undone
    except Undone:
        return int(queue.count)


def told(answer: Any) -> list[object]:
    """Status and body of an answer."""
    return [answer.status_code, answer.json()]


def submitted(client: Client) -> dict[str, object]:
    """A text that nobody has counted yet."""
    answer = client.post("/texts/", "one two three four", content_type="text/plain")
    place = answer.headers["Location"]
    early = client.get(place)
    headers = {name: early.headers[name] for name in ("Location", "Retry-After", "Cache-Control")}
    return {"submit": told(answer), "place": place, "early": told(early), "headers": headers}


def waited(client: Client) -> dict[str, object]:
    """The first text, while a worker runs: counted, then from its row; and a text whose job fails."""
    views, models = importlib.import_module("counts.views"), importlib.import_module("counts.models")
    done, again = told(client.get("/texts/1/?wait=15")), told(client.get("/texts/1/"))
    text = models.Text.objects.create(body="x")
    views.queue.enqueue(views.tasks.count_words, 404, job_id=text.job_id)
    return {"done": done, "again": again, "failed": told(client.get(f"/texts/{text.pk}/?wait=15"))}


def ended(client: Client) -> dict[str, object]:
    """Texts whose jobs never run."""
    views, models = importlib.import_module("counts.views"), importlib.import_module("counts.models")
    never, canceled, late = (models.Text.objects.create(body="x") for _ in range(3))
    views.queue.enqueue(views.tasks.count_words, canceled.pk, job_id=canceled.job_id).cancel()
    views.queue.enqueue(views.tasks.count_words, late.pk, job_id=late.job_id, ttl=0.001)
    place = "/texts/{}/?wait={}"
    return {
        "never": told(client.get(place.format(never.pk, 0))),
        "canceled": told(client.get(place.format(canceled.pk, "soon"))),
        "late": told(client.get(place.format(late.pk, 5))),
        "no text": client.get("/texts/404/").status_code,
    }


def main(what: str) -> dict[str, object]:
    client = Client()
    if what == "rollback":
        return {"queued": rolled_back(client)}
    if what == "empty":
        return {"empty": client.post("/texts/", " ", content_type="text/plain").status_code}
    return {"submit": submitted, "wait": waited, "end": ended}[what](client)


print(json.dumps(main(sys.argv[1])))
