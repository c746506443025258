"""Who uses the service."""
