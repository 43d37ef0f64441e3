"""Ports on loopback: the usual one where it is free."""

import socket

from galaxy_devkit.dev.ports import Ports


def test_usual_port_where_it_is_free() -> None:
    """The usual port is used where it is free, else another one, which is reported."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    ports = Ports()
    assert ports.choose(port, "the lamp") == port
    assert not ports.notes
    again = ports.choose(port, "the other")
    assert again != port
    assert ports.notes == [f"Port {port} is taken: the other is on {again} instead."]


def test_any_port_is_nothing_to_note() -> None:
    """With free ports requested, none is reported."""
    ports = Ports(any_port=True)
    assert ports.choose(8080, "the API") != 8080
    assert not ports.notes


def test_a_port_of_an_earlier_run_is_kept() -> None:
    """Even where any port would do: what was configured for it goes on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    assert Ports(any_port=True).choose(port, "Postgres", kept=True) == port


def test_a_port_is_given_once() -> None:
    """Two that would like the same port get two, and free ones do not collide."""
    ports = Ports(any_port=True)
    assert len({ports.choose(8080, "one of many") for _ in range(50)}) == 50
