"""Circles that clients look in."""

from __future__ import annotations

import strawberry

from nexfit.domains.errors import BadInput
from nexfit.domains.facilities.near import Near

MOST_KILOMETRES = 500


@strawberry.input(description="A circle around a point, on the earth as it is: poles and date line included.")
class NearInput:
    """Part of filters."""

    latitude: float = strawberry.field(description="Degrees north, -90 to 90.")
    longitude: float = strawberry.field(description="Degrees east, -180 to 180.")
    kilometres: float = strawberry.field(description=f"The radius, above 0 and at most {MOST_KILOMETRES}.")

    def checked(self, *path: str) -> Near:
        """As the domain takes it; raises BadInput."""
        for name, value, most in (("latitude", self.latitude, 90), ("longitude", self.longitude, 180)):
            if not -most <= value <= most:
                raise BadInput(
                    "{name} must be between {least} and {most}.", path=(*path, name), name=name, least=-most, most=most
                )
        if not 0 < self.kilometres <= MOST_KILOMETRES:
            raise BadInput(
                "{name} must be between {least} and {most}.",
                path=(*path, "kilometres"),
                name="kilometres",
                least=0,
                most=MOST_KILOMETRES,
            )
        return Near(self.latitude, self.longitude, self.kilometres)
