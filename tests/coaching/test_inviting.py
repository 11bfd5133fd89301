"""Coach and client come together and part (workflow 8.1 to 8.3): one live relation per pair, ended by either."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import orjson
import pytest
from bson import ObjectId

from nexfit.domains.coaching import consents, inviting, notes
from nexfit.domains.coaching.documents import MOST_NOTES
from nexfit.domains.coaching.errors import InvalidTransition, NoRelation
from nexfit.domains.errors import BadInput, Forbidden, NotFound, Unauthenticated
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.identity.documents import ConsentScope

from .conftest import NOW, Practice

LATER = NOW + timedelta(days=3)


async def shared(practice: Practice, client: Actor) -> list[str]:
    pair = (practice.coach.require(), client.require())
    return (await consents.shared(practice.stores.mongo, [pair])).get(pair, [])


async def test_an_invitation_is_accepted_with_the_scopes_the_client_names(practice: Practice) -> None:
    client = await practice.person()
    relation = await practice.invite(client)
    assert (await practice.relation(relation))["relationship"] == {"status": "pending"}
    assert await shared(practice, client) == []
    await inviting.accept(practice.units, client, relation, [ConsentScope.PHOTOS], now=LATER)
    stored = await practice.relation(relation)
    assert stored["relationship"] == {"status": "active", "startDate": LATER}
    assert await shared(practice, client) == ["photos"]
    before = await practice.written()
    await inviting.accept(practice.units, client, relation, [ConsentScope.MEDICAL], now=LATER)
    assert await practice.written() == before  # accepted once: what is opened later is granted by name
    assert await shared(practice, client) == ["photos"]
    told = await practice.database.outbox.find({"aggregateId": str(relation)}).sort("position").to_list()
    assert [orjson.loads(event["payload"])["status"] for event in told] == ["pending", "active"]
    audits = await practice.database.audit_entries.find({"entityId": str(relation)}).to_list()
    assert sorted((audit["action"], audit["userId"]) for audit in audits) == [
        ("coach_client.active", client.user_id),
        ("coach_client.pending", practice.coach.user_id),
    ]


async def test_photos_and_medical_conditions_are_not_opened_unless_the_client_says_so(practice: Practice) -> None:
    client, _ = await practice.client()
    assert await shared(practice, client) == ["measurements", "workouts", "nutrition", "notes"]


async def test_either_side_ends_it_at_once_and_nothing_granted_comes_back(practice: Practice) -> None:
    for by_coach in (True, False):
        client, relation = await practice.client(scopes=list(ConsentScope))
        who = practice.coach if by_coach else client
        await inviting.end(practice.units, who, relation, now=LATER)
        assert await shared(practice, client) == []
        assert (await practice.relation(relation))["relationship"] == {
            "status": "ended",
            "startDate": NOW,
            "endDate": LATER,
        }
        before = await practice.written()
        await inviting.end(practice.units, practice.coach, relation, now=LATER)
        assert await practice.written() == before
        again = await practice.invite(client, now=LATER + timedelta(days=1))
        assert again != relation
        await inviting.accept(practice.units, client, again, [ConsentScope.NOTES], now=LATER + timedelta(days=2))
        assert await shared(practice, client) == ["notes"]


async def test_an_invitation_can_be_declined_and_taken_back(practice: Practice) -> None:
    for by_coach in (True, False):
        client = await practice.person()
        relation = await practice.invite(client)
        who = practice.coach if by_coach else client
        await inviting.decline(practice.units, who, relation, now=LATER)
        before = await practice.written()
        await inviting.decline(practice.units, who, relation, now=LATER)
        assert await practice.written() == before
        with pytest.raises(InvalidTransition):
            await inviting.accept(practice.units, client, relation, (), now=LATER)
        assert await practice.written() == before
        assert await practice.invite(client, now=LATER) != relation


async def test_what_is_refused_writes_nothing(practice: Practice) -> None:
    client, active = await practice.client()
    waiting_client = await practice.person()
    waiting = await practice.invite(waiting_client)
    stranger, other_coach = await practice.person(), await practice.person("gym_coach")
    units, coach = practice.units, practice.coach
    before = await practice.written()
    for refused, attempt in (
        (Unauthenticated, lambda: practice.invite(client, by=GUEST)),
        (Forbidden, lambda: practice.invite(coach, by=client)),
        (BadInput, lambda: practice.invite(coach)),
        (NotFound, lambda: practice.invite(Actor(ObjectId()))),
        (InvalidTransition, lambda: practice.invite(client)),
        (NoRelation, lambda: inviting.accept(units, coach, waiting, (), now=NOW)),
        (NoRelation, lambda: inviting.accept(units, stranger, waiting, (), now=NOW)),
        (InvalidTransition, lambda: inviting.end(units, coach, waiting, now=NOW)),
        (InvalidTransition, lambda: inviting.decline(units, client, active, now=NOW)),
        (NoRelation, lambda: inviting.decline(units, stranger, waiting, now=NOW)),
        (NoRelation, lambda: inviting.end(units, other_coach, active, now=NOW)),
        (NoRelation, lambda: notes.add_note(units, client, active, "a", private=False, now=NOW)),
        (NoRelation, lambda: notes.add_note(units, other_coach, active, "a", private=True, now=NOW)),
        (InvalidTransition, lambda: notes.add_note(units, coach, waiting, "a", private=True, now=NOW)),
    ):
        with pytest.raises(refused):
            await attempt()
        assert await practice.written() == before, refused


async def test_forty_invitations_at_once_are_one(practice: Practice) -> None:
    client = await practice.person()
    made = await asyncio.gather(*(practice.invite(client) for _ in range(40)))
    assert len(set(made)) == 1
    pair = {"coachId": practice.coach.user_id, "clientId": client.user_id}
    assert await practice.database.coach_clients.count_documents(pair) == 1
    assert await practice.database.outbox.count_documents({"aggregateId": str(made[0])}) == 1


async def test_of_accepting_declining_and_ending_at_once_the_states_follow_each_other(practice: Practice) -> None:
    for _ in range(5):
        client = await practice.person()
        relation = await practice.invite(client)
        units, coach = practice.units, practice.coach
        results = await asyncio.gather(
            inviting.accept(units, client, relation, list(ConsentScope), now=LATER),
            inviting.decline(units, client, relation, now=LATER),
            inviting.decline(units, coach, relation, now=LATER),
            inviting.end(units, coach, relation, now=LATER),
            inviting.end(units, client, relation, now=LATER),
            return_exceptions=True,
        )
        assert Counter(type(result) for result in results).keys() <= {type(None), InvalidTransition}, results
        told = await practice.database.outbox.find({"aggregateId": str(relation)}).sort("position").to_list()
        states = [orjson.loads(event["payload"])["status"] for event in told]
        assert states in (["pending", "declined"], ["pending", "active"], ["pending", "active", "ended"])
        assert (await practice.relation(relation))["relationship"]["status"] == states[-1]
        assert (await shared(practice, client) != []) == (states[-1] == "active")


async def test_notes_are_kept_apart_and_there_is_an_end_to_them(practice: Practice) -> None:
    _, relation = await practice.client()
    units, coach = practice.units, practice.coach
    await notes.add_note(units, coach, relation, "Diz ağrısı", private=True, now=NOW)
    await notes.add_note(units, coach, relation, "Aferin", private=False, now=LATER)
    kept = (await practice.relation(relation))["notes"]
    assert len({kept[kind][0].pop("id") for kind in ("visible", "private")}) == 2
    assert kept == {"visible": [{"text": "Aferin", "date": LATER}], "private": [{"text": "Diz ağrısı", "date": NOW}]}
    full = [{"text": "a", "date": NOW}] * MOST_NOTES
    await practice.database.coach_clients.update_one({"_id": relation}, {"$set": {"notes.visible": full}})
    with pytest.raises(BadInput):
        await notes.add_note(units, coach, relation, "a", private=False, now=NOW)


async def test_a_note_is_changed_in_its_place_and_taken_away_once(practice: Practice) -> None:
    _, relation = await practice.client()
    units, coach = practice.units, practice.coach
    for text in ("bir", "iki", "üç"):
        await notes.add_note(units, coach, relation, text, private=False, now=NOW)
    # As the release before wrote them.
    await practice.database.coach_clients.update_one({"_id": relation}, {"$unset": {"notes.visible.1.id": ""}})
    before = (await practice.relation(relation))["notes"]["visible"]
    first, second, third = (notes.note_id(note) for note in before)
    await notes.change_note(units, coach, relation, second, "iki buçuk", now=LATER)
    after = (await practice.relation(relation))["notes"]["visible"]
    changed = {"id": second, "text": "iki buçuk", "date": NOW, "changedAt": LATER}
    assert after == [before[0], changed, before[2]]
    count = await practice.written()
    await notes.change_note(units, coach, relation, second, "iki buçuk", now=LATER + timedelta(hours=1))
    assert (await practice.relation(relation))["notes"]["visible"] == after
    assert await practice.written() == count
    for _ in range(2):
        await notes.remove_note(units, coach, relation, first, now=LATER)
        assert (await practice.relation(relation))["notes"]["visible"] == [changed, before[2]]
    with pytest.raises(NotFound):
        await notes.change_note(units, coach, relation, first, "a", now=LATER)
    # One without an id goes as well, and nothing else with it.
    await practice.database.coach_clients.update_one({"_id": relation}, {"$unset": {"notes.visible.1.id": ""}})
    old = notes.note_id({name: value for name, value in before[2].items() if name != "id"})
    assert old not in (first, second, third)
    await notes.remove_note(units, coach, relation, old, now=LATER)
    assert (await practice.relation(relation))["notes"]["visible"] == [changed]
    audits = await practice.database.audit_entries.find({"entityId": str(relation)}, sort=[("position", 1)]).to_list()
    told = Counter(audit["action"] for audit in audits)
    assert (told["coach_client.note_changed"], told["coach_client.note_removed"]) == (1, 2)
    assert "iki" not in str(audits)  # what it says is nobody else's


async def test_of_changes_and_removals_at_once_none_touches_another_note(practice: Practice) -> None:
    _, relation = await practice.client()
    units, coach = practice.units, practice.coach
    for number in range(6):
        await notes.add_note(units, coach, relation, f"{number}", private=number % 2 == 0, now=NOW)
    kept = (await practice.relation(relation))["notes"]
    ids = {note["text"]: note["id"] for kind in ("visible", "private") for note in kept[kind]}
    await asyncio.gather(
        *(notes.remove_note(units, coach, relation, ids[text], now=LATER) for text in "0123"),
        *(notes.change_note(units, coach, relation, ids[text], f"{text}!", now=LATER) for text in "45"),
        notes.set_goals(units, coach, relation, ["Hız"], now=LATER),
    )
    found = await practice.relation(relation)
    left = {kind: [(note["id"], note["text"]) for note in found["notes"][kind]] for kind in ("visible", "private")}
    assert left == {"visible": [(ids["5"], "5!")], "private": [(ids["4"], "4!")]}
    assert found["goals"] == ["Hız"]


async def test_the_coach_sets_goals_while_the_relation_lives(practice: Practice) -> None:
    client = await practice.person()
    relation = await practice.invite(client)
    units, coach = practice.units, practice.coach
    await notes.set_goals(units, coach, relation, ["Hız", "Güç"], now=LATER)
    await inviting.accept(units, client, relation, (), now=LATER)
    count = await practice.written()
    await notes.set_goals(units, coach, relation, ["Hız", "Güç"], now=LATER)
    assert await practice.written() == count
    await notes.set_goals(units, coach, relation, [], now=LATER)
    assert (await practice.relation(relation))["goals"] == []


async def test_what_is_written_of_others_or_after_the_end_is_refused(practice: Practice) -> None:
    client, relation = await practice.client()
    units, coach, other = practice.units, practice.coach, await practice.person("coach")
    await notes.add_note(units, coach, relation, "Aferin", private=False, now=NOW)
    [note] = (await practice.relation(relation))["notes"]["visible"]
    id_, missing = note["id"], ObjectId()

    async def refused(who: Actor, error: type[Exception], where: ObjectId = relation) -> None:
        before = (await practice.written(), await practice.relation(relation))
        for attempt in (
            notes.change_note(units, who, where, id_, "a", now=LATER),
            notes.remove_note(units, who, where, id_, now=LATER),
            notes.remove_note(units, who, where, missing, now=LATER),
            notes.set_goals(units, who, where, ["a"], now=LATER),
        ):
            with pytest.raises(error):
                await attempt
        assert (await practice.written(), await practice.relation(relation)) == before

    await refused(GUEST, Unauthenticated)
    await refused(client, NoRelation)
    await refused(other, NoRelation)
    await refused(coach, NoRelation, missing)
    await inviting.end(units, coach, relation, now=LATER)
    await refused(coach, InvalidTransition)
