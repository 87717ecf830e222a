"""A real Postfix as the receiving MX, with configuration, queue and mailboxes of its own.

    mx = Postfix(lab, net, 1, cert, users=["alice@example.test"])
    mx.wait_for_mail("alice@example.test", 1)
    mx.mail("alice@example.test")                        # a list of messages, bytes, in order of arrival

Listens on port 25 of the receiver's address `host` (both families), demands STARTTLS, keeps mail in Maildirs, sends
none. Takes the users postfix and postdrop of Debian's package, touches none of its files.
"""
import glob
import os
import re
import shutil
import time

UID = GID = 65534

MAIN = """
compatibility_level = 3.9
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = /dev/stdout
syslog_name = postfix

myhostname = {name}
mydestination =
mynetworks = 127.0.0.1/32
inet_interfaces = {addresses}
inet_protocols = all
disable_dns_lookups = yes
smtpd_peername_lookup = no
default_transport = error:5.1.2 this host sends no mail
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
default_process_limit = 100
in_flow_delay = 0
message_size_limit = 50000000
smtputf8_enable = yes

smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = {key} {chain}
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
smtpd_tls_session_cache_database =
tls_random_source = dev:/dev/urandom

virtual_mailbox_domains = {domains}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/mailboxes
virtual_mailbox_limit = 0
virtual_uid_maps = static:%d
virtual_gid_maps = static:%d
""" % (UID, GID)

MASTER = """
smtp      inet  n  -  n  -     -  smtpd
cleanup   unix  n  -  n  -     0  cleanup
qmgr      unix  n  -  n  300   1  qmgr
tlsmgr    unix  -  -  n  1000? 1  tlsmgr
rewrite   unix  -  -  n  -     -  trivial-rewrite
bounce    unix  -  -  n  -     0  discard
defer     unix  -  -  n  -     0  bounce
trace     unix  -  -  n  -     0  bounce
flush     unix  n  -  n  1000? 0  flush
proxymap  unix  -  -  n  -     -  proxymap
error     unix  -  -  n  -     -  error
retry     unix  -  -  n  -     -  error
virtual   unix  -  n  n  -     -  virtual
anvil     unix  -  -  n  -     1  anvil
postlog   unix-dgram n - n -   1  postlogd
"""


class Postfix:
    """One instance, started and answering when the constructor returns.

    host       number of its addresses, see Net
    cert       its certificate, see ca.py
    users      its mailboxes, user@domain
    settings   further lines of main.cf, {name: value}; they override
    """

    def __init__(self, lab, net, host, cert, users, name="mx1.example.test", settings=None):
        self.lab, self.net, self.host = lab, net, host
        self.folder = lab.path(f"postfix{host}")
        self.users = users
        net.add_host(host)
        self._write_files(cert, name, settings or {})
        self.process = None
        self.start()

    def _write_files(self, cert, name, settings):
        for part in ("", "queue", "data", "mail", "conf"):
            os.mkdir(os.path.join(self.folder, part))
        os.chmod(self.folder, 0o711)
        shutil.chown(os.path.join(self.folder, "data"), "postfix")
        os.chown(os.path.join(self.folder, "mail"), UID, GID)
        main = MAIN.format(folder=self.folder, name=name, key=cert.key, chain=cert.chain,
                           addresses=f"{self.net.ip4(self.host)}, {self.net.ip6(self.host)}",
                           domains=", ".join(sorted({u.split('@')[1] for u in self.users})))
        for key, value in settings.items():
            main = re.sub(rf"^{key} *=.*\n", "", main, flags=re.M) + f"{key} = {value}\n"
        self._write("conf/main.cf", main)
        self._write("conf/master.cf", MASTER)
        self._write("mailboxes", "".join(f"{u} {u}/\n" for u in self.users))

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as f:
            f.write(text)

    def start(self):
        conf = os.path.join(self.folder, "conf")
        self.net.receiver.run("postfix", "-c", conf, "check")  # makes the queue's directories
        # not `postfix start-fg`: that is a shell, whose end master would outlive
        self.process = self.lab.start(["/usr/lib/postfix/sbin/master", "-c", conf, "-s"], name=f"postfix{self.host}",
                                      ns=self.net.receiver, ready="daemon started", session=True)
        deadline = time.monotonic() + 10
        while not self.net.answers(self.host):
            if time.monotonic() > deadline:
                raise RuntimeError("Postfix does not answer:\n" + self.log())
            time.sleep(0.05)

    def stop(self):
        """Ends it; returns when nothing listens any more. What it has accepted is in its queue or mailboxes."""
        self.process.stop()
        deadline = time.monotonic() + 10
        while self.net.answers(self.host):  # its services end a moment after master
            if time.monotonic() > deadline:
                raise RuntimeError("Postfix still answers:\n" + self.log())
            time.sleep(0.05)

    def log(self):
        return self.process.log()

    def mail_paths(self):
        """All mail, {user: [path]}, in no order."""
        return {user: glob.glob(os.path.join(self.folder, "mail", user, "new", "*")) for user in self.users}

    def mail(self, user):
        """The user's messages, bytes, the oldest first."""
        messages = []
        for path in sorted(self.mail_paths()[user], key=lambda p: (os.stat(p).st_mtime_ns, p)):
            with open(path, "rb") as f:
                messages.append(f.read())
        return messages

    def wait_for_mail(self, user, count, timeout_s=20):
        """The user's messages once there are `count`, or what there is when the time is out."""
        deadline = time.monotonic() + timeout_s
        while len(found := self.mail(user)) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return found
