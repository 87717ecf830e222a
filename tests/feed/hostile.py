"""Hostile producers, one after the other, beside an honest one: each hurts only itself."""
import re

from ringlab import Books, RingLab, hl

THROWN_OUT = {  # mode: what the engine says of it
    "jump-submit": "submission index jumped",
    "jump-complete": "completion index jumped",
    "slot-outside": "slot 1048575, which is not its own",
    "record-outside": "outside of its stream",
    "record-wraps": "outside of its stream",
    "many-recipients": "4294967295 recipients",
    "no-recipients": "0 recipients",
    "out-of-turn": "spoke on its socket out of turn",
}
REFUSED = {
    "extent-outside": "the body lies outside of the arena",
    "extent-wraps": "the body lies outside of the arena",
    "bare-address": "a recipient's address has a CR or LF in it",
}


def thrown_out(lab, mode, text):
    log = lab.rogue(mode)
    hl.ok(f"did {mode}" in log and re.search(f"gone: .*{text}", log), f"{mode}: is thrown out and told why", log,
          lab.engine.log())
    hl.wait_until(lambda: re.search(f"detached: .*{text}|note 4 .*{text}", lab.engine.log()), 5, "the engine's log says so")


def refused(lab, mode, text):
    log = lab.rogue(mode, 1)
    hl.ok(f"result failed bad-job: {text}" in log and "still attached" in log,
          f"{mode}: one failed result, and the feed stays", log)


def attached_feeds(lab):
    log = lab.engine.log()
    return len(re.findall("^attached", log, re.M)) - len(re.findall("^detached", log, re.M))


class Lab(RingLab):
    def rogue(self, mode, seconds=2):
        process = self.start("rogue", mode, seconds, name=mode)
        process.wait(seconds + 10)
        return process.log()


def main():
    lab = Lab("--slots", "64", "--completions", "64", "--delay-us", "500", "--arena", str(2 << 20))
    lab.start_engine()
    honest = lab.tally(200000, "--bytes", 500, name="honest")
    for mode, text in THROWN_OUT.items():
        thrown_out(lab, mode, text)
    for mode, text in REFUSED.items():
        refused(lab, mode, text)

    log = lab.rogue("change-after-submission", 4)
    hl.ok("did change-after-submission" in log, "change-after-submission: runs to its end", log)
    strange = [a for a, _ in lab.delivered() if not re.fullmatch(r"[!-~]+@[a-z0-9.-]+", a)]
    hl.ok(not strange, "change-after-submission: no address that was not checked", *strange[:5])

    log = lab.rogue("scribble", 2)
    hl.ok("gone: " in log, "scribble: is thrown out", log)
    log = lab.rogue("never-reap", 2)
    accepted = int(re.search(r"accepted (\d+)", log)[1])
    hl.ok(accepted == 64, "never-reap: as many jobs as it has slots, then no more", log)
    log = lab.rogue("ring-without-end", 1)
    hl.ok("still attached" in log, "ring-without-end: harms nobody", log)
    log = lab.rogue("punch-holes")
    hl.ok("punch Operation not permitted" in log and "truncate Operation not permitted" in log,
          "punch-holes: the seals refuse", log)
    log = lab.rogue("wrong-version")
    hl.ok("the producer speaks version 99.0 of the feed, this engine 2.0" in log, "wrong-version: both are named", log)
    log = lab.rogue("hang-up-in-hand-over")
    hl.wait_until(lambda: attached_feeds(lab) <= 1, 10, "all but the honest feed are closed")

    told = len(Books(lab, honest).told)
    more = honest.running() and hl.wait_until(lambda: len(Books(lab, honest).told) > told or not honest.running(), 10,
                                              "the honest producer goes on")
    hl.ok(more or honest.wait(1) == 0, "the honest producer goes on to the end")
    honest.kill()
    books = Books(lab, honest)
    faults = list(books.faults())
    hl.ok(not faults and all(v == "delivered" for _, _, v in books.told) and told > 1000,
          "and all that it was told is true", *faults[:10])
    hl.ok(lab.engine.running(), "the engine lives", lab.engine.log())
    hl.equal(lab.stop_engine(), 0, "and drains")
    hl.done()


main()
