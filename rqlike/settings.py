"""The numbers rqlike works by, each with its unit and its reason. RQ's defaults where RQ has one."""

from __future__ import annotations

from typing import Final

DEFAULT_NAMESPACE: Final = "rqlike"
DEFAULT_QUEUE: Final = "default"

DEFAULT_TIMEOUT: Final = 180.0  #: seconds a job may run (RQ)
DEFAULT_RESULT_TTL: Final = 500.0  #: seconds a finished job is kept (RQ)
DEFAULT_FAILURE_TTL: Final = 31_536_000.0  #: one year for failed, stopped, canceled, expired (RQ)
FOREVER: Final = -1.0  #: a ttl that never ends, a job_timeout that never comes

HISTORY_LENGTH: Final = 10  #: executions kept in a job's stream, exactly
NONCES_KEPT: Final = 500  #: bytes of nonces in the notice of a replaced cycle, whose calls may be sent again
EVENTS_KEPT: Final = 10_000  #: entries of a queue's events, of up to eight each, that are kept at least
EVENTS_READ: Final = 100  #: entries of events that one call reads
EVENTS_SOUGHT: Final = 50  #: entries of a queue among which a look of a watcher finds those of its job
EVENTS_CAUGHT_UP: Final = 200  #: the same in each further call, where the job has moved
GRACE_MS: Final = 5_000  #: what a job leaves behind at result_ttl=0 and delete(): waiters and replays need a trace

LEASE_MS: Final = 30_000  #: who has not renewed for this long may be replaced
RENEW_S: Final = 5.0  #: seconds between renewals: six chances in a lease
IDLE_RENEW: Final = 3  #: times as long between those of a worker that holds nothing
OUTAGE_MS: Final = 10_000  #: no contact by anybody for this long is an outage, and then nobody is recovered for as long
TICK_S: Final = 5.0  #: seconds an idle worker sleeps when nothing wakes it
SWEEP_S: Final = 0.02  #: seconds between two sweeps of a busy worker: a due job waits no longer
RECOVER_LIMIT: Final = 4  #: lapsed executions handed over per call
PRUNE_S: Final = 0.25  #: seconds between two looks of a busy worker for ids whose jobs have expired
IDLE_PRUNE_S: Final = 60.0  #: the same of an idle worker that has found no more than one call removes
PRUNE_LIMIT: Final = 5_000  #: such ids removed per registry and call
SWEEP_LIMIT: Final = 100  #: jobs promoted or expired per queue and call
SLOT_LIMIT: Final = 50  #: due schedules handed over per call
FIRE_MS: Final = 2_000  #: what a worker was given to fire and has not after so long is given to another one
FIRES_KEPT: Final = 25  #: fires that a schedule remembers
LATE_MS: Final = 50  #: by how much a claim may be late without lowering the rate of a limit: the next may be early
AUDIT_MS: Final = 30_000  #: between two looks at who holds the permits of a key of which all are in use
RELOOK_MS: Final = 1_000  #: after a permit was freed for somebody: whether anybody took it
AUDIT_LIMIT: Final = 20  #: holders of permits that one audit asks for
LIMIT_LOOKS: Final = 50  #: due limit keys looked at per call, and most jobs that a permit nobody took is offered to
LIMIT_KEY: Final = 200  #: bytes of a limit's key
LIMIT_SPAN_MS: Final = 31_622_400_000  #: what a rate may look back at most: 366 days
NEVER_MS: Final = 10**14  #: where a schedule stands that is paused or over: the year 5138
MARKERS: Final = 64  #: most wake-up markers a queue holds
WORKER_TTL_MS: Final = 60_000  #: a worker silent for this long is forgotten
CALL_TTL_MS: Final = 86_400_000  #: a call without a reply is recognised when it is sent again after an outage of a day

REPLY_S: Final = 2.0  #: seconds a worker waits for a complete reply before it takes a new connection
CONNECT_S: Final = 1.0  #: seconds for connect, TLS and AUTH together, and for asking a sentinel before
ASK_S: Final = 1.0  #: seconds a client waits for one sentinel, before it asks the next
RECONNECT_CAP_S: Final = 2.0  #: longest pause between two attempts to reach the server
FLUSH_S: Final = 0.005  #: seconds an outcome may wait for company while horses have work
WHISPER_S: Final = 0.005  #: seconds after a frame was sent within which its outcomes need not wake the worker
FRAME_S: Final = 0.008  #: seconds after which what a horse has not begun of a frame is taken back
TURN_JOBS: Final = 64  #: most jobs claimed in one call: the server serves nobody else meanwhile

