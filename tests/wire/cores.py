"""Two cores, each with a queue of its own.  Without steering a frame that arrives at the wrong one is handed over and counted;
with software RSS none does, because source ports are chosen by the hash that brings the answers back.  Over IPv4, then over IPv6."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from corpus import Corpus
import hl
from engine import Engine

MXS, MESSAGES = 12, 60


def counts_agree(total):
    return total["net_handoff_in"] == total["net_handoff_out"]


def deliver(lab, net, ca, mxs, rss, family):
    """Delivers the corpus with two cores; returns each core's counters and what `hardline status` shows."""
    address, name = (net.ip4, f"{rss}4") if family == 4 else (net.ip6, f"{rss}6")
    users = [f"user@domain{n}.test" for n in range(1, MXS + 1)]
    routes = {f"domain{n}.test": ("mx1.example.test", address(n)) for n in range(1, MXS + 1)}
    before = {n: len(mxs.messages(f"mx{n}")) for n in range(1, MXS + 1)}
    settings = {"port": {"rss": rss}, "allow-networks": ["10.77.0.0/24", "fd77::/64"],
                "net": {"addresses": [f"{net.engine_ip4}/{net.prefix4}", f"{net.engine_ip6}/{net.prefix6}"]}}
    engine = Engine(lab, net, ca, name=f"engine-{name}", routes=routes, cores=2, settings=settings)
    corpus = Corpus(lab.path(f"corpus-{name}"), MESSAGES, users, seed=3)
    results = engine.submit([{"to": m.recipients, "path": m.path} for m in corpus.messages])
    hl.equal([r["verdict"] for r in results], ["delivered"] * MESSAGES, f"{name}: every message is delivered")
    arrived = {}
    for number, user in enumerate(users, 1):
        os.makedirs(lab.path(f"{name}-{user}"))
        for i, mail in enumerate(mxs.messages(f"mx{number}")[before[number]:]):
            arrived.setdefault(user, []).append(
                lab.write(f"{name}-{user}/{i}", mail["body"].replace(b"\r\n", b"\n")))
    hl.equal(list(corpus.compare(arrived).complaints()), [], f"{name}: every message is identical")
    hl.wait_until(lambda: counts_agree(engine.status()["total"]), 5, "the cores' counts are of one time")
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


def by_hand_off(lab, net, ca, mxs, family):
    by_core, plain = deliver(lab, net, ca, mxs, "off", family)
    which = f"IPv{family}, without RSS"
    hl.equal(len(by_core), 2, f"{which}: hardline status --json shows two cores")
    hl.ok(all(c["core_delivered"] > 0 and c["tls_handshakes"] > 0 for c in by_core), f"{which}: both cores delivered",
          [(c["core_delivered"], c["tls_handshakes"]) for c in by_core])
    hl.equal(total(by_core, "core_delivered"), MESSAGES, f"{which}: their counts add up")
    hl.ok(all(c["port_rx_packets"] > 0 for c in by_core), f"{which}: both queues received")
    given, taken = total(by_core, "net_handoff_out"), total(by_core, "net_handoff_in")
    hl.ok(given == taken > 0, f"{which}: frames of the wrong queue were handed over, and all of them arrived", given, taken)
    hl.ok("handed" in plain or "handoff" in plain or "hand-off" in plain, f"{which}: hardline status shows it to people, too",
          plain)


def by_software(lab, net, ca, mxs, family):
    by_core, _ = deliver(lab, net, ca, mxs, "software", family)
    which = f"IPv{family}, software RSS"
    hl.ok(all(c["core_delivered"] > 0 for c in by_core), f"{which}: both cores delivered")
    hl.ok(all(c["tcp_segments_in"] > 0 for c in by_core), f"{which}: both cores received segments")
    hl.equal(total(by_core, "net_handoff_out"), 0, f"{which}: no segment arrives at the wrong core")
    hl.equal(total(by_core, "net_drop_no_flow"), 0, f"{which}: and none finds no connection")


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    ca = hl.Ca(lab)
    cert = ca.issue("mx1.example.test")
    cases = {f"mx{n}": {"host": n, "mode": "honest", "cert": cert} for n in range(1, MXS + 1)}
    mxs = hl.Attackers(lab, net, cases)

    for family in (4, 6):
        by_hand_off(lab, net, ca, mxs, family)
        by_software(lab, net, ca, mxs, family)
    hl.done()


main()
