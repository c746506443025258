"""Three apps that read one row, for `benchmarks/boot.py`."""
