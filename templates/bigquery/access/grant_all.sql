-- A principal sees every row of a table: the account of the job, operators.
CREATE OR REPLACE ROW ACCESS POLICY {policy}
ON `{dataset}.{table}`
GRANT TO ('{principal}')
FILTER USING (TRUE)
