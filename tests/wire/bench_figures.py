"""What scripts/bench makes of its runs: turns and medians, ratios, limits, notes, every case's figures, the page. Runs made up but
for the ring's; bench.py has whole ones.
"""
import os
import re
import subprocess
import sys
import tempfile

SOURCE = os.environ.get("HARDLINE_SOURCE", ".")
sys.path[:0] = [os.path.join(SOURCE, "tests", "lib"), os.path.join(SOURCE, "scripts", "lib"),
                os.path.join(SOURCE, "scripts", "lib", "bench")]
import conns  # noqa: E402
import html_page  # noqa: E402
import mail  # noqa: E402
import main  # noqa: E402
import other  # noqa: E402
from lab import BenchLab  # noqa: E402
from page import Page  # noqa: E402
from tap import done, equal, ok  # noqa: E402

CASE = ("case", "engine", "peer", "ratio", "limit", "of_limit", "failed", "unit", "notes")
mail.say = other.say = lambda *_: None


def check_notes():
    """What keeps a figure from meaning what it seems to is said; runs made up."""
    def run(**what):
        return {"ring_full_s": 0, "given_up": 0, "wall_s": 1, "farm": {"busy_share": 0.5, "kept_up": True}, **what}

    def told(*runs):
        return " ".join(mail.notes_on("reuse", runs))
    equal(told(run(), run()), "", "nothing is told where nothing is wrong")
    ok("ring was full 80%" in told(run(), run(ring_full_s=0.8)), "a full ring is told")
    ok("farm was the bottleneck" in told(run(farm={"busy_share": 0.97, "kept_up": False})), "a farm that is always busy is told")
    lost = told(run(), run(farm={"busy_share": 0.2, "kept_up": False, "missed": 1234}))
    ok("has not kept up" in lost and "could not take 1,234 frames" in lost, "a farm that lost frames is told, with how many", lost)
    ok("gave up 12 frames" in told(run(), run(given_up=12)), "frames that the engine gave up are told")
    phase = {"submitted": 2000, "verdicts": {"no result": 3}, "reasons": {"reply": 1500}, "complaints": ["deferred: reply: come again"]}
    equal(mail.causes_of(phase, ""), ["1,500 of 2,000 messages: reply", "3 messages have no result", "deferred: reply: come again"],
          "why messages failed is told")


class Turns:
    """A peer that is not there: when it has its turn."""

    def __init__(self, order, rates):
        self.order, self.rates, self.runs, self.program = order, list(rates), [], "kclient"

    def trial(self):
        self.order.append("trial")

    def turn(self):
        self.order.append("peer")
        self.runs.append({"per_cpu_s": self.rates[len(self.runs)], "failed": 2 if self.rates[len(self.runs)] == 13 else 0, "resumed_share": None})

    summary = mail.PeerRuns.summary


def made_up_run(rate, agree=True):
    cost = {"charged_s": 1.0, "poll_s": 1.0 if agree else 1.5, "raw_cpu_s": 1.1, "poll_to_charged": 1.0 if agree else 1.5, "agree": agree,
            "lost_s": 0, "waited_s": 0, "stolen_s": 0, "had_no_cpu_busy_s": 0}
    figures = dict.fromkeys(("wall_s", "per_s", "busy_share", "packets_in", "packets_out", "round_trips", "remembered", "resumed_share",
                             "retransmits", "given_up", "phase_changes"), 1)
    return {**figures, "given_up": 0, "cost": cost, "per_cpu_s": rate, "per_poll_s": rate, "phases": dict.fromkeys(mail.accounting.PHASES, 100),
            "latency_us": {"p99": 5000, "buckets": [[1000, 50], [5000, 50]]}, "failed": 0, "trouble": None, "causes": [], "ring_full_s": 0,
            "farm": {"busy_share": 0.5, "kept_up": True}}


def another_case():
    return made_up_run(1) | {"trouble": "only 3.0% of the connections were resumed: no figure"}


PARTS = {"x25519_s": 2e-5, "key_schedule_s": 1e-5, "verify_rsa_s": 1e-5, "verify_p256_s": 2e-5, "gcm_1400_s_per_byte": 1e-10,
         "gcm_16k_s_per_byte": 2e-10, "port_transmit_s": 1e-7, "port_receive_s": 1e-7, "public_keys": "made up", "gcm": "made up", "port": "made up"}


