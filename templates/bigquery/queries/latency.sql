-- Seconds from publish to prediction, of each tenant and of all.
SELECT
  COALESCE(tenant_id, '(all)') AS tenant,
  COUNT(*) AS items,
  APPROX_QUANTILES(TIMESTAMP_DIFF(processed_at, publish_time, MILLISECOND), 100)[OFFSET(50)] / 1000 AS p50_s,
  APPROX_QUANTILES(TIMESTAMP_DIFF(processed_at, publish_time, MILLISECOND), 100)[OFFSET(95)] / 1000 AS p95_s
FROM `{dataset}.latest_predictions`
WHERE processed_at >= @since AND processed_at < @until
GROUP BY ROLLUP (tenant_id)
ORDER BY tenant
