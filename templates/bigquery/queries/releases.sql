-- Releases beside each other: items, dead letters, latency, time an item.
SELECT * FROM `{dataset}.release_comparison` ORDER BY first_at, release
