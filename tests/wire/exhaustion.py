#!/usr/bin/env python3
"""Receivers that stop acknowledging fill the packet pool of a core: data waits, but what the reserve is for still leaves: questions,
answers, ACKs, connection set-up, resets.  When they answer again everything is delivered, and every packet is back."""
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from engine import Engine

STUCK = 8
OTHER = STUCK + 1
SIZE = 6 << 20
SETTINGS = {
    "port": {"rx-faults": "delay=10ms",  # over a shorter path little is in flight at a time (tcp_write_due)
             "buffers": 1024, "control-buffers": 64, "rx-descriptors": 64, "tx-descriptors": 64},
    "tcp": {"send-buffer-bytes": 524288},
    "limits": {"connections": 32},
    "run": {"drain-s": 1},
}


def attackers(lab, net, ca, hosts):
    cert = ca.issue("mx1.example.test")
    return hl.Attackers(lab, net, {f"mx{n}": {"host": n, "mode": "honest", "cert": cert} for n in hosts})


def pool(engine):
    return next(p for core in engine.status()["cores"] for p in core["pools"] if p["name"] == "tx-buffers")


def established(net, host):
    """The receiver's side of the engine's connections with a host: (bytes that nobody has read, bytes not acknowledged)."""
    lines = net.receiver.run("ss", "-Htn", "state", "established").splitlines()
    return [(int(f[0]), int(f[1])) for f in map(str.split, lines) if f[2] == f"{net.ip4(host)}:25" and net.engine_ip4 in f[3]]


def silence(net, how):
    """Nothing leaves the receivers (how: "add"), or all of it again ("del").  Those that merely stopped reading would close their
    windows, and hold nothing of ours but a record each."""
    for n in range(1, STUCK + 1):
        net.receiver.run("ip", "rule", how, "from", net.ip4(n), "pref", "50", "blackhole")


def exhaust(net, engine, path):
    """Big messages to receivers that fall silent in the middle; returns the submission once the pool has refused data."""
    refused, sealed = pool(engine).get("exhausted", 0), engine.counter("tls_sealed_bytes")
    submission = engine.start_submit([{"to": [f"user@domain{n}.test"], "path": path} for n in range(1, STUCK + 1)])
    hl.wait_until(lambda: engine.counter("tls_sealed_bytes") >= sealed + STUCK * 400000, 30, "all of them are on their way")
    silence(net, "add")
    hl.wait_until(lambda: pool(engine).get("exhausted", 0) > refused, 30, "the pool refuses data")
    time.sleep(1)  # what was on its way has come
    return submission


def is_refused(net):
    with net.receiver.entered():
        try:
            socket.create_connection((net.engine_ip4, 9), 3, (net.ip4(OTHER), 0)).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False


def what_still_leaves(net, engine, other_path):
    p = pool(engine)
    hl.ok(p["in_use"] >= p["capacity"] - SETTINGS["port"]["control-buffers"] - 8, "all but the reserve is in use", p)
    hl.ok(is_refused(net), "a port where nobody listens answers with a reset")
    late = engine.start_submit([{"to": [f"user@domain{OTHER}.test"], "path": other_path}])
    hl.wait_until(lambda: established(net, OTHER), 10, "another connection is set up")
    hl.wait_until(lambda: any(not unacked for _, unacked in established(net, OTHER)), 5, "its greeting is acknowledged")
    hl.ok(True, "a connection to somebody else is set up, and its greeting acknowledged")
    return late


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    ca = hl.Ca(lab)
    net.receiver.run("sysctl", "-qw", "net.ipv4.tcp_rmem=4096 1048576 4194304")
    attackers(lab, net, ca, range(1, STUCK + 1))
    attackers(lab, net, ca, [OTHER])
    routes = {f"domain{n}.test": ("mx1.example.test", net.ip4(n)) for n in range(1, OTHER + 1)}
    engine = Engine(lab, net, ca, routes=routes, settings=SETTINGS)
    idle = pool(engine)["in_use"]
    big = lab.write("big.eml", "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * (SIZE // 72))
    small = lab.write("small.eml", "Subject: small\r\n\r\nsmall\r\n")

    submission = exhaust(net, engine, big)
    late = what_still_leaves(net, engine, small)
    silence(net, "del")
    hl.equal([r["verdict"] for r in submission.wait(90)], ["delivered"] * STUCK, "when they answer again everything is delivered")
    hl.equal([r["verdict"] for r in late.wait(30)], ["delivered"], "and so is what had to wait")
    hl.wait_until(lambda: pool(engine)["in_use"] <= idle + 16, 30, "the packets are back")
    hl.ok(True, "every packet is back in its pool")

    exhaust(net, engine, big)
    standing = sum(len(established(net, n)) for n in range(1, STUCK + 1))
    engine.stop(20)
    left = sum(len(established(net, n)) for n in range(1, STUCK + 1))
    hl.ok(standing >= STUCK and left == 0, "an engine that stops with an empty pool still resets its connections", standing, left)
    silence(net, "del")
    hl.done()


main()
