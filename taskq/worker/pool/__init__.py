"""What keeps worker processes: the launcher, its children and their heartbeat."""
