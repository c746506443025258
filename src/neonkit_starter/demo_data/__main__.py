"""`python -m neonkit_starter.demo_data` is the command."""

from neonkit_starter.demo_data.command import main

main()
