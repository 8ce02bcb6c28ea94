//! Byte offsets of the running kernel's structures, from its BTF, handed to the kernel side as constants.

/// Offsets in bytes; the struct is the eBPF object's read-only `OFFSETS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelOffsets {
    /// `task_struct.start_time` (nanoseconds since boot, monotonic).
    pub task_start_time: u32,
    /// `inode.i_mode`.
    pub inode_mode: u32,
    /// `inode.i_ino`.
    pub inode_ino: u32,
    /// `super_block.s_id`.
    pub sb_id: u32,
    /// `super_block.s_type`.
    pub sb_type: u32,
    /// `file_system_type.name`.
    pub fs_name: u32,
    /// `task_struct.stack`.
    pub task_stack: u32,
    /// `task_struct.flags`.
    pub task_flags: u32,
    /// `task_struct.rcu_read_lock_nesting`; 0 = this kernel does not count RCU read sides.
    pub task_rcu_nesting: u32,
    /// `task_struct.trace_recursion`; 0 = this kernel has none.
    pub task_trace_recursion: u32,
    /// `task_struct.migration_disabled`; 0 = this kernel has none.
    pub task_migration_disabled: u32,
    /// `task_struct.nameidata`; 0 = not known.
    pub task_nameidata: u32,
    /// `nameidata.flags`.
    pub nameidata_flags: u32,
    /// Bytes from the end of a task's kernel stack down to its `pt_regs.orig_ax`.
    pub syscall_number_below_top: u32,
    /// `folio.mapping`.
    pub folio_mapping: u32,
    /// `page.compound_head` (or `compound_info`).
    pub page_compound_head: u32,
    /// Number of the bit `PG_locked`.
    pub page_locked_bit: u32,
    /// Number of the bit `BH_Lock`.
    pub buffer_lock_bit: u32,
    /// Bytes of a kernel stack.
    pub thread_size: u32,
    /// Number in BTF of a struct that begins with a 64-bit integer, for reads by `bpf_rdonly_cast`; 0 = read by helper.
    pub cast_type: u32,
}

/// Where lockdep keeps what a task holds; the struct is the eBPF object's read-only `LOCKDEP`, all zero when it is not asked.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockdepOffsets {
    /// Address of `rcu_lock_map`.
    pub rcu_lock_map: u64,
    /// `task_struct.held_locks`; 0 = lockdep is not asked.
    pub task_held_locks: u32,
    /// `task_struct.lockdep_depth`.
    pub task_lockdep_depth: u32,
    /// `task_struct.lockdep_recursion`: not 0 = lockdep notes nothing of this task.
    pub task_lockdep_recursion: u32,
    /// Bytes of a `struct held_lock`.
    pub held_bytes: u32,
    /// `held_lock.instance`.
    pub held_instance: u32,
    /// The 32 bits of a `held_lock` that have `read` among them.
    pub held_bits: u32,
    /// First bit of `held_lock.read` there.
    pub read_shift: u32,
    /// `rw_semaphore.dep_map`.
    pub rwsem_map: u32,
    /// `mutex.dep_map`.
    pub mutex_map: u32,
    /// `raw_spinlock.dep_map`, which is that of a `spinlock_t`.
    pub spin_map: u32,
}
