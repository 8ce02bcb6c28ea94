// SPDX-License-Identifier: GPL-2.0
/*
 * Faults of the ops that add a child to a directory, remove one, or look one up.
 */
#include <linux/stat.h>
#include <linux/wait.h>

#include "vfs_faulty.h"

#define TABLE "inode_operations"

/* Long enough for a target that is stored outside the inode (ext4: above 59 bytes). */
#define SYMLINK_TARGET "vfs_faulty/target/that/does/not/exist/and/is/too/long/for/an/inode/of/ext4"

/*
 * The frame of every op that adds a child: `invoke` is the call itself, an expression over dir, idmap and child. A macro,
 * so that the call is made by the fault's own function.
 */
#define ADD_CHILD(call, how, op, invoke)						\
({											\
	struct guard __guard = {};							\
	struct place __place;								\
	int __error = place_open(&__place, (call)->path);				\
											\
	if (!__error) {									\
		struct inode *dir = place_dir(&__place);				\
		vfs_faulty_idmap *idmap __maybe_unused = idmap_of(&__place.parent);	\
		struct dentry *child = __place.child;					\
											\
		__error = guard_acquire(&__guard, dir, (how)->dir, I_MUTEX_PARENT,	\
					dir_above(&__place));				\
		if (!__error)								\
			__error = place_expect(&__place, false);			\
		if (!__error)								\
			__error = dir->i_op->op ? (invoke) : -EOPNOTSUPP;		\
		guard_release(&__guard);						\
		place_close(&__place);							\
	}										\
	__error;									\
})

static __always_inline int create_with(const struct call *call, const struct locking *how)
{
	return ADD_CHILD(call, how, create, CALL_CREATE(dir, idmap, child, S_IFREG | 0644));
}

static __always_inline int mkdir_with(const struct call *call, const struct locking *how)
{
	return ADD_CHILD(call, how, mkdir, CALL_MKDIR(dir, idmap, child, S_IFDIR | 0755));
}

static __always_inline int mknod_with(const struct call *call, const struct locking *how)
{
	return ADD_CHILD(call, how, mknod, dir->i_op->mknod(idmap, dir, child, S_IFIFO | 0644, 0));
}

static __always_inline int symlink_with(const struct call *call, const struct locking *how)
{
	return ADD_CHILD(call, how, symlink, dir->i_op->symlink(idmap, dir, child, SYMLINK_TARGET));
}

/* PATH is the existing non-directory, PATH2 the new name. */
static __always_inline int link_with(const struct call *call, const struct locking *how)
{
	struct guard dir_guard = {}, source_guard = {};
	struct place from, to;
	struct inode *dir, *source;
	int error;

	error = place_open(&from, call->path);
	if (error)
		return error;
	error = place_open_beside(&to, call->second_path, &from);
	if (error)
		goto close_from;
	dir = place_dir(&to);
	source = d_inode(from.child);
	error = -EPERM;
	if (!source || S_ISDIR(source->i_mode))
		goto close_to;
	error = guard_acquire(&dir_guard, dir, how->dir, I_MUTEX_PARENT, dir_above(&to));
	if (error)
		goto close_to;
	error = place_expect(&to, false);
	if (!error)
		error = guard_acquire(&source_guard, source, how->source, I_MUTEX_NORMAL, NULL);
	if (!error)
		error = dir->i_op->link ? dir->i_op->link(from.child, dir, to.child) : -EOPNOTSUPP;
	guard_release(&source_guard);
	guard_release(&dir_guard);
close_to:
	place_close(&to);
close_from:
	place_close(&from);
	return error;
}

static __always_inline int unlink_with(const struct call *call, const struct locking *how)
{
	struct guard dir_guard = {}, victim_guard = {};
	struct place place;
	struct inode *dir;
	int error = place_open(&place, call->path);

	if (error)
		return error;
	dir = place_dir(&place);
	error = guard_acquire(&dir_guard, dir, how->dir, I_MUTEX_PARENT, dir_above(&place));
	if (error)
		goto close;
	error = place_expect(&place, true);
	if (!error && d_is_dir(place.child))
		error = -EISDIR;
	if (!error)
		error = guard_acquire(&victim_guard, d_inode(place.child), how->victim, I_MUTEX_NORMAL, NULL);
	if (!error)
		error = dir->i_op->unlink ? dir->i_op->unlink(dir, place.child) : -EOPNOTSUPP;
	guard_release(&victim_guard);
	if (!error) {
		dont_mount(place.child);
		d_delete(place.child);
	}
	guard_release(&dir_guard);
close:
	place_close(&place);
	return error;
}

