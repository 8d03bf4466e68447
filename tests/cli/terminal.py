"""A program on a pseudo terminal, and what a person would see on it. Knows the control sequences that libedit uses; an unknown one fails."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

ROWS, COLUMNS, DEADLINE_S = 50, 100, 20
CSI = re.compile(rb"\x1b\[([?0-9;]*)([A-Za-z@])")


class Screen:
    def __init__(self):
        self.lines = [[" "] * COLUMNS for _ in range(ROWS)]
        self.row = self.column = 0
        self.insert = False
        self.left = b""

    def text(self):
        """Lines that were wrapped at the right edge are put together again."""
        text = ""
        for line in self.lines:
            text += "".join(line) if line[-1] != " " else "".join(line).rstrip() + "\n"
        return text.rstrip("\n")

    def feed(self, data):
        data = self.left + data
        at = 0
        while at < len(data):
            if data[at] == 0x1b:
                match = CSI.match(data, at)
                if match:
                    self.control(match.group(1).decode(), match.group(2).decode())
                    at = match.end()
                elif len(data) - at < 16:
                    break  # the rest of it comes later
                else:
                    raise AssertionError(f"unknown control sequence {data[at:at + 16]!r}")
                continue
            size = 1 if data[at] < 0x80 else 2 if data[at] < 0xe0 else 3 if data[at] < 0xf0 else 4
            if at + size > len(data):
                break
            self.put(data[at:at + size].decode())
            at += size
        self.left = data[at:]

    def put(self, c):
        if c == "\r":
            self.column = 0
        elif c == "\n":
            self.row += 1
            if self.row == ROWS:
                self.lines = self.lines[1:] + [[" "] * COLUMNS]
                self.row -= 1
        elif c == "\b":
            self.column = max(0, self.column - 1)
        elif c == "\t":
            self.column = min(COLUMNS - 1, self.column // 8 * 8 + 8)
        elif c >= " ":
            if self.column == COLUMNS:
                self.put("\r")
                self.put("\n")
            if self.insert:
                self.lines[self.row].insert(self.column, c)
                self.lines[self.row].pop()
            else:
                self.lines[self.row][self.column] = c
            self.column += 1

    def control(self, arguments, kind):
        n = int(arguments) if arguments.isdigit() else 1
        line = self.lines[self.row]
        if kind == "A":
            self.row = max(0, self.row - n)
        elif kind == "B":
            self.row = min(ROWS - 1, self.row + n)
        elif kind == "C":
            self.column = min(COLUMNS - 1, self.column + n)
        elif kind == "D":
            self.column = max(0, self.column - n)
        elif kind == "G":
            self.column = n - 1
        elif kind == "H":
            row, _, column = arguments.partition(";")
            self.row, self.column = int(row or 1) - 1, int(column or 1) - 1
        elif kind == "K":
            line[self.column:] = [" "] * (COLUMNS - self.column)
        elif kind == "J":
            if arguments == "2":
                self.lines = [[" "] * COLUMNS for _ in range(ROWS)]
            else:
                line[self.column:] = [" "] * (COLUMNS - self.column)
                for row in range(self.row + 1, ROWS):
                    self.lines[row] = [" "] * COLUMNS
        elif kind == "P":
            line[self.column:] = line[self.column + n:] + [" "] * n
            del line[COLUMNS:]
        elif kind == "@":
            line[self.column:self.column] = [" "] * n
            del line[COLUMNS:]
        elif kind in "hl" and arguments == "4":
            self.insert = kind == "h"
        elif kind not in "mhl":
            raise AssertionError(f"unknown control sequence CSI {arguments} {kind}")


class Terminal:
    def __init__(self, args, env):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(args, stdin=slave, stdout=slave, stderr=slave, env=env, preexec_fn=own_terminal)
        os.close(slave)
        self.screen = Screen()

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            try:
                self.screen.feed(os.read(self.master, 65536))
            except OSError:  # the other side is closed
                pass

    def wait(self, what, condition):
        until = time.monotonic() + DEADLINE_S
        while not condition(self.screen.text()):
            assert time.monotonic() < until, f"not shown: {what}. The screen:\n{self.screen.text()}"
            self.read(0.05)

    def sees(self, *parts):
        for part in parts:
            self.wait(part, lambda text: part in text)

    def cursor_line(self):
        return "".join(self.screen.lines[self.screen.row]).rstrip()

    def raw(self):
        """The next key goes to the line editor, not to the kernel's echo."""
        return not termios.tcgetattr(self.master)[3] & termios.ECHO

    def last(self, line):
        self.wait(f"last line {line!r}", lambda text: self.cursor_line() == line.rstrip() and self.raw())

    def ready(self):
        self.wait("an empty prompt", lambda text: self.cursor_line().endswith(">") and self.raw())

    def type(self, text):
        os.write(self.master, text.encode())

    def clear(self):
        self.screen.__init__()

    def ends(self):
        until = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < until, f"it doesn't end. The screen:\n{self.screen.text()}"
            self.read(0.02)
        os.close(self.master)
        return self.process.returncode
