"""A simulated year of a chain: what its members do, a model of what that comes to, and a reader of both stores."""
