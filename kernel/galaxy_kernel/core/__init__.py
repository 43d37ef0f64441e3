"""The microkernel: a plugin's whole life, in the order discover, order, configure, construct, start, build, stop."""
