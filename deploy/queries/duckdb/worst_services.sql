-- Services by the share of their requests that took longer than their objective allows, worst first, with what did not get a reply.
-- A request is slow if it took longer than the objective, to the end of the bucket that has it, as in the alerts. Null is what was not
-- looked at.
WITH sums AS (
    SELECT host, service, sum(requests)::BIGINT AS requests, sum(duration_ns) AS length_ns,
           any_value(objective_p99_ns) AS objective_p99_ns,
           (coalesce(sum(list_sum([bucket.count FOR bucket IN latency_buckets IF bucket.lower_ns > objective_p99_ns])), 0)
               + sum(over_range))::BIGINT AS slow,
           sum(abandoned)::BIGINT AS abandoned, sum(cut_off)::BIGINT AS cut_off, sum(refused)::BIGINT AS refused
    FROM read_parquet('*.parquet')
    GROUP BY host, service
)
SELECT host, service, requests, round(requests * 1e9 / length_ns, 3) AS rate_per_s, objective_p99_ns,
       slow, round(slow / nullif(requests, 0), 6) AS slow_share, abandoned, cut_off, refused
FROM sums
ORDER BY slow_share DESC NULLS LAST, host, service;
