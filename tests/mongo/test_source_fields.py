"""Every field of the source data model is stored under its name, or is one of the few decided otherwise."""

import re
from typing import Any

import pytest

from nexfit.domains.training.body_documents import BodyMeasurements
from nexfit.operations.mongo_schema import ALL_DOCUMENTS
from nexfit.operations.mongo_validators import collection_name, validator

MODELS = {collection_name(model): model for model in ALL_DOCUMENTS}

SOURCE = {
    "users": """
        _id email passwordHash firstName lastName profileImage phoneNumber createdAt updatedAt role isActive fcmToken
        roleSpecificData.client(dateOfBirth height weight fitnessGoals fitnessLevel dietaryRestrictions
            medicalConditions assignedCoachId)
        roleSpecificData.coach(specializations bio experience certifications ratings reviewCount isFreelance hourlyRate)
        roleSpecificData.gym_owner(businessName businessAddress businessPhoneNumber businessEmail taxId)
        roleSpecificData(gym_member gym_coach studio_owner studio_coach studio_client)
    """,
    "measurements": """
        _id userId date notes photos(url position date)
        measurements
    """,
    "exercises": """
        _id name description instructions media(videoUrl imageUrls thumbnailUrl) createdBy isPublic alternateExercises
        metadata(bodyAreas type equipment difficultyLevel calories duration tags)
    """,
    "workout_templates": """
        _id name description imageUrl createdBy isPublic createdAt updatedAt reviews(averageRating count)
        metadata(targetGoal difficulty estimatedDuration estimatedCalories targetBodyAreas tags)
        exercises(exerciseId order notes) exercises.defaultSets(reps weight duration distance restTime)
    """,
    "workout_programs": """
        _id name description imageUrl createdBy isPublic createdAt updatedAt reviews(averageRating count)
        metadata(targetGoal difficulty duration tags) schedule(day workoutTemplateId isRestDay notes)
        pricing(price currency discountPrice isDiscounted)
    """,
    "workout_logs": """
        _id userId workoutTemplateId startTime endTime duration caloriesBurned exercises(exerciseId notes)
        exercises.sets(reps weight duration distance restTime completed) feedback(rating difficulty notes)
        biometrics.heartRate(average max min) location(type coordinates) photos notes
    """,
    "nutrition_plans": """
        _id name description createdBy forUserId isTemplate isPublic createdAt updatedAt pricing(price currency)
        metadata(calorieTarget mealsPerDay tags) metadata.macros(protein carbs fat)
        meals(name time notes) meals.foods(foodId quantity unit calories protein carbs fat)
    """,
    "foods": """
        _id name description image category isVerified source createdBy tags
        nutrients(servingSize servingUnit calories protein carbs fat fiber sugar sodium)
    """,
    "facilities": """
        _id name type address(street city state zipCode country coordinates) contact(phoneNumber email website)
        media(logo images virtualTour) operatingHours(day openTime closeTime isClosed) amenities features
        equipments(name category quantity brand) ownerId staff(userId role permissions joinedAt)
        subscriptionPlan(planId startDate endDate isActive) createdAt updatedAt
    """,
    "memberships": """
        _id facilityId name description duration(value unit) price currency features isActive createdAt updatedAt
        limitations(maxVisitsPerWeek maxClassBookingsPerWeek classesIncluded personalTrainingIncluded
            ptSessionsIncluded)
    """,
    "member_subscriptions": """
        _id userId facilityId membershipId startDate endDate status autoRenew createdAt updatedAt cancelledAt
        cancellationReason paymentHistory(amount currency date method status transactionId)
    """,
    "classes": """
        _id facilityId name description instructor(userId name) schedule(startTime endTime) location(room capacity)
        schedule.recurrence(frequency interval weekdays endsOnDate maxOccurrences)
        category difficulty duration image tags isActive createdAt updatedAt
    """,
    "class_bookings": "_id classId userId date status bookedAt cancelledAt checkedInAt notes",
    "coach_clients": """
        _id coachId clientId relationship(status startDate endDate) goals createdAt updatedAt
        package(name price currency startDate endDate) package.sessions(total used remaining)
        notes.visible(text date) notes.private(text date)
    """,
    "pt_sessions": """
        _id coachId clientId facilityId startTime endTime duration status location(type details)
        workout(templateId exercises notes) notes(pre post) feedback.coach(rating notes) feedback.client(rating notes)
        createdAt updatedAt cancelledAt cancellationReason cancelledBy
    """,
}

ELSEWHERE = {
    "users.passwordHash": "credentials.passwordHash",
    "users.fcmToken": "devices.fcmToken",
    # Sums over the credit ledger in Postgres: stored twice they drift.
    "coach_clients.package.sessions.total": None,
    "coach_clients.package.sessions.used": None,
    "coach_clients.package.sessions.remaining": None,
}


def listed(text: str) -> set[str]:
    """Dotted paths of a list such as `a b(c d)`: a, b.c, b.d."""
    paths = set()
    for outer, group, alone in re.findall(r"([\w.]+)\(([^)]*)\)|([\w.]+)", text):
        paths |= {f"{outer}.{name}" for name in group.split()} | ({alone} if alone else set())
    return paths


def stored(schema: dict[str, Any], prefix: str = "") -> set[str]:
    paths = set()
    for name, inner in schema.get("properties", {}).items():
        paths |= {prefix + name} | stored(inner, f"{prefix}{name}.")
    if isinstance(schema.get("items"), dict):
        paths |= stored(schema["items"], prefix)
    return paths


@pytest.mark.parametrize("collection", SOURCE)
def test_source_fields_are_stored(collection: str) -> None:
    here = stored(validator(MODELS[collection])["$jsonSchema"])
    for path in listed(SOURCE[collection]):
        if f"{collection}.{path}" not in ELSEWHERE:
            assert path in here, path
            continue
        assert path not in here
        if elsewhere := ELSEWHERE[f"{collection}.{path}"]:
            other, _, moved = elsewhere.partition(".")
            assert moved in stored(validator(MODELS[other])["$jsonSchema"])


def test_the_figures_inside_an_encrypted_measurement_have_the_sources_names() -> None:
    kept = {str(field.alias) for field in BodyMeasurements.model_fields.values()}
    assert kept == {
        *("weight", "bodyFatPercentage", "muscleMass", "chestCircumference"),
        *("waistCircumference", "hipCircumference", "armCircumference", "thighCircumference"),
    }
