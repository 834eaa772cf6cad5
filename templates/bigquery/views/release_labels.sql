-- One row a release, scorer and label: items whose likeliest label it is, and how sure the scorer was.
SELECT
  release,
  model,
  label,
  COUNT(*) AS items,
  COUNT(*) / SUM(COUNT(*)) OVER (PARTITION BY release, model) AS share,
  AVG(score) AS mean_score,
  APPROX_QUANTILES(score, 100)[OFFSET(10)] AS p10_score,
  APPROX_QUANTILES(score, 100)[OFFSET(50)] AS p50_score,
  APPROX_QUANTILES(score, 100)[OFFSET(90)] AS p90_score
FROM `{dataset}.likeliest_labels`
GROUP BY release, model, label
