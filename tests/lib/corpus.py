"""Messages of every kind that mail comes in, made from a seed, and the comparison of what arrived with what was sent.

    corpus = Corpus(lab.path("corpus"), messages=200, mailboxes=["alice@example.test", "bob@example.test"], seed=7)
    for message in corpus.messages:
        message.path, message.recipients         # a file with CRLF line ends; who is to get it
    verdict = corpus.compare(mx.mail_paths())    # {user: [path of a delivered message]}
    verdict.identical, verdict.lost, verdict.altered, verdict.duplicates, verdict.strangers

The same arguments give the same bytes. Identical means: behind the headers that the receiver put in front, every byte
is as it was, with CRLF as LF and an end of line at the end (SMTP has no message without one).
"""
import base64
import dataclasses
import hashlib
import os
import random
import re

KB, MB = 1 << 10, 1 << 20
SMALLEST, LARGEST = KB, 5 * MB
TOTAL_MAX = 300 * 1000 * 1000
QUEUE_ID = re.compile(rb"^Received: .*?\bid ([0-9A-Za-z]+)", re.MULTILINE | re.DOTALL)
MARK = b"X-Hardline-Message: "  # the first line of every message: where ours begins and the receiver's headers end
# Of all messages so many are that large; sizes are spread evenly by their logarithm.
BANDS = ((0.55, 1 * KB, 4 * KB), (0.25, 4 * KB, 32 * KB), (0.14, 32 * KB, 256 * KB), (0.05, 256 * KB, 1 * MB),
         (0.01, 1 * MB, 5 * MB))
WORDS = ("packet window greeting relay envelope queue letter signature north river lamp copper seventeen winter "
         "garden harbour minute ladder paper engine morning").split()
FOREIGN = ("Grüße aus Köln", "żółta łódź", "Ελληνικά γράμματα", "привет, мир", "こんにちは世界", "🙂 שלום", "naïve café")
# Lines that end a message, or start another one, at a receiver or sender that is careless.
SMUGGLED = (b".", b"MAIL FROM:<thief@example.test>", b"RCPT TO:<victim@example.test>", b"DATA", b".", b"QUIT", b"..", b"RSET",
            b"BDAT 5 LAST")


def digest(text):
    return hashlib.sha256(text).hexdigest()


def as_delivered(text):
    """What a receiver that keeps LF stores of a message."""
    text = text.replace(b"\r\n", b"\n")
    return text if text.endswith(b"\n") else text + b"\n"


# ---- kinds: lines of about `size` bytes in all, without their ends

def fill(rand, size, line):
    """Lines from line(), about size bytes; long texts repeat a stretch of them."""
    lines, bytes_ = [], 0
    while bytes_ < size and bytes_ < 64 * KB:
        lines.append(line())
        bytes_ += len(lines[-1]) + 2
    stretch = list(lines)
    while bytes_ < size:
        start = rand.randrange(len(stretch))
        part = stretch[start:start + 64]
        lines += part
        bytes_ += sum(map(len, part)) + 2 * len(part)
    return lines


def words(rand, count):
    return " ".join(rand.choice(WORDS) for _ in range(count)).encode()


def plain(rand, size):
    return fill(rand, size, lambda: words(rand, rand.randrange(12)))


def dots(rand, size):
    forms = (lambda: b".", lambda: b"..", lambda: b"." * rand.randrange(1, 70), lambda: b"." + words(rand, 5),
             lambda: b". ", lambda: b".\t.", lambda: b"", lambda: words(rand, 6) + b".", lambda: b".,")
    return fill(rand, size, lambda: rand.choice(forms)())


def only_dots(rand, size):
    return fill(rand, size, lambda: b".")


def smuggling(rand, size):
    return fill(rand, size, lambda: rand.choice(SMUGGLED))


