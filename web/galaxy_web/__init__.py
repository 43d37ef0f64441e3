"""The players' page: static files without a build step, which the gateway serves at `/` where this is installed."""

from pathlib import Path

FILES = Path(__file__).parent / "static"
"""The folder of the files; `index.html` has the place `{files}` for the path under which they are served."""
