"""The name by which we greet the relay (RFC 5321, sections 2.3.5 and 4.1.1.1). No I/O."""

import re
from ipaddress import IPv6Address, ip_address

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LOCAL = ("localhost", "localdomain")
_MAX_NAME = 253


def is_fully_qualified(name: str) -> bool:
    """Return whether a name is a domain of two labels or more, and not an address or a name of this machine alone."""
    labels = name.split(".")
    return (
        len(labels) > 1
        and len(name) <= _MAX_NAME
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
        and labels[0].lower() != "localhost"
        and labels[-1].lower() not in _LOCAL
    )


def literal_of(address: str) -> str:
    """Return the literal of an IP address (RFC 5321, section 4.1.3). Raise ValueError for anything else."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        return f"[{ip.ipv4_mapped}]" if ip.ipv4_mapped else f"[IPv6:{ip}]"
    return f"[{ip}]"


def parse_greeting_name(text: str) -> str:
    """Return a name to greet with as it was set. Raise ValueError for one that RFC 5321 does not allow."""
    name = text.rstrip(".")
    if is_fully_qualified(name):
        return name
    if text.startswith("[") and text.endswith("]"):
        return literal_of(re.sub(r"^IPv6:", "", text[1:-1], flags=re.IGNORECASE))
    raise ValueError("must be a fully qualified domain name, or an address literal")


def greeting_name(host: str, address: str) -> str:
    """Return the host's name where it is fully qualified, else the literal of the connection's own address."""
    name = host.rstrip(".")
    return name if is_fully_qualified(name) else literal_of(address)
