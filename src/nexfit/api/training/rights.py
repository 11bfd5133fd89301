"""The rights matrix of training (`nexfit.api.rights` has the others)."""

from __future__ import annotations

from collections.abc import Mapping

from nexfit.api.right_entries import Entry, Scope, fields, part
from nexfit.domains.identity.access import ANYONE, SELF, coach
from nexfit.domains.identity.documents import ConsentScope

TRAINING_QUERIES = "exercises workoutTemplates workoutPrograms"
"""Root fields that anyone may ask."""

TRAINING_MUTATIONS = (
    "createExercise updateExercise saveWorkoutLogs startWorkout finishWorkout importWorkouts saveReview"
    " createWorkoutTemplate updateWorkoutTemplate copyWorkoutTemplate archiveWorkoutTemplate archiveWorkoutProgram"
    " createWorkoutProgram updateWorkoutProgram copyWorkoutProgram setProgramPrice purchaseProgram returnProgram"
    " enrolInProgram completeProgramDay skipProgramDay restartProgram endProgram"
    " recordMeasurement updateMeasurement deleteMeasurement setBodyGoal requestPhotoUpload"
)
"""Root fields for who is signed in; what each may change its rule says."""

_WORKOUTS = SELF | coach(ConsentScope.WORKOUTS)
_BODY = coach(ConsentScope.MEASUREMENTS)

TRAINING: Mapping[str, Entry] = {
    "Exercise": Entry(  # public ones, and one's own: the query sees to it
        fields(
            (
                "id name description instructions language translations media bodyAreas primaryBodyAreas"
                " secondaryBodyAreas type equipment difficulty force mechanic calories duration tags isPublic creator"
                " alternates source author license createdAt updatedAt",
                ANYONE,
            )
        ),
        found=ANYONE,
    ),
    "ExerciseTranslation": part("language name description instructions"),
    "ExerciseMedia": part("videoUrl imageUrls thumbnailUrl"),
    "ExercisePayload": part("exercise similar userErrors"),
    "WorkoutLog": Entry(
        fields(
            (
                "id clientId importedFrom revision editedAt name template templateVersion plan startTime endTime"
                " duration caloriesBurned exercises figures feedback heartRate place notes user",
                _WORKOUTS,
            ),
            ("photos", SELF | coach(ConsentScope.PHOTOS)),
        ),
        found=_WORKOUTS,
        scope=Scope(person="userId"),
        health=frozenset({"photos", "heartRate"}),
    ),
    "LoggedExercise": part("exercise superset sets notes"),
    "LoggedSet": part("kind reps weight duration distance restTime completed rpe rir tempo e1rm"),
    "WorkoutFeedback": part("rating difficulty notes"),
    "HeartRate": part("average max min"),
    "WorkoutPlace": part("latitude longitude"),
    "AreaFigures": part("area sets volume"),
    "ExerciseBest": part("exercise sets volume weight weightReps e1rm"),
    "WorkoutFigures": part("sets reps volume distance areas bests"),
    "TrainingFigures": part("workouts sets reps volume distance seconds areas"),
    "TrainingWeek": part("starts workouts sets reps volume distance seconds areas"),
    "ExerciseRecord": part("exercise value weight reps at workout"),
    "WeekStreak": part("current longest"),
    "Progress": part("total weeks records heaviest adherence streak"),
    "SaveWorkoutLogsPayload": part("results userErrors"),
    "SavedWorkout": part("clientId outcome workout userErrors"),
    "WorkoutPayload": part("workout userErrors"),
    "ImportWorkoutsPayload": part("created updated unchanged kept createdExercises skipped userErrors"),
    "SkippedRow": part("row reason"),
    "Adherence": part("done due rate"),
    "WorkoutTemplate": Entry(  # public ones, and one's own: the query sees to it
        fields(
            (
                "id name description imageUrl version isPublic creator forkedFrom targetGoal difficulty"
                " estimatedDuration estimatedCalories targetBodyAreas tags exercises reviewSummary reviews createdAt"
                " updatedAt archivedAt",
                ANYONE,
            )
        ),
        found=ANYONE,
    ),
    "WorkoutProgram": Entry(
        fields(
            (
                "id name description imageUrl version isPublic creator forkedFrom targetGoal difficulty duration tags"
                " pricing schedule reviewSummary reviews createdAt updatedAt archivedAt",
                ANYONE,
            )
        ),
        found=ANYONE,
    ),
    "WorkoutTemplateVersion": part("version name description exercises"),
    "TemplateExercise": part("exercise order superset defaultSets notes"),
    "PlannedSet": part("kind reps repsMin repsMax weight percentOfMax duration distance restTime rpe rir tempo"),
    "ProgramPricing": part("price discountPrice facility"),
    "ProgramPricePayload": part("program userErrors"),
    "PurchaseProgramPayload": part("purchase clientSecret checkoutUrl userErrors"),
    "ReturnProgramPayload": part("purchase userErrors"),
    "ProgramDay": part("day isRestDay workout notes"),
    "ReviewSummary": part("averageRating count"),
    "Review": part("rating text author createdAt updatedAt"),
    "WorkoutTemplatePayload": part("template userErrors"),
    "WorkoutProgramPayload": part("program userErrors"),
    "ReviewPayload": part("review userErrors"),
    "ProgramEnrolment": Entry(
        fields(
            (
                "id name program programVersion status startDate pointer days adherence restarts user assignedBy"
                " createdAt updatedAt endedAt",
                _WORKOUTS,
            )
        ),
        found=_WORKOUTS,
        scope=Scope(person="userId"),
    ),
    "EnrolmentDay": part("day date isRestDay state settledAt workout plan log notes"),
    "EnrolmentPayload": part("enrolment userErrors"),
    "BodyTrend": part("metric points latest change changePerWeek goal left"),
    "TrendPoint": part("at value mean"),
    "BodyGoal": part("metric target by createdAt"),
    "MeasurementPayload": part("measurement userErrors"),
    "DeleteMeasurementPayload": part("deletedId userErrors"),
    "BodyGoalPayload": part("goal userErrors"),
    "PhotoUploadPayload": part("key address userErrors"),
    "Measurement": Entry(
        fields(
            ("id date measurements notes user", SELF | _BODY),
            ("photos", SELF | coach(ConsentScope.PHOTOS)),
        ),
        found=SELF | _BODY,
        scope=Scope(person="userId"),
        health=frozenset({"measurements", "notes", "photos"}),
    ),
    "BodyMeasurements": part(
        "weight bodyFatPercentage muscleMass chestCircumference waistCircumference hipCircumference armCircumference"
        " thighCircumference"
    ),
    "ProgressPhoto": part("url position date"),
}
