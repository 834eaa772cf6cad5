-- One row an item, release and scorer: the likeliest label and its score.
SELECT p.tenant_id, p.item_id, p.release, p.processed_at, s.model, s.label, s.score
FROM `{dataset}.release_predictions` AS p, UNNEST(p.scores) AS s
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY p.tenant_id, p.item_id, p.release, s.model ORDER BY s.score DESC, s.label
) = 1
