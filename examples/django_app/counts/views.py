"""Views: one that saves and enqueues, one that answers 202 until the job is done and then its result, and a page that
shows how far it is, by server-sent events."""

import json
from collections.abc import Iterator
from pathlib import Path

from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from counts import tasks
from counts.models import Text
from rqlike import Event, Job, LogLine, Progress, Queue
from rqlike.contrib.django import respond
from rqlike.web import reply

LONGEST_WAIT = 20  # seconds; less than the time-outs of the web server and of the proxy before it

# Making a Queue does no I/O: the server is looked for at the first request.
queue = Queue("texts", result_ttl="10m", job_timeout="30s")


@require_POST
@transaction.atomic
def submit(request: HttpRequest) -> HttpResponse:
    """Saves the text in the body, and enqueues the count of its words once the row is committed. With `?pause=0.2` the
    job rests that long after each line, for those who want to watch."""
    body = request.body.decode()
    if not body.strip():
        return JsonResponse({"error": "send a text in the body"}, status=400)
    text, pause = Text.objects.create(body=body), between(request, "pause", 1.0)
    # Not before the commit: a worker is quick, and would look for a row that is not there yet.
    transaction.on_commit(lambda: queue.enqueue(tasks.count_words, text.pk, pause, job_id=text.job_id, retry=3))
    place = reverse("answer", args=[text.pk])
    return JsonResponse({"job_id": text.job_id}, status=202, headers={"Location": place})


@require_GET
def answer(request: HttpRequest, pk: int) -> HttpResponse:
    """The words of a text; 202 as long as its job is on the way. `?wait=10` waits for it, up to 10 seconds."""
    text = get_object_or_404(Text, pk=pk)
    if text.words is not None:  # the row is the truth; the job may be long gone
        return JsonResponse({"job_id": text.job_id, "status": "finished", "result": text.words})
    return respond(queue.fetch_job(text.job_id), wait=patience(request), location=request.path)


@require_GET
def watch(request: HttpRequest, pk: int) -> FileResponse:
    """The page to watch the count of a text on."""
    return FileResponse(Path(__file__).with_name("watch.html").open("rb"), content_type="text/html")


@require_GET
def events(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """What the job of a text tells, as it comes. A browser asks again when this ends without the event `end`."""
    job = queue.fetch_job(get_object_or_404(Text, pk=pk).job_id)
    if job is None:
        raise Http404
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter is for nginx
    return StreamingHttpResponse(told(job), content_type="text/event-stream", headers=headers)


def told(job: Job) -> Iterator[str]:
    """Server-sent events of a job, for at most LONGEST_WAIT seconds: a browser that is gone is noticed by then."""
    for one in job.watch(timeout=LONGEST_WAIT):
        if isinstance(one, Progress):
            now = {"percent": one.percent, "eta": one.eta, "desc": one.desc, "note": one.note}
            yield event("progress", {"current": one.current, "total": one.total, **now})
        elif isinstance(one, LogLine):
            yield event("log", {"text": one.text})
        elif isinstance(one, Event):
            yield event("transition", {"name": one.name, "status": one.status, "attempt": one.attempt})
    answer = reply(job)
    if answer.status != 202:
        yield event("end", answer.body)


def event(name: str, data: object) -> str:
    """One event; JSON has no line ends, which would end it."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def patience(request: HttpRequest) -> float:
    """The seconds of `?wait=`, within what this site allows."""
    return between(request, "wait", LONGEST_WAIT)


def between(request: HttpRequest, name: str, most: float) -> float:
    """A number of the query, at least 0 and at most `most`; 0 where there is no such number."""
    try:
        number = float(request.GET.get(name, 0))
    except ValueError:
        return 0.0
    return min(number, most) if number > 0 else 0.0  # nan is not above 0 either
