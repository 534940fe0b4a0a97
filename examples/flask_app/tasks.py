"""What the worker runs. It imports this module and nothing of Flask."""

from __future__ import annotations

import time
from collections import Counter

from rqlike import get_current_job, track


def most_common_words(text: str, count: int = 5, pause: float = 0.0) -> list[tuple[str, int]]:
    """The `count` most common words of a text, each with how often it occurs. Says how far it is, line by line."""
    job = get_current_job()
    found: Counter[str] = Counter()
    for number, line in enumerate(track(text.splitlines(), desc="lines"), 1):
        words = [word.strip(".,:;!?()\"'").lower() for word in line.split()]
        found.update(word for word in words if word)
        if job is not None:
            job.log(f"line {number}: {len(words)} words, {len(found)} different ones so far")
        time.sleep(pause)
    return found.most_common(count)
