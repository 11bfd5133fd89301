"""Which cached views a change concerns: the one list from collections and tables to cache tags.

A tag is `kind:id` or `kind:id:area`, or one word for all of a kind. A view is stored under the tags of everything it
shows; what a change of a document or row raises is written here, whoever made the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# Fields in braces are the document's own; a tag whose field a document lacks is not raised.
DOCUMENTS: Mapping[str, tuple[str, ...]] = {
    "users": ("user:{_id}",),
    "facilities": ("facility:{_id}", "facilities"),
    "memberships": ("plan:{_id}", "facility:{facilityId}:plans"),
    "member_subscriptions": ("user:{userId}:memberships", "facility:{facilityId}:members"),
    "visits": ("user:{userId}:visits", "facility:{facilityId}:visits"),
    "classes": ("class:{_id}", "facility:{facilityId}:classes"),
    "class_occurrences": ("class:{classId}", "facility:{facilityId}:classes"),
    "class_bookings": ("user:{userId}:bookings", "facility:{facilityId}:classes"),
    "coach_clients": ("user:{coachId}:coaching", "user:{clientId}:coaching"),
    "consents": ("user:{userId}:consents", "user:{granteeId}:consents"),
    "pt_sessions": ("user:{coachId}:coaching", "user:{clientId}:coaching"),
    "measurements": ("user:{userId}:training",),
    "workout_logs": ("user:{userId}:training",),
}

ROWS: Mapping[str, tuple[str, ...]] = {
    "finance.facility_accounts": ("facility:{facility_id}:money",),
    "finance.transactions": ("facility:{facility_id}:money", "facility:{facility_id}:members", "user:{user_id}:money"),
    "finance.invoices": ("facility:{facility_id}:money", "facility:{facility_id}:members", "user:{user_id}:money"),
    "finance.refunds": ("facility:{facility_id}:money", "user:{user_id}:money"),
    "finance.credit_notes": ("facility:{facility_id}:money", "user:{user_id}:money"),
    "finance.subscriptions": ("plan:{plan_id}:subscribers", "facility:{facility_id}:money", "user:{user_id}:money"),
    "finance.analytics_daily": ("facility:{facility_id}:analytics",),
    "finance.package_credit_ledger": ("user:{user_id}:coaching",),
}

MEMBER_FACTS = ("facility:{facility_id}:members",)
"""What a member's row in `platform.member_facts` is shown by."""


def fields_of(templates: Iterable[str]) -> set[str]:
    """The names in braces."""
    return {template.partition("{")[2].partition("}")[0] for template in templates if "{" in template}


def filled(templates: Iterable[str], values: Mapping[str, Any]) -> set[str]:
    """The tags of one document or row; those whose field has no value are left out."""
    return {
        template.format_map(values)
        for template in templates
        if all(values.get(field) is not None for field in fields_of((template,)))
    }
