"""Circles on the earth: what lies in one, across the poles and the date line as well, by MongoDB's sphere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

EARTH_RADIUS = 6378.1
"""Kilometres, as MongoDB measures the earth."""


@dataclass(frozen=True, slots=True)
class Near:
    """A point in degrees, and a radius in kilometres."""

    latitude: float
    longitude: float
    kilometres: float

    @property
    def point(self) -> dict[str, Any]:
        """The middle as GeoJSON: longitude first."""
        return {"type": "Point", "coordinates": [self.longitude, self.latitude]}

    def within(self) -> dict[str, Any]:
        """What lies in the circle, as a query asks for it."""
        return {"$geoWithin": {"$centerSphere": [self.point["coordinates"], self.kilometres / EARTH_RADIUS]}}

    def measured(self, into: str, query: dict[str, Any], key: str = "address.coordinates") -> dict[str, Any]:
        """The stage that finds what lies in the circle and matches the query, with its distance in metres.

        Of several points under `key` the nearest one counts.
        """
        return {
            "$geoNear": {
                "near": self.point,
                "key": key,
                "distanceField": into,
                "maxDistance": self.kilometres * 1000,
                "query": query,
                "spherical": True,
            }
        }
