-- Services by the share of their requests that took longer than their objective allows, worst first, with what did not get a reply.
-- A request is slow if it took longer than the objective, to the end of the bucket that has it, as in the alerts. Null is what was not
-- looked at.
WITH sums AS (
    SELECT host, service, sum(requests) AS answered, sum(duration_ns) AS length_ns, any(objective_p99_ns) AS objective,
           sum(arraySum(bucket -> if(bucket.lower_ns > objective_p99_ns, bucket.count, 0), latency_buckets)) + sum(over_range)
               AS beyond,
           sumOrNull(abandoned) AS left, sumOrNull(cut_off) AS closed, sumOrNull(refused) AS dropped
    FROM file('*.parquet', Parquet)
    GROUP BY host, service
)
SELECT host, service, answered AS requests, round(answered * 1e9 / length_ns, 3) AS rate_per_s, objective AS objective_p99_ns,
       beyond AS slow, round(beyond / nullIf(answered, 0), 6) AS slow_share, left AS abandoned, closed AS cut_off, dropped AS refused
FROM sums
ORDER BY slow_share DESC NULLS LAST, host, service;
