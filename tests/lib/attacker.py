"""Receiving MXs that cheat: every attack of strict TLS, each on an address of its own, and honest ones beside them.

    attackers = Attackers(lab, net, attacks(lab, "mx1.example.test", ca, first_host=10))
    ... deliver to attackers.address("no_starttls") ...
    ok(attackers.leaked("no_starttls") == [], "nothing left in the clear", attackers.story("no_starttls"))

A case is {"host": number, "mode": one of MODES, ...}; further keys: "cert" (ca.Cert), "tls" (lowest and highest
version, ["1.2", "1.3"]), "ciphers", "ehlo" (capabilities), "port" (25), "code" (reply to STARTTLS), "plan" (of key
updates, see libssl.py), "piece" (bytes of one send). Whatever the mode, the MX takes any command and any mail that it is given, in the
clear as under TLS: what a client should not have sent shows in the log. The log has every byte that was received, as it came ("clear", "wire") and decrypted ("tls").

As a program, within the receiver's namespace: attacker.py CASES.json LOG.
"""
import base64
import json
import os
import random
import re
import socket
import ssl
import struct
import sys
import threading
import time
import warnings

import libssl

CAPABILITIES = ["PIPELINING", "SIZE 50000000", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "CHUNKING"]
MAIL_COMMANDS = re.compile(rb"^(MAIL|RCPT|DATA|BDAT|AUTH|VRFY|EXPN)\b", re.I | re.M)
IDLE_TIMEOUT_S = 120


# ---- the program

class Gone(Exception):
    """The client closed or reset, or the connection is ours to drop."""


class Log:
    def __init__(self, path):
        self.file = open(path, "a", buffering=1)
        self.lock = threading.Lock()

    def write(self, **event):
        with self.lock:
            self.file.write(json.dumps({"time": round(time.time(), 6), **event}) + "\n")


class Session:
    """One connection: bytes in and out, in the clear at first, through TLS after secure()."""

    def __init__(self, sock, number, name, case, log):
        self.sock, self.number, self.name, self.case, self.log_file = sock, number, name, case, log
        self.tls = None
        self.kind = "clear"  # of what is received as it comes; "wire" from when TLS has its turn
        self.buffer = b""  # received and not yet consumed, as the application reads it
        self.piece = case.get("piece", 1 << 30)
        sock.settimeout(IDLE_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, "piece" in case)

    def log(self, event, data=None, **more):
        if data is not None:
            more["data"] = data.decode("latin-1")
        self.log_file.write(case=self.name, connection=self.number, event=event, **more)

    # bytes

    def receive_raw(self):
        try:
            data = self.sock.recv(65536)
        except OSError as fault:
            self.log("fault", text=str(fault))
            raise Gone from None
        if not data:
            self.log("end of stream")
            raise Gone
        self.log(self.kind, data)
        return data

    def receive(self):
        if self.tls is None:
            return self.receive_raw()
        while True:
            try:
                data = self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.incoming.write(self.receive_raw())
                continue
            except ssl.SSLError as fault:
                self.log("tls fault", text=str(fault))
                raise Gone from None
            if not data:
                self.log("close_notify")
                raise Gone
            self.log("tls", data)
            return data

    def send(self, data):
        if self.tls is not None:
            self.tls.write(data)
            data = self.outgoing.read()
        try:
            for at in range(0, len(data), self.piece):
                self.sock.sendall(data[at:at + self.piece])
        except OSError as fault:
            self.log("fault", text=str(fault))
            raise Gone from None

    def line(self):
        while b"\n" not in self.buffer:
            self.buffer += self.receive()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def take(self, count):
        while len(self.buffer) < count:
            self.buffer += self.receive()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def reset(self):
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.log("reset by us")
        raise Gone

    # TLS

    def usual_tls(self):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = tls_context(self.case).wrap_bio(self.incoming, self.outgoing, server_side=True)
        tls.talker = self
        return tls

    def key_changer(self):
        tls = libssl.KeyChanger(self.case["chain"], self.case["key"], self.case["plan"],
                                lambda ours, asks: self.log("key update", ours=ours, asks=asks))
        self.incoming, self.outgoing = tls.incoming, tls.outgoing
        return tls

    def secure(self):
        """The server's side of the handshake. What the client sent beyond STARTTLS counts as its first bytes."""
        tls = self.key_changer() if "plan" in self.case else self.usual_tls()
        if self.buffer:
            self.log("pipelined after STARTTLS", self.buffer)
        self.incoming.write(self.buffer)
        self.buffer = b""
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                self.incoming.write(self.receive_raw())
            except ssl.SSLError as fault:
                self.log("handshake failed", text=str(fault))
                self.sock.sendall(self.outgoing.read())
                raise Gone from None
        self.sock.sendall(self.outgoing.read())
        self.tls = tls
        self.log("handshake done", version=tls.version(), cipher=tls.cipher()[0], resumed=bool(tls.session_reused))


