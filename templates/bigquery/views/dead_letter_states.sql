-- One row a dead letter, however often its message was delivered: what became of it since.
SELECT
  d.* EXCEPT (has_later),
  COALESCE(r.replays, 0) AS replays,
  r.replayed_at,
  p.predicted_at,
  CASE
    WHEN p.predicted_at IS NOT NULL THEN 'predicted'
    WHEN d.has_later OR r.failed_again > 0 THEN 'superseded'
    WHEN r.replays > 0 THEN 'replayed'
    ELSE 'open'
  END AS state
FROM (
  SELECT
    *,
    COALESCE(NULLIF(message_id, ''), payload_uri) AS dead_letter_id,
    -- A later message of the same item, a replay perhaps, has a dead letter of its own.
    item_id <> '' AND publish_time < MAX(publish_time) OVER (PARTITION BY tenant_id, item_id)
      AS has_later
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
  -- Of this message or a later one: a prediction of an earlier one does not answer for it.
  SELECT tenant_id, item_id, MAX(publish_time) AS publish_time, MAX(processed_at) AS predicted_at
  FROM `{dataset}.predictions`
  GROUP BY tenant_id, item_id
) AS p ON p.tenant_id = d.tenant_id AND p.item_id = d.item_id AND p.publish_time >= d.publish_time
