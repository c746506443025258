"""Single statements that are a whole unit of work: templates, keys around them, execution."""
