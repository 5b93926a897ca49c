"""What is promised, in one sentence each; docs/promises.md shows this list with what was last measured."""

from __future__ import annotations

from typing import NamedTuple


class Promise(NamedTuple):
    """A promise, where it is tested, and how often the small and the large size try it."""

    sentence: str
    test: str
    small: str
    large: str


PROMISES = {
    "R1": Promise("A killed worker loses no run, and finishes none twice", "test_kills.py", "30 kills a database", "300 kills a database"),
    "R2": Promise("A worker that slept past its lease cannot write", "test_kills.py", "10 sleeps a database", "300 sleeps a database"),
    "R3": Promise(
        "A killed and resumed run gives what an uninterrupted one gives, on a CPU bit for bit",
        "test_exact_resume.py",
        "1 kill",
        "50 kills",
    ),
    "R4": Promise("A save cut short anywhere never spoils a run", "test_saves.py", "each place once", "each place 10 times"),
    "R5": Promise(
        "A killed worker's run goes on within its lease and 30 seconds", "test_kills.py", "30 kills a database", "300 kills a database"
    ),
    "R6": Promise("A cancel stops the trainer within 30 seconds, a pause within 60", "test_cancel.py", "5 moments", "50 moments"),
    "R7": Promise("A worker told to leave costs no crash and at most one step", "test_graceful.py", "2 runs", "30 runs"),
    "R8": Promise("Redis may be flushed, killed or away; the work goes on", "test_redis.py", "once each, 6 s", "20 times each, 60 s"),
    "R9": Promise(
        "A database that restarts or is away loses nothing; the web says 503", "test_database.py", "once each, 10 s", "7 times each, 60 s"
    ),
    "R10": Promise("A full disk is a clear failure, no damage, and goes on once there is room", "test_disk_full.py", "5 disks", "5 disks"),
    "R12": Promise("Every message to a worker may be lost or doubled", "test_bells.py", "50 runs", "1,000 runs"),
    "L1": Promise("Live pages keep up, and lose no event", "test_dashboards.py", "50 streams, 10 s", "200 streams, 60 s"),
    "U2": Promise("A backup taken while the studio works restores whole", "test_backup.py", "once a database", "10 times"),
    "cluster": Promise("On several machines a killed worker's run goes on at another", "cluster/test_cluster.py", "once", "once"),
}
