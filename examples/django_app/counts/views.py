"""Two views: one that saves and enqueues, one that answers 202 until the job is done and then its result."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from counts import tasks
from counts.models import Text
from rqlike import Queue
from rqlike.contrib.django import respond

LONGEST_WAIT = 20  # seconds; less than the time-outs of the web server and of the proxy before it

# Making a Queue does no I/O: the server is looked for at the first request.
queue = Queue("texts", result_ttl="10m", job_timeout="30s")


@require_POST
@transaction.atomic
def submit(request: HttpRequest) -> HttpResponse:
    """Saves the text in the body, and enqueues the count of its words once the row is committed."""
    body = request.body.decode()
    if not body.strip():
        return JsonResponse({"error": "send a text in the body"}, status=400)
    text = Text.objects.create(body=body)
    # Not before the commit: a worker is quick, and would look for a row that is not there yet.
    transaction.on_commit(lambda: queue.enqueue(tasks.count_words, text.pk, job_id=text.job_id, retry=3))
    place = reverse("answer", args=[text.pk])
    return JsonResponse({"job_id": text.job_id}, status=202, headers={"Location": place})


@require_GET
def answer(request: HttpRequest, pk: int) -> HttpResponse:
    """The words of a text; 202 as long as its job is on the way. `?wait=10` waits for it, up to 10 seconds."""
    text = get_object_or_404(Text, pk=pk)
    if text.words is not None:  # the row is the truth; the job may be long gone
        return JsonResponse({"job_id": text.job_id, "status": "finished", "result": text.words})
    return respond(queue.fetch_job(text.job_id), wait=patience(request), location=request.path)


def patience(request: HttpRequest) -> int:
    """The seconds of `?wait=`, within what this site allows; 0 where there is no such number."""
    try:
        return min(max(int(request.GET.get("wait", 0)), 0), LONGEST_WAIT)
    except ValueError:
        return 0
