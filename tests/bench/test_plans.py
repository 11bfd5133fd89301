"""What compiling costs is measured, and unknown operations leave nothing behind."""

from __future__ import annotations

import pytest

from bench import plans


def test_every_operation_has_its_costs() -> None:
    for operation in plans.operations():
        found = plans.cost(operation, 1)
        assert found.fields > 3
        assert min(found.validated_ms, found.planned_ms, found.generated_ms) > 0
        assert found.found_us < found.validated_ms * 1000
        assert 1 < found.document_kb < 1000
        assert 1 < found.plan_kb < 1000


async def test_a_stream_of_unknown_operations_is_evicted_and_a_known_one_stays() -> None:
    seen, again = await plans.stream(2_000)
    assert again == 1
    assert [look.operations for look in seen] == [400, 800, 1_200, 1_600, 2_000]
    assert seen[-1].evicted > 2_000  # documents and plans
    assert seen[-1].documents == seen[-2].documents
    assert seen[-1].resident_mb - seen[-2].resident_mb < plans.MOST_GROWTH_MB


@pytest.mark.parametrize(("growth", "compiled", "code"), [(1.0, 1, 0), (50.0, 1, 1), (1.0, 2, 1)])
def test_growth_and_lost_plans_fail_the_command(growth: float, compiled: int, code: int) -> None:
    from rich.console import Console

    looks = [plans.Look(n, 100.0 + (growth if n > 3 else 0.0), 1, 1, n) for n in range(1, 6)]
    assert plans._show_stream(Console(quiet=True), looks, compiled) == code
