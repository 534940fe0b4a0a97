"""What the worker runs. It imports this module and nothing of Flask."""

from __future__ import annotations

from collections import Counter


def most_common_words(text: str, count: int = 5) -> list[tuple[str, int]]:
    """The `count` most common words of a text, each with how often it occurs."""
    words = (word.strip(".,:;!?()\"'").lower() for word in text.split())
    return Counter(word for word in words if word).most_common(count)
