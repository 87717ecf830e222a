"""What the tests of the feed stand on: an engine without a network, and producers beside it.

    lab = RingLab()
    lab.start_engine("--delay-us", "2000")
    tally = lab.tally(1000)
    lab.kill_engine()
    ...
    books = Books(lab, tally)
"""
import os
import random
import re
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("HARDLINE_SOURCE", "."), "tests", "lib"))
import hl  # noqa: E402


def program(name):
    for folder in ("tests/feed", "engine/cli"):
        path = os.path.join(hl.BUILD, folder, name)
        if os.access(path, os.X_OK):
            return path
    sys.exit(f"{name} is not built in {hl.BUILD}: run ninja there")


class RingLab:
    def __init__(self, *options):
        self.lab = hl.Lab()
        self.seed = int(os.environ.get("HARDLINE_SEED", random.randrange(1 << 30)))
        self.random = random.Random(self.seed)
        hl.note(f"HARDLINE_SEED={self.seed}")
        self.socket = self.lab.path("feed.sock")
        self.delivered_path = self.lab.write("delivered", "")
        self.options = options
        self.logs = []  # of engines that ended
        self.engine = None

    def start_engine(self, *options):
        self.options = options or self.options
        self.engine = self.lab.start([program("ring_engine"), "--socket", self.socket, "--delivered", self.delivered_path,
                                      *self.options], ready="ready")

    def kill_engine(self):
        self.engine.kill(signal.SIGKILL)
        self.engine.wait(10)
        self.logs.append(self.engine.log())

    def stop_engine(self):
        status = self.engine.stop(20)
        self.logs.append(self.engine.log())
        return status

    def sleep(self, least_s, most_s):
        time.sleep(self.random.uniform(least_s, most_s))

    def start(self, tool, *options, **more):
        return self.lab.start([program(tool), "--socket", self.socket, *map(str, options)], **more)

    def tally(self, messages, *options, ready="attached", **more):
        return self.start("tally", "--messages", messages, "--patience", 20, "--seed", self.random.randrange(1 << 30),
                          *options, ready=ready, **more)

    def delivered(self):
        """{(address, digest): times} of what receivers have."""
        times = {}
        with open(self.delivered_path) as f:
            for line in f:
                address, digest, _ = line.split(" ")
                times[address, digest] = times.get((address, digest), 0) + 1
        return times


class Books:
    """What a tally says it was told, beside what receivers have."""

    def __init__(self, lab, tally):
        self.log = tally.log()
        self.told = [tuple(line.split()[1:4]) for line in self.log.splitlines() if line.startswith("RESULT ")]
        self.delivered = lab.delivered()
        found = re.search(r"^SUMMARY (.*)$", self.log, re.M)
        self.summary = {k: int(v) for k, v in (p.split("=") for p in found[1].split())} if found else {}

    def faults(self):
        """Sentences on every promise that is broken."""
        seen = set()
        for address, digest, verdict in self.told:
            if (address, digest) in seen:
                yield f"{address} {digest} has a second result: {verdict}"
            seen.add((address, digest))
            times = self.delivered.get((address, digest), 0)
            if times > 1:
                yield f"{address} {digest} was delivered {times} times for one submission"
            if verdict == "delivered" and times != 1:
                yield f"{address} {digest} is said to be delivered and was not"
            if verdict in ("unsent", "failed", "deferred") and times:
                yield f"{address} {digest} is said to be {verdict} and was delivered"
        reached = {address for address, _ in self.delivered}
        for address in {a for a, _, verdict in self.told if verdict not in ("failed", "deferred")} - reached:
            if not any(v in ("failed", "deferred") for a, _, v in self.told if a == address):
                yield f"{address} never got its message"
