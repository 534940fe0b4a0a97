"""Load: many workers, many waiters, many jobs, a long time. `python -m tests.load` runs all of it in full size."""
