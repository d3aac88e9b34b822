-- What the slowest 1 % of a service's requests spend their time with, over all files: mean per request and share, by component.
-- The rule is that of the report's cuts: of the bucket that has the P99 in it, each request has the same part of each sum.
WITH buckets AS (
    SELECT service, bucket.lower_ns AS lower_ns, sum(bucket.count) AS requests, sum(bucket.latency_ns) AS latency_ns,
           [
           ('queue_accept', sum(bucket.queue_accept_ns)),
           ('queue_on_cpu', sum(bucket.queue_on_cpu_ns)),
           ('queue_run_queue', sum(bucket.queue_run_queue_ns)),
           ('queue_cpu_quota', sum(bucket.queue_cpu_quota_ns)),
           ('queue_lock', sum(bucket.queue_lock_ns)),
           ('queue_disk', sum(bucket.queue_disk_ns)),
           ('queue_downstream', sum(bucket.queue_downstream_ns)),
           ('queue_idle', sum(bucket.queue_idle_ns)),
           ('queue_sleep', sum(bucket.queue_sleep_ns)),
           ('queue_fault', sum(bucket.queue_fault_ns)),
           ('queue_other', sum(bucket.queue_other_ns)),
           ('on_cpu', sum(bucket.on_cpu_ns)),
           ('run_queue', sum(bucket.run_queue_ns)),
           ('cpu_quota', sum(bucket.cpu_quota_ns)),
           ('lock', sum(bucket.lock_ns)),
           ('disk', sum(bucket.disk_ns)),
           ('downstream', sum(bucket.downstream_ns)),
           ('request_body', sum(bucket.request_body_ns)),
           ('idle', sum(bucket.idle_ns)),
           ('sleep', sum(bucket.sleep_ns)),
           ('fault', sum(bucket.fault_ns)),
           ('other', sum(bucket.other_ns)),
           ('send_buffer', sum(bucket.send_buffer_ns)),
           ('loop_wait', sum(bucket.loop_wait_ns)),
           ('pool_wait', sum(bucket.pool_wait_ns)),
           ('connection_wait', sum(bucket.connection_wait_ns)),
           ('unknown', sum(bucket.unknown_ns)),
           ('reply', sum(bucket.reply_ns)),
           ('delivery_nagle', sum(bucket.delivery_nagle_ns)),
           ('delivery_window', sum(bucket.delivery_window_ns)),
           ('delivery_network', sum(bucket.delivery_network_ns))
           ] AS components
    FROM (SELECT service, arrayJoin(component_buckets) AS bucket FROM file('*.parquet', Parquet))
    GROUP BY service, lower_ns
    HAVING requests > 0
), placed AS (
    SELECT *, sum(requests) OVER (PARTITION BY service) / 100 AS tail,
           sum(requests) OVER (PARTITION BY service ORDER BY lower_ns DESC) - requests AS above
    FROM buckets
), parts AS (
    SELECT *, greatest(least((tail - above) / requests, 1), 0) AS part FROM placed
), named AS (
    SELECT service, requests * part AS slow, latency_ns * part AS latency, part, arrayJoin(components) AS one
    FROM parts WHERE part > 0
)
SELECT service, one.1 AS component, round(sum(one.2 * part) / sum(slow)) AS mean_ns,
       round(sum(one.2 * part) / sum(latency), 4) AS share
FROM named
GROUP BY service, component
HAVING sum(one.2 * part) > 0
ORDER BY service, share DESC, component;
