"""Encrypted fields: what is kept, and what happens to an envelope that was changed, moved or made with another key."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from nexfit.settings import EncryptionSettings
from nexfit.stores.field_encryption import (
    PERSON,
    KeyDestroyed,
    KeyNotSet,
    KeyRing,
    Place,
    Tampered,
    UnknownKey,
    rewrap,
)
from nexfit.stores.person_keys import PersonKeyFiles

OLD, NEW = b"o" * 32, b"n" * 32
RING = KeyRing({"old": OLD, "new": NEW}, "new", b"i" * 32)
HERE = Place("users", ObjectId("656565656565656565656565"), "a.medicalConditions")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_a_value_comes_back_and_its_envelope_shows_neither_it_nor_that_it_is_the_same(value: Any) -> None:
    first, second = RING.encrypt(HERE, value), RING.encrypt(HERE, value)
    assert RING.decrypt(HERE, first) == RING.decrypt(HERE, second) == value
    assert first.keys() == {"keyId", "nonce", "ciphertext"}
    assert first["keyId"] == "new"
    assert len(first["nonce"]) == 12
    assert first["nonce"] != second["nonce"]
    assert first["ciphertext"] != second["ciphertext"]


def test_what_is_kept_is_aes_256_gcm_with_its_tag_and_place() -> None:
    """Read by the library alone, as another program would."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    kept = RING.encrypt(HERE, ["astım"])
    place = b'["users","656565656565656565656565","a.medicalConditions"]'
    plain = AESGCM(NEW).decrypt(kept["nonce"], kept["ciphertext"], place)
    assert plain == '["astım"]'.encode()
    assert len(kept["ciphertext"]) == len(plain) + 16


def changed_by_a_bit() -> Iterator[dict[str, Any]]:
    kept = RING.encrypt(HERE, ["diabetes"])
    for part in ("nonce", "ciphertext"):
        for place, bit in itertools.product(range(len(kept[part])), range(8)):
            changed = bytearray(kept[part])
            changed[place] ^= 1 << bit
            yield kept | {part: bytes(changed)}


def test_one_changed_bit_anywhere_is_noticed() -> None:
    tried = 0
    for changed in changed_by_a_bit():
        with pytest.raises(Tampered, match=r"users .* a\.medicalConditions"):
            RING.decrypt(HERE, changed)
        tried += 1
    assert tried == 8 * (12 + len('["diabetes"]') + 16)


@pytest.mark.parametrize(
    "elsewhere",
    [
        Place("users", ObjectId("656565656565656565656566"), "a.medicalConditions"),
        Place("users", HERE.document_id, "a.taxId"),
        Place("people", HERE.document_id, "a.medicalConditions"),
        Place("users", f'{HERE.document_id}","a', "medicalConditions"),
    ],
)
def test_an_envelope_moved_to_another_place_cannot_be_read(elsewhere: Place) -> None:
    kept = RING.encrypt(HERE, ["diabetes"])
    for use in (RING.decrypt, RING.renew):
        with pytest.raises(Tampered):
            use(elsewhere, kept)


def test_another_key_under_the_same_or_another_id() -> None:
    kept = RING.encrypt(HERE, "x")
    with pytest.raises(Tampered):
        KeyRing({"new": b"?" * 32}, "new").decrypt(HERE, kept)
    with pytest.raises(Tampered):
        RING.decrypt(HERE, kept | {"keyId": "old"})
    with pytest.raises(UnknownKey, match="'new', which NEXFIT_ENCRYPTION_KEYS does not hold") as unknown:
        KeyRing({"old": OLD}, "old").decrypt(HERE, kept)
    assert unknown.value.key_id == "new"


@pytest.mark.parametrize("broken", [{"nonce": b""}, {"nonce": None}, {"ciphertext": "text"}, {"ciphertext": b"short"}])
def test_an_envelope_of_another_form_is_refused_as_changed(broken: dict[str, Any]) -> None:
    kept = RING.encrypt(HERE, "x")
    with pytest.raises(Tampered):
        RING.decrypt(HERE, kept | broken)
    with pytest.raises(Tampered):
        RING.decrypt(HERE, {"keyId": "new"})
    for key_id in (None, 7, ["new"]):
        with pytest.raises(UnknownKey):
            RING.decrypt(HERE, kept | {"keyId": key_id})


def test_after_a_rotation_old_envelopes_are_read_and_new_ones_are_made_with_the_new_key() -> None:
    kept = KeyRing({"old": OLD}, "old").encrypt(HERE, ["asthma"])
    assert RING.decrypt(HERE, kept) == ["asthma"]
    renewed = RING.renew(HERE, kept)
    assert renewed["keyId"] == "new"
    assert KeyRing({"new": NEW}, "new").decrypt(HERE, renewed) == ["asthma"]


def test_without_keys_nothing_is_written_or_read() -> None:
    none, kept = KeyRing.of(EncryptionSettings()), RING.encrypt(HERE, "x")
    for use in (lambda: none.encrypt(HERE, "x"), lambda: none.decrypt(HERE, kept), lambda: none.active):
        with pytest.raises(KeyNotSet, match="NEXFIT_ENCRYPTION_KEYS is not set"):
            use()
    with pytest.raises(KeyNotSet, match="NEXFIT_ENCRYPTION_INDEX_KEY"):
        none.blind_index("taxId", "1")