CONTEXTS = {}  # of each case, kept: the tickets of one connection are good for the next


def tls_context(case):
    if id(case) not in CONTEXTS:
        CONTEXTS[id(case)] = make_context(case)
    return CONTEXTS[id(case)]


def make_context(case):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(case.get("ciphers", "DEFAULT"))  # also sets what keys are too weak to load
    context.load_cert_chain(case["chain"], case["key"])
    versions = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1,
                "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    low, high = case.get("tls", ["1.2", "1.3"])
    context.minimum_version, context.maximum_version = versions[low], versions[high]
    context.sni_callback = lambda tls, name, _: tls.talker.log("sni", text=name or "")
    return context


def dialogue(session, secured):
    """An MX that takes everything. Returns when the client asks for STARTTLS; ends with the connection otherwise."""
    mail = {"recipients": [], "body": b""}
    while True:
        line = session.line()
        verb = line.split(b" ")[0].upper()
        if verb in (b"EHLO", b"HELO", b"LHLO"):
            capabilities = list(session.case.get("ehlo", CAPABILITIES))
            if not secured and session.case["mode"] != "no_starttls":
                capabilities.append("STARTTLS")
            lines = [f"{session.case['greeting']}", *capabilities]
            session.send("".join(f"250{'-' if i < len(lines) - 1 else ' '}{l}\r\n"
                                 for i, l in enumerate(lines)).encode())
        elif verb == b"STARTTLS":
            return
        elif verb == b"MAIL":
            mail = {"sender": line.decode("latin-1"), "recipients": [], "body": b""}
            session.send(b"250 2.1.0 ok\r\n")
        elif verb == b"RCPT":
            mail["recipients"].append(line.decode("latin-1"))
            session.send(b"250 2.1.5 ok\r\n")
        elif verb == b"DATA":
            session.send(b"354 go on\r\n")
            mail["body"] = read_data(session)
            finish_mail(session, mail)
        elif verb == b"BDAT":
            words = line.upper().split()
            mail["body"] += session.take(int(words[1]))
            if words[-1] == b"LAST":
                if mail["body"] and not mail["body"].endswith(b"\r\n"):
                    mail["body"] += b"\r\n"  # a chunk may end anywhere (RFC 3030); who stores lines ends the last one, as DATA does
                finish_mail(session, mail)
            else:
                session.send(b"250 2.0.0 ok\r\n")
        elif verb == b"QUIT":
            session.send(b"221 2.0.0 bye\r\n")
            raise Gone
        else:
            session.send(b"250 2.0.0 ok\r\n")


def read_data(session):
    lines = []
    while (line := session.line()) != b".":
        lines.append(line[1:] if line.startswith(b".") else line)
    return b"".join(line + b"\r\n" for line in lines)


def finish_mail(session, mail):
    session.log("message", secured=session.tls is not None, sender=mail.get("sender"), recipients=mail["recipients"],
                body=base64.b64encode(mail["body"]).decode())
    mail["body"] = b""
    session.send(b"250 2.0.0 queued\r\n")


def honest(session):
    session.send(b"220 2.0.0 go\r\n")
    session.secure()
    dialogue(session, secured=True)


def no_starttls(session):
    session.kind = "clear"
    session.send(b"502 5.5.1 not known here\r\n")
    dialogue(session, secured=False)


