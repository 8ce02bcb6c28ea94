/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that this module is built for (6.1 to 7.3), and nothing else.
 *
 * A header cannot be asked what a function's prototype is, so here the release decides.
 */
#ifndef VFS_FAULTY_COMPAT_H
#define VFS_FAULTY_COMPAT_H

#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/fileattr.h> /* needs fs.h before it */
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/version.h>

/* 6.3: callbacks take a mnt_idmap where they took a user_namespace. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
typedef struct mnt_idmap vfs_faulty_idmap;
static inline vfs_faulty_idmap *idmap_of(const struct path *path)
{
	return mnt_idmap(path->mnt);
}
#else
typedef struct user_namespace vfs_faulty_idmap;
static inline vfs_faulty_idmap *idmap_of(const struct path *path)
{
	return mnt_user_ns(path->mnt);
}
#endif

/* 6.16: lookup_one_len_unlocked() became lookup_noperm_unlocked(). Both take the directory's lock themselves. */
static inline struct dentry *lookup_child(struct dentry *parent, const char *name, int len)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
	struct qstr qstr = QSTR_INIT(name, len);

	return lookup_noperm_unlocked(&qstr, parent);
#else
	return lookup_one_len_unlocked(name, parent, len);
#endif
}

/* 6.17: struct fileattr became struct file_kattr. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
typedef struct file_kattr vfs_faulty_fileattr;
#else
typedef struct fileattr vfs_faulty_fileattr;
#endif

/* 7.3: ->create() lost "excl". A macro, so that the call stays in the function that the stack is to name. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
#define CALL_CREATE(dir, idmap, new_child, mode) ((dir)->i_op->create(idmap, dir, new_child, mode))
#else
#define CALL_CREATE(dir, idmap, new_child, mode) ((dir)->i_op->create(idmap, dir, new_child, mode, true))
#endif

/* 6.15: ->mkdir() returns a dentry: an error, NULL, or the one to use instead. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
#define CALL_MKDIR(dir, idmap, new_child, mode)						\
({											\
	struct dentry *__instead = (dir)->i_op->mkdir(idmap, dir, new_child, mode);	\
											\
	if (!IS_ERR_OR_NULL(__instead))							\
		dput(__instead);							\
	PTR_ERR_OR_ZERO(__instead);							\
})
#else
#define CALL_MKDIR(dir, idmap, new_child, mode) ((dir)->i_op->mkdir(idmap, dir, new_child, mode))
#endif

/* 7.3: the wait queue of d_alloc_parallel() moved into the dcache. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
#define ALLOC_PARALLEL(parent, name, queue) ((void)(queue), d_alloc_parallel(parent, name))
#else
#define ALLOC_PARALLEL(parent, name, queue) d_alloc_parallel(parent, name, queue)
#endif

/* 6.17: the default operations of dentries are set by a function. */
static inline void set_default_dentry_operations(struct super_block *sb, const struct dentry_operations *operations)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
	set_default_d_op(sb, operations);
#else
	sb->s_d_op = operations;
#endif
}

/* 6.7: the list of handlers became constant. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
#define xattr_handlers_of(list) (list)
#else
#define xattr_handlers_of(list) ((const struct xattr_handler **)(list))
#endif

/* What a file without an op of its own gets: in the address space's own function, 6.10 through it, 7.3 in the current one. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
#define GET_UNMAPPED_AREA(file, address, length, offset, flags)				\
	mm_get_unmapped_area(file, address, length, offset, flags)
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define GET_UNMAPPED_AREA(file, address, length, offset, flags)				\
	mm_get_unmapped_area(current->mm, file, address, length, offset, flags)
#else
#define GET_UNMAPPED_AREA(file, address, length, offset, flags)				\
	current->mm->get_unmapped_area(file, address, length, offset, flags)
#endif

static inline void set_new_inode_times(struct inode *inode)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	simple_inode_init_ts(inode);
#else
	inode->i_atime = inode->i_mtime = inode->i_ctime = current_time(inode);
#endif
}

#endif
