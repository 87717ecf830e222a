"""What scripts/demo runs in the environment of scripts/env: the stage, the play, the comparison, the report.

Everything it needs is made here and is gone at the end, unless --keep. The parts (a lab of two hosts, a Postfix, MXs
that cheat, the engine, messages of every kind) are those of the tests: tests/lib.
"""
import argparse
import os
import platform
import signal
import sys
import time

from stage import Interrupted, build, hl, perform, say, table, take_signals
import attacker
from corpus import Corpus
from engine import Engine, find_program

MX = "mx1.example.test"
CHEAT = "mx.attack.test"
DOMAINS = ("example.test", "example.org")
MAILBOXES = [f"{user}@{domain}" for domain in DOMAINS for user in ("alice", "bob", "carol", "dave")]
# What is refused: the attacker's case and the one reason that hardline must give.
REFUSALS = {
    "no_starttls": ("no_starttls", "starttls-not-supported"),
    "starttls_rejected": ("starttls_rejected_454", "starttls-rejected"),
    "injected_plaintext": ("injected_plaintext", "starttls-injection"),
    "expired": ("expired", "certificate-expired"),
    "wrong_name": ("wrong_name", "certificate-host-mismatch"),
    "unknown_ca": ("unknown_ca", "certificate-not-trusted"),
    "tls11": ("tls11", "tls-version"),
    "self_signed": ("self_signed", "certificate-self-signed"),
    "reset_in_handshake": ("reset_in_handshake", "connection-reset"),
}
SECRET = b"for nobody else"
STALL_S = 120  # without any progress for so long, the demo gives up
COUNTERS = ("conn_opened", "conn_reused", "tls_handshakes", "tls_resumed", "tls_sealed_bytes", "smtp_messages",
            "tcp_retransmits", "tcp_retransmits_fast", "tcp_retransmits_rto", "tcp_tail_probes", "tcp_bytes_acked", "port_tx_packets",
            "port_rx_packets", "net_handoff_in")


class Progress:
    """A line that moves on a terminal; elsewhere one now and then."""

    def __init__(self, what, total):
        self.what, self.total, self.started = what, total, time.monotonic()
        self.terminal = sys.stdout.isatty()
        self.shown = self.started

    def show(self, count):
        now = time.monotonic()
        if now - self.shown < (0.2 if self.terminal else 5):
            return
        self.shown = now
        rate = count / max(now - self.started, 0.1)
        left = f", {(self.total - count) / rate:.0f} s left" if count else ""
        line = f"  {self.what}: {count:,} of {self.total:,}, {rate:.0f}/s{left}"
        print(f"\r{line:<78}" if self.terminal else line, end="" if self.terminal else "\n", flush=True)

    def done(self):
        if self.terminal:
            print("\r" + " " * 78 + "\r", end="", flush=True)


# ---- the stage

class Stage:
    """Both hosts and who is on them. self.engine is the sender; everything else is the receiver's side."""

    def __init__(self, options):
        self.lab = hl.Lab()
        take_signals()
        self.net = hl.Net(self.lab)
        ca = hl.Ca(self.lab)
        say(f"  a throw-away CA, Postfix {postfix_version()}, {len(REFUSALS)} MXs that cheat")
        self.mx = hl.Postfix(self.lab, self.net, 1, ca.issue(MX), users=MAILBOXES, name=MX)
        menu = attacker.attacks(self.lab, CHEAT, ca)
        self.attackers = hl.Attackers(self.lab, self.net, {name: menu[name] for name, _ in REFUSALS.values()}, CHEAT)
        routes = {domain: (MX, self.net.ip4(1)) for domain in DOMAINS}
        routes |= {refusal_domain(case): (CHEAT, self.attackers.address(name))
                   for case, (name, _) in REFUSALS.items()}
        self.engine = Engine(self.lab, self.net, ca, routes=routes, cores=options.cores, port=options.port,
                             settings=settings(options))
        say(f"  hardlined: {self.engine.status()['port']}")


def settings(options):
    more = {"feed": {"arena-megabytes": 128}}
    if options.faults:
        more["port"] = {"rx-faults": f"{options.faults},seed={options.seed}",
                        "tx-faults": f"{options.faults},seed={options.seed + 1}"}
    return more


