//! Kernel functions that programs call (*kfuncs*), other than helpers: they have no number but a BTF id of the running kernel,
//! which the agent writes into the object before it loads it.
//!
//! A call is compiled as one of a helper whose number is a mark, because the loader (aya 0.14) knows no kfuncs.

/// Stands for `bpf_preempt_disable`.
pub const MARK_PREEMPT_DISABLE: u32 = 0x6163_6701;
/// Stands for `bpf_preempt_enable`.
pub const MARK_PREEMPT_ENABLE: u32 = 0x6163_6702;

/// Stands for `bpf_local_irq_save`.
pub const MARK_IRQ_SAVE: u32 = 0x6163_6703;
/// Stands for `bpf_local_irq_restore`.
pub const MARK_IRQ_RESTORE: u32 = 0x6163_6704;

/// (mark, kernel function).
pub const KFUNCS: [(u32, &str); 4] = [
    (MARK_PREEMPT_DISABLE, "bpf_preempt_disable"),
    (MARK_PREEMPT_ENABLE, "bpf_preempt_enable"),
    (MARK_IRQ_SAVE, "bpf_local_irq_save"),
    (MARK_IRQ_RESTORE, "bpf_local_irq_restore"),
];
