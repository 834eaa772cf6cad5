-- What was predicted for each tenant: items by label of each scorer, or the mean of its numbers.
WITH answers AS (
  SELECT
    p.tenant_id,
    s.model,
    s.label,
    s.chosen,
    s.value,
    ROW_NUMBER() OVER (
      PARTITION BY p.tenant_id, p.item_id, s.model ORDER BY s.score DESC, s.label
    ) AS place
  FROM `{dataset}.latest_predictions` AS p, UNNEST(p.scores) AS s
),
scorers AS (
  SELECT tenant_id, model, COUNTIF(place = 1) AS items, AVG(value) AS mean_value
  FROM answers GROUP BY tenant_id, model
),
labels AS (
  SELECT tenant_id, model, label, COUNT(*) AS items
  FROM answers
  WHERE chosen OR chosen IS NULL AND place = 1
  GROUP BY tenant_id, model, label
)
SELECT
  s.tenant_id,
  s.model,
  s.items,
  COALESCE(
    STRING_AGG(CONCAT(l.label, ' ', CAST(l.items AS STRING)), ', ' ORDER BY l.items DESC, l.label),
    CONCAT('mean ', CAST(ROUND(s.mean_value, 3) AS STRING)),
    'none'
  ) AS labels
FROM scorers AS s
LEFT JOIN labels AS l ON l.tenant_id = s.tenant_id AND l.model = s.model
GROUP BY s.tenant_id, s.model, s.items, s.mean_value
ORDER BY s.tenant_id, s.model
