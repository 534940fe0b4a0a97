"""The functions that the quickstart enqueues. A worker imports this module; nothing here knows about queues but one."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from rqlike import get_current_job


def count_words(path: str) -> int:
    """How many words a text has."""
    return len(Path(path).read_text(encoding="utf-8").split())


def longest_words(path: str, count: int = 3) -> list[tuple[str, int]]:
    """The `count` longest words of a text, each with how often it occurs."""
    words = Counter(word.strip(".,:;()").lower() for word in Path(path).read_text(encoding="utf-8").split())
    return sorted(words.items(), key=lambda item: (-len(item[0]), item[0]))[:count]


def count_words_of_a_shy_library(path: str) -> int:
    """Stands in for a download that fails at first: the first two attempts raise, the third one succeeds."""
    job = get_current_job()
    attempt = job.attempt if job is not None else 3
    if attempt < 3:
        raise ConnectionError(f"the library does not answer (attempt {attempt})")
    return count_words(path)


def count_words_slowly(path: str) -> int:
    """Takes a nap of a minute after each word. Give it a job_timeout."""
    total = 0
    for _ in Path(path).read_text(encoding="utf-8").split():
        total += 1
        time.sleep(60)
    return total
