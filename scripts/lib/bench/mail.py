"""The cases that send mail: what is sent, the engine's runs, the peers' between them, one case's figures from all."""
import time

import accounting
import limits
from lab import Generator, pause
from stage import Off, hl, say

REPETITIONS = 3  # turns of each side; medians are quoted
SETTLE_S = 0.12  # the engine publishes every 50 ms
HANDSHAKE_BYTES = 200
PEERS = ("kclient", "peer_kernel")
FARM_BUSY_MAX = 0.95  # of the time, by the farm's clock; above that it is the bottleneck
RESUMED_MIN = 0.95  # of the connections of a resume case; below that it is another case

# name: key, messages a connection, bytes of a message, connections in flight, share of the seconds that warms up
MAIL = {
    "fresh-rsa": ("rsa", 1, 10000, 64),
    "fresh-p256": ("p256", 1, 10000, 64),
    "resume-rsa": ("rsa", 1, 10000, 64),
    "resume-p256": ("p256", 1, 10000, 64),
    "reuse": ("rsa", 100, 10000, 64),
    "bulk": ("rsa", 100, 100000, 64),
    "handshake-rsa-64": ("rsa", 1, HANDSHAKE_BYTES, 64),
    "handshake-rsa-512": ("rsa", 1, HANDSHAKE_BYTES, 512),
    "handshake-rsa-4096": ("rsa", 1, HANDSHAKE_BYTES, 4096),
    "handshake-p256-64": ("p256", 1, HANDSHAKE_BYTES, 64),
    "handshake-p256-512": ("p256", 1, HANDSHAKE_BYTES, 512),
    "handshake-p256-4096": ("p256", 1, HANDSHAKE_BYTES, 4096),
}
FIRST_GUESS = {"fresh": 700, "resume": 1000, "reuse": 20000, "bulk": 6000, "handshake": 900}  # units a CPU second


def kind_of(name):
    return name.split("-")[0]


def engine_settings(in_flight, per_connection):
    connections = 2 * in_flight + 64  # those that close stand beside those that open
    return {"limits": {"connections": connections, "connections-per-destination": in_flight,
                       "messages-per-connection": per_connection, "time-wait": 65536,
                       "jobs-in-flight": max(2048, 2 * in_flight)},
            "feed": {"lane-slots": 8192 if in_flight > 1024 else 1024,
                     "completion-slots": 16384 if in_flight > 1024 else 4096}}


def farm_options(name, in_flight):
    hold = min(in_flight, 512)
    tickets = ["--tickets", "2" if kind_of(name) == "resume" else "0"]
    held = [] if kind_of(name) in ("reuse", "bulk") else ["--hold", str(hold), "--hold-ms", "20"]
    return ["--connections", str(4 * in_flight + 64), *tickets, *held]


def run_engine(lab, name, seconds):
    """One run of the engine: warm-up, measured phase; its figures."""
    key, per_connection, size, in_flight = MAIL[name]
    with lab.engine(key, farm_options(name, in_flight), engine_settings(in_flight, per_connection)) as (engine, farm):
        options = ["--size", str(size), "--warmup-seconds", str(max(0.5, seconds / 5)), "--seconds", str(seconds),
                   "--in-flight", str(max(2 * in_flight, 1024)), "--drain", "60"]
        generator = Generator(lab.lab, lab.next(), engine, options)
        try:
            found = measure(engine, farm, generator)
        finally:
            generator.end()
        if kind_of(name) == "resume" and found["resumed_share"] < RESUMED_MIN:
            found["trouble"] = f"only {found['resumed_share']:.1%} of the connections were resumed: no figure"
        found["memory_kb"] = engine.sample()["memory_kb"]
        engine.stop()
        found["farm"] = as_it_was_measured(farm.stop(), found["farm_busy_share"])
    if not found["farm"].get("ok"):
        found["failed"] += 1
        found["causes"].append(f"the farm is not content: {farm.process.log().strip()[-300:] or found['farm']}")
    return found


