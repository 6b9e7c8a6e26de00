"""`taskq demo`: the main job with everything that can go wrong on the way, checked at the end."""
