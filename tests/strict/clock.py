"""An engine that remembers and one that knows nothing, at the same moment of a clock that jumps: both judge the same.

What is remembered is good for a week here, longer than some certificates are.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from engine import Engine
from passes import MEMORIES, how, judgement, memory
from scene import MX, Scene, hl

DAY_S, WEEK_S = 86400, 604800
MOMENTS = {"two days on": 2 * DAY_S, "a month on": 31 * DAY_S, "two days ago": -2 * DAY_S, "ten days ago": -10 * DAY_S}
CASES = ("good", "good_p256", "good_tls12", "expired", "not_yet_valid", "wrong_name", "unknown_ca", "self_signed", "ends_soon",
         "began_late")


def more(scene):
    return {"ends_soon": {"cert": scene.ca.issue(MX, days=(-1, 1))},  # the day after tomorrow it is over
            "began_late": {"cert": scene.ca.issue(MX, days=(-0.1, 30))}}


def crypto():
    return {**MEMORIES[memory()], **{key: WEEK_S for key in MEMORIES[memory()] if key.endswith("-s")}}


def ask(scene, engine):
    jobs = [scene.job(case.replace("_", "-") + ".attack.test") for case in CASES]
    return dict(zip(CASES, engine.submit(jobs)))


def nobody_knows_yet(scene, number, ahead_s):
    """What an engine says that starts at that moment. The first one has to leave the network meanwhile."""
    config = {key: value for key, value in scene.engine.config.items() if key not in ("feed", "run")}
    engine = Engine(scene.lab, scene.net, scene.ca, name=f"cold{number}", settings=config, start=False, wall=True)
    engine.set_clock(ahead_s)
    engine.start()
    try:
        return ask(scene, engine)
    finally:
        engine.stop()


def main():
    way = "resumed" if memory() == "tickets" else "remembered"
    scene = Scene(more=more, wall=True, settings={"limits": {"messages-per-connection": 1}, "crypto": crypto()})
    now = ask(scene, scene.engine)
    found, ways = {}, {}
    for name, ahead_s in MOMENTS.items():
        scene.engine.set_clock(0)
        warm = [ask(scene, scene.engine) for _ in range(2)][-1]
        hl.equal({case: judgement(r) for case, r in warm.items()}, {case: judgement(r) for case, r in now.items()},
                 f"before {name}: every verdict is the first one")
        hl.equal(how(warm["good"]), way, f"before {name}: what is delivered is {way}")
        scene.engine.set_clock(ahead_s)
        results = ask(scene, scene.engine)
        found[name], ways[name] = ({case: judge(r) for case, r in results.items()} for judge in (judgement, how))
    hl.equal(ways["two days on"]["good"], "remembered", "two days on: the chain that is good for a week; its server's tickets are not")
    at_others = {how_ for name in MOMENTS if name != "two days on" for how_ in ways[name].values()}
    hl.equal(at_others & {"resumed", "remembered"}, set(), "at other moments nothing is remembered")
    scene.engine.stop()
    for number, (name, ahead_s) in enumerate(MOMENTS.items()):
        fresh = {case: judgement(r) for case, r in nobody_knows_yet(scene, number, ahead_s).items()}
        for case in CASES:
            hl.equal(found[name][case], fresh[case], f"{name}: {case}: {fresh[case]['reason']}, as by one that knows nothing")
    for name, case, reason in (("two days on", "ends_soon", "certificate-expired"), ("two days on", "not_yet_valid", "none"),
                               ("a month on", "good", "certificate-expired"), ("two days ago", "began_late", "certificate-expired")):
        hl.equal(found[name][case]["reason"], reason, f"{name}: {case}: {reason}")
    hl.done()


main()
