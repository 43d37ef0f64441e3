"""`python -m galaxy_gateway`."""

from galaxy_gateway.cli import main

main()
