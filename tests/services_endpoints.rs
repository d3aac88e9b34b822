//! Requests by name, of real services: counts are those of the server's own log, or of its client.

mod endpoints;
