#!/usr/bin/env python3
"""Instructions that a message of 10 kB on a connection that carries a hundred costs the engine's core, by callgrind.

    scripts/env bench/message_instructions.py [--messages N] [--build DIR]

Builds tests/unit/core/message_cost for x86-64-v3 (valgrind does not know AVX-512), release, in DIR or a folder of its own.
The receivers of the tests take the mail: P-256 certificates, X25519MLKEM768; a handshake's share is SSL_do_handshake's.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
TARGET = "tests/unit/core/message_cost"
PARTS = {  # those of a line lie within the one above it where they are indented
    "core_turn": "all",
    "SSL_do_handshake": "  handshakes (one for a hundred messages)",
    "smtp_output": "  commands and body",
    "smtp_body_put": "    the body, copied and judged",
    "smtp_input": "  replies, and results",
    "tls_write": "  sealing, and room in packets",
    "record_cipher_seal": "    AES-GCM",
    "tcp_push+tcp_output": "  segments and their frames",
    "core_take_jobs": "  jobs taken and placed",
    "on_ready": "  a connection takes its next message",
}


def build(folder):
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        subprocess.run(["meson", "setup", "--buildtype=release", "-Dc_args=-march=x86-64-v3 -g", folder, TOP], check=True,
                       stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", folder, TARGET], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(folder, TARGET)


def inclusive(out):
    """Instructions by function, with what it calls."""
    text = subprocess.run(["callgrind_annotate", "--auto=no", "--inclusive=yes", "--threshold=100", out], check=True,
                          capture_output=True, text=True).stdout
    found = {}
    for count, name in re.findall(r"^\s*([\d,]+) \([\s\d.]+%\)\s+\S*:([\w.]+)", text, re.M):
        found[name] = max(found.get(name, 0), int(count.replace(",", "")))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--build")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        exe = build(options.build or os.path.join(folder, "build"))
        out = os.path.join(folder, "out")
        run = subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=core_turn",
                              f"--callgrind-out-file={out}", exe, str(options.messages)], capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"message_instructions: {(run.stdout + run.stderr)[-500:]}")
        found = inclusive(out)
    for name, what in PARTS.items():
        count = sum(found.get(part, 0) for part in name.split("+"))
        print(f"{count / options.messages:10,.0f}  {what}")


if __name__ == "__main__":
    main()
