-- One row an hour, tenant and stage: milliseconds an item. Stage all is publish to prediction, queue
-- is publish to parsing, the others are what a step spent on the item.
SELECT
  TIMESTAMP_TRUNC(p.processed_at, HOUR) AS hour,
  p.tenant_id,
  s.stage,
  COUNT(*) AS items,
  APPROX_QUANTILES(s.ms, 100)[OFFSET(50)] AS p50_ms,
  APPROX_QUANTILES(s.ms, 100)[OFFSET(95)] AS p95_ms,
  APPROX_QUANTILES(s.ms, 100)[OFFSET(99)] AS p99_ms
FROM
  `{dataset}.latest_predictions` AS p,
  UNNEST([
    STRUCT(
      'all' AS stage,
      CAST(TIMESTAMP_DIFF(p.processed_at, p.publish_time, MILLISECOND) AS FLOAT64) AS ms
    ),
    STRUCT(
      'queue' AS stage,
      CAST(TIMESTAMP_DIFF(p.received_at, p.publish_time, MILLISECOND) AS FLOAT64) AS ms
    ),
    STRUCT('fetch' AS stage, p.spent.fetch_ms AS ms),
    STRUCT('decode' AS stage, p.spent.decode_ms AS ms),
    STRUCT('encode' AS stage, p.spent.encode_ms AS ms),
    STRUCT('text' AS stage, p.spent.text_ms AS ms),
    STRUCT('score' AS stage, p.spent.score_ms AS ms)
  ]) AS s
-- A step that an item did not go through spent nothing on it.
WHERE s.ms > 0 OR s.stage IN ('all', 'queue')
GROUP BY 1, 2, 3