def as_it_was_measured(farm, busy_share):
    """The farm's last figures, with the share of the measured phase instead of that of its life, in which it waited, too."""
    return {**farm, "busy_share": busy_share, "kept_up": farm.get("kept_up", True) and busy_share <= FARM_BUSY_MAX}


def busy_share(before, after):
    return (after["busy_s"] - before["busy_s"]) / max(after["wall_s"] - before["wall_s"], 1e-3)


def measure(engine, farm, generator):
    early = generator.wait_warm()
    if early:
        raise Off(f"the generator ended in its warm-up: {early['trouble'] or early['warmup']['complaints']}")
    pause(SETTLE_S)
    before, farm_before = engine.sample(), farm.sample()
    generator.go()
    said = generator.result()
    farm_share = busy_share(farm_before, farm.sample())
    pause(SETTLE_S)
    interval = accounting.grown(before, engine.sample())
    measured, warmup = said["measured"], said["warmup"]
    count, counters = measured["delivered"], interval["counters"]
    cost = accounting.cost(interval)
    return {
        "units": count, "failed": measured["failed"] + warmup["failed"], "wall_s": measured["seconds"],
        "per_s": measured["per_s"], "cost": cost,
        "per_cpu_s": count / cost["charged_s"] if cost["charged_s"] > 0 else None,
        "per_poll_s": count / cost["poll_s"] if cost["poll_s"] > 0 else None,
        "busy_share": accounting.busy_share(counters),
        "phases": accounting.phases_of(interval, count), "phase_changes": counters["core_phase_changes"] / max(count, 1), "latency_us": measured["latency_us"],
        "reused": measured["reused"], "resumed": measured["resumed"], "handshakes": counters["tls_handshakes"],
        "resumed_share": measured["resumed"] / max(count, 1),
        "packets_in": counters["port_rx_packets"] / max(count, 1), "packets_out": counters["port_tx_packets"] / max(count, 1),
        "remembered": counters.get("tls_chains_proven", 0) / max(counters["tls_handshakes"], 1),
        "farm_busy_share": farm_share, "retransmits": counters["tcp_retransmits"], "given_up": counters["port_tx_drop_full"],
        "round_trips": round_trips(counters, count),
        "ring_full": measured["ring_full"], "ring_full_s": measured["ring_full_s"],
        "causes": causes_of(measured, "") + causes_of(warmup, "in the warm-up, ") + ([said["trouble"]] if said["trouble"] else []),
        "memory_kb": 0, "trouble": None}


def causes_of(phase, when):
    """Why messages of one of the generator's phases failed."""
    silent = phase["verdicts"]["no result"]
    why = [f"{when}{count:,} of {phase['submitted']:,} messages: {reason}" for reason, count in phase["reasons"].items()]
    return why + ([f"{when}{silent:,} messages have no result"] if silent else []) + phase["complaints"]


def round_trips(counters, messages):
    """A message: flights of SMTP commands with nothing unanswered before them, TCP's and TLS's handshakes one each."""
    trips = counters["smtp_flights"] + counters["tcp_opened"] + counters["tls_handshakes"]
    return trips / max(messages, 1)


# ---- the peers

def peer_counts(name, guess, seconds):
    """(connections, messages a connection) for a run of about that many seconds."""
    per_connection = MAIL[name][1]
    connections = max(int(guess * seconds / per_connection), 8)
    return connections, 0 if kind_of(name) == "handshake" else per_connection


