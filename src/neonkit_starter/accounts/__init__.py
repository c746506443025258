"""Money: accounts, their ledgers, and transfers between them."""
