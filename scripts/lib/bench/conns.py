"""Many connections open at once and messages trickling over them: what a message costs, and the memory of a connection."""
import json
import subprocess

import accounting
from engine import find_program
from lab import ENGINE_CPU, FARM_IP, PREFIX, Farm, Generator, on_cpu, pause
from mail import SETTLE_S
from report import number
from stage import Off, say

COUNTS = (1000, 10000, 20000)
PLAIN_COUNTS = (1000, 10000, 100000)
IDLE_S = 1.0
PLAIN_ADDRESSES, PLAIN_CLIENT_IP, PLAIN_BYTES = 64, "10.77.255.1", 2000
PLAIN_KB_EACH_BOTH = 8
RATE = 1000           # messages a second
LATENCY_MS = 300      # of each flight of the farm's answers, and a millisecond more for each CONNECTIONS_A_MS: all connections
CONNECTIONS_A_MS = 20 # are open before the first has done its message and takes that of another
REST_S, REST_STILL_S = 20, 3
KB_EACH_BOTH = 160    # what engine and farm take for a connection together, at the most
GOAL_GROWTH = 1.25


def available_kb():
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("MemAvailable"))


def settings(count):
    slots = 1 << (2 * count - 1).bit_length()
    return {"limits": {"connections": count + 64, "connections-per-destination": count, "messages-per-connection": 0,
                       "idle-connection-s": 290, "jobs-in-flight": 2 * count, "time-wait": 1024},
            "feed": {"lane-slots": slots, "completion-slots": 2 * slots, "arena-megabytes": 256}}


