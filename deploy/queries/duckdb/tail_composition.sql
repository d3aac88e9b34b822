-- What the slowest 1 % of a service's requests spend their time with, over all files: mean per request and share, by component.
-- The rule is that of the report's cuts: of the bucket that has the P99 in it, each request has the same part of each sum.
WITH buckets AS (
    SELECT service, bucket.lower_ns AS lower_ns, sum(bucket.count) AS requests, sum(bucket.latency_ns) AS latency_ns,
           sum(bucket.queue_accept_ns) AS queue_accept_ns,
           sum(bucket.queue_on_cpu_ns) AS queue_on_cpu_ns,
           sum(bucket.queue_run_queue_ns) AS queue_run_queue_ns,
           sum(bucket.queue_cpu_quota_ns) AS queue_cpu_quota_ns,
           sum(bucket.queue_lock_ns) AS queue_lock_ns,
           sum(bucket.queue_disk_ns) AS queue_disk_ns,
           sum(bucket.queue_downstream_ns) AS queue_downstream_ns,
           sum(bucket.queue_idle_ns) AS queue_idle_ns,
           sum(bucket.queue_sleep_ns) AS queue_sleep_ns,
           sum(bucket.queue_fault_ns) AS queue_fault_ns,
           sum(bucket.queue_other_ns) AS queue_other_ns,
           sum(bucket.on_cpu_ns) AS on_cpu_ns,
           sum(bucket.run_queue_ns) AS run_queue_ns,
           sum(bucket.cpu_quota_ns) AS cpu_quota_ns,
           sum(bucket.lock_ns) AS lock_ns,
           sum(bucket.disk_ns) AS disk_ns,
           sum(bucket.downstream_ns) AS downstream_ns,
           sum(bucket.request_body_ns) AS request_body_ns,
           sum(bucket.idle_ns) AS idle_ns,
           sum(bucket.sleep_ns) AS sleep_ns,
           sum(bucket.fault_ns) AS fault_ns,
           sum(bucket.other_ns) AS other_ns,
           sum(bucket.send_buffer_ns) AS send_buffer_ns,
           sum(bucket.loop_wait_ns) AS loop_wait_ns,
           sum(bucket.pool_wait_ns) AS pool_wait_ns,
           sum(bucket.connection_wait_ns) AS connection_wait_ns,
           sum(bucket.unknown_ns) AS unknown_ns,
           sum(bucket.reply_ns) AS reply_ns,
           sum(bucket.delivery_nagle_ns) AS delivery_nagle_ns,
           sum(bucket.delivery_window_ns) AS delivery_window_ns,
           sum(bucket.delivery_network_ns) AS delivery_network_ns
    FROM (SELECT service, unnest(component_buckets) AS bucket FROM read_parquet('*.parquet'))
    GROUP BY service, bucket.lower_ns
    HAVING sum(bucket.count) > 0
), placed AS (
    SELECT *, sum(requests) OVER (PARTITION BY service) / 100 AS tail,
           sum(requests) OVER (PARTITION BY service ORDER BY lower_ns DESC) - requests AS above
    FROM buckets
), parts AS (
    SELECT *, greatest(least((tail - above) / requests, 1), 0) AS part FROM placed
), named AS (
    SELECT service, requests * part AS requests, latency_ns * part AS latency_ns, unnest([
           {'name': 'queue_accept', 'ns': queue_accept_ns * part},
           {'name': 'queue_on_cpu', 'ns': queue_on_cpu_ns * part},
           {'name': 'queue_run_queue', 'ns': queue_run_queue_ns * part},
           {'name': 'queue_cpu_quota', 'ns': queue_cpu_quota_ns * part},
           {'name': 'queue_lock', 'ns': queue_lock_ns * part},
           {'name': 'queue_disk', 'ns': queue_disk_ns * part},
           {'name': 'queue_downstream', 'ns': queue_downstream_ns * part},
           {'name': 'queue_idle', 'ns': queue_idle_ns * part},
           {'name': 'queue_sleep', 'ns': queue_sleep_ns * part},
           {'name': 'queue_fault', 'ns': queue_fault_ns * part},
           {'name': 'queue_other', 'ns': queue_other_ns * part},
           {'name': 'on_cpu', 'ns': on_cpu_ns * part},
           {'name': 'run_queue', 'ns': run_queue_ns * part},
           {'name': 'cpu_quota', 'ns': cpu_quota_ns * part},
           {'name': 'lock', 'ns': lock_ns * part},
           {'name': 'disk', 'ns': disk_ns * part},
           {'name': 'downstream', 'ns': downstream_ns * part},
           {'name': 'request_body', 'ns': request_body_ns * part},
           {'name': 'idle', 'ns': idle_ns * part},
           {'name': 'sleep', 'ns': sleep_ns * part},
           {'name': 'fault', 'ns': fault_ns * part},
           {'name': 'other', 'ns': other_ns * part},
           {'name': 'send_buffer', 'ns': send_buffer_ns * part},
           {'name': 'loop_wait', 'ns': loop_wait_ns * part},
           {'name': 'pool_wait', 'ns': pool_wait_ns * part},
           {'name': 'connection_wait', 'ns': connection_wait_ns * part},
           {'name': 'unknown', 'ns': unknown_ns * part},
           {'name': 'reply', 'ns': reply_ns * part},
           {'name': 'delivery_nagle', 'ns': delivery_nagle_ns * part},
           {'name': 'delivery_window', 'ns': delivery_window_ns * part},
           {'name': 'delivery_network', 'ns': delivery_network_ns * part}
    ]) AS component
    FROM parts WHERE part > 0
)
SELECT service, component.name AS component, round(sum(component.ns) / sum(requests)) AS mean_ns,
       round(sum(component.ns) / sum(latency_ns), 4) AS share
FROM named
GROUP BY service, component.name
HAVING sum(component.ns) > 0
ORDER BY service, share DESC, component;
