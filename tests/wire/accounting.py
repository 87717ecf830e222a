"""The two accountings of the bench: their arithmetic with figures made up, and both beside work whose amount is known."""
import json
import os
import subprocess
import sys

SOURCE = os.environ.get("HARDLINE_SOURCE", ".")
sys.path[:0] = [os.path.join(SOURCE, "tests", "lib"), os.path.join(SOURCE, "scripts", "lib"),
                os.path.join(SOURCE, "scripts", "lib", "bench")]
import accounting  # noqa: E402
import lab  # noqa: E402
from tap import done, equal, ok  # noqa: E402

SPIN = "while True: pass"
TRIES = 3  # the wait that the kernel tells of may have been behind a sleep: one figure in many is off where much else runs


def interval(cpu_s, waited_s=0, stolen_s=0, **counters):
    zero = {"core_cycles_" + phase: 0 for phase in (*accounting.PHASES, "empty", "slept")}
    used = sum(counters.values()) - counters.get("core_sleeps_ns", 0)
    rest = {"core_cycles_slept": 1_000_000_000 - used} if used < 1_000_000_000 else {}
    return {"cpu_s": cpu_s, "waited_s": waited_s, "stolen_s": stolen_s, "published_us": 1_000_000,
            "counters": {**zero, "core_sleeps_ns": 0, **counters, **rest}}


def near(value, wanted):
    return abs(value - wanted) < 1e-9


def check_arithmetic():
    equal(accounting.cycles_per_s(interval(0.1, core_cycles_tls=400_000_000)), 1e9, "the counter's rate is all cycles over the clock")
    busy = accounting.cost(interval(0.6, core_cycles_tls=400_000_000, core_cycles_tcp=100_000_000, core_cycles_empty=10_000_000,
                                    core_sleeps_ns=90_000_000))
    ok(near(busy["charged_s"], 0.5) and near(busy["poll_s"], 0.5) and busy["agree"], "what sleeps and empty turns took is taken out",
       str(busy))
    late = accounting.cost(interval(0.6, core_cycles_tls=900_000_000))
    ok(not late["agree"] and near(late["lost_s"], 0.3), "no agreement where turns took longer than anybody can tell", str(late))
    for name in ("waited_s", "stolen_s"):
        taken = accounting.cost(interval(0.6, core_cycles_tls=900_000_000, **{name: 0.3}))
        ok(taken["agree"] and near(taken["poll_s"], 0.6), f"agreement where {name} tells of it", str(taken))
    both = accounting.cost(interval(0.6, waited_s=0.1, stolen_s=0.2, core_cycles_tls=900_000_000))
    ok(near(both["poll_s"], 0.6), "the wait and the steal add up", str(both))
    more = accounting.cost(interval(0.6, waited_s=0.05, stolen_s=0.05, core_cycles_tls=900_000_000))
    ok(not more["agree"] and near(more["poll_s"], 0.8), "what they do not explain stays a difference", str(more))
    woken = accounting.cost(interval(0.609, waited_s=0.2, stolen_s=0.1, core_cycles_tls=600_000_000, core_sleeps_ns=9_000_000))
    ok(near(woken["poll_s"], 0.6), "a wait behind a sleep is not taken out of the turns", str(woken))
    less = accounting.cost(interval(0.6, waited_s=0.3, core_cycles_tls=300_000_000))
    ok(not less["agree"] and near(less["poll_s"], 0.3), "nor does it make less of what is less already", str(less))
    mixed = accounting.cost(interval(0.6, waited_s=0.2, core_cycles_tls=600_000_000, core_cycles_empty=200_000_000))
    ok(near(mixed["poll_s"], 0.45) and near(mixed["charged_s"], 0.45), "of empty turns and busy ones each has its share of the wait",
       str(mixed))
    ok(not accounting.cost(interval(0.05, core_cycles_empty=90_000_000))["agree"], "no work, no agreement")
    equal(accounting.paired_ratio([10, 30, 20], [10, 10, 10]), 2, "the ratio is the median of the pairs'")
    equal(accounting.paired_ratio([], []), None, "without pairs there is none")


def measure(cpu, burst_us, sleep_us):
    """A run of known_work: (what is known, what both accountings say of it)."""
    stolen = lab.stolen_s(cpu)
    ended = subprocess.run([os.path.join(os.environ.get("HARDLINE_BUILD", "."), "tests", "wire", "known_work"), str(cpu), "1",
                            str(burst_us), str(sleep_us)], capture_output=True, text=True, timeout=60, check=True)
    said = json.loads(ended.stdout) | {"stolen_s": lab.stolen_s(cpu) - stolen}
    cost = accounting.cost(said)
    return said["known_cycles"] / cost["cycles_per_s"], cost


def right(known_s, cost):
    return all(abs(cost[which] / known_s - 1) <= accounting.AGREE_WITHIN for which in ("charged_s", "poll_s"))


def check_known(name, cpu, burst_us, sleep_us, busy_cpus):
    others = [subprocess.Popen(["taskset", "-c", str(other), sys.executable, "-c", SPIN]) for other in busy_cpus]
    try:
        runs = []
        while len(runs) < TRIES and not (runs and right(*runs[-1])):
            runs.append(measure(cpu, burst_us, sleep_us))
    finally:
        for other in others:
            other.kill()
            other.wait()
    ok(right(*runs[-1]), f"both accountings are within a tenth of the work: {name}", *map(str, runs))


def check_work():
    cpus = sorted(os.sched_getaffinity(0))
    here, there = cpus[0], cpus[-1]
    check_known("without sleeps", here, 200, 0, [])
    check_known("short bursts and a sleep behind each", here, 100, 1000, [])
    check_known("long ones", here, 2000, 1000, [])
    check_known("another CPU busy", here, 300, 300, [there] * (there != here))
    check_known("another thread on the same CPU", here, 300, 300, [here])


check_arithmetic()
check_work()
done()
