-- Items in and outcomes out: predictions, and dead letters by reason that nothing came after.
SELECT 'predicted' AS outcome, COUNT(*) AS items FROM `{dataset}.latest_predictions`
UNION ALL
SELECT reason AS outcome, COUNT(*) AS items
FROM `{dataset}.dead_letter_states`
WHERE state IN ('open', 'replayed')
GROUP BY reason
ORDER BY items DESC, outcome
