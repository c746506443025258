"""`python -m neonkit` is the command `neonkit`."""

if __name__ == "__main__":  # a worker process imports this module too, and must not start over
    from neonkit.cli import main

    main()
