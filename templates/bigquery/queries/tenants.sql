-- Tenants: items predicted, dead letters that nothing came after, and when something last came.
SELECT
  tenant_id,
  COUNTIF(predicted) AS items,
  COUNTIF(NOT predicted) AS dead_letters,
  COUNTIF(NOT predicted) / COUNT(*) AS dead_letter_rate,
  MAX(outcome_at) AS last_at
FROM (
  SELECT tenant_id, TRUE AS predicted, processed_at AS outcome_at
  FROM `{dataset}.latest_predictions`
  UNION ALL
  SELECT tenant_id, FALSE AS predicted, failed_at AS outcome_at
  FROM `{dataset}.dead_letter_states` WHERE state IN ('open', 'replayed')
)
WHERE outcome_at >= @since AND outcome_at < @until
GROUP BY tenant_id
ORDER BY items DESC, tenant_id
