//! (workspace skeleton)
