#!/usr/bin/env python3
"""The MX farm of hardline-bench: the engine's mail over a kernel's wire and over memif, other clients, faults on request,
damage found."""
import os
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from engine import Engine
from farm import Farm, message

FIRST = "10.77.0.50"
FIRST6 = "fd77::50"
BOTH = ("--addresses", f"{FIRST}/24+4", "--addresses", f"{FIRST6}/64+4")
SETTINGS = {
    "net": {"addresses": [f"{hl.Net.engine_ip4}/24", f"{hl.Net.engine_ip6}/64"]},
    "allow-networks": ["10.77.0.0/24", "fd77::/64"],
}


def files(lab, run, count, size=2000):
    return [lab.write(f"run{run}.{n}.eml", message(run, n, size)) for n in range(count)]


def jobs(paths, *domains):
    domains = domains or ["one.test"]
    return [{"to": [f"alice@{domains[n % len(domains)]}"], "path": path} for n, path in enumerate(paths)]


def figures(farm, *names):
    return [farm.end[name] for name in names]


def start_engine(lab, net, farm, name, routes=None, settings=None, **options):
    routes = routes or {"one.test": ("mx1.farm.test", FIRST)}
    return Engine(lab, net, farm, name=name, routes=routes, settings=settings or SETTINGS, **options)


def ends_well(farm, what):
    status = farm.stop()
    hl.ok(status == 0 and farm.end["ok"], f"{what}: the farm ends in order", (status, farm.log()[-2000:], farm.end))


# ---- the engine's mail

def over_both_families(lab, net):
    """STARTTLS and TLS from the start, IPv4 and IPv6, each to a name and an address of its own."""
    def hops(n, address, **more):
        return {"host": f"mx{n}.farm.test", "address": address, **more}

    routes = {
        "one.test": hops(1, FIRST), "two.test": hops(2, "10.77.0.51", port=465, **{"implicit-tls": True}),
        "three.test": hops(5, FIRST6), "four.test": hops(8, "fd77::53", port=465, **{"implicit-tls": True}),
    }
    for number, (key, versions) in enumerate((("rsa2048", "1.3"), ("p256", "1.2"), ("mixed", "both"))):
        what = f"{key}, TLS {versions}"
        farm = Farm(lab, net, *BOTH, "--key", key, "--tls", versions, name=f"farm-{number}")
        engine = start_engine(lab, net, farm, f"engine-{number}", routes)
        results = engine.submit(jobs(files(lab, 10 + number, 200), *routes))
        hl.equal([r["verdict"] for r in results], ["delivered"] * 200, f"{what}: the engine's 200 messages are delivered")
        hl.equal({r["tls"]["version"] for r in results} - {"TLSv1.3" if versions != "1.2" else "TLSv1.2"}, set(),
                 f"{what}: by that version")
        hl.equal(engine.stop(), 0, f"{what}: the engine ends in order")
        ends_well(farm, what)
        hl.equal(figures(farm, "good", "messages", "recipients", "damaged", "duplicates", "cut_by_peer", "handshakes_failed"),
                 [200, 200, 200, 0, 0, 0, 0], f"{what}: the farm has each of them once and whole")
        hl.equal([(r["run"], r["received"], r["missing"]) for r in farm.end["runs"]], [(10 + number, 200, 0)],
                 f"{what}: all of one run")


