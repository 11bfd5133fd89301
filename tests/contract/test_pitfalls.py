"""Known defects of the stack, and what security demands: where each is held. A row without a test is a promise."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import nexfit

TESTS = Path(__file__).parent.parent
SOURCES = Path(nexfit.__file__).parent

HELD: dict[str, tuple[str, ...]] = {
    # The stack.
    "S1 fragments that spread one another cost exponential time": (
        "api/test_limits.py::test_a_document_that_is_too_large_is_refused_by_its_shape",
        "api/test_limits.py::test_the_time_a_document_takes_grows_with_its_length",
        "api/test_limits.py::test_a_hostile_document_is_refused_over_http",
        "live/test_hostile_sockets.py::test_a_hostile_operation_is_answered_soon_and_the_socket_lives",
    ),
    "S2 an unknown fragment is a KeyError": (
        "api/test_limits.py::test_what_is_wrong_but_small_is_left_to_validation",
        "live/test_hostile_sockets.py::test_a_hostile_operation_is_answered_soon_and_the_socket_lives",
    ),
    "S3 of two operations without a name the first runs": (
        "api/test_http.py::test_the_operation_to_run_must_be_clear",
    ),
    "S4 bodies that are no request answer with 500": (
        "api/test_raw_http.py::test_whatever_is_sent_is_answered_soon_with_a_status",
        "api/test_http.py::test_a_body_that_is_no_request_is_a_bad_request",
        "live/test_hostile_sockets.py::test_what_cannot_be_read_closes_the_socket_with_its_code",
    ),
    "S5 no limit of bodies, plain text for errors, any content-type, simple GETs": (
        "api/test_http.py::test_a_large_body_is_refused_before_it_is_read_to_the_end",
        "api/test_http.py::test_only_json_is_accepted",
        "api/test_raw_http.py::test_whatever_is_sent_is_answered_soon_with_a_status",
    ),
    "S6 types and arguments are suggested although suggestions are off": (
        "api/test_raw_http.py::test_the_production_profile_shows_nothing_of_the_schema",
        "engine/test_operations.py::test_validation_stops_early_and_can_keep_its_suggestions",
    ),
    "S7 texts of exceptions reach clients, or validation errors do not": (
        "api/test_http.py::test_what_nobody_expected_is_masked_and_logged_under_its_id",
    ),
    "S8 forged and binary cursors": ("api/test_paging.py::test_a_cursor_of_nothing_is_refused",),
    "S9 ids that are none": ("api/test_bad_input.py::test_an_id_that_names_nothing_finds_nothing",),
    "S10 a subscription by POST": ("live/test_event_streams.py::test_a_subscription_needs_a_stream",),
    "S11 batches share one context": ("api/test_raw_http.py::test_whatever_is_sent_is_answered_soon_with_a_status",),
    "S12 nested selections meet the recursion limit": (
        "api/test_http.py::test_a_deep_operation_is_answered_or_refused",
        "api/test_raw_http.py::test_whatever_is_sent_is_answered_soon_with_a_status",
    ),
    # Demands.
    "4.1.1, 4.1.4 content-type with charset, methods": (
        "api/test_http.py::test_answers_say_what_they_are_and_are_not_kept",
        "api/test_raw_http.py::test_statuses_follow_the_media_type",
    ),
    "4.1.3 forwarded addresses of nobody trusted": (
        "api/test_limits.py::test_only_a_trusted_proxy_says_where_a_request_comes_from",
        "api/test_login_limits.py::test_an_address_may_not_try_one_account_after_another",
    ),
    "4.3.1 allowlist, depth, amount, cost": (
        "api/test_persisted.py::test_only_trusted_documents_are_executed_when_told_so",
        "api/test_limits.py::test_an_operation_that_asks_for_too_many_objects_is_refused_with_both_numbers",
    ),
    "4.3.2 no introspection in production": (
        "contract/test_production.py::test_the_profile_sets_what_nobody_else_did",
        "api/test_raw_http.py::test_the_production_profile_shows_nothing_of_the_schema",
    ),
    "4.4 origins, tokens and their end on sockets": (
        "live/test_sockets.py::test_a_foreign_page_opens_no_socket",
        "live/test_sockets.py::test_a_token_is_renewed_in_band_and_only_by_the_same_viewer",
        "live/test_activity.py::test_a_token_that_expires_closes_the_socket",
    ),
    "injection into either store": ("api/test_bad_input.py::test_what_is_searched_for_is_text_and_no_pattern",),
    "SSRF": ("contract/test_pitfalls.py::test_no_address_a_client_gives_is_ever_fetched",),
    "guessing in batches, aliases and over sockets": (
        "api/test_login_limits.py::test_aliases_are_no_way_around_the_limit_of_an_account",
        "live/test_hostile_sockets.py::test_a_socket_is_no_way_around_the_limit_of_passwords",
    ),
    "every role on every type, by node as by path; tenants": (
        "api/test_rights.py::test_every_field_answers_every_role_as_the_matrix_says",
        "api/test_access.py::test_node_finds_what_the_field_path_would",
        "api/test_access.py::test_a_walk_through_everything_finds_nothing_foreign",
        "api/test_foreign_changes.py::test_nothing_foreign_is_changed_or_shown",
        "api/test_guests.py::test_a_guest_who_has_to_sign_in_is_told_so_by_an_error_of_the_operation",
    ),
    "subscriptions: rights by event, revoked within a second": (
        "live/test_activity.py::test_who_loses_the_right_gets_nothing_more_and_is_told_within_a_second",
        "live/test_activity.py::test_a_session_that_ends_takes_its_sockets_along",
    ),
    "login: one answer for unknown and wrong": (
        "api/test_login.py::test_whoever_is_not_let_in_is_told_the_same",
        "api/test_login.py::test_an_unknown_address_takes_as_long_as_a_wrong_password",
    ),
    "passwords: argon2id, long ones whole": ("api/test_login.py::test_passwords_of_every_kind_verify_themselves_only",),
    "special data: encrypted, and who reads it is recorded": (
        "stores/test_field_encryption.py::test_one_changed_bit_anywhere_is_noticed",
        "api/test_health.py::test_whatever_way_leads_to_health_data_it_is_recorded_once_an_operation",
    ),
    "audit: append-only, chained, without secrets": (
        "postgres/test_audit_chain.py::test_the_application_can_add_and_ask_for_sealing_and_nothing_else",
        "postgres/test_audit_chain.py::test_the_first_broken_entry_is_named",
        "contract/test_pitfalls.py::test_states_in_the_audit_log_have_no_secrets",
    ),
}


@pytest.mark.parametrize("row", HELD)
def test_the_tests_that_hold_a_row_are_there(row: str) -> None:
    for test in HELD[row]:
        file, _, name = test.partition("::")
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in names, test


def test_no_address_a_client_gives_is_ever_fetched() -> None:
    """Nothing asks another server for anything but what speaks to payment providers, whose addresses are settings."""
    clients = {"httpx", "requests", "aiohttp", "urllib.request", "http.client", "smtplib", "ftplib"}
    found = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            if clients & {*names, *(name.partition(".")[0] for name in names)}:
                found.add(path.relative_to(SOURCES).parts[0])
    assert found <= {"payments"}


def test_states_in_the_audit_log_have_no_secrets() -> None:
    from nexfit.hybrid.audit import REMOVED, clean_state

    state = {
        "name": "Ece",
        "passwordHash": "x1",
        "refresh_token": "x2",
        "nested": [{"apiKey": "x3", "twoFactorSecret": {"deep": "x4"}}],
        "credentials": ["x5"],
        "bytes": b"x6",
    }
    kept = clean_state(state)
    assert kept is not None
    assert b"Ece" in kept
    assert not any(f"x{number}".encode() in kept for number in range(1, 7))
    assert kept.count(REMOVED.encode()) == 5
