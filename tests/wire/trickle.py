#!/usr/bin/env python3
"""hardline-bench trickle against a farm without TLS over memif: connections that stay open, messages now and then."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from farm import Farm

PROGRAM = os.environ.get("HARDLINE_FARM") or os.path.join(hl.BUILD, "bench", "hardline-bench")
CONNECTIONS = 300


def trickle(path, *options):
    """One run; (exit status, figures, what it complained of)."""
    ended = subprocess.run([PROGRAM, "trickle", "--device", f"net_memif0,role=client,socket={path},socket-abstract=no", "--address",
                            "10.78.255.1/16", "--to", "10.78.0.1+3", "--connections", str(CONNECTIONS), "--rate", "1000",
                            "--seconds", "1", "--open-seconds", "20", *options], capture_output=True, text=True, timeout=60)
    return ended.returncode, json.loads(ended.stdout) if ended.stdout else None, ended.stderr


def start_farm(lab, net, name, *options):
    path = lab.path(name + ".sock")
    farm = Farm(lab, net, "--addresses", "10.78.0.1/16+3", "--plain", *options, name=name,
                device=f"net_memif0,role=server,socket={path},socket-abstract=no")
    return farm, path


def all_goes_well(lab, net):
    farm, path = start_farm(lab, net, "good")
    status, said, complaints = trickle(path, "--size", "3000")
    hl.ok(status == 0 and said["ok"], "trickle: it ends well", status, said, complaints)
    hl.equal((said["open"], said["lost"], said["failed"]), (CONNECTIONS, 0, 0), "trickle: all connections stay open")
    hl.ok(said["messages"] > 500 and said["answered"] == said["messages"], "trickle: about a thousand messages, each answered",
          said)
    hl.equal(farm.stop(), 0, "trickle: the farm is content")
    hl.equal((farm.end["good"], farm.end["connections"], farm.end["runs"][0]["missing"]), (said["messages"], CONNECTIONS, 0),
             "trickle: and has each of them once and whole")
    sending = said["sending"]
    parts = sending["busy_s"] + sending["empty_s"] + sending["slept_s"]
    hl.ok(0.9 < parts / sending["wall_s"] < 1.02, "trickle: its clock has no gaps", sending)
    hl.ok(0 < said["bytes_per_connection"] < 100_000, "trickle: a connection takes some memory", said)


def what_fails(lab, net):
    farm, path = start_farm(lab, net, "refusing", "--fail", "451:10%")
    status, said, _ = trickle(path)
    farm.stop()
    hl.ok(status == 1 and not said["ok"] and said["failed"] > 0, "a refused message: exit status 1", status, said)
    farm, path = start_farm(lab, net, "resetting", "--refuse", "20%")
    status, said, complaints = trickle(path)
    hl.ok(status == 1 and said["lost"] and not said["messages"], "a lost connection: exit status 1, no figure of messages", said)
    hl.ok("were lost" in complaints, "and it is said how many stood", complaints)
    hl.equal(farm.stop(), 0, "nothing damaged reached the farm")


def wrong_usage(lab, net):
    for options, text in ((["--to", "nobody"], "is not ADDRESS"), (["--size", "5"], "not a number from 200"),
                          (["--connections", "1000000"], "60000 at the most"), (["extra"], "is not an option")):
        status, _, complaints = trickle("/nowhere", *options)
        hl.ok(status == 64 and text in complaints, f"trickle refuses {options}", status, complaints)


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    for test in (all_goes_well, what_fails, wrong_usage):
        test(lab, net)
    hl.done()


main()
