//! Tests of the protocols: known conversations, generated ones, each also cut at every byte.

mod detect;
mod drive;
mod exchange;
mod fastcgi;
mod hostile;
mod http1;
mod http1_generated;
mod memcached;
mod mysql;
mod mysql_generated;
mod mysql_talk;
mod postgres;
mod postgres_generated;
mod random;
mod resp;
mod resp_generated;
mod seeds;
mod tls;
