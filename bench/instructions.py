#!/usr/bin/env python3
"""Instructions that a step of TCP, of what sends its segments, or of the ring takes, counted by callgrind: repeatable on a busy
machine.

    scripts/env bench/instructions.py [--steps N] [--json FILE]
    scripts/env bench/instructions.py --hostile     what the worst frames cost; TAP, an asserted bound for each

Builds bench/tcp_instructions, send_instructions and ring_instructions (or net_instructions) for x86-64-v3 (valgrind does not know AVX-512),
release, in a folder of its own.
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
    "step_send_flight": "12 full segments written and sent",
    "step_process_ack_of_flight": "one ACK of 12 segments processed",
    "step_set_up_and_tear_down": "one connection set up and torn down, both ends",
}
SEND_STEPS = {
    "step_send_software": "44 segments (63,712 bytes) from TCP to the port, checksums by the core",
    "step_send_checksums": "the same, checksums by the port",
    "step_send_tso": "the same, cut by the port (TSO)",
    "step_train_software": "44 segments (63,712 bytes) as one train, checksums by the core",
    "step_train_checksums": "the same, checksums by the port",
}
RING_STEPS = {
    "step_submit": "32 messages of 100 bytes submitted",
    "step_engine": "32 jobs taken from the ring and reported",
    "step_reap": "32 results reaped",
}
RING_SOURCES = ["engine/control/feed_server.c", "engine/control/feed_socket.c", "engine/control/unix_listen.c"]
SOURCES = ["engine/base/pkt_heap.c", "engine/wire/tcp_hdr.c"]
HOSTILE_SOURCES = ["drivers/port_sim.c"]
HOSTILE_BOUND = 8000  # instructions a frame of 1,500 bytes, whatever is in it: checksums, the queues, an answer


def all_of(folder):
    return sorted(os.path.join(folder, f) for f in os.listdir(os.path.join(TOP, folder)) if f.endswith(".c"))


def build(folder, program, sources):
    exe = os.path.join(folder, program)
    subprocess.run(["gcc", "-std=c17", "-D_GNU_SOURCE", "-O3", "-g", "-DNDEBUG", "-march=x86-64-v3",
                    "-fno-strict-aliasing", "-I.", f"bench/{program}.c", *sources, "-o", exe], cwd=TOP, check=True)
    return exe


def count(exe, step, steps, folder, *arguments):
    out = os.path.join(folder, "out")
    run = subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--toggle-collect={step}",
                          f"--callgrind-out-file={out}", exe, str(steps), *arguments], capture_output=True, text=True, timeout=600)
    if run.returncode:
        sys.exit(f"instructions: {step}: {run.stderr[-500:]}")
    return int(re.search(r"Collected : (\d+)", run.stderr)[1]) / steps


def hostile(folder, steps):
    exe = build(folder, "net_instructions",
                HOSTILE_SOURCES + [f for layer in ("base", "wire", "tcp", "net") for f in all_of(f"engine/{layer}")])
    names = subprocess.run([exe, "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    good = True
    for i, name in enumerate(names):
        figure = count(exe, "step_hostile", steps, folder, str(i))
        good &= figure <= HOSTILE_BOUND
        print(f"{'ok' if figure <= HOSTILE_BOUND else 'not ok'} {i + 1} - {figure:.0f} instructions: {name}", flush=True)
    print(f"1..{len(names)}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--json")
    parser.add_argument("--hostile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.hostile:
            sys.exit(0 if hostile(folder, options.steps) else 1)
        exe = build(folder, "tcp_instructions", SOURCES + all_of("engine/tcp"))
        figures = {step: count(exe, step, options.steps, folder) for step in STEPS}
        exe = build(folder, "send_instructions", all_of("engine/base") + all_of("engine/wire") + all_of("engine/net") + all_of("engine/tcp"))
        figures |= {step: count(exe, step, options.steps, folder) for step in SEND_STEPS}
        exe = build(folder, "ring_instructions", all_of("engine/base") + all_of("engine/ring") + all_of("engine/ring/lib") + RING_SOURCES)
        figures |= {step: count(exe, step, options.steps, folder) for step in RING_STEPS}
    for step, what in {**STEPS, **SEND_STEPS, **RING_STEPS}.items():
        print(f"{figures[step]:10.0f}  {what}")
    if options.json:
        with open(options.json + ".new", "w") as f:
            json.dump(figures, f, indent=1)
        os.replace(options.json + ".new", options.json)


if __name__ == "__main__":
    main()
