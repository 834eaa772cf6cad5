-- What each job used and cost, by day; the command testudo costs fills it.
SELECT
  day,
  job_name,
  vcpu_s,
  memory_gb_s,
  streaming_gb,
  vcpu_usd,
  memory_usd,
  disk_usd,
  streaming_usd,
  cost_usd,
  prices_region
FROM `{dataset}.job_days`
WHERE day >= DATE(@since) AND day < DATE(@until)
ORDER BY day, job_name
