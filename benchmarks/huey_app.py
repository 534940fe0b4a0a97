"""huey's side of the benchmark: an application that both producer and worker import."""

from __future__ import annotations

import os

import work
from huey import RedisHuey

NOTIFY = {"notify_result": True} if os.environ.get("BENCH_VARIANT") == "notify1" else {}
huey = RedisHuey("bench", host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), **NOTIFY)
tasks = {function.__name__: huey.task()(function) for function in (work.noop, work.sleep, work.burn)}
