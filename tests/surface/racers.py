"""Processes that all enqueue one call at the same moment."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import redis

from rqlike import Queue

Race = Callable[[Queue, int], Any]


def race(socket: str, namespace: str, call: Race, count: int = 50) -> list[Any]:
    """What `call(queue, number)` gives in `count` processes; an exception is given as its class name.

    They connect, meet at a barrier, and start together."""
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(count), context.SimpleQueue()
    racers = [
        context.Process(target=_run, args=(socket, namespace, call, number, barrier, answers), daemon=True)
        for number in range(count)
    ]
    for one in racers:
        one.start()
    found = [answers.get() for _ in racers]
    for one in racers:
        one.join()
    return found


def _run(socket: str, namespace: str, call: Race, number: int, barrier: Any, answers: Any) -> None:
    with redis.Redis(unix_socket_path=socket) as client:
        client.ping()
        queue = Queue("q", client, namespace=namespace)
        barrier.wait(60)
        try:
            answers.put(call(queue, number))
        except Exception as error:  # noqa: BLE001  # whatever it is, the test looks at it
            answers.put(type(error).__name__)
