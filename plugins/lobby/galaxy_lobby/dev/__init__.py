"""Examples of the lobby plugin for `backend dev`."""
