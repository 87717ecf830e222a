"""The MX farm of hardline-bench on one end of a wire, and messages of the form that it checks.

    farm = Farm(lab, net, "--addresses", "10.77.0.50/24+4")          # on the receiver's interface
    text = message(run=1, seq=0, size=1000)                          # bytes
    farm.figures()                                                   # so far, a dict
    farm.stop()                                                      # exit status; then farm.end has the last ones
"""
import json
import os
import signal
import struct

import hl

DEVICE = "net_af_packet0,iface={iface},qpairs=1"
MASK = (1 << 64) - 1


def _step(lane, word):
    lane = (lane ^ word) * 0x9e3779b97f4a7c15 & MASK
    return (lane << 29 | lane >> 35) & MASK


def digest(data):
    """The digest of bench/message.h, written anew."""
    lanes = [1, 2, 3, 4]
    padded = data + bytes(-len(data) % 32)
    for at in range(0, len(padded), 32):
        lanes = [_step(lane, word) for lane, word in zip(lanes, struct.unpack_from("<4Q", padded, at))]
    value = len(data)
    for lane in lanes:
        value = _step(value, lane)
    return value ^ value >> 32


def message(run, seq, size=1000, body=None):
    """A whole message; body: what stands between its first line and its last."""
    if body is None:
        line = b".the quick brown fox jumps over the lazy dog %08d\r\n" % seq
        body = b"Subject: %d\r\n\r\n" % seq
        body += line * (max(size - len(body), 0) // len(line))
    head = b"X-Hardline-Bench: %08x %08x %08x %016x\r\n" % (run, seq, len(body), digest(body))
    return head + body + b"-- %08x %08x\r\n" % (run, seq)


class Farm:
    """hardline-bench farm, ready when the constructor returns.

    ns, device   where it runs and on what; {iface} is the receiver's
    HARDLINE_FARM in the environment is another build of the program: one with sanitizers
    root         the file of its root certificate: what an Engine takes as `ca`
    """

    def __init__(self, lab, net, *options, ns=None, device=DEVICE, name="farm", env=None):
        self.json_path, self.root = lab.path(f"{name}.json"), lab.path(f"{name}.pem")
        program = os.environ.get("HARDLINE_FARM") or os.path.join(hl.BUILD, "bench", "hardline-bench")
        own = [] if "--plain" in options or "--chain" in options else ["--ca-out", self.root]
        self.process = lab.start([program, "farm", "--device", device.format(iface=net.receiver_if), "--json", self.json_path,
                                  *own, *map(str, options)], name=name, ns=ns or net.receiver, env=env)
        self.ready = self._wait("ready", 1)
        if own:
            os.chmod(self.root, 0o644)

    def _lines(self, event):
        if not os.path.exists(self.json_path):
            return []
        with open(self.json_path) as f:
            lines = [json.loads(line) for line in f if line.endswith("\n")]
        return [line for line in lines if line["event"] == event]

    def _wait(self, event, count, timeout_s=60):
        def there():
            if not self.process.running() and len(self._lines(event)) < count:
                raise RuntimeError(f"the farm has ended:\n{self.process.log()}")
            return len(self._lines(event)) >= count
        hl.wait_until(there, timeout_s, f"{event} {count}")
        return self._lines(event)[count - 1]

    def figures(self):
        count = len(self._lines("status")) + 1
        self.process.kill(signal.SIGUSR1)
        return self._wait("status", count)

    def stop(self):
        status = self.process.stop(20)
        ends = self._lines("end")
        self.end = ends[0] if ends else None
        return status

    def log(self):
        return self.process.log()
