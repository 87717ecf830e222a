"""What each level demands, whose trust anchors count, and that a job's floor adds to the rule and never takes away."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from scene import MX, Scene, domain, hl
from ca import Ca
from passes import Passes, memory


def more(scene):
    """Further MXs: one with a CA of its own, one whose certificate has the domain's name, one that has both."""
    scene.partner_ca = Ca(scene.lab, "partner-ca")
    return {
        "partner": {"cert": scene.partner_ca.issue(MX)},
        "partner_too": {"cert": scene.partner_ca.issue(MX)},
        "domain_name": {"cert": scene.ca.issue(domain("domain_name"))},
        "below_domain": {"cert": scene.ca.issue("mx." + domain("below_domain"))},
        "both_names": {"cert": scene.ca.issue(MX, domain("both_names"))},
        "wildcard": {"cert": scene.ca.issue("*." + MX.split(".", 1)[1])},
    }


def rules(scene):
    encrypt = ["unknown_ca", "self_signed", "wrong_name", "expired", "no_starttls", "starttls_rejected_454", "tls11",
               "injected_plaintext", "tls12_cbc", "rsa1024"]
    return [
        *({"match": domain(case), "level": "encrypt"} for case in encrypt),
        {"match": domain("partner"), "level": "verify", "ca-file": scene.partner_ca.root},
        {"match": domain("good"), "level": "secure"},
        {"match": domain("good_p256"), "level": "verify", "names": ["elsewhere.example", "hostname"]},
        {"match": domain("good_no_extensions"), "level": "verify", "names": ["elsewhere.example"]},
        {"match": domain("good_tls12"), "level": "verify", "min-version": "1.3"},
        {"match": domain("good_tls13"), "level": "verify", "min-version": "1.3"},
        {"match": domain("domain_name"), "level": "secure"},
        {"match": domain("below_domain"), "level": "secure"},
        {"match": domain("both_names"), "level": "secure"},
        {"match": "*", "level": "verify"},
    ]


def encrypt(scene):
    cases = ("unknown_ca", "self_signed", "wrong_name", "expired")
    results = scene.deliver(dict.fromkeys(cases, {}))
    for case in cases:
        scene.delivered(case, results[case], f"encrypt: {case} is nothing that it asks about", pkix=False, level="encrypt")


def encrypt_still_refuses(scene):
    reasons = {"no_starttls": "starttls-not-supported", "starttls_rejected_454": "starttls-rejected", "tls11": "tls-version",
               "injected_plaintext": "starttls-injection", "tls12_cbc": "tls-handshake", "rsa1024": "certificate-weak"}
    results = scene.deliver(dict.fromkeys(reasons, {}))
    for case, reason in reasons.items():
        scene.refused(case, results[case], reason, f"encrypt: {case} is refused all the same")


def names(scene):
    results = scene.deliver(dict.fromkeys(("good", "good_no_extensions", "domain_name", "below_domain", "both_names",
                                           "good_p256", "wildcard"), {}))
    mismatch = "certificate-host-mismatch"
    scene.refused("good", results["good"], mismatch, "secure: the MX's name is not the domain's")
    scene.delivered("domain_name", results["domain_name"], "secure: the domain's own name", level="secure",
                    matched_name=domain("domain_name"))
    scene.delivered("below_domain", results["below_domain"], "secure: a name below the domain",
                    matched_name="mx." + domain("below_domain"))
    scene.delivered("both_names", results["both_names"], "secure: one of two names")
    scene.delivered("good_p256", results["good_p256"], "names: one of the list is enough", matched_name=MX)
    scene.refused("good_no_extensions", results["good_no_extensions"], mismatch, "names: a list replaces the MX's name")
    scene.delivered("wildcard", results["wildcard"], "verify: a wildcard for the MX's domain")


def trust(scene):
    results = scene.deliver({"partner": {}, "partner_too": {}})
    scene.delivered("partner", results["partner"], "ca-file: counts for its rule", pkix=True)
    scene.refused("partner_too", results["partner_too"], "certificate-not-trusted", "ca-file: counts for no other rule")


def versions(scene):
    results = scene.deliver({"good_tls12": {}, "good_tls13": {}})
    scene.refused("good_tls12", results["good_tls12"], "tls-version", "min-version 1.3: not with TLS 1.2")
    scene.delivered("good_tls13", results["good_tls13"], "min-version 1.3: with TLS 1.3", version="TLSv1.3")


def floors(scene):
    """The rule and the floor are joined: what one of them demands holds."""
    mismatch = "certificate-host-mismatch"
    floor = {level: {"tls-floor": level} for level in ("encrypt", "verify", "secure")}
    results = scene.deliver({"not_yet_valid": floor["encrypt"], "self_signed": floor["verify"],
                             "good_p256": floor["secure"], "domain_name": floor["verify"], "both_names": floor["verify"]})
    scene.refused("not_yet_valid", results["not_yet_valid"], "certificate-expired",
                  "a floor of encrypt does not lower a rule of verify")
    scene.stopped("self_signed", results["self_signed"], "certificate-self-signed",
                  "a floor of verify raises a rule of encrypt")
    scene.stopped("good_p256", results["good_p256"], mismatch, "a floor of secure raises a rule of verify")
    scene.stopped("domain_name", results["domain_name"], mismatch,
                  "a rule of secure and a floor of verify demand both names")
    scene.delivered("both_names", results["both_names"], "a certificate with both names satisfies both", level="secure")


def requiretls(scene):
    result = scene.deliver({"good_p256": {"requiretls": True}})["good_p256"]
    hl.ok(result["verdict"] == "failed" and result["reason"] == "unsupported" and result["stage"] == "policy",
          "REQUIRETLS: the job fails before anybody is connected to", result)


def main():
    passes = Passes(memory())
    scene = Scene(rules=rules, more=more, settings=passes.settings(), wall=True)
    passes.run(scene, [encrypt, encrypt_still_refuses, names, trust, versions, floors, requiretls])
    hl.done()


main()