def test_a_blind_index_is_equal_for_equal_texts_of_one_purpose_under_one_key() -> None:
    index = RING.blind_index("taxId", "1234567890")
    assert len(index) == 32
    assert index == KeyRing({"other": NEW}, "other", b"i" * 32).blind_index("taxId", "1234567890")
    assert index != RING.blind_index("taxId", "1234567891")
    assert index != RING.blind_index("phone", "1234567890")
    assert index != KeyRing({}, None, b"j" * 32).blind_index("taxId", "1234567890")


def text_of(key: bytes) -> str:
    return base64.b64encode(key).decode()


def test_settings_name_several_keys_and_the_active_one() -> None:
    both = SecretStr(f"old:{text_of(OLD)}, new:{text_of(NEW)}")
    ring = KeyRing.of(EncryptionSettings(keys=both, active="new"))
    assert ring.active == "new"
    assert ring.decrypt(HERE, KeyRing({"old": OLD}, "old").encrypt(HERE, 1)) == 1
    assert KeyRing.of(EncryptionSettings(keys=SecretStr(f"only:{text_of(NEW)}"))).active == "only"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"keys": text_of(OLD)}, "entry 1 of the keys is not `id:key`"),
        ({"keys": f"a:{text_of(OLD)},{text_of(NEW)}"}, "entry 2 of the keys is not `id:key`"),
        ({"keys": "a:not base64!"}, "key a is not base64"),
        ({"keys": f"a:{text_of(OLD[:16])}"}, "key a has 16 bytes instead of 32"),
        ({"keys": f"a:{text_of(OLD)},a:{text_of(NEW)}"}, "key a is given twice"),
        ({"keys": f"a:{text_of(OLD)},b:{text_of(NEW)}"}, "name the active one in NEXFIT_ENCRYPTION_ACTIVE"),
        ({"keys": f"a:{text_of(OLD)}", "active": "c"}, "the active key c is not among the keys"),
        ({"active": "c"}, "the active key c is not among the keys"),
        ({"index_key": text_of(OLD)[:-4]}, "the index key"),
    ],
)
def test_wrong_settings_say_what_is_wrong_and_never_a_key(given: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as refused:
        EncryptionSettings.model_validate(given)
    assert not any(text_of(key)[:12] in str(refused.value) for key in (OLD, NEW))


# --- keys of single people

ANNA, BORIS = ObjectId(), ObjectId()


def ring(folder: Path, active: str = "new") -> KeyRing:
    """A ring of a process of its own, with people's keys."""
    return KeyRing({"old": OLD, "new": NEW}, active, b"i" * 32, PersonKeyFiles(folder))


def test_a_person_has_a_key_that_reads_nobody_elses(tmp_path: Path) -> None:
    kept = ring(tmp_path).of_person(ANNA).encrypt(HERE, ["asthma"])
    assert kept["keyId"] == PERSON
    assert ring(tmp_path).of_person(ANNA).decrypt(HERE, kept) == ["asthma"]
    ring(tmp_path).of_person(BORIS).encrypt(HERE, 1)
    with pytest.raises(Tampered):
        ring(tmp_path).of_person(BORIS).decrypt(HERE, kept)
    with pytest.raises(UnknownKey):
        ring(tmp_path).decrypt(HERE, kept)
    [held] = tmp_path.glob(f"*/{ANNA}")
    assert b"asthma" not in held.read_bytes()
    assert held.stat().st_mode & 0o077 == 0
    # What the ring wrote before is read, and renewed under the person's key.
    old = ring(tmp_path).encrypt(HERE, "before")
    assert ring(tmp_path).of_person(ANNA).decrypt(HERE, old) == "before"
    assert ring(tmp_path).of_person(ANNA).renew(HERE, old)["keyId"] == PERSON


def test_a_destroyed_key_reads_nothing_and_never_comes_back(tmp_path: Path) -> None:
    kept = ring(tmp_path).of_person(ANNA).encrypt(HERE, "x")
    files = PersonKeyFiles(tmp_path)
    assert (files.destroy(ANNA), files.destroy(ANNA)) == (True, False)
    for again in (lambda one: one.decrypt(HERE, kept), lambda one: one.encrypt(HERE, "y")):
        with pytest.raises(KeyDestroyed):
            again(ring(tmp_path).of_person(ANNA))
    assert not rewrap(ring(tmp_path), ANNA)
    assert files.destroy(BORIS)  # who never had one gets none either
    with pytest.raises(KeyDestroyed):
        ring(tmp_path).of_person(BORIS).encrypt(HERE, "z")


def test_of_processes_that_make_a_key_at_the_same_time_all_use_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda n: ring(tmp_path).of_person(ANNA).encrypt(HERE, n), range(40)))
    assert [ring(tmp_path).of_person(ANNA).decrypt(HERE, one) for one in kept] == list(range(40))


def test_peoples_keys_move_to_the_active_key_of_the_ring(tmp_path: Path) -> None:
    kept = ring(tmp_path, "old").of_person(ANNA).encrypt(HERE, "x")
    assert (rewrap(ring(tmp_path), ANNA), rewrap(ring(tmp_path), ANNA)) == (True, False)
    only_new = KeyRing({"new": NEW}, "new", None, PersonKeyFiles(tmp_path))
    assert only_new.of_person(ANNA).decrypt(HERE, kept) == "x"
