"""`python -m galaxy_kernel` is `backend`."""

from galaxy_kernel.cli import main

if __name__ == "__main__":
    main()
