"""What `backend dev` does for the runtime plugin: engines are processes of this machine, and turns run twice."""
