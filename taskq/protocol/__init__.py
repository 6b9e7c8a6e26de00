"""The vocabulary of the broker: requests, replies, and how they look on a socket."""
