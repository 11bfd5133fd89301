-- The till: what moved over the desk on a local day, and what was counted.

-- name: report
-- for: Facility.till. $1 facilities, $2 their IANA zones (same order), $3 the local day of each. One row per facility that has an
-- account: its movements by method, its counts by kind. Money of providers never passes the desk; a refund does if its payment did.
SELECT f.facility_id, a.currency, a.business_id, m.methods, c.counts
FROM unnest($1::text[], $2::text[], $3::date[]) AS f (facility_id, timezone, day)
JOIN finance.facility_accounts a ON a.facility_id = f.facility_id
CROSS JOIN LATERAL (
  SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.method), '[]') AS methods
  FROM (
    SELECT t.payment_method AS method,
      count(*) FILTER (WHERE t.transaction_type = 'manual_payment') AS payments,
      coalesce(sum(t.amount) FILTER (WHERE t.transaction_type = 'manual_payment'), 0)::text AS paid,
      count(*) FILTER (WHERE t.transaction_type = 'refund') AS refunds,
      coalesce(sum(t.amount) FILTER (WHERE t.transaction_type = 'refund'), 0)::text AS returned
    FROM finance.transactions t
    WHERE t.facility_id = f.facility_id AND t.status = 'succeeded'
      AND t.created_at >= f.day::timestamp AT TIME ZONE f.timezone
      AND t.created_at < (f.day + 1)::timestamp AT TIME ZONE f.timezone
      AND (t.transaction_type = 'manual_payment' OR (t.transaction_type = 'refund' AND EXISTS (
        SELECT FROM finance.transaction_keys k
        JOIN finance.transactions o ON o.transaction_id = k.transaction_id AND o.created_at = k.created_at
        WHERE k.transaction_id = t.original_transaction_id AND o.transaction_type = 'manual_payment')))
    GROUP BY 1
  ) s
) m
CROSS JOIN LATERAL (
  SELECT coalesce(jsonb_object_agg(n.kind, jsonb_build_object('counted', n.counted::text, 'expected', n.expected::text,
      'note', n.note, 'counted_by', n.counted_by, 'counted_at', n.counted_at)), '{}') AS counts
  FROM finance.till_counts n WHERE n.facility_id = f.facility_id AND n.day = f.day
) c

-- name: count
-- for: one count of a day. $1 business, $2 facility, $3 local day, $4 kind, $5 counted, $6 expected, $7 currency, $8 note, $9 who.
INSERT INTO finance.till_counts (business_id, facility_id, day, kind, counted, expected, currency, note, counted_by)
  VALUES ($1, $2, $3::date, $4, $5, $6, $7, $8, $9)
  RETURNING till_count_id
