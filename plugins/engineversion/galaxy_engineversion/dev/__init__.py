"""What `backend dev` does for the engineversion plugin: it registers the reference engine."""
