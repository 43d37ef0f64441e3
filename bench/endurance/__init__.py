"""Endurance: what must hold while processes, connections and the relay fail, on the real system (SPEC §6)."""
