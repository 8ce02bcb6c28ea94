// SPDX-License-Identifier: GPL-2.0
/*
 * Faults of rename: PATH becomes PATH2, which may exist. No RENAME_* flags: d_exchange() is not for modules.
 */
#include <linux/mutex.h>

#include "vfs_faulty.h"

#define TABLE "inode_operations"

/* All that a rename holds; all zero holds nothing. */
struct rename_guards {
	struct guard from, to, source, target;
	struct other_task mutex_holder;
	struct super_block *mutex_of;
};

static __always_inline int acquire_rename_mutex(struct rename_guards *guards, struct super_block *sb, enum hold how)
{
	switch (how) {
	case EXCLUSIVE:
		mutex_lock(&sb->s_vfs_rename_mutex);
		guards->mutex_of = sb;
		return 0;
	case EXCLUSIVE_BY_OTHER:
		guards->mutex_holder = (struct other_task){ .mutex = &sb->s_vfs_rename_mutex };
		return other_task_acquire(&guards->mutex_holder);
	default:
		return 0;
	}
}

static __always_inline void release_rename_mutex(struct rename_guards *guards)
{
	if (guards->mutex_of)
		mutex_unlock(&guards->mutex_of->s_vfs_rename_mutex);
	else if (!IS_ERR_OR_NULL(guards->mutex_holder.task))
		other_task_release(&guards->mutex_holder);
}

/* Ancestors first, else the source's parent first. */
static __always_inline int acquire_parents(struct rename_guards *guards, const struct place *from,
					   const struct place *to, const struct locking *how)
{
	struct inode *from_dir = place_dir(from), *to_dir = place_dir(to);
	int error;

	if (from_dir == to_dir)
		return guard_acquire(&guards->from, from_dir, how->dir, I_MUTEX_PARENT, dir_above(from));
	error = acquire_rename_mutex(guards, from_dir->i_sb, how->rename_mutex);
	if (error)
		return error;
	if (is_subdir(from->parent.dentry, to->parent.dentry)) {
		error = guard_acquire(&guards->to, to_dir, how->target_parent, I_MUTEX_PARENT, NULL);
		return error ?: guard_acquire(&guards->from, from_dir, how->dir, I_MUTEX_PARENT2, NULL);
	}
	error = guard_acquire(&guards->from, from_dir, how->dir, I_MUTEX_PARENT, NULL);
	return error ?: guard_acquire(&guards->to, to_dir, how->target_parent, I_MUTEX_PARENT2, NULL);
}

/* Subdirectories that change parent, victims, non-directories: as the kernel's own vfs_rename() takes them. */
static __always_inline int acquire_children(struct rename_guards *guards, const struct place *from,
					    const struct place *to, const struct locking *how)
{
	struct inode *source = d_inode(from->child), *target = d_inode(to->child);
	int error = 0;

	if (S_ISDIR(source->i_mode)) {
		if (place_dir(from) != place_dir(to))
			error = guard_acquire(&guards->source, source, how->subdirectory, I_MUTEX_CHILD, NULL);
		if (!error && target)
			error = guard_acquire(&guards->target, target, how->victim, I_MUTEX_NORMAL, NULL);
		return error;
	}
	if (target && target < source)
		error = guard_acquire(&guards->target, target, how->victim, I_MUTEX_NORMAL, NULL);
	if (!error)
		error = guard_acquire(&guards->source, source, how->source,
				      guards->target.rwsem ? I_MUTEX_NONDIR2 : I_MUTEX_NORMAL, NULL);
	if (!error && target > source)
		error = guard_acquire(&guards->target, target, how->victim, I_MUTEX_NONDIR2, NULL);
	return error;
}

static __always_inline void release_all(struct rename_guards *guards)
{
	guard_release(&guards->source);
	guard_release(&guards->target);
	guard_release(&guards->from);
	guard_release(&guards->to);
	release_rename_mutex(guards);
}

static int check(const struct place *from, const struct place *to)
{
	int error = place_expect(from, true);

	if (error)
		return error;
	if (d_really_is_positive(to->child)) {
		if (d_inode(to->child) == d_inode(from->child))
			return -EINVAL;
		if (d_is_dir(to->child) != d_is_dir(from->child))
			return -ENOTDIR;
	}
	if (is_subdir(to->parent.dentry, from->child) || is_subdir(from->parent.dentry, to->child))
		return -ELOOP;
	return 0;
}

/* What the VFS does to the dcache after a rename. */
static void finish(const struct place *from, const struct place *to)
{
	struct inode *target = d_inode(to->child);

	if (target) {
		if (S_ISDIR(target->i_mode)) {
			shrink_dcache_parent(to->child);
			target->i_flags |= S_DEAD;
		}
		dont_mount(to->child);
	}
	if (!(place_dir(from)->i_sb->s_type->fs_flags & FS_RENAME_DOES_D_MOVE))
		d_move(from->child, to->child);
}

static __always_inline int rename_with(const struct call *call, const struct locking *how)
{
	struct rename_guards guards = {};
	struct place from, to;
	struct inode *dir;
	int error = place_open(&from, call->path);

	if (error)
		return error;
	error = place_open_beside(&to, call->second_path, &from);
	if (error)
		goto close_from;
	dir = place_dir(&from);
	error = acquire_parents(&guards, &from, &to, how);
	if (!error)
		error = check(&from, &to);
	if (!error)
		error = acquire_children(&guards, &from, &to, how);
	if (!error && !dir->i_op->rename)
		error = -EOPNOTSUPP;
	if (!error)
		error = dir->i_op->rename(idmap_of(&from.parent), dir, from.child, place_dir(&to), to.child, 0);
	if (!error)
		finish(&from, &to);
	release_all(&guards);
	place_close(&to);
close_from:
	place_close(&from);
	return error;
}

#define RENAME_FAULTS(FAULT)								\
	FAULT(rename, rename_no_lock, "rename", .dir = NOT_HELD)			\
	FAULT(rename, rename_shared, "rename", .dir = SHARED)				\
	FAULT(rename, rename_no_source_parent_lock, "rename", .dir = NOT_HELD)		\
	FAULT(rename, rename_no_target_parent_lock, "rename", .target_parent = NOT_HELD) \
	FAULT(rename, rename_no_victim_lock, "rename.victim", .victim = NOT_HELD)	\
	FAULT(rename, rename_victim_shared, "rename.victim", .victim = SHARED)		\
	FAULT(rename, rename_no_source_lock, "rename.nondirectories", .source = NOT_HELD) \
	FAULT(rename, rename_source_shared, "rename.nondirectories", .source = SHARED)	\
	FAULT(rename, rename_no_target_lock, "rename.nondirectories", .victim = NOT_HELD) \
	FAULT(rename, rename_target_shared, "rename.nondirectories", .victim = SHARED)	\
	FAULT(rename, rename_no_mutex, "rename.mutex", .rename_mutex = NOT_HELD)	\
	FAULT(rename, rename_mutex_held_by_other, "rename.mutex", .rename_mutex = EXCLUSIVE_BY_OTHER) \
	FAULT(rename, rename_no_subdir_lock, "rename.subdirectories", .subdirectory = NOT_HELD) \
	FAULT(rename, rename_subdir_shared, "rename.subdirectories", .subdirectory = SHARED)

DEFINE_CORRECT(rename)
RENAME_FAULTS(DEFINE_FAULT)

const struct fault rename_faults[] = { RENAME_FAULTS(FAULT_ENTRY) {} };