def starttls_rejected(session):
    session.kind = "clear"
    session.send(f"{session.case.get('code', 454)} 4.7.0 not now\r\n".encode())
    dialogue(session, secured=False)


def injected_plaintext(session):
    session.send(b"220 go\r\n250-injected.example\r\n250 AUTH PLAIN\r\n")
    session.secure()
    dialogue(session, secured=True)


def clear_after_220(session):
    session.send(b"220 2.0.0 go\r\n")
    session.receive()
    session.send(b"500 5.5.2 what?\r\n")
    dialogue(session, secured=False)


def reset_in_handshake(session):
    session.send(b"220 2.0.0 go\r\n")
    session.receive_raw()
    session.reset()


def close_in_handshake(session):
    session.send(b"220 2.0.0 go\r\n")
    session.receive_raw()
    raise Gone


def hang_in_handshake(session):
    session.send(b"220 2.0.0 go\r\n")
    while True:
        session.receive_raw()


def garbage_in_handshake(session):
    session.send(b"220 2.0.0 go\r\n")
    session.receive_raw()
    session.send(random.Random(1).randbytes(500))
    while True:
        session.receive_raw()


# What becomes of a client that asks for STARTTLS. A mode that returns says goodbye.
MODES = {f.__name__: f for f in (honest, no_starttls, starttls_rejected, injected_plaintext, clear_after_220,
                                 reset_in_handshake, close_in_handshake, hang_in_handshake, garbage_in_handshake)}


def serve(session):
    session.log("connected")
    try:
        session.send(f"220 {session.case['greeting']} ESMTP\r\n".encode())
        dialogue(session, secured=False)
        session.kind = "wire"
        MODES[session.case["mode"]](session)
    except Gone:
        pass
    except OSError as fault:
        session.log("fault", text=str(fault))
    finally:
        session.log("closed")
        session.sock.close()


def accept_all(listener, name, case, log):
    number = 0
    while True:
        sock, _ = listener.accept()
        number += 1
        threading.Thread(target=serve, args=(Session(sock, number, name, case, log),), daemon=True).start()


def program(cases_path, log_path):
    warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.1 is what some cases are about
    log = Log(log_path)
    with open(cases_path) as f:
        cases = json.load(f)
    for name, case in cases.items():
        for address in case["addresses"]:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.create_server((address, case["port"]), family=family, backlog=512)
            threading.Thread(target=accept_all, args=(listener, name, case, log), daemon=True).start()
    print("attackers listen", flush=True)
    threading.Event().wait()


# ---- the test's side

def attacks(lab, name, ca, first_host=10):
    """The menu: every attack, and honest MXs of several kinds, as cases for Attackers, on consecutive hosts.

    name   what the client is told that the MX is called
    ca     the one that the client trusts
    """
    from ca import Ca, self_signed
    good = ca.issue(name)
    weak = "ALL:@SECLEVEL=0"
    menu = {
        "good": {"cert": good},
        "good_p256": {"cert": ca.issue(name, key="p256")},
        "good_tls12": {"cert": good, "tls": ["1.2", "1.2"]},
        "good_tls13": {"cert": good, "tls": ["1.3", "1.3"]},
        "good_no_extensions": {"cert": good, "ehlo": []},
        "no_starttls": {"mode": "no_starttls"},
        "starttls_rejected_454": {"mode": "starttls_rejected", "code": 454},
        "starttls_rejected_502": {"mode": "starttls_rejected", "code": 502},
        "injected_plaintext": {"mode": "injected_plaintext"},
        "clear_after_220": {"mode": "clear_after_220"},
        "reset_in_handshake": {"mode": "reset_in_handshake"},
        "close_in_handshake": {"mode": "close_in_handshake"},
        "hang_in_handshake": {"mode": "hang_in_handshake"},
        "garbage_in_handshake": {"mode": "garbage_in_handshake"},
        "expired": {"cert": ca.issue(name, days=(-30, -1))},
        "not_yet_valid": {"cert": ca.issue(name, days=(1, 30))},
        "wrong_name": {"cert": ca.issue("other.example.test")},
        "unknown_ca": {"cert": Ca(lab, "unknown-ca").issue(name)},
        "self_signed": {"cert": self_signed(lab, name)},
        "rsa1024": {"cert": ca.issue(name, key="rsa1024"), "ciphers": weak},
        "client_purpose": {"cert": ca.issue(name, extensions="basicConstraints=critical,CA:FALSE\n"
                                                             "extendedKeyUsage=clientAuth\n")},
        "tls10": {"tls": ["1.0", "1.0"], "ciphers": weak},
        "tls11": {"tls": ["1.1", "1.1"], "ciphers": weak},
        "tls12_static_rsa": {"tls": ["1.2", "1.2"], "ciphers": "AES128-GCM-SHA256"},
        "tls12_cbc": {"tls": ["1.2", "1.2"], "ciphers": "ECDHE-RSA-AES128-SHA256"},
    }
    return {case: {"host": first_host + i, "mode": "honest", "cert": good, **more}
            for i, (case, more) in enumerate(menu.items())}


