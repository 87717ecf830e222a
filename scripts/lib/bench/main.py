"""What scripts/bench runs in the environment of scripts/env."""
import argparse
import os
import platform
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))

import stage  # noqa: E402
from stage import hl, perform, say, take_signals  # noqa: E402
import html_page  # noqa: E402
import limits  # noqa: E402
import mail  # noqa: E402
import other  # noqa: E402
import report  # noqa: E402
from lab import BenchLab  # noqa: E402

CAUSES_TOLD = 3  # beside the name of a case that failed; all of them stand with its notes
CPUS_WANTED = 2  # the engine's, and another for what it talks to
TARGETS = ["engine/hardlined", "engine/cli/hardline", "bench/hardline-bench", "bench/bench_parts", "bench/bench_ring", "bench/peer_kernel",
           "bench/tcp_flows", "bench/tcp_sink", "bench/tcp_linux", "bench/tcp_rate", "bench/bridge"]


def names_of(group):
    """The cases of a NAME of the command line."""
    if group == "smoke":
        return ["reuse"]
    if group in mail.MAIL:
        return [group]
    if group == "all":
        return [*mail.MAIL, *other.OTHER]
    return [name for name in (*mail.MAIL, *other.OTHER) if mail.kind_of(name) == group]


def cpu_model():
    with open("/proc/cpuinfo") as f:
        found = re.search(r"model name\s*: (.*)", f.read())
    return found[1] if found else platform.processor()


def describe_host(found):
    """What is known before anything runs; the engine's own words come with the first case."""
    cpus = len(os.sched_getaffinity(0))
    found["host"] = {"cpu": cpu_model(), "cores": cpus, "kernel": platform.release(),
                     "openssl": hl.run(["openssl", "version"]).split()[1], "build": stage.build_type(),
                     "hugepages": "no" if os.environ.get("HARDLINE_NO_HUGE") == "1" else "yes", "notes": []}
    if cpus < CPUS_WANTED:
        found["host"]["notes"].append(f"fewer CPUs than are needed, {cpus} of {CPUS_WANTED}: engine and farm take turns, and the "
                                      "figures suffer")
    if found["host"]["hugepages"] == "no":
        found["host"]["notes"].append("no hugepages: ordinary pages, some cycles more a packet")
    for note in found["host"]["notes"]:
        say(f"  {note}")


def describe_engine(lab, found):
    with lab.engine("rsa") as (engine, _):
        status = engine.status()
        engine.stop()
    found["host"] |= {"hardline": status["version"], "port": status["port"].split(":")[1].strip().split(",")[0],
                      "dpdk": status["eal"], "accelerator": status["accelerator"]}


def one_case(lab, name, seconds, repetitions, parts):
    """The case's entry; what keeps it from an end is a note and a failure, and the next case has its turn."""
    try:
        if name in mail.MAIL:
            return mail.measure_case(lab, name, seconds, repetitions, parts)
        return other.measure_case(lab, name, seconds, repetitions)
    except (stage.Off, RuntimeError, ValueError, OSError, subprocess.SubprocessError, hl.TimedOut) as fault:
        return other.empty_case(name, "") | {"failed": 1, "causes": [f"it came to no end: {fault}"]}


def measure(options, found, names):
    lab = BenchLab()
    take_signals()
    describe_engine(lab, found)
    parts, why = limits.measure(lab)
    found["limits"] = parts
    if not parts:
        found["host"]["notes"].append(f"no limits: {why}")
        say(f"  no limits: {why}")
    repetitions = 1 if options.name == "smoke" else mail.REPETITIONS
    for name in names:
        say(f"  {name}")
        case = one_case(lab, name, options.seconds, repetitions, parts)
        found["cases"].append(case)
        if case["failed"]:
            found["troubles"].append(f"{name}: {case['failed']:,} failed: {'; '.join(case['causes'][:CAUSES_TOLD]) or 'nobody said why'}")


def play(options, found):
    stage.build(TARGETS)
    describe_host(found)
    try:
        measure(options, found, names_of(options.name))
    finally:
        report.print_report(found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--figures", required=True)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    if options.name == "smoke":
        options.seconds = 1
    take_signals()
    if not names_of(options.name):
        parser.error(f"there is no case {options.name}: {', '.join([*mail.MAIL, *other.OTHER])}")
    found = {"ok": False, "troubles": [], "host": {}, "cases": []}
    status, _ = perform(options.figures, found, lambda: play(options, found))
    html_page.write(os.path.join(os.path.dirname(options.figures), "page.html"), found)
    sys.exit(status)


if __name__ == "__main__":
    main()
