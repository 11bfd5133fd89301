"""The production profile: what it turns off, and that each thing can still be set by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexfit.settings import PRODUCTION, HttpSettings, OperationsSettings, Settings


def test_the_profile_sets_what_nobody_else_did(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEXFIT_PRODUCTION", "true")
    with pytest.raises(ValueError, match="only_trusted needs a manifest"):
        Settings()
    monkeypatch.setenv("NEXFIT_OPERATIONS_MANIFEST", str(tmp_path / "operations.json"))
    made = Settings()
    for section, values in PRODUCTION.items():
        for name, value in values.items():
            assert getattr(getattr(made, section), name) == value, (section, name)
    assert made.operations.manifest == tmp_path / "operations.json"
    monkeypatch.setenv("NEXFIT_HTTP_INTROSPECTION", "true")
    monkeypatch.setenv("NEXFIT_OPERATIONS_ONLY_TRUSTED", "false")
    made = Settings()
    assert made.http.introspection
    assert not made.http.suggestions
    assert not made.operations.only_trusted


def test_without_the_profile_nothing_is_turned_off() -> None:
    made = Settings(production=False, operations=OperationsSettings(), http=HttpSettings())
    assert made.http.graphiql
    assert made.http.introspection
    assert made.http.suggestions
    assert not made.operations.only_trusted


def test_lists_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXFIT_HTTP_CORS_ORIGINS", '["https://app.example"]')
    monkeypatch.setenv("NEXFIT_HTTP_TRUSTED_PROXIES", '["10.0.0.0/8", "::1"]')
    made = Settings()
    assert made.http.cors_origins == ("https://app.example",)
    assert made.http.trusted_proxies == ("10.0.0.0/8", "::1")
