// SPDX-License-Identifier: GPL-2.0
/*
 * Faults of the ops on an inode's attributes.
 *
 * setattr changes the mode and never the size: ext4_truncate() warns by itself when the inode is not locked.
 */
#include <linux/stat.h>

#include "vfs_faulty.h"

#define TABLE "inode_operations"

/* PATH exists; its group write permission is flipped. */
static __always_inline int setattr_with(const struct call *call, const struct locking *how)
{
	struct iattr attr = { .ia_valid = ATTR_MODE | ATTR_CTIME };
	struct guard guard = {};
	struct place place;
	struct inode *inode;
	int error = place_open(&place, call->path);

	if (error)
		return error;
	inode = d_inode(place.child);
	error = inode ? 0 : -ENOENT;
	if (!error)
		error = guard_acquire(&guard, inode, how->self, I_MUTEX_NORMAL, place_dir(&place));
	if (!error) {
		attr.ia_mode = inode->i_mode ^ S_IWGRP;
		attr.ia_ctime = current_time(inode);
		error = inode->i_op->setattr
			? inode->i_op->setattr(idmap_of(&place.parent), place.child, &attr) : -EOPNOTSUPP;
	}
	guard_release(&guard);
	place_close(&place);
	return error;
}

/* The attributes of `child` with FS_NODUMP_FL flipped, prepared as the VFS does it. */
static int flipped_nodump(struct dentry *child, vfs_faulty_fileattr *wanted)
{
	vfs_faulty_fileattr old = {};
	int error = vfs_fileattr_get(child, &old);

	if (error)
		return error == -ENOIOCTLCMD ? -EOPNOTSUPP : error;
	fileattr_fill_flags(wanted, old.flags ^ FS_NODUMP_FL);
	wanted->fsx_xflags |= old.fsx_xflags & ~FS_XFLAG_COMMON;
	wanted->fsx_extsize = old.fsx_extsize;
	wanted->fsx_nextents = old.fsx_nextents;
	wanted->fsx_projid = old.fsx_projid;
	wanted->fsx_cowextsize = old.fsx_cowextsize;
	return 0;
}

static __always_inline int fileattr_set_with(const struct call *call, const struct locking *how)
{
	vfs_faulty_fileattr wanted = {};
	struct guard guard = {};
	struct place place;
	struct inode *inode;
	int error = place_open(&place, call->path);

	if (error)
		return error;
	inode = d_inode(place.child);
	error = inode ? 0 : -ENOENT;
	if (!error && !inode->i_op->fileattr_set)
		error = -EOPNOTSUPP;
	if (!error)
		error = flipped_nodump(place.child, &wanted);
	if (!error)
		error = guard_acquire(&guard, inode, how->self, I_MUTEX_NORMAL, place_dir(&place));
	if (!error)
		error = inode->i_op->fileattr_set(idmap_of(&place.parent), place.child, &wanted);
	guard_release(&guard);
	place_close(&place);
	return error;
}

static __always_inline int fileattr_get_with(const struct call *call, const struct locking *how)
{
	vfs_faulty_fileattr got = {};
	struct guard guard = {};
	struct place place;
	struct inode *inode;
	int error = place_open(&place, call->path);

	if (error)
		return error;
	inode = d_inode(place.child);
	error = inode ? 0 : -ENOENT;
	if (!error && !inode->i_op->fileattr_get)
		error = -EOPNOTSUPP;
	if (!error)
		error = guard_acquire(&guard, inode, how->self, I_MUTEX_NORMAL, NULL);
	if (!error)
		error = inode->i_op->fileattr_get(place.child, &got);
	guard_release(&guard);
	place_close(&place);
	return error;
}

#define ATTRIBUTES_FAULTS(FAULT)							\
	FAULT(setattr, setattr_no_lock, "setattr", .self = NOT_HELD)			\
	FAULT(setattr, setattr_shared, "setattr", .self = SHARED)			\
	FAULT(setattr, setattr_wrong_inode, "setattr", .self = OF_WRONG_INODE)		\
	FAULT(setattr, setattr_held_by_other, "setattr", .self = EXCLUSIVE_BY_OTHER)	\
	FAULT(fileattr_set, fileattr_set_no_lock, "fileattr_set", .self = NOT_HELD)	\
	FAULT(fileattr_set, fileattr_set_shared, "fileattr_set", .self = SHARED)	\
	FAULT(fileattr_get, fileattr_get_shared, "fileattr_get", .self = SHARED)

DEFINE_CORRECT(setattr)
DEFINE_CORRECT(fileattr_set)
DEFINE_CORRECT(fileattr_get)
ATTRIBUTES_FAULTS(DEFINE_FAULT)

const struct fault attributes_faults[] = { ATTRIBUTES_FAULTS(FAULT_ENTRY) {} };
