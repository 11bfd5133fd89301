"""Encrypting single fields of documents: AES-256-GCM under a ring of keys, bound to the place the value belongs to.

What is kept is an envelope (`nexfit.stores.documents.Encrypted`): the key's id, a fresh random 96-bit nonce and the
ciphertext with its tag. The place (collection, document's id, field) is authenticated with it: an envelope that is
copied to another document or field, or changed by a bit, cannot be read.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import orjson
from bson import ObjectId
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from nexfit.settings import EncryptionSettings
from nexfit.stores.person_keys import PersonKeyFiles, new_key, packed, unpacked

NONCE_BYTES = 12
KEYS = "NEXFIT_ENCRYPTION_KEYS"
INDEX_KEY = "NEXFIT_ENCRYPTION_INDEX_KEY"

Envelope = dict[str, Any]
"""`keyId`, `nonce` and `ciphertext`, as a document holds them."""


class FieldEncryptionError(Exception):
    """A field cannot be encrypted or read. The message is for the log, never for a client, and holds no value."""


class KeyNotSet(FieldEncryptionError):
    """The setting that holds the key is empty."""

    def __init__(self, setting: str) -> None:
        super().__init__(f"{setting} is not set: fields that are kept encrypted can be neither written nor read")


class UnknownKey(FieldEncryptionError):
    """The envelope names a key that is not in the ring."""

    def __init__(self, place: Place, key_id: object) -> None:
        super().__init__(f"{place} is encrypted with key {key_id!r}, which {KEYS} does not hold")
        self.key_id = key_id


class KeyDestroyed(FieldEncryptionError):
    """The person was erased, and the key with them; or it is lost."""

    def __init__(self, place: Place) -> None:
        super().__init__(f"{place} is encrypted with a person's key that is destroyed")


class Tampered(FieldEncryptionError):
    """The envelope was not made by this key for this place, or was changed since."""

    def __init__(self, place: Place) -> None:
        super().__init__(f"{place} holds an encrypted value that was changed, moved here or made with another key")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value belongs: `field` is the dotted path in the stored document."""

    collection: str
    document_id: object
    field: str

    def __str__(self) -> str:
        return f"{self.collection} {self.document_id} {self.field}"

    def authenticated(self) -> bytes:
        """The place as associated data; no two places give the same bytes."""
        return orjson.dumps([self.collection, str(self.document_id), self.field])


class Keys(Protocol):
    """What encrypts and reads fields: the ring, or a person's own key."""

    def encrypt(self, place: Place, value: Any) -> Envelope:
        """The envelope of a JSON-like value for this place."""

    def decrypt(self, place: Place, envelope: Mapping[str, Any]) -> Any:
        """The value in the envelope of this place."""


class KeyRing:
    """The keys of a process: every one reads, the active one writes."""

    def __init__(
        self,
        keys: Mapping[str, bytes],
        active: str | None,
        index_key: bytes | None = None,
        people: PersonKeyFiles | None = None,
    ) -> None:
        self.people = people
        """Where keys of single people are; None where nobody has one of their own."""
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._active = active
        self._index_key = index_key

    @classmethod
    def of(cls, settings: EncryptionSettings) -> KeyRing:
        """The ring the settings describe; without keys it opens and every use of it raises KeyNotSet."""
        people = PersonKeyFiles(settings.person_keys) if settings.key_bytes() else None
        return cls(settings.key_bytes(), settings.active_id(), settings.index_key_bytes(), people)

    @property
    def active(self) -> str:
        """Id of the key that writes. Raises KeyNotSet."""
        if self._active is None:
            raise KeyNotSet(KEYS)
        return self._active

    def encrypt(self, place: Place, value: Any) -> Envelope:
        """The envelope of a JSON-like value for this place. Raises KeyNotSet."""
        return self._seal(place, orjson.dumps(value))

    def decrypt(self, place: Place, envelope: Mapping[str, Any]) -> Any:
        """The value in the envelope of this place. Raises KeyNotSet, UnknownKey and Tampered."""
        return orjson.loads(self._opened(place, envelope))

    def renew(self, place: Place, envelope: Mapping[str, Any]) -> Envelope:
        """The same value under the active key. Raises KeyNotSet, UnknownKey and Tampered."""
        return self._seal(place, self._opened(place, envelope))

    def of_person(self, person: ObjectId) -> PersonKeys:
        """What encrypts and reads what tells of the person's health."""
        return PersonKeys(self, person)

    def blind_index(self, purpose: str, text: str) -> bytes:
        """32 bytes that are equal for equal texts of one purpose and tell nothing else. Raises KeyNotSet."""
        if self._index_key is None:
            raise KeyNotSet(INDEX_KEY)
        return hmac.digest(self._index_key, orjson.dumps([purpose, text]), sha256)

    def _seal(self, place: Place, plain: bytes) -> Envelope:
        key_id = self.active
        nonce = secrets.token_bytes(NONCE_BYTES)
        ciphertext = self._ciphers[key_id].encrypt(nonce, plain, place.authenticated())
        return {"keyId": key_id, "nonce": nonce, "ciphertext": ciphertext}

    def _opened(self, place: Place, envelope: Mapping[str, Any]) -> bytes:
        if self._active is None:
            raise KeyNotSet(KEYS)
        key_id = envelope.get("keyId")
        cipher = self._ciphers.get(key_id) if isinstance(key_id, str) else None
        if cipher is None:
            raise UnknownKey(place, key_id)
        return _plain(cipher, place, envelope)


