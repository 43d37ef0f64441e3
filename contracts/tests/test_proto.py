"""The protocols can be had without anything of the backend."""

import json
import subprocess
import sys

from galaxy_contracts.proto.push_pb2 import DESCRIPTOR, Event, Frame

LOOK = """
import json, sys
import galaxy_contracts.proto.push_pb2
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_it_loads_neither_database_nor_kernel() -> None:
    """A gateway that speaks the protocol has no SQLAlchemy, no kernel and no plugin in memory."""
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "google" in loaded
    assert not loaded & {"sqlalchemy", "aiopg", "psycopg2", "grpc", "pydantic"}
    assert {name for name in loaded if name.startswith("galaxy_")} == {"galaxy_contracts"}


def test_the_service_and_its_messages_are_there() -> None:
    """Names on the wire stay as they are, wherever the file stands."""
    service = DESCRIPTOR.services_by_name["Push"]
    assert service.full_name == "galaxy.push.v1.Push"
    assert [method.name for method in service.methods] == ["Subscribe", "Replay"]
    frame = Frame(events=[Event(cursor="7", account_id="a", kind="k", payload="{}")])
    assert Frame.FromString(frame.SerializeToString()) == frame
