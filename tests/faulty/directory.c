// SPDX-License-Identifier: GPL-2.0
/*
 * Faults of reading a directory, on any file system.
 */
#include <linux/cred.h>
#include <linux/file.h>

#include "vfs_faulty.h"

#define TABLE "file_operations"

static bool take_entry(struct dir_context *context, const char *name, int length, loff_t offset, u64 inode,
		       unsigned int type)
{
	return true;
}

/* PATH is a directory. */
static __always_inline int iterate_shared_with(const struct call *call, const struct locking *how)
{
	struct dir_context context = { .actor = take_entry };
	struct guard guard = {};
	struct place place;
	struct path path;
	struct file *file;
	int error = place_open(&place, call->path);

	if (error)
		return error;
	path = (struct path){ .mnt = place.parent.mnt, .dentry = place.child };
	file = d_is_dir(place.child) ? dentry_open(&path, O_RDONLY | O_DIRECTORY, current_cred()) : ERR_PTR(-ENOTDIR);
	error = PTR_ERR_OR_ZERO(file);
	if (error)
		goto close;
	if (file->f_op->iterate_shared)
		error = guard_acquire(&guard, file_inode(file), how->self, I_MUTEX_NORMAL, place_dir(&place));
	else
		error = -EOPNOTSUPP;
	if (!error)
		error = file->f_op->iterate_shared(file, &context);
	guard_release(&guard);
	fput(file);
close:
	place_close(&place);
	return error;
}

#define DIRECTORY_FAULTS(FAULT)								\
	FAULT(iterate_shared, iterate_shared_no_lock, "iterate_shared", .self = NOT_HELD) \
	FAULT(iterate_shared, iterate_shared_wrong_inode, "iterate_shared", .self = OF_WRONG_INODE) \
	FAULT(iterate_shared, iterate_shared_held_by_other, "iterate_shared", .self = SHARED_BY_OTHER)

DEFINE_CORRECT(iterate_shared, .self = SHARED)
DIRECTORY_FAULTS(DEFINE_FAULT)

const struct fault directory_faults[] = { DIRECTORY_FAULTS(FAULT_ENTRY) {} };
