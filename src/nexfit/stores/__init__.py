"""Drivers: the only place where MongoDB, PostgreSQL and Redis are spoken to."""
