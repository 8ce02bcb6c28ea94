//! Who may do what.

use std::sync::atomic::Ordering::SeqCst;

use super::types::may::{MAY_EXEC, MAY_NOT_BLOCK, MAY_READ, MAY_WRITE};
use crate::reference::object::{Errno, Inode, Result};
use crate::reference::task::{Task, invoke};

/// Asks the file system, or its mode bits, whether an access is allowed.
pub(crate) fn inode_permission(t: &Task, inode: &'static Inode, mask: i32) -> Result<()> {
    let _frame = t.frame("inode_permission");
    match inode.i_op.get().and_then(|ops| ops.permission) {
        Some(callback) => invoke!(t, Permission, callback, inode, mask),
        None => generic_permission(t, inode, mask),
    }
}

/// The usual answer: access-control list first, then mode bits.
pub(crate) fn generic_permission(t: &Task, inode: &'static Inode, mask: i32) -> Result<()> {
    let uid = t.uid.get();
    if uid == 0 {
        return Ok(());
    }
    let wanted = (mask & (MAY_READ | MAY_WRITE | MAY_EXEC)).cast_unsigned();
    let mode = inode.i_mode.load(SeqCst);
    if inode.i_uid.load(SeqCst) == uid {
        return allowed(mode >> 6 & 7, wanted);
    }
    if inode.i_has_acl.load(SeqCst)
        && let Some(callback) = inode.i_op.get().and_then(|ops| ops.get_acl)
    {
        let (kind, rcu) = (0, mask & MAY_NOT_BLOCK != 0);
        let acl = invoke!(t, GetAcl, callback, inode, kind, rcu)?;
        if let Some((_, permissions)) = acl.0.iter().find(|(user, _)| *user == uid) {
            return allowed(*permissions, wanted);
        }
    }
    allowed(mode & 7, wanted)
}

fn allowed(has: u32, wanted: u32) -> Result<()> {
    if has & wanted == wanted { Ok(()) } else { Err(Errno::EACCES) }
}
