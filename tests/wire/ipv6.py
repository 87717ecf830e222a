#!/usr/bin/env python3
"""Mail over IPv6: the whole engine and a real Postfix; neighbours, pings, an address that is taken, a path that narrows."""
import os
import re
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from engine import Engine

ALICE = "alice@example.test"
OURS = hl.Net.engine_ip6
TAKEN = "fd77::101"
SETTINGS = {
    "net": {"addresses": [f"{OURS}/64"]},
    "allow-networks": ["fd77::/64", "fd77:1::/64"],
    "limits": {"connections-per-destination": 4},
}


def pings(ns, size, count=5):
    """How many of so many pings came back whole within two seconds each. The kernel makes and checks the checksums."""
    answered = 0
    with ns.entered():
        s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    s.settimeout(2)
    for sequence in range(count):
        body = struct.pack("!HH", 66, sequence) + os.urandom(size)
        s.sendto(b"\x80\0\0\0" + body, (OURS, 0))
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            try:
                reply = s.recv(4096)
            except TimeoutError:
                break
            if reply[:2] == b"\x81\0":
                answered += reply[4:] == body
                break
    s.close()
    return answered


def refused(ns, ports):
    """How many of these ports answer with a reset within two seconds."""
    n = 0
    with ns.entered():
        for port in ports:
            with socket.socket(socket.AF_INET6) as s:
                s.settimeout(2)
                try:
                    s.connect((OURS, port))
                except ConnectionRefusedError:
                    n += 1
                except OSError:
                    pass
    return n


