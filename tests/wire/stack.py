"""The kernel's network stack has no part in it, and what the capture file says is what tcpdump reads."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from pcap import segments, streams
from scene import Scene

SYN, FIN = 2, 1


def snmp(engine):
    """The counters of the kernel's stack in the engine's namespace, {"Tcp": {"OutSegs": 0, ...}}."""
    with open(f"/proc/{engine.engine_pid()}/net/snmp") as f:
        lines = [line.split() for line in f]
    return {names[0].rstrip(":"): dict(zip(names[1:], map(int, values[1:]))) for names, values in zip(lines[::2], lines[1::2])}


def sockets(engine, kind):
    with open(f"/proc/{engine.engine_pid()}/net/{kind}") as f:
        return f.read().splitlines()[1:]


def own_sockets(engine):
    """The inodes of the engine's own sockets."""
    folder = f"/proc/{engine.engine_pid()}/fd"
    links = [os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder)]
    return {m[1] for link in links if (m := re.match(r"socket:\[(\d+)\]", link))}


def the_kernel(scene):
    engine, net = scene.engine, scene.net
    before = snmp(engine)
    submission = engine.start_submit([scene.job("good.attack.test") for _ in range(20)] +
                                     [scene.job("hang-in-handshake.attack.test")])
    hl.wait_until(lambda: engine.counter("core_delivered") == 20, 30, "twenty deliveries")
    # a connection is established now, the one that hangs
    hl.equal(sockets(engine, "tcp") + sockets(engine, "tcp6") + sockets(engine, "udp") + sockets(engine, "raw"), [],
             "no socket of TCP, UDP or IP in the sender's namespace while a connection stands")
    addresses = net.sender.run("ip", "-o", "address", "show", "dev", net.sender_if)
    hl.equal(addresses, "", "the sender's interface has no address in the kernel")
    after = snmp(engine)
    used = {f"{group} {name}": after[group][name] - before[group][name]
            for group, name in (("Tcp", "ActiveOpens"), ("Tcp", "InSegs"), ("Tcp", "OutSegs"), ("Ip", "OutRequests"),
                                ("Udp", "OutDatagrams"))}
    hl.equal(set(used.values()), {0}, f"the kernel's counters stand still ({', '.join(used)})")
    packet = {line.split()[-1] for line in sockets(engine, "packet")}
    hl.ok(packet & own_sockets(engine), "what the engine has is a packet socket, DPDK's port", packet)
    peers = net.receiver.run("ss", "-Htn", "state", "established")
    hl.ok(f"{net.engine_ip4}:" in peers, "and the receiver's kernel has a connection with our stack's address", peers)
    submission.wait(30)


def the_capture(scene, path):
    listing = hl.run(["tcpdump", "-nr", path])
    ours = re.escape(scene.net.engine_ip4)
    hl.ok(re.search(rf"ARP, Request who-has .* tell {ours}", listing), "tcpdump reads the capture: ARP", listing[:2000])
    hl.ok(re.search(rf"{ours}\.\d+ > \S+\.25: Flags \[S\]", listing) and "Flags [S.]" in listing,
          "tcpdump reads the capture: both SYNs", listing[:2000])
    flags = {}
    for _, flow, _, flag, _ in segments(path):
        flags.setdefault(flow, set()).update(bit for bit in (SYN, FIN) if flag & bit)
    flows = streams(path)
    clients = [flow for flow in flows if flow[3] == 25]
    whole = [flow for flow in clients if {SYN, FIN} <= flags[flow] and {SYN, FIN} <= flags.get(flow[2:] + flow[:2], set())]
    hl.ok(whole, "the capture has a connection from SYN to FIN in both directions", flags)
    hl.ok(all(b"STARTTLS\r\n\x16\x03\x01" in flows[flow] for flow in clients), "the capture has EHLO, STARTTLS, ClientHello")
    hl.ok(all(b"220 " in flows[flow[2:] + flow[:2]] for flow in clients), "the capture has the greeting")


def main():
    scene = Scene(settings={"smtp": {"timeout-percent": 5}, "limits": {"idle-connection-s": 1}}, start=False)
    path = scene.lab.path("port.pcap")
    scene.engine.start("--set", f"port.pcap={path}")
    the_kernel(scene)
    hl.equal(scene.engine.stop(), 0, "the engine ends in order")
    the_capture(scene, path)
    hl.done()


main()
