-- One row an item, release and scorer of labels: the likeliest label and its score. Of several labels
-- at once it is all that are chosen, with commas between them, and the least of their scores.
SELECT tenant_id, item_id, release, processed_at, model, label, score
FROM (
  SELECT p.tenant_id, p.item_id, p.release, p.processed_at, s.model, s.label, s.score
  FROM `{dataset}.release_predictions` AS p, UNNEST(p.scores) AS s
  WHERE s.score IS NOT NULL AND s.chosen IS NULL
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY p.tenant_id, p.item_id, p.release, s.model ORDER BY s.score DESC, s.label
  ) = 1
)
UNION ALL
SELECT
  p.tenant_id,
  p.item_id,
  p.release,
  p.processed_at,
  s.model,
  COALESCE(STRING_AGG(IF(s.chosen, s.label, NULL), ', ' ORDER BY s.label), '') AS label,
  MIN(IF(s.chosen, s.score, NULL)) AS score
FROM `{dataset}.release_predictions` AS p, UNNEST(p.scores) AS s
WHERE s.chosen IS NOT NULL
GROUP BY 1, 2, 3, 4, 5
