-- One row a dead letter, however often its message was delivered: what became of it since. What is
-- newer is so in the order of latest_predictions, and of that very message counts too.
SELECT
  d.* EXCEPT (is_older),
  COALESCE(r.replays, 0) AS replays,
  r.replayed_at,
  p.processed_at AS predicted_at,
  CASE
    WHEN p.processed_at IS NOT NULL THEN 'predicted'
    WHEN d.is_older OR r.failed_again > 0 THEN 'superseded'
    WHEN r.replays > 0 THEN 'replayed'
    ELSE 'open'
  END AS state
FROM (
  SELECT
    *,
    COALESCE(NULLIF(message_id, ''), payload_uri) AS dead_letter_id,
    -- A newer message of the same item, a replay perhaps, has a dead letter of its own.
    tenant_id <> '' AND item_id <> '' AND RANK() OVER (
      PARTITION BY tenant_id, item_id
      ORDER BY
        COALESCE(event_time, publish_time) DESC,
        publish_time DESC,
        LENGTH(message_id) DESC,
        message_id DESC
    ) > 1 AS is_older
  FROM `{dataset}.dead_letters`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY COALESCE(NULLIF(message_id, ''), payload_uri) ORDER BY failed_at DESC
  ) = 1
) AS d
LEFT JOIN (
  SELECT
    COALESCE(NULLIF(s.message_id, ''), s.payload_uri) AS dead_letter_id,
    COUNT(*) AS replays,
    MAX(s.replayed_at) AS replayed_at,
    COUNT(a.message_id) AS failed_again
  FROM `{dataset}.replays` AS s
  LEFT JOIN (SELECT DISTINCT message_id FROM `{dataset}.dead_letters`) AS a
    ON a.message_id = s.replay_message_id
  GROUP BY 1
) AS r ON r.dead_letter_id = d.dead_letter_id
LEFT JOIN (
  SELECT
    tenant_id,
    item_id,
    COALESCE(event_time, publish_time) AS event_time,
    publish_time,
    message_id,
    processed_at
  FROM `{dataset}.latest_predictions`
) AS p ON p.tenant_id = d.tenant_id AND p.item_id = d.item_id AND (
  p.event_time > COALESCE(d.event_time, d.publish_time)
  OR p.event_time = COALESCE(d.event_time, d.publish_time) AND (
    p.publish_time > d.publish_time
    OR p.publish_time = d.publish_time AND (
      LENGTH(p.message_id) > LENGTH(d.message_id)
      OR LENGTH(p.message_id) = LENGTH(d.message_id) AND p.message_id >= d.message_id
    )
  )
)
