"""Examples of the auth plugin for `backend dev`."""
