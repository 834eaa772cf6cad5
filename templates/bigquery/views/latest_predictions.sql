-- One row an item: the latest prediction, whatever was delivered, published or replayed twice.
SELECT * FROM `{dataset}.predictions`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY tenant_id, item_id ORDER BY publish_time DESC, processed_at DESC
) = 1