PERSON = "person"
"""In place of a key's id: the key of the person whose document it is."""


class PersonKeys:
    """Encrypts with a person's own key, which is made when it is first needed; reads what the ring wrote as well."""

    def __init__(self, ring: KeyRing, person: ObjectId) -> None:
        self._ring = ring
        self._person = person

    def encrypt(self, place: Place, value: Any) -> Envelope:
        """The envelope of a JSON-like value for this place. Raises KeyNotSet, KeyDestroyed."""
        return self._seal(place, orjson.dumps(value))

    def decrypt(self, place: Place, envelope: Mapping[str, Any]) -> Any:
        """The value in the envelope of this place. Raises KeyNotSet, UnknownKey, KeyDestroyed and Tampered."""
        return orjson.loads(self._opened(place, envelope))

    def renew(self, place: Place, envelope: Mapping[str, Any]) -> Envelope:
        """The same value under the person's key. Raises as `decrypt` does."""
        return self._seal(place, self._opened(place, envelope))

    def _seal(self, place: Place, plain: bytes) -> Envelope:
        if self._ring.people is None:
            return self._ring._seal(place, plain)
        nonce = secrets.token_bytes(NONCE_BYTES)
        ciphertext = self._cipher(place, make=True).encrypt(nonce, plain, place.authenticated())
        return {"keyId": PERSON, "nonce": nonce, "ciphertext": ciphertext}

    def _opened(self, place: Place, envelope: Mapping[str, Any]) -> bytes:
        if envelope.get("keyId") != PERSON:
            return self._ring._opened(place, envelope)
        return _plain(self._cipher(place, make=False), place, envelope)

    def _cipher(self, place: Place, *, make: bool) -> AESGCM:
        files, at = self._ring.people, Place(PERSON, self._person, "key")
        if files is None:
            raise UnknownKey(place, PERSON)
        known = files.remembered(self._person)
        if known is not None:
            return known
        held = files.read(self._person)
        if held is None and make:
            wrapped = self._ring.encrypt(at, new_key().hex())
            held = files.add(self._person, packed(wrapped))
        if not held:
            raise KeyDestroyed(place)
        cipher = AESGCM(bytes.fromhex(self._ring.decrypt(at, unpacked(held))))
        files.remember(self._person, cipher)
        return cipher


def rewrap(ring: KeyRing, person: ObjectId) -> bool:
    """Bring a person's key under the ring's active key, if it is not; raises FieldEncryptionError."""
    files, at = ring.people, Place(PERSON, person, "key")
    held = files.read(person) if files is not None else None
    if files is None or not held or unpacked(held)["keyId"] == ring.active:
        return False
    return files.replace(person, held, packed(ring.renew(at, unpacked(held))))


def _plain(cipher: AESGCM, place: Place, envelope: Mapping[str, Any]) -> bytes:
    try:
        return cipher.decrypt(envelope["nonce"], envelope["ciphertext"], place.authenticated())
    except (InvalidTag, KeyError, TypeError, ValueError):
        raise Tampered(place) from None
