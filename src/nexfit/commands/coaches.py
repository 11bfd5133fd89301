"""`nexfit coaches`: an operator looks at certificates of coaches, and at reviews that somebody reported."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nexfit.commands.running import LOCAL, MOST_SHOWN, DataDir, console, decide
from nexfit.commands.running import run as run_on_stores

if TYPE_CHECKING:
    from nexfit.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Certificates of coaches, and reviews that were reported.")

Issuer = Annotated[str | None, typer.Option(help="Who gave it, as the coach names it.")]


@app.command()
def certificates(data_dir: DataDir = LOCAL) -> None:
    """List those that nobody has verified."""
    from nexfit.domains.identity.certificates import unverified
    from nexfit.stores.connections import open_stores

    async def waiting(settings: Settings) -> Table:
        async with open_stores(settings) as stores:
            table = Table("coach", "name", "certificate", "issuer", "expires")
            for row in await unverified(stores.mongo, MOST_SHOWN):
                expires = f"{row['expiresOn']:%Y-%m-%d}" if "expiresOn" in row else ""
                table.add_row(str(row["coach"]), row["coachName"], row["name"], row.get("issuer", ""), expires)
            return table

    console.print(run_on_stores(data_dir, waiting))


@app.command()
def verify(coach: str, certificate: str, issuer: Issuer = None, data_dir: DataDir = LOCAL) -> None:
    """Say that a coach's certificate was seen."""
    _decide_certificate(coach, certificate, issuer, data_dir, verified=True)


@app.command()
def unverify(coach: str, certificate: str, issuer: Issuer = None, data_dir: DataDir = LOCAL) -> None:
    """Take that back."""
    _decide_certificate(coach, certificate, issuer, data_dir, verified=False)


@app.command()
def reported(data_dir: DataDir = LOCAL) -> None:
    """List reviews that somebody reported, the longest waiting first."""
    from nexfit.domains.coaching import reviews
    from nexfit.stores.connections import open_stores

    async def waiting(settings: Settings) -> Table:
        async with open_stores(settings) as stores:
            table = Table("review", "coach", "rating", "text", "reasons")
            for row in await reviews.reported(stores.mongo, MOST_SHOWN):
                reasons = "\n".join(one["reason"] for one in row["reports"])
                table.add_row(str(row["_id"]), str(row["subjectId"]), str(row["rating"]), row.get("text", ""), reasons)
            return table

    console.print(run_on_stores(data_dir, waiting))


@app.command()
def remove(review: str, data_dir: DataDir = LOCAL) -> None:
    """Take a review away; the coach's mean follows."""
    from nexfit.domains.coaching import reviews

    id_ = _id(review, "a review, as `nexfit coaches reported` shows it")
    decide(data_dir, lambda units: reviews.remove(units, id_), "Removed.")


@app.command()
def keep(review: str, data_dir: DataDir = LOCAL) -> None:
    """Leave a review as it is, and forget who reported it."""
    from nexfit.domains.coaching import reviews

    id_ = _id(review, "a review, as `nexfit coaches reported` shows it")
    decide(data_dir, lambda units: reviews.dismiss(units, id_), "Kept.")


def _decide_certificate(coach: str, name: str, issuer: str | None, data_dir: DataDir, *, verified: bool) -> None:
    from nexfit.domains.identity import certificates as rules

    id_, now = _id(coach, "a coach, as `nexfit coaches certificates` shows it"), datetime.now(UTC)
    done = "Verified." if verified else "No longer verified."
    decide(data_dir, lambda units: rules.decide(units, id_, name, issuer, verified=verified, now=now), done)


def _id(text: str, what: str) -> Any:
    from bson import ObjectId

    if not ObjectId.is_valid(text):
        raise typer.BadParameter(f"not the id of {what}")
    return ObjectId(text)
