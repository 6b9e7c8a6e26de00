"""The contenders, one module each: its app, its worker's command, and a `Contestant` to drive it."""
