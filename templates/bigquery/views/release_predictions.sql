-- One row an item and release: the item's latest prediction by that release.
SELECT * FROM `{dataset}.predictions`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY tenant_id, item_id, release ORDER BY publish_time DESC, processed_at DESC
) = 1
