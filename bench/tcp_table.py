#!/usr/bin/env python3
"""Our TCP beside Linux's over one and the same faulty wire.

Three namespaces: a sender's host, a wire (bench/bridge, which injects the faults), a receiver's host. In turn the
sender is Linux and is hardline, everything else stays; medians of the repetitions and their ratios are printed. Roles:
client and server are the sender's; with sink the receivers take turns, and Linux sends.

    tcp_table.py [--seconds N] [--repeat N] [--loss 0,0.1,1,5] [--delay 1,20,100] [--flows 1,100]
                 [--roles client,server,sink] [--reorder %] [--fair] [--json FILE] [--most-minutes N] [--realtime] [--quick]

--quick: a few cells for a second each as a test (TAP): both sides must come to an end with bytes; exit status 1 if one does not.
"""
import argparse
import json
import os
import signal
import statistics
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "lib"))
import hl  # noqa: E402

TOOLS = os.path.join(hl.BUILD, "bench")
SENDER_IF, SENDER_WIRE, WIRE_RECEIVER, RECEIVER_IF = "hlt0", "hlt1", "hlt2", "hlt3"
KERNEL, ENGINE, RECEIVER = "10.78.0.1", "10.78.0.100", "10.78.0.2"
ENGINE_SINK = "10.78.0.200"


