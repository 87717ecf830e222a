"""What crossed the wire: a sniffer on one end of it, and the TCP streams in what it wrote.

    sniffer = Sniffer(lab, net.receiver, net.receiver_if)
    ...
    for flow, data in streams(sniffer.stop()).items():     # flow: (source, port, destination, port)
        ok(b"secret" not in data, f"{flow} tells no secret")
"""
import ipaddress
import struct

TCP = 6


class Sniffer:
    """tcpdump that writes every frame at once. It sees frames from when the constructor returned."""

    def __init__(self, lab, ns, dev, name="wire.pcap"):
        self.path = lab.path(name)
        self.process = lab.start(["tcpdump", "-i", dev, "-w", self.path, "-U", "-s", "0", "-Z", "root", "-B", "65536",
                                  "--immediate-mode", "-n"], ns=ns, ready="listening on")

    def stop(self):
        """Ends it and returns the path of the capture."""
        self.process.stop()
        return self.path


def frames(path):
    """Yields (seconds, frame) of a capture file as tcpdump writes it."""
    with open(path, "rb") as f:
        magic, *_ , link = struct.unpack("<IHHiIII", f.read(24))
        if magic != 0xA1B2C3D4 or link != 1:
            raise ValueError(f"{path} is no capture of Ethernet frames in this machine's byte order")
        while len(head := f.read(16)) == 16:
            seconds, micros, size, _ = struct.unpack("<IIII", head)
            frame = f.read(size)
            if len(frame) < size:
                return
            yield seconds + micros / 1e6, frame


def segments(path):
    """Yields (seconds, (source, port, destination, port), sequence number, flags, payload) of every TCP segment."""
    for seconds, frame in frames(path):
        kind, packet = struct.unpack("!H", frame[12:14])[0], frame[14:]
        if kind == 0x0800 and packet[9] == TCP:
            header = (packet[0] & 15) * 4
            packet, addresses = packet[:struct.unpack("!H", packet[2:4])[0]], (packet[12:16], packet[16:20])
        elif kind == 0x86DD and packet[6] == TCP:
            header = 40
            packet, addresses = packet[:40 + struct.unpack("!H", packet[4:6])[0]], (packet[8:24], packet[24:40])
        else:
            continue
        segment = packet[header:]
        source_port, to_port, sequence = struct.unpack("!HHI", segment[:8])
        source, to = (str(ipaddress.ip_address(a)) for a in addresses)
        payload = segment[(segment[12] >> 4) * 4:]
        yield seconds, (source, source_port, to, to_port), sequence, segment[13], payload


def streams(path):
    """The bytes of every direction of every connection, {(source, port, destination, port): bytes}.

    Retransmitted bytes count once; a hole (a frame that the sniffer lost) is filled with NULs.
    """
    starts, pieces = {}, {}
    for _, flow, sequence, flags, payload in segments(path):
        if flags & 2:  # SYN
            starts[flow] = (sequence + 1) & 0xFFFFFFFF
        if payload:
            start = starts.setdefault(flow, sequence)
            pieces.setdefault(flow, []).append(((sequence - start) & 0xFFFFFFFF, payload))
    whole = {}
    for flow, parts in pieces.items():
        data = bytearray()
        for offset, payload in sorted(parts, key=lambda p: p[0]):
            if offset > len(data) + (1 << 30):
                continue  # before the start of the stream: a keep-alive probe
            if offset > len(data):
                data.extend(bytes(offset - len(data)))
            data[offset:offset + len(payload)] = payload
        whole[flow] = bytes(data)
    return whole
