-- The twenty slowest items, and what each step spent on them.
SELECT
  tenant_id,
  item_id,
  processed_at,
  TIMESTAMP_DIFF(processed_at, publish_time, MILLISECOND) / 1000 AS latency_s,
  TIMESTAMP_DIFF(received_at, publish_time, MILLISECOND) / 1000 AS queue_s,
  spent.fetch_ms AS fetch_ms,
  spent.decode_ms AS decode_ms,
  spent.encode_ms AS encode_ms,
  spent.text_ms AS text_ms,
  spent.score_ms AS score_ms,
  attempt
FROM `{dataset}.latest_predictions`
WHERE processed_at >= @since AND processed_at < @until
ORDER BY latency_s DESC, tenant_id, item_id
LIMIT 20
