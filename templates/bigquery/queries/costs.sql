-- What each tenant took of the machines, and its share of the jobs' cost, by day.
SELECT * FROM `{dataset}.tenant_costs`
WHERE day >= DATE(@since) AND day < DATE(@until)
ORDER BY day, busy_s DESC, tenant_id
