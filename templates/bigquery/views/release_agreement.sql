-- One row a pair of releases and scorer: on the items that both scored, how often they agree.
SELECT
  a.release,
  b.release AS other_release,
  a.model,
  COUNT(*) AS items,
  COUNTIF(a.label = b.label) / COUNT(*) AS agreement,
  AVG(IF(a.label = b.label, ABS(a.score - b.score), NULL)) AS mean_score_difference
FROM `{dataset}.likeliest_labels` AS a
JOIN `{dataset}.likeliest_labels` AS b
  ON b.tenant_id = a.tenant_id AND b.item_id = a.item_id AND b.model = a.model
WHERE a.release < b.release
GROUP BY 1, 2, 3
