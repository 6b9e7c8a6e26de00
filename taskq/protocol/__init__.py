"""The protocol of the broker: requests, replies and their encoding."""