class PeerRuns:
    """One peer's runs of one case."""

    def __init__(self, lab, program, name, seconds):
        self.lab, self.program, self.name, self.seconds = lab, program, name, seconds
        self.runs, self.guess = [], FIRST_GUESS[kind_of(name)]

    def run(self, seconds):
        key, _, size, in_flight = MAIL[self.name]
        connections, per_connection = peer_counts(self.name, self.guess, seconds)
        found = self.lab.run_peer(self.program, key, min(in_flight, connections), connections, per_connection, size,
                                  resume=kind_of(self.name) == "resume")
        self.guess = max(found["per_s"], 1)
        return found

    def trial(self):
        self.run(max(0.5, self.seconds / 5))

    def turn(self):
        self.runs.append(self.run(self.seconds))

    def summary(self, engine_runs):
        rates = [r["per_cpu_s"] for r in self.runs]
        ratio = accounting.paired_ratio([r["per_cpu_s"] for r in engine_runs], rates)
        return {"name": self.program, "per_cpu_s": accounting.median(rates), "runs": self.runs,
                "failed": sum(r["failed"] for r in self.runs), "ratio": ratio}


def open_peers(lab, name, seconds, notes):
    without_sink = lab.start_sink(MAIL[name][0])
    if without_sink:
        notes.append(without_sink)
        return []
    peers = []
    for program in PEERS:
        found, why = lab.peer_program(program)
        if found:
            peers.append(PeerRuns(lab, program, name, seconds))
        else:
            notes.append(f"no {program}: {why}")
    return peers


# ---- a case

def unit_of(name):
    return "connections" if kind_of(name) == "handshake" else "messages"


