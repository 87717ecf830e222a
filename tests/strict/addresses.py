"""Special-purpose addresses (RFC 6890) are connected to only where allow-networks names them."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from scene import MX, Scene, hl
from passes import Passes, memory
from engine import Engine, route

LEVEL = [{"match": "*", "level": "encrypt"}]  # so that only the address can be what is refused


def refused(scene, what, result, case=None):
    hl.ok(result["verdict"] == "deferred" and result["reason"] == "no-route" and "allow-networks" in result["text"], what,
          result)
    if case:
        hl.equal(scene.mxs.connections(case), 0, f"{what}: and nobody was connected to")


def allowed(scene):
    hl.ok(scene.send(scene.job("good.test"))[0]["verdict"] == "delivered", "an address that is allowed is connected to")


def not_allowed(scene):
    other = scene.mxs.address("good_tls12")
    refused(scene, "a job's next hop outside of allow-networks",
            scene.send(scene.job("good.test", **{"next-hop": f"[{other}]"}))[0], "good_tls12")
    for address in ("127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
                    "255.255.255.255", "IPv6:::1", "IPv6:fe80::1", "IPv6:fd00::1", "IPv6:::ffff:127.0.0.1"):
        refused(scene, f"next hop [{address}]", scene.send(scene.job("good.test", **{"next-hop": f"[{address}]"}))[0])


def main():
    passes = Passes(memory())
    scene = Scene(rules=LEVEL, settings=passes.settings(), wall=True)
    good = scene.mxs.address("good")
    scene.engine.reload(**{"route": [route("good.test", (MX, good))], "allow-networks": [f"{good}/32"]})
    passes.run(scene, [allowed, not_allowed])

    config = {**scene.engine.config, "allow-networks": []}
    broken = Engine(scene.lab, scene.net, scene.ca, name="broken", settings=config, start=False)
    check = scene.lab.start(broken.command("--check"), name="check")
    hl.ok(check.wait(20) == 78 and "allow-networks" in check.log() and good in check.log(),
          "a route to an address that is not allowed is a mistake of the configuration", check.log())
    hl.done()


main()
