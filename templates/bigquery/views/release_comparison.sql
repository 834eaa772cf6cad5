-- One row a release: items, share of dead letters, latency, and what an item took of the machines.
-- Messages that failed before a release was chosen for them are the row '(none)'.
SELECT
  COALESCE(NULLIF(release, ''), '(none)') AS release,
  COUNTIF(latency_s IS NOT NULL) AS items,
  COUNTIF(latency_s IS NULL) AS dead_letters,
  COUNTIF(latency_s IS NULL) / COUNT(*) AS dead_letter_rate,
  APPROX_QUANTILES(latency_s, 100)[OFFSET(50)] AS p50_s,
  APPROX_QUANTILES(latency_s, 100)[OFFSET(95)] AS p95_s,
  AVG(busy_ms) AS mean_busy_ms,
  MIN(outcome_at) AS first_at,
  MAX(outcome_at) AS last_at
FROM (
  SELECT
    release,
    TIMESTAMP_DIFF(processed_at, publish_time, MILLISECOND) / 1000 AS latency_s,
    spent.decode_ms + spent.encode_ms + spent.text_ms + spent.score_ms AS busy_ms,
    processed_at AS outcome_at
  FROM `{dataset}.release_predictions`
  UNION ALL
  SELECT
    release,
    CAST(NULL AS FLOAT64) AS latency_s,
    CAST(NULL AS FLOAT64) AS busy_ms,
    failed_at AS outcome_at
  FROM `{dataset}.dead_letter_states`
)
GROUP BY 1
