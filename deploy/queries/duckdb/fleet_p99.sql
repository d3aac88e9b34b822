-- P99 of each service over all files, from the counts: the percentile of all requests, which no mean of percentiles is.
-- The rule is that of the report: the upper edge of the bucket that holds the request of rank ceil(0.99 n); null if it is over range.
WITH exported AS (
    SELECT service, over_range, latency_buckets FROM read_parquet('*.parquet')
), buckets AS (
    SELECT service, bucket.upper_ns AS upper_ns, greatest(sum(bucket.count), 0)::BIGINT AS count
    FROM (SELECT service, unnest(latency_buckets) AS bucket FROM exported)
    GROUP BY service, bucket.upper_ns
), over AS (
    SELECT service, greatest(sum(over_range), 0)::BIGINT AS count FROM exported GROUP BY service
), ranked AS (
    SELECT service, upper_ns, count, (sum(count) OVER (PARTITION BY service ORDER BY upper_ns))::BIGINT AS seen
    FROM buckets
), totals AS (
    SELECT over.service, (coalesce(sum(buckets.count), 0) + any_value(over.count))::BIGINT AS requests
    FROM over LEFT JOIN buckets ON buckets.service = over.service
    GROUP BY over.service
)
SELECT totals.service, totals.requests,
       min(ranked.upper_ns) FILTER (
           WHERE ranked.count > 0 AND ranked.seen >= greatest((totals.requests * 9900 + 9999) // 10000, 1)
       ) AS p99_ns
FROM totals LEFT JOIN ranked ON ranked.service = totals.service
GROUP BY totals.service, totals.requests
ORDER BY p99_ns DESC NULLS FIRST, totals.service;
