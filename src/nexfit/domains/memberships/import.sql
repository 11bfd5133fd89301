-- Members of a file: what is known of a batch of them, and what is added. One import of a facility at a time.

-- name: take_turn
-- for: imports of one facility follow each other; false while another writes. $1 facility.
SELECT pg_try_advisory_xact_lock(hashtextextended('members import ' || $1::text, 0))

-- name: held
-- for: what people hold or held. $1 facility, $2 people.
SELECT user_id, plan_id, status, current_period_end FROM finance.subscriptions
WHERE facility_id = $1 AND user_id = ANY ($2::text[])

-- name: members
-- for: who of them is a member, if only because money was moved. $1 facility, $2 people.
SELECT user_id FROM platform.member_facts WHERE facility_id = $1 AND user_id = ANY ($2::text[])

-- name: tags
-- for: the tags people have. $1 facility, $2 people.
SELECT user_id, tag_folded FROM platform.member_tags WHERE facility_id = $1 AND user_id = ANY ($2::text[])

-- name: notes
-- for: which of these notes people have already. $1 facility, $2 people, $3 texts.
SELECT user_id, text FROM platform.member_notes WHERE facility_id = $1 AND user_id = ANY ($2::text[]) AND text = ANY ($3::text[])

-- name: begin_all
-- for: memberships that were sold elsewhere: they cost nothing here, and nothing renews them. $1 business, $2 facility,
-- $3 currency, $4 people, $5 plans, $6 their names, $7 cycles, $8 intervals, $9 states, $10 first and $11 last days, $12 when they
-- began, $13 billing days, $14 when those that were cancelled ended.
INSERT INTO finance.subscriptions (business_id, facility_id, user_id, plan_id, plan_name, billing_cycle, billing_interval, status,
    start_date, end_date, current_period_start, current_period_end, created_at, billing_day, cancelled_at, amount, currency,
    payment_method, auto_renew, metadata)
  SELECT $1, $2, n.person, n.plan, n.name, n.cycle, n.every, n.status, n.first, n.last, n.first, n.last + 1, n.began, n.billing_day,
    n.cancelled, 0, $3, 'other', false, '{"imported": true}'
  FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::smallint[], $9::text[], $10::date[], $11::date[],
    $12::timestamptz[], $13::smallint[], $14::timestamptz[])
    AS n (person, plan, name, cycle, every, status, first, last, began, billing_day, cancelled)
  RETURNING subscription_id, facility_id, user_id, plan_id, status, start_date, current_period_end, auto_renew, cancelled_at,
    created_at, updated_at

-- name: tag_all
-- for: new tags. $1 facility, $2 who, $3 people, $4 folded and $5 as written.
INSERT INTO platform.member_tags (facility_id, user_id, tag_folded, tag, tagged_by)
  SELECT $1, n.person, n.folded, n.tag, $2 FROM unnest($3::text[], $4::text[], $5::text[]) AS n (person, folded, tag)
  ON CONFLICT (facility_id, user_id, tag_folded) DO NOTHING

-- name: note_all
-- for: new notes. $1 facility, $2 who, $3 people, $4 texts.
INSERT INTO platform.member_notes (facility_id, user_id, author_id, text)
  SELECT $1, n.person, $2, n.text FROM unnest($3::text[], $4::text[]) AS n (person, text)