class Wire:
    """sender -- bridge -- receiver; the sender's host has a kernel address beside the engine's."""

    def __init__(self, lab):
        self.lab = lab
        self.sender, self.wire, self.receiver = (hl.Netns(n) for n in ("tcps", "tcpw", "tcpr"))
        for ns in (self.sender, self.wire, self.receiver):
            hl.run(["ip", "netns", "add", ns.name])
            ns.run("ip", "link", "set", "lo", "up")
            ns.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        self.pair(self.sender, SENDER_IF, self.wire, SENDER_WIRE)
        self.pair(self.wire, WIRE_RECEIVER, self.receiver, RECEIVER_IF)
        self.sender.run("ip", "address", "add", f"{KERNEL}/24", "dev", SENDER_IF)
        self.receiver.run("ip", "address", "add", f"{RECEIVER}/24", "dev", RECEIVER_IF)
        for ns in (self.sender, self.receiver):
            ns.run("sysctl", "-qw", "net.ipv4.tcp_rmem=4096 131072 16777216", "net.ipv4.tcp_wmem=4096 131072 16777216",
                   "net.ipv4.tcp_no_metrics_save=1")

    @staticmethod
    def pair(ns1, dev1, ns2, dev2):
        ns1.run("ip", "link", "add", dev1, "type", "veth", "peer", "name", dev2, "netns", ns2.name)
        for ns, dev in ((ns1, dev1), (ns2, dev2)):
            ns.run("ethtool", "-K", dev, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
            ns.run("ip", "link", "set", dev, "up", "txqueuelen", "10000")

    def bridge(self, forth, back):
        return self.lab.start([f"{TOOLS}/bridge", f"net_af_packet_a,iface={SENDER_WIRE},framecnt=4096,blocksz=1048576,framesz=2048",
                               f"net_af_packet_b,iface={WIRE_RECEIVER},framecnt=4096,blocksz=1048576,framesz=2048", forth, back],
                              ns=self.wire, ready="ready", timeout_s=20)


def device(interface):
    return f"net_af_packet0,iface={interface},framecnt=4096,blocksz=1048576,framesz=2048"


def engine_command(role, flows, seconds):
    program = [f"{TOOLS}/tcp_flows", device(SENDER_IF), f"{ENGINE}/24"]
    if role == "client":
        return [*program, "connect", RECEIVER, "5001", str(flows), str(seconds)]
    return [*program, "listen", "5002", str(flows), str(seconds)]


def linux_command(role, flows, seconds, to=RECEIVER):
    if role == "server":
        return [f"{TOOLS}/tcp_linux", "serve", KERNEL, "5002", str(flows), str(seconds)]
    return [f"{TOOLS}/tcp_linux", "send", to, "5001", str(flows), str(seconds)]


def sink_command(who):
    if who == "hardline":
        return [f"{TOOLS}/tcp_sink", device(RECEIVER_IF), f"{ENGINE_SINK}/24", "5001"]
    return [f"{TOOLS}/tcp_linux", "sink", RECEIVER, "5001"]


def last_json(process):
    lines = [l for l in process.log().splitlines() if l.startswith("{")]
    return json.loads(lines[-1]) if lines else {"mbit_s": 0.0, "error": process.log()[-300:]}


def run_senders(wire, role, senders, flows, seconds):
    """Runs the senders, each "linux" or "hardline", side by side; returns their figures."""
    make = {"linux": linux_command, "hardline": engine_command}
    sink = wire.lab.start(sink_command("linux"), ns=wire.receiver, ready="ready") if role == "client" else None
    running = [wire.lab.start(make[s](role, flows, seconds), ns=wire.sender, ready="ready|begun", timeout_s=30)
               for s in senders]
    readers = []
    if role == "server":
        at = {"linux": KERNEL, "hardline": ENGINE}
        readers = [wire.lab.start([f"{TOOLS}/tcp_linux", "fetch", at[s], "5002", str(flows)], ns=wire.receiver)
                   for s in senders]
    figures = []
    for process in running:
        process.popen.wait(seconds + 60)
        figures.append(last_json(process))
    for process in (*readers, *([sink] if sink else [])):
        process.kill(signal.SIGKILL)
        process.popen.wait(10)
    return figures


def run_receiver(wire, receiver, flows, seconds):
    """Linux sends to the receiver, "linux" or "hardline"; returns the sender's figures."""
    sink = wire.lab.start(sink_command(receiver), ns=wire.receiver, ready="ready", timeout_s=30)
    to = {"linux": RECEIVER, "hardline": ENGINE_SINK}[receiver]
    sender = wire.lab.start(linux_command("client", flows, seconds, to), ns=wire.sender, ready="begun", timeout_s=30)
    try:
        sender.popen.wait(seconds + 60)
        return last_json(sender)
    finally:
        sink.kill(signal.SIGKILL)
        sink.popen.wait(10)


def faults(loss, delay_ms, reorder, seed, rate="", forth=True):
    words = [f"delay={delay_ms / 2}ms" if delay_ms else "", f"seed={seed}"]
    if forth:
        words += [f"drop={loss}%" if loss else "", f"reorder={reorder}%" if reorder else "", rate]
    return ",".join(w for w in words if w)


def one_cell(wire, role, loss, delay, flows, options):
    rates = {"linux": [], "hardline": []}
    for repetition in range(options.repeat):
        for stack in rates:
            bridge = wire.bridge(faults(loss, delay, options.reorder, 100 + repetition),
                                 faults(0, delay, 0, 200 + repetition, forth=False))
            try:
                if role == "sink":
                    figure = run_receiver(wire, stack, flows, options.seconds)
                else:
                    figure = run_senders(wire, role, [stack], flows, options.seconds)[0]
            finally:
                bridge.stop()
            rates[stack].append(figure.get("mbit_s", 0.0))
            if "error" in figure:
                print("#", stack, figure["error"], file=sys.stderr)
    linux, hardline = (statistics.median(rates[s]) for s in ("linux", "hardline"))
    return {"role": role, "loss_percent": loss, "delay_ms": delay, "flows": flows, "reorder_percent": options.reorder,
            "linux_mbit_s": linux, "hardline_mbit_s": hardline, "ratio": hardline / linux if linux else 0.0,
            "all": rates}


def fairness(wire, options):
    """One flow of each side by side through one bottleneck: hardline's share of what both got."""
    shares = []
    for repetition in range(options.repeat):
        bridge = wire.bridge(faults(0, 20, 0, 300 + repetition, rate="rate=50mbit,queue=128kB"),
                             faults(0, 20, 0, 400 + repetition, forth=False))
        try:
            linux, hardline = run_senders(wire, "client", ["linux", "hardline"], 1, max(options.seconds, 15))
        finally:
            bridge.stop()
        both = linux["mbit_s"] + hardline["mbit_s"]
        shares.append(hardline["mbit_s"] / both if both else 0.0)
        print(f"# fairness: linux {linux['mbit_s']:.1f}, hardline {hardline['mbit_s']:.1f} Mbit/s", flush=True)
    return {"share": statistics.median(shares), "all": shares, "bottleneck": "50 Mbit/s, 20 ms, 128 kB"}


def has_bytes(cell):
    return cell["linux_mbit_s"] > 0 and cell["hardline_mbit_s"] > 0


def numbers(text):
    return [float(n) if "." in n else int(n) for n in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--loss", type=numbers, default=[0, 0.1, 1, 5])
    parser.add_argument("--delay", type=numbers, default=[1, 20, 100])
    parser.add_argument("--flows", type=numbers, default=[1, 100])
    parser.add_argument("--roles", default="client,server,sink")
    parser.add_argument("--reorder", type=float, default=0)
    parser.add_argument("--fair", action="store_true", help="measure fairness at a bottleneck, too")
    parser.add_argument("--json")
    parser.add_argument("--most-minutes", type=float, default=120, help="cells that do not fit are left out")
    parser.add_argument("--realtime", action="store_true", help="everything before other work of the machine")
    parser.add_argument("--quick", action="store_true", help="does it run at all?")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.repeat, options.loss, options.delay = 1, 1, [1], [20]
        options.flows = [1, 20]
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    ends = time.monotonic() + options.most_minutes * 60
    lab = hl.Lab()
    wire = Wire(lab)
    cells, left_out = [], 0
    print(f"{'# ' if options.quick else ''}{'role':8}{'loss %':>8}{'delay ms':>10}{'flows':>7}{'Linux Mbit/s':>14}{'hardline':>10}{'ratio':>8}")
    for role in options.roles.split(","):
        for flows in options.flows:
            for loss in options.loss:
                for delay in options.delay:
                    if time.monotonic() > ends:
                        left_out += 1
                        continue
                    cell = one_cell(wire, role, loss, delay, flows, options)
                    cells.append(cell)
                    row = (f"{role:8}{loss:8}{delay:10}{flows:7}{cell['linux_mbit_s']:14.1f}"
                           f"{cell['hardline_mbit_s']:10.1f}{cell['ratio']:8.2f}")
                    print(f"{'ok' if has_bytes(cell) else 'not ok'} {len(cells)} - {row}" if options.quick else row, flush=True)
    if left_out:
        print(f"# {left_out} cells left out: --most-minutes is over", file=sys.stderr)
    fair = fairness(wire, options) if options.fair else None
    if fair:
        print(f"hardline's share beside one Linux CUBIC flow: {fair['share']:.2f}")
    if options.json:
        with open(options.json + ".new", "w") as f:
            json.dump({"cells": cells, "fairness": fair}, f, indent=1)
        os.replace(options.json + ".new", options.json)
    if options.quick:
        print(f"1..{len(cells)}")
    return 0 if all(map(has_bytes, cells)) else 1


if __name__ == "__main__":
    sys.exit(main())
