-- What was predicted for each tenant: items by the likeliest label of each scorer.
SELECT
  tenant_id,
  model,
  SUM(items) AS items,
  STRING_AGG(CONCAT(label, ' ', CAST(items AS STRING)), ', ' ORDER BY items DESC, label) AS labels
FROM (
  SELECT tenant_id, model, label, COUNT(*) AS items
  FROM (
    SELECT p.tenant_id, s.model, s.label
    FROM `{dataset}.latest_predictions` AS p, UNNEST(p.scores) AS s
    WHERE TRUE
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY p.tenant_id, p.item_id, s.model ORDER BY s.score DESC, s.label
    ) = 1
  )
  GROUP BY tenant_id, model, label
)
GROUP BY tenant_id, model
ORDER BY tenant_id, model
