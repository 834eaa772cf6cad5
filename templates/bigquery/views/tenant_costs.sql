-- One row a day and tenant: items, seconds of each step, and the tenant's share of the jobs' cost.
-- The whole cost of a day is shared by busy seconds, what no item spent included; a day without
-- busy seconds is a row of its own, '(no items)'. So the sum over tenants is the cost of the jobs.
SELECT
  COALESCE(t.day, j.day) AS day,
  COALESCE(t.tenant_id, '(no items)') AS tenant_id,
  COALESCE(t.items, 0) AS items,
  t.fetch_s,
  t.decode_s,
  t.encode_s,
  t.text_s,
  t.score_s,
  t.busy_s,
  j.cost_usd * COALESCE(SAFE_DIVIDE(t.busy_s, t.day_busy_s), 1) AS cost_usd,
  t.day_busy_s / NULLIF(j.vcpu_s, 0) AS day_busy_share
FROM (
  SELECT
    *,
    SUM(busy_s) OVER (PARTITION BY day) AS day_busy_s,
    IF(SUM(busy_s) OVER (PARTITION BY day) > 0, day, NULL) AS shared_day
  FROM (
    SELECT
      DATE(processed_at) AS day,
      tenant_id,
      COUNT(*) AS items,
      SUM(spent.fetch_ms) / 1000 AS fetch_s,
      SUM(spent.decode_ms) / 1000 AS decode_s,
      SUM(spent.encode_ms) / 1000 AS encode_s,
      SUM(spent.text_ms) / 1000 AS text_s,
      SUM(spent.score_ms) / 1000 AS score_s,
      SUM(spent.decode_ms + spent.encode_ms + spent.text_ms + spent.score_ms) / 1000 AS busy_s
    FROM `{dataset}.predictions` GROUP BY 1, 2
  )
) AS t
FULL JOIN (
  SELECT day, SUM(cost_usd) AS cost_usd, SUM(vcpu_s) AS vcpu_s
  FROM `{dataset}.job_days` GROUP BY day
) AS j ON j.day = t.shared_day
