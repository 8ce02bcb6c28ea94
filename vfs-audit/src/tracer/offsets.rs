//! The offsets the eBPF programs are given, and the layouts they take for granted, asked of BTF.

use vfs_audit_common::KernelOffsets;

use crate::{btf::Btf, kernel::Symbols};

/// Offsets of the running kernel.
///
/// # Errors
/// Names the field that is missing, or the lock whose layout is not the one that the programs read.
pub(super) fn kernel_offsets(btf: &Btf, symbols: &Symbols) -> Result<KernelOffsets, String> {
    let at = |owner: &str, field: &str| btf.offset_of(owner, &[field]);
    check_lock_layouts(btf)?;
    Ok(KernelOffsets {
        task_start_time: at("task_struct", "start_time")?,
        inode_mode: at("inode", "i_mode")?,
        inode_ino: at("inode", "i_ino")?,
        sb_id: at("super_block", "s_id")?,
        sb_type: at("super_block", "s_type")?,
        fs_name: at("file_system_type", "name")?,
        task_stack: at("task_struct", "stack")?,
        task_flags: at("task_struct", "flags")?,
        // Kernels without preemptible RCU have no such count: there, preemption is off instead.
        task_rcu_nesting: at("task_struct", "rcu_read_lock_nesting").unwrap_or(0),
        task_trace_recursion: at("task_struct", "trace_recursion").unwrap_or(0),
        task_migration_disabled: at("task_struct", "migration_disabled").unwrap_or(0),
        task_nameidata: at("task_struct", "nameidata").unwrap_or(0),
        nameidata_flags: at("nameidata", "flags").unwrap_or(0),
        syscall_number_below_top: syscall_number_below_top(btf, symbols)?,
        folio_mapping: at("folio", "mapping").or_else(|_| at("page", "mapping"))?,
        page_compound_head: at("page", "compound_head").or_else(|_| at("page", "compound_info"))?,
        page_locked_bit: btf.enumerator("PG_locked").unwrap_or(0),
        buffer_lock_bit: btf.enumerator("BH_Lock").unwrap_or(2),
        thread_size: thread_size(symbols),
        cast_type: 0,
    })
}

/// Where a CPU's preemption count lies: addresses of the table of per-CPU offsets and of the per-CPU variable.
///
/// # Errors
/// Says what this kernel lacks; then no context can be read.
pub(super) fn preemption_count(btf: &Btf, symbols: &Symbols) -> Result<(u64, u64), String> {
    let address = |name: &str| symbols.addresses(name).first().copied();
    let offsets = address("__per_cpu_offset").ok_or("no symbol __per_cpu_offset")?;
    // In a struct of hot variables from 6.2 to 6.14.
    if let (Some(hot), Ok(member)) = (address("pcpu_hot"), btf.offset_of("pcpu_hot", &["preempt_count"])) {
        return Ok((offsets, hot + u64::from(member)));
    }
    Ok((offsets, address("__preempt_count").ok_or("no symbol __preempt_count")?))
}

/// From the end of a task's stack down to the number of the system call that it is in: its saved registers end there, on
/// kernels with FRED below a padding.
fn syscall_number_below_top(btf: &Btf, symbols: &Symbols) -> Result<u32, String> {
    /// `TOP_OF_KERNEL_STACK_PADDING` of x86-64 kernels that know FRED.
    const FRED_PADDING: u32 = 16;
    let registers = btf.size_of("pt_regs").ok_or("no struct pt_regs")?;
    let number = btf.offset_of("pt_regs", &["orig_ax"])?;
    let padding = if symbols.addresses("asm_fred_entrypoint_user").is_empty() { 0 } else { FRED_PADDING };
    Ok(registers - number + padding)
}

/// Bytes of a kernel stack: the first task's stack lies between two symbols, whose names changed in 6.10.
fn thread_size(symbols: &Symbols) -> u32 {
    const BOUNDS: [(&str, &str); 2] =
        [("__start_init_stack", "__end_init_stack"), ("__start_init_task", "__end_init_task")];
    /// x86-64 without KASAN.
    const USUAL: u32 = 16 << 10;
    let between = |(start, end): &(&str, &str)| {
        let size = symbols.addresses(end).first()?.checked_sub(*symbols.addresses(start).first()?)?;
        u32::try_from(size).ok().filter(|size| size.is_power_of_two() && *size >= USUAL)
    };
    BOUNDS.iter().find_map(between).unwrap_or(USUAL)
}

/// The programs read an rwsem as (count, owner) and a mutex as (owner).
fn check_lock_layouts(btf: &Btf) -> Result<(), String> {
    if btf.offset_of("rw_semaphore", &["rwbase"]).is_ok() {
        return Err("its rwsems are rt locks (CONFIG_PREEMPT_RT), whose words this version cannot read".to_owned());
    }
    for (owner, field, expected) in [("rw_semaphore", "count", 0), ("rw_semaphore", "owner", 8), ("mutex", "owner", 0)]
    {
        let found = btf.offset_of(owner, &[field])?;
        if found != expected {
            return Err(format!("{owner}.{field} lies at byte {found}, where {expected} was expected"));
        }
    }
    Ok(())
}
