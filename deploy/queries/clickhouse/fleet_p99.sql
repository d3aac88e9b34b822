-- P99 of each service over all files, from the counts: the percentile of all requests, which no mean of percentiles is.
-- The rule is that of the report: the upper edge of the bucket that holds the request of rank ceil(0.99 n); null if it is over range.
WITH exported AS (
    SELECT service, over_range, latency_buckets FROM file('*.parquet', Parquet)
), buckets AS (
    SELECT service, bucket.upper_ns AS upper_ns, greatest(sum(bucket.count), 0) AS requests
    FROM (SELECT service, arrayJoin(latency_buckets) AS bucket FROM exported)
    GROUP BY service, upper_ns
), totals AS (
    SELECT service, sum(requests) AS requests FROM (
        SELECT service, requests FROM buckets
        UNION ALL
        SELECT service, greatest(sum(over_range), 0) AS requests FROM exported GROUP BY service
    )
    GROUP BY service
), ranked AS (
    SELECT service, upper_ns, requests, sum(requests) OVER (PARTITION BY service ORDER BY upper_ns) AS seen FROM buckets
), found AS (
    SELECT ranked.service AS service, min(ranked.upper_ns) AS p99_ns
    FROM ranked INNER JOIN totals ON ranked.service = totals.service
    WHERE ranked.requests > 0 AND ranked.seen >= greatest(intDiv(totals.requests * 9900 + 9999, 10000), 1)
    GROUP BY ranked.service
)
SELECT totals.service AS service, totals.requests AS requests, found.p99_ns AS p99_ns
FROM totals LEFT JOIN found ON found.service = totals.service
ORDER BY p99_ns DESC NULLS FIRST, service
SETTINGS join_use_nulls = 1;
