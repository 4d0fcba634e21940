"""What every program of the matrix is given and prints: ../PROTOCOL.md."""

import os
import sys
import time
import traceback
import zlib

N = 300
START = int(time.time() * 1000) - 3_600_000
LIMIT = 3_000_000  # max.message.bytes of the topic for large records

bootstrap = os.environ["CLIENT_BOOTSTRAP"]
reference = os.environ["CLIENT_REFERENCE"]
sasl = os.environ.get("CLIENT_SECURITY") == "sasl_ssl"
mechanism = os.environ.get("CLIENT_MECHANISM")
user = os.environ.get("CLIENT_USER")
password = os.environ.get("CLIENT_PASSWORD")
ca = os.environ.get("CLIENT_CA")
failures = 0


def topic(name):
    return os.environ["CLIENT_PREFIX"] + "-" + name


def check(name, body, *args):
    global failures
    try:
        body(*args)
        print("ok", name, flush=True)
    except Exception as e:  # a check that fails is reported, and the others go on
        failures += 1
        print("FAIL %s: %s" % (name, repr(e).replace("\n", " ")), flush=True)
        traceback.print_exc()


def need(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


class Sum:
    def __init__(self):
        self.count = 0
        self.total = 0

    def add(self, key, value, headers):
        crc = _part(_part(0, key), value)
        for name, content in headers or []:
            crc = _part(_part(crc, name.encode()), content)
        self.count += 1
        self.total += crc

    def print(self, name):
        print("sum", name, self.count, self.total, flush=True)

    def __eq__(self, other):
        return (self.count, self.total) == (other.count, other.total)

    def __repr__(self):
        return "%d records, sum %d" % (self.count, self.total)


def _part(crc, b):
    return zlib.crc32(b"\x00\n" if b is None else b"\x01" + b + b"\n", crc)


def record(i):
    """Key, value, headers and timestamp of the record with a number."""
    key = None if i % 7 == 0 else b"key-%d" % (i % 50)
    value = None if i % 11 == 0 else b"" if i % 13 == 0 else b"value %d " % i + b"x" * (i % 100)
    headers = [("n", b"%d" % i), ("\u00fcmlaut", "\u20ac".encode())] if i % 2 == 0 else []
    return key, value, headers, START + i * 1000


def end():
    sys.exit(1 if failures else 0)
