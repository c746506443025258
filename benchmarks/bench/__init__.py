"""What a request costs: the starter, plain session code and two peers, side by side in one run."""
