"""Runs google/packetdrill's TCP scripts against the stack, where a checkout of it is named by PACKETDRILL_DIR."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import tap


def main():
    place = os.environ.get("PACKETDRILL_DIR", "")
    if not os.path.isdir(os.path.join(place, "gtests", "net", "packetdrill")):
        tap.skip("scripts", "PACKETDRILL_DIR does not name a checkout of google/packetdrill")
    else:
        tap.skip("scripts", "the stack has no packetdrill shim yet")
    tap.done()


main()
