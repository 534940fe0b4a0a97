"""What the fields of hashes and stream entries are called in Redis.

Those of a job are one letter: a job is a hash of a dozen of them, and a million jobs wait at once. The Lua verbs get
the same names by substitution (`F.status`), so neither side can misspell one.
"""

from __future__ import annotations

from typing import Final

#: Fields of a job's hash. `call`, `meta` and `overrides` are prefixes: c0 c1 … hold 64 bytes each, `c#` says that
#: the whole is a string of its own; `callback_error` is followed by an execution id.
JOB: Final = {
    "status": "s",
    "queue": "q",
    "place": "z",
    "band": "A",  # 101 - priority, where that is not 0: its place may be at the front, and is gone when it has ended
    "nonce": "n",
    "act": "r",  # nonce of the last operator's act on it
    "lapsed": "i",  # execution that is judged for a lost worker
    "created": "t",
    "enqueued": "e",
    "due": "u",
    "ttl": "l",
    "ttl_deadline": "x",
    "token": "k",
    "worker": "w",
    "started": "b",
    "ended": "d",
    "attempt": "a",
    "crashes": "h",
    "cycle": "y",
    "since": "g",
    "repeats": "p",
    "asked": "v",
    "failure_ttl": "f",
    "result_ttl": "j",
    "slot": "@",
    "wanted": "W",  # until when a waiter will look, in ms: its end does not let it expire before
    "limit": "=",  # see `limits.RateLimit.to_text`
    "unique": "$",  # see `options.Unique.to_text`
    "needs": "N",  # how many jobs it still waits for, while it is deferred
    "enrolled": "E",  # the number under which those have it in their lists
    "dependents": "D",  # that others wait for it; 2: as if it finished, whatever it comes to
    "group": "G",
    "awaits": "&",  # token of its execution, until when, any or all, and the ids of the jobs that this one waits for
    "notice": "?",  # of its canceled cycle before this one: taken out of the stream when somebody claims it
    "call": "c",
    "meta": "m",
    "overrides": "o",
    "callback_error": "!",
    "extra": "+",  # there is, or was, one of the `EXTRA` fields; else its end need not look for each of them
    "told": "%",  # token and number of the last telling that was written; there is progress or a log, where it is there
}

#: What few jobs have and the end of an execution has to see to: who writes one of these writes `extra` too.
EXTRA: Final = ("result_ttl", "limit", "unique", "wanted", "dependents", "told", "asked", "ttl_deadline", "lapsed")

#: Fields of a stream entry.
ENTRY: Final = {
    "type": "t",
    "value": "v",
    "serializer": "s",
    "exc_string": "x",
    "exc_type": "e",
    "reason": "r",
    "worker": "w",
    "execution": "i",
    "attempt": "a",
    "cycle": "y",
    "started": "b",
    "ended": "d",
    "next_attempt": "u",
    "notice": "q",
    "nonce": "n",
    "unkept": "k",  # why there is no value: see `states.Unkept`
    "progress": "p",  # these three in what a running job has told, with attempt and cycle
    "line": "l",
    "said": "z",
}

#: Fields of a worker's hash.
WORKER: Final = {
    "instance": "instance",
    "birth": "birth",
    "seen": "seen",
    "host": "hostname",
    "pid": "pid",
    "version": "version",
    "python": "python_version",
    "queues": "queues",
    "state": "state",
    "concurrency": "concurrency",
    "jobs": "jobs",
    "successful": "successful_job_count",
    "failed": "failed_job_count",
    "working": "working_ms",
    "order": "order",
}

#: Fields of a group's hash.
GROUP: Final = {
    "created": "created",
    "callback": "callback",  # the call that is made when it is complete
    "held": "held",  # until when somebody is adding jobs to it
    "queue": "queue",  # of the last jobs that came
    "until_ms": "until",  # the latest expiry of those that have ended
    "done": "done",  # since when it is complete
    "completed": "completed",  # how often it was complete
}

#: Fields of a schedule's hash. Blobs are whole here: it is no compact hash in any case.
SCHEDULE: Final = {
    "timetable": "timetable",
    "revision": "revision",  # grows with each change, so that nobody fires by an old timetable
    "next": "next",
    "last": "last",  # the newest slot that has fired
    "last_at": "last_at",
    "fired": "fired",
    "missed": "missed",
    "paused": "paused",
    "created": "created",
    "source": "source",  # the cron file it comes from, which removes it when it has it no more; '' none
    "queue": "queue",
    "call": "call",
    "meta": "meta",
    "band": "band",
    "ttl": "ttl",
    "failure_ttl": "failure_ttl",
    "limit": "limit",
    "unique": "unique",
    "wish": "wish",  # where another job holds the key
    "needs": "needs",  # the jobs that its jobs depend on, as `NewJob.needs`; '' none
}
