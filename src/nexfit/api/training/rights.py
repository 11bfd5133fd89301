"""The rights matrix of training (`nexfit.api.rights` has the others)."""

from __future__ import annotations

from collections.abc import Mapping

from nexfit.api.right_entries import Entry, Scope, fields, part
from nexfit.domains.identity.access import ANYONE, SELF, coach
from nexfit.domains.identity.documents import ConsentScope

_WORKOUTS = SELF | coach(ConsentScope.WORKOUTS)

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
                "id clientId importedFrom revision editedAt name startTime endTime duration caloriesBurned exercises"
                " figures feedback heartRate place notes user",
                _WORKOUTS,
            ),
            ("photos", SELF | coach(ConsentScope.PHOTOS)),
        ),
        found=_WORKOUTS,
        scope=Scope(person="userId"),
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
    "Progress": part("total weeks records heaviest streak"),
    "SaveWorkoutLogsPayload": part("results userErrors"),
    "SavedWorkout": part("clientId outcome workout userErrors"),
    "WorkoutPayload": part("workout userErrors"),
    "ImportWorkoutsPayload": part("created updated unchanged kept createdExercises skipped userErrors"),
    "SkippedRow": part("row reason"),
}
