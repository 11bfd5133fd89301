"""The rights matrix of coaching (`nexfit.api.rights` has the others)."""

from __future__ import annotations

from collections.abc import Mapping

from nexfit.api.right_entries import Entry, Scope, fields, part
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.identity.access import ANYONE, AUTHOR, MINE, SELF, staff

COACHING_MUTATIONS = (
    "inviteClient acceptCoach declineCoach endCoaching"
    " addCoachNote changeCoachNote removeCoachNote setCoachingGoals"
    " sellPackage sellPackageAtDesk refundPackage setCoachHours"
    " saveCoachReview deleteCoachReview replyToCoachReview reportCoachReview"
    " schedulePtSession reschedulePtSession completePtSession cancelPtSession ratePtSession"
)
"""Root fields for who is signed in; what each may change its rule says."""

_MEMBERS = staff(StaffPermission.MEMBERS_READ)

COACHING: Mapping[str, Entry] = {
    "Coach": Entry(
        fields(
            (
                "id firstName lastName profileImage profiles specializations languages hourlyRate rating reviewCount"
                " distance facilities reviews freeTimes",
                ANYONE,
            )
        ),
        found=ANYONE,
    ),
    "CoachReview": Entry(
        fields(("id rating text authorName reply createdAt updatedAt", ANYONE), ("isMine", MINE)), found=ANYONE
    ),
    "CoachReply": part("text updatedAt"),
    "CoachReviewPayload": part("review coach userErrors"),
    "CoachClient": Entry(
        fields(
            (
                "id status startDate endDate goals coach client notes sharedScopes packages coachHours freeTimes"
                " createdAt",
                SELF | AUTHOR,
            ),
            ("privateNotes overview", AUTHOR),
        ),
        found=SELF | AUTHOR,
        scope=Scope(person="clientId", author="coachId"),
    ),
    "Note": part("id text date changedAt"),
    "CoachingPackage": Entry(
        fields(
            (
                "id name price startsOn endsOn total used reserved remaining expired refunded payment createdAt coach"
                " client facility",
                SELF | AUTHOR | _MEMBERS,
            )
        ),
        found=SELF | AUTHOR | _MEMBERS,
        scope=Scope(person="client_id", author="coach_id", facility="facility_id"),
    ),
    "CoachingPackagePayload": part("package userErrors"),
    "PtSession": Entry(
        fields(
            (
                "id startsAt endsAt duration status location feedback cancelledAt cancellationReason createdAt coach"
                " client cancelledBy facility",
                SELF | AUTHOR,
            )
        ),
        found=SELF | AUTHOR,
        scope=Scope(person="clientId", author="coachId"),
    ),
    "CoachHours": part("timezone hours"),
    "FreeTime": part("startsAt endsAt"),
    "CoachHoursPayload": part("hours userErrors"),
    "PtSessionLocation": part("type details"),
    "PtFeedback": part("coach client"),
    "PtOpinion": part("rating notes"),
    "PtSessionPayload": part("session userErrors"),
    "ClientOverview": part("nextSessionAt credits payment memberships"),
    "EarningsPeriod": part("coach period sessions earned expired refunded sold"),
    "PackageCredits": part("total reserved used remaining"),
    "MembershipStanding": part("facility status plan balance openInvoices lastPaymentAt lastVisitAt nextBookingAt"),
}