def over_memif(lab, net):
    """No kernel between them; two thousand addresses and names."""
    path = lab.path("memif.sock")
    farm = Farm(lab, net, "--addresses", "10.78.0.1/16+2000", "--key", "p256", name="farm-memif",
                device=f"net_memif0,role=server,socket={path},socket-abstract=no,mac=02:00:00:00:78:01")
    hl.equal((farm.ready["names"], farm.ready["last_name"]), (2000, "mx2000.farm.test"), "memif: two thousand names")
    routes = {f"d{n}.test": (f"mx{n}.farm.test", f"10.78.{n >> 8}.{n & 255}") for n in (1, 2, 255, 256, 1000, 1999, 2000)}
    settings = {"net": {"addresses": ["10.78.255.1/16"]}, "allow-networks": ["10.78.0.0/16"]}
    engine = start_engine(lab, net, farm, "engine-memif", routes, settings,
                          port=f"net_memif0,role=client,socket={path},socket-abstract=no")
    results = engine.submit(jobs(files(lab, 20, 300), *routes))
    hl.equal([r["verdict"] for r in results], ["delivered"] * 300, "memif: the engine's 300 messages are delivered")
    hl.equal({r["mx"]["host"] for r in results}, {host for host, _ in routes.values()}, "memif: to seven of the names")
    hl.equal(engine.stop(), 0, "memif: the engine ends in order")
    ends_well(farm, "memif")
    hl.equal(figures(farm, "good", "damaged", "duplicates", "no_buffer"), [300, 0, 0, 0], "memif: each is there, whole")
    hl.note(farm.end)


# ---- faults on request

def with_faults(lab, net):
    cases = {
        "fail": (["--fail", "451:100%"], "deferred", "451"),
        "fail-rcpt": (["--fail", "550:100%@rcpt"], "failed", "550"),
        "greeting": (["--fail", "554:100%@greeting"], None, "554"),
        "greylist": (["--greylist"], "deferred", "Greylisted"),
        "drop": (["--drop-connection", "100%"], "in doubt", None),
        "refuse": (["--refuse", "100%"], "deferred", None),
    }
    for name, (options, verdict, reply) in cases.items():
        farm = Farm(lab, net, *BOTH, "--key", "p256", *options, name=f"farm-{name}")
        engine = start_engine(lab, net, farm, f"engine-{name}")
        result = engine.submit(jobs(files(lab, 30, 1)))[0]
        hl.note(result)
        if verdict:
            hl.equal(result["verdict"], verdict, f"{name}: the result")
        if reply:
            hl.ok(reply in str(result), f"{name}: has the farm's reply", result)
        if name == "greylist":
            hl.equal(engine.submit(jobs(files(lab, 30, 1)))[0]["verdict"], "delivered", "greylist: the second time it passes")
        engine.stop()
        ends_well(farm, name)
        hl.ok(farm.end["faults_given"] + farm.end["cut_on_request"] + farm.end["refused_on_request"] > 0,
              f"{name}: the farm has counted it", farm.end)
        hl.equal(farm.end["messages"], int(name == "greylist"), f"{name}: no message was taken before")


def with_delays(lab, net):
    farm = Farm(lab, net, *BOTH, "--key", "p256", "--latency", "50", name="farm-latency")
    engine = start_engine(lab, net, farm, "engine-latency")
    began = time.monotonic()
    results = engine.submit(jobs(files(lab, 40, 1)))
    took = time.monotonic() - began
    hl.equal(results[0]["verdict"], "delivered", "latency: the message is delivered")
    # greeting, EHLO, STARTTLS, the server's flight of TLS, EHLO, MAIL to DATA, the end of data
    hl.ok(took >= 6 * 0.05, "latency: each flight of answers is late", took)
    engine.stop()
    ends_well(farm, "latency")

    farm = Farm(lab, net, *BOTH, "--key", "p256", "--hold", "8", "--hold-ms", "40", name="farm-hold")
    engine = start_engine(lab, net, farm, "engine-hold", settings={**SETTINGS, "limits": {"connections-per-destination": 16}})
    results = engine.submit(jobs(files(lab, 41, 200)))
    hl.equal([r["verdict"] for r in results], ["delivered"] * 200, "hold: all is delivered")
    engine.stop()
    ends_well(farm, "hold")
    held, bursts = figures(farm, "held", "bursts")
    hl.ok(bursts > 0 and held / bursts >= 4, "hold: answers leave many at a time", (held, bursts))


