"""Every MX that cheats is refused for its own reason, and nothing of the message leaves; honest ones get theirs."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from passes import Passes, memory
from scene import MX, Scene, hl

REASONS = {
    "no_starttls": "starttls-not-supported",
    "starttls_rejected_454": "starttls-rejected",
    "starttls_rejected_502": "starttls-rejected",
    "injected_plaintext": "starttls-injection",
    "clear_after_220": "tls-handshake",
    "reset_in_handshake": "connection-reset",
    "close_in_handshake": "connection-lost",
    "hang_in_handshake": "timeout",
    "garbage_in_handshake": "tls-handshake",
    "expired": "certificate-expired",
    "not_yet_valid": "certificate-expired",
    "wrong_name": "certificate-host-mismatch",
    "unknown_ca": "certificate-not-trusted",
    "self_signed": "certificate-self-signed",
    "rsa1024": "certificate-weak",
    "client_purpose": "certificate-not-trusted",
    "tls10": "tls-version",
    "tls11": "tls-version",
    "tls12_static_rsa": "tls-handshake",
    "tls12_cbc": "tls-handshake",
}
HONEST = {
    "good": {},
    "good_p256": {},
    "good_tls12": {"version": "TLSv1.2", "cipher": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
    "good_tls13": {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"},
    "good_no_extensions": {},
}


def menu(scene):
    before = {case: scene.mxs.connections(case) for case in REASONS}
    results = scene.deliver({case: {} for case in scene.mxs.cases})
    for case, reason in REASONS.items():
        scene.refused(case, results[case], reason, f"{case}: {reason}")
        hl.equal(scene.mxs.connections(case) - before[case], 1, f"{case}: was connected to once")
    for case, evidence in HONEST.items():
        scene.delivered(case, results[case], f"{case}: delivered", pkix=True, matched_name=MX, reused=False, **evidence)


def main():
    passes = Passes(memory())
    scene = Scene(settings=passes.settings({"smtp": {"timeout-percent": 10}}), wall=True)
    hl.equal(sorted(scene.mxs.cases), sorted([*REASONS, *HONEST]), "every case of the menu has its expectation here")
    passes.run(scene, [menu])
    for case in scene.mxs.cases:
        sni = {e["text"] for e in scene.mxs.events(case, "sni")}
        hl.ok(sni <= {MX}, f"{case}: the name in the ClientHello is the MX's", sni)
    hl.done()


main()
