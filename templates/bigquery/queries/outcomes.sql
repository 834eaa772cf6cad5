-- Items in and outcomes out: predictions and dead letters by reason.
SELECT 'predicted' AS outcome, COUNT(*) AS items FROM `{dataset}.latest_predictions`
UNION ALL
SELECT reason AS outcome, COUNT(*) AS items FROM `{dataset}.dead_letters` GROUP BY reason
ORDER BY items DESC, outcome
