"""What a game engine answers, in any language: types, a client, drivers that start engines, and the conformance kit."""
