#!/usr/bin/env python3
"""The engine delivers while a stranger on the link floods it with SYN, RST, ACK or ICMP, over IPv4 and IPv6.

Delivered is everything, each hostile frame is counted for its reason, answers and memory are bounded. How fast it is beside a
quiet run is printed: on a machine where the flooder takes a processor of its own it says little more than that.
"""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from engine import Engine

FLOODER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib", "flooder.py")
ALICE = "alice@example.test"
MESSAGES, SIZE = 30, 20000
FRAMES, SECONDS = 60000, 4
REASONS = {
    "syn": ["net_drop_no_flow"],
    "rst": ["net_drop_no_flow", "tcp_drop_window", "tcp_drop_rst", "tcp_drop_ack"],
    "ack": ["net_drop_no_flow", "tcp_drop_window", "tcp_drop_ack", "tcp_drop_paws"],
    "icmp": ["net_drop_icmp_flow", "tcp_drop_icmp", "net_drop_reply", "net_icmp_echo_replies"],
}


class Flood:
    """Against the engine's flows with one of the receiver's addresses, or its source ports at large where there is none."""

    def __init__(self, lab, net, kind, source, target, ports):
        self.process = lab.start([sys.executable, FLOODER, net.receiver_if, net.mac(net.sender, net.sender_if), kind, source,
                                  target, ",".join(ports), str(FRAMES), str(SECONDS)], name=f"{kind}-{target}", ns=net.receiver,
                                 ready="flooding")

    def wait(self):
        self.process.wait(SECONDS + 20)
        return int(re.search(r"sent (\d+)", self.process.log())[1])


def ports_of(net, target):
    """The engine's ports of connections that stand or stood a moment ago."""
    lines = net.receiver.run("ss", "-Htna").splitlines()
    ports = {m[1] for line in lines if (m := re.search(rf"{re.escape(target)}\]?:(\d+)\s*$", line.rstrip()))}
    return sorted(ports) or ["2000"]


def deliver(engine, domain, path):
    began = time.monotonic()
    results = engine.submit([{"to": [f"alice@{domain}"], "path": path}] * MESSAGES)
    seconds = time.monotonic() - began
    return [r["verdict"] for r in results].count("delivered"), seconds


def counters(engine):
    return engine.status()["total"]


def in_use(engine):
    return {p["name"]: p["in_use"] for core in engine.status()["cores"] for p in core["pools"]}


def resident_kb(engine):
    with open(f"/proc/{engine.engine_pid()}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def flooded(lab, net, engine, kind, domain, source, target, path, quiet_s):
    before, resident = counters(engine), resident_kb(engine)
    flood = Flood(lab, net, kind, source, target, ports_of(net, target))
    began = time.monotonic()
    delivered, seconds = deliver(engine, domain, path)
    sent = flood.wait()
    lasted = time.monotonic() - began
    after = counters(engine)
    grown = {name: after[name] - before[name] for name in after}
    seen = sum(grown[name] for name in REASONS[kind])
    name = f"{kind.upper()} flood to {target}"
    print(f"# {name}: {sent} frames in {SECONDS} s, {seen} counted; {MESSAGES} messages in {seconds:.2f} s, {quiet_s:.2f} s in quiet",
          flush=True)
    hl.equal(delivered, MESSAGES, f"{name}: everything is delivered")
    hl.ok(seen >= grown["port_rx_packets"] * 0.5, f"{name}: hostile frames are counted for their reasons",
          {n: v for n, v in grown.items() if v})
    answers = grown["net_resets_sent"] + grown["net_icmp_echo_replies"]
    hl.ok(answers <= 1000 * (lasted + 2), f"{name}: a thousand answers a second at the most", answers, lasted)
    hl.ok(resident_kb(engine) <= resident * 1.05 + 1024, f"{name}: memory does not grow", resident, resident_kb(engine))


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    ca = hl.Ca(lab)
    hl.Postfix(lab, net, 1, ca.issue("mx1.example.test"), users=[ALICE, "alice@six.test"])
    routes = {"example.test": ("mx1.example.test", net.ip4(1)), "six.test": ("mx1.example.test", net.ip6(1))}
    settings = {"net": {"addresses": [f"{net.engine_ip4}/24", f"{net.engine_ip6}/64"]}, "allow-networks": ["10.77.0.0/24", "fd77::/64"],
                "limits": {"connections-per-destination": 4}}
    engine = Engine(lab, net, ca, routes=routes, settings=settings)
    path = lab.write("message.eml", "Subject: flood\r\n\r\n" + ("x" * 70 + "\r\n") * (SIZE // 72))
    for domain, source, target in (("example.test", net.ip4(1), net.engine_ip4), ("six.test", net.ip6(1), net.engine_ip6)):
        delivered, _ = deliver(engine, domain, path)  # the engine has taken all the memory that it ever takes
        delivered, quiet_s = deliver(engine, domain, path)
        hl.equal(delivered, MESSAGES, f"{target}: everything is delivered in quiet")
        for kind in REASONS:
            flooded(lab, net, engine, kind, domain, source, target, path, quiet_s)
    hl.wait_until(lambda: in_use(engine)["connections"] == 0, 60, "the connections are closed")
    hl.ok(in_use(engine)["jobs"] == 0, "nothing is left of it", in_use(engine))
    hl.equal(engine.stop(), 0, "the engine ends in order")
    hl.done()


main()
