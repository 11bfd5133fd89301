-- Tags and notes of members.

-- name: tags_of_members
-- for: Member.tags. $1 facilities, $2 people, in the same order.
SELECT t.facility_id, t.user_id, t.tag FROM platform.member_tags t
JOIN unnest($1::text[], $2::text[]) AS p (facility_id, user_id) USING (facility_id, user_id)
ORDER BY t.tag_folded

-- name: notes_of_members
-- for: Member.notes. $1 facilities, $2 people, in the same order; $3 at most so many of each.
SELECT n.* FROM unnest($1::text[], $2::text[]) AS p (facility_id, user_id)
CROSS JOIN LATERAL (
  SELECT n.note_id, n.facility_id, n.user_id, n.author_id, n.text, n.created_at FROM platform.member_notes n
  WHERE n.facility_id = p.facility_id AND n.user_id = p.user_id ORDER BY n.created_at DESC, n.note_id DESC LIMIT $3
) n

-- name: member
-- for: whether somebody is a member. $1 facility, $2 person.
SELECT user_id FROM platform.member_facts WHERE facility_id = $1 AND user_id = $2

-- name: hold_member
-- for: tags of one member are changed one after the other. $1 facility, $2 person.
SELECT pg_advisory_xact_lock(hashtextextended('member tags ' || $1::text || $2::text, 0))

-- name: add_tags
-- for: tags the member lacks. $1 facility, $2 person, $3 folded and $4 as written, $5 who.
INSERT INTO platform.member_tags (facility_id, user_id, tag_folded, tag, tagged_by)
  SELECT $1, $2, n.folded, n.tag, $5 FROM unnest($3::text[], $4::text[]) AS n (folded, tag)
  ON CONFLICT (facility_id, user_id, tag_folded) DO NOTHING RETURNING tag

-- name: remove_tags
-- for: tags the member has. $1 facility, $2 person, $3 folded.
DELETE FROM platform.member_tags WHERE facility_id = $1 AND user_id = $2 AND tag_folded = ANY ($3::text[]) RETURNING tag

-- name: count_tags
-- for: the limit. $1 facility, $2 person.
SELECT count(*) AS tags FROM platform.member_tags WHERE facility_id = $1 AND user_id = $2

-- name: add_note
-- for: a new note. $1 facility, $2 person, $3 author, $4 text.
INSERT INTO platform.member_notes (facility_id, user_id, author_id, text) VALUES ($1, $2, $3, $4) RETURNING note_id

-- name: note
-- for: whose a note is. $1 note.
SELECT facility_id, user_id, author_id FROM platform.member_notes WHERE note_id = $1

-- name: remove_note
-- for: a note that is taken away. $1 note.
DELETE FROM platform.member_notes WHERE note_id = $1 RETURNING note_id
