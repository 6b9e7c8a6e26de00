"""Addresses, directories, keys and the handshake of brokers."""
