"""An `ssh` that is the real one, but for what its server is made to answer.

`python strange_ssh.py TRICK LOG SSH ARGUMENT...`; what is asked of it goes to LOG.
"""

import os
import select
import struct
import sys
from subprocess import PIPE, Popen
from threading import Thread

VERSION, STATUS, DATA, NAME = 2, 101, 103, 104
END = struct.pack(">I", 1)


class Answers:
    """Each trick gives what is answered instead of one packet (kind, number, fields)."""

    def __init__(self, source):
        self.source = source
        self.seen = 0
        """So many packets of data went by."""

    def give_less(self, kind, number, fields):
        """Give less than is asked for, but something."""
        if kind == DATA and len(fields) > 5:
            fields = data(fields[4 : 4 + (len(fields) + 1) // 3])
        yield kind, number, fields

    def give_more(self, kind, number, fields):
        """Give more than is asked for."""
        yield kind, number, data(fields[4:] + b"more") if kind == DATA else fields

    def change_the_order(self, kind, number, fields):
        """Give one answer after the next."""
        held = (kind, number, fields)
        ready = kind == DATA and select.select([self.source], [], [], 0.2)[0]
        if ready and (after := packet(self.source)):
            yield after
        yield held

    def end_too_soon(self, kind, number, fields):
        """Say of the second part that it is behind the end, but not of the third."""
        self.seen += kind == DATA
        yield (STATUS, number, END) if self.seen == 2 and kind == DATA else (kind, number, fields)

    def refuse(self, kind, number, fields):
        """Say that it goes wrong, whatever it is."""
        yield (kind, number, fields) if kind == VERSION else (STATUS, number, struct.pack(">I", 4))

    def offer_nothing(self, kind, number, fields):
        """Be an old server, without extensions."""
        yield kind, number, b"" if kind == VERSION else fields

    def be_older(self, kind, number, fields):
        """Be a server that is too old."""
        yield kind, 2 if kind == VERSION else number, fields

    def break_off(self, kind, number, fields):
        """Hang up in the middle."""
        if kind in (DATA, NAME):
            os.write(1, struct.pack(">IBI", len(fields) + 5, kind, number) + fields[:10])
            os._exit(0)
        yield kind, number, fields

    def keep_waiting(self, kind, number, fields):
        """Do not answer what is asked to read."""
        if kind not in (DATA, NAME):
            yield kind, number, fields


def data(content):
    """Give the fields of an answer with data."""
    return struct.pack(">I", len(content)) + content


def packet(source):
    """Take one from the server; None when it has hung up."""
    head = take(source, 9)
    if head is None:
        return None
    size, kind, number = struct.unpack(">IBI", head)
    return kind, number, take(source, size - 5)


def take(source, size):
    """Read so much, and no more, so that `select` knows whether there is more."""
    found = b""
    while len(found) < size:
        part = source.read(size - len(found))
        if not part:
            return None
        found += part
    return found


def main():
    trick, log, *command = sys.argv[1:]
    with open(log, "a", encoding="utf-8") as file:
        file.write("asked\n")
    if trick == "tell_a_story":
        os.write(1, b"Once upon a time there was a server that did not speak SFTP.")
        return
    if trick == "promise_the_world":
        os.write(1, b"\xff" * 100)
        return
    if trick == "hang_up":
        sys.exit(255)
    ssh = Popen(command, stdin=PIPE, stdout=PIPE, bufsize=0)

    def forward():
        while asked := os.read(0, 1 << 20):
            ssh.stdin.write(asked)
        ssh.stdin.close()

    Thread(target=forward, daemon=True).start()
    answers = Answers(ssh.stdout)
    while one := packet(ssh.stdout):
        for kind, number, fields in getattr(answers, trick)(*one):
            os.write(1, struct.pack(">IBI", len(fields) + 5, kind, number) + fields)


if __name__ == "__main__":
    main()
