"""The cases beside the senders' ones: the ring alone, TCP alone beside Linux's."""
import json
import os
import subprocess
import sys

import conns
from lab import ENGINE_CPU, farm_cpu
from stage import TOP, Off, hl, say

GOAL_JOBS_PER_S, GOAL_WAKE_P99_US = 5_000_000, 20
TCP_CELLS = {"loss": "0,1", "delay": "20", "flows": "1,100", "roles": "client,server"}
TCP_SHORT_S = 3  # shorter runs are made once each: a wire is built for every one of them
TCP_CELLS_OF_A_TABLE = 8  # of both tables, each with Linux and with hardline
TCP_SET_UP_S, TCP_AROUND_A_RUN_S = 300, 10  # more than that it hangs
ENDS_WITHIN_S = 20
OTHER = ("conns", "ring", "tcp")


def empty_case(name, unit):
    """What every case has; peer and limit are the mail cases', where nothing else is said."""
    return {"case": name, "unit": unit, "engine": None, "peer": None, "peers": [], "ratio": None, "limit": None,
            "of_limit": None, "failed": 0, "causes": [], "notes": [], "tables": []}


def run_json(command, what, timeout_s):
    ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    if ended.returncode:
        raise Off(f"{what} ended with {ended.returncode}: {ended.stderr.strip()[-300:]}")
    return ended.stdout


def may_be_realtime():
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        return False
    return True


def ring(seconds, repetitions):
    """Jobs a CPU second of the engine's end, and of wall clock; wake-ups."""
    case = empty_case("ring", "jobs")
    cpus = f"{farm_cpu()},{ENGINE_CPU}"
    realtime = ["--realtime"] * may_be_realtime()
    said = json.loads(run_json([hl.BUILD + "/bench/bench_ring", "--json", *realtime, "--seconds", str(min(seconds, 2)), "--repeat",
                                str(repetitions), "--cpus", cpus], "bench_ring", 300))
    case["ring"] = said["cases"]
    if said["host"]["producer_cpu"] == said["host"]["engine_cpu"]:
        case["notes"].append("producer and engine share one CPU: jobs a second of wall clock say nothing")
    costs = [c for c in said["cases"] if c["case"] == "costs"]
    jobs = [c for c in said["cases"] if c["case"] == "jobs"]
    wakes = {c["case"]: c for c in said["cases"] if "p99_us" in c}
    case["notes"].append("both threads had a real-time priority: other work on their CPUs waited" if realtime else
                         "no real-time priority may be had here (RLIMIT_RTPRIO): other work on the CPUs is in these figures")
    best = max(costs, key=lambda c: c["jobs_per_engine_cpu_s"])
    case["engine"] = {"per_cpu_s": best["jobs_per_engine_cpu_s"], "cpu_s": None, "wall_s": None, "busy_share": None,
                      "per_s": max(c["jobs_per_s"] for c in jobs),
                      "producer_per_cpu_s": max(c["jobs_per_producer_cpu_s"] for c in costs),
                      "both_per_cpu_s": max(c["jobs_per_both_cpu_s"] for c in costs)}
    case["limit"] = ring_limit(said["cases"])
    case["of_limit"] = best["jobs_per_engine_cpu_s"] / case["limit"]["per_cpu_s"]
    case["tables"] = [
        [("one end", "window", "body", "ns a job: the bench's own", "submit", "reap", "engine", "jobs a CPU second of the producer",
          "of the engine", "of both"),
         *((c["case"], c["window"], f"{c['body_bytes']} {c['body']}", c["own_ns"], c["submit_ns"], c["reap_ns"], c["engine_ns"],
            f"{c['jobs_per_producer_cpu_s']:,}", f"{c['jobs_per_engine_cpu_s']:,}", f"{c['jobs_per_both_cpu_s']:,}") for c in costs)],
        [("both ends", "window", "body", "jobs a second"),
         *((c["case"], c["window"], f"{c['body_bytes']} {c['body']}", f"{c['jobs_per_s']:,}") for c in jobs)],
        [("wake-up", "samples", "p50 us", "p99 us", "max us"),
         *((name, c["samples"], c["p50_us"], c["p99_us"], c["max_us"]) for name, c in wakes.items())]]
    worst, bare = (max(c["p99_us"] for name, c in wakes.items() if name.startswith(which)) for which in ("wake", "limit_wake"))
    case["wake_p99_us"], case["wake_limit_p99_us"] = worst, bare
    case["notes"].append(f"goals: {GOAL_JOBS_PER_S:,} jobs a second (here {case['engine']['per_s']:,} of wall clock), p99 of a "
                         f"wake-up under {GOAL_WAKE_P99_US} us (here {worst:,.1f}; the kernel's own between these CPUs, in the same "
                         f"minute: {bare:,.1f})")
    return case


