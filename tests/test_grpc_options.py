"""Names of gRPC's options: the library passes over one that it does not know, without a word."""

import re
from pathlib import Path

import grpc._cython
import pytest
from english import python_files

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = b"".join(path.read_bytes() for path in Path(grpc._cython.__file__).parent.glob("cygrpc*"))


_OPTION = re.compile(r"""["'](grpc(?:\.[a-z0-9_]+)+)["']""")


def options(source: str) -> list[str]:
    """Return the names of options in a file."""
    return _OPTION.findall(source)


def known(name: str) -> bool:
    """Return whether the installed library has the name, as a string of its own."""
    return name.encode() + b"\0" in LIBRARY


def test_every_option_is_one_of_the_library() -> None:
    """Each name of an option in our code occurs in the bytes of the installed library."""
    used = {(path, name) for path in python_files(ROOT) for name in options(path.read_text("utf-8"))}
    assert {"grpc.keepalive_time_ms", "grpc.http2.min_ping_interval_without_data_ms"} <= {name for _, name in used}
    assert [f"{path.relative_to(ROOT)}: {name}" for path, name in sorted(used) if not known(name)] == []


@pytest.mark.parametrize("wrong", ["min_recv_ping_interval_without_data_ms", "min_ping_interval_without_data"])
def test_a_misremembered_name_is_found(wrong: str) -> None:
    """The name of the C macro, and one cut short, are found in a source and are not known to the library."""
    name = f"grpc.http2.{wrong}"
    assert (options(f'OPTIONS = (("{name}", 1),)')) == [name]
    assert not known(name)