class Attackers:
    """The program above, running and listening when the constructor returns."""

    def __init__(self, lab, net, cases, name="mx1.example.test"):
        self.net, self.cases = net, cases
        self.log_path = lab.path("attackers.jsonl")
        served = {}
        for case_name, case in cases.items():
            net.add_host(case["host"])
            cert = case["cert"]
            served[case_name] = {**case, "cert": None, "key": cert.key, "chain": cert.chain, "greeting": name,
                                 "port": case.get("port", 25), "addresses": self.addresses(case_name)}
        open(self.log_path, "w").close()
        script = os.path.realpath(__file__)
        self.process = lab.start([sys.executable, script, lab.write("attackers.json", json.dumps(served)), self.log_path],
                                 name="attackers", ns=net.receiver, ready="attackers listen")

    def addresses(self, case):
        host = self.cases[case]["host"]
        return [self.net.ip4(host), self.net.ip6(host)]

    def address(self, case):
        return self.addresses(case)[0]

    def events(self, case, kind=None):
        """What happened, in order: [{"event": ..., "data": bytes, ...}]; only those of one kind when it is given."""
        found = []
        with open(self.log_path) as f:
            for line in f:
                event = json.loads(line) if line.endswith("\n") else {"case": None}
                if event["case"] == case and kind in (None, event["event"]):
                    if "data" in event:
                        event["data"] = event["data"].encode("latin-1")
                    found.append(event)
        return found

    def connections(self, case):
        return len(self.events(case, "connected"))

    def received(self, case, kind):
        """All bytes of one kind: "clear" (before TLS), "wire" (TLS as it came), "tls" (decrypted)."""
        return b"".join(e["data"] for e in self.events(case, kind))

    def messages(self, case):
        """The mail that the MX was given, [{"secured": bool, "sender", "recipients", "body": bytes}]."""
        return [{**e, "body": base64.b64decode(e["body"])} for e in self.events(case, "message")]

    def leaked(self, case, *secrets):
        """What left in the clear and never should: mail commands, anything but EHLO, STARTTLS and QUIT, secrets."""
        clear = self.received(case, "clear")
        found = [secret for secret in secrets if secret in clear + self.received(case, "wire")]
        if self.cases[case]["mode"] == "clear_after_220":
            found += MAIL_COMMANDS.findall(self.received(case, "wire"))
        harmless = re.compile(rb"(EHLO \S+|STARTTLS|QUIT)$", re.I)
        found += [line for line in clear.split(b"\r\n") if line and not harmless.match(line)]
        return found

    def refused(self, case):
        """Whether the MX was given nothing that is mail, neither in the clear nor under TLS."""
        return not self.leaked(case) and not MAIL_COMMANDS.search(self.received(case, "tls"))

    def story(self, case):
        """The events as text, for the report of a failure."""
        return "\n".join(f"{e['connection']} {e['event']} " +
                         " ".join(f"{k}={v!r:.200}" for k, v in e.items()
                                  if k not in ("time", "case", "connection", "event"))
                         for e in self.events(case)) or "nobody connected"


if __name__ == "__main__":
    program(*sys.argv[1:])
