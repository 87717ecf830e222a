"""A TLS 1.3 server of OpenSSL's that changes its keys in the middle of what it says: Python's ssl cannot.

It takes the place of an ssl.SSLObject in attacker.Session. What it does is a plan, a string for each write, of which the last
one is for all that follow: "." a part of the data, as many as there are points; "t" a KeyUpdate; "a" one that asks the client for
its own (RFC 8446 section 4.6.3). So "a." asks before a reply, ".t" tells behind it, ".a." asks in the middle.
"""
import ctypes
import ssl

VERSION_13 = 0x0304
SET_MIN_PROTO_VERSION = 123  # of SSL_CTX_ctrl
PEM = 1
ERROR_WANT_READ, ERROR_ZERO_RETURN = 2, 6
HANDSHAKE, KEY_UPDATE = 22, 24  # a record's type, a message's
REQUESTED = {"t": 0, "a": 1}
MESSAGE_SEEN = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t,
                                ctypes.c_void_p, ctypes.c_void_p)


def load(name, functions):
    """The library, with what its functions return and take."""
    library = ctypes.CDLL(name)
    for function, (returns, takes) in functions.items():
        getattr(library, function).restype, getattr(library, function).argtypes = returns, takes
    return library


P, I, L, S = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p
LIBSSL = load("libssl.so.3", {
    "TLS_server_method": (P, []), "SSL_CTX_new": (P, [P]), "SSL_CTX_ctrl": (L, [P, I, L, P]), "SSL_CTX_free": (None, [P]),
    "SSL_CTX_use_certificate_chain_file": (I, [P, S]), "SSL_CTX_use_PrivateKey_file": (I, [P, S, I]),
    "SSL_new": (P, [P]), "SSL_free": (None, [P]), "SSL_set_bio": (None, [P, P, P]), "SSL_set_accept_state": (None, [P]),
    "SSL_set_msg_callback": (None, [P, MESSAGE_SEEN]), "SSL_do_handshake": (I, [P]), "SSL_key_update": (I, [P, I]),
    "SSL_read": (I, [P, P, I]), "SSL_write": (I, [P, S, I]), "SSL_get_error": (I, [P, I]), "SSL_get_version": (S, [P]),
    "SSL_get_current_cipher": (P, [P]), "SSL_CIPHER_get_name": (S, [P])})
LIBCRYPTO = load("libcrypto.so.3", {
    "BIO_s_mem": (P, []), "BIO_new": (P, [P]), "BIO_read": (I, [P, P, I]), "BIO_write": (I, [P, S, I]),
    "ERR_get_error": (ctypes.c_ulong, []), "ERR_clear_error": (None, []), "ERR_reason_error_string": (S, [ctypes.c_ulong])})


class Pipe:
    """What an ssl.MemoryBIO is, for a BIO that is not Python's."""

    def __init__(self):
        self.bio = LIBCRYPTO.BIO_new(LIBCRYPTO.BIO_s_mem())

    def write(self, data):
        LIBCRYPTO.BIO_write(self.bio, data, len(data))

    def read(self):
        data = b""
        buffer = ctypes.create_string_buffer(65536)
        while (got := LIBCRYPTO.BIO_read(self.bio, buffer, len(buffer))) > 0:
            data += buffer.raw[:got]
        return data


class KeyChanger:
    """A session; told(ours, asks) is called for each KeyUpdate that goes or comes."""

    session_reused = False

    def __init__(self, chain, key, plan, told):
        self.incoming, self.outgoing, self.plan, self.told = Pipe(), Pipe(), list(plan), told
        self.context = LIBSSL.SSL_CTX_new(LIBSSL.TLS_server_method())
        LIBSSL.SSL_CTX_ctrl(self.context, SET_MIN_PROTO_VERSION, VERSION_13, None)
        if (LIBSSL.SSL_CTX_use_certificate_chain_file(self.context, chain.encode()) != 1 or
                LIBSSL.SSL_CTX_use_PrivateKey_file(self.context, key.encode(), PEM) != 1):
            raise ssl.SSLError(self.complaint())
        self.ssl = LIBSSL.SSL_new(self.context)
        self.seen = MESSAGE_SEEN(self.message_seen)  # as long as the session lives
        LIBSSL.SSL_set_msg_callback(self.ssl, self.seen)
        LIBSSL.SSL_set_bio(self.ssl, self.incoming.bio, self.outgoing.bio)
        LIBSSL.SSL_set_accept_state(self.ssl)

    def __del__(self):
        LIBSSL.SSL_free(self.ssl)  # and the BIOs
        LIBSSL.SSL_CTX_free(self.context)

    def message_seen(self, ours, _version, kind, data, length, _ssl, _arg):
        if kind == HANDSHAKE and length == 5 and ctypes.string_at(data, 1)[0] == KEY_UPDATE:
            self.told(bool(ours), bool(ctypes.string_at(data, length)[4]))

    @staticmethod
    def complaint():
        return (LIBCRYPTO.ERR_reason_error_string(LIBCRYPTO.ERR_get_error()) or b"no reason").decode()

    def result(self, value):
        """The value of a call that went well; else an exception of ssl's."""
        if value > 0:
            return value
        error = LIBSSL.SSL_get_error(self.ssl, value)
        if error == ERROR_WANT_READ:
            raise ssl.SSLWantReadError()
        if error == ERROR_ZERO_RETURN:
            return 0
        raise ssl.SSLError(self.complaint())

    def call(self, function, *arguments):
        LIBCRYPTO.ERR_clear_error()
        return self.result(getattr(LIBSSL, function)(self.ssl, *arguments))

    def do_handshake(self):
        self.call("SSL_do_handshake")

    def read(self, count):
        buffer = ctypes.create_string_buffer(count)
        got = self.call("SSL_read", buffer, count)
        return buffer.raw[:got]

    def write(self, data):
        plan = self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]
        left = plan.count(".")
        for step in plan:
            if step in REQUESTED:
                self.call("SSL_key_update", REQUESTED[step])
                self.do_handshake()
                continue
            part, data = data[:len(data) // left], data[len(data) // left:]
            left -= 1
            self.call("SSL_write", part, len(part))

    def version(self):
        return LIBSSL.SSL_get_version(self.ssl).decode()

    def cipher(self):
        return (LIBSSL.SSL_CIPHER_get_name(LIBSSL.SSL_get_current_cipher(self.ssl)).decode(),)