def engine_summary(runs):
    """Medians over the runs; phases and latencies are those of the run in the middle."""
    middle = sorted(runs, key=lambda r: r["per_cpu_s"] or 0)[len(runs) // 2]
    figures = {k: accounting.median([r[k] for r in runs if r[k] is not None]) for k in
               ("per_cpu_s", "per_poll_s", "wall_s", "per_s", "busy_share", "packets_in", "packets_out", "round_trips",
               "remembered", "resumed_share", "retransmits", "given_up", "phase_changes")}
    return figures | {
        "cpu_s": accounting.median([r["cost"]["charged_s"] for r in runs]),
        "raw_cpu_s": accounting.median([r["cost"]["raw_cpu_s"] for r in runs]),
        "poll_s": accounting.median([r["cost"]["poll_s"] for r in runs]),
        "poll_to_charged": accounting.median([r["cost"]["poll_to_charged"] for r in runs if r["cost"]["poll_to_charged"]]),
        "phases": middle["phases"], "latency_us": middle["latency_us"],
        "farm_busy_share": accounting.median([r["farm"].get("busy_share", 0) for r in runs]), "runs": runs}


def agreeing(runs):
    """The accountings agree in the runs as a whole: in most of them."""
    return sum(r["cost"]["agree"] for r in runs) * 2 > len(runs)


def most(runs, figure):
    return max(r["farm"].get(figure, 0) for r in runs)


def notes_on(name, runs):
    full = max(r["ring_full_s"] / max(r["wall_s"], 1e-3) for r in runs)
    if full > 0.5:
        yield f"the generator's ring was full {full:.0%} of the time: it offered more than the engine took, as it should here"
    if kind_of(name) == "resume":
        shares = ", ".join(f"{r['resumed_share']:.1%}" for r in runs)
        yield f"resumed: {shares} of the engine's connections, each with a ticket of its own, in the engine's turns"
    if max(r["farm"]["busy_share"] for r in runs) > FARM_BUSY_MAX:
        yield "the farm was the bottleneck: what was sent in a second of wall clock says nothing of the engine"
    elif not all(r["farm"].get("kept_up", True) for r in runs):
        yield (f"the farm has not kept up: its device could not take {most(runs, 'missed'):,} frames, {most(runs, 'no_buffer'):,} were lost "
               f"for want of a buffer, and it had no room for {most(runs, 'no_connection'):,} connections (the worst run of each)")
    if given_up := sum(r["given_up"] for r in runs):
        yield f"the engine gave up {given_up:,} frames: the farm's end of the port took nothing for a fifth of a second"
    if kind_of(name) == "handshake":
        yield (f"the engine opens no connection without a message: it sends one of {HANDSHAKE_BYTES} bytes on each, the peer none")


def notes_on_peers(name, peers):
    for peer in peers if kind_of(name) == "resume" else []:
        shares = [r["resumed_share"] for r in peer.runs]
        if None in shares:
            yield f"{peer.program} does not say how many of its handshakes were resumed"
        else:
            yield f"{peer.program} resumed {min(shares):.1%} of its handshakes or more, with one ticket many times over"


def measure_case(lab, name, seconds, repetitions, limit_parts):
    """All runs of one case; its entry in the file of figures."""
    case = {"case": name, "unit": unit_of(name), "engine": None, "peer": None, "peers": [], "ratio": None, "limit": None,
            "of_limit": None, "failed": 0, "causes": [], "notes": []}
    peers = open_peers(lab, name, seconds, case["notes"])
    for peer in peers:
        peer.trial()
    runs = []
    for turn in range(repetitions):
        runs.append(run_engine(lab, name, seconds))
        if runs[-1]["trouble"]:
            break
        for peer in peers:
            peer.turn()
        say(progress_line(name, turn, runs[-1], peers))
    fill(case, name, runs, peers, limit_parts)
    return case


def progress_line(name, turn, run, peers):
    rates = [f"hardline {run['per_cpu_s'] or 0:,.0f}"] + [f"{p.program} {p.runs[-1]['per_cpu_s']:,.0f}" for p in peers]
    return f"  {name}, turn {turn + 1}: {', '.join(rates)} {unit_of(name)} a CPU second"


def notes_on_accounts(case, costs):
    """Whether the accountings agree, and what had to be taken out before they did."""
    waited, stolen = (accounting.median([cost[which] for cost in costs]) for which in ("waited_s", "stolen_s"))
    if not case["agree"]:
        lost = accounting.median([cost["lost_s"] for cost in costs])
        yield (f"the two accountings differ by more than {accounting.AGREE_WITHIN:.0%} (poll mode to charged: "
               f"{case['engine']['poll_to_charged'] or 0:.2f}): no ratio; turns took {lost:.2f} s longer than was charged, the engine "
               f"waited for its CPU for {waited:.2f} s of a run, and the host took the CPU away for {stolen:.2f} s")
        return
    share = accounting.median([cost["had_no_cpu_busy_s"] / max(cost["charged_s"], 1e-3) for cost in costs])
    if share > accounting.AGREE_WITHIN:
        yield (f"within its turns the engine had no CPU for {share:.0%} of its work's time (of a run it waited for {waited:.2f} s, the host "
               f"took {stolen:.2f} s): the two accountings agree once that is taken out, so here poll mode confirms the charged "
               "time and is no account of its own")


def fill(case, name, runs, peers, limit_parts):
    case["failed"] = sum(r["failed"] for r in runs)
    trouble = next((r["trouble"] for r in runs if r["trouble"]), None)
    case["causes"] += dict.fromkeys(cause for run in runs for cause in run["causes"])
    case["notes"] += notes_on(name, runs)
    if trouble:
        case["failed"] += 1
        case["causes"].append(trouble)
        return
    case["engine"] = engine_summary(runs)
    case["peers"] = [p.summary(runs) for p in peers]
    case["notes"] += list(notes_on_peers(name, peers))
    case["failed"] += sum(p["failed"] for p in case["peers"])
    case["causes"] += [f"{p['failed']:,} of {p['name']}'s {unit_of(name)} failed" for p in case["peers"] if p["failed"]]
    case["agree"] = agreeing(runs)
    case["notes"] += notes_on_accounts(case, [r["cost"] for r in runs])
    if not case["agree"]:
        for peer in case["peers"]:
            peer["ratio"] = None
    if case["peers"]:
        case["peer"] = case["peers"][0]
        case["ratio"] = case["peer"]["ratio"]
    case["limit"] = limits.of_mail(kind_of(name), MAIL[name], case["engine"], limit_parts)
    if case["limit"] and case["agree"] and case["engine"]["per_cpu_s"]:
        case["of_limit"] = case["engine"]["per_cpu_s"] / case["limit"]["per_cpu_s"]
