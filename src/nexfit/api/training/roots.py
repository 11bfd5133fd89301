"""The root fields of training. This module only lists them."""

from __future__ import annotations

import strawberry

from nexfit.api.training.body_mutations import BodyMutations
from nexfit.api.training.enrolments import EnrolmentMutations
from nexfit.api.training.exercise_mutations import ExerciseMutations
from nexfit.api.training.exercises import ExerciseQueries
from nexfit.api.training.library import LibraryQueries
from nexfit.api.training.library_mutations import LibraryMutations
from nexfit.api.training.workout_mutations import WorkoutMutations


@strawberry.type
class TrainingQueries(ExerciseQueries, LibraryQueries):
    """What can be read."""


@strawberry.type
class TrainingMutations(ExerciseMutations, WorkoutMutations, LibraryMutations, EnrolmentMutations, BodyMutations):
    """What can be changed."""
