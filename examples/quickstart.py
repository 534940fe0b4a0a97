"""Starts the embedded server and a worker, enqueues real work, and prints what became of it.

    python examples/quickstart.py

Needs the extras `server` and `cli`, no server of your own, and a few seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Where this file is, so that it works from any directory: the worker imports tasks.py from here, and the embedded
# server keeps its files in `.rqlike/` of the project this directory belongs to.
os.chdir(Path(__file__).resolve().parent)

import tasks  # noqa: E402  # found in this directory

from rqlike import Job, Queue, Retry, connect  # noqa: E402
from rqlike.exceptions import JobFailed  # noqa: E402

QUEUE = "quickstart"


@contextmanager
def worker_process(url: str) -> Iterator[None]:
    """A worker of its own process for the length of a `with` block, as `rqlike worker quickstart` in a terminal."""
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "rqlike", "worker", QUEUE, "--url", url, "--path", "."]
        worker = subprocess.Popen(command, stderr=log)
        try:
            yield
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        finally:
            worker.terminate()  # SIGTERM: it lets running jobs end, records them, and leaves
            worker.wait(10)


def main() -> None:
    """Enqueues, waits, prints."""
    client = connect(embedded=True)
    url = f"unix://{client.connection_pool.connection_kwargs['path']}"
    queue = Queue(QUEUE, connection=client)
    print(f"server    {url}")

    with worker_process(url):
        texts = sorted(str(path) for path in Path("texts").glob("*.txt"))
        counts = {text: queue.enqueue(tasks.count_words, text) for text in texts}
        longest = queue.enqueue(tasks.longest_words, texts[0], count=3)
        retried = queue.enqueue(tasks.count_words_of_a_shy_library, texts[1], retry=Retry(max=3, interval=[0.2, 0.5]))
        late = queue.enqueue(tasks.count_words_slowly, texts[2], job_timeout=0.5)

        print("\nThree texts, one job each:")
        for text, counted in counts.items():
            print(f"  {text:<22} {counted.wait(timeout=20):>5} words")
        print(f"  longest words of {texts[0]}: {longest.wait(timeout=20)}")
        show("\nIts history, as a shell shows job.results():", counts[texts[0]])

        retried.wait(timeout=20)
        show("\nA job that failed twice and was retried:", retried)

        try:
            late.wait(timeout=20)
        except JobFailed as failed:
            show(f"\nA job that took too long (wait() raised JobFailed, reason {failed.reason!s}):", late)

        print(f"\nThe queue:\n{queue.counts()!r}")

    print("\nThe worker has stopped. The server ends by itself after ten minutes without a client. Until then:")
    print(f"  rqlike jobs ls --queue {QUEUE}")
    print(f"  rqlike jobs show {late.id}")


def show(title: str, job: Job[Any]) -> None:
    """A title, and the last executions of a job, newest first."""
    print(title)
    print(job.results())


if __name__ == "__main__":
    main()
