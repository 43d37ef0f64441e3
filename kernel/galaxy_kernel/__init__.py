"""The microkernel of Galaxy Backend: it knows no plugin, and plugins see it through `galaxy_kernel.api` alone."""