def on_a_bad_wire(lab, net):
    farm = Farm(lab, net, *BOTH, "--key", "p256", "--faults-rx", "drop=3%,reorder=2%,seed=5", "--faults-tx",
                "drop=3%,duplicate=2%,corrupt=1%,seed=6", name="farm-wire")
    engine = start_engine(lab, net, farm, "engine-wire")
    results = engine.submit(jobs(files(lab, 50, 100, 20000)))
    hl.equal([r["verdict"] for r in results], ["delivered"] * 100, "a bad wire: all is delivered")
    engine.stop()
    ends_well(farm, "a bad wire")
    hl.equal(figures(farm, "good", "damaged", "duplicates"), [100, 0, 0], "a bad wire: once and whole")
    hl.ok(farm.end["retransmits"] > 0, "a bad wire: the farm had to send again", farm.end)


# ---- what the check finds

def damage(lab, net):
    good = message(60, 0)
    wrong = {
        "damaged: one bit": (good[:200] + bytes([good[200] ^ 1]) + good[201:], "damaged"),
        "damaged: a line is missing": (b"\r\n".join(good.split(b"\r\n")[:-3] + good.split(b"\r\n")[-2:]), "damaged"),
        "damaged: another message's end": (good[:-10] + b"00000007\r\n", "damaged"),
        "unmarked": (b"Subject: hello\r\n\r\nhello\r\n", "unmarked"),
    }
    for number, (what, (text, counter)) in enumerate(wrong.items()):
        farm = Farm(lab, net, *BOTH, "--key", "p256", name=f"farm-damage-{number}")
        engine = start_engine(lab, net, farm, f"engine-damage-{number}")
        engine.submit(jobs([lab.write("wrong.eml", text), lab.write("right.eml", message(60, 1))]))
        engine.stop()
        hl.equal(farm.stop(), 1, f"{what}: the exit status tells")
        hl.equal(figures(farm, counter, "good", "messages", "ok"), [1, 1, 2, False], f"{what}: counted")
        hl.ok("of run 0000003c is damaged" in farm.log() or "does not begin with" in farm.log(), f"{what}: told", farm.log())
    farm = Farm(lab, net, *BOTH, "--key", "p256", name="farm-twice")
    engine = start_engine(lab, net, farm, "engine-twice")
    paths = [lab.write(f"twice{n}.eml", message(61, n)) for n in (0, 0, 3)]
    engine.submit(jobs(paths))
    engine.stop()
    hl.equal(farm.stop(), 1, "a message that came twice: the exit status tells")
    hl.equal(farm.end["runs"], [{"run": 61, "received": 2, "duplicates": 1, "missing": 2, "highest_seq": 3}],
             "duplicates and gaps are counted")


# ---- other clients

def context(farm):
    ctx = ssl.create_default_context(cafile=farm.root)
    ctx.minimum_version = ssl.TLSVersion.TLSv1_2
    return ctx


class Client(smtplib.SMTP):
    """smtplib that connects to an address and means a name."""

    def __init__(self, name, address, port=25):
        super().__init__(timeout=10)
        self._host = name
        self.source = (address, port)
        self.connect(name, port)

    def _get_socket(self, host, port, timeout):
        return socket.create_connection(self.source, timeout)


