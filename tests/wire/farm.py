#!/usr/bin/env python3
"""The MX farm of hardline-bench: the engine's mail over a kernel's wire and over memif, faults on request, damage found."""
import os
import smtplib
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from engine import Engine
from farm import Farm, message

FIRST = "10.77.0.50"
ALICE = "alice@example.test"


def files(lab, run, count, size=2000):
    return [lab.write(f"run{run}.{n}.eml", message(run, n, size)) for n in range(count)]


def jobs(paths, domain="example.test"):
    return [{"to": [f"alice@{domain}"], "path": path} for path in paths]


def figures(farm, *names):
    return [farm.end[name] for name in names]


def the_engine_delivers(lab, net):
    farm = Farm(lab, net, "--addresses", f"{FIRST}/24+2", "--key", "rsa2048")
    engine = Engine(lab, net, farm, routes={"example.test": ("mx1.farm.test", FIRST)})
    results = engine.submit(jobs(files(lab, 1, 200)))
    hl.equal({r["verdict"] for r in results}, {"delivered"}, "the engine's 200 messages are delivered")
    hl.equal(engine.stop(), 0, "the engine ends in order")
    hl.equal(farm.stop(), 0, "the farm ends in order", )
    hl.note(farm.end)
    hl.equal(figures(farm, "good", "messages", "recipients", "damaged", "duplicates", "cut_by_peer"), [200, 200, 200, 0, 0, 0],
             "the farm has each of them once and whole")


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    for test in (the_engine_delivers,):
        test(lab, net)
    hl.done()


main()
