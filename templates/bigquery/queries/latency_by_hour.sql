-- Milliseconds an item by hour, tenant and stage: where the time goes, and when.
SELECT * FROM `{dataset}.latency_by_hour`
WHERE hour >= @since AND hour < @until
ORDER BY hour, tenant_id, stage
