"""What a message costs the engine, by two clocks that know nothing of each other.

    charged      the CPU time that the kernel charges to the polling threads, less that of the turns that found nothing and
                 of the sleeps, each of which the engine measures by the thread's own CPU clock
    poll mode    the time stamp counter over the turns that found work: what the work takes of a core that never sleeps

The counter goes on while a thread is ready and another has its CPU, and while the host runs somebody else on the virtual CPU. The
kernel charges the thread for neither, and says how long both were (run-queue wait, steal): what of it lay within turns is
taken out of the counter.

Pure functions over samples; nothing here starts or reads anything.
"""
import statistics

AGREE_WITHIN = 0.10
PHASES = ("receive", "tcp", "tls", "smtp", "intake", "transmit", "report", "keep")
CLOCKS = ("cpu_s", "waited_s", "stolen_s", "published_us")


def median(values):
    return statistics.median(values) if values else None


def grown(before, after):
    """The engine's counters, what they grew by; both are samples of lab.Sample's form."""
    counters = {name: after["counters"][name] - before["counters"][name] for name in after["counters"]}
    return {"counters": counters} | {clock: after[clock] - before[clock] for clock in CLOCKS}


def busy_cycles(counters):
    return sum(counters["core_cycles_" + phase] for phase in PHASES)


def all_cycles(counters):
    return busy_cycles(counters) + counters["core_cycles_empty"] + counters["core_cycles_slept"]


def busy_share(counters):
    """The share of the time, by the counter, in turns that found work."""
    return busy_cycles(counters) / max(all_cycles(counters), 1)


def cycles_per_s(interval):
    """The rate of the counter, from all cycles of an interval and the clock beside them."""
    return max(all_cycles(interval["counters"]), 1) * 1e6 / max(interval["published_us"], 1)


def cost(interval):
    """Seconds of work in an interval by both clocks, and whether they agree.

    lost_s    by how much turns took longer than what was charged within them
    had_no_cpu_s   what of that the waits and the steal can explain: more than both together never is. It is taken from
              busy and empty turns each by their share; what it does not explain stays a difference
    """
    counters, hz = interval["counters"], cycles_per_s(interval)
    busy_s, empty_s, sleeps_s = busy_cycles(counters) / hz, counters["core_cycles_empty"] / hz, counters["core_sleeps_ns"] / 1e9
    turns_s = busy_s + empty_s
    lost_s = turns_s - (interval["cpu_s"] - sleeps_s)
    had_no_cpu_s = min(max(lost_s, 0), interval["waited_s"] + interval["stolen_s"])
    ran = 1 - had_no_cpu_s / turns_s if turns_s else 0
    charged, poll = interval["cpu_s"] - sleeps_s - empty_s * ran, busy_s * ran
    return {"charged_s": charged, "poll_s": poll, "raw_cpu_s": interval["cpu_s"], "empty_s": empty_s * ran, "sleeps_s": sleeps_s,
            "lost_s": lost_s, "waited_s": interval["waited_s"], "stolen_s": interval["stolen_s"],
            "had_no_cpu_s": had_no_cpu_s, "had_no_cpu_busy_s": busy_s * (1 - ran), "cycles_per_s": hz,
            "agree": charged > 0 and abs(poll / charged - 1) <= AGREE_WITHIN,
            "poll_to_charged": poll / charged if charged > 0 else None}


def phases_of(interval, messages):
    """Cycles of busy turns by phase, a message."""
    return {phase: round(interval["counters"]["core_cycles_" + phase] / max(messages, 1)) for phase in PHASES}


def paired_ratio(engine, peer):
    """The median of the ratios of runs that stood beside each other; None where there is no pair."""
    pairs = [e / p for e, p in zip(engine, peer) if e and p]
    return median(pairs)
