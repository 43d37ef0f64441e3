"""What `backend dev` shows of the auth plugin."""
