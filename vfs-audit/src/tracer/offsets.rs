//! The offsets the eBPF programs are given, and the layouts they take for granted, asked of BTF.

use vfs_audit_common::KernelOffsets;

use crate::btf::Btf;

/// Offsets of the running kernel.
///
/// # Errors
/// Names the field that is missing, or the lock whose layout is not the one that the programs read.
pub(super) fn kernel_offsets(btf: &Btf) -> Result<KernelOffsets, String> {
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
        thread_size: btf.size_of("thread_union").ok_or("no union thread_union")?,
    })
}

/// The programs read an rwsem as (count, owner) and a mutex as (owner).
fn check_lock_layouts(btf: &Btf) -> Result<(), String> {
    if btf.offset_of("rw_semaphore", &["rwbase"]).is_ok() {
        return Err("its rwsems are rt locks (CONFIG_PREEMPT_RT), whose words this version cannot read".to_owned());
    }
    for (owner, field, expected) in [("rw_semaphore", "count", 0), ("rw_semaphore", "owner", 8), ("mutex", "owner", 0)] {
        let found = btf.offset_of(owner, &[field])?;
        if found != expected {
            return Err(format!("{owner}.{field} lies at byte {found}, where {expected} was expected"));
        }
    }
    Ok(())
}