def by_smtplib(lab, net):
    farm = Farm(lab, net, *BOTH, "--key", "mixed", "--no-chunking", "--names", "40", name="farm-smtplib")
    with net.kernel_sender():
        for n in (1, 2, 40):
            with Client(f"mx{n}.farm.test", f"10.77.0.{50 + n % 3}") as client:
                client.ehlo()
                hl.ok(client.has_extn("starttls") and not client.has_extn("chunking"), f"mx{n}: EHLO offers STARTTLS")
                refusal = client.docmd("MAIL FROM:<a@b.test>")
                hl.equal(refusal[0], 530, f"mx{n}: no mail in the clear")
                client.starttls(context=context(farm))
                client.ehlo()
                hl.ok(not client.has_extn("starttls"), f"mx{n}: no STARTTLS within TLS")
                for seq in range(3):
                    client.sendmail("a@b.test", ["c@d.test", "e@d.test"], message(70 + n, seq, 50000))
                hl.equal(client.docmd("X" * 5000)[0], 500, f"mx{n}: a line that is too long")
                hl.equal(client.docmd("NOOP")[0], 250, f"mx{n}: and the dialogue goes on")
        with socket.create_connection((FIRST, 465), 10) as raw:
            with context(farm).wrap_socket(raw, server_hostname="mx1.farm.test") as tls:
                hl.ok(tls.recv(100).startswith(b"220 mx1.farm.test"), "port 465: TLS first, then the greeting")
        with socket.create_connection((FIRST, 25), 10) as raw:
            raw.recv(100)
            raw.sendall(b"EHLO me\r\nSTARTTLS\r\nNOOP\r\n")
            try:
                heard = b"".join(iter(lambda: raw.recv(1000), b""))
            except ConnectionResetError:
                heard = b""
            hl.ok(not heard.endswith(b"250 2.0.0 Ok\r\n"), "what is put behind STARTTLS is not answered", heard)
    ends_well(farm, "smtplib")
    hl.equal(figures(farm, "good", "recipients", "injected", "damaged"), [9, 18, 1, 0], "smtplib: counted")


def in_the_clear(lab, net):
    farm = Farm(lab, net, *BOTH, "--plain", "--any-message", "--messages", "3", name="farm-plain")
    with net.kernel_sender():
        with Client("mx1.farm.test", FIRST) as client:
            client.ehlo()
            hl.ok(not client.has_extn("starttls") and client.has_extn("chunking"), "plain: no STARTTLS is offered")
            client.sendmail("a@b.test", ["c@d.test"], message(80, 0))
            client.sendmail("a@b.test", ["c@d.test"], "Subject: other\r\n\r\n..two dots\r\n")
        with socket.create_connection((FIRST, 25), 10) as raw:
            raw.recv(100)
            text = message(80, 1, 3000)
            raw.sendall(b"EHLO me\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 1000\r\n" + text[:1000] +
                        b"BDAT %d LAST\r\n" % (len(text) - 1000) + text[1000:] + b"QUIT\r\n")
            heard = b"".join(iter(lambda: raw.recv(1000), b""))
            hl.ok(heard.endswith(b"221 2.0.0 Bye\r\n"), "plain: one flight of all, with BDAT", heard)
    hl.equal(farm.process.wait(20), 0, "plain: ends by itself after three messages")
    farm.stop()
    hl.equal(figures(farm, "good", "unmarked", "ok"), [2, 1, True], "plain: strangers' mail is taken where it may be")


# ---- by openssl s_client: kinds of keys, groups, chains, resumption

def s_client(farm, *options, name="mx1.farm.test"):
    """What it says of its session."""
    ended = subprocess.run(["openssl", "s_client", "-connect", f"{FIRST}:465", "-servername", name, "-verify_return_error",
                            "-verify_hostname", name, "-CAfile", farm.root, *options], input=b"QUIT\r\n", capture_output=True,
                           timeout=20)
    return ended.returncode, ended.stdout.decode(errors="replace") + ended.stderr.decode(errors="replace")


