"""Rules, routes, trust anchors and networks that HUP brings count for the next job; bad ones change nothing.

Before each change the engine has what must not outlive it: a connection that idles, and what it remembers by.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from scene import MX, Scene, hl
from engine import route
from passes import Passes, how, memory


def rule(level, **more):
    return [{"match": "*", "level": level, **more}]


def one(scene, case="unknown_ca", **more):
    return scene.deliver({case: more})[case]


def warm(scene, case, way):
    """Three messages, of which no more than two go over one connection: a second one is there that was not proven from nothing."""
    results = [one(scene, case) for _ in range(3)]
    ways = [how(r) for r in results]
    hl.ok(way in ways[1:] and None in ways, f"{case}: what was proven before is {way}", ways)
    return results[-1]


def rules_change(scene):
    scene.refused("unknown_ca", one(scene), "certificate-not-trusted", "before: verify")
    scene.engine.reload(tls=rule("encrypt"))
    result = warm(scene, "unknown_ca", "resumed" if scene.memory == "tickets" else "in full")  # no chain: none remembered
    hl.ok(result["verdict"] == "delivered" and not result["tls"]["pkix"], "a rule that asks for less counts", result)
    scene.engine.reload(tls=rule("verify"))
    scene.stopped("unknown_ca", one(scene), "certificate-not-trusted",
                  "a rule that asks for more counts at once: the connection that idles is not used")


def anchors_change(scene):
    before = warm(scene, "good", scene.way)
    scene.engine.reload(tls=rule("verify", **{"ca-file": scene.stranger}))
    now = one(scene, "good")
    hl.ok(before["verdict"] == "delivered" and now["verdict"] == "deferred" and now["reason"] == "certificate-not-trusted",
          "a connection that was proven by a CA of before is not used", before, now)
    result = one(scene)
    scene.delivered("unknown_ca", result, "a CA that is new counts", pkix=True)
    hl.equal(how(result), "in full", "what the encrypt rule's connections left is not taken for it")


def anchors_return(scene):
    """Also what the first ones had proven is proven anew: the file may be another."""
    warm(scene, "unknown_ca", scene.way)
    scene.engine.reload(tls=rule("verify"))
    scene.stopped("unknown_ca", one(scene), "certificate-not-trusted", "a CA that was taken away counts no more")
    hl.equal(how(one(scene, "good")), "in full", "one that came back: the chain is verified again")


def routes_change(scene):
    routes = dict(scene.routes)
    unrouted = scene.send(scene.job("new.test"))[0]
    routes["new.test"] = (MX, scene.mxs.address("good_p256"))
    scene.engine.reload(tls=rule("verify"), route=[route(d, hop) for d, hop in routes.items()])
    result = scene.send(scene.job("new.test"))[0]
    hl.ok(unrouted["verdict"] == "deferred" and unrouted["reason"] == "no-route" and result["verdict"] == "delivered",
          "a new route counts", unrouted, result)


def mistakes_change_nothing(scene):
    before = scene.engine.status()["policy"]
    for what, tls in (("a level that is not known", rule("none")), ("a CA file that is not there",
                      rule("verify", **{"ca-file": scene.lab.path("nowhere.pem")}))):
        scene.engine.reload(tls=tls)
        hl.equal(scene.engine.status()["policy"], before, f"{what}: the rules stay")
        hl.ok(one(scene, "good")["verdict"] == "delivered", f"{what}: mail goes on")
    complaints = [line for line in scene.engine.log().splitlines() if "level" in line and '"none"' in line]
    hl.ok(any(os.path.basename(scene.engine.config_path) in line for line in complaints),
          "the log names the file and what is wrong", scene.engine.log())


def what_takes_a_restart(scene):
    config = scene.engine.config
    scene.engine.reload(tls=rule("verify"), limits={**config["limits"], "connections": 100})
    hl.ok("takes a restart" in scene.engine.log() and "connections" in scene.engine.log().split("takes a restart")[-1],
          "a setting that takes a restart is named", scene.engine.log())


def main():
    passes = Passes(memory())
    limits = {"idle-connection-s": 60, "messages-per-connection": 2}
    scene = Scene(rules=rule("verify"), settings=passes.settings({"limits": limits}))
    scene.memory, scene.way = memory(), "resumed" if memory() == "tickets" else "remembered"
    scene.stranger = scene.lab.path("unknown-ca", "root.crt")  # that of the case unknown_ca
    assert os.path.exists(scene.stranger)
    for part in (rules_change, anchors_change, anchors_return, routes_change, mistakes_change_nothing, what_takes_a_restart):
        part(scene)
    hl.done()


main()
