"""Two views: one that saves and enqueues, one that answers 202 until the job is done and then its result."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from counts import tasks
from counts.models import Text
from rqlike import Queue
from rqlike.exceptions import JobFailed, WaitError, WaitTimeout

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
    """The words of a text; 202 as long as its job is on the way."""
    text = get_object_or_404(Text, pk=pk)
    if text.words is not None:  # the row is the truth; the job may be long gone
        return JsonResponse({"job_id": text.job_id, "result": text.words})
    job = queue.fetch_job(text.job_id)
    if job is None:
        return JsonResponse({"error": "this text was never counted"}, status=404)
    try:
        return JsonResponse({"job_id": job.id, "result": job.wait(timeout=0)})
    except WaitTimeout as not_yet:
        place = {"Location": request.path, "Retry-After": "1"}
        return JsonResponse({"job_id": job.id, "status": not_yet.status}, status=202, headers=place)
    except JobFailed as failed:
        return JsonResponse({"error": f"the job failed ({failed.reason})"}, status=500)
    except WaitError as ended:
        return JsonResponse({"error": f"the job gave no result ({ended.code})"}, status=410)
