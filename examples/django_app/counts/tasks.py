"""What the worker runs. It is given a primary key, never a model instance: the row may have changed since."""

import time

from counts.models import Text
from rqlike import get_current_job, track


def count_words(pk: int, pause: float = 0.0) -> int:
    """Counts the words of a text, says how far it is, and writes them into its row. Running it twice does no harm."""
    text, job = Text.objects.get(pk=pk), get_current_job()
    words = 0
    for line in track(text.body.splitlines(), desc="lines"):
        words += len(line.split())
        if job is not None:
            job.log(f"{words} words so far")
        time.sleep(pause)
    text.words = words
    text.save(update_fields=["words"])
    return words
