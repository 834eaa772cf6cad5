-- What differs most from a release's first week: population stability index, by day and subject.
SELECT * FROM `{dataset}.drift`
WHERE day >= DATE(@since) AND day < DATE(@until)
ORDER BY ROUND(psi, 6) DESC, day, release, subject
LIMIT 50
