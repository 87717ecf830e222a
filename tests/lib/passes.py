"""The parts of a strict program several times with one engine: cold, warm, with the clock ahead, with the clock set back.

    passes = Passes(memory())                     # the program's argument: what the engine remembers by
    scene = Scene(settings=passes.settings({...}), wall=True)
    passes.run(scene, [part, other_part])

Every pass must come to the verdicts of the first. In the second every connection of its own is resumed, or its chain
is found among those verified before; no refused one is. An hour of the clock's later neither may be, and after the clock
was set back neither.
"""
import sys
import time

import hl
import tap

LIFETIME_S = 3600
COUNTED_S = 1.2  # a core publishes its counters now and then
MEMORIES = {
    "tickets": {"resumption": "tickets", "ticket-lifetime-s": LIFETIME_S, "proven-lifetime-s": LIFETIME_S},
    "proofs": {"resumption": "none", "proven-lifetime-s": LIFETIME_S},
}
PASSES = [("", 0), ("warm", 0), ("clock ahead", 2 * LIFETIME_S), ("clock set back", 0)]
JUDGED = ("job", "recipient", "verdict", "stage", "reason")
PROVEN = ("level", "policy_source", "version", "cipher", "group", "signature", "pkix", "matched_name", "exception",
          "certificate_sha256", "spki_sha256")


def memory():
    return sys.argv[1] if len(sys.argv) > 1 else "tickets"


def judgement(result):
    """What must not depend on what the engine remembers."""
    tls = result.get("tls") or {}
    return {**{key: result[key] for key in JUDGED}, **{key: tls.get(key) for key in PROVEN}}


def how(result):
    """How a connection of its own was proven: "resumed", "remembered", "in full"; None: none was, or not for this job."""
    tls = result.get("tls")
    if not tls or tls["reused"]:
        return None
    return "resumed" if tls["resumed"] else "remembered" if tls["remembered"] else "in full"


class Passes:
    def __init__(self, memory_, shared=False):
        """shared   messages share connections: whether one is resumed is not foretold for each"""
        self.memory, self.shared = memory_, shared
        self.results = []

    def settings(self, more=None):
        limits = {} if self.shared else {"limits": {"messages-per-connection": 1}}
        base = {**limits, "crypto": MEMORIES[self.memory]}
        for group, values in (more or {}).items():
            base[group] = {**base.get(group, {}), **values}
        return base

    def run(self, scene, parts):
        self.watch(scene.engine)
        cold = None
        for name, ahead_s in PASSES:
            found = self.one(scene.engine, lambda: [part(scene) for part in parts], name, ahead_s)
            cold = cold or found
            hl.equal([judgement(r) for r in found], [judgement(r) for r in cold], "every verdict is that of the first pass")
            if name == "warm":
                self.found_again(scene.engine, found)
            elif name:
                self.asked_again(found, cold)
        tap.within("")

    def watch(self, engine):
        submit = engine.submit

        def recorded(*args, **options):
            results = submit(*args, **options)
            self.results += results
            return results
        engine.submit = recorded

    def one(self, engine, play, name, ahead_s):
        tap.within(f"{name}: " if name else "")
        if name:
            hl.wait_until(lambda: engine.connections() == 0, 60, "no connection is left")
            time.sleep(COUNTED_S)
        engine.set_clock(ahead_s)
        self.results, self.before = [], engine.status()["total"]
        play()
        return self.results

    def found_again(self, engine, found):
        """All connections that were proven; and none that was refused used what is remembered."""
        wanted, stat = ("resumed", "tls_resumed") if self.memory == "tickets" else ("remembered", "tls_chains_proven")
        ways = [how(r) for r in found if how(r) and (self.memory == "tickets" or r["tls"]["pkix"])]
        if self.shared:
            hl.ok(not ways or wanted in ways, f"of what is delivered some is {wanted}", ways)
            return
        hl.equal(ways, [wanted] * len(ways), f"what is delivered is {wanted}: {len(ways)} times")
        time.sleep(COUNTED_S)
        hl.equal(engine.counter(stat) - self.before[stat], len(ways), f"and nothing else is {wanted}")

    def asked_again(self, found, cold):
        """The clock was moved: nothing is resumed that was not in the first pass, and each chain is verified once more."""
        known, in_full = [{r["tls"]["certificate_sha256"] for r in found if how(r) in ways}
                          for ways in (("remembered", "resumed", "in full"), ("in full",))]
        hl.equal(known - in_full, set(), "every certificate was judged anew")
        if not self.shared:
            resumed = [[how(r) == "resumed" for r in results] for results in (found, cold)]
            hl.equal(resumed[0], resumed[1], "no session of before is resumed")
