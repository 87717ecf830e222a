"""Many connections open at once and messages trickling over them: what a message costs, and the memory of a connection."""
import accounting
from lab import Generator, pause
from mail import IDLE_S, SETTLE_S
from stage import Off, say

COUNTS = (1000, 10000, 20000)
RATE = 1000           # messages a second
LATENCY_MS = 300      # of each flight of the farm's answers: all connections open before the first has done its message
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
    options = ["--connections", str(count + 1024), "--buffers", "65536", "--memory-mb", "512", "--latency", str(LATENCY_MS)]
    with lab.engine("p256", options, settings(count)) as (engine, farm):
        pause(SETTLE_S)
        empty = engine.sample()
        pause(IDLE_S)
        calibration = accounting.calibrate(accounting.grown(empty, engine.sample()))
        generator = Generator(lab.lab, lab.next(), engine,
                              ["--size", "10000", "--warmup-messages", str(count), "--in-flight", str(count), "--rate",
                               str(RATE), "--seconds", str(seconds), "--drain", "120"])
        try:
            point = trickle(engine, generator, calibration, empty, count)
        finally:
            generator.end()
        engine.stop()
        point["farm"] = farm.stop()
    return point


def trickle(engine, generator, calibration, empty, count):
    early = generator.wait_warm()
    if early:
        raise Off(f"the generator ended in its warm-up: {early['trouble'] or early['warmup']['complaints']}")
    pause(1)
    before = engine.sample()
    is_open = next(p["in_use"] for p in before["pools"] if p["name"] == "connections")
    pause(IDLE_S)
    still = accounting.grown(before, engine.sample())  # so many open connections cost something though nothing is sent
    before = engine.sample()
    generator.go()
    said = generator.result()
    pause(SETTLE_S)
    interval = accounting.grown(before, engine.sample())
    cost, measured = accounting.cost(interval, calibration), said["measured"]
    return {"connections": count, "kind": "TLS", "open": is_open, "messages": measured["delivered"],
            "failed": measured["failed"] + said["warmup"]["failed"],
            "us_per_message": cost["charged_s"] * 1e6 / max(measured["delivered"], 1),
            "poll_us_per_message": cost["poll_s"] * 1e6 / max(measured["delivered"], 1),
            "bytes_per_connection": (before["memory_kb"] - empty["memory_kb"]) * 1024 / max(is_open, 1),
            "idle_cpu_share": still["cpu_s"] * 1e6 / max(still["published_us"], 1), "latency_us": measured["latency_us"],
            "phases": accounting.phases_of(interval, measured["delivered"]),
            "complaints": said["warmup"]["complaints"] + measured["complaints"]}


def measure_case(lab, case, seconds):
    """Fills a case's entry."""
    case["unit"], case["scaling"] = "messages", []
    for count in COUNTS:
        if available_kb() < count * KB_EACH_BOTH + (1 << 20):
            case["notes"].append(f"{count:,} connections were not tried: {available_kb() // 1024:,} MiB of memory are not enough "
                                 "for engine and farm")
            continue
        say(f"    {count:,} connections")
        point = run(lab, count, seconds)
        case["scaling"].append(point)
        case["failed"] += point["failed"]
        case["notes"] += point["complaints"]
        if point["open"] < count * 0.95:
            case["notes"].append(f"of {count:,} connections {point['open']:,} were open")
    conclude(case)
    return case


def conclude(case):
    points = case["scaling"]
    case["tables"] = [[("connections", "open", "us a message", "poll mode", "bytes a connection", "CPU share with nothing sent"),
                       *((f"{p['connections']:,}", f"{p['open']:,}", f"{p['us_per_message']:.1f}",
                          f"{p['poll_us_per_message']:.1f}", f"{p['bytes_per_connection']:,.0f}", f"{p['idle_cpu_share']:.1%}")
                         for p in points)]]
    if len(points) > 1:
        growth = points[-1]["us_per_message"] / points[0]["us_per_message"]
        case["notes"].append(f"a message costs {growth:.2f} times as much at {points[-1]['connections']:,} connections as at "
                             f"{points[0]['connections']:,}; the goal is {GOAL_GROWTH} at 100,000, which is not measured with TLS")
    case["notes"].append("connections without TLS are not measured")
    case["notes"].append("memory is the growth of the engine's resident pages; packet buffers in hugepages are not in it")
