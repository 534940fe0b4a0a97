"""A Flask app that hands its slow work to a queue.

    POST /texts            enqueues, answers 202 with the place of the answer in `Location`
    GET  /texts/<job_id>   answers 202 until the job is done, then 200 with its result

Start it with `flask --app app run` and, in the same directory, a worker with `rqlike worker texts`.
"""

from __future__ import annotations

import tasks
from flask import Flask, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from rqlike import Queue
from rqlike.exceptions import JobFailed, NoSuchJobError, WaitError, WaitTimeout

# Making a Queue does no I/O: the server is looked for at the first request.
queue = Queue("texts", result_ttl="10m", failure_ttl="1d", job_timeout="30s")


def create_app() -> Flask:
    """The app."""
    app = Flask(__name__)
    app.add_url_rule("/texts", view_func=submit, methods=["POST"])
    app.add_url_rule("/texts/<job_id>", view_func=answer)
    return app


def submit() -> ResponseReturnValue:
    """Enqueues the text in the body and says where its answer will be."""
    text = request.get_data(as_text=True)
    if not text.strip():
        return jsonify(error="send a text in the body"), 400
    job = queue.enqueue(tasks.most_common_words, text)
    return jsonify(job_id=job.id), 202, {"Location": url_for("answer", job_id=job.id)}


def answer(job_id: str) -> ResponseReturnValue:
    """What is known about a job: not done yet, its result, or why there is none."""
    # fetch_job finds jobs of this queue only, so this view is no window into other people's queues.
    job = queue.fetch_job(job_id)
    if job is None:
        return jsonify(error="there is no such job, or its result has expired"), 404
    try:
        return jsonify(job_id=job_id, result=job.wait(timeout=0))
    except WaitTimeout as not_yet:
        place = {"Location": request.path, "Retry-After": "1"}
        return jsonify(job_id=job_id, status=not_yet.status, position=not_yet.position), 202, place
    except JobFailed as failed:
        # Never the traceback: it is for the log and for `rqlike jobs show`, not for a browser.
        return jsonify(error=f"the job failed ({failed.reason})"), 500
    except (WaitError, NoSuchJobError) as ended:
        return jsonify(error=f"the job gave no result ({ended.code})"), 410


app = create_app()
