"""Write the Python code of every protocol (`contracts/galaxy_contracts/proto`); with --check, report what is stale."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the files, or compare them with --check."""
    made = dict(_made())
    if "--check" in sys.argv[1:]:
        stale = [path for path, content in made.items() if not path.exists() or path.read_bytes() != content]
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date with its .proto: run make proto\n")
        sys.exit(1 if stale else 0)
    for path, content in made.items():
        path.write_bytes(content)


def _made() -> Iterator[tuple[Path, bytes]]:
    """Return each file that belongs there, with its content."""
    for source in sorted(ROOT.glob("contracts/galaxy_contracts/proto/*.proto")):
        folder = source.parents[2]  # of the distribution, so that modules import each other by their full names
        with tempfile.TemporaryDirectory() as out:
            arguments = ["protoc", f"-I{folder}", f"--python_out={out}", f"--pyi_out={out}", str(source)]
            if protoc.main(arguments) != 0:
                sys.exit(f"{source.relative_to(ROOT)}: protoc refuses it, see above")
            for path in sorted(Path(out).rglob("*.py*")):
                yield folder / path.relative_to(out), path.read_bytes()


if __name__ == "__main__":
    main()