def measure_made_up(name, engine_rates, peer_rates, agree=True):
    """measure_case with runs made up; (the case, who had a turn when)."""
    order, rates = [], iter(engine_rates)

    def run_engine(*_):
        order.append("engine")
        rate = next(rates)
        return made_up_run(rate, agree) if rate else another_case()
    kept = mail.run_engine, mail.open_peers
    mail.run_engine, mail.open_peers = run_engine, lambda *_: [Turns(order, peer_rates)]
    try:
        return mail.measure_case(None, name, 1, mail.REPETITIONS, PARTS), order
    finally:
        mail.run_engine, mail.open_peers = kept


def check_turns():
    """Engine and peer in turns, three times at least; the ratio is the median of the pairs'."""
    case, order = measure_made_up("reuse", [100, 200, 90], [50, 50, 10])
    equal(order, ["trial"] + ["engine", "peer"] * 3, "engine and peer work in turns, three of each")
    equal((case["engine"]["per_cpu_s"], case["peer"]["per_cpu_s"], case["ratio"]), (100, 50, 4), "medians, and the median of the paired ratios")
    equal(case["of_limit"], 100 / case["limit"]["per_cpu_s"], "the share of the limit is the median's")
    case, _ = measure_made_up("reuse", [100, 200, 90], [50, 50, 10], agree=False)
    equal((case["ratio"], case["of_limit"], case["peer"]["ratio"]), (None, None, None), "no ratio where the accountings differ")
    ok(any("differ by more than 10%" in n for n in case["notes"]), "and it is said", *case["notes"])


def check_failures():
    """What fails is a failure of the case, and no figure is made of what was not measured."""
    case, _ = measure_made_up("reuse", [100, 100, 100], [50, 13, 50])
    equal((case["failed"], case["causes"]), (2, ["2 of kclient's messages failed"]), "what a peer loses fails the case")
    case, order = measure_made_up("resume-rsa", [None, 100, 100], [50, 50, 50])
    equal((case["engine"], case["ratio"], case["limit"], order), (None, None, None, ["trial", "engine"]), "a run that is another case gives no figure")
    equal((case["failed"], case["causes"]), (1, ["only 3.0% of the connections were resumed: no figure"]), "and is a failure")


def check_no_end():
    """A case that comes to no end has failed, says why, and is not the last."""
    def hang(*_):
        raise subprocess.TimeoutExpired("kclient", 900)
    kept, mail.measure_case = mail.measure_case, hang
    try:
        case = main.one_case(None, "reuse", 1, 1, PARTS)
    finally:
        mail.measure_case = kept
    equal((case["case"], case["failed"], case["engine"]), ("reuse", 1, None), "a peer that hangs fails its case, and no figure is there")
    ok("kclient" in case["causes"][0] and "900 seconds" in case["causes"][0], "and is named", *case["causes"])


class NoPeers:
    """A lab with a sink, and with no peer."""

    def start_sink(self, _key):
        return None

    def peer_program(self, name):
        return BenchLab.peer_program(self, name)

    def compile(self, _source, _name):
        return None


def check_missing_peers():
    notes, build = [], other.hl.BUILD
    other.hl.BUILD = "/nonexistent"
    try:
        equal(mail.open_peers(NoPeers(), "reuse", 1, notes), [], "peers that are missing have no turn")
    finally:
        other.hl.BUILD = build
    equal(notes, ["no kclient: there is no ../shared/peers/kclient.c beside the checkout", "no peer_kernel: bench/peer_kernel is not built"],
          "and each is named")


def check_limit():
    """The cheaper of the two AES-GCM figures; a resumed handshake has no signatures in it, a remembered chain one."""
    def why(kind, remembered=0):
        return mail.limits.of_mail(kind, ("rsa", 1, 10000, 64), {"remembered": remembered, "packets_out": 10, "packets_in": 5}, PARTS)
    once = 5e-5 + 10300e-10 + 15e-7
    ok(abs(1 / why("resume")["per_cpu_s"] - once) < 1e-12, "the limit of a resumed connection is the sum of its parts", why("resume"))
    ok(abs(1 / why("fresh")["per_cpu_s"] - once - 3e-5) < 1e-12, "a fresh one has three signatures", why("fresh"))
    ok(abs(1 / why("fresh", 1)["per_cpu_s"] - once - 1e-5) < 1e-12, "or one, where the chain was remembered", why("fresh", 1))
    equal(mail.limits.of_mail("fresh", ("rsa", 1, 1, 1), {}, None), None, "no limit without its parts")


