"""`hardline capture` and `hardline status --connections` of a real engine with two cores: that flow and no other, bounds, ends."""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from corpus import Corpus
import hl
import pcap
from engine import Engine

MESSAGES = 24


class Capture:
    """A started `hardline capture`, in progress when the constructor returns."""

    number = 0

    def __init__(self, lab, engine, peer, *options, file=None):
        Capture.number += 1
        self.file = file or lab.path(f"capture{Capture.number}.pcap")
        self.process = lab.start([engine.program("hardline"), "capture", "--socket", engine.admin_socket, "--peer", peer,
                                  "--file", self.file, *options], name=f"capture{Capture.number}", ready=r"capturing \S+\n")

    def interrupt(self):
        time.sleep(0.3)  # for the frames of the last moment
        self.process.kill(signal.SIGINT)
        return self.process.wait(10)

    def flows(self):
        return {flow for _, flow, *_ in pcap.segments(self.file)}


def run(engine, *args):
    return subprocess.run([engine.program("hardline"), *args, "--socket", engine.admin_socket], capture_output=True, text=True,
                          timeout=60)


def refused(engine, name, status, words, *args):
    done = run(engine, "capture", *args)
    hl.ok(done.returncode == status and all(word in done.stderr for word in words), f"refused: {name}", done.returncode, done.stderr)


def deliver(engine, corpus):
    results = engine.submit([{"to": m.recipients, "path": m.path} for m in corpus.messages])
    return [r["verdict"] for r in results]


def flow_and_no_other(lab, net, engine, corpus):
    sniffer = hl.Sniffer(lab, net.receiver, net.receiver_if)
    capture = Capture(lab, engine, f"{net.ip4(1)}:25")
    hl.equal(deliver(engine, corpus), ["delivered"] * MESSAGES, "mail goes out while a capture runs")
    hl.equal(capture.interrupt(), 0, "an interrupt ends it")
    wire = sniffer.stop()
    frames = list(pcap.frames(capture.file))
    flows = capture.flows()
    hl.ok(len(frames) > 20 and len(flows) >= 2, "it has frames of both directions", len(frames), flows)
    hl.ok(all((net.ip4(1), 25) in ((f[0], f[1]), (f[2], f[3])) for f in flows), "and none of another receiver", flows)
    hl.equal(len(frames), len(list(pcap.segments(capture.file))), "and nothing but TCP")
    hl.ok(len({f for f in pcap.streams(wire) if net.ip4(2) in f}) > 0, "although there was another")
    mine, there = pcap.streams(capture.file), pcap.streams(wire)
    hl.ok(mine and all(there.get(flow) == data for flow, data in mine.items()), "every byte of it is what was on the wire",
          [(f, len(d), len(there.get(f, b""))) for f, d in mine.items()])
    hl.equal(set(mine), {f for f in there if net.ip4(1) in f}, "and no flow of it is missing")
    hl.equal(len(frames), sum(net.ip4(1) in f for _, f, *_ in pcap.segments(wire)), "nor a frame")
    clear = [data for flow, data in mine.items() if flow[2] == net.ip4(1)]
    hl.ok(all(b"EHLO out.sender.test" in data and b"STARTTLS" in data for data in clear), "EHLO is in the clear")
    hl.ok(not any(b"MAIL FROM" in data or b"RCPT TO" in data for data in clear), "what follows TLS is not")
    times = [seconds for seconds, _ in frames]
    late = sum(a > b for a, b in zip(times, times[1:]))
    hl.ok(abs(times[0] - time.time()) < 120 and late * 20 <= len(times), "in order, by the wall clock", late, times[0], time.time())
    hl.equal(os.stat(capture.file).st_mode & 0o777, 0o600, "nobody else may read the file")
    said = run(engine, "ping").returncode, engine.log()
    hl.ok(said[0] == 0 and f"capture of {net.ip4(1)} port 25 begins" in said[1], "the log tells of it", said[1])