def refusal_domain(case):
    return case.replace("_", "-") + ".attack.test"


def postfix_version():
    return hl.run(["postconf", "-h", "mail_version"]).strip()


# ---- the play

def watch(submission, total, what, stalled):
    """Waits for a submission with an eye on its progress; returns all results."""
    progress = Progress(what, total)
    results, changed = [], time.monotonic()
    while submission.process.running():
        time.sleep(0.05)
        if len(found := submission.results()) > len(results):
            changed = time.monotonic()
        results = found
        progress.show(len(results))
        if time.monotonic() > changed + STALL_S:
            stalled.append(f"no result for {STALL_S} s")
            break
    progress.done()
    return submission.results()


class Good:
    """The good set: what was submitted, what the engine said of it, and what Postfix has."""

    def __init__(self, stage, options):
        self.stage, self.troubles = stage, []
        say(f"  making {options.messages:,} messages")
        several = max(options.messages // 50, 1)
        self.corpus = Corpus(stage.lab.path("corpus"), options.messages, MAILBOXES, options.seed, several)
        self.pairs = self.corpus.pairs()
        self.one_each = {(n, u) for n, u in self.pairs if n < options.messages}

    def send(self):
        engine, pairs = self.stage.engine, self.pairs
        before, cpu_before, started = engine.status()["total"], engine.cpu_s(), time.monotonic()
        jobs = [{"to": m.recipients, "path": m.path} for m in self.corpus.messages]
        submission = engine.start_submit(jobs)
        self.results = watch(submission, len(pairs), "delivered", self.troubles)
        self.wall_s = time.monotonic() - started
        if submission.process.running():
            submission.process.stop()
        after, cpu_after = engine.status()["total"], engine.cpu_s()
        self.counters = {name: after[name] - before[name] for name in COUNTERS}
        self.cpu_s = {name: cpu_after[name] - cpu_before.get(name, 0) for name in sorted(cpu_after)}

    def collect(self):
        """Waits until Postfix has put into its mailboxes what it accepted, then compares."""
        mx, progress = self.stage.mx, Progress("in the mailboxes", len(self.pairs))
        wanted = sum(r["verdict"] == "delivered" for r in self.results)
        seen, changed = -1, time.monotonic()
        while (count := sum(map(len, mx.mail_paths().values()))) < wanted:
            if count > seen:
                seen, changed = count, time.monotonic()
            progress.show(count)
            if time.monotonic() > changed + STALL_S:
                self.troubles.append(f"Postfix has put {count} of {wanted} messages into its mailboxes")
                break
            time.sleep(0.2)
        progress.done()
        self.verdict = self.corpus.compare(mx.mail_paths())
        self.troubles += list(self.verdict.complaints())[:20]

    def result_of(self):
        """{(message, user): result}."""
        return {(r["job"], self.corpus.messages[r["job"]].recipients[r["recipient"]]): r for r in self.results}

    def counts(self, pairs):
        """The figures of some of the pairs."""
        results = {pair: r for pair, r in self.result_of().items() if pair in pairs}
        said = [r["verdict"] for r in results.values()]
        stopped = {pair for pair, r in results.items() if r["verdict"] != "delivered"}
        return {
            "submitted": len(pairs),
            "delivered": said.count("delivered"),
            "identical": len(self.verdict.identical & pairs),
            "deferred": said.count("deferred"),
            "failed": said.count("failed"),
            "in_doubt": said.count("in doubt"),
            "not_sent": said.count("not sent"),
            "lost": len((self.verdict.lost & pairs) - stopped),
            "tls_verified": sum(r["verdict"] == "delivered" and verified(r) for r in results.values()),
        }


def verified(result):
    """Whether the evidence says: TLS, chain and name proven."""
    tls = result.get("tls") or {}
    return bool(tls.get("pkix")) and tls.get("matched_name") == MX and tls.get("version") in ("TLSv1.2", "TLSv1.3")


def all_there(counts):
    zeros = ("deferred", "failed", "in_doubt", "not_sent", "lost")
    return (counts["identical"] == counts["delivered"] == counts["tls_verified"] == counts["submitted"]
            and not any(counts[z] for z in zeros))


def refuse(stage):
    """Sends a message to every MX that cheats; {case: what became of it}."""
    path = stage.lab.write("secret.eml", b"Subject: a secret\r\n\r\n" + SECRET + b"\r\n")
    jobs = [{"to": ["victim@" + refusal_domain(case)], "path": path} for case in REFUSALS]
    stalled = []
    results = {r["job"]: r for r in watch(stage.engine.start_submit(jobs), len(jobs), "refused", stalled)}
    refused = {}
    for number, (case, (name, wanted)) in enumerate(REFUSALS.items()):
        result = results.get(number, {"verdict": "none", "stage": "", "reason": "no result", "fault": "", "text": ""})
        leaked = [part.decode("latin-1") for part in stage.attackers.leaked(name, SECRET, b"victim@")]
        if not stage.attackers.refused(name) and not leaked:
            leaked = ["mail commands under TLS"]
        refused[case] = {key: result[key] for key in ("verdict", "stage", "reason", "fault", "text")} | {
            "expected": wanted, "leaked": leaked, "connections": stage.attackers.connections(name)}
    return refused


def refusal_troubles(refused):
    for case, r in refused.items():
        if r["reason"] != r["expected"]:
            yield f"{case}: the reason is {r['reason']} ({r['text']}), expected was {r['expected']}"
        if r["verdict"] != "deferred":
            yield f"{case}: the verdict is {r['verdict']}, expected was deferred"
        if r["leaked"]:
            yield f"{case}: this reached the attacker: {r['leaked']}"
        if not r["connections"]:
            yield f"{case}: the attacker was never connected to"


# ---- the report

def quantile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else 0


def figures(good):
    messages, c = len(good.corpus.messages), good.counters
    cpu = sum(good.cpu_s.values())
    core_cpu = sum(s for name, s in good.cpu_s.items() if "core" in name)
    replies_ms = [r["times_us"]["replied"] / 1000 for r in good.results if "replied" in r.get("times_us", {})]
    return {
        "messages": messages,
        "bytes": good.corpus.bytes,
        "wall_s": round(good.wall_s, 3),
        "messages_per_s": round(messages / good.wall_s, 1),
        "megabytes_per_s": round(good.corpus.bytes / 1e6 / good.wall_s, 2),
        "cpu_s": {name: round(s, 3) for name, s in good.cpu_s.items()},
        "cpu_ms_per_message": round(cpu * 1000 / messages, 3),
        "cores_cpu_ms_per_message": round(core_cpu * 1000 / messages, 3),
        "reply_ms_p50": round(quantile(replies_ms, 0.5)),
        "reply_ms_p99": round(quantile(replies_ms, 0.99)),
        **c,
    }


def versions(stage):
    status = stage.engine.status()
    return {"hardline": status["version"], "dpdk": status["eal"], "port": status["port"],
            "accelerator": status["accelerator"], "openssl": hl.run(["openssl", "version"]).split()[1],
            "postfix": postfix_version(), "kernel": platform.release(), "cpus": os.cpu_count()}


def report(found):
    f, good = found["figures"], {k: found[k] for k in ("submitted", "delivered", "identical", "tls_verified")}
    say(f"\n  {f['messages']:,} messages, {f['bytes'] / 1e6:.1f} MB, in {f['wall_s']:.1f} s: "
        f"{f['messages_per_s']:.0f} messages/s, {f['megabytes_per_s']:.1f} MB/s "
        f"(Postfix, on the same {os.cpu_count()} CPUs, is the brake)")
    table([("connect", f"{f['conn_opened']:,} connections; {f['conn_reused']:,} messages went over an open one"),
           ("secure", f"{f['tls_handshakes']:,} verified handshakes, {f['tls_resumed']:,} of them resumed"),
           ("send", f"{f['smtp_messages']:,} transactions, {f['tls_sealed_bytes'] / 1e6:.1f} MB encrypted"),
           ("packets", f"{f['port_tx_packets']:,} out, {f['port_rx_packets']:,} in, {f['tcp_retransmits']:,} segments "
                       f"sent again ({f['tcp_retransmits_fast']:,} by loss recovery, {f['tcp_retransmits_rto']:,} after a "
                       f"time-out), {f['tcp_tail_probes']:,} tail loss probes, "
                       f"{f['net_handoff_in']:,} handed to another core"),
           ("reply", f"half of the messages within {f['reply_ms_p50']:,} ms of being handed over, 99 % within "
                     f"{f['reply_ms_p99']:,} ms"),
           ("CPU", f"{f['cores_cpu_ms_per_message']:.2f} ms a message on the cores, {f['cpu_ms_per_message']:.2f} ms in all "
                   "(kernel's side of the port and idle turns included)")])
    say(f"\n  {good['submitted']:,} to one recipient each: {good['delivered']:,} delivered, {good['tls_verified']:,} over "
        f"verified TLS, {good['identical']:,} identical; deferred {found['deferred']}, failed {found['failed']}, "
        f"in doubt {found['in_doubt']}, lost {found['lost']}")
    several = found["to_several"]
    say(f"  {several['messages']:,} to several: {several['identical']:,} of {several['submitted']:,} copies identical")
    say("\n  refused, nothing of the message having left:")
    table([(case.replace("_", " "), r["reason"], r["text"]) for case, r in found["refused_details"].items()])


def play(options, found):
    """Fills `found`, what --json writes, as it goes; returns the stage."""
    build()
    stage = Stage(options)
    found["versions"] = versions(stage)
    good = Good(stage, options)
    good.send()
    good.collect()
    found |= good.counts(good.one_each)
    found["to_several"] = {"messages": len(good.corpus.messages) - options.messages,
                           **good.counts(good.pairs - good.one_each)}
    found["refused_details"] = refuse(stage)
    found["refused"] = {case: r["reason"] for case, r in found["refused_details"].items()}
    found["figures"] = figures(good)
    found["troubles"] += good.troubles + list(refusal_troubles(found["refused_details"]))
    if not (all_there(found) and all_there(found["to_several"])):
        found["troubles"] += sorted({f"{r['verdict']}: {r['reason']}: {r['text']}" for r in good.results
                                     if r["verdict"] != "delivered"})[:20] or ["not everything arrived"]
    report(found)
    return stage


def usage_of_kept(stage):
    engine, hardline = stage.engine, os.path.relpath(find_program("hardline"))
    say(f"""
  left running; to play with it:
    scripts/env {hardline} status --socket {engine.admin_socket}
    scripts/env {hardline} submit --socket {engine.feed_socket} --from me@sender.test --to alice@example.test FILE
    mailboxes         {stage.mx.folder}/mail
    the engine's log  {engine.process.log_path}
    configuration     {engine.config_path}   (kill -HUP {engine.process.pid} reads it anew)
    the wire          nsenter -t {engine.process.pid} -n scripts/env tcpdump -ni {stage.net.sender_if}
  to stop it:         kill {os.getpid()}""")


# ---- the program

def step_behind():
    """For --keep: goes on in a child, which may stay when this process ends. Returns a pipe to tell the status through."""
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ear)
        return mouth
    os.close(mouth)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    status = os.read(ear, 1)
    os._exit(status[0] if status else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255)


def stay(mouth, status):
    """Ends the visible part of the demo; what runs goes on until TERM."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    os.write(mouth, bytes([status]))
    os.close(mouth)
    try:
        signal.pause()
    except Interrupted:
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--figures", required=True)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--port", default="af_packet")
    parser.add_argument("--faults", default="")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    mouth = step_behind() if options.keep else None
    take_signals()
    chosen = {name: value for name, value in vars(options).items() if name != "figures"}
    found = {"ok": False, "troubles": [], "options": chosen}
    status, stage = perform(options.figures, found, lambda: play(options, found))
    say("\n  " + {0: "all is well", 1: "something is off"}.get(status, "interrupted"))
    if mouth is not None and stage:
        usage_of_kept(stage)
        stay(mouth, status)
    sys.exit(status)


main()
