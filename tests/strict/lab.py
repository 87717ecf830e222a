"""The lab itself: a strict client is refused nothing and refuses what it should, a careless one is caught.

Python's smtplib stands for the client, with an address in the kernel. If a case here fails, the suite's other programs
prove nothing.
"""
import os
import smtplib
import socket
import ssl
import sys
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import attacker
import hl

NAME = "mx1.example.test"
MESSAGE = b"Subject: the lab\r\n\r\na line that is secret\r\n.a dot\r\n"
SENT = {"good", "good_p256", "good_tls12", "good_tls13", "good_no_extensions"}
# What smtplib and OpenSSL's defaults let pass and hardline must not.
SMTPLIB_IS_LAX = {"injected_plaintext", "tls12_static_rsa", "tls12_cbc"}


def strict_context(ca):
    return ssl.create_default_context(cafile=ca.root)


def careless_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    return context


def deliver(net, address, context, to="alice@example.test"):
    """One message by smtplib; returns the client's fault or None."""
    with net.kernel_sender():
        client = smtplib.SMTP(timeout=3)
        try:
            client.connect(address, 25)
            client._host = NAME  # what starttls() checks the certificate against
            client.ehlo("sender.test")
            if context:
                client.starttls(context=context)
                client.ehlo("sender.test")
            client.sendmail("me@sender.test", [to], MESSAGE)
            client.quit()
        except (OSError, smtplib.SMTPException) as fault:
            return fault
        finally:
            client.close()
    return None


def a_real_postfix(lab, net, ca):
    mx = hl.Postfix(lab, net, 1, ca.issue(NAME), users=["alice@example.test", "bob@example.test"])
    sniffer = hl.Sniffer(lab, net.receiver, net.receiver_if)
    hl.equal(deliver(net, net.ip4(1), strict_context(ca)), None, "postfix takes mail over STARTTLS")
    mail = mx.wait_for_mail("alice@example.test", 1)
    hl.ok(len(mail) == 1 and b"\na line that is secret\n.a dot\n" in mail[0], "the mail is in the mailbox", mx.log())
    hl.ok(len(mail) == 1 and b"TLSv1.3" in mail[0], "it came over TLS 1.3", *mail)
    fault = deliver(net, net.ip4(1), None)
    hl.ok(getattr(fault, "smtp_code", None) == 530, "postfix takes none in the clear", fault)
    fault = deliver(net, net.ip4(1), strict_context(ca), to="nobody@example.test")
    hl.ok(isinstance(fault, smtplib.SMTPRecipientsRefused), "postfix refuses an unknown user", fault)
    flows = hl.streams(sniffer.stop())
    hl.ok(any(b"STARTTLS" in data for data in flows.values()), "the sniffer saw the dialogue", list(flows))
    hl.ok(not any(b"secret" in data for data in flows.values()), "the sniffer saw no body")
    mx.stop()
    hl.ok(not net.answers(1), "postfix stops")
    mx.start()
    hl.equal(deliver(net, net.ip4(1), strict_context(ca)), None, "postfix starts again")
    hl.equal(len(mx.wait_for_mail("alice@example.test", 2)), 2, "and keeps its mail")


def a_strict_client(net, ca, mxs):
    for case in mxs.cases:
        fault = deliver(net, mxs.address(case), strict_context(ca))
        if case in SENT | SMTPLIB_IS_LAX:
            hl.ok(fault is None and len(mxs.messages(case)) == 1 and mxs.messages(case)[0]["body"] == MESSAGE,
                  f"{case}: takes mail", fault, mxs.story(case))
        else:
            hl.ok(fault is not None and mxs.connections(case) == 1 and mxs.refused(case),
                  f"{case}: a strict client gives it no mail", fault, mxs.story(case))
        hl.equal(mxs.leaked(case, b"secret"), [], f"{case}: nothing leaked")


def a_careless_client(net, mxs):
    """The same MXs must tell when a client is careless, or the refusals above would say nothing."""
    for case in ("no_starttls", "starttls_rejected_454", "starttls_rejected_502"):
        deliver(net, mxs.address(case), None)
        hl.ok(b"secret" in mxs.leaked(case, b"secret") and not mxs.refused(case), f"{case}: mail in the clear is noticed",
              mxs.story(case))
    for case in ("expired", "not_yet_valid", "wrong_name", "unknown_ca", "self_signed", "rsa1024", "client_purpose",
                 "tls10", "tls11"):
        fault = deliver(net, mxs.address(case), careless_context())
        hl.ok(fault is None and not mxs.refused(case) and mxs.messages(case)[0]["secured"],
              f"{case}: a careless client is noticed", fault, mxs.story(case))
    with net.kernel_sender():
        client = socket.create_connection((mxs.address("clear_after_220"), 25), 3)
        for line in (b"EHLO me.test\r\n", b"STARTTLS\r\n", b"junk\r\n", b"MAIL FROM:<a@b.test>\r\n"):
            client.recv(4096)
            client.sendall(line)
        client.recv(4096)
        client.close()
    hl.ok(mxs.leaked("clear_after_220") == [b"MAIL"], "clear_after_220: a client that goes on in the clear is noticed",
          mxs.story("clear_after_220"))


def over_ipv6(lab, net, mxs):
    net.sender.run("sysctl", "-qw", f"net.ipv6.conf.{net.sender_if}.disable_ipv6=0")
    net.sender.run("ip", "address", "add", "fd77::200/64", "dev", net.sender_if, "nodad")
    with net.sender.entered(), socket.create_connection((mxs.addresses("good")[1], 25), 3) as client:
        hl.ok(client.recv(100).startswith(b"220 "), "the MX answers over IPv6")


def main():
    warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1 are what some cases are about
    lab = hl.Lab()
    net = hl.Net(lab)
    ca = hl.Ca(lab)
    a_real_postfix(lab, net, ca)
    mxs = hl.Attackers(lab, net, attacker.attacks(lab, NAME, ca))
    a_strict_client(net, ca, mxs)
    a_careless_client(net, mxs)
    over_ipv6(lab, net, mxs)
    hl.done()


main()
