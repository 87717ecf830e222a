#!/usr/bin/env python3
"""hardline-bench generate through an engine to a farm over memif: one to ten thousand destinations with names, addresses and
certificates of their own, sizes, spreads, rates, phases; what it says when things go wrong."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from engine import Engine
from farm import Farm

PROGRAM = os.path.join(hl.BUILD, "bench", "hardline-bench")
MANY = 10000
FEW = 40
FIRST = "10.78.0.1"


def generate(*options, timeout=240):
    """One run; (exit status, its line of JSON, what it complained of)."""
    ended = subprocess.run([PROGRAM, "generate", *map(str, options)], capture_output=True, text=True, timeout=timeout)
    return ended.returncode, json.loads(ended.stdout) if ended.stdout.startswith("{") else None, ended.stderr


class Pair:
    """A farm of so many names and an engine whose routes the generator has printed."""

    def __init__(self, lab, net, name, count, *farm_options, limits=None):
        path = lab.path(name + ".sock")
        device = f"net_memif0,role={{}},socket={path},socket-abstract=no"
        self.farm = Farm(lab, net, "--addresses", f"{FIRST}/16+{count}", "--key", "p256", "--connections", 2 * count + 64,
                         *farm_options, name=name, device=device.format("server"))
        self.engine = Engine(lab, net, self.farm, name=name + "-engine", start=False, port=device.format("client"),
                             settings={"run": {"log-level": "notice"}, "net": {"addresses": ["10.78.255.1/16"], "neighbours": count + 64},
                                       "allow-networks": ["10.78.0.0/16"],
                                       "limits": {"destinations": count + 16, "connections": 512, **(limits or {})}})
        self.routes = hl.run([PROGRAM, "generate", "--destinations", str(count), "--print-routes", FIRST])
        with open(self.engine.config_path, "a") as f:
            f.write(self.routes)
        self.engine.start()

    def generate(self, *options):
        return generate("--socket", self.engine.feed_socket, "--quiet", *options)

    def stop(self):
        self.engine.stop()
        return self.farm.stop()


def ten_thousand(lab, net):
    """Each name has an address and a certificate, and the engine verifies each."""
    pair = Pair(lab, net, "many", MANY)
    hl.equal((pair.farm.ready["names"], pair.farm.ready["last_name"], pair.routes.count("domain = ")), (MANY, "mx10000.farm.test", MANY),
             "10,000 destinations: names of the farm, and routes")
    status, said, complaints = pair.generate("--destinations", MANY, "--messages", MANY, "--size", "2k", "--drain", 200)
    hl.ok(status == 0 and said["measured"]["delivered"] == MANY, "10,000 destinations: a message to each is delivered", status, said, complaints)
    hl.equal((said["measured"]["with_tls"], said["measured"]["reused"]), (MANY, 0), "10,000 destinations: over TLS, a connection each")
    hl.equal(pair.engine.counter("tls_handshakes"), MANY, "10,000 destinations: as many handshakes, each name verified")
    hl.equal(pair.engine.counter("tls_chains_proven"), 0, "10,000 destinations: no certificate is another's")
    hl.equal(pair.stop(), 0, "10,000 destinations: the farm is content")
    hl.equal((pair.farm.end["good"], pair.farm.end["damaged"], pair.farm.end["runs"][0]["missing"]), (MANY, 0, 0), "10,000 destinations: each once and whole")


def distributions(lab, net):
    """Sizes by their weights; destinations by theirs: how many connections stand when each keeps one."""
    pair = Pair(lab, net, "few", FEW)
    status, said, _ = pair.generate("--destinations", FEW, "--messages", 2000, "--size", "1k:75,9k:25", "--seed", 7)
    mean = said["measured"]["bytes"] / 2000
    hl.ok(status == 0 and 2700 < mean < 3300, "sizes: three quarters of 1 kB and one of 9 kB", mean)
    hl.ok(pair.engine.counter("conn_opened") >= FEW, "even: a connection to each destination at the least")
    status, said, _ = pair.generate("--destinations", FEW, "--messages", 500, "--size", "1k", "--spread", "zipf:10", "--copy")
    hl.ok(status == 0 and said["measured"]["reused"] > 400, "zipf: nearly all go to the first", said["measured"])
    hl.equal(pair.stop(), 0, "distributions: the farm is content")
    hl.equal(pair.farm.end["good"], 2500, "distributions: all are there, those that were copied too")


def phases_and_rate(lab, net):
    pair = Pair(lab, net, "rate", 1)
    status, said, complaints = pair.generate("--rate", 500, "--seconds", 2, "--warmup-messages", 50)
    measured, warm = said["measured"], said["warmup"]
    hl.ok(status == 0 and 990 <= measured["submitted"] <= 1001 and 1.8 < measured["seconds"] < 3, "a rate: 500 a second for 2 seconds",
          measured, complaints)
    hl.equal((warm["submitted"], warm["delivered"]), (50, 50), "the warm-up is counted by itself")
    latency = measured["latency_us"]
    hl.equal(sum(count for _, count in latency["buckets"]), measured["delivered"], "each delivered message has its latency")
    hl.ok(0 < latency["p50"] <= latency["p99"] <= latency["max"], "percentiles are in order", {k: v for k, v in latency.items() if k != "buckets"})
    status, said, _ = pair.generate("--seconds", 1, "--in-flight", 4)
    hl.ok(status == 0 and said["measured"]["submitted"] > 20, "flat out, four in flight", said["measured"])
    hl.equal(pair.stop(), 0, "phases: the farm is content")
    hl.equal([(r["received"] > 0, r["missing"]) for r in pair.farm.end["runs"]], [(True, 0)] * 3, "warm-up and measured phases are runs of their own")


def too_slow(lab, net):
    """More is asked for than goes through: said on standard error, in the JSON, and the latency counts from when a message was due."""
    pair = Pair(lab, net, "slow", 1, "--work", 5000, limits={"jobs-in-flight": 64})
    status, said, complaints = pair.generate("--rate", 20000, "--seconds", 1, "--size", "1k", "--drain", 60)
    measured = said["measured"]
    hl.equal(status, 0, "too slow: nothing is lost")
    hl.ok(measured["ring_full"] > 0 and measured["ring_full_s"] > 0.1, "too slow: the ring's being full is in the JSON", measured["ring_full_s"])
    hl.ok("the ring was full for" in complaints, "too slow: and said", complaints)
    hl.ok(measured["late_s"] > 0.1, "too slow: so is by how much it fell behind", measured["late_s"])
    pair.engine.stop()
    pair.farm.stop()
    hl.ok(pair.farm.end["busy_share"] > 0.5, "too slow: and the farm that it was busy", pair.farm.end["busy_share"])


def what_fails(lab, net):
    pair = Pair(lab, net, "failing", 1, "--fail", "451:100%")
    status, said, complaints = pair.generate("--messages", 3)
    hl.equal((status, said["measured"]["failed"], said["measured"]["verdicts"]["deferred"]), (1, 3, 3), "a message that failed: exit status 1, counted")
    hl.ok("As the farm was told" in complaints and said["measured"]["complaints"], "and the reply is told", complaints)
    process = subprocess.Popen([PROGRAM, "generate", "--socket", pair.engine.feed_socket, "--rate", "5", "--seconds", "60", "--drain", "5"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    hl.ok(process.returncode == 130 and json.loads(out)["measured"]["seconds"] < 30, "an interrupt: 130, with figures", process.returncode, out)
    pair.stop()
    status, said, complaints = generate("--socket", lab.path("nobody.sock"))
    hl.ok(status == 75 and said is None and "is hardlined running" in complaints, "no engine: 75, and what to look at", status, complaints)


def wrong_usage(_lab, _net):
    cases = {"--rate: \"fast\" is not a number from": ["--rate", "fast"], "--destinations: \"10001\" is not a number from 1 to 10000": ["--destinations", "10001"],
             "--spread: \"odd\" is neither even nor zipf:S": ["--spread", "odd"], "see hardline-bench generate --help": ["--frobnicate"],
             "--messages: \"1.5\" is not a whole number": ["--messages", "1.5"], "--sender: \"me\" is no address": ["--sender", "me"],
             "\"more\" is not an option": ["more"], "--print-routes: \"x\" is not an IP address": ["--print-routes", "x"]}
    for text, options in cases.items():
        status, _, complaints = generate(*options)
        hl.ok(status == 64 and text in complaints, f"refused: {' '.join(options)}", status, complaints)
    for command in ("generate", "farm", "trickle"):
        ended = subprocess.run([PROGRAM, command, "--help"], capture_output=True, text=True, timeout=20)
        hl.ok(ended.returncode == 0 and ended.stdout.startswith(f"usage: hardline-bench {command}") and "Exit status" in ended.stdout, f"{command} --help")
    ended = subprocess.run([PROGRAM, "measure"], capture_output=True, text=True, timeout=20)
    hl.ok(ended.returncode == 64 and 'no command "measure"' in ended.stderr, "a command that there is not")


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    for test in (wrong_usage, what_fails, phases_and_rate, too_slow, distributions, ten_thousand):
        if not sys.argv[1:] or test.__name__ in sys.argv[1:]:
            test(lab, net)
    hl.done()


main()
