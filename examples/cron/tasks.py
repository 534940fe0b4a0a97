"""What the cron file schedules. Workers import this module."""

from __future__ import annotations

from pathlib import Path

from rqlike import get_current_job


def write_report(name: str) -> str:
    """Writes one line per slot; the slot, and not the clock, says which period the report is about."""
    job = get_current_job()
    slot = job.scheduled_for if job is not None else None
    line = f"{name} for {slot:%Y-%m-%d %H:%M:%S} UTC" if slot is not None else f"{name} on demand"
    with Path("reports.txt").open("a", encoding="utf-8") as reports:
        reports.write(f"{line}\n")
    return line


def clean_up() -> None:
    """Stands in for work that one does now and then."""
