"""What a case could cost at the least: arithmetic made of parts that bench_parts measures in the same run."""
import json
import subprocess

from lab import ENGINE_CPU, on_cpu, zero_copy
from stage import hl

ENVELOPE_BYTES = 300   # commands and replies of a message, both ways


def measure(lab):
    """The parts, {name: seconds each or a byte}; None and why where they cannot be had."""
    program = hl.BUILD + "/bench/bench_parts"
    ended = subprocess.run(on_cpu(ENGINE_CPU, [program, *(["--zero-copy"] if zero_copy() else [])]), capture_output=True, text=True, timeout=120)
    if ended.returncode:
        return None, f"bench_parts ended with {ended.returncode}: {ended.stderr.strip()[-300:]}"
    return json.loads(ended.stdout.splitlines()[-1]), None


def secured_s(kind, key, parts, remembered):
    """(seconds, in words) of a TLS 1.3 handshake's public-key work, transcript hash and key schedule.

    remembered   the share of the connections whose chain had been verified before: only CertificateVerify is left then
    """
    work = 2 * parts["x25519_s"] + parts["key_schedule_s"]
    words = f"2 X25519 at {parts['x25519_s'] * 1e6:.1f} us, hash and key schedule {parts['key_schedule_s'] * 1e6:.1f} us"
    if kind == "resume":
        return work, words
    verify, count = parts[f"verify_{key}_s"], 3 - 2 * remembered
    return work + verify * count, f"{words}, {count:.1f} {key} verifications at {verify * 1e6:.1f} us"


def of_mail(kind, shape, engine, parts):
    """The limit of a case, {"per_cpu_s", "why"}; None where the parts are wanting."""
    if not parts:
        return None
    key, per_connection, size, _ = shape
    gcm = min(parts["gcm_1400_s_per_byte"], parts["gcm_16k_s_per_byte"])
    secured, words = secured_s(kind, key, parts, engine["remembered"])
    ported = parts["port_transmit_s"] * engine["packets_out"] + parts["port_receive_s"] * engine["packets_in"]
    sealed = gcm * (size + ENVELOPE_BYTES)
    share = "" if per_connection == 1 else f", for {per_connection} messages"
    why = (f"{words} ({parts['public_keys']}){share}; {size + ENVELOPE_BYTES:,} bytes of AES-128-GCM at {gcm * 1e9:.3f} ns "
           f"({parts['gcm']}); {engine['packets_out']:.1f} packets out at {parts['port_transmit_s'] * 1e9:.0f} ns, "
           f"{engine['packets_in']:.1f} in at {parts['port_receive_s'] * 1e9:.0f} ns ({parts['port']})")
    return {"per_cpu_s": 1 / (sealed + ported + secured / per_connection), "why": why}
