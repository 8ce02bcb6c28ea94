// SPDX-License-Identifier: GPL-2.0
/*
 * xattr_handler of the module's own file system; faults of calls through the handlers of any.
 */
#include <linux/string.h>
#include <linux/xattr.h>

#include "own.h"

#define TABLE "xattr_handler"
#define NAME "trusted.vfs_faulty"

static bool own_xattr_list(struct dentry *dentry)
{
	own_callback(__func__);
	return true;
}

static int own_xattr_get(const struct xattr_handler *handler, struct dentry *dentry, struct inode *inode, const char *name,
			 void *buffer, size_t size)
{
	own_callback(__func__);
	return -ENODATA;
}

static int own_xattr_set(const struct xattr_handler *handler, vfs_faulty_idmap *idmap, struct dentry *dentry,
			 struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
	own_callback(__func__);
	return own_is_called() ? 0 : -EOPNOTSUPP;
}

static const struct xattr_handler own_trusted_handler = {
	.prefix = XATTR_TRUSTED_PREFIX,
	.list = own_xattr_list,
	.get = own_xattr_get,
	.set = own_xattr_set,
};

const struct xattr_handler *const own_xattr_handlers[] = { &own_trusted_handler, NULL };

/* The handler of a name, and the part of the name that the handler is given. */
static const struct xattr_handler *handler_of(const struct super_block *sb, const char **name)
{
	const struct xattr_handler *const *handler = (const void *)sb->s_xattr;

	for (; handler && *handler; handler++) {
		const char *prefix = (*handler)->prefix;

		if (!prefix || !(*handler)->set || strncmp(NAME, prefix, strlen(prefix)))
			continue;
		*name = NAME + strlen(prefix);
		return *handler;
	}
	return NULL;
}

/* PATH exists, on any file system. */
static __always_inline int xattr_set_with(const struct call *call, const struct locking *how)
{
	const struct xattr_handler *handler;
	struct guard guard = {};
	struct place place;
	struct inode *inode;
	const char *name;
	int error = place_open(&place, call->path);

	if (error)
		return error;
	inode = d_inode(place.child);
	handler = inode ? handler_of(inode->i_sb, &name) : NULL;
	error = handler ? 0 : -EOPNOTSUPP;
	if (!error)
		error = guard_acquire(&guard, inode, how->self, I_MUTEX_NORMAL, place_dir(&place));
	if (!error)
		error = handler->set(handler, idmap_of(&place.parent), place.child, inode, name, "value", 5, 0);
	guard_release(&guard);
	place_close(&place);
	return error;
}

#define HANDLER(own) ((own).sb->s_xattr[0])

OWN_CALL(own_xattr_list, 0, HANDLER(own)->list(own.dentry) ? 0 : -EIO)
OWN_CALL(own_xattr_get, 0,
	 HANDLER(own)->get(HANDLER(own), own.dentry, own.inode, "vfs_faulty", NULL, 0) == -ENODATA ? 0 : -EIO)
OWN_CALL(own_xattr_set, I_RWSEM,
	 HANDLER(own)->set(HANDLER(own), idmap_of(&own.place.parent), own.dentry, own.inode, "vfs_faulty", "value", 5, 0))

#define XATTR_FAULTS(FAULT)								\
	FAULT(xattr_set, xattr_set_no_lock, "set", .self = NOT_HELD)			\
	FAULT(xattr_set, xattr_set_shared, "set", .self = SHARED)			\
	FAULT(xattr_set, xattr_set_wrong_inode, "set", .self = OF_WRONG_INODE)		\
	FAULT(xattr_set, xattr_set_held_by_other, "set", .self = EXCLUSIVE_BY_OTHER)	\
	FAULT(own_xattr_list, xattr_list_preemption_off, "list.may_block", .context = PREEMPTION_OFF) \
	FAULT(own_xattr_get, xattr_get_in_rcu, "get.may_block", .context = IN_RCU)	\
	FAULT(own_xattr_set, xattr_set_under_spinlock, "set.may_block", .context = UNDER_SPINLOCK)

DEFINE_CORRECT(xattr_set)
DEFINE_CORRECT(own_xattr_list)
DEFINE_CORRECT(own_xattr_get)
DEFINE_CORRECT(own_xattr_set)
XATTR_FAULTS(DEFINE_FAULT)

const struct fault xattr_faults[] = { XATTR_FAULTS(FAULT_ENTRY) {} };