def ring_limit(cases):
    best = max((c for c in cases if c["case"] == "limit"), key=lambda c: c["jobs_per_s"])
    return {"per_cpu_s": best["jobs_per_s"],
            "why": f"bare streams between the same two CPUs, {best['job_bytes']} bytes a job there and {best['result_bytes']} back, "
                   f"{best['window']:,} at a time: no arena, no judging, no check"}


def run_to_clean_up(command, timeout_s):
    """As subprocess.run, on the programs of our build; but when this is interrupted, or takes too long, the command is asked to end and
    has time to.
    """
    ours = {**os.environ, "HARDLINE_BUILD": hl.BUILD}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ours) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            process.terminate()
            try:
                process.wait(ENDS_WITHIN_S)
            finally:
                process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def tcp_figures(lab, program, seconds, repeat, *words):
    """The cells of one of bench's tables beside Linux; its exit status 1 (a cell without bytes) is judged by who asks."""
    runs = TCP_CELLS_OF_A_TABLE * 2 * repeat
    say(f"    bench/{program}.py: {runs} runs of {seconds} s")
    path = lab.lab.path(program + ".json")
    ended = run_to_clean_up([sys.executable, os.path.join(TOP, "bench", program + ".py"), "--seconds", str(seconds), "--repeat",
                             str(repeat), *words, "--json", path], TCP_SET_UP_S + 2 * runs * (seconds + TCP_AROUND_A_RUN_S))
    if not os.path.exists(path):
        raise Off(f"bench/{program}.py ended with {ended.returncode}: {ended.stderr.strip()[-300:]}")
    with open(path) as f:
        return json.load(f)["cells"]


def tcp(lab, seconds, repetitions):
    """Bulk, set-ups and small requests beside Linux over the same bridge."""
    case = empty_case("tcp", "requests")
    repeat = 1 if seconds < TCP_SHORT_S else repetitions
    words = [word for key, value in TCP_CELLS.items() for word in ("--" + key, value)]
    cells = tcp_figures(lab, "tcp_table", seconds, repeat, *words)
    rates = tcp_figures(lab, "tcp_rates", min(seconds, 5), repeat)
    case["tcp"], case["tcp_rates"] = cells, rates
    plain = next(c for c in rates if (c["role"], c["kind"], c["loss_percent"]) == ("client", "small", 0))["hardline"]
    case["engine"] = {**plain, "busy_share": plain["cpu_s"] / max(plain["wall_s"], 1e-3)}
    case["tables"] = [[("our end", "flows", "loss %", "delay ms", "Linux Mbit/s", "hardline", "ratio"),
                       *((c["role"], c["flows"], c["loss_percent"], c["delay_ms"], round(c["linux_mbit_s"], 1),
                          round(c["hardline_mbit_s"], 1), f"{c['ratio']:.2f}") for c in cells)],
                      [("our end", "work", "loss %", "a second: Linux", "hardline", "a CPU second: Linux", "hardline",
                       "of it in the kernel"),
                       *((c["role"], c["kind"], c["loss_percent"], f"{c['linux']['per_s']:,.0f}",
                          f"{c['hardline']['per_s']:,.0f}", f"{c['linux']['per_cpu_s']:,.0f}",
                          f"{c['hardline']['per_cpu_s']:,.0f}", f"{c['hardline']['kernel_share']:.0%}") for c in rates)]]
    dead = [c for c in cells if not c["hardline_mbit_s"] or not c["linux_mbit_s"]]
    case["failed"] = len(dead) + sum(c["failed"] for c in rates)
    case["causes"] += [f"nothing passed: {c['role']}, {c['flows']} flows, {c['loss_percent']} % loss" for c in dead]
    case["causes"] += [f"{c['failed']} connections failed: {c['role']}, {c['kind']}, {c['loss_percent']} % loss"
                      for c in rates if c["failed"]]
    case["notes"].append("goodput of bulk flows; set-up: connections of one request of 64 bytes, small: 200 requests a connection, 64 "
                         f"connections at a time; each {'once' if repeat == 1 else f'{repeat} times, medians'}; a CPU second: the client's small requests without "
                         "loss, with the kernel's side of net_af_packet")
    return case


def measure_case(lab, name, seconds, repetitions):
    """A case of OTHER."""
    if name == "conns":
        return conns.measure_case(lab, empty_case(name, "messages"), seconds)
    return ring(seconds, repetitions) if name == "ring" else tcp(lab, seconds, repetitions)
