-- Items in and outcomes out: predictions, and dead letters by reason that nothing came after.
SELECT 'predicted' AS outcome, COUNT(*) AS items
FROM `{dataset}.latest_predictions`
WHERE processed_at >= @since AND processed_at < @until
UNION ALL
SELECT reason AS outcome, COUNT(*) AS items
FROM `{dataset}.dead_letter_states`
WHERE state IN ('open', 'replayed') AND failed_at >= @since AND failed_at < @until
GROUP BY reason
ORDER BY items DESC, outcome
