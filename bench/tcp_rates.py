#!/usr/bin/env python3
"""Short connections and small requests: our TCP beside Linux's over one and the same wire, in both roles.

    tcp_rates.py [--seconds N] [--repeat N] [--loss 0,1] [--flows 64] [--json FILE]

The wire is that of tcp_table.py. `set-up` is one request of 64 bytes a connection, `small` 200 of them. In turn our end is
Linux (epoll) and is hardline; the other end is always Linux. Figures are a second of clock and a second of our end's CPU time,
which for hardline has the kernel's side of net_af_packet in it (kernel_share; of all its thread's time, empty turns too).
"""
import argparse
import json
import os
import signal
import statistics
import sys

import tcp_table
from tcp_table import ENGINE, KERNEL, RECEIVER, SENDER_IF, TOOLS, Wire, faults, hl, numbers

DEVICE = f"net_af_packet0,iface={SENDER_IF},framecnt=4096,blocksz=1048576,framesz=2048"
REQUESTS = {"set-up": 1, "small": 200}
PORT = "5003"


def ends(role, stack, flows, requests, seconds):
    """(what answers and where, what asks and where); ours is in the sender's namespace."""
    asked = [str(flows), str(requests), str(seconds)]
    if role == "client":
        asks = ([f"{TOOLS}/tcp_rate", DEVICE, f"{ENGINE}/24", "connect", RECEIVER, PORT, *asked] if stack == "hardline" else
                [f"{TOOLS}/tcp_linux", "rate", RECEIVER, PORT, *asked])
        return ([f"{TOOLS}/tcp_linux", "echo", RECEIVER, PORT], "receiver"), (asks, "sender")
    at = ENGINE if stack == "hardline" else KERNEL
    answers = ([f"{TOOLS}/tcp_rate", DEVICE, f"{ENGINE}/24", "listen", PORT] if stack == "hardline" else
               [f"{TOOLS}/tcp_linux", "echo", KERNEL, PORT])
    return (answers, "sender"), ([f"{TOOLS}/tcp_linux", "rate", at, PORT, *asked], "receiver")


def one_run(wire, role, stack, flows, requests, seconds):
    """(units and failures by the side that asks, what our end says of itself)."""
    (answers, there), (asks, here) = ends(role, stack, flows, requests, seconds)
    server = wire.lab.start(answers, ns=getattr(wire, there), ready="ready", timeout_s=30)
    client = wire.lab.start(asks, ns=getattr(wire, here))
    client.popen.wait(seconds + 60)
    server.kill(signal.SIGTERM)
    server.popen.wait(20)
    said, served = tcp_table.last_json(client), tcp_table.last_json(server)
    if "requests" not in said or "requests" not in served:
        raise RuntimeError(f"{role}, {stack}: {said.get('error')} {served.get('error')}")
    return said, said if role == "client" else served


def one_cell(wire, role, kind, loss, options):
    unit = "connections" if kind == "set-up" else "requests"
    cell = {"role": role, "kind": kind, "unit": unit, "loss_percent": loss, "flows": options.flows, "failed": 0}
    for stack in ("linux", "hardline"):
        runs = []
        for repetition in range(options.repeat):
            bridge = wire.bridge(faults(loss, 1, 0, 500 + repetition), faults(0, 1, 0, 600 + repetition, forth=False))
            try:
                said, ours = one_run(wire, role, stack, options.flows, REQUESTS[kind], options.seconds)
            finally:
                bridge.stop()
            cell["failed"] += said["failed"] if stack == "hardline" else 0
            runs.append({"per_s": said[unit] / said["seconds"], "per_cpu_s": said[unit] / max(ours["cpu_s"], 1e-3), "cpu_s": ours["cpu_s"],
                         "wall_s": said["seconds"], "kernel_share": ours["kernel_share"]})
        cell[stack] = {figure: statistics.median(run[figure] for run in runs) for figure in runs[0]}
    return cell


def rows_of(cells):
    yield ("our end", "kind", "loss %", "a second: Linux", "hardline", "a CPU second: Linux", "hardline", "kernel's share of it",
           "failed")
    for c in cells:
        yield (c["role"], c["kind"], c["loss_percent"], f"{c['linux']['per_s']:,.0f}", f"{c['hardline']['per_s']:,.0f}",
               f"{c['linux']['per_cpu_s']:,.0f}", f"{c['hardline']['per_cpu_s']:,.0f}", f"{c['hardline']['kernel_share']:.0%}", c["failed"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--loss", type=numbers, default=[0, 1])
    parser.add_argument("--flows", type=int, default=64)
    parser.add_argument("--json")
    options = parser.parse_args()
    wire = Wire(hl.Lab())
    cells = [one_cell(wire, role, kind, loss, options) for role in ("client", "server") for kind in REQUESTS
             for loss in options.loss]
    for row in rows_of(cells):
        print("  ".join(str(cell).rjust(14) for cell in row))
    if options.json:
        with open(options.json + ".new", "w") as f:
            json.dump({"cells": cells}, f, indent=1)
        os.replace(options.json + ".new", options.json)
    return 0 if all(c["linux"]["per_s"] and c["hardline"]["per_s"] and not c["failed"] for c in cells) else 1


if __name__ == "__main__":
    sys.exit(main())
