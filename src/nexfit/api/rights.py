"""The rights matrix: who sees which field of which type. The schema is built from it, and the tests are made from it.

A field that stands in no entry cannot be served: the schema does not build. `found` says who finds an entity by its id
(`node`, `nodes`); a field's own right narrows it. People are shown by name wherever a record that may be read names
them, whoever may find them.
"""

from __future__ import annotations

from collections.abc import Mapping

from nexfit.api.coaching.rights import COACHING, COACHING_MUTATIONS
from nexfit.api.identity.rights import IDENTITY_PAYLOADS
from nexfit.api.nutrition.rights import NUTRITION, NUTRITION_MUTATIONS, NUTRITION_QUERIES
from nexfit.api.right_entries import Entry, NoRight, Scope
from nexfit.api.right_entries import fields as _fields
from nexfit.api.right_entries import part as _part
from nexfit.api.training.rights import TRAINING, TRAINING_MUTATIONS, TRAINING_QUERIES
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.identity.access import ANYONE, AUTHOR, MINE, SELF, SHOWN, SIGNED_IN, Right, coach, staff
from nexfit.domains.identity.documents import ConsentScope

_MEMBERS = staff(StaffPermission.MEMBERS_READ)
_DESK = staff(StaffPermission.CHECK_IN)
_MONEY = staff(StaffPermission.FINANCE_READ)
_ANALYTICS = staff(StaffPermission.ANALYTICS_READ)
_AUDIT = staff(StaffPermission.AUDIT_READ)
_BODY = coach(ConsentScope.MEASUREMENTS)
_OF_DOCUMENT = Scope(facility="facilityId", person="userId")
_OF_ROW = Scope(facility="facility_id", person="user_id")