def keys_and_groups(lab, net):
    cases = {"rsa3072": (["--key", "rsa3072", "--cpu", str(min(os.sched_getaffinity(0)))], "3072 bit", "X25519"),
             "p384": (["--key", "p384", "--groups", "P-384"], "384 bit", "secp384r1"),
             "ed25519": (["--key", "ed25519", "--groups", "P-256", "--poll"], "ED25519|ed25519", "prime256v1|secp256r1|P-256")}
    for name, (options, key, group) in cases.items():
        farm = Farm(lab, net, *BOTH, *options, name=f"farm-{name}")
        if "--cpu" in options:
            hl.equal(os.sched_getaffinity(farm.process.pid), {min(os.sched_getaffinity(0))}, "--cpu: it has a CPU of its own")
        with net.kernel_sender():
            status, said = s_client(farm)
        hl.ok(status == 0 and "Verify return code: 0 (ok)" in said, f"{name}: chain and name are verified", status, said[-2000:])
        hl.ok(re.search(key, said), f"{name}: by that key", said[-2000:])
        hl.ok(re.search(group, said), f"{name}: with the group {group}", said[-2000:])
        ends_well(farm, name)
        hl.equal(figures(farm, "handshakes_full", "handshakes_failed"), [1, 0], f"{name}: counted")


def groups_that_do_not_meet(lab, net):
    farm = Farm(lab, net, *BOTH, "--key", "p256", "--groups", "P-521", name="farm-p521")
    with net.kernel_sender():
        status, _ = s_client(farm, "-groups", "X25519")
    hl.ok(status != 0, "--groups: a client that has none of them gets no session")
    ends_well(farm, "--groups")
    hl.equal(figures(farm, "handshakes_full", "handshakes_failed"), [0, 1], "--groups: counted")


def resumption(lab, net):
    for tickets, resumed in (("2", 1), ("0", 0)):
        farm = Farm(lab, net, *BOTH, "--key", "p256", "--tls", "1.2", "--tickets", tickets, name=f"farm-tickets-{tickets}")
        session = lab.path(f"session{tickets}.pem")
        with net.kernel_sender():
            s_client(farm, "-sess_out", session)
            if os.path.exists(session) and os.path.getsize(session):
                status, said = s_client(farm, "-sess_in", session)
                hl.equal((status, "Reused, TLSv1.2" in said), (0, bool(resumed)), f"--tickets {tickets}: s_client -sess_in")
        ends_well(farm, f"--tickets {tickets}")
        hl.equal(farm.end["handshakes_resumed"], resumed, f"--tickets {tickets}: {resumed} resumed")


def own_chain(lab, net):
    ca = hl.Ca(lab, "own-ca", key="p256")
    leaf = ca.issue("mx1.farm.test", key="p256")
    farm = Farm(lab, net, *BOTH, "--chain", leaf.chain, "--private-key", leaf.key, name="farm-own")
    farm.root = ca.root
    with net.kernel_sender():
        status, said = s_client(farm)
        hl.ok(status == 0 and "Verify return code: 0 (ok)" in said, "--chain: that chain is shown", said[-2000:])
        status, _ = s_client(farm, name="mx2.farm.test")
        hl.ok(status != 0, "--chain: for all names, so another one's is wrong")
    ends_well(farm, "--chain")


# ---- clients that say nothing

def silent_clients(lab, net):
    farm = Farm(lab, net, *BOTH, "--plain", "--idle-timeout", "2", name="farm-silent")
    with net.kernel_sender():
        with socket.create_connection((FIRST, 25), 10) as silent, socket.create_connection((FIRST, 25), 10) as busy:
            silent.recv(100), busy.recv(100)
            began = time.monotonic()
            for _ in range(4):
                time.sleep(0.7)
                busy.sendall(b"NOOP\r\n")
                hl.ok(busy.recv(100).startswith(b"250"), "idle time-out: not while a client says something")
            heard = b"".join(iter(lambda: silent.recv(100), b""))
            hl.ok(heard.startswith(b"421 4.4.2"), "idle time-out: 421 and the end", heard)
            hl.ok(time.monotonic() - began >= 1.9, "idle time-out: not before its time")
        raw = socket.create_connection((FIRST, 25), 10)
        raw.recv(100)
    # The client's host has gone: nobody answers any more.
    hl.wait_until(lambda: farm.figures()["timed_out"] >= 2, 20, "a client that is gone is timed out")
    ends_well(farm, "idle time-out")
    raw.close()


