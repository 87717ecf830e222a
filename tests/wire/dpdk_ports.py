#!/usr/bin/env python3
"""Our stack on real DPDK ports, asked by the kernel's: ARP, pings of all sizes, resets, two queues, faulty frames."""
import os
import re
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("HARDLINE_SOURCE", "."), "tests", "lib"))
import hl

TOOL = os.path.join(hl.BUILD, "tests", "wire", "port_tool")
OURS = hl.Net.engine_ip4


def counters(log):
    """{queue: {name: value}} as the tool prints at its end."""
    return {int(queue): {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", line)}
            for queue, line in re.findall(r"^queue (\d+) (.*)$", log, re.M)}


def total(stats, name):
    return sum(of_queue.get(name, 0) for of_queue in stats.values())


def start(lab, net, devargs, queues=1, decorators=()):
    return lab.start([TOOL, devargs, str(queues), f"{OURS}/24", *decorators], ns=net.sender, ready=r"\nready\n")


def internet_checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data)) if len(data) % 2 == 0 else internet_checksum(data + b"\0")
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def pings(ns, size, count=5, timeout_s=2):
    """How many of so many pings came back whole in time."""
    answered = 0
    with ns.entered():
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    s.settimeout(timeout_s)
    for sequence in range(count):
        body = struct.pack("!HH", 77, sequence) + os.urandom(size)
        s.sendto(b"\x08\0" + struct.pack("!H", internet_checksum(b"\x08\0\0\0" + body) ^ 0xffff) + body, (OURS, 0))
        try:
            reply = s.recv(4096)
        except TimeoutError:
            continue
        icmp = reply[(reply[0] & 15) * 4:]
        answered += icmp[:2] == b"\0\0" and icmp[4:] == body and internet_checksum(icmp) == 0xffff
    s.close()
    return answered


def refused(ns, ports, source_ports=None):
    """How many of these TCP ports answer with a reset within two seconds."""
    n = 0
    with ns.entered():
        for i, port in enumerate(ports):
            s = socket.socket()
            s.settimeout(2)
            if source_ports:
                s.bind(("", source_ports[i]))
            try:
                s.connect((OURS, port))
            except ConnectionRefusedError:
                n += 1
            except OSError:
                pass
            s.close()
    return n


def stop(tool):
    status = tool.stop()
    return status, counters(tool.log())


def test_af_packet(lab, net):
    tool = start(lab, net, f"net_af_packet0,iface={net.sender_if},qpairs=1")
    hl.note(tool.log())
    for size in (0, 18, 56, 1472):
        hl.equal(pings(net.receiver, size), 5, f"af_packet: pings of {size} bytes are answered")
    hl.equal(refused(net.receiver, range(2000, 2020)), 20, "af_packet: a port where nobody listens answers with RST")
    hl.ok("hls0" in net.receiver.run("ip", "neigh", "show", OURS) or OURS in net.receiver.run("ip", "neigh"),
          "af_packet: the kernel has learned our address")
    status, stats = stop(tool)
    hl.equal(status, 0, "af_packet: ends in order")
    hl.equal(total(stats, "net_icmp_echo_replies"), 20, "af_packet: the pings are counted")
    hl.equal(total(stats, "net_resets_sent"), 20, "af_packet: so are the resets")
    hl.equal(total(stats, "lost"), 0, "af_packet: nothing was lost")


def test_bad_frames(lab, net):
    """What arrives damaged is dropped for the right reason, and the stack lives on."""
    tool = start(lab, net, f"net_af_packet0,iface={net.sender_if},qpairs=1")
    pings(net.receiver, 56, 1)
    dst = bytes.fromhex(net.mac(net.sender, net.sender_if).replace(":", ""))
    src = bytes.fromhex(net.mac(net.receiver, net.receiver_if).replace(":", ""))

    def ipv4(total_len, flags=0, proto=6, wrong=0):
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, total_len, 1, flags, 64, proto, 0,
                           socket.inet_aton(net.ip4(1)), socket.inet_aton(OURS))
        return head[:10] + struct.pack("!H", internet_checksum(head) ^ 0xffff ^ wrong) + head[12:]

    frames = {
        "net_drop_ethertype": dst + src + b"\x88\xcc" + bytes(46),
        "net_drop_ip_header": dst + src + b"\x08\x00" + ipv4(2000) + bytes(26),
        "net_drop_ip_checksum": dst + src + b"\x08\x00" + ipv4(40, wrong=1) + bytes(26),
        "net_drop_protocol": dst + src + b"\x08\x00" + ipv4(40, proto=17) + bytes(26),
        "net_drop_tcp_header": dst + src + b"\x08\x00" + ipv4(30) + bytes(26),
        "net_drop_tcp_checksum": dst + src + b"\x08\x00" + ipv4(40) + bytes(10) + b"\x01" + bytes(15),
        "net_drop_arp": dst + src + b"\x08\x06" + bytes(46),
    }
    with net.receiver.entered():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        s.bind((net.receiver_if, 0))
        for frame in frames.values():
            s.send(frame)
        s.send(b"\xff" * 14)
        s.close()
    hl.equal(pings(net.receiver, 56), 5, "after bad frames pings are answered still")
    _, stats = stop(tool)
    for name in frames:
        hl.ok(total(stats, name) >= 1, f"counted as {name}", stats)


