"""From one catalogue to another: the plan of statements that leads there."""