def run(lab, count, seconds):
    """One number of connections; its point."""
    options = ["--connections", str(count + 1024), "--buffers", "65536", "--memory-mb", "512", "--latency",
               str(LATENCY_MS + count // CONNECTIONS_A_MS)]
    with lab.engine("p256", options, settings(count)) as (engine, farm):
        pause(SETTLE_S)
        empty = engine.sample()
        generator = Generator(lab.lab, lab.next(), engine,
                              ["--size", "10000", "--warmup-messages", str(count), "--in-flight", str(count), "--rate",
                               str(RATE), "--seconds", str(seconds), "--drain", "120"])
        try:
            point = trickle(engine, generator, empty, count)
        finally:
            generator.end()
        engine.stop()
        point["farm"] = farm.stop()
    if not point["farm"].get("ok"):
        point["failed"] += 1
        point["causes"].append(f"the farm is not content: {farm.process.log().strip()[-300:] or point['farm']}")
    return point


def rest(engine):
    """Until what handshakes have left behind has gone back to the kernel, or REST_S."""
    least_kb, since = engine.memory_kb(), 0
    for _ in range(REST_S):
        pause(1)
        now_kb = engine.memory_kb()
        since = 0 if now_kb < least_kb * 0.99 else since + 1
        least_kb = min(least_kb, now_kb)
        if since == REST_STILL_S:
            return


def trickle(engine, generator, empty, count):
    early = generator.wait_warm()
    if early:
        raise Off(f"the generator ended in its warm-up: {early['trouble'] or early['warmup']['complaints']}")
    rest(engine)
    before = engine.sample()
    most_kb = engine.memory_kb("VmHWM")
    is_open = next(p["in_use"] for p in before["pools"] if p["name"] == "connections")
    pause(IDLE_S)
    still = accounting.grown(before, engine.sample())  # so many open connections cost something though nothing is sent
    before = engine.sample()
    generator.go()
    said = generator.result()
    pause(SETTLE_S)
    interval = accounting.grown(before, engine.sample())
    cost, measured = accounting.cost(interval), said["measured"]
    return {"connections": count, "kind": "TLS", "open": is_open, "messages": measured["delivered"],
            "failed": measured["failed"] + said["warmup"]["failed"],
            "cpu_s": cost["charged_s"], "wall_s": measured["seconds"], "busy_share": accounting.busy_share(interval["counters"]),
            "us_per_message": cost["charged_s"] * 1e6 / max(measured["delivered"], 1),
            "poll_us_per_message": cost["poll_s"] * 1e6 / max(measured["delivered"], 1),
            "bytes_per_connection": (before["memory_kb"] - empty["memory_kb"]) * 1024 / max(is_open, 1),
            "most_bytes_per_connection": (most_kb - empty["memory_kb"]) * 1024 / max(is_open, 1),
            "idle_cpu_share": still["cpu_s"] * 1e6 / max(still["published_us"], 1), "latency_us": measured["latency_us"],
            "phases": accounting.phases_of(interval, measured["delivered"]),
            "causes": said["warmup"]["complaints"] + measured["complaints"]}


# ---- without TLS: the stack alone, hardline-bench trickle to hardline-bench farm --plain

def run_plain(lab, count, seconds):
    """One number of connections without TLS; its point."""
    farm = Farm(lab.lab, lab.next(), None, ["--plain", "--connections", str(count + 2048), "--buffers", "32768"],
                f"{FARM_IP}/{PREFIX}+{PLAIN_ADDRESSES}")
    try:
        ended = subprocess.run(
            on_cpu(ENGINE_CPU, [find_program("hardline-bench"), "trickle", "--device",
                                f"net_memif0,role=client,socket={farm.socket},socket-abstract=no", "--address",
                                f"{PLAIN_CLIENT_IP}/{PREFIX}", "--to", f"{FARM_IP}+{PLAIN_ADDRESSES}", "--connections",
                                str(count), "--rate", str(RATE), "--size", str(PLAIN_BYTES), "--seconds", str(seconds),
                                "--open-seconds", "90"]), capture_output=True, text=True, timeout=seconds + 120)
    finally:
        farm_end = farm.stop()
    if not ended.stdout.startswith("{"):
        raise Off(f"hardline-bench trickle ended with {ended.returncode}: {ended.stderr.strip()[-300:]}")
    return plain_point(count, json.loads(ended.stdout), ended, farm_end)


def poll_s(interval):
    """By the clock over turns that had work, less what of the wait for the CPU the kernel's account leaves unexplained."""
    turning_s = max(interval["busy_s"] + interval["empty_s"], 1e-9)
    waited_s = interval["waited_s"] * interval["busy_s"] / turning_s
    return interval["busy_s"] - min(waited_s, max(interval["busy_s"] - interval["busy_cpu_s"], 0))


def plain_point(count, said, ended, farm):
    messages, sending = max(said["answered"], 1), said["sending"]
    lost = farm.get("good", 0) != said["messages"]
    return {"connections": count, "kind": "no TLS", "open": said["open"], "messages": said["answered"],
            "failed": said["failed"] + said["lost"] + (0 if said["ok"] and farm.get("ok") and not lost else 1),
            "cpu_s": sending["busy_cpu_s"], "wall_s": sending["wall_s"], "busy_share": sending["busy_s"] / max(sending["wall_s"], 1e-3),
            "us_per_message": sending["busy_cpu_s"] * 1e6 / messages, "poll_us_per_message": poll_s(sending) * 1e6 / messages,
            "bytes_per_connection": said["bytes_per_connection"],
            "idle_cpu_share": said["idle"]["cpu_s"] / max(said["idle"]["wall_s"], 1e-3), "latency_us": said["latency_us"],
            "phases": None, "opened_s": said["opening"]["wall_s"], "retransmits": said["retransmits"], "farm": farm,
            "causes": [line for line in ended.stderr.splitlines() if line.startswith("trickle:")]}


# ---- the case

def points_of(lab, case, counts, kb_each, run_one, seconds):
    for count, kind in counts:
        if available_kb() < count * kb_each + (1 << 20):
            case["notes"].append(f"{count:,} connections ({kind}) were not tried: {available_kb() // 1024:,} MiB of memory are "
                                 "not enough for both ends")
            continue
        say(f"    {count:,} connections, {kind}")
        point = run_one(lab, count, seconds)
        case["scaling"].append(point)
        case["failed"] += point["failed"]
        case["causes"] += [f"{count:,} connections ({kind}): {cause}" for cause in point["causes"]]
        if point["failed"] and not point["causes"]:
            case["causes"].append(f"{count:,} connections ({kind}): {point['failed']:,} messages or connections failed")
        if not point["farm"].get("kept_up", True):
            case["notes"].append(f"{count:,} connections ({kind}): the farm has not kept up; the cost is the sender's CPU time, the "
                                 "latencies are the farm's")
        if point["open"] < count * 0.95:
            case["notes"].append(f"of {count:,} connections ({kind}) {point['open']:,} were open")


def measure_case(lab, case, seconds):
    """Fills a case's entry."""
    case["unit"], case["scaling"] = "messages", []
    points_of(lab, case, [(count, "no TLS") for count in PLAIN_COUNTS], PLAIN_KB_EACH_BOTH, run_plain, seconds)
    points_of(lab, case, [(count, "TLS") for count in COUNTS], KB_EACH_BOTH, run, seconds)
    conclude(case)
    return case


def growth_note(points, kind):
    """What a message costs with many connections, measured against few."""
    few, many = points[0], points[-1]
    growth = many["us_per_message"] / max(few["us_per_message"], 1e-3)
    by_poll = many["poll_us_per_message"] / max(few["poll_us_per_message"], 1e-3)
    goal = f"; the goal is {GOAL_GROWTH}" if many["connections"] == 100000 else ""
    return (f"{kind}: a message costs {growth:.2f} times as much ({by_poll:.2f} in poll mode) at {many['connections']:,} "
            f"connections as at {few['connections']:,}{goal}")


def engine_of(point):
    """What the case is by itself, beside the others: its last point."""
    return {"per_cpu_s": 1e6 / point["us_per_message"] if point["us_per_message"] > 0 else None,
            "per_poll_s": 1e6 / point["poll_us_per_message"] if point["poll_us_per_message"] > 0 else None,
            "cpu_s": point["cpu_s"], "wall_s": point["wall_s"], "busy_share": point["busy_share"], "latency_us": point["latency_us"],
            "connections": point["connections"], "kind": point["kind"]}


def conclude(case):
    points = case["scaling"]
    case["engine"] = engine_of(points[-1]) if points else None
    case["tables"] = [[("connections", "kind", "open", "us a message", "poll mode", "bytes a connection",
                        "at most", "CPU share with nothing sent"),
                       *((f"{p['connections']:,}", p["kind"], f"{p['open']:,}", f"{p['us_per_message']:.1f}",
                          f"{p['poll_us_per_message']:.1f}", f"{p['bytes_per_connection']:,.0f}",
                          number(p.get("most_bytes_per_connection")), f"{p['idle_cpu_share']:.1%}")
                         for p in points)]]
    case["notes"] = list(dict.fromkeys(case["notes"]))
    for kind in ("no TLS", "TLS"):
        of_kind = [p for p in points if p["kind"] == kind]
        if len(of_kind) > 1:
            case["notes"].append(growth_note(of_kind, kind))
    case["notes"].append("no TLS: the stack alone as a client (hardline-bench trickle), messages of "
                         f"{PLAIN_BYTES:,} bytes, what is charged within its turns that had work; TLS: the engine, messages of "
                         "10,000")
    case["notes"].append("memory is the growth of the sender's resident pages, at most: while all were opened, handshakes side by side; "
                         "the engine's packet buffers in hugepages are not in it, trickle's were there before")
