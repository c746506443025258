"""What a statement does to those who use its tables, judged."""
