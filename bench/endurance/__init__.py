"""Endurance: what must hold while processes, connections and the relay fail, tried out on the real thing (SPEC §6)."""
