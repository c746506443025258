"""The wire: connections, their pool, and when BEGIN goes out."""
