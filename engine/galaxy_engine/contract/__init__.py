"""The contract between host and engine as OpenAPI 3.1, one file for each contract number."""

from importlib import resources

NUMBERS = (1,)
"""The contract numbers that this host speaks."""


def document(number: int = 1) -> str:
    """Return the OpenAPI document of a contract number, as YAML."""
    return resources.files(__name__).joinpath(f"engine-{number}.yaml").read_text(encoding="utf-8")
