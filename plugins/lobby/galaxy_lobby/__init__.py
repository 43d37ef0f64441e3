"""Games: who plays them, how they start and end, and what players hear of it (SPEC L-1 to L-6, R-9).

The lobby owns people and the life of a game; engines, time and positions are the runtime's. The two share transactions:
the lobby calls the runtime on its own connection, and the runtime calls the lobby on its own.
"""
