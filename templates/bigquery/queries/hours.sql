-- Outcomes by hour: predictions, and failures by reason.
SELECT hour, outcome, SUM(items) AS items
FROM `{dataset}.outcomes_by_hour`
WHERE hour >= @since AND hour < @until
GROUP BY hour, outcome
ORDER BY hour, items DESC, outcome
