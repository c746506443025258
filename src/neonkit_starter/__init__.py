"""The starter service: users, posts, accounts and transfers."""
