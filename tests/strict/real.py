"""Real Postfixes with settings of their own: kinds of certificates, versions, what is said of single recipients."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from ca import Ca
from engine import Engine
from passes import Passes, memory

MX = "mx1.example.test"
USERS = ["alice", "bob"]
TEXT = b"Subject: real\r\n\r\n.one\r\n..two\r\n.\r\nthree \xe2\x82\xac\r\n"


def only_12(suite):
    """Settings of a Postfix that speaks TLS 1.2 with this suite alone."""
    return {"smtpd_tls_mandatory_protocols": ">=TLSv1.2, <=TLSv1.2", "smtpd_tls_protocols": ">=TLSv1.2, <=TLSv1.2",
            "tls_high_cipherlist": suite, "tls_medium_cipherlist": suite}


HOSTS = {  # name of the host: kind of key, settings of its Postfix, what TLS must say
    "rsa": ("rsa", {}, {"version": "TLSv1.3"}),
    "p256": ("p256", {}, {"version": "TLSv1.3", "signature": "ecdsa_secp256r1_sha256"}),
    "p384": ("p384", {"smtpd_tls_mandatory_protocols": ">=TLSv1.2, <=TLSv1.2"},
             {"version": "TLSv1.2", "cipher": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}),
    "ed25519": ("ed25519", {}, {"version": "TLSv1.3", "signature": "ed25519"}),
    "bare": ("rsa", {"smtpd_discard_ehlo_keywords": "pipelining, size, 8bitmime, enhancedstatuscodes, chunking, dsn"}, {}),
    "data": ("rsa", {"smtpd_discard_ehlo_keywords": "chunking", **only_12("ECDHE-RSA-CHACHA20-POLY1305")},
             {"version": "TLSv1.2", "cipher": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"}),
    "small": ("rsa", {"message_size_limit": "20000", **only_12("ECDHE-RSA-AES256-GCM-SHA384")},
              {"version": "TLSv1.2", "cipher": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"}),
    "old": ("rsa", {"smtpd_tls_mandatory_protocols": ">=TLSv1.1, <=TLSv1.1", "tls_high_cipherlist": "ALL:@SECLEVEL=0",
                    "tls_medium_cipherlist": "ALL:@SECLEVEL=0"}, {}),
}


class Play:
    def __init__(self, remember):
        self.lab = hl.Lab()
        self.net = hl.Net(self.lab)
        rsa, ec = Ca(self.lab), Ca(self.lab, "ec", key="p256")
        anchors = self.lab.write("anchors.pem", b"".join(open(ca.root, "rb").read() for ca in (rsa, ec)))
        self.mx, routes = {}, {}
        for number, (name, (key, settings, _)) in enumerate(HOSTS.items(), 1):
            users = [f"{user}@{name}.test" for user in USERS]
            issuer = ec if key.startswith("p") else rsa
            self.mx[name] = hl.Postfix(self.lab, self.net, number, issuer.issue(MX, key=key), users, settings=settings)
            routes[f"{name}.test"] = (MX, self.net.ip4(number))
        self.engine = Engine(self.lab, self.net, rsa, routes=routes,
                             settings={**remember, "crypto": {**remember["crypto"], "ca-file": anchors}}, wall=True)
        self.text = self.lab.write("text.eml", TEXT)

    def seen(self, host):
        return len(self.mx[host].mail(f"alice@{host}.test"))


def delivered(play):
    good = [name for name in HOSTS if name != "old"]
    seen = {name: play.seen(name) for name in good}
    results = play.engine.submit([{"path": play.text, "to": [f"alice@{name}.test"]} for name in good])
    for name, result in zip(good, results):
        wanted, tls = HOSTS[name][2], result["tls"] or {}
        if name == "bare":
            hl.ok(result["verdict"] == "failed" and result["reason"] == "unsupported",
                  "without 8BITMIME: an 8-bit message is not mutilated but fails", result)
            continue
        mail = play.mx[name].wait_for_mail(f"alice@{name}.test", seen[name] + 1)[seen[name]:]
        hl.ok(result["verdict"] == "delivered" and tls["pkix"] and all(tls[k] == v for k, v in wanted.items()),
              f"{name}: delivered, and the evidence says how", result, play.mx[name].log()[-2000:])
        hl.ok(len(mail) == 1 and mail[0].endswith(TEXT.replace(b"\r\n", b"\n")), f"{name}: the text is as it was", mail)
    plain = play.lab.write("plain.eml", TEXT.replace(b"\xe2\x82\xac", b"EUR"))
    result = play.engine.submit([{"path": plain, "to": ["bob@bare.test"]}])[0]
    hl.ok(result["verdict"] == "delivered", "an MX without any extension takes 7-bit mail", result)


def refused(play):
    result = play.engine.submit([{"path": play.text, "to": ["alice@old.test"]}])[0]
    hl.ok(result["verdict"] == "deferred" and result["reason"] == "tls-version", "a Postfix that has TLS 1.1 only", result)
    large = play.lab.write("large.eml", b"Subject: l\r\n\r\n" + b"x" * 70 + (b"\r\n" + b"y" * 70) * 400 + b"\r\n")
    results = play.engine.submit([{"path": large, "to": ["alice@small.test"]}, {"path": play.text, "to": ["bob@small.test"]}])
    hl.ok(results[0]["verdict"] == "failed" and results[0]["reason"] == "too-large" and results[1]["verdict"] == "delivered",
          "a message over the MX's SIZE fails, the next one is delivered", results)


def single_recipients(play):
    seen = play.seen("rsa")
    result = play.engine.submit([{"path": play.text, "to": ["alice@rsa.test", "nobody@rsa.test", "bob@rsa.test"]}])
    hl.equal([r["verdict"] for r in result], ["delivered", "failed", "delivered"], "an unknown recipient fails alone")
    hl.ok(result[1]["code"] == 550 and result[1]["stage"] == "rcpt" and result[1]["enhanced"] == "5.1.1" and
          result[1]["reason"] == "reply" and "nobody" in result[1]["text"], "and is told what the MX said", result[1])
    result = play.engine.submit([{"path": play.text, "to": ["nobody@rsa.test"]}])
    hl.ok(result[0]["verdict"] == "failed" and result[0]["code"] == 550, "with no recipient left nothing is sent", result)
    result = play.engine.submit([{"path": play.text, "to": ["alice@rsa.test", "alice@old.test", "alice@p256.test"]}])
    hl.equal([(r["verdict"], r["reason"]) for r in result],
             [("delivered", "none"), ("deferred", "tls-version"), ("delivered", "none")],
             "a message to three domains: only who cannot be reached securely is stopped")
    result = play.engine.submit([{"path": play.text, "to": ["alice@nowhere.test"], "from": ""}])
    hl.ok(result[0]["reason"] == "no-route", "a domain without a route", result)
    result = play.engine.submit([{"path": play.text, "to": ["alice@rsa.test"], "from": ""}])
    hl.ok(result[0]["verdict"] == "delivered", "the null sender", result)
    alice = play.mx["rsa"].wait_for_mail("alice@rsa.test", seen + 3)[seen:]
    hl.ok(len(alice) == 3 and alice[-1].startswith(b"Return-Path: <>"), "which the MX sees as such", alice[-1:])


def counters(play, *names):
    time.sleep(1.5)  # a core publishes its counters now and then
    return [play.engine.counter(name) for name in names]


def several_on_their_way(play, host, chunked):
    """Refused ones among them: nothing of one message may come under another's sender."""
    seen = play.seen(host)
    before = counters(play, "smtp_messages_bdat", "smtp_messages_ahead", "smtp_flights")
    jobs = []
    for i in range(30):
        path = play.lab.write(f"{host}{i}.eml", b"Subject: %d\r\n\r\n.%d\r\n" % (i, i) + b"z\r\n" * (i * 50))
        jobs.append({"path": path, "to": [("nobody" if i % 5 == 3 else "alice") + f"@{host}.test"], "from": f"s{i}@from.test"})
    results = play.engine.submit(jobs)
    wanted = ["failed" if i % 5 == 3 else "delivered" for i in range(30)]
    hl.equal([r["verdict"] for r in results], wanted, f"{host}: thirty messages, six of them refused")
    mails = play.mx[host].wait_for_mail(f"alice@{host}.test", seen + 24)[seen:]
    whole = 0
    for mail in mails:
        i = int(mail.split(b"Subject: ")[1].split(b"\n")[0])
        whole += mail.startswith(b"Return-Path: <s%d@from.test>" % i) and mail.endswith(b".%d\n" % i + b"z\n" * (i * 50))
    hl.equal((len(mails), whole), (24, 24), f"{host}: each once, under its own sender, with its own text")
    bdat, ahead, flights = (b - a for a, b in zip(before, counters(play, "smtp_messages_bdat", "smtp_messages_ahead", "smtp_flights")))
    hl.equal(bdat, 24 if chunked else 0, f"{host}: by BDAT, or not")
    hl.ok(ahead > 10, f"{host}: messages left before the last one was answered", ahead)
    hl.ok(flights <= (25 if chunked else 70), f"{host}: and took few round trips", flights)


def ahead(play):
    several_on_their_way(play, "rsa", True)
    several_on_their_way(play, "p384", True)
    several_on_their_way(play, "data", False)


def main():
    passes = Passes(memory(), shared=True)
    play = Play(passes.settings({"limits": {"connections-per-destination": 1, "idle-connection-s": 5}}))
    passes.run(play, [delivered, refused, single_recipients, ahead])
    hl.done()


main()
