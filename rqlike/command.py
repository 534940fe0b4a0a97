"""Commands to workers, under RQ's names. Each is one round trip, reaches a worker within 100 ms, and is durable
where it has to be: a worker that is cut off finds `shutdown` and `stop` when it next renews."""

from __future__ import annotations

from rqlike.options import check_job_id
from rqlike.store import staff, verbs
from rqlike.store.requests import nonce
from rqlike.store.store import Conn, Store


def send_shutdown_command(connection: Conn, worker_name: str, *, namespace: str | None = None) -> None:
    """Has a worker stop as after a first SIGTERM. Raises RqlikeError where no such worker lives."""
    Store(connection, namespace).run(staff.command(worker_name, "shutdown"))


def send_kill_horse_command(connection: Conn, worker_name: str, *, namespace: str | None = None) -> None:
    """Has a worker kill its horses that run a job; the jobs are judged by the abandoned rule, reason `killed`.
    Raises RqlikeError where no such worker lives."""
    Store(connection, namespace).run(staff.command(worker_name, "kill-horse"))


def send_stop_job_command(connection: Conn, job_id: str, *, namespace: str | None = None) -> None:
    """Has a running job's horse killed; the job ends as stopped unless its body had already returned.
    Raises NoSuchJobError, and InvalidTransition where it does not run."""
    Store(connection, namespace).run(verbs.stop(check_job_id(job_id), nonce()))
