"""Never in the clear: all traffic of every refusal and of every delivery holds no byte of an envelope or a body.

The same search must find everything in a capture of the same message sent in the clear, or it would prove nothing.
"""
import os
import re
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from engine import SENDER
from pcap import Sniffer, frames, streams
from scene import BODY, SUBJECT, Scene, domain, hl

VERBS = re.compile(rb"(?:^|\n)((?:MAIL FROM|RCPT TO|DATA\r|BDAT |AUTH )[^\n]*)", re.I)
OPENING = re.compile(rb"EHLO [!-~]+\r\n(?:STARTTLS\r\n|QUIT\r\n)?")
CHUNK = 8  # bytes of a text in a row that may not occur
LONG = b"".join(b"line %d of a text that nobody else may read, %x\r\n" % (n, n * 7919) for n in range(400))
TLS_TYPES, TLS_MAX = (20, 21, 22, 23), (1 << 14) + 256


def needles(cases):
    """What may not occur: {what it is: bytes}."""
    found = {"the sender": SENDER.encode(), "the recipient": b"victim@"}
    found |= {f"the recipient's domain {domain(case)}": domain(case).encode() for case in cases}
    for name, text in (("subject", SUBJECT), ("body", BODY), ("long body", LONG[:4096]), ("long body's end", LONG[-64:])):
        found |= {f"{name} at {i}": text[i:i + CHUNK] for i in range(0, len(text) - CHUNK + 1)}
    return found


def occurring(capture, wanted):
    """Which of them occur in a frame or in a stream, and every mail command in a stream."""
    texts = [frame for _, frame in frames(capture)] + list(streams(capture).values())
    whole = b"\0\0\0\0".join(texts)
    found = [f"{name}: {text!r}" for name, text in wanted.items() if text in whole]
    return found, sorted({verb for text in streams(capture).values() for verb in VERBS.findall(text)})


def after_tls_records(data):
    """What is left of a stream behind its last whole or cut TLS record."""
    while len(data) >= 5 and data[0] in TLS_TYPES and data[1] == 3 and int.from_bytes(data[3:5], "big") <= TLS_MAX:
        data = data[5 + int.from_bytes(data[3:5], "big"):]
    return data if len(data) >= 5 else b""


def strays(data):
    """What of a client's stream is neither EHLO, STARTTLS or QUIT in the clear nor TLS."""
    opening = OPENING.match(data)
    rest = data[opening.end():] if opening else data
    return b"" if rest in (b"", b"QUIT\r\n") else after_tls_records(rest)


def ours(net, capture):
    return {flow: data for flow, data in streams(capture).items() if flow[0] == net.engine_ip4}


def the_engine(scene):
    long_path = scene.lab.write("long.eml", b"Subject: " + SUBJECT + b"\r\n\r\n" + LONG)
    sniffer = Sniffer(scene.lab, scene.net.receiver, scene.net.receiver_if, "engine.pcap")
    results = scene.deliver({case: {"path": long_path} for case in scene.mxs.cases})
    scene.deliver({case: {} for case in scene.mxs.cases})
    said = {verdict: sum(r["verdict"] == verdict for r in results.values()) for verdict in ("delivered", "deferred")}
    hl.equal(said, {"delivered": 5, "deferred": 20}, "five MXs got the message, twenty were refused")
    capture = sniffer.stop()
    flows = ours(scene.net, capture)
    hl.ok(len({flow[2] for flow in flows}) == len(scene.mxs.cases), "the capture has a connection to every MX", flows.keys())
    hl.ok(sum(map(len, flows.values())) > 5 * len(LONG), "the capture has the five deliveries")
    texts, verbs = occurring(capture, needles(scene.mxs.cases))
    hl.equal(texts, [], "no piece of envelope or body occurs in any frame or stream")
    hl.equal(verbs, [], "no mail command occurs in any stream")
    hl.equal({flow: strays(data)[:80] for flow, data in flows.items() if strays(data)}, {},
             "in the clear we say EHLO, STARTTLS and QUIT, and from then on TLS records only")


def in_the_clear(scene):
    """The control: smtplib sends the same to an MX that offers no STARTTLS."""
    case = "no_starttls"
    sniffer = Sniffer(scene.lab, scene.net.receiver, scene.net.receiver_if, "control.pcap")
    with scene.net.kernel_sender():
        for text in (BODY, LONG):
            with smtplib.SMTP(scene.mxs.address(case), timeout=10) as client:
                client.sendmail(SENDER, [f"victim@{domain(case)}"], b"Subject: " + SUBJECT + b"\r\n\r\n" + text)
    capture = sniffer.stop()
    wanted = needles([case])
    texts, verbs = occurring(capture, wanted)
    missed = [name for name, text in wanted.items() if not any(t.startswith(name + ":") for t in texts)]
    stuffed = [name for name in missed if not name.startswith("body at")]  # the dot that is doubled in the clear
    hl.ok(len(texts) > 1000 and not stuffed, "control: the search finds every piece where it is sent in the clear", stuffed)
    hl.equal({re.match(rb"\w+", verb)[0] for verb in verbs}, {b"mail", b"rcpt", b"data"},
             "control: it finds the mail commands")
    flows = [data for flow, data in streams(capture).items() if flow[3] == 25]
    hl.ok(flows and all(strays(data) for data in flows), "control: it finds what is not TLS")


def main():
    scene = Scene(settings={"smtp": {"timeout-percent": 5}})
    the_engine(scene)
    in_the_clear(scene)
    hl.done()


main()
