// Prepared statements; each answers for all parents at once.

// $1 facility ids, $2 their zones, $3 first and $4 last local day, $5 day | week | month.
export const revenueByPeriod = {
  name: 'revenue_by_period',
  text: `
    SELECT a.facility_id, p.starts::date AS period, r.total, a.currency, r.transactions, r.refunds
    FROM unnest($1::text[], $2::text[]) AS f (facility_id, timezone)
    JOIN finance.facility_accounts a ON a.facility_id = f.facility_id
    CROSS JOIN LATERAL generate_series(
      date_trunc($5::text, $3::date::timestamp), $4::date::timestamp, ('1 ' || $5::text)::interval
    ) AS p (starts)
    CROSS JOIN LATERAL (
      SELECT
        coalesce(sum(CASE WHEN t.transaction_type IN ('refund', 'chargeback') THEN -t.amount ELSE t.amount END), 0)
          AS total,
        count(*) FILTER (WHERE t.transaction_type IN ('charge', 'manual_payment')) AS transactions,
        count(*) FILTER (WHERE t.transaction_type IN ('refund', 'chargeback')) AS refunds
      FROM finance.transactions t
      WHERE t.facility_id = f.facility_id
        AND t.status = 'succeeded'
        AND t.created_at >= greatest(p.starts, $3::date::timestamp) AT TIME ZONE f.timezone
        AND t.created_at < least(p.starts + ('1 ' || $5::text)::interval, ($4::date + 1)::timestamp)
          AT TIME ZONE f.timezone
        AND t.created_at >= ($3::date - 1)::timestamp AT TIME ZONE 'UTC'
        AND t.created_at < ($4::date + 2)::timestamp AT TIME ZONE 'UTC'
    ) r
    ORDER BY a.facility_id, p.starts`,
};

// $1 facility ids.
export const outstanding = {
  name: 'outstanding',
  text: `
    SELECT a.facility_id, a.currency, o.invoices, o.total
    FROM unnest($1::text[]) AS f (facility_id)
    JOIN finance.facility_accounts a ON a.facility_id = f.facility_id
    CROSS JOIN LATERAL (
      SELECT count(*) AS invoices, coalesce(sum(i.total_amount), 0) AS total
      FROM finance.invoices i
      WHERE i.facility_id = f.facility_id AND i.status = 'open'
    ) o`,
};

// $1 plan ids.
export const subscribersByPlan = {
  name: 'subscribers_by_plan',
  text: `
    SELECT plan_id, count(*) AS subscribers
    FROM finance.subscriptions
    WHERE plan_id = ANY ($1::text[]) AND status IN ('active', 'past_due')
    GROUP BY plan_id`,
};

// $1 facility ids, $2 their local todays, $3 how many members.
export const overdueByLastPayment = {
  name: 'overdue_by_last_payment',
  text: `
    SELECT m.*
    FROM unnest($1::text[], $2::date[]) WITH ORDINALITY AS f (facility_id, today, place)
    CROSS JOIN LATERAL (
      SELECT t.facility_id, t.user_id, t.status, t.plan_id, t.balance, t.currency, t.last_payment_at
      FROM platform.member_facts t
      WHERE t.facility_id = f.facility_id AND t.open_invoices > 0 AND t.oldest_open_due < f.today
      ORDER BY t.last_payment_at DESC NULLS LAST, t.user_id DESC
      LIMIT $3
    ) m
    ORDER BY f.place, m.last_payment_at DESC NULLS LAST, m.user_id DESC`,
};
