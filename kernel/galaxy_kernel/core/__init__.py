"""The microkernel: the life of a plugin, in the order discover, order, configure, construct, start, build, stop."""
