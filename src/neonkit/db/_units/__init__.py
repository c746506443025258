"""Units of work: sessions, lone writes, uncommitted writes, and retries."""
