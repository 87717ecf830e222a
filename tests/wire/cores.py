"""Two cores, each with a queue of its own: both deliver, and a frame that arrives at the wrong one is handed over."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from corpus import Corpus
import hl
from engine import Engine

MXS, MESSAGES = 6, 60


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    ca = hl.Ca(lab)
    cert = ca.issue("mx1.example.test")
    cases = {f"mx{n}": {"host": n, "mode": "honest", "cert": cert} for n in range(1, MXS + 1)}
    mxs = hl.Attackers(lab, net, cases)
    users = [f"user@domain{n}.test" for n in range(1, MXS + 1)]
    routes = {f"domain{n}.test": ("mx1.example.test", net.ip4(n)) for n in range(1, MXS + 1)}
    engine = Engine(lab, net, ca, routes=routes, cores=2)
    corpus = Corpus(lab.path("corpus"), MESSAGES, users, seed=3)
    results = engine.submit([{"to": m.recipients, "path": m.path} for m in corpus.messages])
    hl.equal([r["verdict"] for r in results], ["delivered"] * MESSAGES, "every message is delivered")
    arrived = {}
    for number, user in enumerate(users, 1):
        folder = lab.path(user)
        os.makedirs(folder)
        for i, mail in enumerate(mxs.messages(f"mx{number}")):
            arrived.setdefault(user, []).append(lab.write(f"{user}/{i}", mail["body"].replace(b"\r\n", b"\n")))
    verdict = corpus.compare(arrived)
    hl.equal(list(verdict.complaints()), [], "every message is identical")

    shown = json.loads(hl.run([engine.program("hardline"), "status", "--socket", engine.admin_socket, "--json"]))
    hl.equal(len(shown["cores"]), 2, "hardline status --json shows two cores")
    by_core = [core["counters"] for core in shown["cores"]]
    hl.ok(all(c["core_delivered"] > 0 and c["tls_handshakes"] > 0 for c in by_core), "both cores delivered",
          [(c["core_delivered"], c["tls_handshakes"]) for c in by_core])
    hl.equal(sum(c["core_delivered"] for c in by_core), MESSAGES, "their counts add up")
    hl.ok(all(c["port_rx_packets"] > 0 for c in by_core), "both queues received")
    given, taken = (sum(c[name] for c in by_core) for name in ("net_handoff_out", "net_handoff_in"))
    hl.ok(given == taken > 0, "frames of the wrong queue were handed over, and all of them arrived", given, taken)
    plain = hl.run([engine.program("hardline"), "status", "--socket", engine.admin_socket])
    hl.ok("handed" in plain or "handoff" in plain or "hand-off" in plain, "hardline status shows it to people, too", plain)
    hl.done()


main()
