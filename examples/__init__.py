"""Programs that use taskq. Each says in its first lines how to run it."""
