"""A scene for tests: an engine, and every MX of attacker.py's menu behind a domain of its own.

    scene = Scene(rules=[{"match": "*", "level": "verify"}])
    results = scene.deliver({"wrong_name": {}, "good": {"tls-floor": "secure"}})
    scene.refused("wrong_name", results["wrong_name"], "certificate-host-mismatch")
    scene.delivered("good", results["good"])
"""
import attacker
import hl
from engine import Engine

MX = "mx.attack.test"
SUBJECT = b"the subject is secret"
BODY = b"a line that is secret\r\n.a dot\r\n"


def domain(case):
    return case.replace("_", "-") + ".attack.test"


class Scene:
    """rules, settings, further options: the engine's, see Engine. rules may be a function of the scene.

    more     a function of the scene that gives further cases for the menu
    routes   a function of the scene that gives further routes
    """

    def __init__(self, rules=(), settings=None, more=None, routes=None, **options):
        self.lab = hl.Lab()
        self.net = hl.Net(self.lab)
        self.ca = hl.Ca(self.lab)
        cases = attacker.attacks(self.lab, MX, self.ca)
        for number, (name, case) in enumerate((more(self) if more else {}).items()):
            cases[name] = {"host": 60 + number, "mode": "honest", "cert": cases["good"]["cert"], **case}
        self.mxs = hl.Attackers(self.lab, self.net, cases, MX)
        self.routes = {domain(case): (MX, self.mxs.address(case)) for case in cases} | (routes(self) if routes else {})
        self.message = self.lab.write("secret.eml", b"Subject: " + SUBJECT + b"\r\n\r\n" + BODY)
        rules = rules(self) if callable(rules) else rules
        self.engine = Engine(self.lab, self.net, self.ca, routes=self.routes, rules=rules, settings=settings,
                             **options)

    def job(self, domain_, **more):
        return {"to": [f"victim@{domain_}"], "path": self.message, **more}

    def deliver(self, cases):
        """One message to each case's domain; cases: {case: more of the job}. Returns {case: result}."""
        results = self.engine.submit([self.job(domain(case), **more) for case, more in cases.items()])
        return dict(zip(cases, results))

    def send(self, *jobs):
        return self.engine.submit(list(jobs))

    def story(self, case, result):
        return (f"result: {result}", self.mxs.story(case))

    def leaked(self, case):
        return self.mxs.leaked(case, SUBJECT, b"a line that is secret", b"victim@")

    def refused(self, case, result, reason, what=None, verdict="deferred"):
        """Reports: the reason is this one, and nothing of the message reached the MX. Not for an MX that has had mail."""
        hl.ok(result["verdict"] == verdict and result["reason"] == reason and not self.leaked(case) and
              self.mxs.refused(case), what or f"{case}: {reason}", f"wanted {verdict}, {reason}", *self.story(case, result))

    def stopped(self, case, result, reason, what):
        """Reports: the reason is this one, whatever else the MX has been sent."""
        hl.ok(result["verdict"] == "deferred" and result["reason"] == reason, what, f"wanted {reason}",
              *self.story(case, result))

    def delivered(self, case, result, what=None, **evidence):
        """Reports: delivered over TLS, byte for byte, and the evidence says so."""
        tls = result.get("tls") or {}
        taken = self.mxs.messages(case)
        hl.ok(result["verdict"] == "delivered" and not self.leaked(case) and taken and taken[-1]["secured"] and
              taken[-1]["body"] == b"Subject: " + SUBJECT + b"\r\n\r\n" + BODY and
              all(tls.get(key) == value for key, value in evidence.items()),
              what or f"{case}: delivered", f"wanted evidence {evidence}", *self.story(case, result))
