"""The worker: a launcher without user code, and children that fetch, run and settle."""
