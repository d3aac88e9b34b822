//! Kernel fields that tell kinds of connections apart.
//!
//! In: nothing. Out: the offsets as a type of their own, for a global that is filled whatever probes are on.

crate::kernel_fields! {
    /// Offsets of the fields that say of which kind a socket is.
    SocketFields {
        protocol = "sock"."sk_protocol";
        fast_opens = "inet_connection_sock"."icsk_accept_queue.fastopenq.max_qlen" or absent;
        defers_accept = "inet_connection_sock"."icsk_accept_queue.rskq_defer_accept" or absent;
        is_mptcp = "tcp_sock"."is_mptcp" or absent;
        subflow = "inet_connection_sock"."icsk_ulp_data" or absent;
        joins = "mptcp_subflow_context"."mp_join:bit" or absent;
        unix_entry = "unix_sock"."path.dentry" or absent;
    }
}