def message(lab, number, size=0):
    return lab.write(f"message{number}.eml", f"Subject: number {number}\r\n\r\n" + ("x" * 70 + "\r\n") * (size // 72))


def fifty_messages(lab, net, engine, mx):
    jobs = [{"to": [ALICE], "path": message(lab, n, 20000)} for n in range(50)]
    results = engine.submit(jobs)
    hl.equal([r["verdict"] for r in results], ["delivered"] * 50, "fifty messages are delivered over IPv6")
    hl.equal({r["mx"]["address"] for r in results}, {net.ip6(1)}, "the results name the IPv6 address")
    mail = mx.wait_for_mail(ALICE, 50)
    subjects = {int(n) for m in mail for n in re.findall(rb"^Subject: number (\d+)$", m, re.M)}
    hl.equal((len(mail), subjects), (50, set(range(50))), "Postfix has each of them once")
    hl.ok(all(re.search(rf"Received: .*\[IPv6:{OURS}\]", m.decode(), re.S) for m in mail),
          "which came from our stack's address", mail[0][:600] if mail else None)
    hl.ok(f"[{net.ip6(1)}]" in engine.log() or net.ip6(1) in engine.log(), "the log names the address", engine.log()[-800:])
    hl.equal(engine.counter("net_arp_requests"), 0, "and nobody was asked by ARP")


def neighbours(net, engine):
    hl.ok(re.search(rf"{OURS} .*lladdr {net.mac(net.sender, net.sender_if)}", net.receiver.run("ip", "-6", "neigh")),
          "the kernel has learned our station", net.receiver.run("ip", "-6", "neigh"))
    for size in (0, 56, 1448):
        hl.equal(pings(net.receiver, size), 5, f"pings of {size} bytes are answered")
    hl.equal(refused(net.receiver, range(2000, 2010)), 10, "a port where nobody listens answers with RST")
    before = engine.counter("net_drop_fragment")
    pings(net.receiver, 3000, 1)
    hl.ok(engine.counter("net_drop_fragment") >= before + 2, "fragments are dropped and counted")


class Far:
    """A host behind the receiver, which sends it no more than 1280 bytes at a time; relays port 25 to Postfix."""

    address = "fd77:1::1"

    def __init__(self, net):
        self.net, self.ns = net, hl.Netns("far")
        hl.run(["ip", "netns", "add", self.ns.name])
        receiver = net.receiver
        receiver.run("ip", "link", "add", "hln0", "type", "veth", "peer", "name", "hlf0", "netns", self.ns.name)
        for ns, dev, address in ((receiver, "hln0", "fd77:1::2/64"), (self.ns, "hlf0", f"{self.address}/64")):
            ns.run("ethtool", "-K", dev, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
            ns.run("ip", "address", "add", address, "dev", dev, "nodad")
            ns.run("ip", "link", "set", dev, "up")
        receiver.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        receiver.run("ip", "route", "add", self.address, "dev", "hln0", "mtu", "1280")  # this way alone: no MSS tells of it
        self.ns.run("ip", "route", "add", "default", "via", "fd77:1::2")
        with self.ns.entered():
            self.listener = socket.create_server((self.address, 25), family=socket.AF_INET6)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client = self.listener.accept()[0]
            with self.ns.entered():
                server = socket.create_connection((self.net.ip6(1), 25), 10)
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Sizes(threading.Thread):
    """The bytes of each IPv6 packet of TCP that our stack sends, as the receiver's interface sees them."""

    def __init__(self, net):
        super().__init__(daemon=True)
        with net.receiver.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86dd))
            self.socket.bind((net.receiver_if, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.settimeout(0.2)
        self.ours, self.sizes, self.over = socket.inet_pton(socket.AF_INET6, OURS), [], False
        self.start()

    def run(self):
        while not self.over:
            try:
                frame = self.socket.recv(65535)
            except TimeoutError:
                continue
            if frame[20] == 6 and frame[22:38] == self.ours:
                self.sizes.append(len(frame) - 14)

    def stop(self):
        self.over = True
        self.join(10)
        self.socket.close()
        return self.sizes


def a_path_that_narrows(lab, net, engine, mx):
    sizes = Sizes(net)
    job = {"to": ["alice@far.test"], "path": message(lab, 1000, 1000000)}
    result = engine.submit([job])[0]
    seen = sizes.stop()
    hl.equal((result["verdict"], result["mx"]["address"]), ("delivered", Far.address),
             "a large message is delivered through a link-local gateway and a path that narrows")
    big = [i for i, size in enumerate(seen) if size > 1280]
    after = seen[big[-1] + 1:] if big else []
    hl.ok(big and max(seen) == 1500, "packets were too big at first", (len(big), len(seen)))
    hl.ok(len(after) > 500 and max(after) == 1280, "and have 1280 bytes from then on", (len(after), max(after or [0])))
    hl.ok(len(big) <= 20, "after no more than what was under way", len(big))
    hl.equal(engine.counter("tcp_drop_icmp"), 0, "no message of the router's was refused")


def an_address_that_is_taken(lab, net, ca, mx):
    """The kernel has one of the two addresses that the engine shall use."""
    net.receiver.run("ip", "address", "add", f"{TAKEN}/64", "dev", net.receiver_if, "nodad")
    settings = {**SETTINGS, "net": {"addresses": [f"{TAKEN}/64", f"{OURS}/64"]}}
    engine = Engine(lab, net, ca, name="taken", routes={"example.test": ("mx1.example.test", net.ip6(1))}, settings=settings)
    results = engine.submit([{"to": [ALICE], "path": message(lab, 2000 + n)} for n in range(4)])
    hl.equal([r["verdict"] for r in results], ["delivered"] * 4, "mail is delivered though one address is taken")
    hl.equal(engine.counter("net_nd_conflicts"), 1, "the conflict is counted")
    hl.ok(re.search(rf"{TAKEN} is in use by another station", engine.log()), "and told", engine.log()[-500:])
    mail = mx.wait_for_mail(ALICE, 54)
    hl.ok(len(mail) == 54 and not any(TAKEN.encode() + b"]" in m for m in mail), "the address was not used", len(mail))
    hl.equal(engine.stop(), 0, "the engine ends in order")
    net.receiver.run("ip", "address", "del", f"{TAKEN}/64", "dev", net.receiver_if)


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    ca = hl.Ca(lab)
    mx = hl.Postfix(lab, net, 1, ca.issue("mx1.example.test"), users=[ALICE, "alice@far.test"])
    Far(net)
    routes = {"example.test": ("mx1.example.test", net.ip6(1)), "far.test": ("mx1.example.test", Far.address)}
    gateway = re.search(r"inet6 (fe80:\S+)/64", net.receiver.run("ip", "-6", "address", "show", "dev", net.receiver_if))[1]
    settings = {**SETTINGS, "net": {**SETTINGS["net"], "gateway6": gateway}}
    engine = Engine(lab, net, ca, routes=routes, settings=settings)
    fifty_messages(lab, net, engine, mx)
    neighbours(net, engine)
    a_path_that_narrows(lab, net, engine, mx)
    hl.equal(engine.stop(), 0, "the engine ends in order")
    an_address_that_is_taken(lab, net, ca, mx)
    hl.done()


main()
