#!/usr/bin/env python3
"""Instructions that a step of TCP takes, counted by callgrind: repeatable on a busy machine.

    scripts/env bench/instructions.py [--steps N] [--json FILE]

Builds bench/tcp_instructions for x86-64-v3 (valgrind does not know AVX-512), release, in a folder of its own.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
STEPS = {
    "step_receive_segment": "one in-order data segment received and read",
    "step_send_segment": "one full segment written and sent",
    "step_process_ack": "one ACK of new data processed",
    "step_set_up_and_tear_down": "one connection set up and torn down, both ends",
}
SOURCES = ["bench/tcp_instructions.c", "engine/base/pkt_heap.c", "engine/wire/tcp_hdr.c"]


def build(folder):
    tcp = sorted(os.path.join("engine/tcp", f) for f in os.listdir(os.path.join(TOP, "engine/tcp")) if f.endswith(".c"))
    exe = os.path.join(folder, "tcp_instructions")
    subprocess.run(["gcc", "-std=c17", "-D_GNU_SOURCE", "-O2", "-g", "-DNDEBUG", "-march=x86-64-v3",
                    "-fno-strict-aliasing", "-I.", *SOURCES, *tcp, "-o", exe], cwd=TOP, check=True)
    return exe


def count(exe, step, steps, folder):
    out = os.path.join(folder, "out")
    run = subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--toggle-collect={step}",
                          f"--callgrind-out-file={out}", exe, str(steps)], capture_output=True, text=True, timeout=600)
    if run.returncode:
        sys.exit(f"instructions: {step}: {run.stderr[-500:]}")
    return int(re.search(r"Collected : (\d+)", run.stderr)[1]) / steps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        exe = build(folder)
        figures = {step: count(exe, step, options.steps, folder) for step in STEPS}
    for step, what in STEPS.items():
        print(f"{figures[step]:10.0f}  {what}")
    if options.json:
        with open(options.json + ".new", "w") as f:
            json.dump(figures, f, indent=1)
        os.replace(options.json + ".new", options.json)


if __name__ == "__main__":
    main()
