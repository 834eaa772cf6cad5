-- Machine time of each tenant, by day.
SELECT * FROM `{dataset}.tenant_costs` ORDER BY day, busy_s DESC
