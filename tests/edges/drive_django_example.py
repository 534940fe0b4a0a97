"""Run inside a copy of the Django example: its views through Django's test client. A program of its own, because
Django can be set up only once in a process. Prints one JSON object."""

from __future__ import annotations

import importlib
import json
import os
import sys

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


def main(what: str) -> dict[str, object]:
    client = Client()
    if what == "submit":
        answer = client.post("/texts/", "one two three four", content_type="text/plain")
        place = answer.headers["Location"]
        early = client.get(place)
        body = early.json()
        return {"submit": answer.status_code, "place": place, "early": early.status_code, "status": body["status"]}
    if what == "rollback":
        return {"queued": rolled_back(client)}
    if what == "empty":
        return {"empty": client.post("/texts/", " ", content_type="text/plain").status_code}
    answer = client.get(what)
    return {"status": answer.status_code, "result": answer.json().get("result")}


print(json.dumps(main(sys.argv[1])))
