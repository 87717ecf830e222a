"""Two cores, each with a queue of its own.  Without steering a frame that arrives at the wrong one is handed over and counted;
with software RSS none does, because source ports are chosen by the hash that brings the answers back."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from corpus import Corpus
import hl
from engine import Engine

MXS, MESSAGES = 6, 60


def deliver(lab, net, ca, mxs, rss):
    """Delivers the corpus with two cores; returns each core's counters and what `hardline status` shows."""
    users = [f"user@domain{n}.test" for n in range(1, MXS + 1)]
    routes = {f"domain{n}.test": ("mx1.example.test", net.ip4(n)) for n in range(1, MXS + 1)}
    before = {n: len(mxs.messages(f"mx{n}")) for n in range(1, MXS + 1)}
    engine = Engine(lab, net, ca, name=f"engine-{rss}", routes=routes, cores=2, settings={"port": {"rss": rss}})
    corpus = Corpus(lab.path(f"corpus-{rss}"), MESSAGES, users, seed=3)
    results = engine.submit([{"to": m.recipients, "path": m.path} for m in corpus.messages])
    hl.equal([r["verdict"] for r in results], ["delivered"] * MESSAGES, f"{rss}: every message is delivered")
    arrived = {}
    for number, user in enumerate(users, 1):
        os.makedirs(lab.path(f"{rss}-{user}"))
        for i, mail in enumerate(mxs.messages(f"mx{number}")[before[number]:]):
            arrived.setdefault(user, []).append(
                lab.write(f"{rss}-{user}/{i}", mail["body"].replace(b"\r\n", b"\n")))
    hl.equal(list(corpus.compare(arrived).complaints()), [], f"{rss}: every message is identical")
    shown = json.loads(hl.run([engine.program("hardline"), "status", "--socket", engine.admin_socket, "--json"]))
    plain = hl.run([engine.program("hardline"), "status", "--socket", engine.admin_socket])
    engine.stop()
    told = engine.log().count("flows arrive at the wrong core")
    hl.ok((1 if rss == "off" else 0) <= told <= (2 if rss == "off" else 0),
          f"{rss}: the log says {'once a core at most' if rss == 'off' else 'nothing of'} flows at the wrong core", engine.log())
    hl.equal("flows arrive at the wrong core" in plain, rss == "off", f"{rss}: and so does hardline status")
    return [core["counters"] for core in shown["cores"]], plain


def total(by_core, name):
    return sum(core[name] for core in by_core)


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    ca = hl.Ca(lab)
    cert = ca.issue("mx1.example.test")
    cases = {f"mx{n}": {"host": n, "mode": "honest", "cert": cert} for n in range(1, MXS + 1)}
    mxs = hl.Attackers(lab, net, cases)

    by_core, plain = deliver(lab, net, ca, mxs, "off")
    hl.equal(len(by_core), 2, "hardline status --json shows two cores")
    hl.ok(all(c["core_delivered"] > 0 and c["tls_handshakes"] > 0 for c in by_core), "both cores delivered",
          [(c["core_delivered"], c["tls_handshakes"]) for c in by_core])
    hl.equal(total(by_core, "core_delivered"), MESSAGES, "their counts add up")
    hl.ok(all(c["port_rx_packets"] > 0 for c in by_core), "both queues received")
    given, taken = total(by_core, "net_handoff_out"), total(by_core, "net_handoff_in")
    hl.ok(given == taken > 0, "frames of the wrong queue were handed over, and all of them arrived", given, taken)
    hl.ok("handed" in plain or "handoff" in plain or "hand-off" in plain, "hardline status shows it to people, too", plain)

    by_core, plain = deliver(lab, net, ca, mxs, "software")
    hl.ok(all(c["core_delivered"] > 0 for c in by_core), "with software RSS both cores delivered")
    hl.equal(total(by_core, "net_handoff_out"), 0, "with software RSS no segment arrives at the wrong core")
    hl.equal(total(by_core, "net_drop_no_flow"), 0, "and none finds no connection")
    hl.done()


main()
