"""rqlike beside RQ and huey on one machine: `python -m benchmarks` prints the tables of the README."""
