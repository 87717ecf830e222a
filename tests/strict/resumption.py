"""Sessions are resumed for the same question only: not across a reload, not for another policy, not when it is switched off."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from scene import MX, Scene, domain, hl

EACH_ITS_OWN = {"limits": {"messages-per-connection": 1}}
LAX = "lax.test"  # at the MX of the case unknown_ca, where its rule asks for no certificate
VERIFY = [{"match": LAX, "level": "encrypt"}, {"match": "*", "level": "verify"}]


def resumed(scene, case="good", **more):
    """One message over a connection of its own: whether that was resumed; None: not delivered."""
    result = scene.deliver({case: more})[case]
    return result["tls"]["resumed"] if result["verdict"] == "delivered" else None


def told(scene):
    first, second = resumed(scene), resumed(scene)
    hl.equal((first, second), (False, True), "the second connection is resumed, and the result says so")
    hl.equal([e.get("resumed") for e in scene.mxs.events("good", "handshake done")], [False, True], "the MX says so, too")
    hl.equal((resumed(scene, "good_tls12"), resumed(scene, "good_tls12")), (False, True), "TLS 1.2: likewise")
    hl.wait_until(lambda: scene.engine.counter("tls_resumed") >= 2, 10, "status has counted both")
    total = scene.engine.status()["total"]
    hl.ok(total["tls_resumed"] == 2 and total["tls_tickets_used"] == 2 and total["tls_tickets_stored"] > 2 and
          total["tls_tickets_refused"] == 0, "status counts them", {k: v for k, v in total.items() if "ticket" in k})


def not_across_a_reload(scene):
    scene.engine.reload(tls=VERIFY)
    hl.equal((resumed(scene), resumed(scene)), (False, True), "a reload that changes nothing: in full, then resumed")
    scene.engine.reload(tls=[{"match": "*", "level": "verify", "ca-file": scene.stranger}])
    hl.equal(resumed(scene), None, "a reload of other trust anchors: refused, whatever tickets there are")
    scene.engine.reload(tls=VERIFY)
    hl.equal(resumed(scene), False, "those of before again: in full")


def not_for_another_policy(scene):
    lax = [scene.send(scene.job(LAX))[0] for _ in range(2)]
    hl.equal([(r["verdict"], r["tls"]["resumed"], r["tls"]["pkix"]) for r in lax],
             [("delivered", False, False), ("delivered", True, False)], "an unknown CA, encrypt: resumed as what it is")
    hl.equal(resumed(scene, "unknown_ca"), None, "an unknown CA, verify: refused beside these tickets")
    hl.equal(resumed(scene, "good", **{"tls-floor": "secure"}), None, "a floor of another name: refused beside tickets")
    hl.equal(resumed(scene), True, "and the tickets are there")


def not_when_switched_off():
    scene = Scene(rules=VERIFY, settings={**EACH_ITS_OWN, "crypto": {"resumption": "none"}})
    hl.equal([resumed(scene) for _ in range(3)], [False] * 3, "resumption none: none")
    hl.wait_until(lambda: scene.engine.counter("tls_tickets_drop_unwanted") > 0, 10, "status counts what was not wanted")
    total = scene.engine.status()["total"]
    hl.ok(total["tls_tickets_stored"] == 0 and total["tls_tickets_drop_unwanted"] > 0, "and no ticket is kept",
          {k: v for k, v in total.items() if "ticket" in k})


def main():
    scene = Scene(rules=VERIFY, settings=EACH_ITS_OWN, routes=lambda s: {LAX: (MX, s.mxs.address("unknown_ca"))})
    scene.stranger = scene.lab.path("unknown-ca", "root.crt")
    assert os.path.exists(scene.stranger) and domain("good") in scene.routes
    for part in (told, not_across_a_reload, not_for_another_policy):
        part(scene)
    scene.engine.stop()
    not_when_switched_off()
    hl.done()


main()
