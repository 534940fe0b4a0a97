"""A Flask app that hands its slow work to a queue.

    POST /texts                   enqueues, answers 202 with the place of the answer in `Location`
    GET  /texts/<job_id>          answers 202 until the job is done, then 200 with its result
    GET  /texts/<job_id>/watch    a page that shows how far the job is, and its log
    GET  /texts/<job_id>/events   the same as server-sent events, which that page reads

With `?wait=10` the first two wait up to 10 seconds for the result before they answer 202; with `?pause=0.2` the job
rests that long after each line, for those who want to watch.

Start it with `flask --app app run` and, in the same directory, a worker with `rqlike worker texts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import tasks
from flask import Flask, Response, abort, current_app, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from rqlike import Event, Job, LogLine, Progress, Queue
from rqlike.contrib.flask import respond
from rqlike.web import reply

LONGEST_WAIT = 20  # seconds; less than the time-outs of the web server and of the proxy before it

# Making a Queue does no I/O: the server is looked for at the first request.
queue = Queue("texts", result_ttl="10m", failure_ttl="1d", job_timeout="30s")


def create_app() -> Flask:
    """The app."""
    app = Flask(__name__)
    app.add_url_rule("/texts", view_func=submit, methods=["POST"])
    app.add_url_rule("/texts/<job_id>", view_func=answer)
    app.add_url_rule("/texts/<job_id>/watch", view_func=watch)
    app.add_url_rule("/texts/<job_id>/events", view_func=events)
    return app


def submit() -> ResponseReturnValue:
    """Enqueues the text in the body and says where its answer will be."""
    text = request.get_data(as_text=True)
    if not text.strip():
        return jsonify(error="send a text in the body"), 400
    pause = min(max(request.args.get("pause", 0.0, type=float), 0.0), 1.0)
    job = queue.enqueue(tasks.most_common_words, text, pause=pause)
    return respond(job, wait=patience(), location=url_for("answer", job_id=job.id))


def answer(job_id: str) -> ResponseReturnValue:
    """What is known about a job: not done yet, its result, or why there is none."""
    # fetch_job finds jobs of this queue only, so this view is no window into other people's queues.
    return respond(queue.fetch_job(job_id), wait=patience(), location=request.path)


def watch(job_id: str) -> ResponseReturnValue:
    """The page to watch a job on."""
    return current_app.send_static_file("watch.html")


def events(job_id: str) -> ResponseReturnValue:
    """What a job tells, as it comes. A browser asks again by itself when this ends without the event `end`."""
    job = queue.fetch_job(job_id)
    if job is None:
        abort(404)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter is for nginx
    return Response(told(job), mimetype="text/event-stream", headers=headers)


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


def patience() -> int:
    """The seconds of `?wait=`, within what this app allows; 0 where there is no such number."""
    return min(max(request.args.get("wait", 0, type=int), 0), LONGEST_WAIT)


app = create_app()
