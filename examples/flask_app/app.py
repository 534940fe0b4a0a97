"""A Flask app that hands its slow work to a queue.

    POST /texts            enqueues, answers 202 with the place of the answer in `Location`
    GET  /texts/<job_id>   answers 202 until the job is done, then 200 with its result

With `?wait=10` either waits up to 10 seconds for the result before it answers 202.

Start it with `flask --app app run` and, in the same directory, a worker with `rqlike worker texts`.
"""

from __future__ import annotations

import tasks
from flask import Flask, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from rqlike import Queue
from rqlike.contrib.flask import respond

LONGEST_WAIT = 20  # seconds; less than the time-outs of the web server and of the proxy before it

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
    return respond(job, wait=patience(), location=url_for("answer", job_id=job.id))


def answer(job_id: str) -> ResponseReturnValue:
    """What is known about a job: not done yet, its result, or why there is none."""
    # fetch_job finds jobs of this queue only, so this view is no window into other people's queues.
    return respond(queue.fetch_job(job_id), wait=patience(), location=request.path)


def patience() -> int:
    """The seconds of `?wait=`, within what this app allows; 0 where there is no such number."""
    return min(max(request.args.get("wait", 0, type=int), 0), LONGEST_WAIT)


app = create_app()
