"""Demo data in both stores: two invented businesses in three cities, their people, money, classes and training."""

from nexfit.operations.demo.logins import DemoLogin, demo_logins
from nexfit.operations.demo.seeding import NotEmpty, SeedReport, seed

__all__ = ["DemoLogin", "NotEmpty", "SeedReport", "demo_logins", "seed"]
