-- One row a day, release and subject: the population stability index against the release's baseline,
-- the sum over the bins of (share - baseline_share) * ln(share / baseline_share).
SELECT
  day,
  release,
  subject,
  COUNT(*) AS bins,
  SUM(items) AS items,
  SUM(baseline_items) AS baseline_items,
  SUM((share - baseline_share) * LN(share / baseline_share)) AS psi
FROM `{dataset}.drift_bins`
GROUP BY day, release, subject
