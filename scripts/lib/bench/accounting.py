"""What a message costs the engine, by two clocks that know nothing of each other.

    charged      the CPU time that the kernel charges to the polling threads, less that of the turns that found nothing and
                 of the sleeps, whose cost is measured on the idle engine in the same run
    poll mode    the time stamp counter over the turns that found work: what the work takes of a core that never sleeps

The counter goes on while a thread is ready and another has its CPU. The kernel says for how long (run-queue wait); what of it
lay within turns is taken out of both.

Pure functions over samples; nothing here starts or reads anything.
"""
import statistics

AGREE_WITHIN = 0.10
PHASES = ("receive", "tcp", "tls", "smtp", "intake", "transmit", "report", "keep")


def median(values):
    return statistics.median(values) if values else None


def grown(before, after):
    """The engine's counters, what they grew by; both are samples of lab.Sample's form."""
    counters = {name: after["counters"][name] - before["counters"][name] for name in after["counters"]}
    return {"counters": counters, "cpu_s": after["cpu_s"] - before["cpu_s"], "waited_s": after["waited_s"] - before["waited_s"],
            "published_us": after["published_us"] - before["published_us"]}


def busy_cycles(counters):
    return sum(counters["core_cycles_" + phase] for phase in PHASES)


def all_cycles(counters):
    return busy_cycles(counters) + counters["core_cycles_empty"] + counters["core_cycles_slept"]


def cycles_per_s(interval):
    """The rate of the counter, from all cycles of an interval and the clock beside them."""
    return all_cycles(interval["counters"]) * 1e6 / max(interval["published_us"], 1)


def calibrate(idle):
    """Of an interval without work: the rate of the counter, and what a sleep is charged beside its empty turns."""
    hz = cycles_per_s(idle)
    counters = idle["counters"]
    turning_s = (counters["core_cycles_empty"] + busy_cycles(counters)) / hz
    sleeps = counters["core_sleeps"]
    return {"cycles_per_s": hz, "sleep_s": max(idle["cpu_s"] - turning_s, 0) / sleeps if sleeps else 0.0,
            "empty_turn_s": counters["core_cycles_empty"] / hz / max(counters["core_turns"], 1)}


def waits_within_turns(interval, calibration):
    """Seconds of waiting for the CPU in (busy, empty) turns.

    The kernel says how long the thread waited in all; that was within turns or behind a sleep. Within turns it is at most what
    the counter has more than what is charged; what the wait cannot explain stays a difference.
    """
    counters = interval["counters"]
    turns = busy_cycles(counters) + counters["core_cycles_empty"]
    more_s = turns / calibration["cycles_per_s"] + counters["core_sleeps"] * calibration["sleep_s"] - interval["cpu_s"]
    waited_s = min(max(more_s, 0), interval.get("waited_s", 0))
    busy = busy_cycles(counters) / turns if turns else 0
    return waited_s * busy, waited_s * (1 - busy)


def cost(interval, calibration):
    """Seconds of work in an interval by both clocks, and whether they agree."""
    counters, hz = interval["counters"], calibration["cycles_per_s"]
    waited_busy_s, waited_empty_s = waits_within_turns(interval, calibration)
    empty_s = max(counters["core_cycles_empty"] / hz - waited_empty_s, 0)
    slept_s = counters["core_sleeps"] * calibration["sleep_s"]
    charged = interval["cpu_s"] - empty_s - slept_s
    poll = busy_cycles(counters) / hz - waited_busy_s
    return {"charged_s": charged, "poll_s": poll, "raw_cpu_s": interval["cpu_s"], "empty_s": empty_s, "sleeps_s": slept_s,
            "waited_busy_s": waited_busy_s, "agree": charged > 0 and abs(poll / charged - 1) <= AGREE_WITHIN,
            "poll_to_charged": poll / charged if charged > 0 else None}


def phases_of(interval, messages):
    """Cycles of busy turns by phase, a message."""
    return {phase: round(interval["counters"]["core_cycles_" + phase] / max(messages, 1)) for phase in PHASES}


def paired_ratio(engine, peer):
    """The median of the ratios of runs that stood beside each other; None where there is no pair."""
    pairs = [e / p for e, p in zip(engine, peer) if e and p]
    return median(pairs)
