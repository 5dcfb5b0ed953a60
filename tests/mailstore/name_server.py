"""A real name server on a port of this machine."""

from __future__ import annotations

import socket
import threading
from collections import defaultdict

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from mailstore.resolver.dns_client import DnsClient
from tests.patience import PATIENCE_SECONDS


class NameServer:
    """Answers by UDP on 127.0.0.1, follows its own aliases, and can refuse or say nothing."""

    def __init__(self):
        self.records = defaultdict(list)
        self.is_silent, self.code = False, dns.rcode.NOERROR
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.resolver = self.asked_by(patience=PATIENCE_SECONDS)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def asked_by(self, *, patience):
        return DnsClient(servers=["127.0.0.1"], port=self.port, patience=patience)

    def hold(self, name, kind, value):
        if kind == "TXT":
            pieces = [value[start : start + 255] for start in range(0, len(value), 255)]
            value = " ".join(f'"{piece}"' for piece in pieces)
        if kind == "CNAME":
            value += "."
        self.records[name, kind].append(value)

    def fall_silent(self):
        self.is_silent = True
        # Only silence is waited for in vain.
        self.resolver = self.asked_by(patience=0.4)

    def serve(self):
        while True:
            packet, sender = self.socket.recvfrom(4096)
            if packet == b"end":
                break
            if not self.is_silent:
                self.socket.sendto(self.answer(dns.message.from_wire(packet)), sender)
        self.socket.close()

    def answer(self, query):
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        alias = self.records.get((name, "CNAME"))
        if alias and kind != "CNAME":
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "CNAME", *alias))
            name = alias[0].rstrip(".").lower()
        held = self.records.get((name, kind))
        if held:
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *held))
        known = {known for known, _kind in self.records}
        response.set_rcode(self.code or (0 if name in known else dns.rcode.NXDOMAIN))
        return response.to_wire()

    def end(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"end", ("127.0.0.1", self.port))
        self.thread.join(timeout=PATIENCE_SECONDS)
