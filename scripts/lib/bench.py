"""What scripts/bench runs in the environment of scripts/env: hardline and a sender on kernel sockets, by CPU time.

Sink and peer are the C programs beside the checkout (../shared/peers). Engine and peer have the same CPU to themselves,
the sink has the others; the key exchange is X25519 on both sides, the chain is leaf, intermediate, root. The peer
has the offloads of its end of the wire, which a kernel's stack would not be without; the engine has none.
"""
import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import time

from stage import Off, TOP, build, hl, perform, say, table, take_signals
from engine import Engine

PEERS = os.path.join(TOP, "..", "shared", "peers")
MX, DOMAIN = "mx1.example.test", "example.test"
MESSAGE_BYTES = 10000
IN_FLIGHT = 64
REPETITIONS = 3
ENGINE_CPU, PEER_CPU = 0, 0
OFFLOADS = ("tx", "tso", "gso", "gro")
PEER_LINE = re.compile(r"kclient: (\d+) messages \d+ handshakes (\d+) failed in ([\d.]+)s wall, cpu ([\d.]+)s")
CASES = {  # name: the leaf's key, messages a connection, first guess at messages a second
    "fresh-rsa": ("rsa", 1, 500),
    "fresh-p256": ("p256", 1, 500),
    "reuse": ("rsa", 100, 4000),
}
NAMES = {"fresh": ["fresh-rsa", "fresh-p256"], "reuse": ["reuse"], "smoke": ["fresh-rsa", "reuse"]}


def compile_peer(lab, name):
    source = os.path.join(PEERS, name + ".c")
    if not os.path.exists(source):
        raise Off(f"there is no {os.path.relpath(source, TOP)} beside the checkout: nothing to compare with")
    hl.run(["cc", "-O2", "-w", "-o", lab.path(name), source, "-lssl", "-lcrypto"])
    return lab.path(name)


def offloads(net, state):
    for ns, dev in ((net.sender, net.sender_if), (net.receiver, net.receiver_if)):
        ns.run("ethtool", "-K", dev, *(word for offload in OFFLOADS for word in (offload, state)))


class Bench:
    def __init__(self, options):
        self.seconds = options.seconds
        self.lab = hl.Lab()
        take_signals()
        self.net = hl.Net(self.lab)
        self.ca = hl.Ca(self.lab)
        self.sink_program, self.peer_program = (compile_peer(self.lab, name) for name in ("sink", "kclient"))
        self.groups = self.lab.write("openssl.cnf", "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n"
                                                    "Groups = X25519\n")
        line = b"x" * 76 + b"\r\n"
        head = b"From: a@sender.test\r\nTo: b@example.test\r\nSubject: t\r\n\r\n"
        self.message = self.lab.write("message.eml", head + line * ((MESSAGE_BYTES - len(head)) // len(line)))
        self.runs = 0

    def start_sink(self, key):
        cert = self.ca.issue(MX, key=key)
        self.sink = self.lab.start(["taskset", "-c", other_cpus(), self.sink_program, self.net.ip4(1), "25", cert.chain,
                                    cert.key, str(max(os.cpu_count() - 1, 1))], ns=self.net.receiver,
                                   env={"OPENSSL_CONF": self.groups})
        hl.wait_until(lambda: self.net.answers(1), 10, "the sink listens")

    def peer(self, messages, per_connection):
        """Runs the peer; its figures."""
        offloads(self.net, "on")
        with self.net.kernel_sender():
            said = self.net.sender.run("taskset", "-c", str(PEER_CPU), self.peer_program, self.net.ip4(1), "25",
                                       self.ca.root, MX, str(IN_FLIGHT), str(messages // per_connection),
                                       str(per_connection), str(MESSAGE_BYTES), timeout=600)
        offloads(self.net, "off")
        count, failed, wall_s, cpu_s = map(float, PEER_LINE.search(said).groups())
        return figures(count, failed, wall_s, cpu_s)

    def engine(self, messages, per_connection):
        """Starts an engine, has it deliver, stops it; its figures."""
        self.runs += 1
        engine = Engine(self.lab, self.net, self.ca, name=f"engine{self.runs}", routes={DOMAIN: (MX, self.net.ip4(1))},
                        settings={"cores": {"cpus": [ENGINE_CPU], "idle": "sleep"},
                                  "limits": {"connections-per-destination": IN_FLIGHT,
                                             "messages-per-connection": per_connection},
                                  "run": {"log-level": "notice"}})
        time.sleep(1)
        idle_from = core_cpu_s(engine)
        time.sleep(1)
        before, started = core_cpu_s(engine), time.monotonic()
        jobs = [{"to": ["b@" + DOMAIN], "path": self.message}] * messages
        counted = engine.status()["total"]
        submission = engine.start_submit(jobs, "--quiet", prefix=["taskset", "-c", other_cpus()])
        results = submission.wait(600)
        wall_s, cpu_s = time.monotonic() - started, core_cpu_s(engine) - before
        total = engine.status()["total"]
        engine.stop()
        failed = sum(r["verdict"] != "delivered" for r in results) + messages - len(results)
        turns, busy = (total[name] - counted[name] for name in ("core_turns", "core_turns_busy"))
        return figures(len(results) - failed, failed, wall_s, cpu_s) | {
            "busy_share": round(busy / max(turns, 1), 3), "idle_cpu_share": round(before - idle_from, 3),
            "handshakes": total["tls_handshakes"], "retransmits": total["tcp_retransmits"]}


def other_cpus():
    return ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0)) if cpu != ENGINE_CPU) or "0"


