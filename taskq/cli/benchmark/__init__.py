"""What `taskq bench` measures, and how it says it."""
