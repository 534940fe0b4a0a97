"""The exception that ends a job at its time limit."""

from __future__ import annotations


class JobTimeoutException(BaseException):
    """Raised inside a job when its `job_timeout` has passed.

    A BaseException, so that a job's own `except Exception` (around a loop body, say) cannot swallow its time limit.
    Clean up in `finally` or `except JobTimeoutException: ...; raise`: some seconds later the process is killed.
    """

    def __init__(self, message: str | None = None, /, *, job_id: str = "", timeout: float = 0.0) -> None:
        """`timeout` in seconds, as the job was given it."""
        super().__init__(message if message is not None else f"Job {job_id} ran longer than its {timeout:g} seconds")
        self.job_id = job_id
        self.timeout = timeout
