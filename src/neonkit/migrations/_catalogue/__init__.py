"""What a database has, as PostgreSQL's catalogue says it."""