def missing_figures(case):
    return [name for name in CASE if name not in case] + [name for name in ("per_cpu_s", "cpu_s", "wall_s", "busy_share") if name not in
                                                          (case["engine"] or {})]


def check_builds():
    """The programs that tcp runs are those that scripts/bench has built, not those of a build for tests."""
    before, other.hl.BUILD = other.hl.BUILD, "/our/build"
    ended = other.run_to_clean_up([sys.executable, "-c", "import os; print(os.environ['HARDLINE_BUILD'])"], 20)
    other.hl.BUILD = before
    equal(ended.stdout.strip(), "/our/build", "tcp's programs are those of the same build")


def check_others():
    """ring, conns and tcp have the figures of a case."""
    ring = other.ring(0.05, 1)
    equal(missing_figures(ring), [], "ring has every figure")
    ok(ring["engine"]["per_cpu_s"] > 0 and 0 < ring["of_limit"] < 1 and "bare streams" in ring["limit"]["why"], "ring: below its limit, which is said",
       ring["engine"], ring["limit"])
    rates = [{"role": role, "kind": kind, "loss_percent": 0, "failed": 0, **{stack: {"per_s": 10, "per_cpu_s": 20, "cpu_s": 1, "wall_s": 2,
              "kernel_share": 0.4} for stack in ("linux", "hardline")}} for role in ("client", "server") for kind in ("set-up", "small")]
    cell = {"role": "client", "flows": 1, "loss_percent": 1, "delay_ms": 20, "linux_mbit_s": 5.0, "hardline_mbit_s": 6.0, "ratio": 1.2}
    kept, other.tcp_figures = other.tcp_figures, lambda _lab, program, *_: rates if program == "tcp_rates" else [cell]
    try:
        tcp = other.tcp(None, 1, 1)
        rates[0]["failed"], cell["hardline_mbit_s"] = 3, 0
        broken = other.tcp(None, 1, 1)
    finally:
        other.tcp_figures = kept
    equal((missing_figures(tcp), tcp["failed"], tcp["engine"]["busy_share"]), ([], 0, 0.5), "tcp has every figure")
    equal((broken["failed"], len(broken["causes"])), (4, 2), "tcp: connections that failed and a cell without bytes are failures, with causes")
    case = other.empty_case("conns", "messages") | {"scaling": [
        {"connections": count, "kind": "TLS", "open": count, "us_per_message": 50.0, "poll_us_per_message": 50.0, "bytes_per_connection": 30000,
         "idle_cpu_share": 0, "cpu_s": 1, "wall_s": 2, "busy_share": 0.5, "latency_us": None, "failed": 0} for count in (1000, 20000)]}
    conns.conclude(case)
    equal((missing_figures(case), case["engine"]["per_cpu_s"], case["engine"]["connections"]), ([], 20000, 20000), "conns has every figure, those of its last point")
    return [ring, tcp, case]


def check_long_page(folder, others):
    """All cases on one page: each named and drawn, each curve told from the others, the limit in both plots."""
    cases = [measure_made_up(name, [100, 100, 100], [50, 50, 50])[0] for name in mail.MAIL]
    cases[2]["causes"], cases[2]["failed"] = ["7 of 9 messages: <reply>"], 7
    found = {"ok": False, "troubles": ["resume-rsa: 7 failed: 7 of 9 messages: <reply>"], "host": {"cpu": "made up", "notes": ["a note"]}, "cases": cases + others}
    path = os.path.join(folder, "long.html")
    html_page.write(path, found)
    with open(path) as f:
        page = f.read()
    equal(Page(page).wrong, [], "a page with all cases is well-formed")
    equal([name for name in (*mail.MAIL, *other.OTHER) if name not in page], [], "and names all of them")
    curves = re.findall(r'<polyline[^>]*stroke="([^"]+)" stroke-width="2" ?(stroke-dasharray="[^"]+")?', page)[:len(mail.MAIL)]
    equal(len(set(curves)), len(mail.MAIL), "each case's latency has a line of its own look")
    equal(page.count('stroke="var(--limit)"'), 2 * len(mail.MAIL), "the limit is drawn into throughput and CPU time of each")
    ok("&lt;reply&gt;" in page and "<reply>" not in page, "foreign text is escaped")


check_notes()
check_turns()
check_failures()
check_no_end()
check_missing_peers()
check_limit()
check_builds()
with tempfile.TemporaryDirectory() as made_folder:
    check_long_page(made_folder, check_others())
done()
