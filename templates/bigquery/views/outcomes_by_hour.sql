-- One row an hour, tenant and outcome: how many deliveries were predicted, or failed for a reason.
SELECT TIMESTAMP_TRUNC(processed_at, HOUR) AS hour, tenant_id, 'predicted' AS outcome, COUNT(*) AS items
FROM `{dataset}.predictions` GROUP BY 1, 2, 3
UNION ALL
SELECT TIMESTAMP_TRUNC(failed_at, HOUR) AS hour, tenant_id, reason AS outcome, COUNT(*) AS items
FROM `{dataset}.dead_letters` GROUP BY 1, 2, 3
