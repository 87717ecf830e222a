"""Certificates for tests, made with the openssl command: a root, an intermediate, leaves good and bad.

    ca = Ca(lab)                                      # or Ca(lab, "other", key="p256")
    good = ca.issue("mx1.example.test")
    old = ca.issue("mx1.example.test", days=(-30, -1))
    good.key, good.chain, ca.root                     # paths: key; leaf and intermediate; trust anchor

A chain is leaf, intermediate, root: what hardline's fast path calls a chain of three.
"""
import os
import subprocess
import time

CA_EXTENSIONS = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
LEAF_EXTENSIONS = ("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                   "extendedKeyUsage=serverAuth\nsubjectKeyIdentifier=hash\n")
DEFAULT_DAYS = (-1, 30)


def _openssl(*args, stdin=None):
    ended = subprocess.run(["openssl", *args], input=stdin, capture_output=True, timeout=60)
    if ended.returncode:
        raise RuntimeError(f"openssl {' '.join(args)}: {ended.stderr.decode(errors='replace')}")
    return ended.stdout


def _make_key(path, kind):
    options = {"rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
               "rsa1024": ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
               "p256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
               "p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
               "ed25519": ["ED25519"]}
    if kind not in options:
        raise ValueError(f"unknown key {kind!r}: known are {', '.join(options)}")
    _openssl("genpkey", "-algorithm", *options[kind], "-out", path)


def _validity(days):
    """openssl's options for a certificate valid from days[0] to days[1], counted from now."""
    def stamp(day):
        return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + day * 86400))
    return ["-not_before", stamp(days[0]), "-not_after", stamp(days[1])]


class Cert:
    """One certificate with its key. `key`, `cert`, `chain` are paths of PEM files; `chain` is what a server sends."""

    def __init__(self, base, key=None):
        self.key = key or base + ".key"
        self.cert = base + ".crt"
        self.chain = base + ".chain"

    def der(self):
        return _openssl("x509", "-in", self.cert, "-outform", "DER")

    def spki(self):
        """The public key, DER: what TLSA selector 1 and SPKI pins digest."""
        public = _openssl("x509", "-in", self.cert, "-pubkey", "-noout")
        return _openssl("pkey", "-pubin", "-outform", "DER", stdin=public)


class Ca:
    def __init__(self, lab, name="ca", key="rsa", days=DEFAULT_DAYS):
        self.folder = lab.path(name)
        os.mkdir(self.folder)
        self.key = key
        self.issued = 0
        self.root_cert = self._make("root", f"hardline test root {name}", None, CA_EXTENSIONS, days, key)
        self.intermediate = self._make("intermediate", f"hardline test intermediate {name}", self.root_cert,
                                       CA_EXTENSIONS, days, key)
        self.root = self.root_cert.cert

    def issue(self, name, *names, ips=(), days=DEFAULT_DAYS, key=None, digest="sha256", extensions=LEAF_EXTENSIONS,
              subject=None):
        """Issues a leaf for DNS names and addresses. key: rsa, rsa1024, p256, p384, ed25519; the CA's when not given.

        days        validity, from and to, counted from now; (-30, -1) is expired, (1, 30) not yet valid
        extensions  openssl's, for leaves with a wrong purpose
        subject     common name, when it is not the first name
        """
        self.issued += 1
        alternatives = [f"DNS:{n}" for n in (name, *names)] + [f"IP:{ip}" for ip in ips]
        leaf = self._make(f"leaf{self.issued}", subject or name, self.intermediate,
                          extensions + f"subjectAltName={','.join(alternatives)}\n", days, key or self.key, digest)
        with open(leaf.chain, "wb") as chain:
            for part in (leaf, self.intermediate):
                with open(part.cert, "rb") as f:
                    chain.write(f.read())
        return leaf

    def _make(self, base, subject, issuer, extensions, days, key, digest="sha256"):
        cert = Cert(os.path.join(self.folder, base))
        _make_key(cert.key, key)
        _sign(cert, subject, extensions, days, digest, issuer)
        return cert


def self_signed(lab, name, days=DEFAULT_DAYS, key="rsa"):
    """A leaf that nobody vouches for but itself."""
    base = lab.path(f"self-signed-{name}-{key}")
    cert = Cert(base)
    _make_key(cert.key, key)
    _sign(cert, name, LEAF_EXTENSIONS + f"subjectAltName=DNS:{name}\n", days, "sha256", None)
    cert.chain = cert.cert
    return cert


def _sign(cert, subject, extensions, days, digest, issuer):
    with open(cert.cert + ".ext", "w") as f:
        f.write(extensions)
    request = _openssl("req", "-new", "-key", cert.key, "-subj", "/CN=" + subject)
    signer = ["-CA", issuer.cert, "-CAkey", issuer.key] if issuer else ["-signkey", cert.key]
    _openssl("x509", "-req", "-" + digest, "-extfile", cert.cert + ".ext", *signer, *_validity(days),
             "-set_serial", str(int.from_bytes(os.urandom(8), "big") >> 1), "-out", cert.cert, stdin=request)
