-- Predicted categories of each tenant: the label with the highest score of each scorer.
SELECT tenant_id, model, label, COUNT(*) AS items
FROM (
  SELECT p.tenant_id, s.model, s.label
  FROM `{dataset}.latest_predictions` AS p, UNNEST(p.scores) AS s
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY p.tenant_id, p.item_id, s.model ORDER BY s.score DESC) = 1
)
GROUP BY tenant_id, model, label
ORDER BY tenant_id, model, items DESC
