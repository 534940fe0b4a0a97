"""The process that the tests start as a worker: `python -m tests.process.worker_main JSON`."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import signal
import sys
from typing import Any, ClassVar

from rqlike import SimpleWorker, Worker
from rqlike.worker.plan import Plan
from tests.load.rounds import tell_if_asked


def bind_to_parent() -> None:
    """Ends this process with the one that runs the tests."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


class PlannedWorker(Worker):
    """A worker with changes to its plan, such as a shorter lease."""

    changes: ClassVar[dict[str, Any]] = {}

    def _run(self, plan: Plan) -> bool:
        return super()._run(dataclasses.replace(plan, **self.changes))


def main() -> int:
    asked = json.loads(sys.argv[1])
    bind_to_parent()
    tell_if_asked()
    for folder in asked["path"]:
        sys.path.insert(0, folder)
    PlannedWorker.changes = asked["plan"]
    kind = SimpleWorker if asked["simple"] else PlannedWorker
    worker = kind(asked["queues"], connection=asked["url"], namespace=asked["namespace"], **asked["options"])
    worker.work(**asked["work"])
    return worker.exit_code


if __name__ == "__main__":
    sys.exit(main())