def core_cpu_s(engine):
    return sum(seconds for name, seconds in engine.cpu_s().items() if name.startswith("hl-core"))


def figures(count, failed, wall_s, cpu_s):
    return {"messages": int(count), "failed": int(failed), "wall_s": round(wall_s, 3), "cpu_s": round(cpu_s, 3),
            "per_cpu_s": round(count / max(cpu_s, 1e-3), 1), "per_s": round(count / wall_s, 1)}


def how_many(run, guess, per_connection, seconds):
    """So many messages that a side works for about that long."""
    trial = run(max(guess // 2 // per_connection, 4) * per_connection, per_connection)
    return max(int(trial["per_s"] * seconds) // per_connection, 4) * per_connection


def median_of(runs):
    return sorted(runs, key=lambda r: r["per_cpu_s"])[len(runs) // 2]


def measure(bench, name, repetitions):
    key, per_connection, guess = CASES[name]
    bench.start_sink(key)
    say(f"  {name}: how many messages take {bench.seconds} s")
    counts = [how_many(run, guess, per_connection, bench.seconds) for run in (bench.engine, bench.peer)]
    engines, peers = [], []
    for turn in range(repetitions):
        engines.append(bench.engine(counts[0], per_connection))
        peers.append(bench.peer(counts[1], per_connection))
        say(f"  {name}, turn {turn + 1}: hardline {engines[-1]['per_cpu_s']:,.0f}, kclient {peers[-1]['per_cpu_s']:,.0f} "
            "messages per CPU second")
    bench.sink.stop()
    ratios = [e["per_cpu_s"] / p["per_cpu_s"] for e, p in zip(engines, peers)]
    return {"case": name, "unit": "messages per CPU second", "message_bytes": os.path.getsize(bench.message),
            "messages_per_connection": per_connection, "in_flight": IN_FLIGHT, "engine": median_of(engines),
            "peer": {"name": "kclient", **median_of(peers)}, "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(r, 3) for r in ratios], "failed": sum(r["failed"] for r in engines + peers),
            "limit": None, "of_limit": None}


def cpu_model():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())


def play(options, found):
    build()
    bench = Bench(options)
    found["host"] = {"cpu": cpu_model(), "cpus": os.cpu_count(), "kernel": platform.release(), "port": "net_af_packet on a veth",
                     "openssl": hl.run(["openssl", "version"]).split()[1], "build": os.environ.get("HARDLINE_BUILD", "release"),
                     "revision": subprocess.run(["git", "-C", TOP, "-c", "safe.directory=*", "rev-parse", "--short", "HEAD"],
                                                capture_output=True, text=True).stdout.strip()}
    say(f"  {found['host']['cpu']}, {found['host']['cpus']} CPUs, OpenSSL {found['host']['openssl']}; "
        f"{IN_FLIGHT} connections at a time")
    for name in NAMES[options.name]:
        case = measure(bench, name, 1 if options.name == "smoke" else REPETITIONS)
        found["cases"].append(case)
        if case["failed"]:
            found["troubles"].append(f"{name}: {case['failed']} messages failed")
    say()
    table([("case", "hardline", "kclient", "ratio", "ms/message", "idle"),
           *((c["case"], f"{c['engine']['per_cpu_s']:,.0f}/CPU s", f"{c['peer']['per_cpu_s']:,.0f}/CPU s", f"{c['ratio']:.2f}",
              f"{1000 / c['engine']['per_cpu_s']:.3f}", f"{c['engine']['idle_cpu_share']:.1%}") for c in found["cases"])])
    say("\n  idle: the CPU share of a core without work, which is part of its cost here; the peer has none")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--figures", required=True)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("name", choices=NAMES)
    options = parser.parse_args()
    options.seconds = options.seconds or (1 if options.name == "smoke" else 5)
    take_signals()
    found = {"ok": False, "troubles": [], "host": {}, "cases": []}
    sys.exit(perform(options.figures, found, lambda: play(options, found))[0])


main()
