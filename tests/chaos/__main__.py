"""`python -m tests.chaos`: chaos runs of any length, by seed and mix."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

from tests.chaos.driver import Settings, run
from tests.chaos.faults import MIXES
from tests.chaos.invariants import INVARIANTS, NOT_YET
from tests.chaos.report import as_json, as_text
from tests.chaos.scenes import SCENES, play


def _parser() -> argparse.ArgumentParser:
    names = [*MIXES, "everything"]
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Runs jobs of all kinds under faults, and judges what became of them.",
        epilog=f"Mixes: {', '.join(names)}, all. Checked: {', '.join(INVARIANTS)}. Not yet: {', '.join(NOT_YET)}.",
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="so many seeds, one after the other")
    parser.add_argument("--jobs", type=int, default=600, metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0, help="of faults; what comes after them takes as long")
    parser.add_argument("--mix", choices=[*names, "all"], default="everything")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--lease", type=float, help="seconds; default what fits the mix, 30 is what workers have")
    parser.add_argument("--gap", type=float, default=0.3, help="seconds between two faults, on average")
    parser.add_argument("--server", choices=["valkey", "redis7"], default="valkey")
    parser.add_argument("--scene", choices=[*SCENES], help="measures that one fault instead")
    parser.add_argument("--json", action="store_true", help="one line of JSON per run")
    return parser


def main() -> int:
    """0 where nothing was violated."""
    asked = _parser().parse_args()
    logging.getLogger("rqlike").setLevel(logging.ERROR)  # of readers, who are told of gaps
    if asked.scene is not None:
        with tempfile.TemporaryDirectory(prefix="rqlike-scene-") as folder:
            print(json.dumps(play(asked.scene, Path(folder))))
        return 0
    mixes = [*MIXES, "everything"] if asked.mix == "all" else [asked.mix]
    violated = False
    for mix in mixes:
        for seed in range(asked.seed, asked.seed + asked.seeds):
            done = run(
                Settings(seed, mix, asked.jobs, asked.seconds, asked.workers, asked.lease, asked.gap, asked.server)
            )
            print(as_json(done) if asked.json else as_text(done), flush=True)
            violated = violated or bool(done.violations)
    return int(violated)


if __name__ == "__main__":
    sys.exit(main())