MATRIX: Mapping[str, Entry] = {
    # --- roots
    "Query": Entry(
        _fields(
            ("node nodes viewer facility facilities schedule verifyAudit guestSession jobs checkInCode", ANYONE),
            ("coach coaches membershipSwitchPreview dataRequests", ANYONE),
            (TRAINING_QUERIES, ANYONE),
            (NUTRITION_QUERIES, ANYONE),
        )
    ),
    "Mutation": Entry(
        _fields(
            # A guest may become somebody, and leave by a refresh token.
            ("createGuestSession endGuestSession login refreshToken logout", ANYONE),
            ("register verifyEmail resendVerification requestPasswordReset resetPassword", ANYONE),
            ("logoutEverywhere revokeSession changePassword requestPhoneVerification verifyPhone", SIGNED_IN),
            ("startSecondFactor confirmSecondFactor removeSecondFactor deactivateAccount updateProfile", SIGNED_IN),
            ("createFacility updateFacility setFacilityHours", SIGNED_IN),
            ("requestFacilityPictureUpload setFacilityPictures", SIGNED_IN),
            ("inviteStaff withdrawStaffInvitation acceptStaffInvitation changeStaff removeStaff", SIGNED_IN),
            ("createCalendarFeed revokeCalendarFeed", SIGNED_IN),
            ("createClass updateClass changeClassDate changeFollowingDates endClass substituteInstructor", SIGNED_IN),
            ("bookClass cancelBooking checkIn markAttendance cancelClassDate", SIGNED_IN),
            ("sellMembership purchaseMembership changePlan refundPayment", SIGNED_IN),
            ("createMembershipPlan changeMembershipPlan archiveMembershipPlan", SIGNED_IN),
            ("cancelMembership setMembershipAutoRenew freezeMembership unfreezeMembership switchMembership", SIGNED_IN),
            ("issueInvoice recordPayment voidInvoice countTill", SIGNED_IN),
            ("tagMember addMemberNote removeMemberNote scanCheckInCode", SIGNED_IN),
            ("requestMembersUpload importMembers", SIGNED_IN),
            ("grantConsent withdrawConsent", SIGNED_IN),
            ("recordVisit requestExport requestErasure cancelErasure", SIGNED_IN),
            (COACHING_MUTATIONS, SIGNED_IN),
            (TRAINING_MUTATIONS, SIGNED_IN),
            (NUTRITION_MUTATIONS, SIGNED_IN),
        ),
        refuses=True,
    ),
    "SubscriptionRoot": Entry(_fields(("facilityActivity", ANYONE))),  # its feed says who may follow it, and how long
    # --- facilities
    "Facility": Entry(
        _fields(
            (
                "id name type timezone address contact media operatingHours specialDays openNow amenities features"
                " equipments rooms bookingPolicy distance priceFrom rating createdAt classes schedule memberships",
                ANYONE,
            ),
            ("datesToSubstitute", staff(StaffPermission.CLASSES_WRITE)),
            ("staffInvitations", staff(StaffPermission.STAFF_WRITE)),
            ("staff", _MEMBERS | staff(StaffPermission.STAFF_WRITE)),
            ("members membersCsv memberSubscriptions", _MEMBERS),
            ("expiringSubscriptions lapsedSubscriptions", _MONEY),
            ("revenue outstanding transactions subscriptions invoices overdueInvoices till coachEarnings", _MONEY),
            ("subscriptionPlan", _MONEY),
            ("transactionsCsv invoicesCsv", _MONEY),
            ("analytics figures figuresCsv cohorts today", _ANALYTICS),
            ("auditLog", _AUDIT),
        ),
        found=ANYONE,
        scope=Scope(facility="_id", facility_record=True),
        refuses=True,
    ),
    "Address": _part("street city state zipCode country latitude longitude"),
    "Contact": _part("phoneNumber email website"),
    "FacilityMedia": _part("logo images pictures virtualTour"),
    "FacilityPicture": _part("key url alt"),
    "FacilityPictureUploadPayload": _part("key address userErrors"),
    "OperatingHours": _part("day openTime closeTime isClosed"),
    "FacilityRating": _part("average count"),
    "SpecialDay": _part("date name openings"),
    "Opening": _part("openTime closeTime"),
    "Room": _part("name capacity"),
    "BookingPolicy": _part(
        "opensDaysBefore cancelMinutesBefore freezeMinutesBefore noShowMinutesAfter plannedDaysAhead waitlistLimit"
        " lateCancelUsesQuota noShowUsesQuota mostNoShows noShowDays"
    ),
    "ClassPolicy": _part("opensDaysBefore cancelMinutesBefore freezeMinutesBefore lateCancelUsesQuota noShowUsesQuota"),
    "FacilityPayload": _part("facility userErrors"),
    "FacilitySubscription": _part("planId startDate endDate isActive"),
    "Equipment": _part("name category quantity brand"),
    "StaffInvitation": _part("email role permissions invitedBy invitedAt expiresAt"),
    "StaffMember": _part("user role permissions joinedAt"),
    # --- classes
    "Class": Entry(
        _fields(
            (
                "id name description category difficulty duration image tags isActive waitlistLimit"
                " bookingPolicy schedule location instructor facility occurrences",
                ANYONE,
            )
        ),
        found=ANYONE,
    ),
    "ClassOccurrence": Entry(
        _fields(
            (
                "id originalStart startsAt endsAt timezone capacity seatsTaken waitlisted status room instructor class",
                ANYONE,
            ),
            ("viewerBooking", MINE),
            ("bookings", _MEMBERS),
        ),
        found=ANYONE,
        scope=Scope(facility="facilityId"),
        refuses=True,
    ),
    "ClassBooking": Entry(
        _fields(
            (
                "id status date waitlistPosition passedOver bookedAt promotedAt cancelledAt checkedInAt user occurrence"
                " facility",
                SELF | _MEMBERS,
            )
        ),
        found=SELF | _MEMBERS,
        scope=_OF_DOCUMENT,
    ),
    "PassedOver": _part("at reason"),
    "BookingPayload": _part("booking userErrors"),
    "RefundPaymentPayload": _part("refund userErrors"),
    "SellMembershipPayload": _part("memberSubscription userErrors"),
    "PurchaseMembershipPayload": _part("purchase clientSecret checkoutUrl userErrors"),
    "CancelClassDatePayload": _part("occurrence cancelledBookings userErrors"),
    "CreateCalendarFeedPayload": _part("address userErrors"),
    "RevokeCalendarFeedPayload": _part("revoked userErrors"),
    "ClassPayload": _part("class userErrors"),
    "ChangeClassDatePayload": _part("occurrence userErrors"),
    "ChangeFollowingDatesPayload": _part("class keptDates userErrors"),
    "EndClassPayload": _part("class keptDates cancelledBookings userErrors"),
    "SubstituteInstructorPayload": _part("dates userErrors"),
    "Schedule": _part("startTime endTime timezone recurrence"),
    "Recurrence": _part("frequency interval weekdays endsOnDate maxOccurrences exceptions"),
    "ClassLocation": _part("room capacity"),
    # --- memberships
    "Membership": Entry(
        _fields(
            ("id name description duration price features limitations isActive version facility", ANYONE),
            ("activeSubscribers", _MEMBERS),
        ),
        found=ANYONE,
        scope=Scope(facility="facilityId"),
    ),
    "BackgroundJob": _part("name schedule status lastRunAt nextRunAt failure"),
    "CancelMembershipPayload": _part("memberSubscription refund userErrors"),
    "MembershipChangePayload": _part("memberSubscription userErrors"),
    "SwitchMembershipPayload": _part("memberSubscription userErrors"),
    "ChangePlanPayload": _part("outcome memberSubscription userErrors"),
    "MembershipSwitchPreview": _part("credit price due startsOn"),
    "MembershipPlanPayload": _part("membership userErrors"),
    "Duration": _part("value unit"),
    "Limitations": _part(
        "maxVisitsPerWeek maxClassBookingsPerWeek classesIncluded personalTrainingIncluded ptSessionsIncluded"
    ),
    "MemberSubscription": Entry(
        _fields(
            (
                "id status startDate endDate autoRenew cancelledAt cancellationReason user facility membership",
                SELF | _MEMBERS,
            ),
            ("subscription", SELF | _MONEY),
        ),
        found=SELF | _MEMBERS,
        scope=_OF_DOCUMENT,
    ),
    "Member": Entry(
        _fields(
            (
                "id user status plan balance openInvoices joinedAt lastPaymentAt lastVisitAt nextBookingAt"
                " birthday tags notes timeline standing",
                _MEMBERS,
            )
        ),
        found=_MEMBERS,
        scope=_OF_ROW,
    ),
    "Visit": Entry(
        _fields(("id at source user", SELF | _MEMBERS | _DESK)),
        found=SELF | _MEMBERS | _DESK,
        scope=_OF_DOCUMENT,
    ),
    "VisitActivity": Entry(
        _fields(("cursor at", SHOWN), ("visit", _MEMBERS)),
        scope=_OF_DOCUMENT,
    ),
    "BookingActivity": _part("cursor at status promoted waitlistPosition user occurrence"),
    "MembershipActivity": _part("cursor at renewed startsOn endsOn user plan"),
    "ActivityNotice": _part("cursor state"),
    # --- money
    "Transaction": Entry(
        _fields(
            (
                "id amount type status paymentMethod description giftFrom createdAt original user facility",
                SELF | _MONEY,
            )
        ),
        found=SELF | _MONEY,
        scope=_OF_ROW,
    ),
    "Subscription": Entry(
        _fields(
            (
                "id status startDate endDate currentPeriodStart currentPeriodEnd billingCycle billingInterval"
                " billingDay amount taxRate paymentMethod autoRenew createdAt plan user facility",
                SELF | _MONEY,
            ),
            ("memberSubscription", SELF | _MEMBERS),
        ),
        found=SELF | _MONEY,
        scope=_OF_ROW,
    ),
    "Invoice": Entry(
        _fields(
            (
                "id number status net tax total issuedOn dueDate paymentDate createdAt pdf xml lines creditNotes"
                " transaction subscription user facility",
                SELF | _MONEY,
            )
        ),
        found=SELF | _MONEY,
        scope=_OF_ROW,
    ),
    "MembershipPurchase": Entry(
        _fields(
            (
                "id status total taxRate renews autoRenew failure createdAt expiresAt paidAt plan user facility",
                SELF | _MONEY,
            ),
            ("memberSubscription", SELF | _MEMBERS),
        ),
        found=SELF | _MONEY,
        scope=_OF_ROW,
    ),
    "ProgramPurchase": Entry(
        _fields(
            (
                "id status total taxRate failure createdAt expiresAt paidAt program givenBack user facility",
                SELF | AUTHOR | _MONEY,
            ),
            ("enrolment", SELF),
        ),
        found=SELF | AUTHOR | _MONEY,
        scope=Scope(facility="facility_id", person="user_id", author="author_id"),
    ),
    "InvoiceLine": _part("description quantity taxRate netAmount taxAmount totalAmount"),
    "CreditNote": _part("number net tax total reason issuedOn createdAt pdf xml"),
    "TillReport": _part("day methods net opening closing expectedCash difference"),
    "TillMethod": _part("method payments paid refunds returned net"),
    "TillCount": _part("counted expected note countedAt countedBy"),
    "CountTillPayload": _part("till userErrors"),
    "InvoicePayload": _part("invoice userErrors"),
    "CheckInCode": _part("code expiresAt"),
    "ScanCheckInCodePayload": _part("user booking visit visitsLeft userErrors"),
    "TimelineEntry": _part("id kind at status text amount plan author"),
    "MemberNote": _part("id text createdAt author"),
    "MemberPayload": _part("member userErrors"),
    "MembersUploadPayload": _part("key address userErrors"),
    "ImportMembersPayload": _part(
        "dryRun rows created updated unchanged rejected rejectedRows ignoredColumns report userErrors"
    ),
    "RejectedRow": _part("line column code message"),
    "RevenuePeriod": _part("period total transactions refunds"),
    "Outstanding": _part("invoices total overdueInvoices overdueTotal"),
    "FacilityToday": _part("date visits classes capacity seatsTaken revenue"),
    "FigurePeriod": _part(
        "period revenue payments refunds newMembers activeMembers cancellations renewals churn visits classes"
        " attendance classFill noShows noShowRate lateCancellations"
    ),
    "Download": _part("address expiresAt"),
    "DataRequest": _part("id kind status requestedAt dueAt finishedAt stepsDone steps blockedBy download fileUntil"),
    "RequestExportPayload": _part("request userErrors"),
    "RequestErasurePayload": _part("request userErrors"),
    "CancelErasurePayload": _part("request userErrors"),
    "Cohort": _part("month members kept retention"),
    "AnalyticsDay": _part(
        "date newMembers activeMembers totalRevenue classAttendance subscriptionRenewals subscriptionCancellations"
    ),
    "AuditEntry": Entry(
        _fields(("id at action entityType entityId user before after isSealed", _AUDIT)),
        found=_AUDIT,
        scope=Scope(facility="facility_id"),
    ),
    "AuditVerification": _part("intact entries checkedUntil chainLength isComplete cursor brokenAt reason lastHash"),
    "Money": _part("amount currency"),
    # --- people
    "User": Entry(
        _fields(
            ("id firstName lastName profileImage coachProfiles coach", ANYONE),
            # Staff see them of people they came to by way of their members or staff, not of everybody they meet.
            ("email phoneNumber roles createdAt", SELF | _MEMBERS),
            ("emailVerifiedAt phoneVerifiedAt secondFactorEnabled roleProfiles", SELF),
            ("facilities memberSubscriptions classBookings subscriptions invoices transactions sessions", SELF),
            ("clients coaches consents medicalReads notices ptSessions earnings programSales", SELF),
            ("bodyProfile measurements bodyTrend bodyGoals", SELF | _BODY),
            ("workoutLogs programEnrolments progress", SELF | coach(ConsentScope.WORKOUTS)),
            ("nutritionPlans foodDiary", SELF | coach(ConsentScope.NUTRITION)),
            ("medicalConditions", SELF | coach(ConsentScope.MEDICAL)),
        ),
        found=SELF | _MEMBERS,
        scope=Scope(person="_id"),
        named=True,
        health=frozenset({"bodyProfile", "bodyTrend", "bodyGoals", "medicalConditions"}),
    ),
    "CoachProfile": _part(
        "role bio specializations experience certifications certificates languages hourlyRate workplace rating"
        " reviewCount"
    ),
    "Certificate": _part("name issuer expiresOn verifiedAt"),
    "GeoPoint": _part("latitude longitude"),
    "RoleProfiles": _part("client coach gymOwner gymMember studioOwner studioClient"),
    "ClientProfile": _part("fitnessGoals fitnessLevel"),
    "CoachTerms": _part("isFreelance hourlyRate"),
    "OwnerProfile": _part("businessName businessAddress businessPhoneNumber businessEmail taxId"),
    "VisitorProfile": _part("homeFacility emergencyContactName emergencyContactPhoneNumber"),
    "BodyProfile": _part("dateOfBirth height weight dietaryRestrictions"),
    **TRAINING,
    **NUTRITION,
    **COACHING,
    "Notice": _part("kind at occurrence memberSubscription"),
    "Consent": _part("coach scopes grantedAt updatedAt"),
    "MedicalRead": Entry(
        _fields(("id at viewer fields", SELF)),
        found=SELF,
        scope=Scope(person="entity_id"),
    ),
    "ConsentPayload": _part("consent userErrors"),
    "CoachingPayload": _part("relation userErrors"),
    "Session": Entry(
        _fields(("id deviceName userAgent ipAddress createdAt lastUsedAt expiresAt current", SELF)),
        found=SELF,
        scope=Scope(person="userId"),
    ),
    **IDENTITY_PAYLOADS,
    "UserError": _part("code message path"),
}

_LISTS = {
    "Connection": _part("edges nodes pageInfo totalCount"),
    "Edge": _part("cursor node"),
    "PageInfo": _part("hasNextPage hasPreviousPage startCursor endCursor"),
}
"""Pages, their edges and places, of every list: for whoever was shown the list. By the end of the type's name."""


def entry_of(type_name: str) -> Entry:
    """The entry of an object type. Raises NoRight."""
    entry = MATRIX.get(type_name)
    if entry is None:
        entry = next((of_list for end, of_list in _LISTS.items() if type_name.endswith(end)), None)
    if entry is None:
        raise NoRight(f"{type_name} has no entry in src/nexfit/api/rights.py: say who may see its fields")
    return entry


def right_of(type_name: str, field: str) -> Right:
    """The right to see a field. Raises NoRight."""
    right = entry_of(type_name).fields.get(field)
    if right is None:
        raise NoRight(f"{type_name}.{field} has no entry in src/nexfit/api/rights.py: say who may see it")
    return right


def reach_of(entry: Entry) -> Right:
    """Who can have a record of the type at hand, by any way."""
    if entry.found is None:
        return SHOWN
    return ANYONE if entry.named else entry.found
