-- One row an item: the latest prediction, whatever was delivered, published or replayed twice.
-- The latest is that of the newest message, whenever it was processed; docs/use.md has the
-- order. Of rows of one and the same message the one written last counts.
SELECT * FROM `{dataset}.predictions`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY tenant_id, item_id
  ORDER BY
    COALESCE(event_time, publish_time) DESC,
    publish_time DESC,
    LENGTH(message_id) DESC,
    message_id DESC,
    processed_at DESC
) = 1
