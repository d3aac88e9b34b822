//! command

pub mod services;
