-- One row a job and day: what it used and cost, as the latest reading of the day says.
SELECT * FROM `{dataset}.job_costs`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY job_id, day ORDER BY priced_at DESC) = 1