def held_up(lab, net):
    """A farm that does not get to its device for a while: what was lost there is told, though it is idle ever after.

    Over AF_XDP: the driver of AF_PACKET does not ask the kernel what it has lost.
    """
    try:
        farm = Farm(lab, net, *BOTH, "--plain", device="net_af_xdp0,iface={iface}", name="farm-held-up")
    except RuntimeError:
        return hl.skip("held up: what the device could not take is counted", "the kernel gives no AF_XDP socket here")
    with net.kernel_sender():
        with socket.create_connection((FIRST, 25), 10) as client:
            client.recv(100)
            hl.equal([farm.figures()[name] for name in ("missed", "kept_up")], [0, True], "held up: nothing is lost before")
            farm.process.kill(signal.SIGSTOP)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
                for _ in range(20000):
                    flood.sendto(bytes(1000), (FIRST, 9))
            farm.process.kill(signal.SIGCONT)
    ends_well(farm, "held up")
    hl.ok(farm.end["missed"] > 1000 and not farm.end["kept_up"], "held up: what the device could not take is counted", farm.end)
    return hl.ok(f"{farm.end['missed']} that the device could not take" in farm.log(), "held up: and said", farm.log())


def refusals(lab, net):
    program = os.path.join(hl.BUILD, "bench", "hardline-bench")
    device = f"net_af_packet0,iface={net.receiver_if},qpairs=1"
    leaf = hl.Ca(lab, "refused-ca", key="p256").issue("mx1.farm.test", key="p256")
    cases = {
        "--device is missing": [],
        "no interface hlx9": ["--device", "net_af_packet0,iface=hlx9", "--addresses", f"{FIRST}/24"],
        "is not ADDRESS/PREFIX": ["--device", device, "--addresses", "10.1.0.1"],
        "do not follow": ["--device", device, "--addresses", "255.255.255.0/8+1000"],
        "rsa2048, rsa3072, p256": ["--device", device, "--addresses", f"{FIRST}/24", "--key", "dsa"],
        "no rate": ["--device", device, "--addresses", f"{FIRST}/24", "--fail", "451:3"],
        "no stage": ["--device", device, "--addresses", f"{FIRST}/24", "--fail", "451:3%@data"],
        "go together": ["--device", device, "--addresses", f"{FIRST}/24", "--chain", "/x"],
        "cannot be written": ["--device", device, "--addresses", f"{FIRST}/24", "--ca-out", "/nowhere/x.pem"],
        "--groups X255: OpenSSL does not know": ["--device", device, "--addresses", f"{FIRST}/24", "--groups", "X255"],
        "--chain: /nowhere/x: No such file": ["--device", device, "--addresses", f"{FIRST}/24", "--chain", "/nowhere/x", "--private-key", "/x"],
        "--private-key: /nowhere/x: No such file": ["--device", device, "--addresses", f"{FIRST}/24", "--chain", leaf.chain, "--private-key", "/nowhere/x"],
        "there is no CPU 1000 for us": ["--device", device, "--addresses", f"{FIRST}/24", "--cpu", "1000"],
        "--connections: \"0\" is not a number from 1": ["--connections", "0"],
        "see hardline-bench farm --help": ["--frobnicate"],
    }
    for text, options in cases.items():
        process = lab.start([program, "farm", *options], ns=net.receiver)
        status = process.wait(20)
        hl.ok(status not in (0, -6, -11) and text in process.log(), f"refused: {text}", (status, process.log()))


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    tests = (over_both_families, over_memif, with_faults, with_delays, on_a_bad_wire, damage, by_smtplib, in_the_clear,
             keys_and_groups, groups_that_do_not_meet, resumption, own_chain, silent_clients, held_up, refusals)
    for test in tests:
        if not sys.argv[1:] or test.__name__ in sys.argv[1:]:
            test(lab, net)
    hl.done()


main()
