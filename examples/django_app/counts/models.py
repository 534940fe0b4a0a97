"""A text and, once a worker has counted them, its words."""

from django.db import models


class Text(models.Model):
    """One submitted text."""

    body = models.TextField()
    words = models.PositiveIntegerField(null=True)

    @property
    def job_id(self) -> str:
        """The id of the job that counts this text: derived from the row, so it need not be stored."""
        return f"count:{self.pk}"
