-- How often two releases agree on the items that both scored.
SELECT * FROM `{dataset}.release_agreement` ORDER BY release, other_release, model
