//! Byte offsets of the running kernel's structures, from its BTF, handed to the kernel side as constants.

/// Offsets in bytes; the struct is the eBPF object's read-only `OFFSETS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelOffsets {
    /// `task_struct.start_time` (nanoseconds since boot, monotonic).
    pub task_start_time: u32,
    /// `inode.i_op`.
    pub inode_op: u32,
    /// `inode.i_sb`.
    pub inode_sb: u32,
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
    /// `rw_semaphore.count`.
    pub rwsem_count: u32,
    /// `rw_semaphore.owner`.
    pub rwsem_owner: u32,
    /// `mutex.owner`.
    pub mutex_owner: u32,
    /// Always zero.
    pub pad: u32,
}

