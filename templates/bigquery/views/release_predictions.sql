-- One row an item and release: the item's latest prediction by that release, in the order of
-- latest_predictions.
SELECT * FROM `{dataset}.predictions`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY tenant_id, item_id, release
  ORDER BY
    COALESCE(event_time, publish_time) DESC,
    publish_time DESC,
    LENGTH(message_id) DESC,
    message_id DESC,
    processed_at DESC
) = 1