def long_lines(rand, size):
    lengths = (998, 997, 999, 1000, 1024, 2048, 4096, 9999, 16383, 16384, 16385)

    def line():
        length = rand.choice(lengths)
        return (rand.choice((b"", b".", b"..")) + words(rand, length // 4))[:length].ljust(length, b"x")
    return fill(rand, size, line)


def eight_bit(rand, size):
    table = bytes(b if b not in b"\r\n\0" else 0xA4 for b in range(256))
    return fill(rand, size, lambda: rand.randbytes(rand.randrange(120)).translate(table))


def utf8(rand, size):
    return fill(rand, size, lambda: (rand.choice(FOREIGN) + " " + words(rand, 4).decode()).encode())


def blank_lines(rand, size):
    return fill(rand, size, lambda: b"")


def attachment(rand, size):
    boundary = b"=_%d" % rand.randrange(1 << 40)
    encoded = base64.b64encode(rand.randbytes(max(size - 600, 60) * 3 // 4 * 76 // 78))
    return [b"--" + boundary, b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: 8bit", b"",
            rand.choice(FOREIGN).encode(), b"--" + boundary, b"Content-Type: application/octet-stream",
            b"Content-Transfer-Encoding: base64", b'Content-Disposition: attachment; filename="data.bin"', b"",
            *(encoded[i:i + 76] for i in range(0, len(encoded), 76)), b"--" + boundary + b"--", b""]


def empty(rand, size):
    return []


LINES_OF = {f.__name__: f for f in (plain, dots, attachment, utf8, eight_bit, long_lines, smuggling, only_dots,
                                    blank_lines, empty)}
SMALL_ONLY = {"only_dots", "blank_lines", "empty"}  # where more of the same shows nothing


def ending(rand, kind):
    """How the text ends: mostly like any text; without an end of line; with blank lines; with a lone dot."""
    if kind == "empty":
        return b""
    return rand.choice((b"\r\n",) * 5 + (b"", b"\r\n\r\n\r\n\r\n", b"\r\n.", b"\r\n.\r\n", b"\r\n..\r\n"))


# ---- a message

@dataclasses.dataclass
class Message:
    number: int
    kind: str
    path: str
    bytes: int
    digest: str  # of what is to arrive
    recipients: list
    eight_bit: bool


def header(number, kind, rand, recipients, least):
    """The header's lines, at least so many bytes: some texts are shorter than a message shall be."""
    lines = [MARK + b"%d" % number, b"From: sender@sender.test", b"To: " + ", ".join(recipients).encode(),
             b"Subject: " + kind.encode() + b" " + words(rand, 3), b"Date: Thu, 01 Jan 2026 00:00:00 +0000",
             b"Message-ID: <%d.%d@sender.test>" % (number, rand.randrange(1 << 48)), b"MIME-Version: 1.0"]
    while sum(len(line) + 2 for line in lines) < least:
        lines.append(b"X-Padding: " + words(rand, 8))
    return lines


def compose(number, kind, size, rand, recipients):
    text = b"\r\n".join(LINES_OF[kind](rand, size - 400)) + ending(rand, kind)
    lines = header(number, kind, rand, recipients, SMALLEST - len(text))
    if kind == "attachment":
        boundary = text[2:text.index(b"\r\n")]
        lines.append(b'Content-Type: multipart/mixed;\r\n\tboundary="' + boundary + b'"')
    return b"\r\n".join(lines) + b"\r\n\r\n" + text


def pick_size(rand, number, budget):
    if number == 0 and budget > 10 * LARGEST:
        return LARGEST - 2 * KB
    share = rand.random()
    for part, low, high in BANDS:
        if share < part:
            break
        share -= part
    size = int(low * (high / low) ** rand.random())
    return min(size, max(budget, SMALLEST))


class Verdict:
    """What became of the pairs of message and recipient."""

    def __init__(self):
        self.identical, self.altered, self.lost = set(), {}, set()  # pairs (number, user); of altered: their path
        self.duplicates, self.strangers = [], []  # pairs that came again; paths of what nobody sent
        self.written_twice = []  # pairs that came once: the receiver was ended between writing to a mailbox and noting it
        self.queue_ids = {}  # of each pair, the receiver's number of the message

    def complaints(self):
        yield from (f"message {n} to {u} is altered: {path}" for (n, u), path in sorted(self.altered.items()))
        yield from (f"message {n} to {u} is lost" for n, u in sorted(self.lost))
        yield from (f"message {n} to {u} came more than once: {self.queue_ids[n, u]}" for n, u in self.duplicates)
        yield from (f"nobody sent {path}" for path in self.strangers)


class Corpus:
    def __init__(self, folder, messages, mailboxes, seed, to_several=0):
        """messages to one recipient each, then to_several ones to two and more."""
        os.makedirs(folder)
        self.folder = folder
        self.messages = []
        budget = TOTAL_MAX
        for number in range(messages + to_several):
            rand = random.Random(f"{seed} {number}")
            count = 1 if number < messages else rand.randrange(2, len(mailboxes) + 1)
            self.messages.append(self._write(number, rand, rand.sample(mailboxes, count), budget))
            budget -= self.messages[-1].bytes
        self.bytes = TOTAL_MAX - budget

    def _write(self, number, rand, recipients, budget):
        size = pick_size(rand, number, budget - 100 * KB)
        kinds = [k for k in LINES_OF if size < 64 * KB or k not in SMALL_ONLY]
        kind = kinds[number % len(kinds)]
        text = compose(number, kind, size, rand, recipients)
        path = os.path.join(self.folder, f"{number:06}.eml")
        with open(path, "wb") as f:
            f.write(text)
        return Message(number, kind, path, len(text), digest(as_delivered(text)), recipients, not text.isascii())

    def pairs(self):
        return {(m.number, user) for m in self.messages for user in m.recipients}

    def compare(self, paths_of):
        """paths_of: {user: [path]}, what the receiver has."""
        verdict, wanted = Verdict(), self.pairs()
        for user, paths in paths_of.items():
            for path in paths:
                self._judge(verdict, wanted, user, path)
        verdict.lost = wanted - verdict.identical - set(verdict.altered)
        return verdict

    def _judge(self, verdict, wanted, user, path):
        with open(path, "rb") as f:
            text = f.read()
        start = 0 if text.startswith(MARK) else text.find(b"\n" + MARK) + 1
        number = text[start + len(MARK):text.find(b"\n", start)] if text[start:].startswith(MARK) else b""
        pair = (int(number), user) if number.isdigit() else None
        queue_id = QUEUE_ID.search(text[:start])
        seen = verdict.queue_ids.setdefault(pair, [])
        again = queue_id and queue_id[1] in seen
        seen.append(queue_id and queue_id[1])
        if pair not in wanted:
            verdict.strangers.append(path)
        elif again:
            verdict.written_twice.append(pair)
        elif pair in verdict.identical or pair in verdict.altered:
            verdict.duplicates.append(pair)
        elif digest(text[start:]) == self.messages[pair[0]].digest:
            verdict.identical.add(pair)
        else:
            verdict.altered[pair] = path
