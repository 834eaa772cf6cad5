-- What each tenant's items took of the machines, by day, in seconds of each step.
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
