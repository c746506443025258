"""What several of the suites need: a database outside of the toolkit, and served apps."""
