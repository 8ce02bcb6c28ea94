//! The library that the example file systems share: callbacks that do the usual thing on a [`Backing`].

mod data;
mod files;
mod names;
mod pages;
mod supers;

use std::collections::HashMap;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

pub(crate) use data::*;
pub(crate) use files::*;
pub(crate) use names::*;
pub(crate) use pages::*;
pub(crate) use supers::*;

use super::backing::{Backing, Node};
use crate::reference::object::{Inode, Kind, Result, SuperBlock};
use crate::reference::task::Task;
use crate::reference::vfs::inode::{iget, insert_inode, new_inode, unlock_new_inode};
use crate::reference::vfs::operations::{AddressSpaceOperations, FileOperations, InodeOperations};

/// What a file system puts into its inodes.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) directory: &'static InodeOperations,
    pub(crate) file: &'static InodeOperations,
    pub(crate) symlink: &'static InodeOperations,
    pub(crate) directory_file: &'static FileOperations,
    pub(crate) file_file: &'static FileOperations,
    pub(crate) pages: &'static AddressSpaceOperations,
}

/// What a superblock of such a file system knows.
pub(crate) struct Info {
    pub(crate) backing: Arc<dyn Backing>,
    pub(crate) tables: &'static Tables,
    /// Extended attributes by inode and name.
    pub(crate) xattrs: Mutex<HashMap<(u64, String), Vec<u8>>>,
}

/// The info of a superblock.
pub(crate) fn info(sb: &'static SuperBlock) -> Arc<Info> {
    sb.info::<Info>()
}

/// The backing of a superblock.
pub(crate) fn backing(sb: &'static SuperBlock) -> Arc<dyn Backing> {
    Arc::clone(&info(sb).backing)
}

/// The inode of a number.
pub(crate) fn simple_iget(t: &Task, sb: &'static SuperBlock, number: u64) -> Result<&'static Inode> {
    let (inode, is_new) = iget(t, sb, number);
    if is_new {
        let node = backing(sb).node(t, number);
        if let Ok(node) = node {
            set_up(sb, inode, node);
        }
        unlock_new_inode(t, inode);
        if let Err(error) = node {
            inode.i_nlink.store(0, SeqCst);
            crate::reference::vfs::inode::iput(t, inode);
            return Err(error);
        }
    }
    Ok(inode)
}

/// The inode of a file that was just made and has no name.
pub(crate) fn simple_new(t: &Task, sb: &'static SuperBlock, number: u64, node: Node) -> &'static Inode {
    let inode = new_inode(t, sb);
    inode.i_ino.store(number, SeqCst);
    set_up(sb, inode, node);
    insert_inode(inode);
    inode
}

fn set_up(sb: &'static SuperBlock, inode: &'static Inode, node: Node) {
    let tables = info(sb).tables;
    inode.i_mode.store(node.mode, SeqCst);
    inode.i_uid.store(node.uid, SeqCst);
    inode.i_nlink.store(node.nlink, SeqCst);
    inode.i_size.store(node.size, SeqCst);
    let (inode_ops, file_ops) = match Kind::of(node.mode) {
        Kind::Directory => (tables.directory, tables.directory_file),
        Kind::Symlink => (tables.symlink, tables.file_file),
        Kind::Regular | Kind::Device => (tables.file, tables.file_file),
    };
    inode.i_op.set(Some(inode_ops));
    inode.i_fop.set(Some(file_ops));
    inode.i_mapping.a_ops.set(Some(tables.pages));
}

/// What the inode says, for its backing.
pub(crate) fn node_of(inode: &'static Inode) -> Node {
    Node {
        mode: inode.i_mode.load(SeqCst),
        uid: inode.i_uid.load(SeqCst),
        nlink: inode.i_nlink.load(SeqCst),
        size: inode.size(),
    }
}
