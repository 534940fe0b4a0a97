"""The schedules of this example. `rqlike cron crontab.py` writes them, after each change of this file."""

from __future__ import annotations

import tasks

from rqlike import Retry, cron

cron.register(
    tasks.write_report,
    "reports",
    args=("nightly",),
    cron="0 3 * * MON-FRI",
    tz="Europe/Berlin",
    missed="once",
    name="nightly",
    retry=Retry(max=3, interval=60),
)
cron.register(tasks.write_report, "reports", args=("tick",), interval=2, name="tick")
cron.register(tasks.clean_up, "reports", interval="1h")