def ends(lab, net, engine, corpus):
    capture = Capture(lab, engine, net.ip4(1), "--count", "7")
    deliver(engine, corpus)
    hl.equal(capture.process.wait(20), 0, "--count ends it")
    hl.equal(len(list(pcap.frames(capture.file))), 7, "after so many frames")
    hl.ok("7 frames" in capture.process.log() and "ended by --count" in capture.process.log(), "and it says so", capture.process.log())

    nothing = Capture(lab, engine, net.ip4(77), "--seconds", "12")  # longer than a slow client is borne with
    hl.equal(nothing.process.wait(20), 0, "--seconds ends it")
    hl.equal(os.stat(nothing.file).st_size, 24, "a capture of nothing is an empty pcap file")
    hl.ok("0 frames" in nothing.process.log(), "and says so", nothing.process.log())

    piped = subprocess.Popen([engine.program("hardline"), "capture", "--socket", engine.admin_socket, "--peer", net.ip4(2), "--file",
                              "-", "--count", "12"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    tcpdump = subprocess.Popen(["tcpdump", "-nr", "-"], stdin=piped.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    while b"capturing" not in piped.stderr.readline():
        pass
    deliver(engine, corpus)
    lines = [line for line in tcpdump.communicate(timeout=30)[0].splitlines() if net.ip4(2) in line]
    hl.equal((piped.wait(10), len(lines)), (0, 12), "tcpdump reads it from a pipe")
    piped.stdout.close()
    piped.stderr.close()


def one_at_a_time(lab, net, engine):
    first = Capture(lab, engine, net.ip4(1))
    refused(engine, "a second one at the same time", 69, [f"a capture of {net.ip4(1)} runs already", "wait"], "--peer", net.ip4(2), "--file",
            lab.path("second.pcap"))
    hl.ok(not os.path.exists(lab.path("second.pcap")), "and it leaves no file")
    first.process.kill(signal.SIGKILL)
    first.process.wait(10)
    hl.wait_until(lambda: engine.log().count("capture of") == 2 * engine.log().count("begins: at most"), 10, "the engine ends what was killed")
    after = Capture(lab, engine, net.ip4(1), "--seconds", "1")
    hl.equal(after.process.wait(20), 0, "a client that is killed ends its capture: the next one runs")


def refusals(lab, net, engine):
    to = ["--file", lab.path("never.pcap")]
    refused(engine, "a file that cannot be made", 73, ["/nonexistent/x.pcap", "No such file", "choose a file"], "--peer", net.ip4(1), "--file",
            "/nonexistent/x.pcap")
    refused(engine, "a host name", 64, ['"mx1.example.test" is no', "192.0.2.1:25"], "--peer", "mx1.example.test", *to)
    refused(engine, "a port that is none", 64, [":70000"], "--peer", "192.0.2.1:70000", *to)
    refused(engine, "every address", 64, ["0.0.0.0"], "--peer", "0.0.0.0", *to)
    refused(engine, "no peer", 64, ["--peer"], *to)
    refused(engine, "no file", 64, ["--file"], "--peer", net.ip4(1))
    refused(engine, "no frames", 64, ["--count 0", "10000000"], "--peer", net.ip4(1), "--count", "0", *to)
    refused(engine, "too long", 64, ["--seconds 4000", "3600"], "--peer", net.ip4(1), "--seconds", "4000", *to)
    full = Capture(lab, engine, net.ip4(1), "--count", "1", file="/dev/full")
    hl.ok(full.process.wait(20) == 74 and "No space left" in full.process.log(), "a full disk is told", full.process.log())
    done = subprocess.run([engine.program("hardline"), "capture", "--peer", net.ip4(1), "--socket", "/nonexistent", *to], capture_output=True,
                          text=True)
    hl.ok(done.returncode == 69 and "hardlined does not run" in done.stderr, "no engine is told", done.stderr)


def connections(net, engine, corpus):
    deliver(engine, corpus)
    listed = json.loads(run(engine, "status", "--connections", "--json").stdout)
    now = {c["peer"] for c in listed["connections"]}
    hl.equal(now, {net.ip4(1), net.ip4(2)}, "idle connections to both receivers are listed")
    hl.equal(listed["matching"], sum(core["connections"] for core in engine.status()["cores"]), "all of them")
    c = listed["connections"][0]
    hl.ok(c["state"] == "ESTABLISHED" and c["phase"] == "open" and c["tls"] == "1.3" and c["messages"] >= 1 and c["in_hand"] == 0,
          "each with its state", c)
    hl.ok(0 < c["srtt_us"] < 60000000 and c["rto_us"] >= 200000 and c["cwnd_bytes"] >= 10 * c["mss"] > 10000 and c["flight_bytes"] == 0
          and c["bytes_acked"] > 500 and c["age_us"] > 0 and c["retransmits"] >= 0, "and with what TCP knows", c)
    hl.ok(c["local"] == net.engine_ip4 and c["peer_port"] == 25 and c["host"].endswith("example.test"), "and with its ends", c)
    one = json.loads(run(engine, "status", "--connections", "--peer", f"{net.ip4(2)}:25", "--json").stdout)
    hl.ok(one["matching"] >= 1 and {c["peer"] for c in one["connections"]} == {net.ip4(2)}, "--peer shows one receiver's", one)
    none = json.loads(run(engine, "status", "--connections", "--peer", f"{net.ip4(2)}:26", "--json").stdout)
    hl.equal((none["matching"], none["connections"]), (0, []), "of another port there is none")
    few = json.loads(run(engine, "status", "--connections", "--max", "1", "--json").stdout)
    hl.ok(len(few["connections"]) == 1 and few["matching"] == listed["matching"], "--max bounds what is shown, and the rest is counted", few)
    text = run(engine, "status", "--connections").stdout
    hl.ok(f"{net.ip4(1)}:25" in text and "ESTABLISHED" in text and f"of {listed['matching']} connections" in text, "a table for people", text)
    wrong = run(engine, "status", "--peer", net.ip4(1))
    hl.ok(wrong.returncode == 64 and "--connections" in wrong.stderr, "--peer alone is refused", wrong.stderr)


def the_engines_end(lab, net, engine):
    capture = Capture(lab, engine, net.ip4(1))
    engine.stop()
    status = capture.process.wait(20)
    frames = list(pcap.frames(capture.file))
    hl.ok(status in (0, 69) and ("the engine's end" in capture.process.log() or "ended the capture" in capture.process.log()),
          "the engine's end is told", status, capture.process.log())
    hl.ok(len(frames) > 0, "the last frames of its connections are in the file", len(frames))


def main():
    lab = hl.Lab()
    net = hl.Net(lab, hosts=2)
    ca = hl.Ca(lab)
    cert = ca.issue("mx1.example.test")
    mxs = hl.Attackers(lab, net, {f"mx{n}": {"host": n, "mode": "honest", "cert": cert} for n in (1, 2)})
    routes = {f"domain{n}.test": ("mx1.example.test", net.ip4(n)) for n in (1, 2)}
    engine = Engine(lab, net, ca, routes=routes, cores=2, settings={"limits": {"idle-connection-s": 60}})
    corpus = Corpus(lab.path("corpus"), MESSAGES, [f"user@domain{n}.test" for n in (1, 2)], seed=5)
    assert mxs
    flow_and_no_other(lab, net, engine, corpus)
    ends(lab, net, engine, corpus)
    one_at_a_time(lab, net, engine)
    refusals(lab, net, engine)
    connections(net, engine, corpus)
    the_engines_end(lab, net, engine)
    hl.done()


main()
