-- A policy ends. BigQuery refuses to drop a table's last one this way.
DROP ROW ACCESS POLICY {policy} ON `{dataset}.{table}`
