-- A principal sees one tenant's rows of a table, beside those that other policies show it.
CREATE OR REPLACE ROW ACCESS POLICY {policy}
ON `{dataset}.{table}`
GRANT TO ('{principal}')
FILTER USING (tenant_id = '{tenant}')