KILL_GRACE: Final = 5.0  #: seconds between a job's time-out and its horse's SIGKILL
DUMP_S: Final = 0.2  #: seconds a horse gets to dump its stack before SIGKILL
MAX_CRASHES: Final = 3  #: crashes in a row within a cycle after which a job fails whatever is left
RETRY_DELAY_S: Final = (
    2.0  #: seconds for the function of Retry.custom: well within KILL_GRACE, which is running by then
)
JOBS_PER_HORSE: Final = 1000
UNWRITTEN_S: Final = 60.0  #: seconds a stopping worker tries to write its last outcomes while the server is away

PAYLOAD_LIMIT: Final = 1 << 20  #: bytes of arguments, and of a result
BLOB_LIMIT: Final = 2 << 20  #: bytes of a stored call that are read at all: arguments, headers, policy, and some room
TRACEBACK_LIMIT: Final = 64 << 10  #: characters of a traceback, head and tail
DESCRIPTION_LIMIT: Final = 1 << 10
REASON_LIMIT: Final = 1 << 10  #: bytes of why a queue is paused
META_LIMIT: Final = 64 << 10
HEADERS_LIMIT: Final = 16 << 10  #: bytes of names and values: W3C baggage alone may have 8 kB
NAME_LIMIT: Final = 512  #: characters of a function's path
LINEAGE_LIMIT: Final = 64  #: bases of an exception that are compared with `Retry(on=...)`
LINE_LIMIT: Final = 2_000  #: characters of a log line, head and tail
LOG_LINES: Final = 1_000  #: lines kept of what a job writes with `job.log`
LOG_LINE_LIMIT: Final = 4_000  #: bytes of one of them: with its frame it fits into a pipe as a whole (PIPE_BUF)
NOTE_LIMIT: Final = 200  #: characters of the note and of the description of a progress
TELL_S: Final = 0.1  #: seconds between two writings of what running jobs say
TELL_LINES: Final = 500  #: lines written in one call
TELL_BYTES: Final = 256 << 10  #: bytes of lines after which a call takes no more
TIGHT_LINES: Final = 32  #: a log of no more lines is made exact when its job has ended
ID_LIMIT: Final = 256  #: bytes of a job id
FRAME_LIMIT: Final = 16 << 20  #: bytes of a frame between worker and horse
GROUP_TTL_MS: Final = 86_400_000  #: of a group without a job
GROUP_HOLD_MS: Final = 30_000  #: how long a group waits for the next part of an enqueue_many
TELL_LIMIT: Final = 256  #: dependents of ended jobs that one script call tells
TELL_AS_FINISHED: Final = "'2'"  #: as Lua: of a job whose dependents go on whatever it comes to
BATCH: Final = 500  #: jobs per enqueue call
NEEDS_BATCH: Final = 500  #: jobs that those of an enqueue call may depend on, all told; the next one begins a new call
ATOMIC_NEEDS: Final = 2_500  #: the same of an atomic call, which cannot be divided: some 30 ms of the server
REPLACE_BATCH: Final = 100  #: of these, with on_duplicate="replace": each may cancel another job, some 40 µs more
TOUCH_LIMIT: Final = 500  #: jobs one script call may touch
SCRIPT_S: Final = 0.004  #: seconds after which a script that goes through many jobs leaves the rest to the next call
OBLITERATE_MS: Final = 30_000  #: a queue that is being obliterated is paused for this long after each call
DURABLE_S: Final = 3.0  #: seconds that a durable enqueue waits for disk and replica; everysec takes one of them
BLOCK_S: Final = 4.0  #: longest slice of a blocking read
CHUNK: Final = 64  #: bytes per hash field: one more and Redis leaves the compact form of the whole hash
CHUNKED_LIMIT: Final = 512  #: bytes up to which a blob is kept in fields of its job's hash
BAND_WIDTH: Final = 2**45  #: places per priority band in a queue's order
FRONT_BAND: Final = 0
NORMAL_BAND: Final = 101  #: 101 - priority; priority 0
MOST_PRIORITY: Final = 100  #: and -100 the least
HELD_BAND: Final = 202  #: behind all priorities: held back by a limit; 203 * 2^45 is still an exact number
HELD_PLACE: Final = HELD_BAND * BAND_WIDTH
