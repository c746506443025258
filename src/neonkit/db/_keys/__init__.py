"""Idempotency keys: the key, the answer stored under it, and the transaction that holds both."""
