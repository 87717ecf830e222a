"""Two domains behind one MX never lend each other their policy, and a connection serves only jobs that its proof covers."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from passes import Passes, memory
from scene import MX, Scene, hl

LAX, STRICT, BANK = "lax.shared.test", "strict.shared.test", "bank.shared.test"  # at an MX of an unknown CA
PLAIN, VERIFIED, SECURE = "plain.good.test", "verified.good.test", "secure.good.test"  # at a good one


def routes(scene):
    untrusted, good = (MX, scene.mxs.address("unknown_ca")), (MX, scene.mxs.address("good"))
    return {LAX: untrusted, STRICT: untrusted, BANK: untrusted, PLAIN: good, VERIFIED: good, SECURE: good}


def rules(scene):
    return [
        {"match": LAX, "level": "encrypt"},
        {"match": PLAIN, "level": "encrypt"},
        {"match": BANK, "level": "secure"},
        {"match": SECURE, "level": "secure"},
    ]


def connections_of(scene, case, domain):
    """The numbers of the connections over which mail for a domain came."""
    return {m["connection"] for m in scene.mxs.messages(case) for r in m["recipients"] if domain in r}


def untrusted_mx(scene):
    """Lax mail opens connections that nobody has verified; strict mail must not slip into them."""
    mixed = [scene.job(d) for d in (LAX, STRICT, LAX, BANK, LAX, STRICT) * 5]
    results = scene.send(*mixed)
    for domain, verdict in ((LAX, "delivered"), (STRICT, "deferred"), (BANK, "deferred")):
        said = [r["verdict"] for r, job in zip(results, mixed) if job["to"] == ["victim@" + domain]]
        hl.ok(said and set(said) == {verdict}, f"an MX of an unknown CA: {domain} is {verdict}", said)
    hl.equal(connections_of(scene, "unknown_ca", STRICT) | connections_of(scene, "unknown_ca", BANK), set(),
             "the MX was given nothing for the strict domains")


def an_idle_connection(scene):
    """One at a time, so that an idle connection is there for the next job."""
    for first, second in ((LAX, STRICT), (LAX, BANK)):
        a, b = scene.send(scene.job(first))[0], scene.send(scene.job(second))[0]
        hl.ok(a["verdict"] == "delivered" and b["verdict"] == "deferred" and b["reason"] == "certificate-not-trusted",
              f"an idle connection for {first} does not serve {second}", a, b)


def good_mx(scene):
    earlier = connections_of(scene, "good", PLAIN) | connections_of(scene, "good", VERIFIED)
    refused = scene.engine.counter("conn_refused_policy")
    plain = scene.send(scene.job(PLAIN))[0]
    verified = scene.send(scene.job(VERIFIED))[0]
    again = scene.send(scene.job(PLAIN))[0]
    secure = scene.send(scene.job(SECURE))[0]
    hl.ok(plain["verdict"] == "delivered" and not plain["tls"]["pkix"], "a good MX: encrypt proves nothing more", plain)
    hl.ok(verified["verdict"] == "delivered" and verified["tls"]["pkix"] and verified["tls"]["matched_name"] == MX,
          "a good MX: verify is proven afresh", verified)
    for_plain, for_verified = (connections_of(scene, "good", name) - earlier for name in (PLAIN, VERIFIED))
    hl.ok(for_plain - for_verified and len(for_verified) == 1 and min(for_verified) > min(for_plain),
          "a good MX: an unverified connection is not reused for verify", scene.mxs.story("good"))
    hl.ok(again["verdict"] == "delivered" and again["tls"]["reused"],
          "a good MX: an open connection that suffices is reused", again)
    hl.ok(secure["verdict"] == "deferred" and secure["reason"] == "certificate-host-mismatch",
          "a good MX: a connection proven for the MX's name does not serve secure", secure)
    hl.ok(scene.engine.counter("conn_refused_policy") > refused, "idle connections that did not suffice are counted",
          refused)


def main():
    passes = Passes(memory(), shared=True)
    scene = Scene(rules=rules, routes=routes, settings=passes.settings({"limits": {"idle-connection-s": 8}}), wall=True)
    passes.run(scene, [untrusted_mx, an_idle_connection, good_mx])
    hl.done()


main()
