"""Producers that die by SIGKILL in mid-submit, again and again: the others go on, and nothing of the dead stays."""
import os
import re
import signal

from ringlab import Books, RingLab, hl

KILLS = 60


def main():
    lab = RingLab("--slots", "128", "--completions", "128", "--delay-us", "800", "--arena", str(8 << 20), "--feeds", "3")
    lab.start_engine()
    honest = lab.tally(1000000, "--bytes", 500, name="honest")
    told = 0
    stalls = 0
    for round_ in range(KILLS):
        victim = lab.tally(100000, "--bytes", 60000, "--local", f"v{round_}x", name="victim")
        lab.sleep(0, 0.03)
        victim.kill(signal.SIGKILL)
        victim.wait(5)
        now = os.path.getsize(honest.log_path)
        stalls += now == told
        told = now
    hl.note(f"{KILLS} producers killed while the honest one had {told} bytes of results")
    hl.ok(stalls < KILLS // 4, "the honest producer's results keep coming", f"{stalls} rounds without any")

    def closed():
        log = lab.engine.log()
        return len(re.findall("^detached", log, re.M)) == KILLS
    hl.ok(hl.wait_until(closed, 10, "the feeds of the dead are closed"), "every feed of the dead is closed")

    def regions():
        with open(f"/proc/{lab.engine.pid}/maps") as f:
            return sum("hardline-feed" in line for line in f)
    hl.ok(hl.wait_until(lambda: regions() == 1, 10, "the last of the dead's regions goes"),
          "one region is left: the honest one")  # "detached" is said before it is unmapped
    hl.ok(len(os.listdir(f"/proc/{lab.engine.pid}/fd")) < 20, "and no descriptors", os.listdir(f"/proc/{lab.engine.pid}/fd"))
    hl.ok("detached: " not in lab.engine.log(), "dying is no breach of the protocol", lab.engine.log())
    honest.kill()
    honest.wait(5)
    faults = list(Books(lab, honest).faults())
    hl.ok(not faults, "what the honest producer was told is true", *faults[:10])
    hl.equal(lab.stop_engine(), 0, "the engine drains")
    hl.done()


main()