def test_two_queues(lab, net):
    tool = start(lab, net, f"net_af_packet0,iface={net.sender_if},qpairs=2", queues=2)
    hl.equal(pings(net.receiver, 56), 5, "two queues: pings are answered")
    hl.equal(refused(net.receiver, range(3000, 3200)), 200, "two queues: every port answers, whichever queue it hits")
    _, stats = stop(tool)
    hl.note(stats)
    hl.ok(all(stats[q].get("port_rx_packets", 0) > 20 for q in (0, 1)), "two queues: both receive", stats)
    hl.ok(total(stats, "net_handoff_out") > 20, "two queues: what came to the wrong core was handed over", stats)
    hl.equal(total(stats, "net_handoff_in"), total(stats, "net_handoff_out"), "two queues: and taken")
    hl.equal([stats[q].get("net_resets_sent", 0) for q in (0, 1)], [100, 100], "two queues: the owner answered each")


def test_small_mtu(lab, net):
    net.sender.run("ip", "link", "set", net.sender_if, "mtu", "1280")
    net.receiver.run("ip", "link", "set", net.receiver_if, "mtu", "1280")
    tool = start(lab, net, f"net_af_packet0,iface={net.sender_if},qpairs=1")
    hl.ok("MTU 1280" in tool.log(), "the interface's MTU is ours", tool.log())
    hl.equal(pings(net.receiver, 1252), 5, "and packets of that size pass")
    stop(tool)
    for ns, dev in ((net.sender, net.sender_if), (net.receiver, net.receiver_if)):
        ns.run("ip", "link", "set", dev, "mtu", "1500")


def test_af_xdp(lab, net):
    try:
        tool = start(lab, net, f"net_af_xdp0,iface={net.sender_if},start_queue=0,queue_count=1")
    except RuntimeError as why:
        hl.note(why)
        return hl.skip("af_xdp: pings are answered", "the kernel gives no AF_XDP socket here")
    hl.note(tool.log())
    hl.equal(pings(net.receiver, 1472), 5, "af_xdp: pings are answered")
    hl.equal(refused(net.receiver, range(2000, 2020)), 20, "af_xdp: a port where nobody listens answers with RST")
    status, stats = stop(tool)
    hl.equal(status, 0, "af_xdp: ends in order")
    hl.equal(total(stats, "net_resets_sent"), 20, "af_xdp: the resets are counted")


def test_tap(lab, net):
    """The kernel at the other end of a tap device, checksums by the port in both directions."""
    tool = start(lab, net, "net_tap0,iface=hlt0")
    hl.note(tool.log())
    net.sender.run("ip", "link", "set", "hlt0", "address", "02:00:00:00:77:fa")  # at first it has the port's
    net.sender.run("ip", "address", "add", "10.77.0.250/24", "dev", "hlt0")
    net.sender.run("ip", "link", "set", "hlt0", "up")
    hl.equal(pings(net.sender, 1000), 5, "tap: pings are answered")
    hl.equal(refused(net.sender, range(2000, 2020)), 20, "tap: resets with the port's checksums are right")
    status, _ = stop(tool)
    hl.equal(status, 0, "tap: ends in order")


def test_decorators(lab, net):
    """A capture that tcpdump reads, and faults that the kernel notices, on a real port."""
    devargs, capture = f"net_af_packet0,iface={net.sender_if},qpairs=1", lab.path("port.pcap")
    tool = start(lab, net, devargs, decorators=[capture])
    pings(net.receiver, 100)
    stop(tool)
    lines = hl.run(["tcpdump", "-r", capture, "-n", "icmp"]).splitlines()
    hl.equal([sum(kind in line for line in lines) for kind in ("echo request", "echo reply")], [5, 5],
             "capture: tcpdump reads both directions")

    tool = start(lab, net, devargs, decorators=["", "delay=30ms"])
    began = time.monotonic()
    hl.equal(pings(net.receiver, 100), 5, "faults: what is delayed arrives")
    hl.ok(time.monotonic() - began >= 0.15, "faults: and late, although the core was idle", time.monotonic() - began)
    stop(tool)

    tool = start(lab, net, devargs, decorators=["", "corrupt=100%"])
    hl.equal(pings(net.receiver, 100, count=3, timeout_s=0.3), 0, "faults: what is damaged the kernel does not take")
    _, stats = stop(tool)
    hl.equal(total(stats, "net_icmp_echo_replies"), 3, "faults: though all of it was sent")

    tool = start(lab, net, devargs, decorators=["", "drop=50%,seed=3"])
    answered = pings(net.receiver, 100, count=40, timeout_s=0.05)
    hl.ok(8 <= answered <= 32, "faults: half of it is lost", answered)
    stop(tool)


def test_refusals(lab, net):
    """A message that names the device, and an exit status: nothing else happens."""
    def complaint(devargs, queues=1, **env):
        tool = lab.start([TOOL, devargs, str(queues), f"{OURS}/24"], ns=net.sender, env=env)
        status = tool.wait(20)
        hl.note(tool.log())
        return tool.log() if status == 1 else f"status {status}"

    hl.ok("no interface hls9" in complaint("net_af_packet0,iface=hls9"), "a missing interface is named")
    text = complaint(f"net_af_packet0,iface={net.sender_if},qpairs=1", queues=2)
    hl.ok("qpairs=2" in text, "too few queues: told what to write", text)
    net.sender.run("ip", "link", "add", "hld0", "type", "veth", "peer", "name", "hld1")
    text = complaint("net_af_packet0,iface=hld0")
    hl.ok("ip link set hld0 up" in text, "an interface that is down: told how to mend that", text)


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    for test in (test_af_packet, test_bad_frames, test_two_queues, test_small_mtu, test_af_xdp, test_tap,
                 test_decorators, test_refusals):
        test(lab, net)
    hl.done()


main()