static __always_inline int rmdir_with(const struct call *call, const struct locking *how)
{
	struct guard dir_guard = {}, victim_guard = {};
	struct place place;
	struct inode *dir;
	int error = place_open(&place, call->path);

	if (error)
		return error;
	dir = place_dir(&place);
	error = guard_acquire(&dir_guard, dir, how->dir, I_MUTEX_PARENT, dir_above(&place));
	if (error)
		goto close;
	error = place_expect(&place, true);
	if (!error && !d_is_dir(place.child))
		error = -ENOTDIR;
	if (!error)
		error = guard_acquire(&victim_guard, d_inode(place.child), how->victim, I_MUTEX_NORMAL, NULL);
	if (!error)
		error = dir->i_op->rmdir ? dir->i_op->rmdir(dir, place.child) : -EOPNOTSUPP;
	if (!error) {
		shrink_dcache_parent(place.child);
		d_inode(place.child)->i_flags |= S_DEAD;
		dont_mount(place.child);
	}
	guard_release(&victim_guard);
	if (!error)
		d_delete(place.child);
	guard_release(&dir_guard);
close:
	place_close(&place);
	return error;
}

/* The child leaves the dcache first, so that there is something to look up. */
static __always_inline int lookup_with(const struct call *call, const struct locking *how)
{
	DECLARE_WAIT_QUEUE_HEAD_ONSTACK(queue);
	struct dentry *child, *found;
	struct guard guard = {};
	struct place place;
	struct inode *dir;
	int error = place_open(&place, call->path);

	if (error)
		return error;
	d_drop(place.child);
	dir = place_dir(&place);
	error = guard_acquire(&guard, dir, how->dir, I_MUTEX_PARENT, dir_above(&place));
	if (error)
		goto close;
	child = ALLOC_PARALLEL(place.parent.dentry, &place.child->d_name, &queue);
	error = PTR_ERR_OR_ZERO(child);
	if (error)
		goto release;
	if (!d_in_lookup(child)) {
		error = -EAGAIN;	/* somebody else was faster */
	} else {
		found = dir->i_op->lookup(dir, child, 0);
		d_lookup_done(child);
		error = PTR_ERR_OR_ZERO(found);
		if (!error)
			dput(found);
	}
	dput(child);
release:
	guard_release(&guard);
close:
	place_close(&place);
	return error;
}

#define CHILDREN_FAULTS(FAULT)								\
	FAULT(create, create_no_lock, "create", .dir = NOT_HELD)			\
	FAULT(create, create_shared, "create", .dir = SHARED)				\
	FAULT(create, create_wrong_inode, "create", .dir = OF_WRONG_INODE)		\
	FAULT(create, create_held_by_other, "create", .dir = EXCLUSIVE_BY_OTHER)	\
	FAULT(create, create_shared_by_other, "create", .dir = SHARED_BY_OTHER)	\
	FAULT(mkdir, mkdir_no_lock, "mkdir", .dir = NOT_HELD)				\
	FAULT(mkdir, mkdir_shared, "mkdir", .dir = SHARED)				\
	FAULT(mknod, mknod_no_lock, "mknod", .dir = NOT_HELD)				\
	FAULT(mknod, mknod_shared, "mknod", .dir = SHARED)				\
	FAULT(symlink, symlink_no_lock, "symlink", .dir = NOT_HELD)			\
	FAULT(symlink, symlink_shared, "symlink", .dir = SHARED)			\
	FAULT(link, link_no_lock, "link", .dir = NOT_HELD)				\
	FAULT(link, link_shared, "link", .dir = SHARED)				\
	FAULT(link, link_no_source_lock, "link.source", .source = NOT_HELD)		\
	FAULT(link, link_source_shared, "link.source", .source = SHARED)		\
	FAULT(unlink, unlink_no_lock, "unlink", .dir = NOT_HELD)			\
	FAULT(unlink, unlink_shared, "unlink", .dir = SHARED)				\
	FAULT(unlink, unlink_no_victim_lock, "unlink.victim", .victim = NOT_HELD)	\
	FAULT(unlink, unlink_victim_shared, "unlink.victim", .victim = SHARED)		\
	FAULT(unlink, unlink_victim_held_by_other, "unlink.victim", .victim = EXCLUSIVE_BY_OTHER) \
	FAULT(rmdir, rmdir_no_lock, "rmdir", .dir = NOT_HELD)				\
	FAULT(rmdir, rmdir_shared, "rmdir", .dir = SHARED)				\
	FAULT(rmdir, rmdir_no_victim_lock, "rmdir.victim", .victim = NOT_HELD)		\
	FAULT(rmdir, rmdir_victim_shared, "rmdir.victim", .victim = SHARED)		\
	FAULT(rmdir, rmdir_victim_held_by_other, "rmdir.victim", .victim = EXCLUSIVE_BY_OTHER) \
	FAULT(lookup, lookup_no_lock, "lookup", .dir = NOT_HELD)			\
	FAULT(lookup, lookup_wrong_inode, "lookup", .dir = OF_WRONG_INODE)		\
	FAULT(lookup, lookup_shared_by_other, "lookup", .dir = SHARED_BY_OTHER)

DEFINE_CORRECT(create)
DEFINE_CORRECT(mkdir)
DEFINE_CORRECT(mknod)
DEFINE_CORRECT(symlink)
DEFINE_CORRECT(link)
DEFINE_CORRECT(unlink)
DEFINE_CORRECT(rmdir)
DEFINE_CORRECT(lookup, .dir = SHARED)
CHILDREN_FAULTS(DEFINE_FAULT)

const struct fault children_faults[] = { CHILDREN_FAULTS(FAULT_ENTRY) {} };
