"""What a worker needs to run jobs of a Django project: the app registry, and database connections that are its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import django
from django.db import close_old_connections

from rqlike import Job, Middleware


class DjangoJobs(Middleware):
    """For `rqlike worker --middleware counts.worker.DjangoJobs`."""

    def setup(self) -> None:
        """In each horse, once: settings, apps and models."""
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
        django.setup()

    @contextmanager
    def around_job(self, job: Job) -> Iterator[None]:
        """What Django does around a request: connections that are too old or broken are closed."""
        close_old_connections()
        try:
            yield
        finally:
            close_old_connections()
